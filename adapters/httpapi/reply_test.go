package httpapi

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestATimestampIsInUTCAndAlwaysToTheMicrosecond(t *testing.T) {
	for want, at := range map[string]time.Time{
		"2026-11-24T09:30:00.000000Z": time.Date(2026, 11, 24, 10, 30, 0, 0, time.FixedZone("", 3600)),
		"2026-01-02T03:04:05.678901Z": time.Date(2026, 1, 2, 3, 4, 5, 678_901_999, time.UTC),
	} {
		assert.Equal(t, want, timestamp(at).String())
	}
}
