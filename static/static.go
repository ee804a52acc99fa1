// Package static holds the pages of the service, with their styles, scripts and images, as embedded
// files. The HTTP adapter replaces the placeholders in double braces. A page loads files of this service
// only, and contains no script and no style itself, because its content security policy forbids both.
// Go code does not belong here.
package static

import "embed"

// Files holds all files, without folders.
//
//go:embed *.html *.css *.js *.svg
var Files embed.FS
