//! X509 → [`PeerCertificate`]: plain values from here on (RFC 5280 §4.1, §4.2).

use std::fmt::Write as _;
use std::net::IpAddr;

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::x509::{X509, X509NameRef, X509Ref};
use openssl_sys as sys;

use super::ffi;
use super::verified::Anchor;
use crate::auth::{Issuers, PeerCertificate, SubjectAltName, SubjectAttribute};

/// Most subjectAltName entries kept; a certificate with more is cut there, and says so in its last entry.
pub const MAX_ALT_NAMES: usize = 1_000;

/// Most commonNames kept. repro takes the last of several, so those in front go.
const MAX_COMMON_NAMES: usize = 64;

/// Most other attributes of a subject kept.
const MAX_ATTRIBUTES: usize = 8;

/// Longest subject or issuer line, in octets; longer ones are cut.
const MAX_LINE: usize = 1_024;

/// Longest single value shown in such a line, in characters.
const MAX_VALUE: usize = 256;

/// Why a certificate cannot become an identity although its chain may be good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnusableCertificate {
    /// A subjectAltName that cannot be read. Without this refusal its CN would count, as if it had none.
    #[error("its subjectAltName extension cannot be read")]
    AltNames,
    /// The same for the extended key usage.
    #[error("its extended key usage extension cannot be read")]
    ExtendedKeyUsage,
    /// A date that is no date.
    #[error("its dates of validity cannot be read")]
    Validity,
    /// OpenSSL could not write it down again.
    #[error("it cannot be encoded")]
    Encoding,
}

/// SHA-256 of the DER encoding.
pub(super) fn fingerprint(certificate: &X509Ref) -> Result<[u8; 32], ErrorStack> {
    Ok(openssl::sha::sha256(&certificate.to_der()?))
}

/// Everything that the rules need to know of a certificate whose chain ends in `anchor`.
///
/// # Errors
/// A certificate with an extension or a date that cannot be read is refused rather than taken without it.
pub(super) fn peer_certificate(
    leaf: &X509Ref,
    fingerprint: [u8; 32],
    anchor: Option<&Anchor>,
) -> Result<PeerCertificate, UnusableCertificate> {
    Ok(PeerCertificate {
        subject: name_line(leaf.subject_name()),
        issuer: name_line(leaf.issuer_name()),
        serial: serial(leaf),
        fingerprint,
        not_before: unix_time(leaf.not_before()).ok_or(UnusableCertificate::Validity)?,
        not_after: unix_time(leaf.not_after()).ok_or(UnusableCertificate::Validity)?,
        common_names: common_names(leaf.subject_name()),
        subject_attributes: subject_attributes(leaf.subject_name()),
        alt_names: alt_names(leaf)?,
        extended_key_usage: extended_key_usage(leaf)?,
        anchor_subject: anchor.map_or_else(String::new, |a| a.subject.clone()),
        anchor_fingerprint: anchor.map_or([0; 32], |a| a.fingerprint),
        issuers: anchor.map_or_else(Issuers::default, |a| a.issuers.clone()),
    })
}

/// What the names in this DER encoding of a certificate are; for tests and fuzzing, nothing is verified.
#[must_use]
pub fn names_of_der(der: &[u8]) -> Option<PeerCertificate> {
    let certificate = X509::from_der(der).ok()?;
    let fingerprint = fingerprint(&certificate).ok()?;
    let names = peer_certificate(&certificate, fingerprint, None).ok();
    drop(ErrorStack::get());
    names
}

/// Seconds since 1970-01-01 UTC.
pub(super) fn unix_time(time: &Asn1TimeRef) -> Option<i64> {
    let epoch = Asn1Time::from_unix(0).ok()?;
    let difference = epoch.diff(time).ok()?;
    i64::from(difference.days)
        .checked_mul(86_400)?
        .checked_add(i64::from(difference.secs))
}

/// Serial number in upper-case hexadecimal.
pub(super) fn serial(certificate: &X509Ref) -> String {
    certificate
        .serial_number()
        .to_bn()
        .and_then(|number| number.to_hex_str())
        .map_or_else(|_| "?".to_owned(), |hex| hex.to_string())
}

/// A distinguished name in one line, most specific part first (RFC 2253 §2), anything unprintable escaped.
pub(super) fn name_line(name: &X509NameRef) -> String {
    let mut parts: Vec<String> = Vec::new();
    for entry in name.entries() {
        let object = entry.object();
        let key = match object.nid().short_name() {
            Ok(short) if object.nid() != Nid::UNDEF => short.to_owned(),
            _ => dotted(ffi::object_octets(object)),
        };
        let value = ffi::utf8(entry.data()).unwrap_or_else(|| entry.data().as_slice().to_vec());
        parts.push(format!("{key}={}", escaped(&value)));
    }
    let mut line = String::new();
    for part in parts.iter().rev() {
        if !line.is_empty() {
            line.push(',');
        }
        if line.len().saturating_add(part.len()) > MAX_LINE {
            line.push('…');
            break;
        }
        line.push_str(part);
    }
    line
}

/// Octets as printable text: RFC 2253 specials behind a backslash, controls and non-UTF-8 as `\xx`.
fn escaped(value: &[u8]) -> String {
    let mut text = String::new();
    let mut shown = 0_usize;
    for chunk in value.utf8_chunks() {
        for character in chunk.valid().chars() {
            shown += 1;
            if shown > MAX_VALUE {
                text.push('…');
                return text;
            }
            match character {
                ',' | '+' | '"' | '\\' | '<' | '>' | ';' => {
                    text.push('\\');
                    text.push(character);
                }
                printable if printable == ' ' || printable.is_ascii_graphic() => {
                    text.push(printable);
                }
                // escape_debug knows which characters show; direction marks and the like do not.
                other => text.extend(other.escape_debug()),
            }
        }
        for octet in chunk.invalid() {
            shown += 1;
            let _ = write!(text, "\\{octet:02X}");
        }
    }
    text
}

fn common_names(subject: &X509NameRef) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = subject
        .entries_by_nid(Nid::COMMONNAME)
        .map(|entry| ffi::utf8(entry.data()).unwrap_or_else(|| entry.data().as_slice().to_vec()))
        .collect();
    if names.len() > MAX_COMMON_NAMES {
        names.drain(..names.len() - MAX_COMMON_NAMES);
    }
    names
}

fn subject_attributes(subject: &X509NameRef) -> Vec<(SubjectAttribute, Vec<u8>)> {
    let kind = |nid| match nid {
        Nid::SERIALNUMBER => Some(SubjectAttribute::SerialNumber),
        Nid::STATEORPROVINCENAME => Some(SubjectAttribute::State),
        _ => None,
    };
    let mut attributes: Vec<_> = subject
        .entries()
        .filter_map(|entry| {
            let kind = kind(entry.object().nid())?;
            let value = ffi::utf8(entry.data()).unwrap_or_else(|| entry.data().as_slice().to_vec());
            Some((kind, value))
        })
        .take(MAX_ATTRIBUTES)
        .collect();
    attributes.shrink_to_fit();
    attributes
}

fn alt_names(certificate: &X509Ref) -> Result<Vec<SubjectAltName>, UnusableCertificate> {
    let count = ffi::extension_count(certificate, Nid::SUBJECT_ALT_NAME);
    let names = match (count, certificate.subject_alt_names()) {
        (0, _) => return Ok(Vec::new()),
        (1, Some(names)) => names,
        _ => return Err(UnusableCertificate::AltNames),
    };
    let mut kept: Vec<SubjectAltName> = names
        .iter()
        .take(MAX_ALT_NAMES)
        .map(|name| {
            let octets = ffi::general_name_octets(name).unwrap_or_default();
            match ffi::general_name_type(name) {
                sys::GEN_URI => SubjectAltName::Uri(octets.to_vec()),
                sys::GEN_DNS => SubjectAltName::Dns(octets.to_vec()),
                sys::GEN_EMAIL => SubjectAltName::Email(octets.to_vec()),
                sys::GEN_IPADD => ip(octets).map_or(
                    SubjectAltName::Other("iPAddress of an odd length"),
                    SubjectAltName::Ip,
                ),
                sys::GEN_DIRNAME => SubjectAltName::Other("directoryName"),
                sys::GEN_RID => SubjectAltName::Other("registeredID"),
                sys::GEN_OTHERNAME => SubjectAltName::Other("otherName"),
                _ => SubjectAltName::Other("name of another type"),
            }
        })
        .collect();
    if names.len() > MAX_ALT_NAMES {
        kept.push(SubjectAltName::Other(
            "and more than 1,000 names, which are left out",
        ));
    }
    Ok(kept)
}

fn ip(octets: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(octets)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from))
        .ok()
}

/// Extended key usages as dotted identifiers; `None` without the extension.
pub(super) fn extended_key_usage(
    certificate: &X509Ref,
) -> Result<Option<Vec<String>>, UnusableCertificate> {
    let count = ffi::extension_count(certificate, Nid::EXT_KEY_USAGE);
    match count {
        0 => return Ok(None),
        1 => {}
        _ => return Err(UnusableCertificate::ExtendedKeyUsage),
    }
    let usages =
        ffi::extended_key_usages(certificate).ok_or(UnusableCertificate::ExtendedKeyUsage)?;
    Ok(Some(
        usages
            .iter()
            .take(MAX_ALT_NAMES)
            .map(|usage| dotted(ffi::object_octets(usage)))
            .collect(),
    ))
}

/// Content octets of an OBJECT IDENTIFIER in dotted form (X.690 §8.19); what does not fit ends it with `?`.
fn dotted(content: &[u8]) -> String {
    let mut text = String::new();
    let mut value: u64 = 0;
    let mut open = false;
    for octet in content {
        let Some(shifted) = value.checked_mul(128) else {
            text.push_str(".?");
            return text;
        };
        value = shifted | u64::from(octet & 0x7f);
        open = octet & 0x80 != 0;
        if open {
            continue;
        }
        if text.is_empty() {
            let first = (value / 40).min(2);
            let _ = write!(text, "{first}.{}", value - first * 40);
        } else {
            let _ = write!(text, ".{value}");
        }
        value = 0;
    }
    if open {
        text.push_str(".?");
    }
    text
}

/// Whether one of its names can stand for a domain: what a certificate with serverAuth alone must have.
///
/// A dNSName, an iPAddress, or a `sip:`/`sips:` URI without a user; with no subjectAltName at all a CN that is a host
/// name of two labels or more, which no MAC address is.
pub(super) fn names_a_domain(certificate: &PeerCertificate) -> bool {
    if certificate.alt_names.is_empty() {
        return certificate
            .common_names
            .last()
            .is_some_and(|cn| is_host_name(cn) && cn.contains(&b'.'));
    }
    certificate.alt_names.iter().any(|name| match name {
        SubjectAltName::Dns(dns) => is_host_name(dns.strip_prefix(b"*.").unwrap_or(dns)),
        SubjectAltName::Ip(_) => true,
        SubjectAltName::Uri(uri) => is_domain_uri(uri),
        SubjectAltName::Email(_) | SubjectAltName::Other(_) => false,
    })
}

fn is_domain_uri(uri: &[u8]) -> bool {
    let Some(colon) = memchr::memchr(b':', uri) else {
        return false;
    };
    let (scheme, rest) = uri.split_at(colon);
    let rest = rest.strip_prefix(b":").unwrap_or(rest);
    if !scheme.eq_ignore_ascii_case(b"sip") && !scheme.eq_ignore_ascii_case(b"sips") {
        return false;
    }
    if memchr::memchr(b'@', rest).is_some() {
        return false;
    }
    let host = rest
        .split(|octet| matches!(octet, b':' | b';' | b'?'))
        .next()
        .unwrap_or_default();
    is_host_name(host)
}

/// Letters, digits, hyphens and dots only, no empty label but one at the end.
pub(super) fn is_host_name(name: &[u8]) -> bool {
    let name = name.strip_suffix(b".").unwrap_or(name);
    !name.is_empty()
        && name.len() <= 253
        && name.split(|octet| *octet == b'.').all(|label| {
            !label.is_empty()
                && label
                    .iter()
                    .all(|o| o.is_ascii_alphanumeric() || matches!(o, b'-' | b'_'))
        })
}

/// A name as one word for a log line or a table; not escaped but for octets that are no UTF-8.
pub(super) fn alt_name_text(name: &SubjectAltName) -> String {
    let cut = |octets: &[u8]| -> String {
        String::from_utf8_lossy(octets)
            .chars()
            .take(MAX_VALUE)
            .collect()
    };
    match name {
        SubjectAltName::Uri(uri) => format!("URI:{}", cut(uri)),
        SubjectAltName::Dns(dns) => format!("DNS:{}", cut(dns)),
        SubjectAltName::Email(email) => format!("email:{}", cut(email)),
        SubjectAltName::Ip(ip) => format!("IP:{ip}"),
        SubjectAltName::Other(what) => (*what).to_owned(),
    }
}
