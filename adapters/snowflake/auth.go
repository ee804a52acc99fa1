package snowflake

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"

	sf "github.com/snowflakedb/gosnowflake/v2"
)

// Auth is how to sign in to Snowflake. Exactly one of TokenPath, Password, PrivateKey and PAT is
// set; User is needed beside all but TokenPath.
type Auth struct {
	// TokenPath names the file of an OAuth token, which is read anew at each login, for the platform
	// replaces it while the service runs.
	TokenPath string

	User       string
	Password   string
	PrivateKey *rsa.PrivateKey // whose public half the user has
	PAT        string          // programmatic access token
}

// prepare enters what stays the same for every login.
func (a Auth) prepare(c *sf.Config) {
	c.User, c.Password = a.User, a.Password
	switch {
	case a.TokenPath != "":
		c.Authenticator = sf.AuthTypeOAuth
	case a.PrivateKey != nil:
		c.Authenticator, c.PrivateKey = sf.AuthTypeJwt, a.PrivateKey
	case a.PAT != "":
		c.Authenticator, c.Token = sf.AuthTypePat, a.PAT
	default:
		c.Authenticator = sf.AuthTypeSnowflake
	}
}

// current enters what a login needs of its moment.
func (a Auth) current(c *sf.Config) error {
	if a.TokenPath == "" {
		return nil
	}
	// The driver could read the file itself, but would send a trailing newline along.
	token, err := os.ReadFile(a.TokenPath)
	if err != nil {
		return fmt.Errorf("the OAuth token: %w", err)
	}
	if c.Token = strings.TrimSpace(string(token)); c.Token == "" {
		return fmt.Errorf("the OAuth token: %s is empty", a.TokenPath)
	}
	return nil
}

// ParsePrivateKey reads an RSA key in PEM, PKCS #8 (RFC 5958), not encrypted. No error shows any of
// it.
func ParsePrivateKey(text string) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("is not PEM: it has to begin with -----BEGIN PRIVATE KEY-----")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("is not an unencrypted PKCS #8 key: convert it with openssl pkcs8 -topk8 -nocrypt")
	}
	rsaKey, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("is not an RSA key: Snowflake accepts no other")
	}
	return rsaKey, nil
}
