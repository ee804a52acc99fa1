package postgres

import (
	"context"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// cleanUpPart is how many rows a statement of a cleanup removes. It ends within the time limit of statements, so that
// a cleanup with many rows to remove makes progress.
const cleanUpPart = 10_000

// CleanUp implements [ports.CleanupStore]. It skips rows that others have locked, so that it waits for none and cannot
// deadlock. The next call finds these rows.
func (s *Store) CleanUp(ctx context.Context, now time.Time) error {
	for _, st := range []session.Statement{sessions.deleteEnded(now), deleteExcess, clients.deleteEnded(now)} {
		if err := s.deleteInParts(ctx, st); err != nil {
			return err
		}
	}
	return nil
}

// deleteInParts executes st, which deletes cleanUpPart rows at most, until it finds fewer.
func (s *Store) deleteInParts(ctx context.Context, st session.Statement) error {
	for more := true; more; {
		err := s.db.Write(ctx, func(ctx context.Context, c session.Conn) error {
			n, err := c.Exec(ctx, st)
			more = n == cleanUpPart
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// deleteEnded returns a DELETE of what does not work at that time. PostgreSQL executes the query of an ARRAY once; that
// of an IN could run for each row, and exceed its LIMIT.
func (t table[E]) deleteEnded(now time.Time) session.Statement {
	return session.Statement{
		SQL: `DELETE FROM ` + t.Name + `
			WHERE id = ANY (ARRAY(
				SELECT e.id
				FROM ` + t.Name + ` e
				JOIN users u ON u.id = e.owner_id
				WHERE e.expires_at <= ?
				OR NOT u.is_active
				OR u.epoch <> e.epoch
				LIMIT ?
				FOR UPDATE OF e SKIP LOCKED))`,
		Args: []any{now, cleanUpPart},
	}
}

// deleteExcess deletes all sessions of each account except the newest. Those that ended were deleted before.
var deleteExcess = session.Statement{
	SQL: `DELETE FROM sessions
		WHERE id = ANY (ARRAY(
			SELECT id
			FROM sessions
			WHERE id IN (
				SELECT older.id
				FROM (
					SELECT owner_id
					FROM sessions
					GROUP BY owner_id
					HAVING count(*) > ?) crowded
				CROSS JOIN LATERAL (
					SELECT id
					FROM sessions
					WHERE owner_id = crowded.owner_id
					ORDER BY created_at DESC, id DESC
					OFFSET ?) older)
			LIMIT ?
			FOR UPDATE SKIP LOCKED))`,
	Args: []any{domain.MaxSessions, domain.MaxSessions, cleanUpPart},
}
