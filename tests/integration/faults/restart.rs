//! kill -9 in the middle of a call: what the tokens in Record-Route prove afterwards.

use super::{ALICE, BOB, PATIENCE, answer, call, leading_to, setup, user};
use crate::harness::{Connection, Request, Server, TlsPeer, free_port};

/// A connection of a user, registered with a contact that does not change when it connects again.
fn at_home(server: &Server, name: &str) -> Connection {
    let mut phone = user(server, name);
    let mut register = Request::new(
        "REGISTER",
        "sip:example.org",
        &format!("sip:{name}@example.org"),
    );
    register.contact = Some(format!("<{}>", contact(name)));
    assert_eq!(phone.ask(&register).response().status, 200);
    phone
}

fn contact(name: &str) -> String {
    format!("sip:{name}@phone.invalid;transport=tls")
}

#[test]
fn a_call_outlives_a_kill_if_its_tokens_do() {
    for (secret, passes) in [(Some("a-secret-of-more-than-sixteen"), true), (None, false)] {
        for ends in ["caller", "callee"] {
            let names = leading_to(&[]);
            let setup = setup(&names).set("TLSPort", &free_port().to_string());
            let setup = match secret {
                Some(secret) => setup.set("DialogTokenSecret", secret),
                None => setup,
            };
            let server = setup.start();
            let (mut alice, bob) = (at_home(&server, "alice"), at_home(&server, "bob"));
            let mut invite = Request::new("INVITE", BOB, ALICE);
            invite.contact = Some(format!("<{}>", contact("alice")));
            let (mut caller, mut callee, bob) = call(&invite, &mut alice, || bob);
            caller.target = contact("bob");
            callee.target = contact("alice");
            drop((alice, bob));
            let server = server.kill_and_restart();
            let (mut alice, mut bob) = (at_home(&server, "alice"), at_home(&server, "bob"));
            let (mut dialog, one, other) = match ends {
                "caller" => (caller, &mut alice, &mut bob),
                _ => (callee, &mut bob, &mut alice),
            };
            // Nobody else has become a side of it.
            let mut nobody = TlsPeer::anonymous()
                .connect(server.tls())
                .expect("a handshake");
            assert_eq!(dialog.ask("BYE", &mut nobody).status, 403, "{ends}");
            if passes {
                let bye = dialog.next("BYE", one.local());
                one.send(&bye).expect("a connection");
                let asked = other.next_request(PATIENCE).expect("a BYE");
                assert!(asked.start.starts_with("BYE "), "{}", asked.start);
                other
                    .send(&answer(&asked, 200, "sip:x@phone.invalid"))
                    .expect("a connection");
                assert_eq!(one.next(PATIENCE).response().status, 200, "{ends}");
            } else {
                // It is who it says, and where it wants to go nobody is found.
                let ended = dialog.ask("BYE", one);
                assert!(
                    (480..600).contains(&ended.status),
                    "{ends}: {}",
                    ended.status
                );
                assert_eq!(other.ask(&Request::ping()).response().status, 200);
            }
        }
    }
}
