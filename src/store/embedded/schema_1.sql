-- Schema 1. Never edited once released: what comes later is another step.

-- repro's tables with a column for each field. `key` is repro's key with the domain in lower case: what is looked up.

CREATE TABLE domain (
    key TEXT NOT NULL UNIQUE,
    domain TEXT NOT NULL,
    tls_port INTEGER NOT NULL
) STRICT;

CREATE TABLE acl (
    key TEXT NOT NULL UNIQUE,
    tls_peer_name TEXT NOT NULL,
    address TEXT NOT NULL,
    mask INTEGER NOT NULL,
    port INTEGER NOT NULL,
    family INTEGER NOT NULL,
    transport INTEGER NOT NULL
) STRICT;

CREATE TABLE route (
    key TEXT NOT NULL UNIQUE,
    method TEXT NOT NULL,
    event TEXT NOT NULL,
    matching_pattern TEXT NOT NULL,
    rewrite_expression TEXT NOT NULL,
    "order" INTEGER NOT NULL
) STRICT;

CREATE TABLE filter (
    key TEXT NOT NULL UNIQUE,
    cond1_header TEXT NOT NULL,
    cond1_regex TEXT NOT NULL,
    cond2_header TEXT NOT NULL,
    cond2_regex TEXT NOT NULL,
    method TEXT NOT NULL,
    event TEXT NOT NULL,
    action INTEGER NOT NULL,
    action_data TEXT NOT NULL,
    "order" INTEGER NOT NULL
) STRICT;

CREATE TABLE registration (
    key TEXT NOT NULL UNIQUE,
    aor TEXT NOT NULL,
    contact TEXT NOT NULL,
    path TEXT NOT NULL
) STRICT;

CREATE TABLE user (
    key TEXT NOT NULL UNIQUE,
    user TEXT NOT NULL,
    domain TEXT NOT NULL,
    realm TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    password_hash_alt TEXT NOT NULL,
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    forward_address TEXT NOT NULL
) STRICT;

CREATE TABLE identity (
    key TEXT NOT NULL UNIQUE,
    peer_name TEXT NOT NULL,
    authorized_identity TEXT NOT NULL
) STRICT;

CREATE TABLE silo (
    key TEXT NOT NULL UNIQUE,
    dest_uri TEXT NOT NULL,
    source_uri TEXT NOT NULL,
    original_sent_time INTEGER NOT NULL,
    tid TEXT NOT NULL,
    mime_type TEXT NOT NULL,
    message_body BLOB NOT NULL
) STRICT;

CREATE INDEX silo_dest ON silo (dest_uri, original_sent_time);
CREATE INDEX silo_time ON silo (original_sent_time);

-- Live registrations, kept over a restart.

CREATE TABLE binding (
    aor TEXT NOT NULL,
    contact BLOB NOT NULL,
    parameters BLOB NOT NULL,
    call_id BLOB NOT NULL,
    user_agent BLOB NOT NULL,
    q INTEGER,
    cseq INTEGER NOT NULL,
    path BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX binding_aor ON binding (aor);
CREATE INDEX binding_end ON binding (expires_at);

-- What was taken over, from where and when, as JSON.

CREATE TABLE imported (one INTEGER PRIMARY KEY CHECK (one = 1), what TEXT NOT NULL) STRICT;

-- One row that counts the changes of each table which a server keeps in memory. Triggers, so that a change by hand
-- is seen too.

CREATE TABLE change (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    domain INTEGER NOT NULL,
    acl INTEGER NOT NULL,
    route INTEGER NOT NULL,
    filter INTEGER NOT NULL,
    registration INTEGER NOT NULL,
    user INTEGER NOT NULL,
    identity INTEGER NOT NULL
) STRICT;
INSERT INTO change VALUES (1, 0, 0, 0, 0, 0, 0, 0);

CREATE TRIGGER domain_insert AFTER INSERT ON domain
BEGIN UPDATE change SET domain = domain + 1; END;
CREATE TRIGGER domain_update AFTER UPDATE ON domain
BEGIN UPDATE change SET domain = domain + 1; END;
CREATE TRIGGER domain_delete AFTER DELETE ON domain
BEGIN UPDATE change SET domain = domain + 1; END;
CREATE TRIGGER acl_insert AFTER INSERT ON acl
BEGIN UPDATE change SET acl = acl + 1; END;
CREATE TRIGGER acl_update AFTER UPDATE ON acl
BEGIN UPDATE change SET acl = acl + 1; END;
CREATE TRIGGER acl_delete AFTER DELETE ON acl
BEGIN UPDATE change SET acl = acl + 1; END;
CREATE TRIGGER route_insert AFTER INSERT ON route
BEGIN UPDATE change SET route = route + 1; END;
CREATE TRIGGER route_update AFTER UPDATE ON route
BEGIN UPDATE change SET route = route + 1; END;
CREATE TRIGGER route_delete AFTER DELETE ON route
BEGIN UPDATE change SET route = route + 1; END;
CREATE TRIGGER filter_insert AFTER INSERT ON filter
BEGIN UPDATE change SET filter = filter + 1; END;
CREATE TRIGGER filter_update AFTER UPDATE ON filter
BEGIN UPDATE change SET filter = filter + 1; END;
CREATE TRIGGER filter_delete AFTER DELETE ON filter
BEGIN UPDATE change SET filter = filter + 1; END;
CREATE TRIGGER registration_insert AFTER INSERT ON registration
BEGIN UPDATE change SET registration = registration + 1; END;
CREATE TRIGGER registration_update AFTER UPDATE ON registration
BEGIN UPDATE change SET registration = registration + 1; END;
CREATE TRIGGER registration_delete AFTER DELETE ON registration
BEGIN UPDATE change SET registration = registration + 1; END;
CREATE TRIGGER user_insert AFTER INSERT ON user
BEGIN UPDATE change SET user = user + 1; END;
CREATE TRIGGER user_update AFTER UPDATE ON user
BEGIN UPDATE change SET user = user + 1; END;
CREATE TRIGGER user_delete AFTER DELETE ON user
BEGIN UPDATE change SET user = user + 1; END;
CREATE TRIGGER identity_insert AFTER INSERT ON identity
BEGIN UPDATE change SET identity = identity + 1; END;
CREATE TRIGGER identity_update AFTER UPDATE ON identity
BEGIN UPDATE change SET identity = identity + 1; END;
CREATE TRIGGER identity_delete AFTER DELETE ON identity
BEGIN UPDATE change SET identity = identity + 1; END;
