//! What a store has to do, whatever is behind it, and what only one over SQL can do wrong.

use sipvouch::store::sql::SqlStore;
use sipvouch::store::{
    Acl, Domain, Error, Filter, FilterAction, Flow, Identity, Password, Put, Record, Route,
    SiloMessage, SqlKind, SqlOptions, SqlTls, StaticRegistration, Store, Table, User,
};

use crate::servers::{PASSWORD, Server};

/// Everything in a table.
pub(crate) fn all(store: &dyn Store, table: Table) -> Vec<Record> {
    let mut records = Vec::new();
    store
        .each(table, &mut |record| {
            records.push(record.unwrap());
            Flow::More
        })
        .unwrap();
    records
}

pub(crate) fn user(name: &str, hash: &str) -> Record {
    Record::User(User {
        user: name.into(),
        domain: "example.org".into(),
        realm: "example.org".into(),
        password_hash: hash.into(),
        name: "Alice \"Ä\" O'Hara \\ %".into(),
        ..User::default()
    })
}

fn identity(name: &str, identity: &str) -> Record {
    Record::Identity(Identity {
        peer_name: name.into(),
        authorized_identity: identity.into(),
    })
}

fn message(to: &str, time: u64, tid: &str) -> Record {
    Record::Silo(SiloMessage {
        dest_uri: to.into(),
        source_uri: "<sip:bob@example.org>".into(),
        original_sent_time: time,
        tid: tid.into(),
        mime_type: "text/plain".into(),
        message_body: b"h\xc3\xa4llo \0\xff".to_vec(),
    })
}

pub(crate) fn one_of_each() -> Vec<Vec<Record>> {
    let route = |order, pattern: &str| {
        Record::Route(Route {
            matching_pattern: pattern.into(),
            rewrite_expression: "sip:$1@127.0.0.1".into(),
            order,
            ..Route::default()
        })
    };
    let filter = |header: &str, action, data: &str| {
        Record::Filter(Filter {
            cond1_header: header.into(),
            cond1_regex: "^.*'\\\\\"x$".into(),
            action,
            action_data: data.into(),
            order: -3,
            ..Filter::default()
        })
    };
    let registration = |contact: &str| {
        Record::Registration(StaticRegistration {
            aor: "sip:desk@example.org".into(),
            contact: contact.into(),
            path: "<sip:127.0.0.1;lr>,<sip:127.0.0.2;lr>".into(),
        })
    };
    let acl = |address: &str, port| {
        Record::Acl(Acl {
            address: address.into(),
            mask: 32,
            port,
            transport: 1,
            ..Acl::default()
        })
    };
    let domain = |name: &str| {
        Record::Domain(Domain {
            domain: name.into(),
            tls_port: 0,
        })
    };
    vec![
        vec![
            domain("Example.org"),
            domain("example.com"),
            domain("müller.example"),
        ],
        vec![acl("127.0.0.1", -5535), acl("127.0.0.1", 0)],
        vec![route(5, "^sip:(.*)@a"), route(6, "^sip:(.*)@b")],
        vec![
            filter("From", FilterAction::Reject, "403, No"),
            filter("To", FilterAction::Sql, "SELECT '$11'"),
        ],
        vec![
            registration("<sip:a@127.0.0.1>"),
            registration("<sip:b@127.0.0.1>"),
        ],
        vec![
            user("alice", "[MD5]8ea972d8db3f90d047e3cb6b6e1ad9da"),
            user("bob", "x"),
        ],
        vec![
            identity("gw", "a@example.org"),
            identity("gw", "example.org"),
        ],
        vec![
            message("sip:a@example.org", 1_700_000_000, "t1"),
            message("sip:a@example.org", 1_700_000_001, "t2"),
        ],
    ]
}

pub(crate) fn every_table_keeps_what_it_is_given(kind: SqlKind) {
    let database = Server::shared(kind).database();
    let store = database.store();
    for records in one_of_each() {
        let table = records[0].table();
        let keys: Vec<String> = records.iter().map(Record::key).collect();
        assert!(all(&store, table).is_empty(), "{table}");
        assert_eq!(store.get(table, &keys[0]).unwrap(), None, "{table}");
        let mut backwards = records.clone();
        backwards.reverse();
        let added = vec![Put::Added; records.len()];
        assert_eq!(store.put(&backwards).unwrap(), added, "{table}");
        assert_eq!(all(&store, table), records, "{table}: in the order of keys");
        let same = vec![Put::Same; records.len()];
        assert_eq!(store.put(&records).unwrap(), same, "{table}");
        for (record, key) in records.iter().zip(&keys) {
            assert_eq!(
                store.get(table, key).unwrap().as_ref(),
                Some(record),
                "{table}"
            );
        }
        let mut first = 0;
        store
            .each(table, &mut |_| {
                first += 1;
                Flow::Enough
            })
            .unwrap();
        assert_eq!(first, 1, "{table}");
        let gone = [keys[0].clone(), "nobody@nowhere".to_owned()];
        assert_eq!(store.remove(table, &gone).unwrap(), 1, "{table}");
        assert_eq!(all(&store, table), records[1..], "{table}");
        assert_eq!(
            store.replace(&keys[1], &records[0]).unwrap(),
            Put::Added,
            "{table}"
        );
        assert_eq!(store.get(table, &keys[1]).unwrap(), None, "{table}");
        assert_eq!(
            store.replace(&keys[0], &records[0]).unwrap(),
            Put::Same,
            "{table}"
        );
        assert_eq!(store.put(&[]).unwrap(), []);
    }
    let changed = user("alice", "another");
    assert_eq!(
        store.put(std::slice::from_ref(&changed)).unwrap(),
        [Put::Changed]
    );
    let key = changed.key();
    assert_eq!(store.get(Table::User, &key).unwrap(), Some(changed));
    assert_eq!(store.version().unwrap(), None);
}

pub(crate) fn a_change_is_made_whole_or_not_at_all(kind: SqlKind) {
    let database = Server::shared(kind).database();
    let store = database.store();
    let records = [user("alice", "x"), user(&"b".repeat(65), "x")];
    assert!(
        store.put(&records).is_err(),
        "a name that the column has no room for"
    );
    assert!(all(&store, Table::User).is_empty());
    assert_eq!(
        store.put(&records[..1]).unwrap(),
        [Put::Added],
        "and the connection goes on"
    );
    assert!(store.replace("alice@example.org", &records[1]).is_err());
    assert_eq!(all(&store, Table::User), records[..1]);
}

pub(crate) fn kept_messages_come_oldest_first_and_expire(kind: SqlKind) {
    let database = Server::shared(kind).database();
    let store = database.store();
    let uri = "sip:a'b@example.org";
    let other = "sip:A'b@example.org";
    let times: [u64; 4] = [1_700_000_300, 1_700_000_100, 1_700_000_200, 1_700_000_000];
    for time in times {
        store.put(&[message(uri, time, "t")]).unwrap();
    }
    store.put(&[message(other, 1_600_000_000, "t")]).unwrap();
    let came = |limit| -> Vec<u64> {
        let messages = store.messages_for(uri, limit).unwrap();
        messages.iter().map(|m| m.original_sent_time).collect()
    };
    assert_eq!(
        came(10),
        [1_700_000_000, 1_700_000_100, 1_700_000_200, 1_700_000_300]
    );
    assert_eq!(came(2), [1_700_000_000, 1_700_000_100]);
    assert_eq!(store.count_messages(uri).unwrap(), (4, 5));
    assert_eq!(store.count_messages("sip:c@example.org\0").unwrap(), (0, 5));
    assert_eq!(store.expire_messages(1_700_000_100).unwrap(), 2);
    assert_eq!(came(10), [1_700_000_100, 1_700_000_200, 1_700_000_300]);
    assert_eq!(store.count_messages(uri).unwrap(), (3, 3));
    assert_eq!(store.expire_messages(u64::MAX).unwrap(), 3);
    // The longest that a record has room for.
    let Record::Silo(mut long) = message(uri, 1_700_000_000, "long") else {
        unreachable!("a message")
    };
    long.message_body = vec![0xfe; 65_535];
    store.put(&[Record::Silo(long.clone())]).unwrap();
    assert_eq!(store.messages_for(uri, 1).unwrap(), [long]);
}

pub(crate) fn values_of_peers_are_never_text(kind: SqlKind) {
    let database = Server::shared(kind).database();
    let store = SqlStore::open(&SqlOptions {
        user_query: Some(
            "SELECT passwordHash FROM users WHERE domain = '$domain' AND email = '$user'".into(),
        ),
        tls_query: Some(
            "SELECT count(1) FROM tlsPeerIdentity WHERE peerName IN ($peerNames) \
             AND authorizedIdentity IN ($identities)"
                .into(),
        ),
        ..database.options()
    })
    .unwrap();
    store
        .put(&[user("alice", "h"), identity("gw", "example.org")])
        .unwrap();
    let plain = database.store();
    for evil in [
        "' OR 1=1 --",
        "' OR '1'='1",
        "x'; DELETE FROM users; --",
        "alice' #",
        "\\' OR 1=1 -- ",
        "\" OR \"\"=\"",
        "$1",
        "?",
        "alice\0",
        "%",
        "ALICE\u{300}",
        "' UNION SELECT 'x' --",
        // What stands for a value in a statement is no value of that name within a value.
        "$user",
        "'$domain'",
        "$peerNames",
        "$identities",
        "$$ OR 1=1 $$",
        "\0' OR 1=1 --",
    ] {
        let strings = vec![evil.to_owned()];
        let org = vec!["example.org".to_owned()];
        for store in [&store, &plain] {
            assert_eq!(
                store.password_hash(evil, "example.org").unwrap(),
                None,
                "{evil:?}"
            );
            assert_eq!(
                store.password_hash("alice", evil).unwrap(),
                None,
                "{evil:?}"
            );
            assert!(!store.authorizes(&strings, &org).unwrap(), "{evil:?}");
            assert!(
                !store.authorizes(&["gw".to_owned()], &strings).unwrap(),
                "{evil:?}"
            );
            assert_eq!(store.get(Table::User, evil).unwrap(), None, "{evil:?}");
            assert!(store.messages_for(evil, 5).unwrap().is_empty(), "{evil:?}");
        }
        if !evil.contains('\0') {
            // And they are kept as they are.
            let records = [user(evil, "h"), identity(evil, evil)];
            store.put(&records).unwrap();
            assert_eq!(
                store.password_hash(evil, "example.org").unwrap().as_deref(),
                Some("h")
            );
            assert!(store.authorizes(&strings, &strings).unwrap(), "{evil:?}");
            for record in &records {
                let removed = store.remove(record.table(), &[record.key()]).unwrap();
                assert_eq!(removed, 1, "{evil:?}");
            }
        }
    }
    assert_eq!(
        store
            .password_hash("alice", "example.org")
            .unwrap()
            .as_deref(),
        Some("h")
    );
    let unreadable = store.put(&[user("nul\0", "h")]);
    assert_eq!(
        unreadable.is_err(),
        kind == SqlKind::PostgreSql,
        "{unreadable:?}"
    );
}

pub(crate) fn queries_of_operators_are_asked(kind: SqlKind) {
    let database = Server::shared(kind).database();
    database.run(
        "CREATE TABLE subscriber (login VARCHAR(64), realm VARCHAR(64), ha1 VARCHAR(64));
         INSERT INTO subscriber VALUES ('carol', 'example.org', 'of-the-query'), ('alice', 'example.org', 'not-this'),
            ('dave', 'example.org', NULL);",
    );
    let with = |query: &str| {
        SqlStore::open(&SqlOptions {
            user_query: Some(query.into()),
            ..database.options()
        })
    };
    let store =
        with("SELECT ha1 FROM subscriber WHERE login = '$user' AND realm = '$domain';").unwrap();
    store
        .put(&[user("alice", "of-the-table"), user("dave", "")])
        .unwrap();
    for (situation, name, realm, hash) in [
        (
            "the table's row counts",
            "alice",
            "example.org",
            Some("of-the-table"),
        ),
        (
            "else the query's",
            "carol",
            "example.org",
            Some("of-the-query"),
        ),
        ("nobody", "eve", "example.org", None),
        ("no query without a realm", "carol", "", None),
        ("NULL is no hash", "dave", "example.org", Some("")),
    ] {
        let found = store.password_hash(name, realm).unwrap();
        assert_eq!(found.as_deref(), hash, "{situation}");
    }
    // A text around a name, and a number where the column is one.
    let store =
        with("SELECT max(ha1) FROM subscriber WHERE login LIKE '$user%' AND 1 = '1'").unwrap();
    assert_eq!(
        store
            .password_hash("car", "example.org")
            .unwrap()
            .as_deref(),
        Some("of-the-query")
    );
    let store = with("SELECT 42 FROM subscriber WHERE login = $user").unwrap();
    assert_eq!(
        store.password_hash("carol", "x").unwrap().as_deref(),
        Some("42")
    );
    assert!(with("SELECT ha1 FROM subscriber WHERE login = '$username'").is_err());
    let store = with("SELECT ha1 FROM nowhere WHERE login = '$user'").unwrap();
    assert!(
        matches!(store.password_hash("carol", "x"), Err(Error::MissingTable { table, .. }) if table.contains("nowhere"))
    );
}

pub(crate) fn a_certificate_may_use_what_the_table_says(kind: SqlKind) {
    let database = Server::shared(kind).database();
    // As an operator of repro had to put them there: by hand, several for a name, maybe twice.
    database.run(
        "INSERT INTO tlsPeerIdentity (peerName, authorizedIdentity) VALUES ('gw', 'example.org'), ('gw', 'example.org'),
            ('O''Hara, Inc.', 'alice@example.org');",
    );
    let texts = |texts: &[&str]| -> Vec<String> { texts.iter().map(|t| (*t).to_owned()).collect() };
    let custom = SqlStore::open(&SqlOptions {
        tls_query: Some(
            "SELECT COUNT(1) FROM tlsPeerIdentity WHERE authorizedIdentity IN ($identities) AND peerName IN ($peerNames)"
                .into(),
        ),
        ..database.options()
    })
    .unwrap();
    for store in [database.store(), custom] {
        for (situation, names, identities, may) in [
            (
                "one of several",
                &["x", "gw"] as &[&str],
                &["a@example.org", "example.org"] as &[&str],
                true,
            ),
            (
                "quotes and commas",
                &["O'Hara, Inc."],
                &["alice@example.org", "example.org"],
                true,
            ),
            ("another's", &["gw"], &["alice@example.org"], false),
            ("no name", &[], &["example.org"], false),
            ("no identity", &["gw"], &[], false),
            ("a name with NUL", &["gw\0"], &["example.org"], false),
        ] {
            let answer = store.authorizes(&texts(names), &texts(identities)).unwrap();
            assert_eq!(answer, may, "{situation}");
        }
    }
    let store = database.store();
    assert_eq!(
        all(&store, Table::Identity).len(),
        2,
        "one for each, however many rows"
    );
    assert_eq!(
        store.put(&[identity("gw", "example.org")]).unwrap(),
        [Put::Same]
    );
    assert_eq!(
        store
            .remove(Table::Identity, &texts(&["gw,example.org"]))
            .unwrap(),
        1
    );
    assert_eq!(
        all(&store, Table::Identity),
        [identity("O'Hara, Inc.", "alice@example.org")]
    );
}

pub(crate) fn request_filters_query_with_their_captures(kind: SqlKind) {
    let database = Server::shared(kind).database();
    database.run(
        "CREATE TABLE blocked (caller VARCHAR(64), level INT, answer VARCHAR(64));
         INSERT INTO blocked VALUES ('mal''lory', 7, '403, Blocked'), ('null', 0, NULL);",
    );
    let store = database.store();
    let captures = |condition: u8, capture: u8| match (condition, capture) {
        (1, 1) => Some("mal'lory".to_owned()),
        (1, 2) => Some("null".to_owned()),
        (2, 0) => Some("7".to_owned()),
        _ => None,
    };
    for (statement, answer) in [
        (
            "SELECT answer FROM blocked WHERE caller = '$11';",
            Some("403, Blocked"),
        ),
        (
            "SELECT answer FROM blocked WHERE caller = $11 AND level = $20",
            Some("403, Blocked"),
        ),
        ("SELECT level FROM blocked WHERE level = '$20'", Some("7")),
        ("SELECT answer FROM blocked WHERE caller = '$12'", None),
        ("SELECT answer FROM blocked WHERE caller = '$29'", None),
    ] {
        let said = store.query_filter(statement, &captures).unwrap();
        assert_eq!(said.as_deref(), answer, "{statement}");
    }
    for statement in [
        "SELECT '$user$31",
        "SELECT answer FROM blocked WHERE",
        "",
        "SELECT $31",
    ] {
        let said = store.query_filter(statement, &captures);
        assert!(
            matches!(said, Err(Error::Query { .. })),
            "{statement}: {said:?}"
        );
    }
    assert!(store.check_filter("SELECT $31").is_err());
}

pub(crate) fn a_wrong_password_is_refused_and_not_shown(kind: SqlKind) {
    let database = Server::shared(kind).database();
    for (situation, options) in [
        (
            "wrong password",
            SqlOptions {
                password: Password::new("wrong-secret"),
                ..database.options()
            },
        ),
        (
            "no password",
            SqlOptions {
                password: Password::default(),
                ..database.options()
            },
        ),
        (
            "no such user",
            SqlOptions {
                user: "nobody".into(),
                password: Password::new("wrong-secret"),
                ..database.options()
            },
        ),
        (
            "no such data base",
            SqlOptions {
                database: "nowhere".into(),
                ..database.options()
            },
        ),
    ] {
        let store = SqlStore::open(&options).unwrap();
        let error = store.check().unwrap_err();
        assert!(
            matches!(error, Error::Refused { .. }),
            "{situation}: {error:?}"
        );
        let said = format!("{error} {error:?} {}", store.place());
        assert!(
            !said.contains("wrong-secret") && !said.contains(PASSWORD),
            "{said}"
        );
        // While we wait before the next try, it is said at once, and the same.
        assert!(
            matches!(store.check(), Err(Error::Refused { .. })),
            "{situation}"
        );
    }
    database.store().check().unwrap();
}

pub(crate) fn a_missing_table_is_named(kind: SqlKind) {
    let store = Server::shared(kind).empty();
    let store = store.store();
    for table in Table::ALL {
        let error = store.each(table, &mut |_| Flow::More).unwrap_err();
        let wanted = table.sql_table().to_lowercase();
        assert!(
            matches!(&error, Error::MissingTable { table, .. } if table.to_lowercase().contains(&wanted)),
            "{error:?}"
        );
    }
}

pub(crate) fn a_table_may_have_a_prefix_and_a_schema(kind: SqlKind) {
    let database = Server::shared(kind).database();
    let prefix = match kind {
        SqlKind::PostgreSql => {
            database.run("CREATE SCHEMA sip; ALTER TABLE configsavp RENAME TO rp_configsavp; ALTER TABLE rp_configsavp SET SCHEMA sip");
            "sip.rp_"
        }
        SqlKind::MySql => {
            database.run("RENAME TABLE configsavp TO rp_configsavp");
            "rp_"
        }
    };
    let store = SqlStore::open(&SqlOptions {
        prefix: prefix.into(),
        ..database.options()
    })
    .unwrap();
    let domain = Record::Domain(Domain {
        domain: "example.org".into(),
        tls_port: 0,
    });
    store.put(std::slice::from_ref(&domain)).unwrap();
    assert_eq!(all(&store, Table::Domain), [domain]);
}

pub(crate) fn a_socket_serves_as_well(kind: SqlKind) {
    let server = Server::shared(kind);
    for tls in [SqlTls::Prefer, SqlTls::Verify] {
        let store = SqlStore::open(&SqlOptions {
            host: server.socket(),
            tls,
            ..server.database().options()
        })
        .unwrap();
        store.put(&[user("alice", "h")]).unwrap();
        let found = store.password_hash("alice", "example.org").unwrap();
        assert_eq!(found.as_deref(), Some("h"), "nobody is between: {tls:?}");
    }
}

pub(crate) fn tls_checks_whom_it_is_told_to_check(kind: SqlKind) {
    let server = Server::shared(kind);
    let database = server.database();
    // The certificate is for localhost.
    for (situation, tls, host, ca, good) in [
        (
            "nothing is checked",
            SqlTls::Require,
            "127.0.0.1",
            None,
            true,
        ),
        (
            "right CA and name",
            SqlTls::Verify,
            "localhost",
            Some(true),
            true,
        ),
        (
            "another's CA",
            SqlTls::Verify,
            "localhost",
            Some(false),
            false,
        ),
        ("the system's CAs", SqlTls::Verify, "localhost", None, false),
        (
            "another name",
            SqlTls::Verify,
            "127.0.0.1",
            Some(true),
            false,
        ),
        ("no TLS at all", SqlTls::Off, "127.0.0.1", None, true),
    ] {
        let store = SqlStore::open(&SqlOptions {
            tls,
            host: host.into(),
            ca_file: ca.map(|right| server.ca(right)),
            user_query: Some(match kind {
                SqlKind::PostgreSql => {
                    "SELECT CASE WHEN ssl THEN version ELSE 'plain' END FROM pg_stat_ssl WHERE pid = pg_backend_pid()".into()
                }
                SqlKind::MySql => {
                    "SELECT IF(VARIABLE_VALUE = '', 'plain', VARIABLE_VALUE) FROM information_schema.SESSION_STATUS \
                     WHERE VARIABLE_NAME = 'Ssl_version'"
                        .into()
                }
            }),
            ..database.options()
        })
        .unwrap();
        match store.password_hash("nobody", "example.org") {
            Ok(version) => {
                assert!(good, "{situation}");
                let version = version.unwrap();
                assert_eq!(
                    version.starts_with("TLSv1."),
                    tls != SqlTls::Off,
                    "{situation}: {version}"
                );
            }
            Err(error) => {
                assert!(!good, "{situation}: {error}");
                assert!(
                    matches!(error, Error::Unreachable { .. }),
                    "{situation}: {error:?}"
                );
                assert!(
                    error.to_string().contains("certificate"),
                    "{situation}: {error}"
                );
            }
        }
    }
    if kind == SqlKind::PostgreSql {
        let conninfo = |mode: &str| SqlOptions {
            conninfo: Password::new(format!(
                "sslmode={mode} sslrootcert='{}'",
                server.ca(true).display()
            )),
            ..database.options()
        };
        for (mode, good) in [("verify-ca", true), ("verify-full", false)] {
            let store = SqlStore::open(&conninfo(mode)).unwrap();
            assert_eq!(store.check().is_ok(), good, "{mode}");
        }
    }
}
