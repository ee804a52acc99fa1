-- Accounts and items. COLLATE "C" orders texts by their bytes, as Go does, and keeps indexes valid when the
-- server's C library changes (PostgreSQL documentation, "Collation Support").
CREATE TABLE users (
    id varchar(36) COLLATE "C" PRIMARY KEY,
    email varchar(254) COLLATE "C" NOT NULL CONSTRAINT one_email UNIQUE,
    full_name varchar(255),
    is_active boolean NOT NULL,
    is_superuser boolean NOT NULL,
    version bigint NOT NULL,
    epoch bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX users_newest_first ON users (created_at DESC, id DESC);
CREATE INDEX active_superusers ON users (id) WHERE is_active AND is_superuser;

-- Password hashes have a table of their own, so that a mirror of users does not show them.
CREATE TABLE credentials (
    user_id varchar(36) COLLATE "C" PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    password_hash text NOT NULL
);

CREATE TABLE items (
    id varchar(36) COLLATE "C" PRIMARY KEY,
    owner_id varchar(36) COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    title varchar(255) NOT NULL,
    description varchar(5000),
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX items_newest_first ON items (owner_id, created_at DESC, id DESC);

-- One row, from the time of the first superuser on. Writes that could break a rule across accounts lock it.
CREATE TABLE installation (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    first_superuser_at timestamptz NOT NULL
);
