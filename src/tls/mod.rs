//! Certificates, trust and handshakes: the only room that names OpenSSL types.

mod options;

pub use options::{
    CertificateFiles, ClientVerification, EkuPolicy, ListenerTls, PassPhrase, ProtocolVersion,
    TlsOptions,
};
