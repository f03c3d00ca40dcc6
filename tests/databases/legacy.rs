//! Data bases as repro left them.

use sipvouch::store::{Error, Flow, Record, SqlKind, Store, Table};

use crate::cases::{all, user};
use crate::servers::Server;

const ROWS: &str = include_str!("repro_rows.tsv");

/// Table, attr, value.
fn rows() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    ROWS.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let mut fields = line.split('\t');
            (
                fields.next().unwrap(),
                fields.next().unwrap(),
                fields.next().unwrap(),
            )
        })
}

fn quoted(kind: SqlKind, text: &str) -> String {
    let text = text.replace('\'', "''");
    match kind {
        SqlKind::PostgreSql => format!("'{text}'"),
        SqlKind::MySql => format!("'{}'", text.replace('\\', "\\\\")),
    }
}

pub(crate) fn rows_of_repro_are_read_and_written_alike(kind: SqlKind) {
    let server = Server::shared(kind);
    let theirs = server.database();
    for (table, attr, value) in rows() {
        let (attr, value) = (quoted(kind, attr), quoted(kind, value));
        theirs.run(&format!("INSERT INTO {table} VALUES ({attr}, {value})"));
    }
    let store = theirs.store();
    let ours = server.database();
    for (table, count) in [
        (Table::Acl, 7),
        (Table::Domain, 3),
        (Table::Filter, 3),
        (Table::Route, 3),
        (Table::Registration, 2),
    ] {
        let records = all(&store, table);
        assert_eq!(records.len(), count, "{table}");
        ours.store().put(&records).unwrap();
        for record in &records {
            assert_eq!(
                store.get(table, &record.key()).unwrap().as_ref(),
                Some(record)
            );
        }
    }
    // To the octet: a table is equal when each of repro's rows is there and no other.
    for (table, attr, value) in rows() {
        let (attr, value) = (quoted(kind, attr), quoted(kind, value));
        ours.run(&format!(
            "DELETE FROM {table} WHERE attr = {attr} AND value = {value}"
        ));
    }
    for table in [
        Table::Acl,
        Table::Domain,
        Table::Filter,
        Table::Route,
        Table::Registration,
    ] {
        assert!(all(&ours.store(), table).is_empty(), "{table}");
    }
}

pub(crate) fn a_row_that_cannot_be_read_does_not_hide_the_others(kind: SqlKind) {
    let database = Server::shared(kind).database();
    database.run(
        "INSERT INTO configsavp VALUES ('a', 'no base64'), ('b', NULL), ('c', 'AQALAGV4YW1wbGUub3JnAAA='),
            ('example.org', 'AQALAGV4YW1wbGUub3JnAAA=');",
    );
    let store = database.store();
    let mut good = Vec::new();
    let mut bad = Vec::new();
    store
        .each(Table::Domain, &mut |record| {
            match record {
                Ok(record) => good.push(record.key()),
                Err(fault) => bad.push(fault.key),
            }
            Flow::More
        })
        .unwrap();
    assert_eq!(
        (good, bad),
        (
            vec!["example.org".into()],
            vec!["a".into(), "b".into(), "c".into()]
        )
    );
    assert!(matches!(store.get(Table::Domain, "a"), Err(Error::Record(fault)) if fault.key == "a"));
}

/// repro's own tables, as far as they differ from ours.
fn narrow_tables(kind: SqlKind) -> String {
    let (id, name) = match kind {
        SqlKind::PostgreSql => ("SERIAL PRIMARY KEY", "username"),
        SqlKind::MySql => ("INT PRIMARY KEY AUTO_INCREMENT", "user"),
    };
    let charset = match kind {
        SqlKind::PostgreSql => "",
        SqlKind::MySql => "ENGINE=InnoDB DEFAULT CHARSET=utf8 COLLATE=utf8_general_ci",
    };
    format!(
        "CREATE TABLE users (id {id}, {name} VARCHAR(64) NOT NULL, domain VARCHAR(253), realm VARCHAR(253), \
            passwordHash VARCHAR(32), passwordHashAlt VARCHAR(32), name VARCHAR(256), email VARCHAR(256), \
            forwardAddress VARCHAR(256), UNIQUE ({name}, domain)) {charset};
         CREATE TABLE tlsPeerIdentity (id {id}, peerName VARCHAR(253) NOT NULL, \
            authorizedIdentity VARCHAR(253) NOT NULL) {charset};"
    )
}

pub(crate) fn hashes_in_narrow_columns_are_told(kind: SqlKind) {
    let database = Server::shared(kind).empty();
    database.run(&narrow_tables(kind));
    let name = match kind {
        SqlKind::PostgreSql => "username",
        SqlKind::MySql => "user",
    };
    database.run(&format!(
        "INSERT INTO users ({name}, domain, realm, passwordHash) VALUES
            ('cut', 'example.org', 'example.org', '[MD5]8ea972d8db3f90d047e3cb6b6e1'),
            ('whole', 'example.org', 'example.org', '8ea972d8db3f90d047e3cb6b6e1ad9da');
         INSERT INTO tlsPeerIdentity (peerName, authorizedIdentity) VALUES ('müller', 'Example.org')"
    ));
    let store = database.store();
    assert_eq!(
        store
            .password_hash("whole", "example.org")
            .unwrap()
            .as_deref(),
        Some("8ea972d8db3f90d047e3cb6b6e1ad9da")
    );
    let error = store.password_hash("cut", "example.org").unwrap_err();
    assert!(
        matches!(&error, Error::Record(fault) if fault.key == "cut@example.org"),
        "{error:?}"
    );
    let mut faults = 0;
    store
        .each(Table::User, &mut |record| {
            faults += usize::from(record.is_err_and(|fault| fault.why.contains("Widen")));
            Flow::More
        })
        .unwrap();
    assert_eq!(faults, 1);
    let long = user("new", &format!("[MD5]{}", "a".repeat(180)));
    let error = store.put(&[long]).unwrap_err();
    assert!(error.to_string().contains("too narrow"), "{error}");
    assert_eq!(
        store.get(Table::User, "new@example.org").unwrap(),
        None,
        "nothing is cut off"
    );
    // MySQL's older collations equal what looks alike; a certificate's name has to be the one in the table.
    let texts = |text: &str| vec![text.to_owned()];
    for (name, may) in [("müller", true), ("muller", false), ("müller ", false)] {
        assert_eq!(
            store
                .authorizes(&texts(name), &texts("Example.org"))
                .unwrap(),
            may,
            "{name:?}"
        );
    }
    let other_case = store
        .authorizes(&texts("müller"), &texts("example.org"))
        .unwrap();
    assert_eq!(other_case, kind == SqlKind::MySql, "as repro has it");
}

/// repro's second schema for PostgreSQL: columns in tables, and views that make records of them.
const SECOND_SCHEMA: &str = r"
    CREATE FUNCTION le16(n int) RETURNS bytea LANGUAGE sql AS
        $$ SELECT substring(int2send(n::int2) FROM 2 FOR 1) || substring(int2send(n::int2) FROM 1 FOR 1) $$;
    CREATE FUNCTION str(s text) RETURNS bytea LANGUAGE sql AS
        $$ SELECT le16(octet_length(convert_to(s, 'UTF8'))) || convert_to(s, 'UTF8') $$;
    CREATE TABLE route (id SERIAL, method VARCHAR(64), event VARCHAR(64), matchingPattern VARCHAR(2048),
        rewriteExpression VARCHAR(2048), priority INT);
    CREATE VIEW routesavp (attr, value) AS
        SELECT ';' || priority || ':' || method || ' : ' || event || ' : ' || matchingPattern,
            encode(le16(1) || str(method) || str(event) || str(matchingPattern) || str(rewriteExpression)
                || le16(priority), 'base64')
        FROM route;
    INSERT INTO route (method, event, matchingPattern, rewriteExpression, priority)
        VALUES ('INVITE', '', '^sip:9([0-9]+)@example\.org', 'sip:$1@127.0.0.1:5070;transport=tcp;lr;a-long-one', 10);
";

#[test]
fn views_of_repros_second_schema_are_read_and_not_written() {
    let database = Server::shared(SqlKind::PostgreSql).empty();
    database.run(SECOND_SCHEMA);
    let store = database.store();
    let routes = all(&store, Table::Route);
    let [Record::Route(route)] = &routes[..] else {
        panic!("{routes:?}")
    };
    assert_eq!((route.method.as_str(), route.order), ("INVITE", 10));
    let key = routes[0].key();
    for error in [
        store.put(&routes).unwrap_err(),
        store
            .remove(Table::Route, std::slice::from_ref(&key))
            .unwrap_err(),
        store.replace(&key, &routes[0]).unwrap_err(),
    ] {
        assert!(error.to_string().contains("is a view"), "{error}");
    }
    assert_eq!(all(&store, Table::Route), routes);
}
