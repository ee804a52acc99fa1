-- All that the service needs in a Snowflake account. Run all of it as ACCOUNTADMIN, or as the role
-- echo_setup that deploy/bootstrap.sql makes for a pipeline, and later versions as the same role.
--
--     snow sql -f setup.sql
--
-- It can be run again at any time, and a newer version over an older one: whatever is there stays as
-- it is, and nothing here can drop or replace anything. A later version adds columns, each by a
-- statement of its own, ALTER TABLE … ADD COLUMN IF NOT EXISTS, nullable and without a default:
-- instances of both versions run side by side during an upgrade.

-- Promises of the service that depend on several rows (one account per e-mail, a last superuser,
-- sign-out that is everywhere at once) need every session to see what others have just committed.
-- This is a parameter of the whole account, and its price is some milliseconds for every statement
-- in it, so that switching it on is yours to decide. The service says at its start what it found.
-- ALTER ACCOUNT SET READ_CONSISTENCY_MODE = 'GLOBAL';

-- Owns database, schema and tables. Nobody works with it, so that no service can change a table.
CREATE ROLE IF NOT EXISTS echo_owner COMMENT = 'Owns the database of Echo in Snowflake';

-- Owns the service, which runs as the role that created it. It may read and write rows, and no more.
CREATE ROLE IF NOT EXISTS echo_role COMMENT = 'Runs the service Echo in Snowflake';

-- Brings what a service is made of: images, specifications, secrets. It is not echo_role, so that
-- the service cannot bring an image of its own, nor change the key that its tokens are signed with.
CREATE ROLE IF NOT EXISTS echo_deployer COMMENT = 'Deploys Echo in Snowflake';

-- Administrators inherit all three, as Snowflake recommends for every role of an application.
GRANT ROLE echo_owner TO ROLE SYSADMIN;
-- Likewise.
GRANT ROLE echo_role TO ROLE SYSADMIN;
-- Likewise.
GRANT ROLE echo_deployer TO ROLE SYSADMIN;

-- Runs the statements. The smallest size is enough for look-ups of single rows; a minute after the
-- last statement it costs nothing any more.
CREATE WAREHOUSE IF NOT EXISTS echo_wh
    WAREHOUSE_SIZE = XSMALL AUTO_SUSPEND = 60 AUTO_RESUME = TRUE INITIALLY_SUSPENDED = TRUE
    COMMENT = 'Statements of Echo in Snowflake';

-- Holds everything that follows.
CREATE DATABASE IF NOT EXISTS echo_db COMMENT = 'Echo in Snowflake';
-- The tables, the image and the specification of the service.
CREATE SCHEMA IF NOT EXISTS echo_db.echo_schema COMMENT = 'Echo in Snowflake';

-- The one row that is inserted below takes a warehouse.
USE WAREHOUSE echo_wh;
-- The tables below are named without their schema, so that tests can make them in one of their own.
USE SCHEMA echo_db.echo_schema;

-- Standard tables enforce no keys, so none is declared: what must be unique is kept by the service,
-- under the lock of account_lock. Times are UTC. deploy/hybrid.sql has the same as hybrid tables.
-- begin of tables

-- Accounts. version rises with every change; epoch with those that end all tokens.
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

-- What accounts own. Rows whose owner is gone are not visible to anybody.
CREATE TABLE IF NOT EXISTS items (
    id VARCHAR(36) NOT NULL COMMENT 'UUIDv7, lower case',
    owner_id VARCHAR(36) NOT NULL COMMENT 'users.id',
    title VARCHAR(255) NOT NULL,
    description VARCHAR(5000),
    version NUMBER(19, 0) NOT NULL,
    created_at TIMESTAMP_NTZ(6) NOT NULL,
    updated_at TIMESTAMP_NTZ(6) NOT NULL
) COMMENT = 'Items of Echo in Snowflake';

-- Every write whose rule depends on other accounts updates the one row here first, and so waits for
-- the one before it. bootstrapped_at says that the first superuser was created.
CREATE TABLE IF NOT EXISTS account_lock (
    n NUMBER(38, 0) NOT NULL,
    bootstrapped_at TIMESTAMP_NTZ(6)
) COMMENT = 'Serialises writes of accounts, has exactly one row';

-- That row. Without it the service does not become ready.
INSERT INTO account_lock (n)
SELECT 0
WHERE NOT EXISTS (SELECT 1 FROM account_lock);

-- end of tables

-- Takes the image that a deployment pushes.
CREATE IMAGE REPOSITORY IF NOT EXISTS echo_db.echo_schema.echo_repo;

-- Takes the specification of the service.
CREATE STAGE IF NOT EXISTS echo_db.echo_schema.echo_stage DIRECTORY = (ENABLE = TRUE);

-- Runs the containers: the smallest machines, none while there is no service.
CREATE COMPUTE POOL IF NOT EXISTS echo_pool
    MIN_NODES = 1 MAX_NODES = 2 INSTANCE_FAMILY = CPU_X64_XS
    AUTO_RESUME = TRUE INITIALLY_SUSPENDED = TRUE AUTO_SUSPEND_SECS = 300
    COMMENT = 'Containers of Echo in Snowflake';

-- Whoever ran this script owns what it created; database, schema and tables go to echo_owner.
GRANT OWNERSHIP ON DATABASE echo_db TO ROLE echo_owner COPY CURRENT GRANTS;
-- Likewise.
GRANT OWNERSHIP ON SCHEMA echo_db.echo_schema TO ROLE echo_owner COPY CURRENT GRANTS;
-- Likewise.
GRANT OWNERSHIP ON ALL TABLES IN SCHEMA echo_db.echo_schema TO ROLE echo_owner COPY CURRENT GRANTS;

-- The service finds its database …
GRANT USAGE ON DATABASE echo_db TO ROLE echo_role;
-- … and its schema …
GRANT USAGE ON SCHEMA echo_db.echo_schema TO ROLE echo_role;
-- … and runs its statements.
GRANT USAGE ON WAREHOUSE echo_wh TO ROLE echo_role;
-- Rows are all that it may change: it can alter, drop or empty no table.
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE echo_db.echo_schema.users TO ROLE echo_role;
-- Likewise.
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE echo_db.echo_schema.items TO ROLE echo_role;
-- Likewise; whoever may update the lock may take it.
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE echo_db.echo_schema.account_lock TO ROLE echo_role;

-- A deployment creates the service …
GRANT CREATE SERVICE ON SCHEMA echo_db.echo_schema TO ROLE echo_role;
-- … from this image …
GRANT READ ON IMAGE REPOSITORY echo_db.echo_schema.echo_repo TO ROLE echo_role;
-- … and a specification from here …
GRANT READ ON STAGE echo_db.echo_schema.echo_stage TO ROLE echo_role;
-- … on these machines, whose state it may look at …
GRANT USAGE, MONITOR ON COMPUTE POOL echo_pool TO ROLE echo_role;
-- … with an address that is reachable from outside.
GRANT BIND SERVICE ENDPOINT ON ACCOUNT TO ROLE echo_role;

-- Whoever deploys finds the schema …
GRANT USAGE ON DATABASE echo_db TO ROLE echo_deployer;
-- Likewise.
GRANT USAGE ON SCHEMA echo_db.echo_schema TO ROLE echo_deployer;
-- … pushes images …
GRANT READ, WRITE ON IMAGE REPOSITORY echo_db.echo_schema.echo_repo TO ROLE echo_deployer;
-- … uploads specifications …
GRANT READ, WRITE ON STAGE echo_db.echo_schema.echo_stage TO ROLE echo_deployer;
-- … and creates the secrets that the service finds as files, which it lets echo_role read.
GRANT CREATE SECRET ON SCHEMA echo_db.echo_schema TO ROLE echo_deployer;
