-- The tables of setup.sql as hybrid tables (Unistore): they find single rows within tens of milliseconds, lock
-- rows instead of tables, and enforce keys. Run it after setup.sql, as the same role:
--
--     snow sql --role ACCOUNTADMIN -f deploy/hybrid.sql
--
-- It moves no rows, and the tables have the same names. So use a schema whose standard tables are still empty,
-- and drop those by hand first.
--
-- Hybrid tables exist on AWS and Azure, but not in trial accounts. The service detects which kind it has. THIS
-- WAS NEVER RUN AGAINST SNOWFLAKE: it follows the documentation.

-- The INSERT below needs a warehouse.
USE WAREHOUSE echo_wh;
USE SCHEMA echo_db.echo_schema;

-- The key on the e-mail address is enforced, so creating an account needs no lock.
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
    updated_at TIMESTAMP_NTZ(6) NOT NULL
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
