//! Passwords beside certificates: the decision tables of repro, row by row, and what a proved password lets use.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use super::test_support::{answer, cert, from, options, peer, request, with_passwords};
use super::{
    Algorithm, AuthOptions, Decision, HashText, Identities, IdentityPath, IdentityRules, Mappings,
    NamePolicy, Occasion, Passwords, PasswordsFailed, Peer, Rules, Transport, admit, ha1, resume,
};
use crate::sip::{Message, Request};

const MUTUAL: &str = "403 Mutual TLS required to handle that message";
const MISMATCH: &str = "403 Authentication Failed for peer cert";
const ASKED: &str = "407 Proxy Authentication Required";
const NOW: u64 = 1_700_000_000;

fn occasion(method: &str) -> Occasion {
    let path = match method {
        "REGISTER" => IdentityPath::Registrar,
        _ => IdentityPath::Proxy,
    };
    Occasion {
        path,
        listener: 0,
        now: NOW,
    }
}

fn set(identity: IdentityRules, digest: bool, certificates: bool) -> AuthOptions {
    let mut options = options(identity);
    options.certificate_authenticator = certificates;
    options.digest.enabled = digest;
    options.digest.legacy = identity == IdentityRules::Repro;
    options
}

/// Judges a text, answers what is asked for, and looks at what becomes of it.
fn hear<R>(
    text: &str,
    peer: &Peer<'_>,
    rules: &Rules,
    look: impl FnOnce(Request<'_>, Decision<'_>) -> R,
) -> R {
    let message = Message::parse(text.as_bytes(), text.len(), 64);
    let request = Request::read(&message, rules.identity.from_rule()).unwrap();
    let occasion = occasion(request.method.as_str());
    let mut decision = admit(request, peer, occasion, rules);
    while let Decision::Pending(pending) = decision {
        decision = resume(request, peer, occasion, rules, pending.answer());
    }
    look(request, decision)
}

fn told(text: &str, peer: &Peer<'_>, rules: &Rules) -> String {
    hear(text, peer, rules, |_, decision| answer(&decision))
}

/// Columns: digest, certificates, transport, common name of the certificate, source, From, To of a REGISTER, under repro's
/// rules, under the secure ones.
type Row = (
    bool,
    bool,
    Transport,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.org";
const CAROL: &str = "carol@other.example.net";
const GATEWAY: &str = "gw.example.net";
const TRUSTED: &str = "127.0.0.7";
const ANY: &str = "127.0.0.3";

fn check(method: &str, rows: &[Row]) {
    for (number, row) in rows.iter().enumerate() {
        let (digest, certificates, transport, cn, source, claimed, to, repro, secure) = *row;
        for (identity, wanted) in [
            (IdentityRules::Repro, repro),
            (IdentityRules::Secure, secure),
        ] {
            let options = set(identity, digest, certificates);
            let rules = with_passwords(&options, Mappings::default());
            let identities =
                (!cn.is_empty()).then(|| Identities::of(&cert(cn, &[]), &NamePolicy::default()));
            let peer = peer(transport, source, identities.as_ref());
            let to = match to {
                "" => "<sip:eve@example.org>".to_owned(),
                to => format!("<sip:{to}>"),
            };
            let text = request(method, &from(&format!("sip:{claimed}")), &to, "");
            let found = told(&text, &peer, &rules);
            assert_eq!(found, wanted, "row {number}, {identity:?}: {row:?}");
        }
    }
}

#[test]
#[rustfmt::skip]
fn table_1_a_from_of_ours() {
    use Transport::{Tcp, Tls, Udp};
    check("MESSAGE", &[
        (true, false, Tls, "", ANY, ALICE, "", ASKED, ASKED),
        (true, false, Tls, ALICE, ANY, ALICE, "", ASKED, ASKED),
        (true, false, Udp, "", ANY, ALICE, "", ASKED, ASKED),
        (true, true, Udp, "", ANY, ALICE, "", ASKED, ASKED),
        (true, true, Tcp, "", ANY, ALICE, "", ASKED, ASKED),
        (true, true, Tls, "", ANY, ALICE, "", ASKED, ASKED),
        (true, true, Tls, ALICE, ANY, ALICE, "", ASKED, ASKED),
        (true, true, Tls, BOB, ANY, ALICE, "", MISMATCH, MISMATCH),
        (true, true, Tls, GATEWAY, ANY, ALICE, "", "trusted-name", "trusted-name"),
        (true, true, Tls, GATEWAY, ANY, CAROL, "", "trusted-name", "trusted-name"),
        (false, false, Udp, "", ANY, ALICE, "", "open-server", "open-server"),
        (false, true, Udp, "", ANY, ALICE, "", "legacy-not-tls", MUTUAL),
        (false, true, Tls, "", ANY, ALICE, "", "legacy-no-certificate", MUTUAL),
        (false, true, Tls, ALICE, ANY, ALICE, "", "legacy-name", "common-name"),
        (false, true, Tls, BOB, ANY, ALICE, "", MISMATCH, MISMATCH),
    ]);
}

/// The core asks who is let in here for a password later, unless that is off: see `proxy::ours`.
#[test]
#[rustfmt::skip]
fn table_2_a_from_of_a_third_party() {
    use Transport::{Tcp, Tls, Udp};
    check("MESSAGE", &[
        (true, false, Udp, "", ANY, CAROL, "", "third-party-unchecked", "third-party-unchecked"),
        (true, false, Tls, "", ANY, CAROL, "", "third-party-unchecked", "third-party-unchecked"),
        (true, true, Udp, "", ANY, CAROL, "", "legacy-not-tls", MUTUAL),
        (true, true, Tls, "", ANY, CAROL, "", MUTUAL, MUTUAL),
        (true, true, Tls, CAROL, ANY, CAROL, "", "legacy-name", "common-name"),
        (true, true, Tls, BOB, ANY, CAROL, "", MISMATCH, MISMATCH),
        (false, false, Tcp, "", ANY, CAROL, "", "open-server", "open-server"),
        (false, true, Tcp, "", ANY, CAROL, "", "legacy-not-tls", MUTUAL),
        (false, true, Tls, "", ANY, CAROL, "", MUTUAL, MUTUAL),
        (false, true, Tls, CAROL, ANY, CAROL, "", "legacy-name", "common-name"),
        (false, true, Tls, BOB, ANY, CAROL, "", MISMATCH, MISMATCH),
    ]);
}

#[test]
#[rustfmt::skip]
fn table_3_a_trusted_address() {
    use Transport::Tls;
    check("MESSAGE", &[
        (true, false, Tls, "", TRUSTED, ALICE, "", "trusted-address", "trusted-address"),
        (true, true, Tls, "", TRUSTED, ALICE, "", "trusted-address", "trusted-address"),
        (true, true, Tls, BOB, TRUSTED, ALICE, "", "trusted-address", "trusted-address"),
        (true, false, Tls, "", TRUSTED, CAROL, "", "trusted-address", "trusted-address"),
        (true, true, Tls, "", TRUSTED, CAROL, "", MUTUAL, MUTUAL),
        (true, true, Tls, BOB, TRUSTED, CAROL, "", MISMATCH, MISMATCH),
    ]);
}

#[test]
#[rustfmt::skip]
fn table_4_a_registration() {
    use Transport::{Tcp, Tls, Udp};
    const REGISTER: &str = "401 Unauthorized";
    const OTHER: &str = "403 Authentication Failed for peer cert.";
    check("REGISTER", &[
        (true, false, Udp, "", ANY, ALICE, ALICE, ASKED, REGISTER),
        (true, false, Tls, ALICE, ANY, ALICE, ALICE, ASKED, REGISTER),
        (true, false, Tls, "", TRUSTED, ALICE, ALICE, "trusted-address", "trusted-address"),
        (true, false, Tls, "", ANY, CAROL, ALICE, ASKED, REGISTER),
        (true, true, Udp, "", ANY, ALICE, ALICE, ASKED, REGISTER),
        (true, true, Tcp, "", ANY, CAROL, ALICE, "legacy-not-tls", MUTUAL),
        (true, true, Tls, "", ANY, ALICE, ALICE, ASKED, REGISTER),
        (true, true, Tls, ALICE, ANY, ALICE, ALICE, ASKED, REGISTER),
        (true, true, Tls, ALICE, TRUSTED, ALICE, ALICE, "legacy-name", "common-name"),
        (true, true, Tls, GATEWAY, ANY, ALICE, ALICE, ASKED, REGISTER),
        (true, true, Tls, CAROL, ANY, CAROL, ALICE, "legacy-name", OTHER),
        (true, true, Tls, BOB, ANY, ALICE, ALICE, OTHER, OTHER),
        (true, true, Tls, "", ANY, CAROL, CAROL, MUTUAL, MUTUAL),
        (false, true, Tls, "", ANY, ALICE, ALICE, "legacy-no-certificate", MUTUAL),
        (false, false, Tls, "", ANY, ALICE, ALICE, "open-server", "open-server"),
    ]);
}

/// The header line that answers the challenge of these rules for MESSAGE sip:eve@example.org.
fn answered(rules: &Rules, peer: &Peer<'_>, user: &str, password: &str, count: u32) -> String {
    let claimed = request(
        "MESSAGE",
        &from("sip:alice@example.org"),
        "<sip:eve@example.org>",
        "",
    );
    let headers = hear(&claimed, peer, rules, |_, decision| match decision {
        Decision::Challenge(challenge) => String::from_utf8(challenge.headers).unwrap(),
        other => panic!("{other:?}"),
    });
    let (_, nonce) = headers.split_once("nonce=\"").unwrap();
    let (nonce, _) = nonce.split_once('"').unwrap();
    answer_to(nonce, user, password, count)
}

fn answer_to(nonce: &str, user: &str, password: &str, count: u32) -> String {
    let hash = |a: &str, b: &str, c: &str| ha1(Algorithm::Md5, a, b, c.as_bytes()).unwrap();
    let a1 = hash(user, "example.org", password);
    let a2 = hash("MESSAGE", "sip", "eve@example.org");
    let response = hash(&a1, nonce, &format!("{count:08x}:c:auth:{a2}"));
    format!(
        "Proxy-Authorization: Digest username=\"{user}\", realm=\"example.org\", nonce=\"{nonce}\", \
         uri=\"sip:eve@example.org\", qop=auth, nc={count:08x}, cnonce=\"c\", response=\"{response}\"\r\n"
    )
}

#[test]
fn a_password_lets_use_the_own_name_and_that_of_nobody() {
    let mut with = set(IdentityRules::Secure, true, false);
    let forged = "403 Forbidden";
    let own = "digest(\"alice@example.org\")";
    for (situation, impersonation, claimed, tag, wanted) in [
        ("hers", false, "sip:alice@example.org", "", own),
        (
            "in another spelling",
            false,
            "sip:%61lice@EXAMPLE.ORG:5061",
            "",
            own,
        ),
        ("with sips", false, "sips:alice@example.org", "", own),
        (
            "nobody of her domain",
            false,
            "sip:anonymous@example.org",
            "",
            own,
        ),
        ("nobody", false, "sip:anonymous@anonymous.invalid", "", own),
        (
            "nobody of another of ours",
            false,
            "sip:anonymous@pocock.com.au",
            "",
            forged,
        ),
        ("another", false, "sip:bob@example.org", "", forged),
        (
            "another letter case",
            false,
            "sip:Alice@example.org",
            "",
            forged,
        ),
        ("the domain", false, "sip:example.org", "", forged),
        (
            "a third party",
            false,
            "sip:carol@other.example.net",
            "",
            forged,
        ),
        (
            "another within a dialog",
            false,
            "sip:bob@example.org",
            ";tag=t",
            forged,
        ),
        ("if that is set", true, "sip:bob@example.org", ";tag=t", own),
        ("and only there", true, "sip:bob@example.org", "", forged),
        (
            "of her domain",
            true,
            "sip:bob@pocock.com.au",
            ";tag=t",
            forged,
        ),
    ] {
        with.digest.impersonation_in_dialog = impersonation;
        let rules = with_passwords(&with, Mappings::default());
        let peer = peer(Transport::Udp, ANY, None);
        let line = answered(&rules, &peer, "alice", "alice-pw", 1);
        let to = format!("<sip:eve@example.org>{tag}");
        let text = request("MESSAGE", &from(claimed), &to, &line);
        assert_eq!(told(&text, &peer, &rules), wanted, "{situation}");
    }
}

#[test]
fn a_user_who_is_not_there_is_answered_as_a_wrong_password() {
    let rules = with_passwords(&set(IdentityRules::Secure, true, true), Mappings::default());
    let peer = peer(Transport::Tcp, ANY, None);
    for (user, password) in [("alice", "bob-pw"), ("nobody", "x"), ("nobody", "")] {
        let line = answered(&rules, &peer, user, password, 1);
        let text = request(
            "MESSAGE",
            &from("sip:alice@example.org"),
            "<sip:eve@example.org>",
            &line,
        );
        assert_eq!(
            told(&text, &peer, &rules),
            "403 Authentication Failed",
            "{user}"
        );
    }
}

#[test]
fn what_is_proved_once_is_proved_for_its_request_and_for_no_other() {
    let rules = with_passwords(&set(IdentityRules::Secure, true, true), Mappings::default());
    let peer = peer(Transport::Tcp, ANY, None);
    let line = answered(&rules, &peer, "alice", "alice-pw", 1);
    let text = request(
        "MESSAGE",
        &from("sip:alice@example.org"),
        "<sip:eve@example.org>",
        &line,
    );
    let wanted = "digest(\"alice@example.org\")";
    hear(&text, &peer, &rules, |request, decision| {
        let Decision::Admit(admitted) = decision else {
            panic!("{decision:?}");
        };
        assert_eq!(admitted.ground().to_string(), wanted);
        let answers = admitted.answers().clone();
        let again = resume(request, &peer, occasion("MESSAGE"), &rules, answers);
        assert_eq!(answer(&again), wanted, "judged again");
    });
    hear(&text, &peer, &rules, |_, decision| match decision {
        Decision::Challenge(challenge) => {
            assert!(challenge.refusal.wanted.is_some_and(|wanted| wanted.stale));
        }
        other => panic!("a replay: {other:?}"),
    });
}

/// Answers with alice's password, or fails.
struct Store(Result<(), PasswordsFailed>);

impl Passwords for Store {
    fn answer(&self, user: &str, domain: &str) -> Result<Option<Arc<HashText>>, PasswordsFailed> {
        self.0.map(|()| {
            let hashes = HashText::of_password(&[Algorithm::Md5], user, domain, b"alice-pw");
            (user == "alice").then(|| Arc::new(hashes.unwrap()))
        })
    }
}

#[test]
fn a_password_is_waited_for_whoever_it_is_of_and_a_failure_lets_nobody_in() {
    let fails = Err(PasswordsFailed);
    for (user, store, wanted) in [
        ("alice", Ok(()), "digest(\"alice@example.org\")"),
        ("nobody", Ok(()), "403 Authentication Failed"),
        ("alice", fails, "500 Server Internal Error"),
        ("nobody", fails, "500 Server Internal Error"),
    ] {
        let options = set(IdentityRules::Secure, true, true);
        let mut rules = with_passwords(&options, Mappings::default());
        rules.passwords = Arc::new(Store(store));
        let peer = peer(Transport::Tcp, ANY, None);
        let line = answered(&rules, &peer, user, "alice-pw", 1);
        let text = request(
            "MESSAGE",
            &from("sip:alice@example.org"),
            "<sip:eve@example.org>",
            &line,
        );
        let message = Message::parse(text.as_bytes(), text.len(), 64);
        let request = Request::read(&message, rules.identity.from_rule()).unwrap();
        let Decision::Pending(pending) = admit(request, &peer, occasion("MESSAGE"), &rules) else {
            panic!("{user} is answered at once");
        };
        assert_eq!(pending.names().collect::<Vec<_>>(), ["password"]);
        let answers = pending.answer();
        let done = resume(request, &peer, occasion("MESSAGE"), &rules, answers);
        assert_eq!(answer(&done), wanted, "{user}");
    }
}

#[test]
fn a_datagram_that_anybody_may_have_sent_is_not_laid_to_its_address() {
    let guess = |user: &str, rules: &Rules, peer: &Peer<'_>| {
        let line = answered(rules, peer, user, "a guess", 1);
        let claimed = from("sip:alice@example.org");
        let text = request("MESSAGE", &claimed, "<sip:eve@example.org>", &line);
        hear(&text, peer, rules, |_, decision| match decision {
            Decision::Refuse(refusal) => refusal.reason.id(),
            other => panic!("{other:?}"),
        })
    };
    for (situation, transport, bind_source, second) in [
        (
            "a nonce for any address",
            Transport::Udp,
            false,
            "digest-wrong",
        ),
        (
            "sent to that address",
            Transport::Udp,
            true,
            "digest-limited",
        ),
        ("a connection", Transport::Tcp, false, "digest-limited"),
    ] {
        let mut options = set(IdentityRules::Secure, true, true);
        options.digest.bind_source = bind_source;
        options.digest.max_failures_per_source = 1;
        let rules = with_passwords(&options, Mappings::default());
        let peer = peer(transport, ANY, None);
        assert_eq!(guess("alice", &rules, &peer), "digest-wrong", "{situation}");
        assert_eq!(guess("bob", &rules, &peer), second, "{situation}");
    }
}

#[test]
fn rules_that_want_passwords_and_know_no_digest_let_nobody_in() {
    let options = set(IdentityRules::Secure, true, false);
    let rules = Rules::new(&options, Mappings::default(), Vec::new());
    let text = request(
        "MESSAGE",
        &from("sip:alice@example.org"),
        "<sip:eve@example.org>",
        "",
    );
    let peer = peer(Transport::Tls, ANY, None);
    assert_eq!(told(&text, &peer, &rules), "500 Server Internal Error");
}

#[test]
fn a_certificate_does_without_a_password_where_that_is_set() {
    let alice = Identities::of(&cert(ALICE, &[]), &NamePolicy::default());
    let domain = vec!["example.org".to_owned()];
    for (situation, everywhere, domains, listener, wanted) in [
        ("nowhere", false, vec![], None, ASKED),
        ("everywhere", true, vec![], None, "common-name"),
        ("for her domain", false, domain.clone(), None, "common-name"),
        (
            "for another",
            false,
            vec!["pocock.com.au".to_owned()],
            None,
            ASKED,
        ),
        ("on this listener", false, vec![], Some(true), "common-name"),
        ("everywhere but here", true, domain, Some(false), ASKED),
    ] {
        let mut options = set(IdentityRules::Secure, true, true);
        options.certificate_instead.everywhere = everywhere;
        options.certificate_instead.domains = domains;
        options.certificate_instead.listeners = vec![listener];
        let rules = with_passwords(&options, Mappings::default());
        let peer = peer(Transport::Tls, ANY, Some(&alice));
        let text = request(
            "MESSAGE",
            &from("sip:alice@example.org"),
            "<sip:eve@example.org>",
            "",
        );
        assert_eq!(told(&text, &peer, &rules), wanted, "{situation}");
    }
}

#[test]
fn answers_for_others_are_passed_over_and_one_that_cannot_be_read_is_told_so() {
    let rules = with_passwords(&set(IdentityRules::Secure, true, true), Mappings::default());
    let peer = peer(Transport::Tcp, ANY, None);
    let good = |n| answered(&rules, &peer, "alice", "alice-pw", n);
    let own = "digest(\"alice@example.org\")";
    let bad = "400 Invalid auth header";
    let field = "Proxy-Authorization: ";
    for (situation, lines, wanted) in [
        (
            "another realm first",
            format!(
                "{field}Digest username=\"a\", realm=\"x.example\", nonce=\"n\", uri=\"u\", response=\"r\"\r\n{}",
                good(1)
            ),
            own,
        ),
        (
            "another scheme first",
            format!("{field}Basic YTpi\r\n{}", good(1)),
            own,
        ),
        (
            "another realm alone",
            format!(
                "{field}Digest username=\"a\", realm=\"x.example\", nonce=\"n\", uri=\"u\", response=\"r\"\r\n"
            ),
            ASKED,
        ),
        (
            "another realm that cannot be read",
            format!("{field}Digest realm=\"x.example\", userhash=true\r\n"),
            ASKED,
        ),
        (
            "without a realm",
            format!("{field}Digest username=\"alice\"\r\n"),
            bad,
        ),
        (
            "without a realm, before a good one",
            format!("{field}Digest username=\"alice\"\r\n{}", good(1)),
            own,
        ),
        ("the other field", good(1).replace("Proxy-", ""), ASKED),
    ] {
        let text = request(
            "MESSAGE",
            &from("sip:alice@example.org"),
            "<sip:eve@example.org>",
            &lines,
        );
        assert_eq!(told(&text, &peer, &rules), wanted, "{situation}");
    }
}
