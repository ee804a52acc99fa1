package httpapi

import (
	"strconv"
	"strings"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

const (
	headerETag    = "ETag"
	headerIfMatch = "If-Match"

	maxTags = 16 // that If-Match may list
)

// etag returns the entity tag of a version (RFC 9110 §8.8.3).
func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// versionsOf returns the versions that the header If-Match allows: every version for * or without the
// header, else those that its list of entity tags names. A tag that this service did not make matches no
// version, and a text that is not a list of tags (RFC 9110 §13.1.1) allows none. It returns an error if the
// list is longer than maxTags.
//
// A weak tag matches like a strong one. RFC 9110 lets only strong tags match, but proxies that compress
// replies weaken the tags of this service.
func versionsOf(ifMatch *string) (domain.Versions, error) {
	if ifMatch == nil {
		return domain.Versions{}, nil
	}
	list := strings.Trim(*ifMatch, " \t")
	if list == "*" {
		return domain.Versions{}, nil
	}
	var versions []int64
	for tags := 0; ; tags++ {
		list = strings.TrimLeft(list, ", \t") // a list may have empty elements (RFC 9110 §5.6.1.2)
		if list == "" {
			return domain.OnlyVersions(versions...), nil
		}
		if tags == maxTags {
			return domain.Versions{}, malformed("If-Match must list at most " + strconv.Itoa(maxTags) + " entity tags")
		}
		opaque, rest, ok := cutTag(list)
		if !ok {
			return domain.OnlyVersions(), nil
		}
		version, err := strconv.ParseInt(opaque, 10, 64)
		if err == nil && strconv.FormatInt(version, 10) == opaque { // not "+1" or "01"
			versions = append(versions, version)
		}
		list = rest
	}
}

// cutTag cuts the first entity tag off a list. It returns the text between the quotes, and what follows the
// tag: nothing or a comma. It returns false if the list does not begin with a tag.
func cutTag(list string) (opaque, rest string, ok bool) {
	list, opened := strings.CutPrefix(strings.TrimPrefix(list, "W/"), `"`)
	opaque, rest, closed := strings.Cut(list, `"`)
	rest = strings.TrimLeft(rest, " \t")
	return opaque, rest, opened && closed && (rest == "" || rest[0] == ',')
}
