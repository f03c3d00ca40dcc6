//! Who passes within a dialog, and who does not.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::dialog::*;
use super::seal::{Purpose, Sealer, TokenSecret};
use super::test_support::{alice, answer, cert, peer, rules};
use super::{
    Answer, Answers, CaRights, Check, Claim, Decision, Ground, Identities, IdentityPath,
    IdentityRules, Issuer, Issuers, NamePolicy, Opinion, Question, Transport, admit,
    admit_in_dialog,
};
use crate::sip::{FromRule, Message, Request, SipUri, Uri};

const CALL_ID: &str = "a84b4c76e66710@pc33";
const SECRET: &str = "the secret of these tests, long enough";
const EPOCH: u32 = 7;

const MISMATCH: &str = "403 Authentication Failed for peer cert";
const MUTUAL: &str = "403 Mutual TLS required to handle that message";

fn flow(number: u8) -> FlowMark {
    FlowMark::new(&[number, 0, 1]).unwrap()
}

fn phone(name: &str) -> Identities {
    Identities::of(&cert("", &[name]), &NamePolicy::default())
}

fn uri(text: &str) -> UriDigest {
    UriDigest::of(&Uri::parse(text.as_bytes()).unwrap())
}

fn sealer_with(secrets: &[&str]) -> Sealer {
    let secrets: Vec<_> = secrets
        .iter()
        .map(|text| TokenSecret::new(text).unwrap())
        .collect();
    Sealer::new(&secrets, &TokenSecret::random().unwrap()).unwrap()
}

fn sealer() -> Sealer {
    sealer_with(&[SECRET])
}

/// Alice, on flow 1, has called carol@example.org, and it went to bob's phone on flow 2.
fn forwarded_call() -> DialogToken {
    DialogToken {
        caller: Leg {
            flow: Some(flow(1)),
            identity: alice().digest(),
            aor: Some("alice@example.org".into()),
            uri: uri("sip:alice@example.org"),
        },
        callee: Leg {
            flow: Some(flow(2)),
            identity: phone("URI:sip:bob@example.org").digest(),
            aor: Some("bob@example.org".into()),
            uri: uri("sip:carol@example.org"),
        },
        caller_tag: TagDigest::of(Some(b"alices")),
    }
}

const ALICE: &str = "<sip:alice@example.org>;tag=alices";
const CAROL: &str = "<sip:carol@example.org>;tag=bobs";

/// A request of the dialog, as text.
fn text(method: &str, from: &str, to: &str, call_id: &str) -> String {
    format!(
        "{method} sip:x@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.3;branch=z9hG4bK1\r\nFrom: {from}\r\n\
         To: {to}\r\nCall-ID: {call_id}\r\nCSeq: 2 {method}\r\n\r\n"
    )
}

/// What is sent, by whom, and over what.
#[derive(Clone, Copy)]
struct Sent<'s> {
    method: &'s str,
    from: &'s str,
    to: &'s str,
    call_id: &'s str,
    token: &'s str,
    flow: u8,
    identities: Option<&'s Identities>,
    transport: Transport,
}

/// The answer of a server with these rules, that opens tokens by this sealer, in this epoch.
fn answer_of(sent: Sent<'_>, identity: IdentityRules, epoch: u32, sealer: &Sealer) -> String {
    let text = text(sent.method, sent.from, sent.to, sent.call_id);
    let message = Message::parse(text.as_bytes(), text.len(), 64);
    let request = Request::read(&message, FromRule::Single).unwrap();
    let peer = peer(sent.transport, "127.0.0.3", sent.identities);
    let rules = rules(identity, "");
    let path = match sent.method {
        "REGISTER" => IdentityPath::Registrar,
        _ => IdentityPath::Proxy,
    };
    let proof = DialogRequest::open(sent.token, request, Epoch::new(epoch), sealer)
        .and_then(|request| request.prove(peer, &flow(sent.flow)));
    let decision = match proof {
        Some(leg) => admit_in_dialog(leg, path.into(), &rules, Answers::default()),
        None => admit(request, &peer, path.into(), &rules),
    };
    answer(&decision)
}

#[test]
fn only_the_two_peers_of_a_dialog_pass_by_its_token() {
    let (sealer, alice, bob) = (sealer(), alice(), phone("URI:sip:bob@example.org"));
    let eve = phone("URI:sip:eve@example.org");
    let call = forwarded_call();
    let token = call
        .seal(CALL_ID.as_bytes(), Epoch::new(EPOCH), &sealer)
        .unwrap();
    let other_call = call.seal(b"another", Epoch::new(EPOCH), &sealer).unwrap();
    let forged = {
        let own = sealer_with(&["a secret of the forger's own, long"]);
        call.seal(CALL_ID.as_bytes(), Epoch::new(EPOCH), &own)
            .unwrap()
    };
    let of_another_purpose = sealer
        .seal(Purpose::Flow, CALL_ID.as_bytes(), &[1; 60])
        .unwrap();
    let tampered = match token.strip_prefix('A') {
        Some(rest) => format!("B{rest}"),
        None => format!("A{}", token.get(1..).unwrap()),
    };
    let caller = Sent {
        method: "BYE",
        from: ALICE,
        to: CAROL,
        call_id: CALL_ID,
        token: &token,
        flow: 1,
        identities: Some(&alice),
        transport: Transport::Tls,
    };
    // Bob may not say carol by his certificate: what passes here passes by the token.
    let callee = Sent {
        from: CAROL,
        to: ALICE,
        flow: 2,
        identities: Some(&bob),
        ..caller
    };
    const CALLER: &str = "dialog-leg(caller)";
    const CALLEE: &str = "dialog-leg(callee)";
    let untagged = "<sip:alice@example.org>";
    for (situation, sent, wanted) in [
        ("the caller", caller, CALLER),
        ("the callee", callee, CALLEE),
        (
            "the callee, over a connection without a certificate",
            Sent {
                identities: None,
                ..callee
            },
            CALLEE,
        ),
        (
            "the caller without TLS, over the flow of old",
            Sent {
                identities: None,
                transport: Transport::Tcp,
                ..caller
            },
            CALLER,
        ),
        (
            "reconnected, the same certificate",
            Sent { flow: 9, ..callee },
            CALLEE,
        ),
        (
            "reconnected, another certificate of that CA",
            Sent {
                flow: 9,
                identities: Some(&eve),
                ..callee
            },
            MISMATCH,
        ),
        (
            "reconnected without a certificate",
            Sent {
                flow: 9,
                identities: None,
                ..callee
            },
            MUTUAL,
        ),
        (
            "a certificate that did not come over TLS",
            Sent {
                flow: 9,
                transport: Transport::Tcp,
                ..callee
            },
            MUTUAL,
        ),
        (
            "re-INVITE",
            Sent {
                method: "INVITE",
                ..callee
            },
            CALLEE,
        ),
        (
            "an ACK",
            Sent {
                method: "ACK",
                ..callee
            },
            CALLEE,
        ),
        (
            "an ACK of another peer",
            Sent {
                method: "ACK",
                flow: 9,
                identities: Some(&eve),
                ..callee
            },
            "dropped",
        ),
        (
            "a BYE of the other callee's",
            Sent {
                flow: 1,
                identities: Some(&alice),
                ..callee
            },
            MISMATCH,
        ),
        (
            "the URI in another spelling",
            Sent {
                from: "<sips:carol@EXAMPLE.org:5061>;tag=bobs",
                ..callee
            },
            CALLEE,
        ),
        (
            "another From",
            Sent {
                from: "<sip:eve@example.org>;tag=bobs",
                ..callee
            },
            MISMATCH,
        ),
        (
            "another To",
            Sent {
                to: "<sip:eve@example.org>;tag=alices",
                ..callee
            },
            MISMATCH,
        ),
        (
            "another To tag",
            Sent {
                to: "<sip:alice@example.org>;tag=x",
                ..callee
            },
            MISMATCH,
        ),
        (
            "no To tag",
            Sent {
                to: untagged,
                ..callee
            },
            MISMATCH,
        ),
        (
            "another Call-ID",
            Sent {
                call_id: "another",
                ..callee
            },
            MISMATCH,
        ),
        (
            "a token of another call",
            Sent {
                token: &other_call,
                ..callee
            },
            MISMATCH,
        ),
        (
            "a forged token",
            Sent {
                token: &forged,
                ..callee
            },
            MISMATCH,
        ),
        (
            "a tampered token",
            Sent {
                token: &tampered,
                ..callee
            },
            MISMATCH,
        ),
        (
            "another purpose",
            Sent {
                token: &of_another_purpose,
                ..callee
            },
            MISMATCH,
        ),
        (
            "no token",
            Sent {
                token: "",
                ..callee
            },
            MISMATCH,
        ),
        (
            "some user part",
            Sent {
                token: "carol",
                ..callee
            },
            MISMATCH,
        ),
        (
            "a REGISTER",
            Sent {
                method: "REGISTER",
                ..callee
            },
            "403 Authentication Failed for peer cert.",
        ),
        // Her certificate entitles her, token or not.
        (
            "the caller without a token",
            Sent {
                token: "",
                ..caller
            },
            "user-identity",
        ),
    ] {
        let found = answer_of(sent, IdentityRules::Secure, EPOCH, &sealer);
        assert_eq!(found, wanted, "{situation}");
    }
}

#[test]
fn after_a_restart_identities_count_and_flows_do_not_and_nothing_without_the_secret() {
    let bob = phone("URI:sip:bob@example.org");
    let before = sealer();
    let token = forwarded_call()
        .seal(CALL_ID.as_bytes(), Epoch::new(EPOCH), &before)
        .unwrap();
    let own = sealer_with(&[]);
    let unset = forwarded_call()
        .seal(CALL_ID.as_bytes(), Epoch::new(EPOCH), &own)
        .unwrap();
    let replaced = ["the secret of tomorrow, long enough", SECRET];
    for (situation, token, secrets, identities, wanted) in [
        (
            "the same secret",
            &token,
            &[SECRET][..],
            Some(&bob),
            "dialog-leg(callee)",
        ),
        (
            "flow 2 is somebody else now",
            &token,
            &[SECRET],
            None,
            MUTUAL,
        ),
        (
            "a new secret before it",
            &token,
            &replaced,
            Some(&bob),
            "dialog-leg(callee)",
        ),
        (
            "the secret removed",
            &token,
            &replaced[..1],
            Some(&bob),
            MISMATCH,
        ),
        ("never any secret", &unset, &[], Some(&bob), MISMATCH),
    ] {
        let sent = Sent {
            method: "BYE",
            from: CAROL,
            to: ALICE,
            call_id: CALL_ID,
            token,
            flow: 2,
            identities,
            transport: Transport::Tls,
        };
        let sealer = sealer_with(secrets);
        let found = answer_of(sent, IdentityRules::Secure, EPOCH + 1, &sealer);
        assert_eq!(found, wanted, "{situation}");
    }
}

#[test]
fn repros_rules_keep_their_exemption_and_take_a_token_for_better() {
    let (sealer, eve) = (sealer(), phone("URI:sip:eve@example.org"));
    let token = forwarded_call()
        .seal(CALL_ID.as_bytes(), Epoch::new(EPOCH), &sealer)
        .unwrap();
    for identity in [IdentityRules::Repro, IdentityRules::Report] {
        for (flow, token, wanted) in [
            (2, token.as_str(), "dialog-leg(callee)"),
            (9, &token, "legacy-in-dialog"),
            (2, "", "legacy-in-dialog"),
        ] {
            let sent = Sent {
                method: "INFO",
                from: CAROL,
                to: ALICE,
                call_id: CALL_ID,
                token,
                flow,
                identities: Some(&eve),
                transport: Transport::Tls,
            };
            let found = answer_of(sent, identity, EPOCH, &sealer);
            assert_eq!(found, wanted, "{identity:?} {flow}");
        }
    }
}

/// Runs `look` with a request of the callee's and the proof that it is.
fn with_callee(token: &DialogToken, look: impl FnOnce(Option<ProvenLeg<'_, '_>>)) {
    let sealer = sealer();
    let sealed = token
        .seal(CALL_ID.as_bytes(), Epoch::new(EPOCH), &sealer)
        .unwrap();
    let text = text("BYE", CAROL, ALICE, CALL_ID);
    let message = Message::parse(text.as_bytes(), text.len(), 64);
    let request = Request::read(&message, FromRule::Single).unwrap();
    let opened = DialogRequest::open(&sealed, request, Epoch::new(EPOCH), &sealer).unwrap();
    assert_eq!(opened.token(), token);
    look(opened.prove(peer(Transport::Tls, "127.0.0.3", None), &flow(2)));
}

#[test]
fn a_callee_is_proved_toward_the_caller_alone() {
    let call = forwarded_call();
    with_callee(&call, |leg| {
        let leg = leg.unwrap();
        assert_eq!((leg.sender(), leg.other()), (Sender::Callee, &call.caller));
        let rules = rules(IdentityRules::Secure, "");
        match admit_in_dialog(leg, IdentityPath::Proxy.into(), &rules, Answers::default()) {
            Decision::Admit(admitted) => {
                assert_eq!(admitted.ground(), &Ground::DialogLeg(Sender::Callee));
                assert!(admitted.ground().is_proof() && !admitted.ground().is_trust());
                assert_eq!(admitted.other_leg(), Some(&call.caller));
            }
            other => panic!("{other:?}"),
        }
    });
    for (situation, flow, aor, is_proved) in [
        (
            "registered, its flow unknown",
            None,
            Some("alice@example.org"),
            true,
        ),
        ("a flow alone", Some(flow(1)), None, true),
        ("nowhere", None, None, false),
    ] {
        let mut call = forwarded_call();
        call.caller.flow = flow;
        call.caller.aor = aor.map(Box::from);
        with_callee(&call, |leg| {
            assert_eq!(leg.is_some(), is_proved, "{situation}")
        });
    }
}

#[test]
fn two_phones_of_one_user_who_call_each_other_are_told_apart() {
    let sealer = sealer();
    let mut call = forwarded_call();
    call.callee = Leg {
        flow: Some(flow(2)),
        ..call.caller.clone()
    };
    let token = call
        .seal(CALL_ID.as_bytes(), Epoch::new(EPOCH), &sealer)
        .unwrap();
    let alice = alice();
    let callee = "<sip:alice@example.org>;tag=bobs";
    for (from, to, wanted) in [(ALICE, callee, "caller"), (callee, ALICE, "callee")] {
        let sent = Sent {
            method: "BYE",
            from,
            to,
            call_id: CALL_ID,
            token: &token,
            flow: 9,
            identities: Some(&alice),
            transport: Transport::Tls,
        };
        let found = answer_of(sent, IdentityRules::Secure, EPOCH, &sealer);
        assert_eq!(found, format!("dialog-leg({wanted})"));
    }
}

/// Refuses carol at once, and takes its time over anybody else to allow nothing.
struct NoCarol;

struct Later;

impl Question for Later {
    fn answer(self: Box<Self>) -> Answer {
        Answer::Abstain
    }
}

impl Check for NoCarol {
    fn name(&self) -> &str {
        "no-carol"
    }

    fn check(&self, claim: &Claim<'_>) -> Opinion {
        match claim.uri.sip().and_then(|uri| uri.user) {
            Some("carol") => Opinion::Deny("gone".into()),
            _ => Opinion::Pending(Box::new(Later)),
        }
    }
}

#[test]
fn checks_of_ones_own_go_before_a_token() {
    let mut rules = rules(IdentityRules::Secure, "");
    rules.checks.push(std::sync::Arc::new(NoCarol));
    with_callee(&forwarded_call(), |leg| {
        let decision = admit_in_dialog(
            leg.unwrap(),
            IdentityPath::Proxy.into(),
            &rules,
            Answers::default(),
        );
        assert_eq!(answer(&decision), MISMATCH);
    });
    let mut call = forwarded_call();
    call.callee.uri = call.caller.uri;
    let sealer = sealer();
    let token = call
        .seal(CALL_ID.as_bytes(), Epoch::new(EPOCH), &sealer)
        .unwrap();
    let text = text("BYE", "<sip:alice@example.org>;tag=bobs", ALICE, CALL_ID);
    let message = Message::parse(text.as_bytes(), text.len(), 64);
    let request = Request::read(&message, FromRule::Single).unwrap();
    let prove = || {
        DialogRequest::open(&token, request, Epoch::new(EPOCH), &sealer)
            .and_then(|opened| opened.prove(peer(Transport::Tls, "127.0.0.3", None), &flow(2)))
            .unwrap()
    };
    match admit_in_dialog(
        prove(),
        IdentityPath::Proxy.into(),
        &rules,
        Answers::default(),
    ) {
        Decision::Pending(pending) => {
            let answers = pending.answer();
            let decision = admit_in_dialog(prove(), IdentityPath::Proxy.into(), &rules, answers);
            assert_eq!(answer(&decision), "dialog-leg(callee)");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn tokens_come_back_as_they_were_and_are_short() {
    let sealer = sealer();
    let epoch = Epoch::new(EPOCH);
    let usual = forwarded_call();
    let long = FlowMark::new(&[9; 31]).unwrap();
    let bare = Leg {
        flow: None,
        identity: None,
        aor: None,
        uri: uri("tel:+1-201-555-0123"),
    };
    let elsewhere = Leg {
        flow: Some(long),
        identity: phone("DNS:example.net").digest(),
        aor: None,
        uri: uri("sip:dave@example.net"),
    };
    for (situation, caller, callee, most) in [
        (
            "two phones",
            usual.caller.clone(),
            usual.caller.clone(),
            160,
        ),
        ("forwarded", usual.caller.clone(), usual.callee.clone(), 184),
        ("to another domain", usual.caller.clone(), elsewhere, 200),
        ("nothing known", bare.clone(), bare, 100),
    ] {
        let token = DialogToken {
            caller,
            callee,
            ..usual.clone()
        };
        let sealed = token.seal(CALL_ID.as_bytes(), epoch, &sealer).unwrap();
        assert!(sealed.len() <= most, "{situation}: {}", sealed.len());
        let route = format!("sip:{sealed}@example.org;lr");
        assert_eq!(
            SipUri::parse(&route).and_then(|uri| uri.user),
            Some(&*sealed)
        );
        let found = sealer_opens(&sealed, &sealer);
        assert_eq!(found.as_ref(), Some(&token), "{situation}");
        for secret in ["alice", "carol", "example"] {
            assert!(!sealed.contains(secret), "{sealed}");
        }
    }
    let mut huge = usual.clone();
    huge.caller.aor = Some(format!("{}@example.org", "a".repeat(200)).into());
    let sealed = huge.seal(CALL_ID.as_bytes(), epoch, &sealer).unwrap();
    huge.caller.aor = None;
    assert_eq!(sealer_opens(&sealed, &sealer), Some(huge));
}

fn sealer_opens(sealed: &str, sealer: &Sealer) -> Option<DialogToken> {
    let text = text("BYE", CAROL, ALICE, CALL_ID);
    let message = Message::parse(text.as_bytes(), text.len(), 64);
    let request = Request::read(&message, FromRule::Single).unwrap();
    let opened = DialogRequest::open(sealed, request, Epoch::new(EPOCH), sealer)?;
    Some(opened.token().clone())
}

#[test]
fn text_of_another_layout_is_no_token_even_if_it_was_sealed_with_our_key() {
    let sealer = sealer();
    let uri = [5; 16];
    let leg = |head: u8, rest: &[u8]| [&[head], rest, &uri[..]].concat();
    let plain = |version: u8, legs: &[Vec<u8>]| {
        [vec![version, 0, 0, 0, 7, 1, 2, 3, 4], legs.concat()].concat()
    };
    for (situation, plain, opens) in [
        ("two bare legs", plain(1, &[leg(0, b""), leg(0, b"")]), true),
        (
            "another version",
            plain(2, &[leg(0, b""), leg(0, b"")]),
            false,
        ),
        ("one leg", plain(1, &[leg(0, b"")]), false),
        (
            "three",
            plain(1, &[leg(0, b""), leg(0, b""), leg(0, b"")]),
            false,
        ),
        (
            "a flow cut off",
            plain(1, &[leg(0, b""), vec![0x1f, 1]]),
            false,
        ),
        (
            "an identity cut off",
            plain(1, &[leg(0, b""), leg(0x20, b"")]),
            false,
        ),
        (
            "an address cut off",
            plain(1, &[leg(0, b""), leg(0x40, b"\xff")]),
            false,
        ),
        (
            "an address not in UTF-8",
            plain(1, &[leg(0, b""), leg(0x40, b"\x01\xff")]),
            false,
        ),
        (
            "a URI that is no address",
            plain(1, &[leg(0, b""), vec![0x80]]),
            false,
        ),
        ("nothing", vec![], false),
    ] {
        let sealed = sealer
            .seal(Purpose::Dialog, CALL_ID.as_bytes(), &plain)
            .unwrap();
        assert_eq!(
            sealer_opens(&sealed, &sealer).is_some(),
            opens,
            "{situation}"
        );
    }
}

#[test]
fn a_uri_is_the_same_in_every_spelling_and_no_other_is() {
    for (one, other, is_same) in [
        (
            "sip:bob@example.org",
            "sips:%62ob@EXAMPLE.org:5061;transport=tls",
            true,
        ),
        ("sip:bob@example.org", "sip:Bob@example.org", false),
        ("sip:bob@example.org", "sip:bob@example.org.evil.net", false),
        ("tel:+1555", "TEL:+1555", true),
        ("tel:+1555", "tel:+1556", false),
        ("sip:example.org", "tel:example.org", false),
    ] {
        assert_eq!(uri(one) == uri(other), is_same, "{one} {other}");
    }
}

#[test]
fn a_flow_has_one_octet_at_least_and_31_at_most() {
    for (octets, is_good) in [(0, false), (1, true), (31, true), (32, false)] {
        assert_eq!(
            FlowMark::new(&vec![1; octets]).is_some(),
            is_good,
            "{octets}"
        );
    }
}

/// The same certificate as before, under new rules for its CA.
#[test]
fn a_peer_whose_ca_may_no_longer_vouch_for_its_name_is_nobody_even_on_its_flow() {
    let sealer = sealer();
    let token = forwarded_call()
        .seal(CALL_ID.as_bytes(), Epoch::new(EPOCH), &sealer)
        .unwrap();
    let under = |sans: &[&str], rule: &str| {
        let mut certificate = cert("", sans);
        certificate.issuers = Issuers::new(vec![Issuer {
            subject: "CN=Root".into(),
            key_id: Box::new([1]),
            fingerprint: [1; 32],
        }]);
        let text = format!("keyid=01 {rule}");
        let rights = CaRights::parse(text.as_bytes(), "f", &[], |_| Ok(Vec::new())).unwrap();
        Identities::of_client(&certificate, &NamePolicy::default(), &rights, Some(0))
    };
    let alice = &["URI:sip:alice@example.org"][..];
    let both = &["URI:sip:alice@example.org", "URI:sip:bob@example.org"][..];
    let bob = &["URI:sip:bob@example.org"][..];
    for (situation, sans, rule, is_caller, on_its_flow, proved) in [
        (
            "its name",
            alice,
            "users=alice@example.org",
            true,
            true,
            true,
        ),
        (
            "its name, elsewhere",
            alice,
            "users=alice@example.org",
            true,
            false,
            true,
        ),
        (
            "another name",
            alice,
            "users=zed@example.org",
            true,
            true,
            false,
        ),
        (
            "another name, elsewhere",
            alice,
            "users=zed@example.org",
            true,
            false,
            false,
        ),
        (
            "another domain",
            alice,
            "domains=example.net",
            true,
            true,
            false,
        ),
        ("another role", alice, "roles=domain", true, true, false),
        ("labels alone", alice, "names=alice*", true, true, false),
        (
            "the other of two names",
            both,
            "users=bob@example.org",
            true,
            true,
            false,
        ),
        (
            "no name at all",
            &[],
            "users=zed@example.org",
            true,
            true,
            true,
        ),
        (
            "the callee, called by another name",
            bob,
            "users=bob@example.org",
            false,
            true,
            true,
        ),
        (
            "the callee, elsewhere",
            bob,
            "users=bob@example.org",
            false,
            false,
            true,
        ),
        (
            "the callee without a name",
            bob,
            "users=zed@example.org",
            false,
            true,
            false,
        ),
    ] {
        let identities = under(sans, rule);
        let (from, to, own) = match is_caller {
            true => (ALICE, CAROL, 1),
            false => (CAROL, ALICE, 2),
        };
        let text = text("INFO", from, to, CALL_ID);
        let message = Message::parse(text.as_bytes(), text.len(), 64);
        let request = Request::read(&message, FromRule::Single).unwrap();
        let peer = peer(Transport::Tls, "127.0.0.3", Some(&identities));
        let opened = DialogRequest::open(&token, request, Epoch::new(EPOCH), &sealer).unwrap();
        let on = flow(if on_its_flow { own } else { 9 });
        assert_eq!(opened.prove(peer, &on).is_some(), proved, "{situation}");
    }
}
