//! Who is this peer, and may it say what it says?
//!
//! Pure. Names out of a certificate become [`Identities`] (RFC 5922 §7.1); a request, its peer and the [`Rules`] become a
//! [`Decision`]. Only this room makes an [`Admitted`], by [`admit`] and its like, and nothing else goes on to the registrar or
//! the proxy. Within a dialog a [`DialogToken`] may say who the peer is: see [`DialogRequest`].

mod admit;
mod again;
mod callout;
mod certificate;
mod check;
mod credentials;
mod dialog;
#[cfg(test)]
mod dialog_tests;
mod digest;
mod explain;
mod flow_token;
mod identity_digest;
mod issuer;
mod legacy;
mod legacy_name;
mod mac;
mod mappings;
mod options;
#[cfg(test)]
mod parity;
mod password;
#[cfg(test)]
mod password_tests;
mod peer_certificate;
mod phone;
#[cfg(test)]
mod properties;
mod record;
mod rights;
mod seal;
mod secure;
#[cfg(test)]
mod test_support;
mod trust;
mod verdict;

pub use admit::{Admitted, Challenge, Decision, Occasion, Rules, admit, admit_in_dialog, resume};
pub use again::{Right, may_still_register};
pub use callout::{BearerToken, CalloutFailure, CalloutOptions, CalloutWhen};
pub use certificate::{Identities, Identity, IdentityKind, NamePolicy, NameSource, Unusable};
pub use check::{Answer, Answers, Check, Claim, Done, Opinion, Peer, Pending, Question, Transport};
pub use dialog::{
    DialogRequest, DialogToken, Epoch, FlowMark, Leg, ProvenLeg, Sender, TagDigest, UriDigest,
};
pub use digest::{
    Algorithm, Checked, Credentials, CredentialsFault, Digest, DigestFault, DigestMemory,
    DigestOptions, DigestRequest, DigestUser, Field, HashDefect, HashFault, HashText, Unavailable,
    ha1, is_same,
};
pub use explain::{Explanation, Scene, Statement, Verdict, explain, explain_message};
pub use flow_token::FlowToken;
pub use identity_digest::IdentityDigest;
pub use issuer::{Issuer, Issuers};
pub use mappings::{MappingFault, MappingFaultKind, Mappings};
pub use options::{
    AuthOptions, CertificateInstead, IdentityRules, IpNetwork, OnIdentityLost, TrustedPeer,
    TrustedSource,
};
pub use password::{NoPasswords, Passwords, PasswordsFailed};
pub use peer_certificate::{
    CertificateName, PeerCertificate, SubjectAltName, SubjectAttribute, oid,
};
pub use phone::{PhoneProfile, PhoneProfiles};
pub use record::{AdmissionRecord, Said};
pub use rights::{CaRights, ListenerPlace, RightsFault, RightsFaultKind, ShownCa, Stranger};
pub use seal::{Purpose, SealFault, Sealer, TokenSecret};
pub use trust::{DomainSet, TrustedPeers};
pub use verdict::{Exemption, Ground, IdentityPath, Reason, Refusal, Role, Wanted};
