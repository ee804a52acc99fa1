-- Creates the roles of the service and the schema of its tables, in the database echo. It can run again.
-- deploy/local and compose.yaml run it, as the superuser.

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

-- echo_migrator owns the tables. echo_app, the service, reads and writes their rows.
CREATE SCHEMA IF NOT EXISTS echo AUTHORIZATION echo_migrator;
GRANT USAGE ON SCHEMA echo TO echo_app;
ALTER DEFAULT PRIVILEGES FOR ROLE echo_migrator IN SCHEMA echo
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO echo_app;
