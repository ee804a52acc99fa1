package security_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/security"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports/portstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPasswordHasher(t *testing.T) {
	portstest.TestPasswordHasher(t, func(*testing.T) ports.PasswordHasher { return security.NewPasswordHasher() })
}

func TestTokenIssuer(t *testing.T) {
	portstest.TestTokenIssuer(t, func(t *testing.T, seed []byte, now func() time.Time) ports.TokenIssuer {
		i, err := security.NewTokenIssuer(time.Hour, now, seed)
		require.NoError(t, err)
		return i
	})
}

func TestAttemptLimiter(t *testing.T) {
	portstest.TestAttemptLimiter(t, func(_ *testing.T, now func() time.Time) ports.AttemptLimiter {
		return security.NewAttemptLimiter(10, 6*time.Second, now)
	})
}
