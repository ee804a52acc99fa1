package snowflake

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/sqltable"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// Fault is what makes rows unfit for a store that enforces keys. The service shows none of these rows, or only one of
// several.
type Fault struct {
	What  string   // such as "items without an owner"
	Total int      // how many ids have the fault
	IDs   []string // the first of them, in their order
}

// MaxFaultIDs is how many ids a Fault lists.
const MaxFaultIDs = 20

// faultQueries define, for each kind of Fault, the ids that are found.
var faultQueries = []struct{ what, found string }{
	{"accounts with the id of another account", `
		found AS (SELECT id FROM users GROUP BY id HAVING COUNT(*) > 1)`},
	{"accounts with the e-mail of another account", `
		shared AS (SELECT email FROM users GROUP BY email HAVING COUNT(*) > 1),
		found AS (SELECT id FROM users WHERE email IN (SELECT email FROM shared))`},
	{"accounts with an e-mail that is not in lower case", `
		found AS (SELECT id FROM users WHERE email <> LOWER(email))`},
	{"accounts with the user in Snowflake of another account", `
		shared AS (SELECT snowflake_user FROM users GROUP BY snowflake_user HAVING COUNT(*) > 1),
		found AS (SELECT id FROM users WHERE snowflake_user IN (SELECT snowflake_user FROM shared))`},
	{"items with the id of another item", `
		found AS (SELECT id FROM items GROUP BY id HAVING COUNT(*) > 1)`},
	{"items without an owner", `
		found AS (SELECT i.id AS id FROM items i LEFT JOIN users o ON o.id = i.owner_id WHERE o.id IS NULL)`},
	{"sessions with the id of another session", `
		found AS (SELECT id FROM sessions GROUP BY id HAVING COUNT(*) > 1)`},
	{"clients with the id of another client", `
		found AS (SELECT id FROM clients GROUP BY id HAVING COUNT(*) > 1)`},
}

// Faults returns the kinds of faults that the tables have.
func (s *Store) Faults(ctx context.Context) ([]Fault, error) {
	var faults []Fault
	for _, q := range faultQueries {
		st := session.Statement{
			SQL: "WITH" + q.found + `
				SELECT (SELECT COUNT(*) FROM found) AS total, id
				FROM found
				ORDER BY id
				LIMIT ` + fmt.Sprint(MaxFaultIDs),
		}
		fault, err := session.Read(ctx, s.db, func(ctx context.Context, c session.Conn) (Fault, error) {
			f := Fault{What: q.what}
			err := c.Query(ctx, st, func(scan func(...any) error) error {
				var id string
				err := scan(&f.Total, &id)
				f.IDs = append(f.IDs, id)
				return err
			})
			return f, err
		})
		if err != nil {
			return nil, err
		}
		if fault.Total > 0 {
			faults = append(faults, fault)
		}
	}
	return faults, nil
}

// FirstSuperuserAt returns when the first superuser was created, if there ever was one.
func (s *Store) FirstSuperuserAt(ctx context.Context) (domain.Optional[time.Time], error) {
	had, err := s.HadFirstSuperuser(ctx)
	if err != nil || !had {
		return domain.Optional[time.Time]{}, err
	}
	at, err := session.Read(ctx, s.db, func(ctx context.Context, c session.Conn) (at time.Time, err error) {
		st := session.Statement{SQL: "SELECT bootstrapped_at\nFROM account_lock"}
		err = c.Query(ctx, st, func(scan func(...any) error) error { return scan(&at) })
		return at, err
	})
	return domain.Some(at.UTC()), err
}

// Part is some rows of a table.
type Part[E any] struct {
	Rows []E
	// Refused says of each row that cannot be an E which row it is and why. It quotes no other value.
	Refused []error
}

// ExportUsers calls each with all accounts in the order of their ids, some thousands at a time.
func (s *Store) ExportUsers(ctx context.Context, each func(Part[domain.User]) error) error {
	return export(ctx, s, users, "", each)
}

// ExportItems calls each with all items in the order of their ids, some thousands at a time. It includes items without
// an owner.
func (s *Store) ExportItems(ctx context.Context, each func(Part[domain.Item]) error) error {
	return export(ctx, s, items, "", each)
}

// ExportSessions calls each with the sessions that have the epoch of their account, in the order of their ids, some
// thousands at a time. All others have ended.
func (s *Store) ExportSessions(ctx context.Context, each func(Part[domain.Session]) error) error {
	return export(ctx, s, sessions, joinEpoch, each)
}

// ExportClients is ExportSessions for clients.
func (s *Store) ExportClients(ctx context.Context, each func(Part[domain.Client]) error) error {
	return export(ctx, s, clients, joinEpoch, each)
}

const joinEpoch = "JOIN users o ON o.id = t.owner_id AND o.epoch = t.epoch\n"

// exportRows is how many rows a statement reads. With the longest texts, an item has 20 KB.
const exportRows = 2000

// export calls each with the rows that join, which may be empty, keeps.
func export[E any](ctx context.Context, s *Store, t table[E], join string, each func(Part[E]) error) error {
	after, args := "", []any(nil)
	for {
		st := session.Statement{
			SQL: "SELECT t.id AS id, " + t.List("t") + "\nFROM " + t.Name + " t\n" + join + after +
				"ORDER BY t.id\nLIMIT " + fmt.Sprint(exportRows),
			Args: args,
		}
		var id sql.NullString
		row := t.NewRow(&id)
		part, err := session.Read(ctx, s.db, func(ctx context.Context, c session.Conn) (p Part[E], err error) {
			err = c.Query(ctx, st, func(scan func(...any) error) error { return p.add(t, row, &id, scan) })
			return p, err
		})
		if err != nil {
			return err
		}
		if err := each(part); err != nil {
			return err
		}
		if len(part.Rows)+len(part.Refused) < exportRows {
			return nil
		}
		after, args = "WHERE t.id > ?\n", []any{id.String}
	}
}

// add reads a row, whose first value is id, and adds it. It returns no error because of a value.
func (p *Part[E]) add(t table[E], row *sqltable.Row[E], id *sql.NullString, scan func(...any) error) error {
	*id = sql.NullString{}
	e, _, err := row.Scan(scan)
	if !id.Valid {
		return err // nothing was read
	}
	for i, v := range t.Values(e) {
		if text, ok := v.(string); ok && err == nil && strings.ContainsRune(text, 0) {
			err = fmt.Errorf("column %s of the row %q of table %s: must not contain the character NUL",
				t.Columns[i].Name, id.String, t.Name)
		}
	}
	if err == nil {
		p.Rows = append(p.Rows, e)
		return nil
	}
	if plain := errors.Unwrap(err); plain != nil && strings.HasPrefix(err.Error(), "sql: Scan error") {
		err = plain // database/sql only adds the place of the column in the statement
	}
	p.Refused = append(p.Refused, err)
	return nil
}
