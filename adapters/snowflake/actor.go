package snowflake

import (
	"database/sql"
	"fmt"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// The one thing that this adapter decides about an actor: it exists, is active and has that Epoch.
// A read selects what me holds beside its result and leaves the decision to seen.admit; a write
// carries the condition signedIn, which it touches no row without.
const (
	withMe   = "WITH me AS (SELECT epoch, is_active FROM users WHERE id = ?)"
	signedIn = "EXISTS (SELECT 1 FROM users WHERE id = ? AND is_active AND epoch = ?)"
)

// asArgs are the values for signedIn.
func asArgs(by domain.Actor) []any { return []any{by.ID, by.Epoch} }

// seen is what a read found of the actor.
type seen struct {
	found  bool
	epoch  int64
	active sql.NullBool
}

// Under READ_CONSISTENCY_MODE = SESSION a session may read the past, and a new one sees the present.
var (
	// A token is issued under an Epoch that was committed: who reads an earlier one reads the past.
	errEarlierEpoch = fmt.Errorf("%w: the session sees an earlier epoch than the token's", domain.ErrSignedOut)
	// An account that is not there was deleted, or is too new for this session.
	errNotSeen = fmt.Errorf("%w: the session does not see the account", domain.ErrSignedOut)
)

func (s seen) admit(by domain.Actor) error {
	switch {
	case !s.found:
		return errNotSeen
	case s.epoch < by.Epoch:
		return errEarlierEpoch
	case s.epoch > by.Epoch || !s.active.Bool:
		return domain.ErrSignedOut
	}
	return nil
}
