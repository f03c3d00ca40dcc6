//! What both roles speak: versions, ciphers, groups, OpenSSL's options. From the settings into a context.

use openssl::dh::Dh;
use openssl::error::ErrorStack;
use openssl::pkey::Params;
use openssl::ssl::{SslContextBuilder, SslMode, SslOptions, SslVersion};

use super::fault::{Faults, LoadFault};
use super::{ProtocolVersion, TlsOptions, ffi, keylog, pem, ssl_options, store};

/// repro's own default, which we narrow.
const LEGACY_CIPHERS: &str = "HIGH:-COMPLEMENTOFDEFAULT";

/// What that becomes: forward secrecy with AEAD first, then what old phones need, static RSA last.
const CIPHERS: &str = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:ECDHE+AES:DHE+AES:RSA+AESGCM:RSA+AES:\
                       !aNULL:!eNULL:!PSK:!SRP:!DSS:!AESCCM:!AESCCM8";

/// The same without DHE, which costs much and needs parameters that nobody gave.
const CIPHERS_WITHOUT_DH: &str = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:RSA+AESGCM:RSA+AES:\
                                  !aNULL:!eNULL:!PSK:!SRP:!DSS:!DHE:!AESCCM:!AESCCM8";

/// TLS 1.3 suites in OpenSSL's own order; the crate's acceptor would set another.
const CIPHER_SUITES: &str =
    "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256";

/// RSA from 2,048 bits, no SHA-1: Debian's level. OpenSSL itself has 1 before 3.2.
const SECURITY_LEVEL: u32 = 2;

/// Those settings, parsed.
pub(super) struct Parameters {
    set: SslOptions,
    clear: SslOptions,
    ciphers: String,
    /// Whether the cipher list sets the level itself.
    own_level: bool,
    dh: Option<Dh<Params>>,
}

impl Parameters {
    pub(super) fn parse(options: &TlsOptions, faults: &mut Faults) -> Self {
        if options.minimum > options.maximum {
            faults.push(LoadFault::setting(
                "TLSMinimumProtocol",
                "is newer than TLSMaximumProtocol",
                "leave both out for TLS 1.2 and 1.3",
            ));
        }
        let set = match &options.set_options {
            Some(names) => ssl_options::parse("OpenSSLCTXSetOptions", names, faults),
            None => SslOptions::NO_SSLV2 | SslOptions::NO_SSLV3,
        };
        let clear = ssl_options::parse("OpenSSLCTXClearOptions", &options.clear_options, faults);
        let clear = kept(clear, faults);
        let dh = options.dh_params.as_ref().and_then(|path| {
            let text = store::read(path)
                .map_err(|fault| faults.push(*fault))
                .ok()?;
            Dh::params_from_pem(&text)
                .map_err(|e| {
                    faults.push(LoadFault::file(
                        path,
                        format!("holds no DH parameters ({})", pem::first_reason(&e)),
                        "make them by: openssl dhparam 2048",
                    ));
                })
                .ok()
        });
        let wanted = options.cipher_list.trim();
        let ciphers = match (wanted.is_empty() || wanted == LEGACY_CIPHERS, &dh) {
            (true, Some(_)) => CIPHERS,
            (true, None) => CIPHERS_WITHOUT_DH,
            (false, _) => wanted,
        };
        if options.minimum < ProtocolVersion::Tls1_2 && !ciphers.contains("@SECLEVEL=0") {
            faults.push(
                LoadFault::setting(
                    "TLSMinimumProtocol",
                    "OpenSSL 3 speaks TLS 1.0 and 1.1 at security level 0 only",
                    "add @SECLEVEL=0 to OpenSSLCipherList if such old clients have to be served",
                )
                .warning(),
            );
        }
        Self {
            set,
            clear,
            ciphers: ciphers.to_owned(),
            own_level: ciphers.contains("@SECLEVEL"),
            dh,
        }
    }

    /// Sets them in a context of either role.
    pub(super) fn apply(
        &self,
        options: &TlsOptions,
        builder: &mut SslContextBuilder,
    ) -> Result<(), Box<LoadFault>> {
        let setting = |name: &'static str, e: &ErrorStack| {
            LoadFault::setting(
                name,
                format!("OpenSSL does not take it ({})", pem::first_reason(e)),
                "see `openssl ciphers -v` and `openssl ecparam -list_curves`, or leave it out",
            )
        };
        self.basics(options, builder).map_err(|e| internal(&e))?;
        builder
            .set_cipher_list(&self.ciphers)
            .map_err(|e| setting("OpenSSLCipherList", &e))?;
        builder
            .set_ciphersuites(options.cipher_suites.as_deref().unwrap_or(CIPHER_SUITES))
            .map_err(|e| setting("TLSCipherSuites", &e))?;
        if let Some(groups) = &options.groups {
            builder
                .set_groups_list(groups)
                .map_err(|e| setting("TLSGroups", &e))?;
        }
        if !self.own_level && ffi::security_level(builder) < SECURITY_LEVEL {
            builder.set_security_level(SECURITY_LEVEL);
        }
        if let Some(dh) = &self.dh {
            builder
                .set_tmp_dh(dh)
                .map_err(|e| setting("TlsDHParamsFilename", &e))?;
        }
        Ok(())
    }

    fn basics(
        &self,
        options: &TlsOptions,
        builder: &mut SslContextBuilder,
    ) -> Result<(), ErrorStack> {
        builder.set_min_proto_version(Some(version(options.minimum)))?;
        builder.set_max_proto_version(Some(version(options.maximum)))?;
        builder.set_options(self.set);
        builder.clear_options(self.clear);
        builder.set_options(ssl_options::always_set());
        builder.set_mode(
            SslMode::RELEASE_BUFFERS
                | SslMode::ENABLE_PARTIAL_WRITE
                | SslMode::ACCEPT_MOVING_WRITE_BUFFER
                | SslMode::AUTO_RETRY
                | SslMode::NO_AUTO_CHAIN,
        );
        // One recv takes a whole burst of records.
        builder.set_read_ahead(true);
        builder.set_keylog_callback(keylog::take);
        Ok(())
    }
}

fn kept(clear: SslOptions, faults: &mut Faults) -> SslOptions {
    let forced = ssl_options::always_set();
    if clear.intersects(forced) {
        faults.push(
            LoadFault::setting(
                "OpenSSLCTXClearOptions",
                "compression and renegotiation stay off",
                "take SSL_OP_NO_COMPRESSION and SSL_OP_NO_RENEGOTIATION out",
            )
            .warning(),
        );
    }
    clear & !forced
}

pub(super) fn depth(options: &TlsOptions) -> i32 {
    i32::try_from(options.verify_depth).unwrap_or(i32::MAX)
}

pub(super) fn version(version: ProtocolVersion) -> SslVersion {
    match version {
        ProtocolVersion::Tls1 => SslVersion::TLS1,
        ProtocolVersion::Tls1_1 => SslVersion::TLS1_1,
        ProtocolVersion::Tls1_2 => SslVersion::TLS1_2,
        ProtocolVersion::Tls1_3 => SslVersion::TLS1_3,
    }
}

/// A failure that no setting explains.
pub(super) fn internal(errors: &ErrorStack) -> Box<LoadFault> {
    Box::new(LoadFault::setting(
        "TLS",
        format!("OpenSSL failed ({})", pem::first_reason(errors)),
        "check OpenSSL's own configuration file, and that there is memory left",
    ))
}
