-- The tables of setup.sql as hybrid tables (Unistore): they find single rows within tens of milliseconds, lock
-- rows instead of tables, and enforce keys. Run it after setup.sql, as the same role:
--
--     snow sql --role ACCOUNTADMIN -f deploy/hybrid.sql
--
-- It moves no rows, and the tables have the same names. So use a schema whose standard tables are still empty,
-- and drop those by hand first. To upgrade hybrid tables, run it before setup.sql, which adds columns, but would create
-- missing tables as standard tables.
--
-- Hybrid tables exist on AWS and Azure, but not in trial accounts. The service detects which kind it has. THIS
-- WAS NEVER RUN AGAINST SNOWFLAKE: it follows the documentation.

-- The INSERT below needs a warehouse.
USE WAREHOUSE echo_wh;
USE SCHEMA echo_db.echo_schema;

-- The key on the e-mail address is enforced, so creating an account needs no lock. snowflake_user is unique under the
-- lock, as in standard tables.
CREATE HYBRID TABLE IF NOT EXISTS users (
    id VARCHAR(36) NOT NULL PRIMARY KEY COMMENT 'UUIDv7, lower case',
    email VARCHAR(254) NOT NULL UNIQUE COMMENT 'lower case, of one account only',
    full_name VARCHAR(255),
    password_hash VARCHAR(255) NOT NULL COMMENT 'PHC string',
    is_active BOOLEAN NOT NULL,
    is_superuser BOOLEAN NOT NULL,
    version NUMBER(19, 0) NOT NULL,
    epoch NUMBER(19, 0) NOT NULL,
    created_at TIMESTAMP_NTZ(6) NOT NULL,
    updated_at TIMESTAMP_NTZ(6) NOT NULL,
    snowflake_user VARCHAR(255),
    INDEX users_by_snowflake_user (snowflake_user)
) COMMENT = 'Accounts of Echo in Snowflake';

-- There is no foreign key to users. It would only prevent the deletion of an account that has items, and every
-- read of an item checks its owner anyway.
CREATE HYBRID TABLE IF NOT EXISTS items (
    id VARCHAR(36) NOT NULL PRIMARY KEY COMMENT 'UUIDv7, lower case',
    owner_id VARCHAR(36) NOT NULL COMMENT 'users.id',
    title VARCHAR(255) NOT NULL,
    description VARCHAR(5000),
    version NUMBER(19, 0) NOT NULL,
    created_at TIMESTAMP_NTZ(6) NOT NULL,
    updated_at TIMESTAMP_NTZ(6) NOT NULL,
    INDEX items_by_owner (owner_id, created_at, id)
) COMMENT = 'Items of Echo in Snowflake';

-- A refresh finds its session by lookup_hash.
CREATE HYBRID TABLE IF NOT EXISTS sessions (
    id VARCHAR(36) NOT NULL PRIMARY KEY COMMENT 'UUIDv7, lower case',
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
    expires_at TIMESTAMP_NTZ(6) NOT NULL,
    INDEX sessions_by_lookup (lookup_hash),
    INDEX sessions_by_owner (owner_id, created_at, id)
) COMMENT = 'Sessions of Echo in Snowflake';

CREATE HYBRID TABLE IF NOT EXISTS clients (
    id VARCHAR(36) NOT NULL PRIMARY KEY COMMENT 'UUIDv7, lower case',
    owner_id VARCHAR(36) NOT NULL COMMENT 'users.id',
    epoch NUMBER(19, 0) NOT NULL COMMENT 'users.epoch when the client was created',
    secret_hash VARCHAR(64) NOT NULL COMMENT 'SHA-256 of the client_secret, hexadecimal',
    name VARCHAR(255) NOT NULL,
    read_only BOOLEAN NOT NULL,
    created_at TIMESTAMP_NTZ(6) NOT NULL,
    expires_at TIMESTAMP_NTZ(6) NOT NULL,
    used_at TIMESTAMP_NTZ(6) COMMENT 'of the first use',
    INDEX clients_by_owner (owner_id, created_at, id)
) COMMENT = 'Clients of Echo in Snowflake';

-- No key can keep the rule that one superuser remains, so the lock is still needed. A hybrid table must have a
-- primary key, and n changes with every use, so this one stays a standard table.
CREATE TABLE IF NOT EXISTS account_lock (
    n NUMBER(38, 0) NOT NULL,
    bootstrapped_at TIMESTAMP_NTZ(6)
) COMMENT = 'Serialises writes of accounts, has exactly one row';

INSERT INTO account_lock (n)
SELECT 0
WHERE NOT EXISTS (SELECT 1 FROM account_lock);

-- The same grants as in setup.sql, for the tables above.
GRANT OWNERSHIP ON ALL TABLES IN SCHEMA echo_db.echo_schema TO ROLE echo_owner COPY CURRENT GRANTS;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA echo_db.echo_schema TO ROLE echo_role;
