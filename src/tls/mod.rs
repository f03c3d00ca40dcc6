//! Certificates, trust and handshakes: the only room that names OpenSSL types, besides `auth`'s digest.
//!
//! Settings and PEM files become one [`ServerContext`] for each listener and one [`ClientContext`] (all or nothing), a
//! context makes the `Ssl` of a connection, and after its handshake [`established`] says who the peer is, or [`refusal`]
//! why it is not let in; [`established_server`] and [`server_refusal`] say so of a server that we connected to.
//! From there on an identity is plain values: [`crate::auth::PeerCertificate`].

mod again;
mod client;
mod connected;
mod context;
mod crl;
mod crl_files;
mod destinations;
mod examine;
mod fault;
mod ffi;
mod handshake;
mod identity;
mod inventory;
mod issuers;
pub mod keylog;
mod ocsp;
mod options;
mod own;
mod parameters;
mod peer;
mod pem;
mod reference;
mod revocation;
mod roots;
mod server;
mod server_refusal;
mod sni;
mod ssl_options;
mod staple;
mod staple_check;
mod store;
mod stream;
mod upkeep;
mod verified;
mod verify;

#[cfg(test)]
mod tests;

pub use again::Standing;
pub use client::{AcceptedPeer, ClientContext, ServerExpectation};
pub use connected::{EstablishedServer, Shown, established_server, server_refusal};
pub use context::ServerContext;
pub use examine::{
    ExaminedCertificate, RevocationOctets, read_certificate_file, revocation_of_octets,
};
pub use fault::{LoadFault, Severity};
pub use handshake::{Established, HandshakeRefusal, established, refusal};
pub use inventory::{CertificateRole, LoadedCertificate};
pub use options::{
    CertificateFiles, ClientTls, ClientVerification, CrlCheck, CrlFiles, DestinationProfile,
    EkuPolicy, ListenerTls, OwnIdentity, PassPhrase, ProtocolVersion, RevocationOptions,
    TlsOptions, WithoutCrl,
};
pub use peer::{MAX_ALT_NAMES, UnusableCertificate, names_of_der};
pub use pem::PemBlock;
pub use reference::ReferenceName;
pub use roots::{Roots, cas_of_file};
pub use server::{LoadedTls, Report, ServerTls, load};
pub use server_refusal::{ServerFault, ServerRefusal};
pub use ssl_options::is_openssl_option;
pub use stream::{ConnectStep, HandshakeStep, Progress, TlsSession, TlsStream};
pub use upkeep::{Ending, EndingsTold, Kept, LoadedCrl, SecondsLeft, Upkeep};
