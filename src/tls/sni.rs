//! Which of a listener's domains a client asks for (RFC 6066 §3), decided when its ClientHello is there and before
//! anything else of it is looked at.
//!
//! OpenSSL's own hook comes after it has looked for a session to resume: a ticket of one domain would be taken on another,
//! which RFC 6066 forbids, and which matters where the two trust different CAs.

use std::collections::HashMap;
use std::sync::Arc;

use openssl::error::ErrorStack;
use openssl::ssl::{
    ClientHelloResponse, NameType, SniError, SslAlert, SslContext, SslContextBuilder, SslRef,
};

use super::verify::Verifier;
use super::{ffi, handshake};

/// A domain that clients choose.
pub(super) struct Domain {
    /// With its certificates and anchors.
    pub(super) context: SslContext,
    /// For its anchors.
    pub(super) verifier: Arc<Verifier>,
}

/// Has a listener's context hand over to those of its other domains.
pub(super) fn choose(
    builder: &mut SslContextBuilder,
    own: Vec<u8>,
    others: HashMap<Vec<u8>, Domain>,
) {
    let others = Arc::new(others);
    if !others.is_empty() {
        let others = Arc::clone(&others);
        builder.set_client_hello_callback(move |ssl, alert| {
            let name = ffi::hello_server_name(ssl).and_then(host_name).map(folded);
            let domain = name.and_then(|name| others.get(&name));
            hand_over(ssl, alert, domain)
        });
    }
    builder.set_servername_callback(move |ssl, _alert| {
        // An unknown name is served the default: phones are often set to an address or an alias.
        match ssl.servername_raw(NameType::HOST_NAME).map(folded) {
            Some(name) if name == own || others.contains_key(&name) => Ok(()),
            _ => Err(SniError::NOACK),
        }
    });
}

fn hand_over(
    ssl: &mut SslRef,
    alert: &mut SslAlert,
    domain: Option<&Domain>,
) -> Result<ClientHelloResponse, ErrorStack> {
    let slot = handshake::slot(ssl).ok_or_else(ErrorStack::get)?;
    // A second ClientHello, after a HelloRetryRequest, asks for what the first did (RFC 8446 §4.1.2).
    if !slot.choose(domain.map(|domain| &domain.verifier)) {
        *alert = SslAlert::ILLEGAL_PARAMETER;
        return Err(ErrorStack::get());
    }
    if let Some(domain) = domain {
        ssl.set_ssl_context(&domain.context)?;
    }
    Ok(ClientHelloResponse::SUCCESS)
}

/// The first host name of a server_name extension, which is the one that OpenSSL takes.
fn host_name(extension: &[u8]) -> Option<&[u8]> {
    let [_, _, 0, high, low, rest @ ..] = extension else {
        return None;
    };
    rest.get(..usize::from(u16::from_be_bytes([*high, *low])))
}

/// A name in the form that is compared.
pub(super) fn folded(name: &[u8]) -> Vec<u8> {
    let mut name = name.to_ascii_lowercase();
    if name.last() == Some(&b'.') {
        name.pop();
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_host_name_of_the_extension_is_taken() {
        for (situation, extension, wanted) in [
            ("one name", &b"\x00\x04\x00\x00\x01a"[..], Some(&b"a"[..])),
            ("of two", b"\x00\x08\x00\x00\x01a\x00\x00\x01b", Some(b"a")),
            ("no host name", b"\x00\x04\x01\x00\x01a", None),
            ("cut", b"\x00\x04\x00\x00\x02a", None),
            ("empty", b"", None),
        ] {
            assert_eq!(host_name(extension), wanted, "{situation}");
        }
        assert_eq!(folded(b"Example.ORG."), b"example.org");
    }
}
