package snowflake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// Examine checks what an operator decides in Snowflake: sign-in, role, clock, tables, grants, parameters of the
// account and warehouse. It changes nothing. If it cannot sign in, that is its only result.
func (s *Store) Examine(ctx context.Context) []ports.CheckResult {
	here, err := session.Read(ctx, s.db, readFacts)
	if err != nil {
		cure := "check SNOWFLAKE_ACCOUNT and SNOWFLAKE_HOST, and that a network policy or firewall lets this machine in"
		if errors.Is(err, session.ErrLoginRefused) {
			cure = "check SNOWFLAKE_USER and the secret of SNOWFLAKE_AUTH_TYPE; wait 15 minutes if the user is locked"
		}
		return []ports.CheckResult{failed("sign-in", err, cure)}
	}
	results := []ports.CheckResult{ok("sign-in", "as "+here.user), roleResult(here.role), clockResult(here)}
	found, err := s.Check(ctx)
	if results = append(results, tablesResult(found, err)); err != nil {
		return results
	}
	results = append(results, s.examineGrants(ctx, here.role), consistencyResult(found), bindValuesResult(found))
	warehouse := s.examineWarehouse(ctx)
	if results = append(results, warehouse); warehouse.Status == ports.CheckFailed {
		return results
	}
	return append(results, s.examineFirstSuperuser(ctx))
}

func ok(check, detail string) ports.CheckResult {
	return ports.CheckResult{Check: check, Status: ports.CheckOK, Detail: detail}
}

func failed(check string, err error, cure string) ports.CheckResult {
	return ports.CheckResult{Check: check, Status: ports.CheckFailed, Detail: err.Error(), Cure: cure}
}

// powerful are the system roles that can do much more than the service needs.
var powerful = []string{"ACCOUNTADMIN", "ORGADMIN", "SECURITYADMIN", "SYSADMIN", "USERADMIN"}

// maxSkew is the difference of clocks that times in replies may show. Snowflake refuses the tokens of key pairs
// after a minute.
const maxSkew = 30 * time.Second

// facts are what Snowflake says about a session.
type facts struct {
	user, role     string
	clock          time.Time // Snowflake's, between the next two
	sent, received time.Time
}

func readFacts(ctx context.Context, c session.Conn) (facts, error) {
	f := facts{sent: time.Now()}
	err := c.Query(ctx, session.Statement{SQL: "SELECT CURRENT_USER(), CURRENT_ROLE(), SYSDATE()"},
		func(scan func(...any) error) error { return scan(&f.user, &f.role, &f.clock) })
	f.received = time.Now()
	return f, err
}

func roleResult(role string) ports.CheckResult {
	r := ok("role", role)
	if slices.Contains(powerful, role) {
		r.Status = ports.CheckWarning
		r.Cure = "this role can do much more than the service needs: use the role that setup.sql creates"
	}
	return r
}

func clockResult(f facts) ports.CheckResult {
	skew := max(f.clock.Sub(f.received), f.sent.Sub(f.clock))
	if skew <= maxSkew {
		return ok("clock", "agrees with Snowflake's")
	}
	return ports.CheckResult{Check: "clock", Status: ports.CheckWarning,
		Detail: fmt.Sprintf("differs from Snowflake's by %v", skew.Round(time.Second)),
		Cure:   "set the clock of this machine, for example with NTP"}
}

func tablesResult(found Finding, err error) ports.CheckResult {
	switch {
	case err != nil:
		return failed("tables", err, runSetup+" as ACCOUNTADMIN, and check SNOWFLAKE_DATABASE and SNOWFLAKE_SCHEMA")
	case found.Hybrid:
		return ok("tables", "hybrid tables, with all columns")
	default:
		return ok("tables", "standard tables, with all columns")
	}
}

// examineGrants looks for the privileges that setup.sql grants on tables.
func (s *Store) examineGrants(ctx context.Context, role string) ports.CheckResult {
	var missing []string
	for table := range needed {
		rows, err := session.Read(ctx, s.db, func(ctx context.Context, c session.Conn) ([][]string, error) {
			return c.Show(ctx, "SHOW GRANTS ON TABLE "+table, "privilege", "grantee_name")
		})
		if err != nil {
			return ports.CheckResult{Check: "grants", Status: ports.CheckWarning, Detail: "not known: " + err.Error(),
				Cure: "look them up as ACCOUNTADMIN: SHOW GRANTS TO ROLE " + role}
		}
		has := func(privilege string) bool {
			return slices.ContainsFunc(rows, func(r []string) bool { return r[0] == privilege && r[1] == role })
		}
		for _, privilege := range []string{"SELECT", "INSERT", "UPDATE", "DELETE"} {
			if !has(privilege) && !has("OWNERSHIP") {
				missing = append(missing, privilege+" on "+table)
			}
		}
	}
	if len(missing) == 0 {
		return ok("grants", "all that the service needs on its tables")
	}
	slices.Sort(missing)
	return ports.CheckResult{Check: "grants", Status: ports.CheckWarning,
		Detail: "not granted to " + role + " itself: " + strings.Join(missing, ", "),
		Cure:   runSetup + ", unless the role inherits them from another one"}
}

func consistencyResult(found Finding) ports.CheckResult {
	r := ok("read consistency", found.Consistency)
	if weakened := found.Weakened(); weakened != "" {
		r.Status, r.Cure = ports.CheckWarning, weakened
	}
	return r
}

func bindValuesResult(found Finding) ports.CheckResult {
	r := ok("query history", "ALLOW_BIND_VALUES_ACCESS is "+found.BindValues)
	switch found.BindValues {
	case "FALSE":
	case "TRUE":
		r.Status, r.Cure = ports.CheckWarning, found.Exposed()
	default:
		r.Status = ports.CheckWarning
		r.Cure = "look it up as ACCOUNTADMIN: SHOW PARAMETERS LIKE 'ALLOW_BIND_VALUES_ACCESS' IN ACCOUNT"
	}
	return r
}

// examineWarehouse runs a query that needs a warehouse. A suspended one resumes for it, and costs a minute.
func (s *Store) examineWarehouse(ctx context.Context) ports.CheckResult {
	begin := time.Now()
	_, err := session.Read(ctx, s.db, func(ctx context.Context, c session.Conn) (struct{}, error) {
		return struct{}{}, c.Query(ctx, session.Statement{SQL: "SELECT id FROM users LIMIT 1"},
			func(scan func(...any) error) error { return scan(new(string)) })
	})
	if err != nil {
		return failed("warehouse", err, "check SNOWFLAKE_WAREHOUSE, the grant of USAGE on it, and its resource monitor")
	}
	return ok("warehouse", fmt.Sprintf("answered in %v", time.Since(begin).Round(time.Millisecond)))
}

func (s *Store) examineFirstSuperuser(ctx context.Context) ports.CheckResult {
	had, err := s.HadFirstSuperuser(ctx)
	switch {
	case err != nil:
		return failed("first superuser", err, runSetup)
	case had:
		return ok("first superuser", "was created; if nobody can sign in: superuser reset-password")
	default:
		return ok("first superuser", "the next start creates it")
	}
}
