package httpapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
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

		"192.0.2.7:61234":           "192.0.2.7",
		"[2001:db8:1:2:3::4]:61234": "2001:db8:1:2::/64",
		"ANN":                       "ANN",
		"a name: with a colon":      "a name: with a colon",
	} {
		assert.Equal(t, want, network(ip), ip)
	}
}

// listedBy keeps the actor who lists items.
type listedBy struct {
	ports.Items
	actor *domain.Actor
}

func (l listedBy) List(_ context.Context, by domain.Actor, _ domain.PageRequest) (domain.Page[domain.Item], error) {
	*l.actor = by
	return domain.Page[domain.Item]{}, nil
}

func TestTheSourceIsTheClientThatATrustedGatewayNames(t *testing.T) {
	const name, list, address = "Sf-Context-Current-User", "X-Forwarded-For", "192.0.2.1"
	for promise, tt := range map[string]struct {
		trusted string
		hops    int
		sent    []string // lines of the header
		want    string   // empty: the request is malformed
	}{
		"a name counts as a whole":                      {name, 0, []string{"ANN, BOB"}, "ANN, BOB"},
		"without the header the address counts":         {name, 0, nil, address},
		"an empty name is none":                         {name, 0, []string{""}, address},
		"a name that is too long is ignored":            {name, 0, []string{strings.Repeat("A", 256)}, address},
		"a name of the longest length counts":           {name, 0, []string{strings.Repeat("A", 255)}, strings.Repeat("A", 255)},
		"two lines of a name are malformed":             {name, 0, []string{"ANN", "BOB"}, ""},
		"two equal lines of a name are malformed":       {name, 0, []string{"ANN", "ANN"}, ""},
		"an address of IPv6 counts with its network":    {name, 0, []string{"2001:db8::1"}, "2001:db8::/64"},
		"without a gateway the header is not trusted":   {"", 0, []string{"ANN"}, address},
		"the last value of a list counts for one proxy": {list, 1, []string{"1.1.1.1, 2.2.2.2,3.3.3.3 "}, "3.3.3.3"},
		"the second from the end counts for two":        {list, 2, []string{"1.1.1.1, 2.2.2.2,3.3.3.3 "}, "2.2.2.2"},
		"the first may be the one that counts":          {list, 3, []string{"1.1.1.1, 2.2.2.2,3.3.3.3 "}, "1.1.1.1"},
		"lines are parts of one list":                   {list, 2, []string{"1.1.1.1, 2.2.2.2", "3.3.3.3"}, "2.2.2.2"},
		"the values of a client do not count":           {list, 1, []string{"\"1.1.1.1", ",,, 3.3.3.3"}, "3.3.3.3"},
		"a list that is too short is ignored":           {list, 4, []string{"1.1.1.1, 2.2.2.2,3.3.3.3"}, address},
		"a list that is missing is ignored":             {list, 1, nil, address},
		"a value that is empty is ignored":              {list, 1, []string{"1.1.1.1, "}, address},
		"a port does not make another source":           {list, 1, []string{"3.3.3.3:61234"}, "3.3.3.3"},
	} {
		t.Run(promise, func(t *testing.T) {
			var source string
			s, _ := newServer(t, useCases{signIn: func(_, _ string, from domain.Requester) (domain.Grant, error) {
				source = from.Source
				return domain.Grant{}, domain.ErrBadCredentials
			}})
			s.SourceHeader, s.SourceHops = tt.trusted, tt.hops
			request := func(method, target, body string) *http.Request {
				r := httptest.NewRequest(method, target, strings.NewReader(body))
				r.Header[name], r.Header[list] = tt.sent, tt.sent
				return r
			}
			login := request("POST", "/api/v1/auth/login", "username=a&password=b")
			login.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			w := httptest.NewRecorder()
			s.ServeHTTP(w, login)
			assert.Equal(t, tt.want, source)

			var actor domain.Actor
			s.Items = listedBy{actor: &actor}
			authenticated := request("GET", "/api/v1/items/", "")
			authenticated.Header.Set("Authorization", "Bearer good")
			again := httptest.NewRecorder()
			s.ServeHTTP(again, authenticated)
			assert.Equal(t, tt.want, actor.Source)
			if tt.want == "" {
				assert.Equal(t, http.StatusBadRequest, w.Code)
				assert.Equal(t, "the header "+name+" must be given only once", problem(t, again).Detail)
			}
		})
	}
}

func TestWhatNetHTTPReportsIsAWarning(t *testing.T) {
	s, logs := newServer(t, useCases{})
	s.HTTPServer().ErrorLog.Print("http: Accept error: too many open files")
	require.Equal(t, 1, logs.Len())
	assert.Equal(t, zap.WarnLevel, logs.All()[0].Level)
}
