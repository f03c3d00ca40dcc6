//! Passwords of programs that others wrote: baresip, Kamailio's module `uac` and sipp log in with each algorithm that they
//! have, and what they do with the others stands here as well, so that it is noticed when it changes.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use sipvouch::store::embedded::{Access, Embedded};
use sipvouch::store::{Record, STORE_FILE, Store as _, User};

use crate::calls::talk;
use crate::harness::{
    Baresip, Connection, KamailioSetup, Login, Phone, Request, Server, Setup, Sipp, TlsPeer,
    Transport, heavy, hex, report, tcp_from,
};

const PATIENCE: Duration = Duration::from_secs(20);

fn setup(algorithms: &str) -> Setup {
    let setup = Setup::usual()
        .set("DisableAuth", "false")
        .set("ForceRecordRouting", "true")
        .set("DigestChallengeAlgorithms", algorithms);
    for user in ["alice@example.org", "bob@example.org", "carol@example.org"] {
        setup.add_user(user);
    }
    setup
}

fn address(server: &Server, transport: Transport) -> SocketAddr {
    match transport {
        Transport::Tls => server.tls(),
        Transport::Tcp => server.tcp(),
        Transport::Udp => server.udp(),
    }
}

fn here() -> IpAddr {
    "127.0.0.3".parse().expect("an address")
}

/// A phone that has a password and no certificate.
fn phone(server: &Server, user: &str, transport: Transport, friend: &str) -> Phone {
    Baresip::new(&format!("{user}@example.org"))
        .over(transport)
        .password("pw")
        .writes_to(friend)
        .at(address(server, transport))
        .start()
}

#[test]
fn baresips_call_and_write_with_passwords_over_every_transport() {
    for (transport, algorithms, disable_auth_int) in [
        (Transport::Tls, "", "false"),
        (Transport::Tls, "MD5", "true"),
        (Transport::Tcp, "MD5", "false"),
        (Transport::Tcp, "", "true"),
        (Transport::Udp, "MD5", "false"),
        (Transport::Udp, "", "true"),
    ] {
        let server = setup(algorithms)
            .set("DisableAuthInt", disable_auth_int)
            .start();
        let mut alice = phone(&server, "alice", transport, "sip:bob@example.org").registered();
        let mut bob = phone(&server, "bob", transport, "sip:alice@example.org").registered();
        talk(&mut alice, &mut bob);
    }
}

/// baresip 1.0 has MD5 alone, and gives up at a challenge for another algorithm even where one for MD5 stands beside it,
/// whichever is first (RFC 8760 §2.4 has a client take the topmost that it supports).
#[test]
fn baresip_gives_up_where_more_than_md5_is_offered() {
    for (algorithms, transport) in [
        ("SHA-256", Transport::Tls),
        ("SHA-512-256", Transport::Tcp),
        ("SHA-256, MD5", Transport::Udp),
        ("MD5, SHA-256", Transport::Tcp),
        ("SHA-512-256, SHA-256, MD5", Transport::Tls),
    ] {
        let server = setup(algorithms).start();
        let mut alice = phone(&server, "alice", transport, "");
        let reason = alice.cannot_register();
        assert_eq!(reason, "Function not implemented", "{algorithms}");
    }
}

#[test]
fn baresip_with_a_wrong_password_is_refused() {
    let server = setup("MD5").start();
    let mut alice = Baresip::new("alice@example.org")
        .over(Transport::Tcp)
        .password("another")
        .at(server.tcp())
        .start();
    assert_eq!(alice.registration(), "403 Invalid password provided");
}

/// Whoever is registered, as somebody who asks with a password is told.
fn contacts(server: &Server, user: &str) -> Vec<String> {
    let mut query = Request::new(
        "REGISTER",
        "sip:example.org",
        &format!("sip:{user}@example.org"),
    );
    query.contact = Some(String::new());
    let mut peer = tcp_from(here(), server.tcp());
    let answer = peer.ask_as(&query, &Login::new(user, "pw")).response();
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.values("contact").map(str::to_owned).collect()
}

/// Kamailio 5.6 has MD5 alone as a client, and looks at the first challenge alone.
#[test]
fn kamailio_logs_in_where_md5_is_offered_first() {
    for (transport, algorithms, disable_auth_int, can) in [
        (Transport::Udp, "MD5", "false", true),
        (Transport::Tcp, "MD5", "true", true),
        (Transport::Tls, "MD5, SHA-256, SHA-512-256", "false", true),
        (Transport::Tcp, "SHA-256, MD5", "false", false),
        (Transport::Tcp, "SHA-256", "false", false),
        (Transport::Tls, "SHA-512-256", "false", false),
    ] {
        let situation = format!("{transport:?} {algorithms} {disable_auth_int}");
        let server = setup(algorithms)
            .set("DisableAuthInt", disable_auth_int)
            .start();
        let mut bob = TlsPeer::anonymous().connect(server.tls()).unwrap();
        let register = |user: &str| {
            Request::new(
                "REGISTER",
                "sip:example.org",
                &format!("sip:{user}@example.org"),
            )
        };
        let registered = bob.ask_as(&register("bob"), &Login::new("bob", "pw"));
        assert_eq!(registered.response().status, 200, "{situation}");

        let setup = KamailioSetup::client_of(address(&server, transport), transport);
        let mut kamailio = setup.start();
        let mut behind = tcp_from(here(), kamailio.phones());
        let status = behind.ask(&register("alice")).response().status;
        assert_eq!(status, if can { 200 } else { 401 }, "{situation}");
        assert_eq!(contacts(&server, "alice").len(), usize::from(can));

        let mut message = Request::new("MESSAGE", "sip:bob@example.org", "sip:alice@example.org");
        "through Kamailio".clone_into(&mut message.body);
        behind.send_request(&message).unwrap();
        if can {
            let came = bob.next_request(PATIENCE).expect("the message");
            assert_eq!(came.body, message.body.as_bytes(), "{situation}");
            assert_eq!(came.value("proxy-authorization"), None, "{situation}");
            bob.send(&came.answer(200, "OK")).unwrap();
        }
        let answer = behind.final_answer(&message, PATIENCE).response();
        assert_eq!(answer.status, if can { 200 } else { 407 }, "{situation}");

        // What it registers of its own accord.
        if can {
            let begun = Instant::now();
            while contacts(&server, "carol").is_empty() {
                assert!(
                    begun.elapsed() < PATIENCE,
                    "{situation}: {}",
                    kamailio.log()
                );
                std::thread::sleep(Duration::from_millis(100));
            }
            kamailio.logs(&["kama.answered method=MESSAGE"]);
        } else {
            kamailio.logs(&["unsupported algorithm"]);
            kamailio.logs(&["kama.cannot-answer method=MESSAGE"]);
            assert!(contacts(&server, "carol").is_empty(), "{situation}");
        }
    }
}

/// Puts users with the password `pw` into the store, as fast as it goes.
fn fill(setup: &Setup, users: &[String]) {
    setup.make_store();
    let store = Embedded::open(&setup.dir().join(STORE_FILE), Access::Existing).expect("a store");
    let records: Vec<Record> = users
        .iter()
        .map(|user| {
            Record::User(User {
                user: user.clone(),
                domain: "example.org".to_owned(),
                realm: "example.org".to_owned(),
                password_hash: hex("MD5", &format!("{user}:example.org:pw")),
                ..User::default()
            })
        })
        .collect();
    store.put(&records).expect("users");
}

/// The line of sipp's for a user.
fn log_in(user: &str) -> String {
    format!("{user};[authentication username={user} password=pw]")
}

/// sipp 3.6 has MD5 alone, protects bodies where it may, and refreshes with the nonce that it has and the next count.
#[test]
fn two_thousand_registrations_of_sipp_are_let_in_with_their_passwords() {
    const USERS: usize = 2000;
    let _alone = heavy();
    let users: Vec<String> = (0..USERS).map(|n| format!("user{n}")).collect();
    let lines: Vec<String> = users.iter().map(|user| log_in(user)).collect();
    for (transport, disable_auth_int) in [
        (Transport::Tcp, "false"),
        (Transport::Tcp, "true"),
        (Transport::Udp, "false"),
    ] {
        let setup = setup("MD5").set("DisableAuthInt", disable_auth_int);
        fill(&setup, &users);
        let server = setup.start();
        let begun = Instant::now();
        let counted = Sipp::new("log_in")
            .over(transport)
            .to(address(&server, transport))
            .lines(lines.clone())
            .calls(USERS, 600)
            .start()
            .finish(Duration::from_secs(120));
        counted.assert_flawless(USERS);
        report(&format!(
            "digest: {USERS} users of sipp logged in over {transport:?} and again, {disable_auth_int}, in {:.1} s\n",
            begun.elapsed().as_secs_f64()
        ));
    }
}

/// sipp ends at a challenge whose first algorithm it does not have.
#[test]
fn sipp_logs_in_where_md5_is_offered_first() {
    for (algorithms, can) in [
        ("MD5, SHA-256, SHA-512-256", true),
        ("SHA-256, MD5", false),
        ("SHA-512-256", false),
    ] {
        let server = setup(algorithms).start();
        let counted = Sipp::new("log_in")
            .over(Transport::Tcp)
            .to(server.tcp())
            .lines(vec![log_in("alice")])
            .calls(1, 10)
            .start()
            .finish(PATIENCE);
        assert_eq!(counted.is_flawless(1), can, "{algorithms}: {counted:?}");
        let why = format!("{counted:?}").contains("authentication must use MD5");
        assert_eq!(why, !can, "{algorithms}: {counted:?}");
    }
}

/// How long passwords are guessed, and how many a second it is to be in all.
const LASTS: Duration = Duration::from_secs(5);
const GUESSES: u32 = 10_000;
/// Guesses that are sent at once, by each of [`GUESSERS`].
const BATCH: u32 = 25;
/// What a guesser sends over, and whether the nonce was given to somebody else in place of to him.
const GUESSERS: [(bool, bool); 4] = [(true, false), (true, true), (false, false), (false, true)];
/// How often others ask.
const EVERY: Duration = Duration::from_millis(20);

fn message() -> Request {
    Request::new("MESSAGE", "sip:bob@example.org", "sip:alice@example.org")
}

/// A connection from an address of this machine, over TLS or TCP.
fn connection(server: &Server, certificate: &str, source: &str, tls: bool) -> Connection {
    let source = source.parse().expect("an address");
    if !tls {
        return tcp_from(source, server.tcp());
    }
    let mut peer = TlsPeer::named(certificate).from(source);
    peer.connect(server.tls()).expect("a connection")
}

/// Guesses the password of alice, or of one user after the other that there is not, until it is over; how many answers came.
fn guesser(server: &Server, of_alice: bool, tls: bool, stale: bool) -> u32 {
    let mut peer = connection(server, "none", "127.0.0.9", tls);
    let mut elsewhere = connection(server, "none", "127.0.0.8", tls);
    let wanted = if stale { 407 } else { 403 };
    let of_others = elsewhere.ask(&message()).response();
    let shares = u32::try_from(GUESSERS.len()).unwrap();
    let every = Duration::from_secs(1) * BATCH * shares / GUESSES;
    let begun = Instant::now();
    let (mut due, mut answered) = (Duration::ZERO, 0);
    while begun.elapsed() < LASTS {
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        due += every;
        let challenge = if stale {
            of_others.clone()
        } else {
            peer.ask(&message()).response()
        };
        let mut octets = Vec::new();
        for count in 1..=BATCH {
            let user = if of_alice {
                "alice".to_owned()
            } else {
                format!("nobody{tls}x{answered}x{count}")
            };
            let login = Login {
                count,
                ..Login::new(&user, "guess")
            };
            let mut request = message();
            request.headers.push(login.answer(&challenge, &request));
            octets.extend(request.octets(peer.transport(), peer.local()));
        }
        peer.send(&octets).expect("a connection that stands");
        for _ in 0..BATCH {
            let answer = peer.next(PATIENCE).response();
            assert_eq!(
                answer.status, wanted,
                "tls {tls}, stale {stale}: {answer:?}"
            );
            answered += 1;
        }
    }
    answered
}

/// Asks once every 20 ms, over a new connection now and then, until it is over; how long each answer took.
fn asker(connect: impl Fn() -> Connection, login: Option<&Login>) -> Vec<Duration> {
    let mut peer = connect();
    let begun = Instant::now();
    let mut took = Vec::new();
    let mut due = Duration::ZERO;
    while due < LASTS {
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        due += EVERY;
        let asked = Instant::now();
        if took.len() % 25 == 24 {
            peer = connect();
        }
        let answer = match login {
            Some(login) => peer.ask_as(&message(), login),
            None => peer.ask(&message()),
        };
        // bob is not there: whoever hears that was let in.
        assert_eq!(answer.response().status, 480);
        took.push(asked.elapsed());
    }
    took.sort_unstable();
    took
}

/// 10,000 wrong passwords a second, as far as this machine makes so many, beside two who have the right to ask.
fn flood(limits: &str, of_alice: bool, right_from_there: u16) {
    let _alone = heavy();
    let mut setup = setup("MD5").set("CertificateInsteadOfDigest", "true");
    if !limits.is_empty() {
        setup = setup
            .set("DigestMaximumFailuresPerSource", limits)
            .set("DigestMaximumFailuresPerUser", limits);
    }
    let server = setup.start();
    let alice = Login::new("alice", "pw");
    let by_password = || connection(&server, "none", "127.0.0.5", true);
    let by_certificate = || connection(&server, "alice-uri", "127.0.0.3", true);
    assert_eq!(
        by_password().ask_as(&message(), &alice).response().status,
        480
    );
    assert_eq!(by_certificate().ask(&message()).response().status, 480);

    let before = server.rss();
    let begun = Instant::now();
    let (guessed, passwords, certificates) = std::thread::scope(|scope| {
        let server = &server;
        let guessers =
            GUESSERS.map(|(tls, stale)| scope.spawn(move || guesser(server, of_alice, tls, stale)));
        let passwords = scope.spawn(|| asker(by_password, Some(&alice)));
        let certificates = scope.spawn(|| asker(by_certificate, None));
        let guessed: u32 = guessers.into_iter().map(|one| one.join().unwrap()).sum();
        (
            guessed,
            passwords.join().unwrap(),
            certificates.join().unwrap(),
        )
    });
    let rate = f64::from(guessed) / begun.elapsed().as_secs_f64();
    let grown = server.rss().saturating_sub(before);
    report(&format!(
        "digest: limits {limits:?}: {guessed} wrong passwords, {rate:.0} a second; by password {} right, half after {:?}, \
         the slowest {:?}; by certificate {} right, half after {:?}, the slowest {:?}; {before} KiB, {grown} more\n",
        passwords.len(),
        passwords[passwords.len() / 2],
        passwords[passwords.len() - 1],
        certificates.len(),
        certificates[certificates.len() / 2],
        certificates[certificates.len() - 1],
    ));
    // So few would be no flood at all.
    assert!(guessed > 1000, "{guessed}");
    let wanted = usize::try_from(LASTS.as_millis() / EVERY.as_millis()).unwrap();
    for took in [&passwords, &certificates] {
        assert_eq!(took.len(), wanted);
        assert!(took[wanted - 1] < Duration::from_secs(1), "{took:?}");
    }
    assert!(grown < 30 * 1024, "{before} KiB, {grown} more");

    // Where she never was before, and where the guesser is.
    for (source, status) in [("127.0.0.6", 480), ("127.0.0.9", right_from_there)] {
        let mut peer = connection(&server, "none", source, true);
        let answer = peer.ask_as(&message(), &alice).response();
        assert_eq!(answer.status, status, "{source}");
    }
}

#[test]
fn a_flood_of_wrong_passwords_slows_nobody_and_locks_nobody_out_elsewhere() {
    flood("", true, 403);
}

#[test]
fn a_flood_of_wrong_passwords_slows_nobody_though_each_is_looked_at() {
    flood("0", true, 480);
    flood("0", false, 480);
}
