package session

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

// Auth is how to sign in to Snowflake. Exactly one of TokenPath, Password, PrivateKey and PAT is set. All
// but TokenPath need User.
type Auth struct {
	// TokenPath is the file of an OAuth token. It is read at each login, because the platform replaces the
	// token while the service runs.
	TokenPath string

	User       string
	Password   string
	PrivateKey *rsa.PrivateKey // the user has its public half
	PAT        string          // programmatic access token
}

// prepare sets what is the same for every login.
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

// readToken sets the token for one login, if it comes from a file.
func (a Auth) readToken(c *sf.Config) (err error) {
	if a.TokenPath != "" {
		c.Token, err = a.tokenInFile()
	}
	return err
}

func (a Auth) tokenInFile() (string, error) {
	// The driver can read the file too, but it sends a trailing newline.
	content, err := os.ReadFile(a.TokenPath)
	if err != nil {
		return "", fmt.Errorf("the OAuth token: %w", err)
	}
	token := strings.TrimSpace(string(content))
	if token == "" {
		return "", fmt.Errorf("the OAuth token: %s is empty", a.TokenPath)
	}
	return token, nil
}

// ParsePrivateKey reads an unencrypted RSA key in PEM, PKCS #8 (RFC 5958). Line breaks may be the two characters
// \n, as tools write them that allow one line only. Its errors show no part of the key.
func ParsePrivateKey(text string) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(strings.ReplaceAll(text, `\n`, "\n")))
	switch {
	case block == nil && strings.Contains(text, "-----BEGIN"):
		return nil, errors.New("is damaged: keep the lines of the key's file, or write each line break as \\n")
	case block == nil:
		return nil, errors.New("is not PEM: it must begin with -----BEGIN PRIVATE KEY-----")
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
