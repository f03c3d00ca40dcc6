//! Certificates, trust and handshakes: the only room that names OpenSSL types, besides `auth`'s digest.
//!
//! Settings and PEM files become one [`ServerContext`] for each listener (all or nothing), a context makes the `Ssl` of
//! a connection, and after its handshake [`established`] says who the peer is, or [`refusal`] why it is not let in.
//! From there on an identity is plain values: [`crate::auth::PeerCertificate`].

mod context;
mod examine;
mod fault;
mod ffi;
mod handshake;
mod identity;
mod inventory;
pub mod keylog;
mod options;
mod peer;
mod pem;
mod server;
mod ssl_options;
mod store;
mod stream;
mod verified;
mod verify;

#[cfg(test)]
mod tests;

pub use context::ServerContext;
pub use examine::{ExaminedCertificate, read_certificate_file};
pub use fault::{LoadFault, Severity};
pub use handshake::{Established, HandshakeRefusal, established, refusal};
pub use inventory::{CertificateRole, LoadedCertificate};
pub use options::{
    CertificateFiles, ClientVerification, EkuPolicy, ListenerTls, PassPhrase, ProtocolVersion,
    TlsOptions,
};
pub use peer::{MAX_ALT_NAMES, UnusableCertificate, names_of_der};
pub use pem::PemBlock;
pub use server::{Report, ServerTls};
pub use ssl_options::is_openssl_option;
pub use stream::{HandshakeStep, Progress, TlsSession, TlsStream};
