//! One certificate revocation list: what it says of itself, and which CAs are known to have signed it (RFC 5280 §5).

use std::fmt;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use openssl::asn1::Asn1Integer;
use openssl::bn::BigNum;
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::sha::sha256;
use openssl::x509::{CrlStatus, ReasonCode, X509, X509Crl, X509CrlRef, X509KeyUsage, X509Ref};

use super::{ffi, peer, pem};

/// Most CA certificates remembered as the issuer of one list: a CA has a handful, certified anew or crosswise.
const MAX_ISSUERS: usize = 8;

/// A list, parsed once and shared by whoever verifies.
pub(super) struct Crl {
    list: X509Crl,
    /// One line (RFC 2253).
    pub(super) issuer: String,
    /// Seconds since 1970-01-01 UTC.
    pub(super) this_update: i64,
    /// Seconds since 1970-01-01 UTC; `None` in a list that never ends.
    pub(super) next_update: Option<i64>,
    pub(super) entries: usize,
    /// It adds to another list (§5.2.4).
    pub(super) is_delta: bool,
    /// It is about every certificate of its issuer: no issuingDistributionPoint, no delta.
    is_whole: bool,
    /// Counts up with each list of its issuer (§5.2.3); `None` in one that has none.
    number: Option<Number>,
    /// Fingerprints of CA certificates that have been found to have signed it.
    signed_by: Mutex<Vec<[u8; 32]>>,
}

/// A CRL number: an INTEGER that is not negative and has up to 20 octets. No number is less than any.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Number {
    /// Octets of the value, without zeros at its beginning; first, so that a longer number is larger.
    length: usize,
    octets: Vec<u8>,
}

impl Number {
    fn of_der(der: &[u8]) -> Option<Self> {
        let (&[tag, length], octets) = der.split_first_chunk::<2>()?;
        if tag != 2 || usize::from(length) != octets.len() || octets.is_empty() {
            return None;
        }
        let zeros = octets.iter().take_while(|octet| **octet == 0).count();
        let octets = octets.get(zeros..)?.to_vec();
        Some(Self {
            length: octets.len(),
            octets,
        })
    }
}

/// Since when and why a certificate is revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Revoked {
    /// Seconds since 1970-01-01 UTC.
    pub(super) since: Option<i64>,
    /// The word of RFC 5280 §5.3.1; empty if the list gives none.
    pub(super) reason: &'static str,
}

impl Crl {
    fn new(list: X509Crl) -> Result<Self, String> {
        let unreadable = |what: &str| format!("the {what} of a CRL cannot be read");
        let this_update = peer::unix_time(list.last_update()).ok_or(unreadable("thisUpdate"))?;
        let next_update = match list.next_update() {
            None => None,
            Some(time) => Some(peer::unix_time(time).ok_or(unreadable("nextUpdate"))?),
        };
        // OpenSSL sorts the entries when it is first asked: not in a handshake.
        let none = BigNum::new().and_then(|zero| Asn1Integer::from_bn(&zero));
        if let Ok(none) = none {
            let _ = list.get_by_serial(&none);
        }
        let is_delta = ffi::crl_has_extension(&list, Nid::DELTA_CRL);
        let own = Self {
            issuer: peer::name_line(list.issuer_name()),
            this_update,
            next_update,
            entries: list.get_revoked().map_or(0, |entries| entries.len()),
            is_delta,
            is_whole: !is_delta && !ffi::crl_has_extension(&list, Nid::ISSUING_DISTRIBUTION_POINT),
            number: ffi::crl_extension_octets(&list, Nid::CRL_NUMBER).and_then(Number::of_der),
            signed_by: Mutex::default(),
            list,
        };
        drop(ErrorStack::get());
        Ok(own)
    }

    pub(super) fn list(&self) -> &X509CrlRef {
        &self.list
    }

    /// Whether it is of the same issuer and of the same kind, so that one of them comes in the place of the other.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let kind = |own: &Self| (own.is_delta, own.is_whole);
        self.issuer == other.issuer && kind(self) == kind(other)
    }

    /// Whether it was made before another one that is in its time: its date is earlier, or its number smaller on the same date.
    ///
    /// A smaller number on a later date is a CA that has begun to count anew: to go on with its last list before would end
    /// in having none.
    pub(super) fn is_older(&self, other: &Self, now: i64) -> bool {
        let age = |own: &Self| (own.this_update, own.number.clone());
        // Against one from the future every honest list looks old.
        other.this_update <= now && age(self) < age(other)
    }

    /// Whether it can be said without OpenSSL that this list, about whatever its issuer has issued, is good now: it is
    /// whole, within its dates, and this CA certificate is known to have signed it.
    ///
    /// The signature of a long list takes as long as a hundred handshakes, so that it is not checked in each.
    pub(super) fn is_known_good(&self, issuer: &[u8; 32], now: i64) -> bool {
        let in_time = self.this_update <= now && self.next_update.is_some_and(|next| now <= next);
        self.is_whole && in_time && self.signed_by().contains(issuer)
    }

    /// This CA certificate has been found to have signed it.
    pub(super) fn is_signed_by(&self, issuer: [u8; 32]) {
        let mut known = self.signed_by();
        if !known.contains(&issuer) && known.len() < MAX_ISSUERS {
            known.push(issuer);
        }
    }

    fn signed_by(&self) -> std::sync::MutexGuard<'_, Vec<[u8; 32]>> {
        self.signed_by
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds its signature against CA certificates.
    pub(super) fn signature<'a>(&self, known: impl Iterator<Item = &'a X509>) -> Signature {
        let mut found = Signature::OfNobodyKnown;
        for ca in known {
            let same = ca.subject_name().try_cmp(self.list.issuer_name());
            if !same.is_ok_and(|order| order.is_eq()) {
                continue;
            }
            let may_sign = ca
                .key_usage()
                .is_none_or(|usage| usage.contains(X509KeyUsage::CRL_SIGN));
            let signed = ca
                .public_key()
                .and_then(|key| self.list.verify(&key))
                .unwrap_or(false);
            match peer::fingerprint(ca) {
                Ok(fingerprint) if signed && may_sign => {
                    self.is_signed_by(fingerprint);
                    found = Signature::Good;
                }
                _ if found == Signature::OfNobodyKnown => found = Signature::Bad,
                _ => {}
            }
        }
        drop(ErrorStack::get());
        found
    }

    /// What it says of a certificate of its issuer.
    pub(super) fn revoked(&self, certificate: &X509Ref) -> Option<Revoked> {
        let status = self.list.get_by_cert(&certificate.to_owned());
        let CrlStatus::Revoked(entry) = status else {
            return None;
        };
        let reason = match entry.extension::<ReasonCode>() {
            Ok(Some((_, code))) => code.get_i64().map_or("", reason_word),
            _ => "",
        };
        Some(Revoked {
            since: peer::unix_time(entry.revocation_date()),
            reason,
        })
    }
}

/// `certificate revoked since 2026-11-25T00:00:00Z (keyCompromise)`.
impl fmt::Display for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("certificate revoked")?;
        if let Some(since) = self.since.and_then(|s| Timestamp::from_second(s).ok()) {
            write!(f, " since {since}")?;
        }
        match self.reason {
            "" => Ok(()),
            reason => write!(f, " ({reason})"),
        }
    }
}

/// Whose signature a list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signature {
    /// Of a CA that we know.
    Good,
    /// A CA that we know has its issuer's name, and has not signed it.
    Bad,
    /// No CA that we know has its issuer's name.
    OfNobodyKnown,
}

fn reason_word(code: i64) -> &'static str {
    match code {
        1 => "keyCompromise",
        2 => "cACompromise",
        3 => "affiliationChanged",
        4 => "superseded",
        5 => "cessationOfOperation",
        6 => "certificateHold",
        8 => "removeFromCRL",
        9 => "privilegeWithdrawn",
        10 => "aACompromise",
        _ => "",
    }
}

/// The lists in the octets of a file, PEM or DER, in their order; none in a PEM file of something else.
///
/// The error is a reason for the operator, with the PEM block that it is about.
pub(super) fn parse(octets: &[u8]) -> Result<Vec<Crl>, (String, Option<pem::PemBlock>)> {
    if octets.first() == Some(&0x30) {
        return parse_der(octets).map_err(|reason| (reason, None));
    }
    let mut found = Vec::new();
    for block in pem::blocks(octets) {
        if block.is_crl() {
            let list = block.crl().and_then(Crl::new);
            found.push(list.map_err(|reason| (reason, Some(block.place.clone())))?);
        }
    }
    Ok(found)
}

fn parse_der(mut octets: &[u8]) -> Result<Vec<Crl>, String> {
    let mut found = Vec::new();
    while !octets.trim_ascii_end().is_empty() {
        let (one, rest) = der_length(octets)
            .and_then(|length| octets.split_at_checked(length))
            .ok_or("it is cut off")?;
        let list = X509Crl::from_der(one)
            .map_err(|e| format!("it is not a CRL ({})", pem::first_reason(&e)))?;
        found.push(Crl::new(list)?);
        octets = rest;
    }
    Ok(found)
}

/// Octets of a DER value with its tag and length, as its length says (X.690 §8.1.3).
fn der_length(octets: &[u8]) -> Option<usize> {
    let first = usize::from(*octets.get(1)?);
    if first < 0x80 {
        return Some(first + 2);
    }
    let count = first & 0x7f;
    if count == 0 || count > 4 {
        return None;
    }
    let length = octets.get(2..2 + count)?;
    let length = length
        .iter()
        .fold(0_usize, |sum, o| sum << 8 | usize::from(*o));
    length.checked_add(2 + count)
}

/// SHA-256 of a file, to tell whether it has changed.
pub(super) fn digest(octets: &[u8]) -> [u8; 32] {
    sha256(octets)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_number_is_larger_by_its_value_and_none_is_the_least() {
        let number = |der: &[u8]| Number::of_der(der);
        let rising = [
            None,
            number(&[2, 1, 0]),
            number(&[2, 1, 9]),
            number(&[2, 2, 0, 0x80]),
            number(&[2, 2, 1, 0]),
            number(&[2, 3, 0, 0xff, 0xff]),
        ];
        assert!(rising.is_sorted_by(|one, next| one < next), "{rising:?}");
        for cut_off in [&[][..], &[2], &[2, 0], &[2, 2, 1], &[4, 1, 1]] {
            assert_eq!(number(cut_off), None, "{cut_off:?}");
        }
    }

    #[test]
    fn a_length_is_read_as_far_as_there_are_octets() {
        for (situation, octets, wanted) in [
            ("short form", &[0x30, 5][..], Some(7)),
            ("long form", &[0x30, 0x82, 1, 0][..], Some(260)),
            ("indefinite", &[0x30, 0x80][..], None),
            ("cut off", &[0x30, 0x82, 1][..], None),
            ("too long", &[0x30, 0x85, 1, 1, 1, 1, 1][..], None),
            ("nothing", &[][..], None),
        ] {
            assert_eq!(der_length(octets), wanted, "{situation}");
        }
    }

    #[test]
    fn what_is_no_crl_gives_none_or_a_reason_and_never_its_text() {
        for (situation, text, wanted) in [
            ("empty", &b""[..], Ok(0)),
            (
                "a certificate",
                b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                Ok(0),
            ),
            (
                "cut off",
                b"-----BEGIN X509 CRL-----\nU0VD",
                Err("its END line is missing"),
            ),
            (
                "no CRL inside",
                b"-----BEGIN X509 CRL-----\nU0VDUkVU\n-----END X509 CRL-----\n",
                Err("it is not a CRL"),
            ),
            ("DER cut off", &[0x30, 0x82, 1, 0, 0], Err("it is cut off")),
            (
                "DER of another kind",
                &[0x30, 3, 2, 1, 5],
                Err("it is not a CRL"),
            ),
        ] {
            match (parse(text), wanted) {
                (Ok(found), Ok(count)) => assert_eq!(found.len(), count, "{situation}"),
                (Err((reason, _)), Err(wanted)) => {
                    assert!(
                        reason.starts_with(wanted) && !reason.contains("SEC"),
                        "{situation}: {reason}"
                    );
                }
                (found, _) => unreachable!("{situation}: {:?}", found.map(|f| f.len())),
            }
        }
    }
}
