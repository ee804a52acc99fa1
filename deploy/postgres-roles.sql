-- Creates the two roles of the service in PostgreSQL, and the schema of its tables. Run it in the database "echo", as a
-- role that may create roles: snowflake_admin in Snowflake Postgres, postgres elsewhere. postgres.sql says when.
--
--     psql -d postgres -c 'CREATE DATABASE echo'
--     psql -d echo -v ON_ERROR_STOP=1 -f deploy/postgres-roles.sql
--
-- You can run it again at any time. It keeps what exists, and works with PostgreSQL 15 to 18. The tables come from
-- "echo-in-snowflake migrate", which runs as echo_migrator.

-- echo_migrator owns the schema and its tables. Only the job that migrates signs in as it. echo_app is the service. It
-- reads and writes rows, and can neither create, alter, drop nor truncate a table.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'echo_migrator') THEN
        CREATE ROLE echo_migrator LOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'echo_app') THEN
        CREATE ROLE echo_app LOGIN;
    END IF;
END
$$;

-- With tokens of Snowflake, the roles need no passwords. To sign in with passwords, type these lines in psql. It asks
-- for each password and sends a hash of it. Without the second line, the hash may be in the log of the server. If that
-- line is refused (it needs a superuser, or a grant of SET), type ROLLBACK and then the two lines with \password alone.
--
--     BEGIN;
--     SET LOCAL log_statement = 'none';
--     \password echo_migrator
--     \password echo_app
--     COMMIT;

-- The service sends these settings when it connects. A pooler such as PgBouncer refuses most of them there, so the
-- roles have them too. The rule that one superuser remains needs read committed. The times are those of
-- REQUEST_TIMEOUT=10s: the server ends a statement before the client gives up.
ALTER ROLE echo_app SET search_path = 'echo';
ALTER ROLE echo_app SET default_transaction_isolation = 'read committed';
ALTER ROLE echo_app SET statement_timeout = '9500ms';
ALTER ROLE echo_app SET lock_timeout = '4750ms';
ALTER ROLE echo_app SET idle_in_transaction_session_timeout = '10s';

-- In Snowflake Postgres the default is "local": a commit does not wait for the standby. Whether "on" does is not
-- documented; elsewhere it is the default.
ALTER ROLE echo_app SET synchronous_commit = 'on';

-- A migration may take long, but must not make others wait long for a lock.
ALTER ROLE echo_migrator SET search_path = 'echo';
ALTER ROLE echo_migrator SET default_transaction_isolation = 'read committed';
ALTER ROLE echo_migrator SET statement_timeout = '10min';
ALTER ROLE echo_migrator SET lock_timeout = '5s';
ALTER ROLE echo_migrator SET idle_in_transaction_session_timeout = '1min';

-- Only the two roles may connect, and none of them may create temporary tables.
REVOKE ALL ON DATABASE echo FROM PUBLIC;
GRANT CONNECT ON DATABASE echo TO echo_migrator, echo_app;
REVOKE ALL ON SCHEMA public FROM PUBLIC;

-- From PostgreSQL 16 on, the creator of a role is not its member, and may not act for it without this grant.
GRANT echo_migrator TO CURRENT_USER;

CREATE SCHEMA IF NOT EXISTS echo AUTHORIZATION echo_migrator;
GRANT USAGE ON SCHEMA echo TO echo_app;

-- Migrations name no role: every table that echo_migrator creates gets these rights by itself.
ALTER DEFAULT PRIVILEGES FOR ROLE echo_migrator IN SCHEMA echo
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO echo_app;
