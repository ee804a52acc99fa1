package security_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/security"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

func BenchmarkPasswordHasherHash(b *testing.B) {
	h := security.NewPasswordHasher()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Hash(b.Context(), domain.Work{}, "correct horse"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTokenIssuerIssue(b *testing.B) {
	i, err := security.NewTokenIssuer(time.Hour, time.Now, key)
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := i.Issue(someone); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTokenIssuerVerify(b *testing.B) {
	i, err := security.NewTokenIssuer(time.Hour, time.Now, key)
	require.NoError(b, err)
	token, err := i.Issue(someone)
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := i.Verify(token.Value); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAttemptLimiterTake(b *testing.B) {
	l := security.NewAttemptLimiter(10, 6*time.Second, time.Now)
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Take("someone@example.com 192.0.2.1"); err != nil {
			l.Reset("someone@example.com 192.0.2.1")
		}
	}
}
