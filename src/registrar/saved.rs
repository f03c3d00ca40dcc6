//! A binding as plain values without a clock, to be kept over a restart, and the way back.

use std::time::Instant;

use thiserror::Error;

use super::binding::{Aor, Around, Binding, Draft, Lost, QValue, ends};
use super::location::Location;
use super::options::RegistrarOptions;
use super::way::read_path;
use crate::sip::Address;

/// A binding as it may be written down. Texts are the peer's octets: mostly ASCII, but nobody has to keep to UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// URI of the contact, without angle brackets.
    pub contact: Vec<u8>,
    /// Parameters of the contact but `expires` and `q`, each with its semicolon; empty without any.
    pub parameters: Vec<u8>,
    /// Call-ID of the last request that changed it.
    pub call_id: Vec<u8>,
    /// CSeq number of that request.
    pub cseq: u32,
    /// User-Agent, maybe cut; empty without one.
    pub user_agent: Vec<u8>,
    /// Path, values parted by commas; empty without one.
    pub path: Vec<u8>,
    /// Preference in thousandths, 0 to 1000, if stated.
    pub q: Option<u16>,
    /// Whether it came as a datagram.
    pub datagram: bool,
    /// Seconds until it ends. Whoever writes it down makes a time of day of it.
    pub seconds_left: u64,
}

/// Why a binding that was written down is not taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotRestored {
    /// The address-of-record is none, or not in its canonical form.
    #[error("registrar: the address-of-record is not of the form user@host; remove the record")]
    BadAor,
    /// Contact, parameters or preference are not what a REGISTER could have left.
    #[error("registrar: the contact cannot be read; remove the record")]
    BadContact,
    /// It has ended in the meantime.
    #[error("registrar: the binding has expired")]
    Expired,
    /// The device has registered this contact again already: what it says now counts.
    #[error("registrar: the contact is registered")]
    Known,
    /// As many contacts of this address-of-record as there may be.
    #[error(
        "registrar: more contacts of one address-of-record than RegistrationMaximumContacts allows"
    )]
    TooManyContacts,
    /// As many addresses-of-record as there may be.
    #[error("registrar: more addresses-of-record than RegistrationMaximumTotal allows")]
    Full,
}

impl Location {
    /// The live bindings of one address-of-record, to be written down; empty when there is nothing to keep.
    pub fn saved(&self, aor: &str, now: Instant) -> Vec<Saved> {
        let bindings = self.lookup(aor, now);
        bindings.iter().map(|b| Saved::of(b, now)).collect()
    }

    /// All live bindings, a shard at a time: no lock is held while the caller has its turn.
    pub fn dump(&self, now: Instant) -> impl Iterator<Item = (Aor, Vec<Saved>)> {
        self.live(now).map(move |(aor, bindings)| {
            let saved = bindings.iter().map(|b| Saved::of(b, now)).collect();
            (aor, saved)
        })
    }

    /// Takes a binding back that was written down. Its flow is gone ([`Binding::lost`]): until the device registers again
    /// it may be reached by its URI, if at all. Its rest of life is bounded by `max_expires`. Is no change for
    /// [`Location::take_changed`].
    ///
    /// # Errors
    /// Why it is not taken; then nothing has changed.
    pub fn restore(
        &self,
        aor: &str,
        saved: &Saved,
        options: &RegistrarOptions,
        now: Instant,
    ) -> Result<(), NotRestored> {
        let aor = Aor::parse(aor).ok_or(NotRestored::BadAor)?;
        let draft = saved.draft(options).ok_or(NotRestored::BadContact)?;
        let seconds = u32::try_from(saved.seconds_left).unwrap_or(u32::MAX);
        if seconds == 0 {
            return Err(NotRestored::Expired);
        }
        let until = ends(now, seconds.min(options.max_expires.max(1)));
        let changed = self.change(&aor, options.max_total.get(), now, |bindings| {
            if bindings.iter().any(|b| b.is_for(&draft)) {
                return Err(NotRestored::Known);
            }
            if bindings.len() >= options.max_contacts.get() {
                return Err(NotRestored::TooManyContacts);
            }
            let lost = match saved.datagram {
                true => Lost::Datagrams,
                false => Lost::Connection,
            };
            bindings.push(draft.into_binding(until).that_lost(lost));
            Ok(())
        });
        changed.map_or(Err(NotRestored::Full), |(result, _)| result)
    }
}

impl Saved {
    fn of(binding: &Binding, now: Instant) -> Self {
        Self {
            contact: binding.uri_text().to_vec(),
            parameters: binding.parameters().as_bytes().to_vec(),
            call_id: binding.call_id().to_vec(),
            cseq: binding.cseq(),
            user_agent: binding.user_agent().to_vec(),
            path: binding.path_text().to_vec(),
            q: binding.q().map(QValue::thousandths),
            datagram: binding.flow().map(Lost::of).or(binding.lost()) == Some(Lost::Datagrams),
            seconds_left: binding.remaining(now),
        }
    }

    /// Read as if it came in a REGISTER, so that nothing gets in here that could not get in there.
    fn draft(&self, options: &RegistrarOptions) -> Option<Draft> {
        let value = [b"<", &self.contact[..], b">", &self.parameters].concat();
        let contact = Address::parse(&value).filter(|address| address.text == self.contact)?;
        let q = match self.q {
            Some(thousandths) => Some(QValue::of_thousandths(thousandths)?),
            None => None,
        };
        if !self.path.is_empty() && read_path([&self.path[..]].into_iter())? != self.path {
            return None;
        }
        let around = Around {
            call_id: &self.call_id,
            cseq: self.cseq,
            user_agent: &self.user_agent,
            path: &self.path,
            flow: None,
            by_flow: options.outbound.enabled,
        };
        Some(Draft::new(&contact, &around)?.with_q(q))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::num::NonZeroUsize;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::registrar::{Changed, FlowId, OutboundOptions};

    fn options() -> RegistrarOptions {
        RegistrarOptions {
            enabled: true,
            allow_to_tag: false,
            min_expires: 60,
            max_expires: 7200,
            default_expires: 3600,
            max_contacts: NonZeroUsize::new(2).unwrap(),
            max_total: NonZeroUsize::new(2).unwrap(),
            outbound: OutboundOptions::default(),
        }
    }

    fn start() -> Instant {
        let clock = Instant::now;
        clock()
    }

    fn saved(contact: &str) -> Saved {
        Saved {
            contact: contact.into(),
            parameters: b";+sip.instance=\"<urn:uuid:1>\";reg-id=1".to_vec(),
            call_id: b"call@h".to_vec(),
            cseq: 7,
            user_agent: b"Phone/1".to_vec(),
            path: b"<sip:edge.example.net;lr;ob>,<sip:192.0.2.9;lr>".to_vec(),
            q: Some(500),
            datagram: false,
            seconds_left: 60,
        }
    }

    #[test]
    fn a_restored_binding_is_what_it_was_but_for_its_connection() {
        let (location, now) = (Location::new(), start());
        let before = saved("sip:a@192.0.2.1:5061;transport=tls");
        assert_eq!(
            location.restore("a@example.org", &before, &options(), now),
            Ok(())
        );
        let found = location.lookup("a@example.org", now);
        let binding = found.first().unwrap();
        assert_eq!(binding.flow(), None);
        assert_eq!(binding.reg_id(), Some(1));
        assert_eq!(binding.lost(), None, "its Path is what leads to it");
        assert_eq!(binding.expires_at(), ends(now, 60));
        assert!(
            !binding.yields_to(b"call@h", 7),
            "its Call-ID and CSeq hold"
        );
        assert_eq!(location.saved("a@example.org", now), [before]);
    }

    #[test]
    fn what_no_register_could_have_left_is_refused() {
        let good = saved("sip:a@192.0.2.1");
        let with = |change: fn(&mut Saved)| {
            let mut saved = good.clone();
            change(&mut saved);
            saved
        };
        use NotRestored::{BadAor, BadContact, Expired};
        for (situation, aor, saved, why) in [
            ("no address-of-record", "", good.clone(), BadAor),
            (
                "one that is not canonical",
                "a@EXAMPLE.org",
                good.clone(),
                BadAor,
            ),
            ("a whole URI", "sip:a@example.org", good.clone(), BadAor),
            (
                "one with a parameter",
                "a@example.org;x",
                good.clone(),
                BadAor,
            ),
            ("no contact", "a@h", with(|s| s.contact.clear()), BadContact),
            (
                "a contact that is no URI",
                "a@h",
                with(|s| s.contact = b"nonsense".to_vec()),
                BadContact,
            ),
            (
                "a contact that ends early",
                "a@h",
                with(|s| s.contact = b"sip:a@h>;x=<".to_vec()),
                BadContact,
            ),
            (
                "a line end in the contact",
                "a@h",
                with(|s| s.contact = b"sip:a@h\r\nX: y".to_vec()),
                BadContact,
            ),
            (
                "a line end in the parameters",
                "a@h",
                with(|s| s.parameters = b";x=y\r\nX: y".to_vec()),
                BadContact,
            ),
            (
                "parameters without a semicolon",
                "a@h",
                with(|s| s.parameters = b"x=y".to_vec()),
                BadContact,
            ),
            (
                "a second contact in the parameters",
                "a@h",
                with(|s| s.parameters = b";x, <sip:b@h>".to_vec()),
                BadContact,
            ),
            (
                "a preference above 1",
                "a@h",
                with(|s| s.q = Some(1001)),
                BadContact,
            ),
            (
                "a Path that is none",
                "a@h",
                with(|s| s.path = b"nonsense".to_vec()),
                BadContact,
            ),
            (
                "a Path with headers",
                "a@h",
                with(|s| s.path = b"<sip:h;lr?Route=%3Csip:x%3E>".to_vec()),
                BadContact,
            ),
            (
                "a reg-id that is none",
                "a@h",
                with(|s| s.parameters = b";+sip.instance=\"<urn:x>\";reg-id=0".to_vec()),
                BadContact,
            ),
            (
                "a Call-ID without end",
                "a@h",
                with(|s| s.call_id = vec![b'c'; 5000]),
                BadContact,
            ),
            ("expired", "a@h", with(|s| s.seconds_left = 0), Expired),
        ] {
            let location = Location::new();
            let result = location.restore(aor, &saved, &options(), start());
            assert_eq!(result, Err(why), "{situation}");
            assert!(location.is_empty(), "{situation}");
        }
    }

    #[test]
    fn the_limits_of_the_registrar_hold_and_what_is_registered_goes_before() {
        let (location, now, options) = (Location::new(), start(), options());
        let restore = |aor: &str, contact: &str| {
            let saved = Saved {
                parameters: Vec::new(),
                ..saved(contact)
            };
            location.restore(aor, &saved, &options, now)
        };
        assert_eq!(restore("a@h", "sip:a@h1"), Ok(()));
        assert_eq!(restore("a@h", "sip:a@H1"), Err(NotRestored::Known));
        assert_eq!(restore("a@h", "sip:a@h2"), Ok(()));
        assert_eq!(
            restore("a@h", "sip:a@h3"),
            Err(NotRestored::TooManyContacts)
        );
        assert_eq!(restore("a@2001:db8::1", "sip:a@h1"), Ok(()));
        assert_eq!(restore("c@h", "sip:a@h1"), Err(NotRestored::Full));
        assert_eq!(location.len(), 2);
        let location = Location::new();
        let restore = |contact: &str| location.restore("a@h", &saved(contact), &options, now);
        assert_eq!(restore("sip:a@h1"), Ok(()));
        let same_flow = restore("sip:a@h2");
        assert_eq!(same_flow, Err(NotRestored::Known));
    }

    #[test]
    fn no_rest_of_life_is_longer_than_a_new_one() {
        let (location, now) = (Location::new(), start());
        let forever = Saved {
            seconds_left: u64::MAX,
            ..saved("sip:a@h")
        };
        location.restore("a@h", &forever, &options(), now).unwrap();
        let left = location.saved("a@h", now);
        assert_eq!(left.first().unwrap().seconds_left, 7200);
    }

    #[test]
    fn a_restored_binding_is_no_change_and_its_end_is_one() {
        let (location, now) = (Location::new(), start());
        location.track_changes(9);
        location
            .restore("a@h", &saved("sip:a@h"), &options(), now)
            .unwrap();
        assert_eq!(location.take_changed(), Changed::These(Vec::new()));
        location.sweep(ends(now, 60), usize::MAX);
        let aor = Aor::parse("a@h").unwrap();
        assert_eq!(location.take_changed(), Changed::These(vec![aor]));
    }

    /// Contacts as phones write them.
    fn contacts() -> impl Strategy<Value = String> {
        let uri = prop::sample::select(vec![
            "<sip:a@192.0.2.1:5061;transport=tls;ob>",
            "<sips:a%20b@h.example?Subject=x>",
            "sip:a@h.example",
            "\"A <b>\" <sip:[2001:db8::1]>",
            "<mailto:a@h.example>",
        ]);
        let parameter = prop::sample::select(vec![
            ";q=0.3",
            ";q=1",
            ";expires=7",
            ";+sip.instance=\"<urn:uuid:1>\"",
            ";reg-id=4",
            " ; x = \"y;z, \\\" \u{fc}\"",
            ";y",
        ]);
        (uri, prop::collection::vec(parameter, 0..5))
            .prop_map(|(uri, parameters)| format!("{uri}{}", parameters.concat()))
    }

    proptest! {
        /// Dump and restore give the same bindings but for the flow, and are the same dump again.
        #[test]
        fn a_restart_changes_nothing_but_the_flow(
            contacts in prop::collection::vec((contacts(), "[ -~]{0,120}", any::<u32>(), 1..7200_u32), 1..12),
        ) {
            let options = RegistrarOptions {
                max_contacts: NonZeroUsize::MAX,
                max_total: NonZeroUsize::MAX,
                ..options()
            };
            let (before, after, now) = (Location::new(), Location::new(), start());
            for (n, (contact, text, cseq, seconds)) in contacts.iter().enumerate() {
                let aor = Aor::parse(&format!("user%2F{}@example.org", n % 3)).unwrap();
                let contact = Address::parse(contact.as_bytes()).unwrap();
                let around = Around {
                    call_id: text.as_bytes(),
                    cseq: *cseq,
                    user_agent: text.as_bytes(),
                    path: if n % 2 == 0 { b"" } else { b"<sip:edge;lr>" },
                    flow: Some(FlowId::Connection(9)),
                    by_flow: true,
                };
                let Some(draft) = Draft::new(&contact, &around) else { continue };
                before.change(&aor, 99, now, |bindings| {
                    if !bindings.iter().any(|b| b.is_for(&draft)) {
                        bindings.push(draft.into_binding(ends(now, *seconds)));
                    }
                }).unwrap();
            }
            let later = now + Duration::from_secs(1);
            for (aor, saved) in before.dump(later) {
                for saved in &saved {
                    prop_assert_eq!(after.restore(aor.as_str(), saved, &options, later), Ok(()));
                }
            }
            let sorted = |location: &Location| {
                let mut all: Vec<_> = location.dump(later).collect();
                all.sort_by(|(a, _), (b, _)| a.cmp(b));
                all
            };
            prop_assert_eq!(sorted(&before), sorted(&after));
            for (aor, _) in before.dump(later) {
                let (old, new) = (before.lookup(aor.as_str(), later), after.lookup(aor.as_str(), later));
                for (old, new) in old.iter().zip(&new) {
                    prop_assert_eq!(old.expires_at(), new.expires_at());
                    prop_assert_eq!(old.instance(), new.instance());
                    prop_assert_eq!(old.reg_id(), new.reg_id());
                    prop_assert_eq!(old.path_text(), new.path_text());
                    prop_assert_eq!((old.flow(), new.flow()), (Some(FlowId::Connection(9)), None));
                }
            }
        }
    }
}
