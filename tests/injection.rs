//! Names of certificates and users that would be SQL if anybody read them as that: to the embedded store they are names.
//! `tests/databases` asks PostgreSQL and MariaDB the same, and their custom queries.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking"
)]

use sipvouch::store::embedded::{Access, Embedded};
use sipvouch::store::{Flow, Identity, Record, Store, Table, User};

const EVIL: &[&str] = &[
    "' OR 1=1 --",
    "' OR '1'='1",
    "x'; DELETE FROM user; --",
    "x'); DROP TABLE identity; --",
    "\\' OR 1=1 -- ",
    "\" OR \"\"=\"",
    "$1",
    "?1",
    "?",
    ":key",
    "@key",
    "$user",
    "$peerNames",
    "%",
    "_lice",
    "alice' UNION SELECT 'x' --",
    "alice\0",
    "\0",
    "alice\0' OR 1=1 --",
];

fn user(name: &str) -> Record {
    Record::User(User {
        user: name.into(),
        domain: "example.org".into(),
        password_hash: "of-the-user".into(),
        ..User::default()
    })
}

fn identity(name: &str, identity: &str) -> Record {
    Record::Identity(Identity {
        peer_name: name.into(),
        authorized_identity: identity.into(),
    })
}

fn count(store: &dyn Store, table: Table) -> usize {
    let mut count = 0;
    let counted = store.each(table, &mut |_| {
        count += 1;
        Flow::More
    });
    counted.unwrap();
    count
}

#[test]
fn values_of_peers_are_never_text_to_the_embedded_store() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sipvouch.db");
    let store = Embedded::open(&path, Access::Create).unwrap();
    store
        .put(&[user("alice"), identity("gw", "example.org")])
        .unwrap();
    let org = ["example.org".to_owned()];
    let gateway = ["gw".to_owned()];
    for evil in EVIL {
        let names = [(*evil).to_owned()];
        let hash = |user, domain| store.password_hash(user, domain).unwrap();
        assert_eq!(hash(evil, "example.org"), None, "{evil:?}");
        assert_eq!(hash("alice", evil), None, "{evil:?}");
        assert!(!store.authorizes(&names, &org).unwrap(), "{evil:?}");
        assert!(!store.authorizes(&gateway, &names).unwrap(), "{evil:?}");
        let both = [gateway.clone(), names.clone()].concat();
        assert!(store.authorizes(&both, &org).unwrap(), "one of several");
        for key in [(*evil).to_owned(), format!("{evil}@example.org")] {
            assert_eq!(store.get(Table::User, &key).unwrap(), None, "{evil:?}");
        }
        assert!(store.messages_for(evil, 5).unwrap().is_empty(), "{evil:?}");
        assert_eq!(count(&store, Table::User), 1, "{evil:?}");
        assert_eq!(count(&store, Table::Identity), 1, "{evil:?}");
    }
    // Each is a name like others, if somebody has it, and nobody else's.
    for evil in EVIL.iter().filter(|evil| !evil.contains('\0')) {
        let names = [(*evil).to_owned()];
        store.put(&[user(evil), identity(evil, evil)]).unwrap();
        let hash = store.password_hash(evil, "example.org").unwrap();
        assert_eq!(hash.as_deref(), Some("of-the-user"), "{evil:?}");
        assert!(store.authorizes(&names, &names).unwrap(), "{evil:?}");
        assert!(!store.authorizes(&names, &org).unwrap(), "{evil:?}");
        for record in [user(evil), identity(evil, evil)] {
            let removed = store.remove(record.table(), &[record.key()]).unwrap();
            assert_eq!(removed, 1, "{evil:?}");
        }
    }
    let hash = store.password_hash("alice", "example.org").unwrap();
    assert_eq!(hash.as_deref(), Some("of-the-user"));
}
