package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// facts are what PostgreSQL says about a session of the service.
type facts struct {
	server, user   string
	tls            *tls.ConnectionState // nil: without TLS
	superuser      bool
	alters         bool // the role may create tables in the schema, or owns some
	isolation      string
	commit         string // synchronous_commit
	readOnly       bool
	maxConnections int // that roles like this one may use
	used           int // by all clients
}

// Examine checks what an operator decides about PostgreSQL: sign-in, TLS, role, isolation, durability, connections,
// schema and grants. It changes nothing. If it cannot sign in, nothing follows.
func (s *Store) Examine(ctx context.Context) []ports.CheckResult {
	var results []ports.CheckResult
	if tokens, ok := s.options.Credential.(*session.Tokens); ok {
		if _, err := tokens.Password(ctx); err != nil {
			return []ports.CheckResult{failed("token", err, "check POSTGRES_INSTANCE and POSTGRES_USER, the SNOWFLAKE_"+
				" keys, and that the role has USAGE on the instance and the access role of that user")}
		}
		results = append(results, passed("token", "Snowflake gives one for "+s.options.User))
	}
	here, err := session.Read(ctx, s.db, readFacts)
	if err != nil {
		return append(results, failed("sign-in", err, signInCure(err)))
	}
	results = append(results,
		passed("sign-in", "as "+here.user+", to PostgreSQL "+here.server),
		s.tlsResult(here), roleResult(here), isolationResult(here),
		durabilityResult(here), s.connectionsResult(here))
	found, err := s.Check(ctx)
	if err != nil {
		return append(results, failed("schema", err, "migrate as the owner of the schema; if its tables exist, check"+
			" POSTGRES_SCHEMA, the search_path of the role, and USAGE on the schema"))
	}
	detail := fmt.Sprintf("version %d, of which this program needs %d", found.SchemaVersion, neededVersion())
	return append(results, passed("schema", detail), s.examineGrants(ctx), s.examineFirstSuperuser(ctx))
}

func passed(check, detail string) ports.CheckResult {
	return ports.CheckResult{Check: check, Status: ports.CheckOK, Detail: detail}
}

func warning(check, detail, cure string) ports.CheckResult {
	return ports.CheckResult{Check: check, Status: ports.CheckWarning, Detail: detail, Cure: cure}
}

func failed(check string, err error, cure string) ports.CheckResult {
	return ports.CheckResult{Check: check, Status: ports.CheckFailed, Detail: err.Error(), Cure: cure}
}

func signInCure(err error) string {
	var unverified *tls.CertificateVerificationError
	switch {
	case errors.Is(err, session.ErrLoginRefused):
		return "check POSTGRES_USER and POSTGRES_PASSWORD, or for tokens the access role of the user"
	case errors.As(err, &unverified):
		return "set POSTGRES_CA_FILE to the root certificate of this server, and POSTGRES_HOST to a name in its" +
			" certificate"
	}
	return "check POSTGRES_HOST, POSTGRES_PORT and POSTGRES_DATABASE, that the server runs, and that its network" +
		" policy and this machine's external access let the connection through"
}

func readFacts(ctx context.Context, c session.Conn) (facts, error) {
	f := facts{tls: c.TLS()}
	st := session.Statement{
		SQL: `SELECT current_setting('server_version'), current_user, r.rolsuper,
				coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) OR EXISTS (
					SELECT
					FROM pg_tables
					WHERE schemaname = current_schema()
					AND pg_has_role(tableowner, 'USAGE')),
				current_setting('transaction_isolation'), current_setting('synchronous_commit'),
				current_setting('transaction_read_only')::boolean,
				CAST(current_setting('max_connections') AS bigint)
					- CAST(current_setting('superuser_reserved_connections') AS bigint)
					- CAST(coalesce(current_setting('reserved_connections', true), '0') AS bigint), -- from 16 on
				(SELECT sum(numbackends) FROM pg_stat_database)
			FROM pg_roles r
			WHERE r.rolname = current_user`,
	}
	err := c.Query(ctx, st, func(scan func(...any) error) error {
		return scan(&f.server, &f.user, &f.superuser, &f.alters, &f.isolation, &f.commit, &f.readOnly,
			&f.maxConnections, &f.used)
	})
	return f, err
}

func (s *Store) tlsResult(f facts) ports.CheckResult {
	switch {
	case f.tls == nil:
		return passed("TLS", "none: the server is on this machine")
	case len(f.tls.PeerCertificates) == 0:
		return warning("TLS", tls.VersionName(f.tls.Version)+", without a certificate", "check the server")
	}
	ends := f.tls.PeerCertificates[0].NotAfter
	detail := fmt.Sprintf("%s, the certificate for %s is valid until %s",
		tls.VersionName(f.tls.Version), s.options.Host, ends.UTC().Format(time.DateOnly))
	if time.Until(ends) < 30*24*time.Hour {
		return warning("TLS", detail, "renew the certificate of the server")
	}
	return passed("TLS", detail)
}

func roleResult(f facts) ports.CheckResult {
	switch {
	case f.superuser:
		return warning("role", f.user+" is a superuser", "use the role echo_app of postgres-roles.sql")
	case f.alters:
		return warning("role", f.user+" may create or change tables", "use the role echo_app of postgres-roles.sql for"+
			" the service, and the role that owns the schema for migrate only")
	}
	return passed("role", f.user+" cannot change the schema")
}

func isolationResult(f facts) ports.CheckResult {
	if f.isolation != readCommitted {
		return ports.CheckResult{Check: "isolation", Status: ports.CheckFailed, Detail: f.isolation,
			Cure: "ALTER ROLE " + f.user + " SET default_transaction_isolation = 'read committed'"}
	}
	return passed("isolation", f.isolation)
}

func durabilityResult(f facts) ports.CheckResult {
	switch {
	case f.readOnly:
		return warning("durability", "the server is read-only now: changes are answered with 503",
			"wait for the end of a failover, or free disk space")
	case f.commit == "off" || f.commit == "local":
		return warning("durability", "synchronous_commit is "+f.commit+": a crash or failover can lose changes",
			"ALTER ROLE "+f.user+" SET synchronous_commit = 'on'")
	}
	return passed("durability", "synchronous_commit is "+f.commit)
}

func (s *Store) connectionsResult(f facts) ports.CheckResult {
	fit := f.maxConnections / s.options.Connections
	detail := fmt.Sprintf("%d of %d are used; %d instances with POSTGRES_CONNECTIONS=%d fit", f.used, f.maxConnections,
		fit, s.options.Connections)
	if fit < 2 {
		return warning("connections", detail, "an upgrade runs two instances: lower POSTGRES_CONNECTIONS, or raise"+
			" max_connections")
	}
	return passed("connections", detail)
}

// examineGrants looks for the privileges that the statements of this package need.
func (s *Store) examineGrants(ctx context.Context) ports.CheckResult {
	var missing []string
	st := session.Statement{
		SQL: `SELECT p.privilege || ' on ' || t.name
			FROM unnest(CAST(? AS text[])) AS t (name),
				unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS p (privilege)
			WHERE NOT coalesce(has_table_privilege(to_regclass(t.name), p.privilege), false)`,
		Args: []any{[]string{users.Name, "credentials", items.Name, sessions.Name, clients.Name, "installation"}},
	}
	_, err := session.Read(ctx, s.db, func(ctx context.Context, c session.Conn) (struct{}, error) {
		return struct{}{}, c.Query(ctx, st, func(scan func(...any) error) error {
			missing = append(missing, "")
			return scan(&missing[len(missing)-1])
		})
	})
	switch {
	case err != nil:
		return failed("grants", err, runMigrate)
	case len(missing) > 0:
		return failed("grants", errors.New("not granted: "+strings.Join(missing, ", ")), "as the owner of the schema:"+
			" GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA … TO "+s.options.User)
	}
	return passed("grants", "all that the service needs on its tables")
}

func (s *Store) examineFirstSuperuser(ctx context.Context) ports.CheckResult {
	had, err := s.HadFirstSuperuser(ctx)
	switch {
	case err != nil:
		return failed("first superuser", err, runMigrate)
	case had:
		return passed("first superuser", "was created; if nobody can sign in: superuser reset-password")
	default:
		return passed("first superuser", "the next start creates it")
	}
}
