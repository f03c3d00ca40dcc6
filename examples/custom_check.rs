//! A server with a check of one's own: whoever extends repro by a subclass starts here.
//!
//!     cargo run --example custom_check -- demo/repro.config
//!
//! The check below lets the night porter's certificate speak for the front desk, but only while a file says that he is
//! on duty. Looking at a file may take its time, so that is a question for the lookup pool.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use sipvouch::auth::{Answer, Check, Claim, Opinion, Question};

struct NightShift {
    /// Exists while the porter is on duty.
    on_duty: PathBuf,
}

impl Check for NightShift {
    fn name(&self) -> &str {
        "night-shift"
    }

    fn check(&self, claim: &Claim<'_>) -> Opinion {
        let claims_desk = claim
            .uri
            .sip()
            .is_some_and(|uri| uri.address_of_record() == "desk@example.org");
        let is_porter = claim.peer.identities.is_some_and(|identities| {
            identities
                .names()
                .iter()
                .any(|name| name.text() == "bob@example.org")
        });
        if claims_desk && is_porter {
            Opinion::Pending(Box::new(OnDuty(self.on_duty.clone())))
        } else {
            // Not our affair: the built-in rules decide.
            Opinion::Abstain
        }
    }
}

struct OnDuty(PathBuf);

impl Question for OnDuty {
    fn answer(self: Box<Self>) -> Answer {
        match self.0.try_exists() {
            Ok(true) => Answer::Allow,
            Ok(false) => Answer::Deny("the porter is not on duty".to_owned()),
            // Fails closed.
            Err(error) => Answer::Deny(format!("{}: {error}", self.0.display())),
        }
    }
}

fn main() -> ExitCode {
    let on_duty =
        std::env::var_os("ON_DUTY").map_or_else(|| PathBuf::from("on-duty"), PathBuf::from);
    let checks: Vec<Arc<dyn Check>> = vec![Arc::new(NightShift { on_duty })];
    sipvouch::main(std::env::args_os().skip(1), checks)
}
