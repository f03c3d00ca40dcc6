//! Names of OpenSSL's context options, as `OpenSSLCTXSetOptions` and `OpenSSLCTXClearOptions` write them.

use openssl::ssl::SslOptions;

use super::fault::{Faults, LoadFault};

/// What becomes of an option.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// A bit of this value, the same in OpenSSL 1.1.1 and 3.x.
    Bit(u64),
    /// The harmless workarounds, which differ between versions.
    All,
    /// OpenSSL has done so always since 1.1.0; nothing to set.
    Always,
    /// Worked around a peer or protocol that OpenSSL no longer knows.
    Gone,
    /// Would keep a TLS server from working.
    Harmful,
}

use Standing::{All, Always, Bit, Gone, Harmful};

const OPTIONS: &[(&str, Standing)] = &[
    ("SSL_OP_ALL", All),
    ("SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION", Bit(0x0004_0000)),
    ("SSL_OP_CIPHER_SERVER_PREFERENCE", Bit(0x0040_0000)),
    ("SSL_OP_CISCO_ANYCONNECT", Bit(0x0000_8000)),
    // Asks for callbacks that only a DTLS or QUIC server has.
    ("SSL_OP_COOKIE_EXCHANGE", Harmful),
    ("SSL_OP_CRYPTOPRO_TLSEXT_BUG", Bit(0x8000_0000)),
    ("SSL_OP_DONT_INSERT_EMPTY_FRAGMENTS", Bit(0x0000_0800)),
    ("SSL_OP_EPHEMERAL_RSA", Gone),
    ("SSL_OP_LEGACY_SERVER_CONNECT", Bit(0x0000_0004)),
    ("SSL_OP_MICROSOFT_BIG_SSLV3_BUFFER", Gone),
    ("SSL_OP_MICROSOFT_SESS_ID_BUG", Gone),
    ("SSL_OP_MSIE_SSLV2_RSA_PADDING", Gone),
    ("SSL_OP_NETSCAPE_CA_DN_BUG", Gone),
    ("SSL_OP_NETSCAPE_CHALLENGE_BUG", Gone),
    ("SSL_OP_NETSCAPE_DEMO_CIPHER_CHANGE_BUG", Gone),
    ("SSL_OP_NETSCAPE_REUSE_CIPHER_CHANGE_BUG", Gone),
    ("SSL_OP_NO_COMPRESSION", Bit(0x0002_0000)),
    ("SSL_OP_NO_ENCRYPT_THEN_MAC", Bit(0x0008_0000)),
    ("SSL_OP_NO_QUERY_MTU", Bit(0x0000_1000)),
    ("SSL_OP_NO_RENEGOTIATION", Bit(0x4000_0000)),
    (
        "SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION",
        Bit(0x0001_0000),
    ),
    ("SSL_OP_NO_SSLv2", Always),
    ("SSL_OP_NO_SSLv3", Bit(0x0200_0000)),
    ("SSL_OP_NO_TICKET", Bit(0x0000_4000)),
    ("SSL_OP_NO_TLSv1", Bit(0x0400_0000)),
    ("SSL_OP_NO_TLSv1_1", Bit(0x1000_0000)),
    ("SSL_OP_NO_TLSv1_2", Bit(0x0800_0000)),
    ("SSL_OP_NO_TLSv1_3", Bit(0x2000_0000)),
    ("SSL_OP_PKCS1_CHECK_1", Gone),
    ("SSL_OP_PKCS1_CHECK_2", Gone),
    ("SSL_OP_PRIORITIZE_CHACHA", Bit(0x0020_0000)),
    ("SSL_OP_SAFARI_ECDHE_ECDSA_BUG", Bit(0x0000_0040)),
    ("SSL_OP_SINGLE_DH_USE", Always),
    ("SSL_OP_SINGLE_ECDH_USE", Always),
    ("SSL_OP_SSLEAY_080_CLIENT_DH_BUG", Gone),
    ("SSL_OP_SSLREF2_REUSE_CERT_TYPE_BUG", Gone),
    ("SSL_OP_TLS_BLOCK_PADDING_BUG", Gone),
    ("SSL_OP_TLS_D5_BUG", Gone),
    ("SSL_OP_TLS_ROLLBACK_BUG", Bit(0x0080_0000)),
];

/// Whether OpenSSL has, or had, a context option of this name; letter case counts.
pub fn is_openssl_option(name: &str) -> bool {
    OPTIONS.iter().any(|(known, _)| *known == name)
}

/// Never cleared, whatever the settings say: compression and renegotiation are attacks with a protocol number.
pub(super) fn always_set() -> SslOptions {
    SslOptions::NO_COMPRESSION | SslOptions::NO_RENEGOTIATION
}

/// The options behind these names; what is wrong with a name becomes a fault of `setting`.
pub(super) fn parse(setting: &'static str, names: &[String], faults: &mut Faults) -> SslOptions {
    let mut options = SslOptions::empty();
    for name in names.iter().map(|name| name.trim()) {
        let known = OPTIONS.iter().find(|(known, _)| *known == name);
        match known.map(|(_, standing)| *standing) {
            Some(Bit(bits)) => options |= SslOptions::from_bits_retain(bits as _),
            Some(All) => options |= SslOptions::ALL,
            Some(Always) => {}
            Some(Gone) => faults.push(
                LoadFault::setting(
                    setting,
                    format!("{name} means nothing to this OpenSSL and is ignored"),
                    "take it out",
                )
                .warning(),
            ),
            Some(Harmful) => faults.push(
                LoadFault::setting(
                    setting,
                    format!("{name} is for DTLS servers and is ignored"),
                    "take it out",
                )
                .warning(),
            ),
            None => faults.push(LoadFault::setting(
                setting,
                format!("{name:?} is not the name of an OpenSSL option"),
                "names are written as in SSL_CTX_set_options(3), with SSL_OP_ in front, in the same letter case",
            )),
        }
    }
    options
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn every_value_is_the_one_openssl_has() {
        for (name, option) in [
            (
                "SSL_OP_CIPHER_SERVER_PREFERENCE",
                SslOptions::CIPHER_SERVER_PREFERENCE,
            ),
            ("SSL_OP_NO_COMPRESSION", SslOptions::NO_COMPRESSION),
            ("SSL_OP_NO_RENEGOTIATION", SslOptions::NO_RENEGOTIATION),
            ("SSL_OP_NO_SSLv3", SslOptions::NO_SSLV3),
            ("SSL_OP_NO_TICKET", SslOptions::NO_TICKET),
            ("SSL_OP_NO_TLSv1", SslOptions::NO_TLSV1),
            ("SSL_OP_NO_TLSv1_1", SslOptions::NO_TLSV1_1),
            ("SSL_OP_NO_TLSv1_2", SslOptions::NO_TLSV1_2),
            ("SSL_OP_NO_TLSv1_3", SslOptions::NO_TLSV1_3),
            ("SSL_OP_ALL", SslOptions::ALL),
        ] {
            let mut faults = Faults::default();
            let parsed = parse("OpenSSLCTXSetOptions", &[name.to_owned()], &mut faults);
            assert_eq!(parsed, option, "{name}");
            assert!(faults.found.is_empty(), "{name}");
        }
    }

    #[test]
    fn an_unknown_name_is_an_error_and_a_dead_one_a_warning() {
        let mut faults = Faults::default();
        let names = ["SSL_OP_NO_SSLv4", "SSL_OP_TLS_D5_BUG", "SSL_OP_NO_SSLv2"];
        parse(
            "OpenSSLCTXSetOptions",
            &names.map(str::to_owned),
            &mut faults,
        );
        assert_eq!(faults.found.len(), 2);
        assert!(
            faults.found[0].is_error() && faults.found[0].to_string().contains("SSL_OP_NO_SSLv4")
        );
        assert!(!faults.found[1].is_error());
    }
}
