//! Sessions resume where they began and nowhere else, with the whole identity.

use super::client::{Meeting, Met, PROGRAMS};
use super::roots::listeners;
use super::{copy_cas, serve_domain, with_rules, write_mappings};
use crate::harness::Setup;

const OTHER: &str = "other.example.net";
const THIRD: &str = "third.example.net";
const OURS: &str = "example.org";

#[test]
fn a_ticket_resumes_on_its_listener_and_for_its_domain_only() {
    let setup = Setup::usual()
        .set("TLSSniDomain1Name", OTHER)
        .set("TLSSniDomain1CAFile", "root-example.crt root-partner.crt");
    copy_cas(&setup);
    serve_domain(&setup, OTHER, "other-dns");
    serve_domain(&setup, THIRD, "other-dns");
    let (server, at) = listeners(setup, &[&[], &[], &[("CAFile", "root-example.crt")]]);
    for version in ["1.2", "1.3"] {
        for (situation, (first, asked), (second, asks), resumes) in [
            ("the same", (0, OURS), (0, OURS), true),
            ("the same domain by SNI", (0, OTHER), (0, OTHER), true),
            (
                "another without roots of its own",
                (0, THIRD),
                (0, THIRD),
                true,
            ),
            ("another listener", (0, OURS), (1, OURS), false),
            ("a listener with fewer roots", (0, OURS), (2, OURS), false),
            ("from it", (2, OURS), (0, OURS), false),
            ("another listener, by SNI", (0, OTHER), (1, OTHER), false),
            (
                "from the listener's domain to one by SNI",
                (0, OURS),
                (0, OTHER),
                false,
            ),
            (
                "from one by SNI to the listener's",
                (0, OTHER),
                (0, OURS),
                false,
            ),
            ("from one by SNI to another", (0, OTHER), (0, THIRD), false),
            ("and back", (0, THIRD), (0, OTHER), false),
        ] {
            let file = server.dir().join("session.pem");
            let _ = std::fs::remove_file(&file);
            let mut meeting = Meeting::new(PROGRAMS[0], "alice-uri")
                .version(version)
                .sni(asked);
            meeting.session_out = Some(file.clone());
            let met = meeting.register(at[first], "sip:alice@example.org");
            let good = |resumed| Met {
                outcome: "200".to_owned(),
                resumed,
            };
            assert_eq!(met, good(false), "{situation} {version}");
            let mut meeting = meeting.sni(asks);
            meeting.session_out = None;
            meeting.session_in = Some(file);
            let met = meeting.register(at[second], "sip:alice@example.org");
            assert_eq!(
                met,
                good(resumes),
                "{situation} {version}\n{}",
                server.log()
            );
        }
    }
}

#[test]
fn a_resumed_session_has_the_cas_of_its_certificate() {
    let setup = with_rules(
        "file=root-vendor.crt names=0004F22B3EB5 roles=phone\nfile=int-users.crt users=bob@example.org\n",
    )
    .set("CommonNameMappings", "mappings.txt");
    write_mappings(
        &setup,
        "0004F22B3EB5\talice@example.org\n0004F2999999\talice@example.org\n",
    );
    let server = setup.start();
    for version in ["1.2", "1.3"] {
        for (certificate, wanted) in [
            ("phone-0004F22B3EB5", "200"),
            ("phone-0004F2999999", "403"),
            ("alice-int-chain", "403"),
            ("alice-uri", "200"),
        ] {
            let file = server.dir().join("session.pem");
            let _ = std::fs::remove_file(&file);
            let mut meeting = Meeting::new(PROGRAMS[0], certificate).version(version);
            meeting.session_out = Some(file.clone());
            let met = meeting.register(server.tls(), "sip:alice@example.org");
            assert_eq!(met.outcome, wanted, "{certificate} {version}");
            meeting.session_out = None;
            meeting.session_in = Some(file);
            let met = meeting.register(server.tls(), "sip:alice@example.org");
            let resumed = Met {
                outcome: wanted.to_owned(),
                resumed: true,
            };
            assert_eq!(met, resumed, "{certificate} {version}");
        }
    }
}
