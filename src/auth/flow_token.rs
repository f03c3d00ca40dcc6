//! Which flow leads to a device: a sealed token in our Path, which comes back in the Route of requests for it (RFC 5626 §5.2,
//! §5.3).
//!
//! It says where a request may go, and nothing of who sent it: that is judged as ever.

use super::dialog::{Epoch, FlowMark};
use super::identity_digest::IdentityDigest;
use super::seal::{Purpose, Sealer};

/// First octet of the encoding; the bit says that an identity follows.
const VERSION: u8 = 0x10;
const HAS_IDENTITY: u8 = 0x01;

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowToken {
    /// The flow; `None` in a token of another process, in which its number meant something else.
    pub flow: Option<FlowMark>,
    /// Who the certificate at its other end named.
    pub identity: Option<IdentityDigest>,
}

impl FlowToken {
    /// The token, in letters, digits, `-` and `_`. `None` if OpenSSL fails, or there is no flow.
    pub fn seal(&self, epoch: Epoch, sealer: &Sealer) -> Option<String> {
        let mut plain = Vec::with_capacity(48);
        plain.push(VERSION | self.identity.map_or(0, |_| HAS_IDENTITY));
        plain.extend_from_slice(&epoch.octets());
        if let Some(identity) = &self.identity {
            plain.extend_from_slice(identity.octets());
        }
        plain.extend_from_slice(self.flow.as_ref()?.octets());
        sealer.seal(Purpose::Flow, b"", &plain)
    }

    /// Opens what [`FlowToken::seal`] made; `None` for what another server, or nobody, has sealed.
    pub fn open(text: &str, epoch: Epoch, sealer: &Sealer) -> Option<Self> {
        let plain = sealer.open(Purpose::Flow, b"", text)?;
        let (&head, rest) = plain.split_first()?;
        let (then, mut rest) = rest.split_first_chunk::<4>()?;
        let mut identity = None;
        match head ^ VERSION {
            0 => {}
            HAS_IDENTITY => {
                let (octets, behind) = rest.split_first_chunk()?;
                identity = Some(IdentityDigest::from_octets(*octets));
                rest = behind;
            }
            _ => return None,
        }
        let flow = FlowMark::new(rest)?;
        Some(Self {
            flow: (*then == epoch.octets()).then_some(flow),
            identity,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::auth::TokenSecret;

    fn sealer(secret: &str) -> Sealer {
        let secret = TokenSecret::new(secret).unwrap();
        Sealer::new(&[secret], &TokenSecret::random().unwrap()).unwrap()
    }

    #[test]
    fn a_flow_comes_back_in_the_process_that_has_it_and_from_a_server_with_the_same_secret() {
        let (ours, theirs) = (sealer("secret-0123456789"), sealer("other-0123456789"));
        let (now, then) = (Epoch::new(1), Epoch::new(2));
        let flow = FlowMark::new(b"c1").unwrap();
        for identity in [None, Some(IdentityDigest::from_octets([7; 16]))] {
            let token = FlowToken {
                flow: Some(flow.clone()),
                identity,
            };
            let sealed = token.seal(now, &ours).unwrap();
            assert_eq!(FlowToken::open(&sealed, now, &ours), Some(token.clone()));
            let later = FlowToken {
                flow: None,
                identity,
            };
            assert_eq!(FlowToken::open(&sealed, then, &ours), Some(later.clone()));
            assert_eq!(later.seal(now, &ours), None, "nothing to say");
            assert_eq!(FlowToken::open(&sealed, now, &theirs), None);
            assert_eq!(FlowToken::open(&format!("{sealed}A"), now, &ours), None);
        }
    }

    #[test]
    fn what_is_sealed_for_something_else_or_in_another_layout_is_no_flow() {
        let (sealer, epoch) = (sealer("secret-0123456789"), Epoch::new(1));
        let open = |purpose, plain: &[u8]| {
            let text = sealer.seal(purpose, b"", plain).unwrap();
            FlowToken::open(&text, epoch, &sealer)
        };
        let good = b"\x10\0\0\0\x01c1";
        assert!(open(Purpose::Flow, good).is_some());
        assert_eq!(open(Purpose::Dialog, good), None);
        for (situation, plain) in [
            ("nothing", &b""[..]),
            ("no flow", b"\x10\0\0\0\x01"),
            ("an identity cut short", b"\x11\0\0\0\x01c1"),
            ("another version", b"\x20\0\0\0\x01c1"),
            ("a bit that means nothing", b"\x12\0\0\0\x01c1"),
        ] {
            assert_eq!(open(Purpose::Flow, plain), None, "{situation}");
        }
    }
}
