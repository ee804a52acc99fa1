-- Creates everything that the service needs in a Snowflake account. Run it as ACCOUNTADMIN, or as the role
-- echo_setup that deploy/bootstrap.sql creates for a pipeline. Run later versions as the same role.
--
--     snow sql --role ACCOUNTADMIN -f setup.sql
--
-- You can run it again at any time, also a newer version over an older one. It keeps what exists, and no
-- statement drops or replaces anything. A later version adds a column with a statement of its own,
-- ALTER TABLE … ADD COLUMN IF NOT EXISTS, nullable and without a default, because instances of both
-- versions run side by side during an upgrade.

-- Some promises of the service depend on several rows: e-mail addresses are unique, one superuser remains,
-- and a sign-out takes effect everywhere. For them, every session must see what other sessions have just
-- committed. This parameter does that for the whole account and delays each of its statements by some
-- milliseconds, so you decide. The service logs at its start which value it found.
-- ALTER ACCOUNT SET READ_CONSISTENCY_MODE = 'GLOBAL';

-- Snowflake keeps the bound values of every statement in QUERY_HISTORY for a year: e-mails, names, hashes of passwords
-- and tokens, and the texts of items, also those that were deleted since. This parameter hides them. Its price: in the
-- whole account, nobody can look up the values with which a statement was slow or failed.
-- ALTER ACCOUNT SET ALLOW_BIND_VALUES_ACCESS = FALSE;

-- echo_owner owns database, schema and tables. No user and no service uses it, so no service can change a table.
CREATE ROLE IF NOT EXISTS echo_owner COMMENT = 'Owns the database of Echo in Snowflake';

-- echo_role owns the service. A service runs as the role that created it.
CREATE ROLE IF NOT EXISTS echo_role COMMENT = 'Runs the service Echo in Snowflake';

-- echo_deployer uploads images, specifications and secrets. It is a separate role, so that the service can
-- neither upload an image nor change a secret.
CREATE ROLE IF NOT EXISTS echo_deployer COMMENT = 'Deploys Echo in Snowflake';

-- Administrators inherit the three roles, as Snowflake recommends for the roles of an application.
GRANT ROLE echo_owner TO ROLE SYSADMIN;
GRANT ROLE echo_role TO ROLE SYSADMIN;
GRANT ROLE echo_deployer TO ROLE SYSADMIN;

-- The smallest size is enough to look up single rows. It costs nothing from a minute after the last statement.
-- Without the second line, it would have the defaults of the account: generation 2 costs up to 35 % more an hour, and
-- query acceleration adds credits. Both help queries that scan much, which the service does not send.
CREATE WAREHOUSE IF NOT EXISTS echo_wh
    WAREHOUSE_SIZE = XSMALL AUTO_SUSPEND = 60 AUTO_RESUME = TRUE INITIALLY_SUSPENDED = TRUE
    GENERATION = '1' ENABLE_QUERY_ACCELERATION = FALSE
    COMMENT = 'Statements of Echo in Snowflake';

-- The service may change every row in this schema: keep other tables out of it.
CREATE DATABASE IF NOT EXISTS echo_db COMMENT = 'Echo in Snowflake';
CREATE SCHEMA IF NOT EXISTS echo_db.echo_schema COMMENT = 'Echo in Snowflake';

-- The INSERT below needs a warehouse. The tables are named without their schema, so that tests can create
-- them in another one.
USE WAREHOUSE echo_wh;
USE SCHEMA echo_db.echo_schema;

-- Standard tables do not enforce keys, so these declare none: the service keeps values unique under the lock of
-- account_lock. Times are UTC. deploy/hybrid.sql has the same tables as hybrid tables.
-- begin of tables

-- Every change increases version. A change that ends all tokens of the account increases epoch.
CREATE TABLE IF NOT EXISTS users (
    id VARCHAR(36) NOT NULL COMMENT 'UUIDv7, lower case',
    email VARCHAR(254) NOT NULL COMMENT 'lower case, of one account only',
    full_name VARCHAR(255),
    password_hash VARCHAR(255) NOT NULL COMMENT 'PHC string',
    is_active BOOLEAN NOT NULL,
    is_superuser BOOLEAN NOT NULL,
    version NUMBER(19, 0) NOT NULL,
    epoch NUMBER(19, 0) NOT NULL,
    created_at TIMESTAMP_NTZ(6) NOT NULL,
    updated_at TIMESTAMP_NTZ(6) NOT NULL
) COMMENT = 'Accounts of Echo in Snowflake';

-- The user in Snowflake who signs in to the account; two accounts never have the same. An earlier version of the
-- service leaves it NULL: then no user in Snowflake signs in to the account.
ALTER TABLE users ADD COLUMN IF NOT EXISTS snowflake_user VARCHAR(255);

-- A row whose owner does not exist is never visible.
CREATE TABLE IF NOT EXISTS items (
    id VARCHAR(36) NOT NULL COMMENT 'UUIDv7, lower case',
    owner_id VARCHAR(36) NOT NULL COMMENT 'users.id',
    title VARCHAR(255) NOT NULL,
    description VARCHAR(5000),
    version NUMBER(19, 0) NOT NULL,
    created_at TIMESTAMP_NTZ(6) NOT NULL,
    updated_at TIMESTAMP_NTZ(6) NOT NULL
) COMMENT = 'Items of Echo in Snowflake';

-- Sign-ins that refresh tokens continue. A session works until it expires, while its account is active and has its
-- epoch. The columns that end in _hash are SHA-256, hexadecimal. The seed is useless without a secret of the session.
-- The service removes rows that no longer work.
CREATE TABLE IF NOT EXISTS sessions (
    id VARCHAR(36) NOT NULL COMMENT 'UUIDv7, lower case',
    owner_id VARCHAR(36) NOT NULL COMMENT 'users.id',
    epoch NUMBER(19, 0) NOT NULL COMMENT 'users.epoch at the sign-in',
    kind VARCHAR(20) NOT NULL COMMENT 'password or snowflake',
    lookup_hash VARCHAR(64) NOT NULL COMMENT 'of the part of the refresh token that never changes',
    secret_hash VARCHAR(64) NOT NULL COMMENT 'of the secret in the newest refresh token',
    previous_hash VARCHAR(64) NOT NULL COMMENT 'of the secret before it, empty until the first refresh',
    seed VARCHAR(64) NOT NULL COMMENT 'makes the next secret from a secret',
    user_agent VARCHAR(200) NOT NULL,
    created_at TIMESTAMP_NTZ(6) NOT NULL,
    refreshed_at TIMESTAMP_NTZ(6) NOT NULL,
    expires_at TIMESTAMP_NTZ(6) NOT NULL
) COMMENT = 'Sessions of Echo in Snowflake';

-- Credentials of programs. A client works until it expires, while its account is active and has its epoch.
CREATE TABLE IF NOT EXISTS clients (
    id VARCHAR(36) NOT NULL COMMENT 'UUIDv7, lower case',
    owner_id VARCHAR(36) NOT NULL COMMENT 'users.id',
    epoch NUMBER(19, 0) NOT NULL COMMENT 'users.epoch when the client was created',
    secret_hash VARCHAR(64) NOT NULL COMMENT 'SHA-256 of the client_secret, hexadecimal',
    name VARCHAR(255) NOT NULL,
    read_only BOOLEAN NOT NULL,
    created_at TIMESTAMP_NTZ(6) NOT NULL,
    expires_at TIMESTAMP_NTZ(6) NOT NULL,
    used_at TIMESTAMP_NTZ(6) COMMENT 'of the first use'
) COMMENT = 'Clients of Echo in Snowflake';

-- A write that depends on other accounts first updates the one row of this table, so such writes run one
-- after the other. bootstrapped_at is the time when the first superuser was created.
CREATE TABLE IF NOT EXISTS account_lock (
    n NUMBER(38, 0) NOT NULL,
    bootstrapped_at TIMESTAMP_NTZ(6)
) COMMENT = 'Serialises writes of accounts, has exactly one row';

-- The service does not become ready without this row.
INSERT INTO account_lock (n)
SELECT 0
WHERE NOT EXISTS (SELECT 1 FROM account_lock);

-- end of tables

CREATE IMAGE REPOSITORY IF NOT EXISTS echo_db.echo_schema.echo_repo;

-- For the specifications of the service.
CREATE STAGE IF NOT EXISTS echo_db.echo_schema.echo_stage DIRECTORY = (ENABLE = TRUE);

-- The smallest machines. None runs while there is no service.
CREATE COMPUTE POOL IF NOT EXISTS echo_pool
    MIN_NODES = 1 MAX_NODES = 2 INSTANCE_FAMILY = CPU_X64_XS
    AUTO_RESUME = TRUE INITIALLY_SUSPENDED = TRUE AUTO_SUSPEND_SECS = 300
    COMMENT = 'Containers of Echo in Snowflake';

-- The role that runs this script owns what it created. It hands database, schema and tables to echo_owner.
GRANT OWNERSHIP ON DATABASE echo_db TO ROLE echo_owner COPY CURRENT GRANTS;
GRANT OWNERSHIP ON SCHEMA echo_db.echo_schema TO ROLE echo_owner COPY CURRENT GRANTS;
GRANT OWNERSHIP ON ALL TABLES IN SCHEMA echo_db.echo_schema TO ROLE echo_owner COPY CURRENT GRANTS;

-- The service reads and writes rows. It cannot alter, drop or truncate a table. ALL TABLES are those that
-- exist at this point, so a new table goes above. Grants on FUTURE TABLES would need MANAGE GRANTS, which
-- echo_setup does not have.
GRANT USAGE ON DATABASE echo_db TO ROLE echo_role;
GRANT USAGE ON SCHEMA echo_db.echo_schema TO ROLE echo_role;
GRANT USAGE ON WAREHOUSE echo_wh TO ROLE echo_role;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA echo_db.echo_schema TO ROLE echo_role;

-- echo_role creates the service on these machines, with an address that is reachable from outside.
GRANT CREATE SERVICE ON SCHEMA echo_db.echo_schema TO ROLE echo_role;
GRANT READ ON IMAGE REPOSITORY echo_db.echo_schema.echo_repo TO ROLE echo_role;
GRANT READ ON STAGE echo_db.echo_schema.echo_stage TO ROLE echo_role;
GRANT USAGE, MONITOR ON COMPUTE POOL echo_pool TO ROLE echo_role;
-- Since May 2026 the role PUBLIC has the last of these rights in every account. deploy/README.md says how to revoke it.
GRANT BIND SERVICE ENDPOINT ON ACCOUNT TO ROLE echo_role;

-- echo_deployer reads no row. It creates the secrets, which the service gets as files.
GRANT USAGE ON DATABASE echo_db TO ROLE echo_deployer;
GRANT USAGE ON SCHEMA echo_db.echo_schema TO ROLE echo_deployer;
GRANT READ, WRITE ON IMAGE REPOSITORY echo_db.echo_schema.echo_repo TO ROLE echo_deployer;
GRANT READ, WRITE ON STAGE echo_db.echo_schema.echo_stage TO ROLE echo_deployer;
GRANT CREATE SECRET ON SCHEMA echo_db.echo_schema TO ROLE echo_deployer;
