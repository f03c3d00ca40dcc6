//! TLS to a PostgreSQL server. (MySQL's client library has its own, over the same OpenSSL.)

use openssl::ssl::{SslConnector, SslFiletype, SslMethod, SslVerifyMode, SslVersion};
use postgres_openssl::MakeTlsConnector;

use super::target::{OptionsFault, Target, TlsMode};

/// What the `postgres` client takes for TLS; only this file names OpenSSL.
pub(super) type Connector = MakeTlsConnector;

/// What connects with TLS.
///
/// # Errors
/// A file that cannot be read.
pub(super) fn connector(target: &Target) -> Result<Connector, OptionsFault> {
    let failed = |what: &str, error: openssl::error::ErrorStack| {
        OptionsFault::Tls(format!("{what}: {error}"))
    };
    let mut builder =
        SslConnector::builder(SslMethod::tls_client()).map_err(|e| failed("OpenSSL", e))?;
    builder
        .set_min_proto_version(Some(SslVersion::TLS1_2))
        .map_err(|e| failed("OpenSSL", e))?;
    if let Some(file) = &target.ca_file {
        // In place of the system's anchors, not beside them.
        let store = openssl::x509::store::X509StoreBuilder::new()
            .map_err(|e| failed("OpenSSL", e))?
            .build();
        builder.set_cert_store(store);
        builder
            .set_ca_file(file)
            .map_err(|e| failed(&format!("CA file {}", file.display()), e))?;
    }
    if let Some((certificate, key)) = &target.client_certificate {
        builder
            .set_certificate_chain_file(certificate)
            .map_err(|e| failed(&format!("sslcert {}", certificate.display()), e))?;
        builder
            .set_private_key_file(key, SslFiletype::PEM)
            .map_err(|e| failed(&format!("sslkey {}", key.display()), e))?;
    }
    let checked = matches!(target.tls, TlsMode::VerifyCa | TlsMode::Verify);
    builder.set_verify(if checked {
        SslVerifyMode::PEER
    } else {
        SslVerifyMode::NONE
    });
    let mut connector = MakeTlsConnector::new(builder.build());
    let named = target.tls == TlsMode::Verify;
    connector.set_callback(move |configuration, _| {
        configuration.set_verify_hostname(named);
        Ok(())
    });
    Ok(connector)
}
