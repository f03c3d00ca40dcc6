//! Every way to answer a challenge that must not work, and the few that must.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use super::hash::computed;
use super::test_support::{
    Client, NOW, REALM, SECRET, URI, digest, ip, memory, nonce, options, sealer, stored,
};
use super::{
    Algorithm, Credentials, CredentialsFault, Digest, DigestFault, DigestMemory, DigestOptions,
    DigestUser, Field, HashText, ha1,
};

use DigestFault::*;

type Change = fn(&mut Client);

fn outcome(result: Result<DigestUser, DigestFault>) -> Result<(), DigestFault> {
    result.map(|_| ())
}

#[test]
fn an_answer_must_fit_its_challenge_and_its_request() {
    let all = stored(&Algorithm::ALL);
    let cases: [(&str, Change, Result<(), DigestFault>); 24] = [
        ("hers", |_| (), Ok(())),
        (
            "MD5 is meant without a name",
            |c| c.names_algorithm = None,
            Ok(()),
        ),
        (
            "its name in small letters",
            |c| c.names_algorithm = Some("md5"),
            Ok(()),
        ),
        ("auth-int", |c| c.qop = Some("auth-int"), Ok(())),
        (
            "auth-int with the body that was sent",
            |c| (c.qop, c.body, c.sent_body) = (Some("auth-int"), b"v=0", b"v=0"),
            Ok(()),
        ),
        (
            "auth-int with a changed body",
            |c| (c.qop, c.body, c.sent_body) = (Some("auth-int"), b"v=0", b"v=1"),
            Err(Wrong),
        ),
        (
            "auth leaves the body out",
            |c| (c.body, c.sent_body) = (b"v=0", b"v=1"),
            Ok(()),
        ),
        (
            "a protection that nobody knows",
            |c| c.qop = Some("auth-conf"),
            Err(NoQop),
        ),
        ("the form of RFC 2069", |c| c.qop = None, Err(NoQop)),
        (
            "a session algorithm",
            |c| c.names_algorithm = Some("MD5-sess"),
            Err(AlgorithmNotOffered),
        ),
        (
            "an unknown algorithm",
            |c| c.names_algorithm = Some("SHA3"),
            Err(AlgorithmNotOffered),
        ),
        (
            "a hash of another length",
            |c| c.names_algorithm = Some("SHA-256"),
            Err(Malformed(CredentialsFault::Response)),
        ),
        (
            "of another algorithm of that length",
            |c| {
                c.algorithm = Algorithm::Sha512_256;
                c.names_algorithm = Some("SHA-256");
            },
            Err(Wrong),
        ),
        ("another method", |c| c.sent_method = "MESSAGE", Err(Wrong)),
        (
            "another URI",
            |c| c.sent_uri = "sip:eve@example.org",
            Err(UriMismatch),
        ),
        (
            "the same, as URIs",
            |c| c.sent_uri = "sip:%62ob@EXAMPLE.org",
            Ok(()),
        ),
        (
            "of another scheme",
            |c| c.sent_uri = "tel:+1",
            Err(UriMismatch),
        ),
        (
            "another scheme, octet for octet",
            |c| (c.uri, c.sent_uri) = ("tel:+1".into(), "tel:+1"),
            Ok(()),
        ),
        (
            "the realm of another",
            |c| c.realm = "example.net".into(),
            Err(ForeignNonce),
        ),
        (
            "the realm in capitals",
            |c| c.realm = "EXAMPLE.ORG".into(),
            Err(ForeignNonce),
        ),
        ("no nonce yet", |c| c.nonce.clear(), Err(ForeignNonce)),
        ("another address", |c| c.source = "192.0.2.2", Err(Stale)),
        ("at its last second", |c| c.at = NOW + 3000, Ok(())),
        ("a second later", |c| c.at = NOW + 3001, Err(Stale)),
    ];
    for (situation, change, expected) in cases {
        let digest = digest(options());
        let client = Client::new(&digest).with(change);
        let found = outcome(client.send(&digest, Some(&all)));
        assert_eq!(found, expected, "{situation}");
    }
}

#[test]
fn every_algorithm_that_is_offered_proves_a_user_who_has_its_hash() {
    let digest = digest(options());
    for algorithm in Algorithm::ALL {
        let client = Client::new(&digest).with_algorithm(algorithm);
        let found = client.send(&digest, Some(&stored(&Algorithm::ALL)));
        let alice = DigestUser {
            user: "alice".into(),
            domain: REALM.into(),
            realm: REALM.into(),
        };
        assert_eq!(found, Ok(alice), "{algorithm}");
    }
}

#[test]
fn an_empty_a1_is_never_accepted_and_no_algorithm_taken_for_another() {
    let md5 = stored(&[Algorithm::Md5]);
    let none = HashText::default();
    for legacy in [false, true] {
        let digest = digest(DigestOptions {
            legacy,
            // Every guess is looked at.
            max_failures_per_user: 0,
            ..options()
        });
        for (situation, stored) in [
            ("no such user", None),
            ("no password", Some(&none)),
            ("MD5 only", Some(&md5)),
        ] {
            for algorithm in [Algorithm::Sha256, Algorithm::Sha512_256] {
                let client = Client::new(&digest).with_algorithm(algorithm);
                let empty = client.clone().with(|c| c.a1.clear());
                let found = outcome(empty.send(&digest, stored));
                assert_eq!(found, Err(Wrong), "{situation}, empty A1, {algorithm}");
                let found = outcome(client.send(&digest, stored));
                assert_eq!(found, Err(Wrong), "{situation}, the password, {algorithm}");
                let other = client.with(|c| {
                    c.a1 = ha1(Algorithm::Md5, "alice", REALM, b"alice-pw").unwrap();
                });
                let found = outcome(other.send(&digest, stored));
                assert_eq!(found, Err(Wrong), "{situation}, A1 of MD5, {algorithm}");
            }
        }
        let digest = Digest::new(
            DigestOptions {
                algorithms: vec![Algorithm::Md5],
                legacy,
                ..options()
            },
            sealer(SECRET),
            memory(),
        );
        let client = Client::new(&digest).with_algorithm(Algorithm::Sha256);
        let found = outcome(client.send(&digest, Some(&stored(&Algorithm::ALL))));
        assert_eq!(found, Err(AlgorithmNotOffered), "legacy {legacy}");
    }
}

#[test]
fn who_does_not_exist_costs_and_hears_the_same_as_a_wrong_password() {
    let all = stored(&Algorithm::ALL);
    let none = HashText::default();
    let md5 = stored(&[Algorithm::Md5]);
    for algorithm in Algorithm::ALL {
        for qop in [Some("auth"), Some("auth-int"), None] {
            let digest = digest(DigestOptions {
                legacy: true,
                ..options()
            });
            let client = Client::new(&digest).with_algorithm(algorithm).with(|c| {
                c.qop = qop;
                c.a1 = ha1(algorithm, "alice", REALM, b"a guess").unwrap();
            });
            let value = client.value();
            let work = |stored: Option<&HashText>| {
                let credentials = Credentials::parse(value.as_bytes()).unwrap().unwrap();
                let request = super::DigestRequest {
                    method: "INVITE",
                    uri: URI.as_bytes(),
                    body: b"",
                    is_datagram: false,
                };
                computed::take();
                let checked = digest
                    .check(&credentials, &request, ip("192.0.2.1"), NOW)
                    .unwrap();
                let found = digest.verify(checked, &credentials, &request, stored, NOW);
                (outcome(found), computed::take())
            };
            let wrong = work(Some(&all));
            assert_eq!(wrong.0, Err(Wrong));
            assert!(wrong.1.len() >= 3, "{:?}", wrong.1);
            assert_eq!(work(None), wrong, "no such user, {algorithm} {qop:?}");
            assert_eq!(work(Some(&none)), wrong, "no password, {algorithm} {qop:?}");
            if algorithm != Algorithm::Md5 {
                assert_eq!(work(Some(&md5)), wrong, "MD5 only, {algorithm} {qop:?}");
            }
        }
    }
}

#[test]
fn a_count_is_good_once_and_in_any_order() {
    let digest = digest(options());
    let all = stored(&Algorithm::ALL);
    let client = Client::new(&digest);
    let send = |nc| outcome(client.clone().with(|c| c.nc = nc).send(&digest, Some(&all)));
    for (situation, nc, expected) in [
        ("the first", 1, Ok(())),
        ("again", 1, Err(Replayed)),
        ("two are overtaken", 4, Ok(())),
        ("one of them", 2, Ok(())),
        ("again", 2, Err(Replayed)),
        ("far ahead", 100, Ok(())),
        ("too late", 3, Err(Replayed)),
    ] {
        assert_eq!(send(nc), expected, "{situation}");
    }
    // A wrong password spends nothing.
    let guess = client.clone().with(|c| {
        c.nc = 101;
        c.a1 = ha1(Algorithm::Md5, "alice", REALM, b"a guess").unwrap();
    });
    assert_eq!(outcome(guess.send(&digest, Some(&all))), Err(Wrong));
    assert_eq!(send(101), Ok(()));
    // Another user with the same nonce and count is another answer, and refused all the same.
    let bob = client.with(|c| c.username = "bob".into());
    assert_eq!(outcome(bob.send(&digest, Some(&all))), Err(Replayed));
}

#[test]
fn of_two_workers_that_have_checked_one_answer_one_gets_through() {
    let digest = digest(options());
    let all = stored(&Algorithm::ALL);
    let value = Client::new(&digest).value();
    let credentials = Credentials::parse(value.as_bytes()).unwrap().unwrap();
    let request = super::DigestRequest {
        method: "INVITE",
        uri: URI.as_bytes(),
        body: b"",
        is_datagram: false,
    };
    let check = || digest.check(&credentials, &request, ip("192.0.2.1"), NOW);
    let (first, second) = (check().unwrap(), check().unwrap());
    let verify = |checked| outcome(digest.verify(checked, &credentials, &request, Some(&all), NOW));
    assert_eq!(verify(second), Ok(()));
    assert_eq!(verify(first), Err(Replayed));
}

#[test]
fn nonces_are_ours_or_nothing() {
    let all = stored(&Algorithm::ALL);
    let (shared, memory) = (sealer(SECRET), memory());
    let own = Digest::new(options(), shared.clone(), memory.clone());
    let good = Client::new(&own);
    let send = |digest: &Digest, client: &Client| outcome(client.send(digest, Some(&all)));
    for at in 0..good.nonce.len() {
        let other = if good.nonce.get(at..=at) == Some("A") {
            "B"
        } else {
            "A"
        };
        let changed = good.clone().with(|c| c.nonce.replace_range(at..=at, other));
        assert_eq!(send(&own, &changed), Err(ForeignNonce), "letter {at}");
    }
    let restarted = Digest::new(options(), sealer(SECRET), super::test_support::memory());
    assert_eq!(
        send(&restarted, &good),
        Err(Stale),
        "another process, one secret"
    );
    let foreign = Digest::new(options(), sealer("some other secret"), memory.clone());
    assert_eq!(send(&foreign, &good), Err(ForeignNonce), "another secret");
    let later = Arc::new(DigestMemory::new(NOW + 1).unwrap());
    let early = Digest::new(options(), shared.clone(), later);
    assert_eq!(
        send(&early, &Client::new(&early)),
        Err(Stale),
        "from before the start"
    );
    let future = good.clone().with(|c| c.at = NOW - 3001);
    assert_eq!(send(&own, &future), Err(Stale), "a clock that was set back");
    let reloaded = Digest::new(options(), shared.clone(), memory.clone());
    assert_eq!(send(&reloaded, &good), Ok(()), "a reload keeps them");
    assert_eq!(send(&own, &good), Err(Replayed), "and what is spent");

    let anywhere = DigestOptions {
        bind_source: false,
        ..options()
    };
    let unbound = Digest::new(anywhere, shared, memory);
    let moved = Client::new(&unbound).with(|c| c.source = "198.51.100.9");
    assert_eq!(send(&unbound, &moved), Ok(()), "good from anywhere");
    let moved = Client::new(&unbound).with(|c| c.source = "198.51.100.9");
    assert_eq!(send(&own, &moved), Err(Stale), "until that is switched off");
    let mapped = Client::new(&own).with(|c| c.source = "::ffff:192.0.2.1");
    assert_eq!(send(&own, &mapped), Ok(()), "one address, two spellings");
}

#[test]
fn the_form_of_rfc_2069_is_accepted_where_it_is_allowed_and_spends_its_nonce() {
    let all = stored(&Algorithm::ALL);
    let own = digest(DigestOptions {
        require_qop: false,
        ..options()
    });
    let bare = Client::new(&own).with(|c| c.qop = None);
    assert_eq!(outcome(bare.send(&own, Some(&all))), Ok(()));
    assert_eq!(outcome(bare.send(&own, Some(&all))), Err(Replayed));
    let counted = bare.with(|c| c.qop = Some("auth"));
    assert_eq!(outcome(counted.send(&own, Some(&all))), Err(Replayed));
    let without = digest(DigestOptions {
        auth_int: false,
        ..options()
    });
    let client = Client::new(&without).with(|c| c.qop = Some("auth-int"));
    assert_eq!(
        outcome(client.send(&without, Some(&all))),
        Err(NoQop),
        "not offered"
    );
}

#[test]
fn the_rules_of_repro_allow_replays_other_uris_and_no_more() {
    let all = stored(&Algorithm::ALL);
    let digest = digest(DigestOptions {
        legacy: true,
        require_qop: false,
        ..options()
    });
    let cases: [(&str, Change, Result<(), DigestFault>); 6] = [
        (
            "another URI",
            |c| c.sent_uri = "sip:eve@example.org",
            Ok(()),
        ),
        ("without qop", |c| c.qop = None, Ok(())),
        ("another address", |c| c.source = "192.0.2.9", Err(Stale)),
        ("too late", |c| c.at = NOW + 3001, Err(Stale)),
        ("another realm", |c| c.realm = "h".into(), Err(ForeignNonce)),
        ("a guess", |c| c.a1.replace_range(0..1, "x"), Err(Wrong)),
    ];
    for (situation, change, expected) in cases {
        let client = Client::new(&digest).with(change);
        for _ in 0..3 {
            let found = outcome(client.send(&digest, Some(&all)));
            assert_eq!(found, expected, "{situation}");
        }
    }
}

#[test]
fn an_ack_has_the_credentials_of_its_invite() {
    let all = stored(&Algorithm::ALL);
    let ack: Change = |c| {
        c.sent_method = "ACK";
        c.sent_uri = "sip:bob@192.0.2.77";
        c.sent_body = b"";
    };
    for qop in [Some("auth"), Some("auth-int"), None] {
        let digest = digest(DigestOptions {
            require_qop: false,
            ..options()
        });
        let send = |client: &Client| outcome(client.send(&digest, Some(&all)));
        let invite = Client::new(&digest).with(|c| {
            (c.qop, c.body, c.sent_body) = (qop, b"v=0", b"v=0");
        });
        let repeated = invite.clone().with(ack);
        assert_eq!(send(&repeated), Err(Replayed), "before it, {qop:?}");
        assert_eq!(send(&invite), Ok(()));
        for _ in 0..2 {
            assert_eq!(send(&repeated), Ok(()), "any number of times, {qop:?}");
        }
        assert_eq!(send(&invite), Err(Replayed), "{qop:?}");
        let guess = repeated.clone().with(|c| c.a1.replace_range(0..1, "x"));
        let expected = match qop {
            Some("auth-int") => Err(Replayed),
            _ => Err(Wrong),
        };
        assert_eq!(send(&guess), expected, "{qop:?}");
        let own = invite.with(ack).with(|c| c.method = "ACK");
        let found = send(&own);
        assert_eq!(found, expected, "made for the ACK, {qop:?}");
    }
    // What mallory proved does not make her alice.
    let digest = digest(options());
    let mallory = Client::new(&digest).with(|c| {
        (c.username, c.qop) = ("mallory".into(), Some("auth-int"));
    });
    assert_eq!(outcome(mallory.send(&digest, Some(&all))), Ok(()));
    let repeated = mallory.clone().with(ack);
    assert_eq!(outcome(repeated.send(&digest, Some(&all))), Ok(()));
    let alice = repeated.with(|c| c.username = "alice".into());
    let found = outcome(alice.send(&digest, Some(&all)));
    assert_eq!(found, Err(Replayed), "the response of another user");
    let message = Client::new(&digest).with(|c| {
        (c.method, c.sent_method, c.qop) = ("MESSAGE", "MESSAGE", Some("auth-int"));
    });
    assert_eq!(outcome(message.send(&digest, Some(&all))), Ok(()));
    let found = outcome(message.with(ack).send(&digest, Some(&all)));
    assert_eq!(found, Err(Replayed), "a MESSAGE has no ACK");
}

#[test]
fn guesses_are_limited_by_source_and_user_and_lock_nobody_out_at_home() {
    let all = stored(&Algorithm::ALL);
    let digest = digest(DigestOptions {
        max_failures_per_source: 3,
        max_failures_per_user: 8,
        bind_source: false,
        ..options()
    });
    let guess: Change = |c| c.a1 = ha1(Algorithm::Md5, "alice", REALM, b"a guess").unwrap();
    let send = |source, change: Change, stored| {
        let client = Client::new(&digest)
            .with(|c| c.source = source)
            .with(change);
        outcome(client.send(&digest, stored))
    };
    let hers: Change = |_| ();
    let nobody: Change = |c| c.username = "nobody".into();
    let other: Change = |c| c.username = "other".into();
    let third: Change = |c| c.username = "third".into();
    let fourth: Change = |c| c.username = "fourth".into();
    let home = "192.0.2.1";
    let [a, b, c, d, e] = [
        "192.0.2.2",
        "192.0.2.3",
        "192.0.2.4",
        "192.0.2.5",
        "192.0.2.6",
    ];
    let all = Some(&all);
    let many = Err(TooManyFailures);
    for (situation, source, change, stored, expected) in [
        ("at home", home, hers, all, Ok(())),
        ("a guess", a, guess, all, Err(Wrong)),
        ("a guess", a, guess, all, Err(Wrong)),
        ("too many for her from there", a, guess, all, many),
        ("even of the right one", a, hers, all, many),
        ("not for another user", a, nobody, None, Err(Wrong)),
        ("too many from there", a, other, None, many),
        ("a guess from elsewhere", b, guess, all, Err(Wrong)),
        ("a guess", b, guess, all, Err(Wrong)),
        ("a guess from a third", c, guess, all, Err(Wrong)),
        ("a guess", c, guess, all, Err(Wrong)),
        ("a guess from a fourth", d, guess, all, Err(Wrong)),
        ("a guess", d, guess, all, Err(Wrong)),
        ("too many for her anywhere", e, hers, all, many),
        ("a neighbour", home, nobody, None, Err(Wrong)),
        ("his other guess", home, other, None, Err(Wrong)),
        ("his third", home, third, None, Err(Wrong)),
        ("too many from there", home, fourth, None, many),
        ("but of her who is at home", home, hers, all, Ok(())),
        ("others are not hers", e, nobody, None, Err(Wrong)),
    ] {
        assert_eq!(send(source, change, stored), expected, "{situation}");
    }
    // Eight seconds later one more is allowed, by 8 a minute.
    let later = Client::new(&digest).with(|c| (c.source, c.at) = (e, NOW + 8));
    assert_eq!(outcome(later.send(&digest, all)), Ok(()));
}

#[test]
fn guesses_that_were_checked_before_the_first_was_counted_are_limited() {
    let all = stored(&Algorithm::ALL);
    let digest = digest(DigestOptions {
        max_failures_per_source: 2,
        ..options()
    });
    let value = Client::new(&digest)
        .with(|c| c.a1.replace_range(0..1, "x"))
        .value();
    let credentials = Credentials::parse(value.as_bytes()).unwrap().unwrap();
    let request = super::DigestRequest {
        method: "INVITE",
        uri: URI.as_bytes(),
        body: b"",
        is_datagram: false,
    };
    let checked: Vec<_> = (0..4)
        .map(|_| {
            digest
                .check(&credentials, &request, ip("192.0.2.1"), NOW)
                .unwrap()
        })
        .collect();
    let found: Vec<_> = checked
        .into_iter()
        .map(|c| outcome(digest.verify(c, &credentials, &request, Some(&all), NOW)))
        .collect();
    let [wrong, many] = [Err(Wrong), Err(TooManyFailures)];
    assert_eq!(found, [wrong, wrong, many, many]);
}

#[test]
fn a_full_name_is_of_its_own_domain() {
    for (name, realm, user, domain) in [
        ("bob", "example.org", "bob", "example.org"),
        ("bob", "EXAMPLE.org.", "bob", "example.org"),
        ("bob@Example.NET", "example.org", "bob", "example.net"),
        ("bob@a@b", "example.org", "bob", "a@b"),
        ("@", "example.org", "", ""),
    ] {
        let value = format!(
            "Digest username=\"{name}\", realm=\"{realm}\", nonce=\"\", uri=\"\", response=\"\""
        );
        let credentials = Credentials::parse(value.as_bytes()).unwrap().unwrap();
        let found = Digest::lookup_key(&credentials);
        assert_eq!(
            found,
            (user.to_owned(), domain.to_owned()),
            "{name} {realm}"
        );
    }
    let digest = digest(options());
    let client = Client::new(&digest).with(|c| {
        c.username = "alice@Example.NET".into();
        c.a1 = ha1(Algorithm::Md5, &c.username, REALM, b"pw").unwrap();
    });
    let stored = HashText::of_password(&[Algorithm::Md5], "alice@Example.NET", REALM, b"pw");
    let user = client.send(&digest, Some(&stored.unwrap())).unwrap();
    assert_eq!((&*user.domain, &*user.realm), ("example.net", REALM));
}

#[test]
fn a_challenge_offers_what_the_options_say() {
    let text = |options: DigestOptions, field, realm: &str, stale| {
        let lines = digest(options).challenge(field, realm, stale, ip("::1"), NOW)?;
        let text = String::from_utf8(lines).unwrap();
        let nonces: Vec<_> = text
            .split("nonce=\"")
            .skip(1)
            .map(|t| t.split('"').next().unwrap())
            .collect();
        let mut shown = text.clone();
        for nonce in &nonces {
            assert!(
                nonce.len() < 100 && nonces.first() == Some(nonce),
                "{nonce}"
            );
            shown = shown.replace(nonce, "N");
        }
        Some(shown)
    };
    let md5 = || DigestOptions {
        algorithms: vec![Algorithm::Md5; 2],
        ..options()
    };
    for (situation, options, field, realm, stale, expected) in [
        (
            "all algorithms in order (RFC 8760 §2.3)",
            options(),
            Field::Www,
            "h",
            false,
            Some(
                "WWW-Authenticate: Digest realm=\"h\", nonce=\"N\", algorithm=SHA-512-256, qop=\"auth,auth-int\"\r\n\
                 WWW-Authenticate: Digest realm=\"h\", nonce=\"N\", algorithm=SHA-256, qop=\"auth,auth-int\"\r\n\
                 WWW-Authenticate: Digest realm=\"h\", nonce=\"N\", algorithm=MD5, qop=\"auth,auth-int\"\r\n",
            ),
        ),
        (
            "one of them, stale",
            DigestOptions {
                auth_int: false,
                ..md5()
            },
            Field::Proxy,
            "h",
            true,
            Some(
                "Proxy-Authenticate: Digest realm=\"h\", nonce=\"N\", algorithm=MD5, qop=\"auth\", stale=true\r\n",
            ),
        ),
        (
            "as repro without auth-int",
            DigestOptions {
                auth_int: false,
                require_qop: false,
                ..md5()
            },
            Field::Proxy,
            "h",
            false,
            Some("Proxy-Authenticate: Digest realm=\"h\", nonce=\"N\", algorithm=MD5\r\n"),
        ),
        (
            "a realm with quotes",
            DigestOptions {
                auth_int: false,
                ..md5()
            },
            Field::Www,
            "a \"b\\c\"",
            false,
            Some(
                "WWW-Authenticate: Digest realm=\"a \\\"b\\\\c\\\"\", nonce=\"N\", algorithm=MD5, qop=\"auth\"\r\n",
            ),
        ),
        (
            "a realm that would be two lines",
            md5(),
            Field::Www,
            "a\r\nb: c",
            false,
            None,
        ),
        (
            "a realm that nobody could repeat",
            md5(),
            Field::Www,
            &"x".repeat(1025),
            false,
            None,
        ),
        (
            "no algorithm",
            DigestOptions {
                algorithms: vec![],
                ..options()
            },
            Field::Www,
            "h",
            false,
            None,
        ),
    ] {
        let found = text(options, field, realm, stale);
        assert_eq!(found.as_deref(), expected, "{situation}");
    }
    let one = digest(options());
    let (a, b) = (nonce(&one, "h", "::1", NOW), nonce(&one, "h", "::1", NOW));
    assert_ne!(a, b, "each challenge has its own");
}
