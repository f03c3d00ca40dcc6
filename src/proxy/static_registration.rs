//! Static registrations: contacts that an operator has written down and that never expire.

use std::collections::HashMap;

use super::fault::{Defect, RuleFault, RuleKind};
use super::static_route::route_text;
use super::target::{Origin, Target};
use crate::registrar::QValue;
use crate::sip::{Address, SipUri, list_elements};

/// A static registration as the operator writes it, with repro's fields.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RegistrationRule {
    /// Address-of-record, a URI.
    pub aor: String,
    /// Contact: a name-addr, maybe with `q`.
    pub contact: String,
    /// Path: name-addrs parted by comma.
    pub path: String,
}

/// The static registrations in force, by address-of-record.
#[derive(Debug, Default)]
pub struct StaticRegistrations(HashMap<Box<str>, Vec<Target>>);

impl StaticRegistrations {
    /// Reads registrations. One with a fault is not used.
    pub fn new(rules: impl IntoIterator<Item = RegistrationRule>) -> (Self, Vec<RuleFault>) {
        let mut registrations: HashMap<Box<str>, Vec<Target>> = HashMap::new();
        let mut faults = Vec::new();
        for rule in rules {
            match target(&rule) {
                Ok((aor, target)) => registrations.entry(aor).or_default().push(target),
                Err(defect) => faults.push(RuleFault {
                    kind: RuleKind::Registration,
                    rule: format!("{}:{}", rule.aor, rule.contact),
                    defect,
                }),
            }
        }
        (Self(registrations), faults)
    }

    /// The contacts of an address-of-record (`user@host`, canonical).
    pub fn of(&self, aor: &str) -> &[Target] {
        self.0.get(aor).map(Vec::as_slice).unwrap_or_default()
    }
}

/// The address-of-record, and the target that it has for it.
fn target(rule: &RegistrationRule) -> Result<(Box<str>, Target), Defect> {
    let with_scheme = format!("sip:{}", rule.aor);
    let aor = SipUri::parse(&rule.aor)
        .or_else(|| SipUri::parse(&with_scheme))
        .ok_or_else(|| Defect::Aor(rule.aor.clone()))?;
    let contact = || Defect::Contact(rule.contact.clone());
    let address = Address::parse(rule.contact.as_bytes()).ok_or_else(contact)?;
    let uri = std::str::from_utf8(address.text).map_err(|_| contact())?;
    let q = match address.parameters.value("q") {
        Some(q) => QValue::parse(q).ok_or_else(contact)?,
        None => QValue::DEFAULT,
    };
    // repro split at every comma, one within quotes or brackets too.
    let path: Result<_, _> = list_elements(rule.path.as_bytes())
        .filter(|element| !element.is_empty())
        .map(|element| {
            let fault = || Defect::Path(String::from_utf8_lossy(element).into_owned());
            route_text(element).ok_or_else(fault)
        })
        .collect();
    let target = Target {
        route: path?,
        q,
        ..Target::of(uri.to_owned(), Origin::StaticRegistration)
    };
    Ok((aor.address_of_record().into(), target))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]

    use super::*;

    fn rule(aor: &str, contact: &str, path: &str) -> RegistrationRule {
        RegistrationRule {
            aor: aor.to_owned(),
            contact: contact.to_owned(),
            path: path.to_owned(),
        }
    }

    #[test]
    fn registrations_are_found_by_their_address_of_record() {
        let (registrations, faults) = StaticRegistrations::new([
            rule(
                "sip:desk@example.org",
                "\"Desk\"<sip:desk@127.0.0.1:5071;transport=tcp>;q=0.5",
                "<sip:127.0.0.1:5072;lr>",
            ),
            rule("sip:echo@example.org", "<sip:echo@127.0.0.1:5070>", ""),
            rule("Echo@EXAMPLE.org", "tel:123", ""),
            rule("sip:echo@EXAMPLE.org:5061", "sip:second@h;q=0.1", ""),
            rule(
                "sip:far@example.org",
                "<sip:far@h>",
                "\"A, B\" <sip:a,b@p;lr>, <sip:q;lr>;x=\"1,2\"",
            ),
        ]);
        assert_eq!(faults, []);
        let desk = &registrations.of("desk@example.org")[0];
        assert_eq!(desk.uri, "sip:desk@127.0.0.1:5071;transport=tcp");
        assert_eq!(desk.route, ["<sip:127.0.0.1:5072;lr>"]);
        assert_eq!(desk.q.thousandths(), 500);
        assert_eq!(desk.origin, Origin::StaticRegistration);
        let echo = registrations.of("echo@example.org");
        assert_eq!(
            (echo.len(), echo[0].q, echo[1].q.thousandths()),
            (2, QValue::DEFAULT, 100)
        );
        assert_eq!(registrations.of("Echo@example.org")[0].uri, "tel:123");
        let far = &registrations.of("far@example.org")[0];
        assert_eq!(far.route, ["<sip:a,b@p;lr>", "<sip:q;lr>;x=\"1,2\""]);
        assert_eq!(registrations.of("nobody@example.org"), []);
    }

    #[test]
    fn one_with_a_fault_is_told_and_not_used() {
        for (aor, contact, path, wanted) in [
            ("", "<sip:a@h>", "", Defect::Aor(String::new())),
            (
                "tel:5 5",
                "<sip:a@h>",
                "",
                Defect::Aor("tel:5 5".to_owned()),
            ),
            ("sip:a@h", "", "", Defect::Contact(String::new())),
            ("sip:a@h", "*", "", Defect::Contact("*".to_owned())),
            (
                "sip:a@h",
                "<sip:a@h>;q=2",
                "",
                Defect::Contact("<sip:a@h>;q=2".to_owned()),
            ),
            (
                "sip:a@h",
                "<sip:a@h>, <sip:b@h>",
                "",
                Defect::Contact("<sip:a@h>, <sip:b@h>".to_owned()),
            ),
            (
                "sip:a@h",
                "<sip:a@h>",
                "<sip:p;lr>, p2",
                Defect::Path("p2".to_owned()),
            ),
            (
                "sip:a@h",
                "<sip:a@h>",
                "<sip:p?x=y>",
                Defect::Path("<sip:p?x=y>".to_owned()),
            ),
        ] {
            let (registrations, faults) = StaticRegistrations::new([rule(aor, contact, path)]);
            assert_eq!(faults.first().map(|fault| &fault.defect), Some(&wanted));
            assert_eq!(registrations.of("a@h"), []);
        }
    }
}
