//! The call itself: one POST, its answer whole and in time, or a sentence about why not.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::http::Uri;
use ureq::tls::{PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};

use crate::auth::CalloutOptions;

/// Longest answer, in octets.
const LONGEST_ANSWER: u64 = 65_536;
/// How long a connection is kept for the next call. Usual servers close it after five seconds.
const IDLE: Duration = Duration::from_secs(3);

/// Why nobody can be asked.
#[derive(Debug, thiserror::Error)]
pub enum CalloutFault {
    /// The URL.
    #[error("IdentityCalloutURL: {0}; expected one as https://127.0.0.1:8443/identity")]
    Url(String),
    /// The trust anchors cannot be read.
    #[error("IdentityCalloutCAFile = {}: cannot read this file: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The trust anchors are none.
    #[error("IdentityCalloutCAFile = {}: {why}; expected certificates in PEM", path.display())]
    NoAnchors {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl CalloutFault {
    /// The setting that it is about.
    pub(crate) fn setting(&self) -> &'static str {
        match self {
            Self::Url(_) => "IdentityCalloutURL",
            Self::Unreadable { .. } | Self::NoAnchors { .. } => "IdentityCalloutCAFile",
        }
    }
}

/// What the file of trust anchors holds; nothing without one.
pub(super) fn anchors(options: &CalloutOptions) -> Result<Vec<u8>, CalloutFault> {
    let Some(path) = &options.ca_file else {
        return Ok(Vec::new());
    };
    fs::read(path).map_err(|source| CalloutFault::Unreadable {
        path: path.clone(),
        source,
    })
}

/// Makes calls, and keeps connections for the next ones.
pub(super) struct Client {
    agent: Agent,
    url: Uri,
    /// The value of Authorization.
    authorization: Option<String>,
}

impl Client {
    pub(super) fn new(options: &CalloutOptions, anchors: &[u8]) -> Result<Self, CalloutFault> {
        let url = options.url.parse::<Uri>();
        let url = url.map_err(|error| CalloutFault::Url(error.to_string()))?;
        let roots = match &options.ca_file {
            None => RootCerts::PlatformVerifier,
            Some(path) => {
                let unusable = |why: String| CalloutFault::NoAnchors {
                    path: path.clone(),
                    why,
                };
                let mut roots = Vec::new();
                for item in parse_pem(anchors) {
                    if let PemItem::Certificate(own) = item.map_err(|e| unusable(e.to_string()))? {
                        roots.push(own);
                    }
                }
                if roots.is_empty() {
                    return Err(unusable("it has no certificate".to_owned()));
                }
                RootCerts::new_with_certs(&roots)
            }
        };
        let tls = TlsConfig::builder()
            .provider(TlsProvider::NativeTls)
            .root_certs(roots)
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            // Whoever runs the server may have a proxy for other things: claims go where the setting says.
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .max_idle_age(IDLE)
            .max_idle_connections(options.threads.get())
            .max_idle_connections_per_host(options.threads.get())
            .user_agent(concat!("sipvouch/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self {
            agent: config.new_agent(),
            url,
            authorization: options
                .token
                .as_ref()
                .map(|token| format!("Bearer {}", token.reveal())),
        })
    }

    /// Asks, and gives the whole answer. A connection that was kept may be closed just then: it is asked once more, in what is left
    /// of the time.
    pub(super) fn post(&self, body: &[u8], timeout: Duration) -> Result<Vec<u8>, String> {
        let until = Instant::now() + timeout;
        match self.try_post(body, timeout) {
            Err(ureq::Error::Io(error)) if was_cut(&error) => {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    Err(ureq::Error::Io(error))
                } else {
                    self.try_post(body, left)
                }
            }
            other => other,
        }
        .map_err(|error| match error {
            ureq::Error::Timeout(_) => "no whole answer in time".to_owned(),
            ureq::Error::StatusCode(status) => {
                format!("status {status} in place of 200")
            }
            ureq::Error::BodyExceedsLimit(_) => {
                format!("the answer is longer than {LONGEST_ANSWER} octets")
            }
            other => other.to_string(),
        })
    }

    fn try_post(&self, body: &[u8], timeout: Duration) -> Result<Vec<u8>, ureq::Error> {
        let mut request = self
            .agent
            .post(&self.url)
            .header("Content-Type", "application/json")
            .header("Accept", "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let request = request.config().timeout_global(Some(timeout)).build();
        let mut answer = request.send(body)?;
        let status = answer.status().as_u16();
        if status != 200 {
            return Err(ureq::Error::StatusCode(status));
        }
        let body = answer.body_mut().with_config().limit(LONGEST_ANSWER);
        body.read_to_vec()
    }
}

/// Whether the other side has ended the connection.
fn was_cut(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
    )
}
