package httpapi

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	json "github.com/go-json-experiment/json"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func FuzzDecodeJSON(f *testing.F) {
	for _, text := range []string{
		`{"title":"x"}`, `{"title":"x","title":"y"}`, `{"title":"x","TITLE":""}`, `{}{}`, `[1,-0.0,1e308,true,null]`, `"\ud83d\ude00"`, `"\ud83d"`, "\"\xff\"", "\ufeff{}", `1e400`,
		strings.Repeat("[", 10001), `{"a":{"a":{"":0}}}`, "",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		value, err := decodeJSON(raw)
		if err != nil {
			assert.Equal(t, http.StatusBadRequest, problemOf(err).Status)
			return
		}
		require.True(t, utf8.Valid(raw))
		text, err := json.Marshal(value)
		require.NoError(t, err)
		again, err := decodeJSON(text)
		require.NoError(t, err)
		assert.Equal(t, value, again)
	})
}

func FuzzDecodeForm(f *testing.F) {
	for _, text := range []string{"", "username=a&password=b", "username=a&username=b", "a=%zz", "a=%ff", "a;b", "=", "&&", "a+b=c+d", "grant_type=", "a=%00"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		value, err := decodeForm(raw)
		if err != nil {
			assert.Equal(t, http.StatusBadRequest, problemOf(err).Status)
			return
		}
		fields := value.(map[string]any)
		assert.LessOrEqual(t, len(fields), strings.Count(string(raw), "&")+1)
		for name, field := range fields {
			assert.True(t, utf8.ValidString(name))
			assert.True(t, utf8.ValidString(field.(string)))
			assert.NotEmpty(t, field, "an empty field is omitted")
		}
	})
}

// FuzzBody checks that no body causes a 500, and that only bodies which the document allows reach the use
// case, which panics here.
func FuzzBody(f *testing.F) {
	for _, text := range []string{`{"title":""}`, `{"title":7}`, `{"title":null,"description":[]}`, `{"Title":"x"}`, `{"title":"\u0000"}`, `null`, `[{}]`, `{"title":"x"`} {
		f.Add([]byte(text))
	}
	s, _ := newServer(f, useCases{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		w := send(s, "POST", "/api/v1/items/", strings.NewReader(string(raw)))
		var item struct {
			Title       string  `json:"title"`
			Description *string `json:"description,omitempty"`
		}
		allowed := json.Unmarshal(raw, &item, json.RejectUnknownMembers(true)) == nil &&
			item.Title != "" && utf8.RuneCountInString(item.Title) <= 255 && !strings.Contains(item.Title, "\x00") &&
			(item.Description == nil || utf8.RuneCountInString(*item.Description) <= 5000 && !strings.Contains(*item.Description, "\x00"))
		if !allowed {
			assert.Contains(t, []int{http.StatusBadRequest, http.StatusUnprocessableEntity}, w.Code, w.Body)
		}
	})
}

func TestABodyThatEndsEarlyIsMalformed(t *testing.T) {
	s, logs := newServer(t, useCases{})
	w := send(s, "POST", "/api/v1/items/", iotest.ErrReader(errors.New("connection reset by peer")))
	assert.Equal(t, http.StatusBadRequest, w.Code)
	assert.NotContains(t, problem(t, w).Detail, "reset")
	require.Equal(t, 1, logs.Len())
}

func TestAReplyNamesEachFaultyFieldOnce(t *testing.T) {
	s, _ := newServer(t, useCases{})
	for name, tt := range map[string]struct {
		method, path, body string
		want               []string
	}{
		"with a rule of its own": {"POST", "/api/v1/users/", `{"email":"` + strings.Repeat("x", 300) + `","password":"short"}`,
			[]string{"body.email", "body.password"}},
		"that the operation does not know": {"PATCH", "/api/v1/users/me", `{"password":"short"}`, []string{"body.password"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := send(s, tt.method, tt.path, strings.NewReader(tt.body))
			assert.Equal(t, http.StatusUnprocessableEntity, w.Code)
			require.NotNil(t, problem(t, w).Errors)
			var locations []string
			for _, fault := range *problem(t, w).Errors {
				locations = append(locations, fault.Location)
				assert.NotEmpty(t, fault.Message)
			}
			assert.ElementsMatch(t, tt.want, locations)
		})
	}
}
