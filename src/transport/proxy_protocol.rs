//! The PROXY protocol header, versions 1 and 2, that a load balancer puts before everything else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What the first octets of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProxyHeader {
    /// The beginning of a header.
    Partial,
    /// A whole one of `length` octets. `source` is the client, or `None` where the proxy speaks for itself
    /// (`UNKNOWN`, `LOCAL`).
    Whole {
        length: usize,
        source: Option<SocketAddr>,
    },
    /// None.
    Bad,
}

const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Longest line of version 1, CRLF included.
const V1_LONGEST: usize = 107;
/// Longest header of version 2 that is read; extensions beyond it are nobody's here.
const V2_LONGEST: usize = 1024;
/// Octets to look at, at most.
pub(crate) const LONGEST: usize = V2_LONGEST;

/// Reads a header from the first octets of a connection.
pub(crate) fn parse(octets: &[u8]) -> ProxyHeader {
    if octets.len() >= V2_SIGNATURE.len() && octets.starts_with(V2_SIGNATURE) {
        return version_2(octets).unwrap_or(ProxyHeader::Partial);
    }
    if V2_SIGNATURE.starts_with(octets) {
        return ProxyHeader::Partial;
    }
    match memchr::memmem::find(octets, b"\r\n") {
        Some(end) if end + 2 <= V1_LONGEST => {
            let line = octets.get(..end).unwrap_or_default();
            version_1(line).map_or(ProxyHeader::Bad, |source| ProxyHeader::Whole {
                length: end + 2,
                source,
            })
        }
        None if octets.len() < V1_LONGEST
            && (octets.starts_with(b"PROXY ") || b"PROXY ".starts_with(octets)) =>
        {
            ProxyHeader::Partial
        }
        _ => ProxyHeader::Bad,
    }
}

/// `PROXY TCP4 source destination port port`.
fn version_1(line: &[u8]) -> Option<Option<SocketAddr>> {
    let rest = std::str::from_utf8(line.strip_prefix(b"PROXY ")?).ok()?;
    let mut words = rest.split(' ');
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(None);
    }
    let (source, destination) = (words.next()?, words.next()?);
    let (port, destination_port) = (words.next()?, words.next()?);
    let (source, destination): (IpAddr, IpAddr) = (source.parse().ok()?, destination.parse().ok()?);
    let _: u16 = destination_port.parse().ok()?;
    let fits = match family {
        "TCP4" => source.is_ipv4() && destination.is_ipv4(),
        "TCP6" => source.is_ipv6() && destination.is_ipv6(),
        _ => false,
    };
    (fits && words.next().is_none()).then_some(Some(SocketAddr::new(source, port.parse().ok()?)))
}

/// The binary header; `None` while it is not whole.
fn version_2(octets: &[u8]) -> Option<ProxyHeader> {
    let command = *octets.get(12)?;
    let family = *octets.get(13)?;
    let length = usize::from(u16::from_be_bytes([*octets.get(14)?, *octets.get(15)?])) + 16;
    if command >> 4 != 2 || length > V2_LONGEST {
        return Some(ProxyHeader::Bad);
    }
    let header = octets.get(..length)?;
    Some(
        version_2_source(command, family, header).map_or(ProxyHeader::Bad, |source| {
            ProxyHeader::Whole { length, source }
        }),
    )
}

/// The source that a whole binary header names; `None` for one that breaks the format.
fn version_2_source(command: u8, family: u8, header: &[u8]) -> Option<Option<SocketAddr>> {
    match (command & 0xf, family) {
        (0, _) => Some(None),
        (1, 0x11) => {
            let [a, b, c, d] = octets_at::<4>(header, 16)?;
            let port = u16::from_be_bytes(octets_at::<2>(header, 24)?);
            Some(Some(SocketAddr::from((Ipv4Addr::new(a, b, c, d), port))))
        }
        (1, 0x21) => {
            let address = Ipv6Addr::from(octets_at::<16>(header, 16)?);
            let port = u16::from_be_bytes(octets_at::<2>(header, 48)?);
            Some(Some(SocketAddr::from((address, port))))
        }
        _ => None,
    }
}

/// The `N` octets from `at` on.
fn octets_at<const N: usize>(octets: &[u8], at: usize) -> Option<[u8; N]> {
    octets.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let mut octets = V2_SIGNATURE.to_vec();
        octets.extend_from_slice(&[command, family]);
        octets.extend_from_slice(&u16::try_from(payload.len()).unwrap().to_be_bytes());
        octets.extend_from_slice(payload);
        octets
    }

    #[test]
    fn headers_are_read_or_refused() {
        let v4 = v2(
            0x21,
            0x11,
            &[192, 0, 2, 7, 10, 0, 0, 1, 0x9c, 0xbc, 0x13, 0xc5],
        );
        let mut v6 = [0_u8; 36];
        v6[15] = 1;
        v6[33] = 80;
        v6[32] = 0;
        let v6 = v2(0x21, 0x21, &v6);
        let source = |text: &str| Some(text.parse().unwrap());
        for (situation, octets, wanted) in [
            (
                "v1 IPv4",
                &b"PROXY TCP4 192.0.2.7 10.0.0.1 40124 5061\r\nx"[..],
                Ok(source("192.0.2.7:40124")),
            ),
            (
                "v1 IPv6",
                b"PROXY TCP6 2001:db8::7 ::1 40124 5061\r\n",
                Ok(source("[2001:db8::7]:40124")),
            ),
            ("v1 unknown", b"PROXY UNKNOWN\r\n", Ok(None)),
            (
                "v1 with a wrong family",
                b"PROXY TCP4 2001:db8::7 ::1 1 2\r\n",
                Err(ProxyHeader::Bad),
            ),
            (
                "v1 with too many words",
                b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2 3\r\n",
                Err(ProxyHeader::Bad),
            ),
            (
                "a ClientHello",
                b"\x16\x03\x01\x02\x00\x01",
                Err(ProxyHeader::Bad),
            ),
            ("nothing yet", b"", Err(ProxyHeader::Partial)),
            (
                "the beginning of v1",
                b"PROXY TC",
                Err(ProxyHeader::Partial),
            ),
            ("a line without end", &[b'P'; 200], Err(ProxyHeader::Bad)),
            ("v2 IPv4", &v4, Ok(source("192.0.2.7:40124"))),
            ("v2 cut", &v4[..20], Err(ProxyHeader::Partial)),
            ("v2 IPv6", &v6, Ok(source("[::1]:80"))),
            ("v2 local", &v2(0x20, 0, &[]), Ok(None)),
            (
                "v2 with a datagram",
                &v2(0x21, 0x12, &[0; 12]),
                Err(ProxyHeader::Bad),
            ),
            (
                "v2 of another version",
                &v2(0x11, 0x11, &[0; 12]),
                Err(ProxyHeader::Bad),
            ),
        ] {
            match (parse(octets), wanted) {
                (ProxyHeader::Whole { source, length }, Ok(wanted)) => {
                    assert_eq!(source, wanted, "{situation}");
                    assert!(length <= octets.len(), "{situation}");
                }
                (other, Err(wanted)) => assert_eq!(other, wanted, "{situation}"),
                (other, wanted) => panic!("{situation}: {other:?}, wanted {wanted:?}"),
            }
        }
    }

    #[test]
    fn a_v2_header_with_too_short_addresses_waits_for_nothing() {
        let short = v2(0x21, 0x11, &[1, 2]);
        assert_eq!(parse(&short), ProxyHeader::Bad);
    }
}
