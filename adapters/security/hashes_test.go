package security

import (
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// Hashes of the reference implementation of argon2 and of Python's bcrypt 4.0, which the predecessor of
// this service used.
const (
	argon2idOfPassword = "$argon2id$v=19$m=65536,t=2,p=4$c29tZXNhbHRzb21lc2FsdA$72jmXzYpv/28yBx0iMOh0ZS3aKMtsaKFdaTWddug2g8"

	bcrypt2aOfHorse = "$2a$04$x.LXYajswbEVtKWmB4B3VOWwjJzsTGGvcsUsQghV8gohYubu0QM9K"
	bcrypt2bOfHorse = "$2b$04$xIYU4EqV4NwRgPqOvZu1X.ha.EjqVLcwBmohWeOVwksUNkcG2PwEO"
	bcryptOf71      = "$2b$04$uLztuqcGm4cuaWsGGE.7ZutXdgaRyWUG8WRVQnAj0yRGMU93zwqV."
	bcryptOfLong    = "$2b$04$mS8HB2u2QuvFMhFAeRGFsegBolgxJUxG1xD.T8L6Iz8OnvUsmRAc6"
	bcryptOfNothing = "$2b$04$sexeZkp0UKgIp./l66WDZe.qhXp5Nx/l6mMVCuah6EL1xc16B8M7K"
)

func TestHashesOfOtherImplementationsAreVerified(t *testing.T) {
	x71 := strings.Repeat("x", 71)
	bcrypt2yOfHorse := strings.Replace(bcrypt2bOfHorse, "$2b$", "$2y$", 1) // PHP's name for $2b$
	h := NewPasswordHasher()
	for _, c := range []struct {
		plain, hash string
		want        bool
	}{
		{"password", argon2idOfPassword, true},
		{"Password", argon2idOfPassword, false},
		{"correct horse", bcrypt2aOfHorse, true},
		{"correct horse", bcrypt2bOfHorse, true},
		{"correct horse", bcrypt2yOfHorse, true},
		{"correct horsf", bcrypt2aOfHorse, false},
		{"correct horsf", bcrypt2bOfHorse, false},
		{"correct horsf", bcrypt2yOfHorse, false},
		{"", bcryptOfNothing, true},
		{"x", bcryptOfNothing, false},
		// bcrypt uses 72 bytes: an account with a longer password can still sign in.
		{x71 + "x and what follows", bcryptOfLong, true},
		{x71 + "x", bcryptOfLong, true},
		{x71, bcryptOfLong, false},
		{x71, bcryptOf71, true},
		{x71 + "x", bcryptOf71, false},
		// bcrypt repeats its key after a NUL.
		{"correct horse\x00correct horse", bcrypt2bOfHorse, false},
		{"\x00", bcryptOfNothing, false},
		{x71 + "\x00", bcryptOf71, false},
	} {
		got, err := h.Verify(t.Context(), domain.Work{}, c.plain, c.hash)
		require.NoError(t, err)
		assert.Equal(t, c.want, got, "%q against %s", c.plain, c.hash)
		assert.True(t, h.Outdated(c.hash), "its parameters are not the current ones")
	}
}

func TestANewHashHasTheStandardCost(t *testing.T) {
	hash, err := NewPasswordHasher().Hash(t.Context(), domain.Work{}, "correct horse")
	require.NoError(t, err)
	// 22 and 43 characters are 16 and 32 bytes.
	assert.Regexp(t, `^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$`, hash)
}

func TestAHashIsOutdatedUnlessItHasTheStandardCostAndLengths(t *testing.T) {
	salt, key := unpadded(saltLength), unpadded(keyLength)
	h := NewPasswordHasher()
	assert.False(t, h.Outdated(phc("m=19456,t=2,p=1", salt, key)))
	for _, hash := range []string{
		"", "nonsense", "$2b$12$" + strings.Repeat("a", 53),
		phc("m=19457,t=2,p=1", salt, key), phc("m=19456,t=3,p=1", salt, key), phc("m=19456,t=2,p=2", salt, key),
		phc("m=19456,t=2,p=1", unpadded(saltLength-1), key), phc("m=19456,t=2,p=1", salt, unpadded(keyLength+1)),
	} {
		assert.True(t, h.Outdated(hash), hash)
	}
}

func TestACheapHasherVerifiesAndCallsItsOwnHashesCurrent(t *testing.T) {
	cheap := NewCheapPasswordHasher()
	hash, err := cheap.Hash(t.Context(), domain.Work{}, "correct horse")
	require.NoError(t, err)
	assert.Regexp(t, `^\$argon2id\$v=19\$m=8,t=1,p=1\$`, hash)
	for plain, want := range map[string]bool{"correct horse": true, "correct horsf": false} {
		got, err := cheap.Verify(t.Context(), domain.Work{}, plain, hash)
		require.NoError(t, err)
		assert.Equal(t, want, got, plain)
	}
	assert.False(t, cheap.Outdated(hash))
	assert.True(t, NewPasswordHasher().Outdated(hash))
}

// A cheap hash does not protect a password.
func TestNoCodeOfTheProgramCreatesACheapHasher(t *testing.T) {
	const repository, definition = "../..", "passwords.go"
	var callers []string
	require.NoError(t, filepath.WalkDir(repository, func(path string, file fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if strings.Contains(string(text), "NewCheapPasswordHasher") {
			callers = append(callers, file.Name())
		}
		return err
	}))
	assert.Equal(t, []string{definition}, callers)
}

func phc(cost, salt, key string) string {
	return fmt.Sprintf("$argon2id$v=19$%s$%s$%s", cost, salt, key)
}

// unpadded returns the spelling of n zero bytes.
func unpadded(n int) string { return base64.RawStdEncoding.EncodeToString(make([]byte, n)) }

func TestTheCostOfAStoredHashIsLimited(t *testing.T) {
	salt, key := unpadded(saltLength), unpadded(keyLength)
	for hash, want := range map[string]error{
		phc("m=8,t=1,p=1", unpadded(8), unpadded(16)):      nil,
		phc("m=65536,t=5,p=4", unpadded(64), unpadded(64)): nil,
		phc("m=32,t=1,p=4", salt, key):                     nil,
		"$2a$04$" + strings.Repeat("a", 53):                nil,
		"$2y$14$" + strings.Repeat("a", 53):                nil,

		phc("m=65537,t=1,p=1", salt, key):                errCostlyHash,
		phc("m=19456,t=6,p=1", salt, key):                errCostlyHash,
		phc("m=19456,t=1,p=5", salt, key):                errCostlyHash,
		phc("m=19456,t=1,p=257", salt, key):              errCostlyHash, // 1 in eight bits
		phc("m=31,t=1,p=4", salt, key):                   errCostlyHash, // RFC 9106 §3.1: at least 8p
		phc("m=999999999,t=1,p=1", salt, key):            errCostlyHash,
		phc("m=19456,t=999999999,p=1", salt, key):        errCostlyHash,
		phc("m=19456,t=2,p=1", unpadded(7), key):         errCostlyHash,
		phc("m=19456,t=2,p=1", unpadded(65), key):        errCostlyHash,
		phc("m=19456,t=2,p=1", salt, unpadded(15)):       errCostlyHash,
		phc("m=19456,t=2,p=1", salt, unpadded(65)):       errCostlyHash,
		phc("m=19456,t=2,p=1", salt, unpadded(1<<20)):    errCostlyHash,
		"$2b$15$" + strings.Repeat("a", 53):              errCostlyHash,
		"$2b$31$" + strings.Repeat("a", 53):              errCostlyHash,
		"$2b$99$" + strings.Repeat("a", 53):              errCostlyHash,
		"$2b$03$" + strings.Repeat("a", 53):              errCostlyHash,
		phc("m=1000000000,t=1,p=1", salt, key):           errUnreadableHash,
		phc("m=18446744073709570912,t=2,p=1", salt, key): errUnreadableHash, // 19296 in 64 bits
	} {
		_, err := parseHash(hash)
		assert.Equal(t, want, err, "%.80s", hash)
	}
}

func TestAHashHasExactlyOneSpelling(t *testing.T) {
	const cost = "m=19456,t=2,p=1"
	salt, key := unpadded(saltLength), unpadded(keyLength)
	valid := phc(cost, salt, key)
	_, err := parseHash(valid)
	require.NoError(t, err)
	for _, hash := range []string{
		"hunter2", " ", "$", valid + "\n", valid + "$", " " + valid, valid + "=", "\x00" + valid,
		strings.Replace(valid, "argon2id", "argon2i", 1), strings.Replace(valid, "argon2id", "argon2d", 1),
		strings.Replace(valid, "v=19", "v=16", 1), strings.Replace(valid, "$v=19", "", 1),
		phc("m=019456,t=2,p=1", salt, key), phc("m=+19456,t=2,p=1", salt, key), phc("m=-1,t=2,p=1", salt, key),
		phc("m=0,t=2,p=1", salt, key), phc("m=19456,t=0,p=1", salt, key), phc("m=19456,t=2,p=0", salt, key),
		phc("t=2,m=19456,p=1", salt, key), phc("m=19456,t=2", salt, key), phc("m=19456,t=2,p=1,keyid=x", salt, key),
		phc(cost, salt+"==", key), phc(cost, "", key), phc(cost, salt, ""), phc(cost, salt[:5]+"\n"+salt[5:], key),
		phc(cost, salt[:len(salt)-1]+"B", key), phc(cost, salt, key[:len(key)-1]+"B"), phc(cost, "_"+salt[1:], key),
		phc(cost, salt[:1], key),
		"$2x$12$" + strings.Repeat("a", 53), "$2$12$" + strings.Repeat("a", 53), "$2b$12$" + strings.Repeat("a", 52),
		"$2b$12$" + strings.Repeat("a", 54), "$2b$1$" + strings.Repeat("a", 54), "$2b$12$" + strings.Repeat("=", 53),
	} {
		_, err := parseHash(hash)
		assert.Equal(t, errUnreadableHash, err, "%q", hash)
	}
}

func FuzzParsePHC(f *testing.F) {
	f.Add(argon2idOfPassword)
	f.Add(phc("m=19456,t=2,p=1", unpadded(saltLength), unpadded(keyLength)))
	f.Add("$2b$12$" + strings.Repeat("a", 53))
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parseArgon2id(s)
		if err != nil {
			return
		}
		require.Equal(t, s, h.String(), "a hash has two spellings")
		require.LessOrEqual(t, h.cost.memory, uint32(64*1024))
		require.LessOrEqual(t, h.cost.time, uint32(5))
		require.LessOrEqual(t, h.cost.threads, uint8(4))
	})
}
