-- repro's tables for a new PostgreSQL data base, with room for the hashes of today.
--
--   createdb repro && psql -v ON_ERROR_STOP=1 -d repro -f postgresql.sql
--
-- With a TableNamePrefix, put it before the name of each table. An older data base of repro keeps its tables and takes:
--   ALTER TABLE users ALTER COLUMN passwordHash TYPE VARCHAR(512), ALTER COLUMN passwordHashAlt TYPE VARCHAR(512);
-- The user that Sipvouch comes as needs SELECT on all, and INSERT, UPDATE, DELETE where it shall write; for new rows of
-- users and tlsPeerIdentity also USAGE on their sequences (users_id_seq, tlspeeridentity_id_seq).

-- Who has a password. The names of columns fold to lower case here, as they did for repro.
CREATE TABLE users (
    id SERIAL PRIMARY KEY,
    username VARCHAR(64) NOT NULL,
    domain VARCHAR(253),
    realm VARCHAR(253),
    -- [MD5]…[SHA-256]…[SHA-512-256]… has 187 characters.
    passwordHash VARCHAR(512),
    passwordHashAlt VARCHAR(512),
    name VARCHAR(256),
    email VARCHAR(256),
    forwardAddress VARCHAR(256)
);
CREATE UNIQUE INDEX users_username_domain ON users (username, domain);

-- What a name in a certificate may use: user@domain, or domain.
CREATE TABLE tlsPeerIdentity (
    id SERIAL PRIMARY KEY,
    peerName VARCHAR(253) NOT NULL,
    authorizedIdentity VARCHAR(253) NOT NULL
);
CREATE INDEX tlsPeerIdentity_peerName ON tlsPeerIdentity (peerName);

-- The rest is repro's records: attr is the key, value the octets in base64.
CREATE TABLE routesavp (attr VARCHAR(255) PRIMARY KEY, value VARCHAR(4096));
CREATE TABLE aclsavp (attr VARCHAR(255) PRIMARY KEY, value VARCHAR(4096));
CREATE TABLE configsavp (attr VARCHAR(255) PRIMARY KEY, value VARCHAR(4096));
CREATE TABLE staticregsavp (attr VARCHAR(255) PRIMARY KEY, value VARCHAR(4096));
CREATE TABLE filtersavp (attr VARCHAR(255) PRIMARY KEY, value VARCHAR(4096));

-- Kept messages; attr2 is the address-of-record that they are for. repro's own value is too narrow for the
-- longest messages.
CREATE TABLE siloavp (
    attr VARCHAR(255) NOT NULL,
    attr2 VARCHAR(255) NOT NULL,
    value TEXT,
    PRIMARY KEY (attr, attr2)
);
CREATE INDEX siloavp_attr2 ON siloavp (attr2);
