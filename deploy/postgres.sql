-- Creates an instance of Snowflake Postgres for the service, and the way from the service to it. Run it after
-- setup.sql, as ACCOUNTADMIN, in a worksheet and statement by statement: some need what an earlier one returned.
-- Replace what stands between < and >. README.md, "PostgreSQL", says what the parts are for, and what follows.
--
-- Snowflake Postgres exists on AWS and Azure. THIS WAS NEVER RUN AGAINST SNOWFLAKE: it follows the documentation. Pages
-- are named by the end of their address, after https://docs.snowflake.com/en/ ; "not documented" means that none of
-- them says it.

-- 1. The way in. An instance accepts no connection without a network policy. The service comes from addresses of
-- Snowflake that belong to the region. Services of other accounts have them too, so they only keep the rest of the
-- internet out (user-guide/egress-ip/network-egress). "expires" says until when to repeat statements 1a and 1b.

-- 1a. On Azure, SYSTEM$GET_SNOWFLAKE_EGRESS_IP_RANGES(TRUE), and only the ranges for stable egress addresses.
SELECT
    value:ipv4_prefix::VARCHAR AS range,
    value:expires::TIMESTAMP AS expires
FROM TABLE(FLATTEN(INPUT => PARSE_JSON(SYSTEM$GET_SNOWFLAKE_EGRESS_IP_RANGES())));

-- 1b. CREATE OR ALTER is not documented for this MODE. If it fails, write CREATE, and later ALTER NETWORK RULE … SET
-- VALUE_LIST (sql-reference/sql/create-network-rule).
CREATE OR ALTER NETWORK RULE echo_db.echo_schema.echo_pg_in
    TYPE = IPV4 MODE = POSTGRES_INGRESS VALUE_LIST = ('<range>', '<range>')
    COMMENT = 'Services of Snowflake in this region';

-- Your own address, for psql in step 6. Step 8 removes it.
CREATE OR ALTER NETWORK RULE echo_db.echo_schema.echo_pg_admin
    TYPE = IPV4 MODE = POSTGRES_INGRESS VALUE_LIST = ('<your address>/32')
    COMMENT = 'Administrator of Echo in Snowflake';

-- The policy is of the instance alone: it needs no activation.
CREATE NETWORK POLICY IF NOT EXISTS echo_pg_policy
    ALLOWED_NETWORK_RULE_LIST = ('echo_db.echo_schema.echo_pg_in', 'echo_db.echo_schema.echo_pg_admin')
    COMMENT = 'Echo in Snowflake to its Postgres instance';

-- 2. The instance. CREATE has no IF NOT EXISTS: if this statement finds an instance, go on with step 3
-- (sql-reference/sql/create-postgres-instance).
SHOW POSTGRES INSTANCES LIKE 'echo_pg';

-- On Azure, the smallest size with a standby is STANDARD_L (user-guide/snowflake-postgres/postgres-instance-sizes). A
-- BURST size is cheaper, but has no standby and no mirror. The answer has the password of snowflake_admin, which is
-- shown once: keep it, and keep it out of files and tickets.
CREATE POSTGRES INSTANCE echo_pg
    COMPUTE_FAMILY = 'STANDARD_M'
    STORAGE_SIZE_GB = 10
    AUTHENTICATION_AUTHORITY = POSTGRES_OR_SNOWFLAKE
    POSTGRES_VERSION = 18
    HIGH_AVAILABILITY = TRUE
    NETWORK_POLICY = 'ECHO_PG_POLICY'
    COMMENT = 'Accounts and items of Echo in Snowflake';

-- 3. Repeat this until the state is READY. Then copy the host and the certificate
-- (sql-reference/sql/desc-postgres-instance).
DESCRIBE POSTGRES INSTANCE echo_pg;

-- 4. The root that signs the server's certificate. It belongs to this account, so no system knows it
-- (user-guide/snowflake-postgres/postgres-ssl-certs). When it changes is not documented; then: ALTER SECRET … SET
-- SECRET_STRING. Service and job get it as a file.
CREATE SECRET IF NOT EXISTS echo_db.echo_schema.echo_pg_ca
    TYPE = GENERIC_STRING
    SECRET_STRING = '<certificate, with its first and last line>';
GRANT READ ON SECRET echo_db.echo_schema.echo_pg_ca TO ROLE echo_role;
GRANT READ ON SECRET echo_db.echo_schema.echo_pg_ca TO ROLE echo_deployer;

-- 5. The way out of the service. Without the port, the rule would mean 443
-- (sql-reference/sql/create-external-access-integration). How soon it follows when the address behind the name changes
-- is not documented; if the service is cut off after a failover, run this statement again.
CREATE OR ALTER NETWORK RULE echo_db.echo_schema.echo_pg_out
    TYPE = HOST_PORT MODE = EGRESS VALUE_LIST = ('<host>:5432')
    COMMENT = 'Postgres instance of Echo in Snowflake';

-- If the integration exists already, this statement fails, and you go on.
CREATE EXTERNAL ACCESS INTEGRATION echo_pg_access
    ALLOWED_NETWORK_RULES = (echo_db.echo_schema.echo_pg_out) ENABLED = TRUE
    COMMENT = 'Echo in Snowflake to its Postgres instance';
GRANT USAGE ON INTEGRATION echo_pg_access TO ROLE echo_role;
GRANT USAGE ON INTEGRATION echo_pg_access TO ROLE echo_deployer;

-- The deploy command runs "migrate" in a job. A job runs as the role that creates it. So echo_deployer creates it: in
-- step 7 it gets the right to sign in as the owner of the tables, and the service does not.
GRANT CREATE SERVICE ON SCHEMA echo_db.echo_schema TO ROLE echo_deployer;
GRANT USAGE ON COMPUTE POOL echo_pool TO ROLE echo_deployer;

-- 6. ---------- STOP: the worksheet waits here. ----------
-- Run postgres-roles.sql in the instance, from the address of step 1 and with the password of step 2:
--
--     export PGHOST=<host> PGUSER=snowflake_admin PGSSLMODE=verify-full PGSSLROOTCERT=ca.pem
--     psql -d postgres -c 'CREATE DATABASE echo'
--     psql -d echo -v ON_ERROR_STOP=1 -f deploy/postgres-roles.sql
--
-- ca.pem is a file with the certificate of step 3. A new policy takes effect within two minutes.

-- 7. ---------- Go on here. ----------
-- Tokens instead of passwords: a Snowflake role gets a token of 15 minutes, which is the password of a Postgres user.
-- This is a right on the instance. Whether access roles need it too is not documented; without it, the function refuses
-- (sql-reference/functions/generate_postgres_access_token_for_user).
GRANT USAGE ON POSTGRES INSTANCE echo_pg TO ROLE echo_role;
GRANT USAGE ON POSTGRES INSTANCE echo_pg TO ROLE echo_deployer;

-- Whether the function needs a warehouse is not documented. So service and job have one (QUERY_WAREHOUSE); setup.sql
-- lets echo_role use it. A function that needs none resumes none.
GRANT USAGE ON WAREHOUSE echo_wh TO ROLE echo_deployer;

-- Enable an access role for each of two Postgres users, and grant each to one Snowflake role:
--
--     the access role for echo_app        to echo_role, and no other
--     the access role for echo_migrator   to echo_deployer, and no other
--
-- With the second one, the service could make itself a token with the right to drop its tables. The page "Grant access
-- with access roles" has the statements, which could not be read when this script was written:
-- https://docs.snowflake.com/en/user-guide/snowflake-postgres/postgres-authentication . Until then, and if they fail,
-- sign in with passwords (README.md, "Tokens or passwords"). These are their secrets, each for one role:
--
--     CREATE SECRET IF NOT EXISTS echo_db.echo_schema.echo_app_password
--         TYPE = GENERIC_STRING SECRET_STRING = '<password of echo_app>';
--     GRANT READ ON SECRET echo_db.echo_schema.echo_app_password TO ROLE echo_role;
--     CREATE SECRET IF NOT EXISTS echo_db.echo_schema.echo_migrator_password
--         TYPE = GENERIC_STRING SECRET_STRING = '<password of echo_migrator>';
--     GRANT READ ON SECRET echo_db.echo_schema.echo_migrator_password TO ROLE echo_deployer;

-- 8. From now on, only services reach the instance.
ALTER NETWORK POLICY echo_pg_policy SET ALLOWED_NETWORK_RULE_LIST = ('echo_db.echo_schema.echo_pg_in');
