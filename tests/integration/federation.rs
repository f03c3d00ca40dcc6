//! Two domains that call each other over mutual TLS, each with a CA of its own: ours with a real Kamailio, and with
//! another of ours. Names are checked both ways, and who shows the wrong ones is refused.

use std::net::SocketAddr;
use std::time::Duration;

use crate::calls::talk;
use crate::harness::{
    Baresip, Kamailio, KamailioSetup, NameServer, Phone, Pki, Server, Setup, free_port,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// A server of example.org that trusts the partner's CA, and where it will listen.
fn setup() -> (Setup, SocketAddr) {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let setup = Setup::usual()
        .set("TLSPort", &address.port().to_string())
        .set(
            "CAFile",
            &Pki::get().path("ca/root-partner.crt").display().to_string(),
        )
        .set("ForceRecordRouting", "true");
    (setup, address)
}

/// The server finds this domain at this address, TLS only; it asks the name server for as long as that lives.
fn resolve_to(setup: Setup, domain: &str, address: SocketAddr) -> (Setup, NameServer) {
    let names = NameServer::new(&[
        &format!(
            "_sips._tcp.{domain} 60 SRV 0 0 {} sip.{domain}",
            address.port()
        ),
        &format!("sip.{domain} 60 A {}", address.ip()),
    ]);
    (setup.set("DNSServers", &names.address().to_string()), names)
}

/// A server, a Kamailio, and a phone of either.
struct Federation {
    server: Server,
    partner: Kamailio,
    alice: Phone,
    carol: Phone,
    _names: NameServer,
}

fn federation(setup: Setup, at: SocketAddr, partner: KamailioSetup) -> Federation {
    let (setup, names) = resolve_to(setup, "kama.test", partner.peers());
    let server = setup.start();
    let partner = partner.calls("example.org", at).start();
    let alice = phone(
        "alice@example.org",
        "alice-uri",
        server.tls(),
        "sip:carol@kama.test",
    );
    let carol = phone(
        "carol@kama.test",
        "carol-partner",
        partner.phones(),
        "sip:alice@example.org",
    );
    Federation {
        server,
        partner,
        alice,
        carol,
        _names: names,
    }
}

fn phone(aor: &str, certificate: &str, proxy: SocketAddr, friend: &str) -> Phone {
    Baresip::new(aor)
        .certificate(certificate)
        .at(proxy)
        .writes_to(friend)
        .start()
        .registered()
}

#[test]
fn users_of_two_domains_call_and_write_to_each_other() {
    let (setup, at) = setup();
    let partner = KamailioSetup::new("kama.test", "server-partner");
    let mut two = federation(setup, at, partner);
    talk(&mut two.carol, &mut two.alice);
    assert!(
        !two.partner.log().contains("kama.refused"),
        "{}",
        two.partner.log()
    );
    assert!(
        !two.partner.log().contains("kama.wrong-name"),
        "{}",
        two.partner.log()
    );
}

/// How a partner may come to us, and what comes of it.
struct Coming {
    situation: &'static str,
    verification: &'static str,
    shows: Option<&'static str>,
    /// What carol hears. A handshake that fails is silence to Kamailio, and its timer ends that.
    carol_hears: &'static str,
    partner_logs: &'static str,
    we_log: &'static str,
}

const COMING: &[Coming] = &[
    Coming {
        situation: "a certificate of another domain",
        verification: "Mandatory",
        shows: Some("server-partner-other"),
        carol_hears: "403 ",
        partner_logs: "kama.request",
        we_log: "auth.refused",
    },
    Coming {
        situation: "an expired one",
        verification: "Mandatory",
        shows: Some("server-partner-expired"),
        carol_hears: "408 ",
        partner_logs: "alert certificate expired",
        we_log: "reason=\"certificate has expired\"",
    },
    Coming {
        situation: "one of a CA that we do not trust",
        verification: "Mandatory",
        shows: Some("server-partner-untrusted"),
        carol_hears: "408 ",
        partner_logs: "alert unknown ca",
        we_log: "reason=\"unable to get local issuer certificate\"",
    },
    Coming {
        situation: "none, where one must be",
        verification: "Mandatory",
        shows: None,
        carol_hears: "408 ",
        partner_logs: "alert certificate required",
        we_log: "peer did not return a certificate",
    },
    Coming {
        situation: "none, where that is for each request to say",
        verification: "Optional",
        shows: None,
        carol_hears: "403 ",
        partner_logs: "kama.request",
        we_log: "auth.refused",
    },
];

#[test]
fn a_partner_that_calls_us_without_the_right_certificate_is_refused() {
    for row in COMING {
        let (setup, at) = setup();
        let setup = setup.set("TLSClientVerification", row.verification);
        let partner = KamailioSetup::new("kama.test", "server-partner").shows_as_client(row.shows);
        let mut two = federation(setup, at, partner);
        let mut seen = two.server.lines();
        two.carol.dial("sip:alice@example.org");
        let end = two.carol.closed();
        assert!(end.starts_with(row.carol_hears), "{}: {end}", row.situation);
        let end = two.carol.writes("let me in");
        assert!(end.starts_with(row.carol_hears), "{}: {end}", row.situation);
        two.partner.logs(&[row.partner_logs]);
        let logged = two.server.wait_after(&mut seen, &[row.we_log], PATIENCE);
        assert!(logged.is_some(), "{}: {}", row.situation, two.server.log());
        assert!(two.alice.received("INVITE").is_empty(), "{}", row.situation);
        assert!(
            two.alice.received("MESSAGE").is_empty(),
            "{}",
            row.situation
        );
    }
}

#[test]
fn a_partner_that_we_call_must_prove_the_name_that_we_asked_for() {
    for (situation, certificate, found) in [
        (
            "a certificate of another domain",
            "server-partner-other",
            "elsewhere.test",
        ),
        ("an expired one", "server-partner-expired", "expired"),
        (
            "one of a CA that we do not trust",
            "server-partner-untrusted",
            "kama.test",
        ),
    ] {
        let (setup, at) = setup();
        let partner = KamailioSetup::new("kama.test", certificate);
        let mut two = federation(setup, at, partner);
        let mut seen = two.server.lines();
        two.alice.dial("sip:carol@kama.test");
        let end = two.alice.closed();
        assert!(end.starts_with(['4', '5']), "{situation}: {end}");
        let end = two.alice.writes("let me in");
        assert!(end.starts_with(['4', '5']), "{situation}: {end}");
        // One line that says which name was wanted and what was found.
        let logged = two.server.wait_after(&mut seen, &["kama.test"], PATIENCE);
        let logged = logged.unwrap_or_else(|| panic!("{situation}: {}", two.server.log()));
        assert!(logged.contains(found), "{situation}: {logged}");
        assert!(
            !two.partner.log().contains("kama.request method=INVITE"),
            "{situation}"
        );
        assert!(two.carol.received("INVITE").is_empty(), "{situation}");
        assert!(two.carol.received("MESSAGE").is_empty(), "{situation}");
    }
}

/// Who trusts the partner's CA only in one of the two roles deals with the partner only in that.
#[test]
fn a_ca_is_trusted_in_its_role_alone() {
    let pki = Pki::get();
    let root = |name: &str| pki.path(&format!("ca/{name}.crt")).display().to_string();
    let (ours, partners) = (root("root-example"), root("root-partner"));
    for (situation, of_clients, of_servers, carol_hears, alice_hears, we_log) in [
        (
            "a CA of clients",
            &partners,
            &ours,
            "200 ",
            "500 Certificate Validation Failure",
            "wanted=kama.test fault=chain",
        ),
        (
            "a CA of servers",
            &ours,
            &partners,
            "408 ",
            "200 ",
            "tls.refused",
        ),
    ] {
        let (setup, at) = setup();
        let setup = setup
            .set("CAFile", of_clients)
            .set("TLSClientRoleCAFile", of_servers)
            .set("TLSClientVerification", "Mandatory");
        let partner = KamailioSetup::new("kama.test", "server-partner");
        let mut two = federation(setup, at, partner);
        let mut seen = two.server.lines();
        // Whichever is refused comes first: a connection that stands would be used both ways.
        let (carol, alice) = if carol_hears.starts_with('2') {
            let alice = two.alice.writes("from alice");
            (two.carol.writes("from carol"), alice)
        } else {
            let carol = two.carol.writes("from carol");
            (carol, two.alice.writes("from alice"))
        };
        assert!(carol.starts_with(carol_hears), "{situation}: {carol}");
        assert!(alice.starts_with(alice_hears), "{situation}: {alice}");
        let logged = two.server.wait_after(&mut seen, &[we_log], PATIENCE);
        assert!(logged.is_some(), "{situation}: {}", two.server.log());
    }
}

/// The other server of ours: the proxy of kama.test, with that certificate.
fn theirs(certificate: &str) -> (Setup, SocketAddr) {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let pki = Pki::get();
    let pem = pki.client(certificate).display().to_string();
    let roots = ["ca/root-partner.crt", "ca/root-example.crt"].map(|root| pki.path(root));
    let setup = Setup::new(
        "TLSDomainName = kama.test\nTLSClientVerification = Mandatory\n\
         EnableCertificateAuthenticator = true\nDisableAuth = true\n",
    )
    .set("TLSCertificate", &pem)
    .set("TLSPrivateKey", &pem)
    .set(
        "CAFile",
        &roots.map(|root| root.display().to_string()).join(","),
    )
    .set("TLSPort", &address.port().to_string())
    .set("ForceRecordRouting", "true");
    (setup, address)
}

/// Two of ours, a phone at either, and the name servers.
struct Two {
    ours: Server,
    theirs: Server,
    alice: Phone,
    carol: Phone,
    _names: [NameServer; 2],
}

fn two_of_ours(
    (ours, our_address): (Setup, SocketAddr),
    (theirs, their_address): (Setup, SocketAddr),
) -> Two {
    let (ours, our_names) = resolve_to(ours, "kama.test", their_address);
    let (theirs, their_names) = resolve_to(theirs, "example.org", our_address);
    let (ours, theirs) = (ours.start(), theirs.start());
    let alice = phone(
        "alice@example.org",
        "alice-uri",
        ours.tls(),
        "sip:carol@kama.test",
    );
    let carol = phone(
        "carol@kama.test",
        "carol-partner",
        theirs.tls(),
        "sip:alice@example.org",
    );
    Two {
        ours,
        theirs,
        alice,
        carol,
        _names: [our_names, their_names],
    }
}

#[test]
fn two_of_ours_federate() {
    let mut two = two_of_ours(setup(), theirs("server-partner"));
    talk(&mut two.alice, &mut two.carol);
}

#[test]
fn two_of_ours_refuse_each_other_without_the_right_certificate() {
    for (situation, certificate, we_log, it_logs, found) in [
        (
            "of another domain",
            Some("server-partner-other"),
            "auth.refused",
            "",
            "fault=name found=[\"DNS:elsewhere.test\"",
        ),
        (
            "expired",
            Some("server-partner-expired"),
            "reason=\"certificate has expired\"",
            "fault=refused-us",
            "reason=\"certificate has expired\"",
        ),
        (
            "of a CA that is not trusted",
            Some("server-partner-untrusted"),
            "reason=\"unable to get local issuer certificate\"",
            "fault=refused-us",
            "fault=chain found=[\"DNS:kama.test\"",
        ),
        (
            "none, where one must be",
            None,
            "peer did not return a certificate",
            "fault=refused-us",
            "",
        ),
    ] {
        let (setup, at) = setup();
        let setup = setup.set("TLSClientVerification", "Mandatory");
        let (mut its, their_address) = theirs(certificate.unwrap_or("server-partner"));
        if certificate.is_none() {
            its = its
                .set("TLSDestination1Domains", "example.org")
                .set("TLSDestination1OwnDomain", "None");
        }
        let mut two = two_of_ours((setup, at), (its, their_address));
        let (mut ours, mut its) = (two.ours.lines(), two.theirs.lines());
        two.carol.dial("sip:alice@example.org");
        let end = two.carol.closed();
        let refused = end.starts_with("403 ") || end.starts_with("500 ");
        assert!(refused, "{situation}: {end}");
        let end = two.carol.writes("let me in");
        let refused = end.starts_with("403 ") || end.starts_with("500 ");
        assert!(refused, "{situation}: {end}");
        let logged = two.ours.wait_after(&mut ours, &[we_log], PATIENCE);
        assert!(logged.is_some(), "{situation}: {}", two.ours.log());
        if !it_logs.is_empty() {
            let logged = two.theirs.wait_after(&mut its, &[it_logs], PATIENCE);
            assert!(logged.is_some(), "{situation}: {}", two.theirs.log());
        }
        assert!(two.alice.received("INVITE").is_empty(), "{situation}");
        assert!(two.alice.received("MESSAGE").is_empty(), "{situation}");
        // What it shows as a server is as good or bad.
        two.alice.dial("sip:carol@kama.test");
        if certificate.is_none() {
            two.carol.rings();
            continue;
        }
        let end = two.alice.closed();
        assert!(end.starts_with("500 Certificate "), "{situation}: {end}");
        let mut from = 0;
        let logged = two
            .ours
            .wait_after(&mut from, &["wanted=kama.test"], PATIENCE);
        let logged = logged.unwrap_or_else(|| panic!("{situation}: {}", two.ours.log()));
        assert!(logged.contains(found), "{situation}: {logged}");
        assert!(two.carol.received("INVITE").is_empty(), "{situation}");
    }
}
