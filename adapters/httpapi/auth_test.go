package httpapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

func TestEitherHeaderCanCarryTheBearerToken(t *testing.T) {
	twoTokens := malformed("the request carries two different bearer tokens")
	for name, c := range map[string]struct {
		authorization, xAuthorization []string
		token                         string
		err                           error
	}{
		"in no header":                 {nil, nil, "", errNoToken},
		"in Authorization":             {[]string{"Bearer t"}, nil, "t", nil},
		"in X-Authorization":           {nil, []string{"Bearer t"}, "t", nil},
		"in any letter case":           {[]string{"bEARER t"}, nil, "t", nil},
		"after blanks":                 {[]string{"Bearer   t "}, nil, "t", nil},
		"next to another scheme":       {[]string{"Basic YTpi"}, []string{"Bearer t"}, "t", nil},
		"after another scheme":         {[]string{"Basic YTpi", "Bearer t"}, nil, "t", nil},
		"before another scheme":        {[]string{"Bearer t"}, []string{"Basic YTpi"}, "t", nil},
		"twice, equal":                 {[]string{"Bearer t", "Bearer t"}, nil, "t", nil},
		"in both":                      {[]string{"Bearer t"}, []string{"Bearer t"}, "t", nil},
		"twice, different":             {[]string{"Bearer t", "Bearer u"}, nil, "", twoTokens},
		"different in two headers":     {[]string{"Bearer t"}, []string{"Bearer u"}, "", twoTokens},
		"different in letter case":     {[]string{"Bearer t"}, []string{"Bearer T"}, "", twoTokens},
		"without its scheme":           {[]string{"t"}, nil, "", errNoToken},
		"as the scheme alone":          {[]string{"Bearer"}, []string{"Bearer  "}, "", errNoToken},
		"of another scheme":            {[]string{"Basic t"}, []string{"Negotiate t"}, "", errNoToken},
		"of a scheme with that prefix": {[]string{"Bearerx t", "Bearer\tt"}, nil, "", errNoToken},
		"empty":                        {[]string{""}, []string{""}, "", errNoToken},
	} {
		t.Run(name, func(t *testing.T) {
			var verified string
			s, _ := newServer(t, useCases{authenticate: func(token string) (domain.Actor, error) {
				verified = token
				return domain.Actor{ID: "an account"}, nil
			}})
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header["Authorization"], r.Header["X-Authorization"] = c.authorization, c.xAuthorization
			actor, err := s.authenticate(r)
			assert.Equal(t, c.token, verified)
			if c.err != nil {
				assert.Equal(t, c.err, err)
				assert.Zero(t, actor)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, "an account", actor.ID)
		})
	}
}

func TestAHandlerOutsideTheGuardGetsTheZeroActor(t *testing.T) {
	s, _ := newServer(t, useCases{})
	c := s.echo.NewContext(httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder())
	assert.Zero(t, actorOf(c), "every store refuses it")
}

func TestAttemptsCountPerIPv4AddressOrIPv6Network(t *testing.T) {
	for ip, want := range map[string]string{
		"192.0.2.7":           "192.0.2.7",
		"::ffff:192.0.2.7":    "::ffff:192.0.2.7",
		"2001:db8:1:2:3::4":   "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff::": "2001:db8:1:2::/64",
		"":                    "",
	} {
		assert.Equal(t, want, network(ip), ip)
	}
}

func TestAttemptsCountPerClientThatATrustedGatewayNames(t *testing.T) {
	const header, address = "Sf-Context-Current-User", "192.0.2.1"
	for name, tt := range map[string]struct{ trusted, sent, want string }{
		"the name from the gateway counts":            {header, "ANN", "ANN"},
		"a request without the header has an address": {header, "", address},
		"a name that is too long is ignored":          {header, strings.Repeat("A", 256), address},
		"without a gateway the header is not trusted": {"", "ANN", address},
	} {
		t.Run(name, func(t *testing.T) {
			var source string
			s, _ := newServer(t, useCases{signIn: func(_ context.Context, _, _, from string) (domain.Token, error) {
				source = from
				return domain.Token{}, domain.ErrBadCredentials
			}})
			s.SourceHeader = tt.trusted
			send(s, "POST", "/api/v1/auth/login", strings.NewReader("username=a&password=b"),
				"Content-Type", "application/x-www-form-urlencoded", header, tt.sent)
			assert.Equal(t, tt.want, source)
		})
	}
}
