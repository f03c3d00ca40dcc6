//! What is sent on: how targets are tried, and what each listener records.

use super::super::{NoteClass, value};
use super::Values;
use super::rooms::{milliseconds, seconds};
use crate::auth::Transport;
use crate::proxy::ForkOptions;
use crate::proxy::relay::{Face, NatDetection, PathOptions, RecordRoute, RelayOptions};
use crate::transport::ListenerOptions;

/// Settings that mean something only with `QValue`.
const OF_QVALUE: [&str; 5] = [
    "QValueBehavior",
    "QValueCancelBetweenForkGroups",
    "QValueMsBeforeCancel",
    "QValueWaitForTerminateBetweenForkGroups",
    "QValueMsBetweenForkGroups",
];

pub(super) fn relay(v: &mut Values<'_>, listeners: &[ListenerOptions]) -> RelayOptions {
    if !v.bool("ForceRecordRouting") {
        v.note(
            NoteClass::Info,
            "ForceRecordRouting",
            "false changes nothing: the route of every dialog is recorded, since the token in it is what admits the requests \
             within the dialog",
        );
    }
    RelayOptions {
        faces: listeners.iter().map(|listener| face(v, listener)).collect(),
        fork: fork(v),
        add_via_rport: v.bool("AddViaRport"),
        path: path(v),
    }
}

fn path(v: &mut Values<'_>) -> PathOptions {
    let flow_tokens = v.bool("EnableFlowTokens");
    let beyond = "AllowInboundFlowTokensForNonDirectClients";
    if !flow_tokens && v.bool(beyond) {
        v.note(
            NoteClass::Info,
            beyond,
            "it does nothing without EnableFlowTokens",
        );
    }
    PathOptions {
        outbound: !v.bool("DisableOutbound"),
        flow_tokens,
        beyond_proxies: flow_tokens && v.bool(beyond),
        nat: match v.choice("ClientNatDetectionMode") {
            "ENABLED" => NatDetection::Any,
            "PRIVATE_TO_PUBLIC" => NatDetection::PrivateToPublic,
            _ => NatDetection::Off,
        },
        flow_timer: v.number("FlowTimer"),
    }
}

fn fork(v: &mut Values<'_>) -> ForkOptions {
    let by_preference = v.bool("QValue");
    for name in OF_QVALUE {
        if !by_preference && v.find(name).is_some() {
            v.note(NoteClass::Info, name, "it does nothing with QValue = false");
        }
    }
    ForkOptions {
        timer_c: seconds(v, "TimerC"),
        // Without the handler that `QValue` switches on, repro goes on when a group has ended, and not before.
        cancel_between_groups: by_preference && v.bool("QValueCancelBetweenForkGroups"),
        before_cancel: milliseconds(v, "QValueMsBeforeCancel"),
        wait_between_groups: !by_preference || v.bool("QValueWaitForTerminateBetweenForkGroups"),
        between_groups: milliseconds(v, "QValueMsBetweenForkGroups"),
        recursive_redirect: v.bool("RecursiveRedirect"),
        max_branches: v.number("MaximumBranches"),
        gone_is_flow_failed: v.integer("OutboundVersion") < 5,
    }
}

/// How a listener names itself in messages.
fn face(v: &mut Values<'_>, listener: &ListenerOptions) -> Face {
    let transport = listener.kind.transport();
    let name = listener.kind.tls().map(|tls| tls.domain.as_str());
    let name = name.filter(|name| !name.is_empty());
    let port = listener.address.port();
    let record_route = configured(v, listener, transport)
        .unwrap_or_else(|| RecordRoute::automatic(name, port, transport));
    Face {
        transport,
        address: listener.address,
        record_route,
    }
}

/// What an operator wants a listener to record; `None` for `auto` and for nothing.
fn configured(
    v: &mut Values<'_>,
    listener: &ListenerOptions,
    transport: Transport,
) -> Option<RecordRoute> {
    let number = listener.setting.strip_suffix("Interface");
    let own = number.map(|number| format!("{number}RecordRouteUri"));
    let name = own
        .filter(|own| v.some_text(own).is_some())
        .unwrap_or_else(|| "RecordRouteUri".to_owned());
    let route = value::record_route(v.text(&name)).ok().flatten()?;
    let leads_to_tls = route
        .transport()
        .is_some_and(|transport| transport.eq_ignore_ascii_case("tls"));
    if transport == Transport::Tls && !leads_to_tls {
        v.note(
            NoteClass::Unsafe,
            &name,
            "without ;transport=tls: the requests of a dialog that began over TLS may come back without it",
        );
    }
    Some(route)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;
    use crate::config::{Configuration, load_text};

    fn good(text: &str) -> Configuration {
        let text = format!("TLSDomainName = example.org\nEnableIPv6 = false\n{text}");
        load_text(text.as_bytes()).unwrap()
    }

    /// Notes about a setting, and whether any of them is about safety.
    fn noted(c: &Configuration, name: &str) -> Vec<NoteClass> {
        let notes = c.notes.iter().filter(|note| note.name == name);
        notes.map(|note| note.class).collect()
    }

    #[test]
    fn how_targets_are_tried_is_as_repro_has_it() {
        let usual = ForkOptions::default();
        let ms = Duration::from_millis;
        for (situation, text, wanted) in [
            ("nothing is set", "", usual.clone()),
            (
                "the legacy set",
                "TimerC = 180\nRecursiveRedirect = false\nQValue = true\nQValueBehavior = EQUAL_Q_PARALLEL\n",
                usual.clone(),
            ),
            (
                "all is set",
                "TimerC = 60\nRecursiveRedirect = true\nQValueCancelBetweenForkGroups = false\nQValueMsBeforeCancel = 5\n\
                 QValueWaitForTerminateBetweenForkGroups = false\nQValueMsBetweenForkGroups = 7\nMaximumBranches = 3\nOutboundVersion = 4\n",
                ForkOptions {
                    timer_c: Duration::from_secs(60),
                    cancel_between_groups: false,
                    before_cancel: ms(5),
                    wait_between_groups: false,
                    between_groups: ms(7),
                    recursive_redirect: true,
                    max_branches: 3,
                    gone_is_flow_failed: true,
                },
            ),
            (
                "without q values each is tried until it has ended",
                "QValue = false\nQValueWaitForTerminateBetweenForkGroups = false\n",
                ForkOptions {
                    cancel_between_groups: false,
                    ..usual.clone()
                },
            ),
            (
                "an empty number is 0",
                "TimerC =\nQValueMsBeforeCancel =\n",
                ForkOptions {
                    timer_c: Duration::ZERO,
                    before_cancel: Duration::ZERO,
                    ..usual.clone()
                },
            ),
        ] {
            assert_eq!(good(text).relay.fork, wanted, "{situation}");
        }
    }

    #[test]
    fn contacts_are_grouped_as_repro_groups_them() {
        use crate::proxy::Forking;
        for (text, wanted) in [
            ("", Forking::EqualPreference),
            ("QValueBehavior =\n", Forking::EqualPreference),
            ("QValueBehavior = full_sequential\n", Forking::Sequential),
            ("QValueBehavior = FULL_PARALLEL\n", Forking::Parallel),
            (
                "QValue = false\nQValueBehavior = FULL_PARALLEL\n",
                Forking::Sequential,
            ),
        ] {
            assert_eq!(good(text).tables.routing.forking, wanted, "{text}");
        }
    }

    #[test]
    fn our_via_asks_for_rport_unless_told_otherwise() {
        assert!(good("").relay.add_via_rport);
        assert!(!good("AddViaRport = no\n").relay.add_via_rport);
    }

    #[test]
    fn what_a_listener_records_is_its_own_uri_or_that_of_all_or_automatic() {
        let parsed = |text| RecordRoute::parse(text).unwrap();
        let tls = |port| RecordRoute::automatic(Some("example.org"), port, Transport::Tls);
        let tcp = |port| RecordRoute::automatic(None, port, Transport::Tcp);
        let udp = |port| RecordRoute::automatic(None, port, Transport::Udp);
        let listeners = "Transport2Interface = 127.0.0.1:5071\nTransport2Type = TLS\nTransport2TlsDomain = example.org\n\
                         Transport03Interface = 0.0.0.0:5070\nTransport03Type = TCP\n";
        for (situation, text, wanted) in [
            (
                "nothing is set",
                "".to_owned(),
                vec![udp(5060), tcp(5060), tls(5061)],
            ),
            (
                "the legacy set",
                "RecordRouteUri = sip:example.org;transport=tls\n".to_owned(),
                vec![parsed("sip:example.org;transport=tls"); 3],
            ),
            (
                "auto",
                "RecordRouteUri = Auto\nUDPPort = 0\n".to_owned(),
                vec![tcp(5060), tls(5061)],
            ),
            (
                "numbered listeners",
                listeners.to_owned(),
                vec![tls(5071), tcp(5070)],
            ),
            (
                "one of their own",
                format!(
                    "{listeners}RecordRouteUri = sip:all.example;transport=tls\n\
                     Transport3RecordRouteUri = <sip:own.example:5070>\n"
                ),
                vec![
                    parsed("sip:all.example;transport=tls"),
                    parsed("sip:own.example:5070"),
                ],
            ),
            (
                "an empty one is none",
                format!(
                    "{listeners}RecordRouteUri = sip:all.example;transport=tls\nTransport3RecordRouteUri =\n\
                     Transport2RecordRouteUri = AUTO\n"
                ),
                vec![tls(5071), parsed("sip:all.example;transport=tls")],
            ),
        ] {
            let faces = good(&text).relay.faces;
            let found: Vec<_> = faces.into_iter().map(|face| face.record_route).collect();
            assert_eq!(found, wanted, "{situation}");
        }
    }

    #[test]
    fn a_route_that_leaves_tls_is_told_of() {
        for (text, told) in [
            ("RecordRouteUri = sip:example.org;transport=TLS", false),
            ("RecordRouteUri = sips:example.org", false),
            ("RecordRouteUri = auto", false),
            ("RecordRouteUri = sip:example.org;transport=tcp", true),
            ("RecordRouteUri = sip:example.org:5061", true),
            ("RecordRouteUri = sip:example.org\nTLSPort = 0", false),
        ] {
            let notes = noted(&good(text), "RecordRouteUri");
            let wanted = [NoteClass::Unsafe];
            assert_eq!(Some(&*notes), wanted.get(..usize::from(told)), "{text}");
        }
    }

    #[test]
    fn what_changes_nothing_is_told_and_what_is_done_is_not() {
        for (text, name, wanted) in [
            ("", "ForceRecordRouting", &[][..]),
            ("ForceRecordRouting = true", "ForceRecordRouting", &[]),
            (
                "ForceRecordRouting = false",
                "ForceRecordRouting",
                &[NoteClass::Info],
            ),
            (
                "QValue = false\nQValueBehavior = FULL_PARALLEL",
                "QValueBehavior",
                &[NoteClass::Info],
            ),
            ("QValue = false", "QValueBehavior", &[]),
            ("EnableFlowTokens = true", "EnableFlowTokens", &[]),
            (
                "ClientNatDetectionMode = enabled",
                "ClientNatDetectionMode",
                &[],
            ),
            (
                "AllowInboundFlowTokensForNonDirectClients = true",
                "AllowInboundFlowTokensForNonDirectClients",
                &[NoteClass::Info],
            ),
            (
                "EnableFlowTokens = true\nAllowInboundFlowTokensForNonDirectClients = true",
                "AllowInboundFlowTokensForNonDirectClients",
                &[],
            ),
            (
                "AssumeFirstHopSupportsFlowTokens = true",
                "AssumeFirstHopSupportsFlowTokens",
                &[],
            ),
            (
                "AssumeFirstHopSupportsFlowTokens = false",
                "AssumeFirstHopSupportsFlowTokens",
                &[NoteClass::Info],
            ),
            ("DisableOutbound = true", "DisableOutbound", &[]),
            ("FlowTimer = 30", "FlowTimer", &[]),
            (
                "FlowTimer = 120\nIdleTimeout = 120",
                "FlowTimer",
                &[NoteClass::Unsafe],
            ),
            ("TimerT1 = 500", "TimerT1", &[]),
            ("TimerT1 = 100", "TimerT1", &[NoteClass::Info]),
            (
                "TCPConnectTimeout = 100\nConnectTimeout = 3",
                "TCPConnectTimeout",
                &[NoteClass::Info],
            ),
        ] {
            assert_eq!(noted(&good(text), name), wanted, "{text}");
        }
    }

    #[test]
    fn timers_and_limits_of_transactions_are_those_that_were_set() {
        for (text, t1, most, connect) in [
            ("", 500, 100_000, 5_000),
            ("TimerT1 = 0\nTCPConnectTimeout = 0", 500, 100_000, 5_000),
            (
                "TimerT1 = 250\nMaximumTransactions = 7\nConnectTimeout = 3",
                250,
                7,
                3_000,
            ),
            ("TCPConnectTimeout = 1500", 500, 100_000, 1_500),
            (
                "TCPConnectTimeout = 1500\nConnectTimeout = 0",
                500,
                100_000,
                0,
            ),
        ] {
            let engine = good(text).engine;
            let found = (
                engine.transactions.timers.t1.as_millis(),
                engine.outgoing.transactions.timers.t1.as_millis(),
                engine.transactions.max_transactions.get(),
                engine.deadlines.connect.as_millis(),
            );
            assert_eq!(found, (t1, t1, most, connect), "{text}");
        }
        // The server's own requests have a limit of their own.
        let engine = good("MaximumTransactions = 7").engine;
        assert_eq!(engine.outgoing.transactions.max_transactions.get(), 4096);
    }
}
