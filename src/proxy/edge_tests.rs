//! Which registrations lead back through us.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Instant;

use super::core::Context;
use super::edge::path;
use super::load::Load;
use super::relay::{NatDetection, PathOptions};
use super::test_support::policy;
use crate::auth::{Peer, Transport};
use crate::registrar::{FlowId, Location};
use crate::sip::{FromRule, Message, Request};

/// What we say of ourselves: nothing, or `path`, `ob` if we promise to hold the flow, `for` if the device knows of no Path.
fn said(via: &str, source: &str, lines: &str, options: PathOptions) -> String {
    let text = format!(
        "REGISTER sip:example.net SIP/2.0\r\nVia: SIP/2.0/TLS {via};branch=z9hG4bKx\r\nFrom: <sip:a@example.net>;tag=a\r\n\
         To: <sip:a@example.net>\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\n{lines}\r\n"
    );
    let message = Message::parse(text.as_bytes(), text.len(), 64);
    let request = Request::read(&message, FromRule::Single).unwrap();
    let mut policy = policy();
    policy.relay.path = options;
    let (policy, location) = (Arc::new(policy), Location::new());
    let clock = Instant::now;
    let context = Context {
        policy: &policy,
        location: &location,
        peer: Peer {
            transport: Transport::Tls,
            source: format!("{source}:40000").parse().unwrap(),
            identities: None,
        },
        flow: FlowId::Connection(1),
        listener: 0,
        local: "192.0.2.1".parse().unwrap(),
        name_reached: false,
        now: clock(),
        arrived: 0,
        load: Load::Normal,
        to_tag: "ours",
    };
    let Some(back) = path(&request, &context) else {
        return String::new();
    };
    assert!(back.user.starts_with("flow."));
    let words = [(true, "path"), (back.ob, "ob"), (back.add_supported, "for")];
    let words: Vec<_> = words
        .iter()
        .filter_map(|(is_so, word)| is_so.then_some(*word))
        .collect();
    words.join(" ")
}

#[test]
fn a_registration_leads_back_through_us_when_the_device_asks_for_it_or_the_operator() {
    const OB: &str = "Contact: <sip:a@h;ob>\r\nSupported: path, outbound\r\n";
    const REG_ID: &str =
        "Contact: <sip:a@h>;+sip.instance=\"<urn:x>\";reg-id=1\r\nk: outbound,PATH\r\n";
    const PLAIN: &str = "Contact: <sip:a@h>\r\n";
    const SECOND_VIA: &str = "Via: SIP/2.0/TLS 10.0.0.9;branch=z9hG4bKy\r\n";
    let usual = PathOptions::default();
    let off = PathOptions {
        outbound: false,
        ..usual
    };
    let all = PathOptions {
        flow_tokens: true,
        ..usual
    };
    let beyond = PathOptions {
        beyond_proxies: true,
        ..all
    };
    let beyond_alone = PathOptions {
        beyond_proxies: true,
        ..usual
    };
    for (situation, lines, options, wanted) in [
        ("ob in the contact", OB.to_owned(), usual, "path ob"),
        ("reg-id", REG_ID.to_owned(), usual, "path ob"),
        ("it asks, and outbound is off", OB.to_owned(), off, ""),
        (
            "it does not know of Path",
            OB.replace("path, ", ""),
            usual,
            "",
        ),
        (
            "ob in the second contact",
            format!("{PLAIN}{OB}"),
            usual,
            "",
        ),
        ("no contact", "Supported: path\r\n".to_owned(), usual, ""),
        ("it does not ask", PLAIN.to_owned(), usual, ""),
        ("for all", PLAIN.to_owned(), all, "path for"),
        (
            "for all, and it asks",
            OB.to_owned(),
            PathOptions {
                outbound: false,
                ..all
            },
            "path",
        ),
        ("it is not next to us", format!("{OB}{SECOND_VIA}"), all, ""),
        (
            "in one field",
            OB.to_owned() + "Via: SIP/2.0/TLS a;branch=z9hG4bKy, SIP/2.0/TLS b;branch=z9hG4bKz\r\n",
            all,
            "",
        ),
        (
            "it is not next to us, and leads back all the same",
            format!("{OB}{SECOND_VIA}"),
            beyond,
            "path",
        ),
        (
            "that setting alone does nothing",
            format!("{OB}{SECOND_VIA}"),
            beyond_alone,
            "",
        ),
    ] {
        let found = said("198.51.100.7", "198.51.100.7", &lines, options);
        assert_eq!(found, wanted, "{situation}");
    }
}

#[test]
fn a_translator_is_found_as_repro_finds_it() {
    for (via, source, any, private) in [
        ("198.51.100.7:5061", "198.51.100.7", false, false),
        ("198.51.100.8", "198.51.100.7", true, false),
        ("10.1.2.3", "198.51.100.7", true, true),
        ("172.31.0.1", "198.51.100.7", true, true),
        ("172.32.0.1", "198.51.100.7", true, false),
        ("192.168.0.1", "198.51.100.7", true, true),
        ("100.64.0.1", "198.51.100.7", true, true),
        ("100.128.0.1", "198.51.100.7", true, false),
        ("127.0.0.1", "198.51.100.7", true, true),
        ("10.1.2.3", "10.1.2.3", false, false),
        ("10.1.2.3", "192.168.0.1", true, false),
        ("phone.invalid", "198.51.100.7", true, true),
        ("phone.invalid", "10.1.2.3", true, false),
        ("[fd00::1]", "[2001:db8::1]", true, true),
        ("[::1]", "[2001:db8::1]", true, true),
        ("[2001:db8::1]", "[2001:DB8:0::1]", false, false),
        ("[2001:db8::2]", "[2001:db8::1]", true, false),
        ("198.51.100.7", "[::ffff:198.51.100.7]", false, false),
    ] {
        for (nat, wanted) in [
            (NatDetection::Off, false),
            (NatDetection::Any, any),
            (NatDetection::PrivateToPublic, private),
        ] {
            let options = PathOptions {
                nat,
                ..PathOptions::default()
            };
            let found = said(via, source, "Supported: path\r\n", options);
            let wanted = if wanted { "path" } else { "" };
            assert_eq!(found, wanted, "{via} from {source}, {nat:?}");
        }
    }
}
