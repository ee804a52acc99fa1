-- Sessions, clients, and users of Snowflake that sign in to accounts. The version of the service before this one does
-- not know the new column and leaves it NULL, which means that no user of Snowflake signs in to the account.
ALTER TABLE users ADD COLUMN snowflake_user varchar(255) COLLATE "C" CONSTRAINT one_snowflake_user UNIQUE;

-- The table credentials stays. Since this version, the password_hash of an account without a password is empty.

-- Sign-ins that refresh tokens continue. The columns that end in _hash are SHA-256 hashes of parts of the refresh token,
-- and seed is the key that makes the next token from the one before. Never mirror this table.
CREATE TABLE sessions (
    id varchar(36) COLLATE "C" PRIMARY KEY,
    owner_id varchar(36) COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    epoch bigint NOT NULL,
    kind varchar(20) NOT NULL,
    lookup_hash varchar(64) COLLATE "C" NOT NULL CONSTRAINT one_lookup UNIQUE,
    secret_hash varchar(64) NOT NULL,
    previous_hash varchar(64) NOT NULL, -- empty until the first refresh
    seed varchar(64) NOT NULL,
    user_agent varchar(200) NOT NULL,
    created_at timestamptz NOT NULL,
    refreshed_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX sessions_newest_first ON sessions (owner_id, created_at DESC, id DESC);

-- Credentials of programs. secret_hash is the SHA-256 hash of the secret. Never mirror this table.
CREATE TABLE clients (
    id varchar(36) COLLATE "C" PRIMARY KEY,
    owner_id varchar(36) COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    epoch bigint NOT NULL,
    secret_hash varchar(64) NOT NULL,
    name varchar(255) NOT NULL,
    read_only boolean NOT NULL,
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    used_at timestamptz -- NULL until the first use
);
CREATE INDEX clients_newest_first ON clients (owner_id, created_at DESC, id DESC);
