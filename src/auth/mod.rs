//! Who is this peer, and may it say what it says?
//!
//! Pure. Names out of a certificate become identities (RFC 5922 §7.1), identities and rules become a verdict.

mod options;
mod peer_certificate;

pub use options::{AuthOptions, IdentityRules, IpNetwork, TrustedPeer};
pub use peer_certificate::{PeerCertificate, SubjectAltName, oid};
