package domain

import "slices"

// Versions is the set of Versions of an entity that a change is meant for. The HTTP adapter builds it from
// If-Match. The zero value allows every Version.
type Versions struct {
	limited bool
	allowed []int64
}

// OnlyVersions returns the set of these Versions. Without arguments, the set allows no Version.
func OnlyVersions(allowed ...int64) Versions {
	return Versions{limited: true, allowed: allowed}
}

// Limit returns the Versions in the set, and false if every Version is allowed.
func (v Versions) Limit() (allowed []int64, limited bool) { return v.allowed, v.limited }

// Allow reports whether version is in the set.
func (v Versions) Allow(version int64) bool {
	return !v.limited || slices.Contains(v.allowed, version)
}
