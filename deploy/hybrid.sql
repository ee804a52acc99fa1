-- The tables of setup.sql as hybrid tables (Unistore), for those who want single rows found in tens
-- of milliseconds, locks on rows, and keys that are enforced. Run it after setup.sql in a schema
-- whose standard tables were never used: hybrid tables have the same names, so drop the empty ones
-- by hand first. It moves no rows. Then grant what setup.sql grants on its tables, again.
--
-- Hybrid tables exist on AWS and Azure, and not in trial accounts. The service finds out by itself
-- which kind it has. THIS WAS NEVER RUN AGAINST SNOWFLAKE: it follows the documentation.

-- Those of setup.sql.
USE SCHEMA echo_db.echo_schema;

-- A unique e-mail is enforced here, so that creating an account needs no lock.
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

-- No foreign key to users: it could only forbid the deletion of an account that has items, and who
-- reads an item looks for its owner anyway.
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

-- Still needed: that a last superuser remains is a rule that no key can keep. A hybrid table has to
-- have a key, and n changes with every use, so that this one stays a standard table.
CREATE TABLE IF NOT EXISTS account_lock (
    n NUMBER(38, 0) NOT NULL,
    bootstrapped_at TIMESTAMP_NTZ(6)
) COMMENT = 'Serialises writes of accounts, has exactly one row';

-- Its row.
INSERT INTO account_lock (n)
SELECT 0
WHERE NOT EXISTS (SELECT 1 FROM account_lock);
