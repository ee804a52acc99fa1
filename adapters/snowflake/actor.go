package snowflake

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// The one thing that this adapter decides about an actor: it exists, is active and has that Epoch.
// A read selects what me holds beside its result and leaves the decision to admit; a write
// carries the condition signedIn, which it touches no row without.
const (
	withMe   = "WITH me AS (SELECT epoch, is_active FROM users WHERE id = ?)"
	signedIn = "EXISTS (SELECT 1 FROM users WHERE id = ? AND is_active AND epoch = ?)"
)

// asArgs are the values for signedIn.
func asArgs(by domain.Actor) []any { return []any{by.ID, by.Epoch} }

// Under READ_CONSISTENCY_MODE = SESSION a session may read the past, and a new one sees the present.
var (
	// A token is issued under an Epoch that was committed: who reads an earlier one reads the past.
	errEarlierEpoch = fmt.Errorf("%w: the session sees an earlier epoch than the token's", domain.ErrSignedOut)
	// An account that is not there was deleted, or is too new for this session.
	errNotSeen = fmt.Errorf("%w: the session does not see the account", domain.ErrSignedOut)
)

// queryAs is query for a statement that selects the columns of me first; row sees those behind them.
// Errors: those of admit, too.
func queryAs(ctx context.Context, q querier, by domain.Actor, st statement, row func(scan func(...any) error) error) error {
	var found bool
	var epoch int64
	var active sql.NullBool
	err := query(ctx, q, st, func(scan func(...any) error) error {
		found = true
		return row(func(behind ...any) error { return scan(append([]any{&epoch, &active}, behind...)...) })
	})
	if err != nil {
		return err
	}
	return admit(by, found, epoch, active.Bool)
}

// admit decides by what a read found of the actor.
func admit(by domain.Actor, found bool, epoch int64, active bool) error {
	switch {
	case !found:
		return errNotSeen
	case epoch < by.Epoch:
		return errEarlierEpoch
	case epoch > by.Epoch || !active:
		return domain.ErrSignedOut
	}
	return nil
}
