//! Binding requests of STUN, with which phones keep their flow open and learn how it looks from here: RFC 5389, as much of it
//! as RFC 5626 §8 asks of a SIP server. Octets in, octets out.

use std::net::{IpAddr, SocketAddr};

/// RFC 5389 §6.
const HEADER: usize = 20;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const BINDING_SUCCESS: [u8; 2] = [0x01, 0x01];
const BINDING_ERROR: [u8; 2] = [0x01, 0x11];

const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;

/// Attributes that have to be understood and are: those of authentication, which nobody is asked for here, and those of
/// answers, which say nothing in a request.
const UNDERSTOOD: [u16; 8] = [
    0x0001,
    0x0006,
    0x0008,
    ERROR_CODE,
    UNKNOWN_ATTRIBUTES,
    0x0014,
    0x0015,
    XOR_MAPPED_ADDRESS,
];
/// Attributes that an answer names as not understood, so that it is never much longer than what it answers.
const MOST_NAMED: usize = 4;

/// Whether a datagram is of STUN; if it asks for a binding, the answer is appended to `out`. Indications, answers and other
/// methods are not answered.
pub(crate) fn is_stun(datagram: &[u8], source: SocketAddr, out: &mut Vec<u8>) -> bool {
    let Some((header, attributes)) = datagram.split_first_chunk::<HEADER>() else {
        return false;
    };
    let [kind_0, kind_1, length_0, length_1, id @ ..] = header;
    let length = usize::from(u16::from_be_bytes([*length_0, *length_1]));
    // RFC 5389 §6: how it is told from everything else on the port.
    let is_stun = kind_0 & 0xc0 == 0
        && id.starts_with(&MAGIC_COOKIE)
        && length == attributes.len()
        && length % 4 == 0;
    if !is_stun {
        return false;
    }
    if [*kind_0, *kind_1] == BINDING_REQUEST
        && let Some(unknown) = not_understood(attributes)
    {
        if unknown.is_empty() {
            header_of(BINDING_SUCCESS, id, out);
            xor_mapped_address(source, id, out);
        } else {
            header_of(BINDING_ERROR, id, out);
            // RFC 5389 §15.6: 420 Unknown Attribute.
            attribute(ERROR_CODE, b"\0\0\x04\x14Unknown Attribute", out);
            attribute(UNKNOWN_ATTRIBUTES, &unknown, out);
        }
    }
    true
}

/// The attributes that would have to be understood and are not, as UNKNOWN-ATTRIBUTES lists them; `None` when the
/// attributes cannot be told from each other.
fn not_understood(mut attributes: &[u8]) -> Option<Vec<u8>> {
    let mut unknown = Vec::new();
    while let Some(([kind_0, kind_1, length_0, length_1], rest)) = attributes.split_first_chunk() {
        let kind = u16::from_be_bytes([*kind_0, *kind_1]);
        let length = usize::from(u16::from_be_bytes([*length_0, *length_1]));
        attributes = rest.get(length.next_multiple_of(4)..)?;
        if kind < 0x8000 && !UNDERSTOOD.contains(&kind) && unknown.len() < 2 * MOST_NAMED {
            unknown.extend_from_slice(&kind.to_be_bytes());
        }
    }
    attributes.is_empty().then_some(unknown)
}

/// Begins an answer; its length is that of nothing until attributes follow.
fn header_of(kind: [u8; 2], id: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&kind);
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(id);
}

/// Appends an attribute, and counts it.
fn attribute(kind: u16, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&kind.to_be_bytes());
    // Ours are short.
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
    let length = u16::try_from(out.len().saturating_sub(HEADER)).unwrap_or(u16::MAX);
    if let Some(place) = out.get_mut(2..4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}

/// RFC 5389 §15.2. `id` is the magic cookie and the transaction.
fn xor_mapped_address(source: SocketAddr, id: &[u8], out: &mut Vec<u8>) {
    let mut value = vec![0, 0];
    value.extend(source.port().to_be_bytes());
    match source.ip().to_canonical() {
        IpAddr::V4(ip) => {
            value.splice(1..2, [1]);
            value.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            value.splice(1..2, [2]);
            value.extend(ip.octets());
        }
    }
    let port = value.iter_mut().skip(2).take(2);
    port.zip(MAGIC_COOKIE)
        .for_each(|(octet, mask)| *octet ^= mask);
    let address = value.iter_mut().skip(4);
    address.zip(id).for_each(|(octet, mask)| *octet ^= mask);
    attribute(XOR_MAPPED_ADDRESS, &value, out);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn request(attributes: &[u8]) -> Vec<u8> {
        let mut octets = vec![0, 1, 0, u8::try_from(attributes.len()).unwrap()];
        octets.extend(MAGIC_COOKIE);
        octets.extend(*b"0123456789ab");
        octets.extend(attributes);
        octets
    }

    fn answered(datagram: &[u8], source: &str) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        is_stun(datagram, source.parse().unwrap(), &mut out).then_some(out)
    }

    #[test]
    fn a_binding_request_is_told_where_it_came_from() {
        let head = [&b"\x01\x01\0\x0c\x21\x12\xa4\x42"[..], b"0123456789ab"].concat();
        // The example address of RFC 5769 §2.2.
        let wanted = [&head[..], b"\0\x20\0\x08\0\x01\xa1\x47\xe1\x12\xa6\x43"].concat();
        assert_eq!(
            answered(&request(b""), "192.0.2.1:32853"),
            Some(wanted.clone())
        );
        let mapped = answered(&request(b""), "[::ffff:192.0.2.1]:32853");
        assert_eq!(mapped, Some(wanted));
        let six = answered(&request(b""), "[2001:db8::1]:32853").unwrap();
        assert_eq!(six.len(), 44);
        assert_eq!(
            six.get(20..32),
            Some(&b"\0\x20\0\x14\0\x02\xa1\x47\x01\x13\xa9\xfa"[..])
        );
        assert_eq!(six.get(3), Some(&24));
    }

    #[test]
    fn what_nobody_has_to_understand_is_passed_over_and_what_we_should_is_named() {
        let source = "192.0.2.1:5060";
        // SOFTWARE, USERNAME with padding, FINGERPRINT.
        let fine = request(b"\x80\x22\0\x03abc\0\0\x06\0\x01x\0\0\0\x80\x28\0\x041234");
        assert_eq!(answered(&fine, source).unwrap().len(), 32);
        // CHANGE-REQUEST.
        let unknown = request(b"\0\x03\0\x04\0\0\0\0");
        let answer = answered(&unknown, source).unwrap();
        assert!(answer.starts_with(b"\x01\x11\0\x24"), "{answer:?}");
        assert!(answer.ends_with(b"\0\x0a\0\x02\0\x03\0\0"), "{answer:?}");
        let many = request(&b"\x12\x34\0\0".repeat(40));
        let answer = answered(&many, source).unwrap();
        assert!(answer.len() < many.len(), "{} octets", answer.len());
    }

    #[test]
    fn nothing_else_is_answered() {
        let source = "192.0.2.1:5060";
        let mut indication = request(b"");
        indication.splice(1..2, [0x11]);
        let mut answer = request(b"");
        answer.splice(0..2, BINDING_SUCCESS);
        for (situation, datagram) in [
            ("an indication", indication),
            ("an answer", answer),
            (
                "an attribute that goes beyond the end",
                request(b"\0\x06\0\x08abcd"),
            ),
        ] {
            assert_eq!(answered(&datagram, source), Some(Vec::new()), "{situation}");
        }
        let mut cookie = request(b"");
        cookie.splice(4..5, [0]);
        let mut short = request(b"\x80\x22\0\x04abcd");
        short.pop();
        for (situation, datagram) in [
            ("nothing", Vec::new()),
            ("SIP", b"OPTIONS sip:h SIP/2.0\r\n\r\n".to_vec()),
            ("another cookie", cookie),
            ("another length", short),
        ] {
            assert_eq!(answered(&datagram, source), None, "{situation}");
        }
    }
}
