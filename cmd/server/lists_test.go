package main

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// titles returns the titles of the rows of a page.
func (r reply) titles() []string {
	r.t.Helper()
	titles := []string{}
	for _, row := range r.is(http.StatusOK).rows() {
		titles = append(titles, row["title"].(string))
	}
	return titles
}

// newItems creates items with the titles 1 to n and returns their paths.
func (c client) newItems(n int) []string {
	c.t.Helper()
	var paths []string
	for i := range n {
		paths = append(paths, c.newItem(fmt.Sprint(i+1)))
	}
	return paths
}

func TestAListBeginsWithTheNewest(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	empty := admin.request("GET", "/items/", nil).is(http.StatusOK)
	assert.JSONEq(t, `{"data":[],"count":0,"next_cursor":null}`, string(empty.body))

	admin.newItems(5)
	all := admin.request("GET", "/items/", nil)
	assert.Equal(t, []string{"5", "4", "3", "2", "1"}, all.titles())
	assert.Equal(t, 5.0, all.field("count"))
	assert.Nil(t, all.field("next_cursor"))
	for query, titles := range map[string][]string{
		"skip=0&limit=2": {"5", "4"}, "skip=2&limit=2": {"3", "2"}, "skip=4": {"1"}, "limit=5": {"5", "4", "3", "2", "1"}, "limit=1000&skip=3": {"2", "1"},
		"skip=5": {}, "skip=2147483647": {}, "sort=title&Limit=1&LIMIT=x&skip[]=1&limit%20=1": {"5", "4", "3", "2", "1"}, // unknown parameters are ignored
	} {
		page := admin.request("GET", "/items/?"+query, nil)
		assert.Equal(t, titles, page.titles(), query)
		assert.Equal(t, 5.0, page.field("count"), query)
	}
	for query, count := range map[string]any{"count=false": nil, "count=true": 5.0, "": 5.0} {
		assert.Equal(t, count, admin.request("GET", "/items/?"+query, nil).is(http.StatusOK).field("count"), query)
	}
}

func TestAListHasAHundredRowsByDefault(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	admin.newItems(101)
	assert.Len(t, admin.request("GET", "/items/", nil).is(http.StatusOK).rows(), 100)
	assert.Len(t, admin.request("GET", "/items/?limit=1000", nil).is(http.StatusOK).rows(), 101)
}

func TestAListOfItemsHasOnlyTheOwnOnesEvenForASuperuser(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	ann, _ := admin.newAccount("ann@example.com")
	ann.newItems(2)
	item := admin.newItem("admin's")
	assert.Equal(t, []string{"admin's"}, admin.request("GET", "/items/", nil).titles())
	assert.Equal(t, []string{"2", "1"}, ann.request("GET", "/items/", nil).titles())
	ann.request("GET", item, nil).refused(http.StatusNotFound, "not_found")
}

func TestAListRefusesInvalidParameters(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	for _, list := range []string{"/items/", "/users/", "/items"} {
		for query, faults := range map[string][]string{
			"skip=-1": {"query.skip"}, "skip=2147483648": {"query.skip"}, "skip=99999999999999999999": {"query.skip"}, "skip=x": {"query.skip"},
			"skip=1.5": {"query.skip"}, "skip=1e3": {"query.skip"}, "skip=": {"query.skip"}, "skip=%20": {"query.skip"}, "skip=null": {"query.skip"},
			"limit=0": {"query.limit"}, "limit=1001": {"query.limit"}, "limit=-1": {"query.limit"}, "limit=%00": {"query.limit"}, "limit=0x10": {"query.limit"},
			"count=perhaps": {"query.count"}, "count=": {"query.count"}, "count=2": {"query.count"},
			"limit=1&limit=1": {"query.limit"}, "count=true&count=false": {"query.count"}, "cursor=a&cursor=a": {"query.cursor"},
			"limit=0&skip=-1&count=x": {"query.limit", "query.skip", "query.count"},
			"cursor=x":                {"query.cursor"}, "cursor=%F0%9F%98%80": {"query.cursor"},
		} {
			admin.request("GET", list+"?"+query, nil).faulted(faults...)
		}
		for _, query := range []string{"%", "%zz", "limit=%4", "a;b", "limit=1;skip=2"} {
			admin.request("GET", list+"?"+query, nil).refused(http.StatusBadRequest, "malformed")
		}
	}
}

func TestAFaultNamesTheLimitInPlainDigits(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	for query, message := range map[string]string{
		"skip=-1":         "must be at least 0",
		"skip=2147483648": "must be at most 2147483647",
		"limit=1001":      "must be at most 1000",
	} {
		r := admin.request("GET", "/items/?"+query, nil).is(http.StatusUnprocessableEntity)
		assert.Contains(t, string(r.body), `"message":"`+message+`"`)
	}
}

func TestACursorNeitherRepeatsNorMissesRowsDuringChanges(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	items := admin.newItems(7)
	var seen []string
	page := admin.request("GET", "/items/?limit=3", nil)
	require.Equal(t, []string{"7", "6", "5"}, page.titles())
	for page.field("next_cursor") != nil {
		seen = append(seen, page.titles()...)
		admin.newItem("new")                                                 // before all of them
		admin.request("DELETE", items[7-len(seen)], nil).is(204)             // the row at the cursor
		admin.request("PATCH", items[0], fields{"description": "x"}).is(200) // a change does not move a row
		page = admin.request("GET", "/items/?count=false&limit=3&cursor="+page.text("next_cursor"), nil)
		require.Nil(t, page.field("count"))
	}
	seen = append(seen, page.titles()...)
	assert.Equal(t, []string{"7", "6", "5", "4", "3", "2", "1"}, seen)
}

func TestACursorIsValidOnlyForTheListThatMadeIt(t *testing.T) {
	t.Parallel()
	r := newService(t)
	admin := r.admin(t)
	admin.newItems(2)
	admin.newAccount("ann@example.com")
	items := admin.request("GET", "/items/?limit=1", nil).is(http.StatusOK).text("next_cursor")
	users := admin.request("GET", "/users/?limit=1", nil).is(http.StatusOK).text("next_cursor")
	assert.Equal(t, []string{"1"}, admin.request("GET", "/items/?cursor="+items, nil).titles())
	assert.Len(t, admin.request("GET", "/users/?cursor="+users, nil).is(http.StatusOK).rows(), 1)

	admin.request("GET", "/items/?cursor="+users, nil).faulted("query.cursor")
	admin.request("GET", "/users/?cursor="+items, nil).faulted("query.cursor")
	admin.request("GET", "/items/?skip=1&cursor="+items, nil).faulted("query.cursor")
	for i := range items {
		other := "A"
		if items[i:i+1] == other {
			other = "B"
		}
		admin.request("GET", "/items/?cursor="+items[:i]+other+items[i+1:], nil).faulted("query.cursor")
	}
	raw, err := base64.RawURLEncoding.DecodeString(items)
	require.NoError(t, err)
	for _, tampered := range []string{
		items + "A", items[1:], items + "=", items + "%0A", strings.ToLower(items), base64.RawURLEncoding.EncodeToString(slices.Concat(raw, raw)), "null", "0",
	} {
		admin.request("GET", "/items/?cursor="+tampered, nil).faulted("query.cursor")
	}
}

func TestSendingADocumentedDefaultChangesNothing(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	admin.newItems(3)
	cursor := admin.request("GET", "/items/?limit=1", nil).is(http.StatusOK).text("next_cursor")
	for _, list := range operations() {
		defaults := url.Values{}
		for _, p := range list.Parameters {
			if value := p.Value.Schema.Value.Default; value != nil {
				defaults.Set(p.Value.Name, fmt.Sprint(value))
			}
		}
		if list.OperationID != "listItems" {
			continue
		}
		require.Len(t, defaults, 3, "skip, limit and count have a default")
		for _, sent := range []url.Values{{}, {"cursor": {cursor}}, {"cursor": {""}}} {
			plain := admin.request("GET", "/items/?"+sent.Encode(), nil).is(http.StatusOK)
			maps.Copy(sent, defaults)
			assert.Equal(t, string(plain.body), string(admin.request("GET", "/items/?"+sent.Encode(), nil).is(http.StatusOK).body), sent)
		}
	}
	with := admin.request("POST", "/users/", fields{"email": "a@example.com", "password": goodPassword, "is_active": true, "is_superuser": false, "full_name": nil}).is(http.StatusCreated)
	without := admin.request("POST", "/users/", fields{"email": "b@example.com", "password": goodPassword}).is(http.StatusCreated)
	for _, field := range []string{"is_active", "is_superuser", "full_name"} {
		assert.Equal(t, without.field(field), with.field(field), field)
	}
}
