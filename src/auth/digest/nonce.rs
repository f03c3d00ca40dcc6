//! Nonces: RFC 7616 §3.3. When and to whom each was given is sealed in it, so that a challenge costs no memory.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::Ordering;

use super::Digest;
use super::replay::NonceKey;
use crate::auth::seal::Purpose;

/// First octet of the encoding.
const VERSION: u8 = 1;

/// Octets that tell the nonces of one memory from those of another under the same secret.
pub(super) const MARK: usize = 4;

/// What stands for the address in a nonce that is good for any.
const ANY: [u8; 16] = [0; 16];

/// What is wrong with a nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NonceFault {
    /// It does not open: nobody here made it for this realm.
    Foreign,
    /// It is one of ours, but too old, of another process or another address.
    Stale,
}

impl Digest {
    /// A nonce for a challenge; `None` if OpenSSL fails.
    pub(super) fn new_nonce(&self, realm: &str, source: IpAddr, now: u64) -> Option<String> {
        // Whoever reads it sees nothing of the number, so that a counter is as good as anything random.
        let id = self.memory.next_nonce.fetch_add(1, Ordering::Relaxed);
        let source = if self.options.bind_source {
            octets_of(source)
        } else {
            ANY
        };
        let mut plain = Vec::with_capacity(1 + MARK + 8 + 8 + 16);
        plain.push(VERSION);
        plain.extend_from_slice(&self.memory.mark);
        plain.extend_from_slice(&now.to_be_bytes());
        plain.extend_from_slice(&id.to_be_bytes());
        plain.extend_from_slice(&source);
        self.sealer.seal(Purpose::Nonce, realm.as_bytes(), &plain)
    }

    /// Which nonce this is, if it may be used now.
    ///
    /// The address is inside rather than what the nonce is sealed with: a telephone that has moved to another one gets a new
    /// nonce as one whose nonce is old, and does not ask its user for the password again.
    pub(super) fn open_nonce(
        &self,
        text: &str,
        realm: &str,
        source: IpAddr,
        now: u64,
    ) -> Result<NonceKey, NonceFault> {
        let plain = self
            .sealer
            .open(Purpose::Nonce, realm.as_bytes(), text)
            .ok_or(NonceFault::Foreign)?;
        let read = || {
            let rest = plain.strip_prefix(&[VERSION])?;
            let (mark, rest) = rest.split_first_chunk::<MARK>()?;
            let (issued, rest) = rest.split_first_chunk()?;
            let (id, rest) = rest.split_first_chunk()?;
            let address: [u8; 16] = rest.try_into().ok()?;
            let issued = u64::from_be_bytes(*issued);
            let id = u64::from_be_bytes(*id);
            Some((*mark, NonceKey { issued, id }, address))
        };
        let (mark, key, address) = read().ok_or(NonceFault::Foreign)?;
        // A clock that was set back must not make nonces live longer.
        let is_fresh = now.abs_diff(key.issued) <= u64::from(self.options.nonce_lifetime);
        let is_here = !self.options.bind_source || address == octets_of(source);
        if mark == self.memory.mark && is_fresh && is_here {
            Ok(key)
        } else {
            Err(NonceFault::Stale)
        }
    }
}

fn octets_of(address: IpAddr) -> [u8; 16] {
    let wide: Ipv6Addr = match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    wide.octets()
}
