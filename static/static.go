// Package static holds the pages and what they look like, as files. What is in braces in an HTML
// file is filled in by whoever serves it; no page loads anything from elsewhere, and no script or
// style is written into a page. Code does not live here.
package static

import "embed"

// Files are the pages, their styles, scripts and images, all at the top level.
//
//go:embed *.html *.css *.js *.svg
var Files embed.FS
