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

func TestTheBearerTokenIsFoundInEitherHeader(t *testing.T) {
	two := malformed("the request carries two different bearer tokens")
	for name, c := range map[string]struct {
		authorization, xAuthorization []string
		token                         string
		err                           error
	}{
		"nowhere":                     {nil, nil, "", errNoToken},
		"in Authorization":            {[]string{"Bearer t"}, nil, "t", nil},
		"in X-Authorization":          {nil, []string{"Bearer t"}, "t", nil},
		"in any letter case":          {[]string{"bEARER t"}, nil, "t", nil},
		"after blanks":                {[]string{"Bearer   t "}, nil, "t", nil},
		"beside another scheme":       {[]string{"Basic YTpi"}, []string{"Bearer t"}, "t", nil},
		"behind another scheme":       {[]string{"Basic YTpi", "Bearer t"}, nil, "t", nil},
		"before another scheme":       {[]string{"Bearer t"}, []string{"Basic YTpi"}, "t", nil},
		"twice":                       {[]string{"Bearer t", "Bearer t"}, nil, "t", nil},
		"in both":                     {[]string{"Bearer t"}, []string{"Bearer t"}, "t", nil},
		"as two":                      {[]string{"Bearer t", "Bearer u"}, nil, "", two},
		"as two in two headers":       {[]string{"Bearer t"}, []string{"Bearer u"}, "", two},
		"as two in letter case":       {[]string{"Bearer t"}, []string{"Bearer T"}, "", two},
		"without its scheme":          {[]string{"t"}, nil, "", errNoToken},
		"as the scheme alone":         {[]string{"Bearer"}, []string{"Bearer  "}, "", errNoToken},
		"of another scheme":           {[]string{"Basic t"}, []string{"Negotiate t"}, "", errNoToken},
		"of a scheme that only looks": {[]string{"Bearerx t", "Bearer\tt"}, nil, "", errNoToken},
		"empty":                       {[]string{""}, []string{""}, "", errNoToken},
	} {
		t.Run(name, func(t *testing.T) {
			var asked string
			s, _ := serve(t, useCases{authenticate: func(token string) (domain.Actor, error) {
				asked = token
				return domain.Actor{ID: "somebody"}, nil
			}})
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header["Authorization"], r.Header["X-Authorization"] = c.authorization, c.xAuthorization
			actor, err := s.authenticate(r)
			assert.Equal(t, c.token, asked)
			if c.err != nil {
				assert.Equal(t, c.err, err)
				assert.Zero(t, actor)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, "somebody", actor.ID)
		})
	}
}

func TestWithoutTheGuardNobodyAsks(t *testing.T) {
	s, _ := serve(t, useCases{})
	c := s.echo.NewContext(httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder())
	assert.Zero(t, actorOf(c), "which every store refuses")
}

func TestAttemptsAreCountedByAddressAndOfIPv6ByNetwork(t *testing.T) {
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

func TestAttemptsAreCountedByWhomTheGatewayNamesWhereThereIsOne(t *testing.T) {
	const header, address = "Sf-Context-Current-User", "192.0.2.1"
	for name, tt := range map[string]struct{ trusted, sent, want string }{
		"a gateway's word counts":                {header, "ANN", "ANN"},
		"what did not come by it has an address": {header, "", address},
		"nothing has such a name":                {header, strings.Repeat("A", 256), address},
		"without a gateway anybody could say so": {"", "ANN", address},
	} {
		t.Run(name, func(t *testing.T) {
			var source string
			s, _ := serve(t, useCases{signIn: func(_ context.Context, _, _, from string) (domain.Token, error) {
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
