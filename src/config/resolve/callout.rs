//! The options of the callout.

use std::net::IpAddr;

use super::super::NoteClass;
use super::rooms::{milliseconds, positive, seconds};
use super::{Paths, Values};
use crate::auth::{BearerToken, CalloutFailure, CalloutOptions, CalloutWhen};

const URL: &str = "IdentityCalloutURL";
const TOKEN: &str = "IdentityCalloutToken";

/// Whom to ask about identities; `None` for nobody.
pub(super) fn callout(v: &mut Values<'_>, paths: &Paths) -> Option<CalloutOptions> {
    let url = v.some_text(URL)?;
    let host = match host(url) {
        Ok(host) => host,
        Err(fault) => {
            v.fault(URL, fault);
            return None;
        }
    };
    let token = v.some_text(TOKEN).map(BearerToken::new);
    if token == Some(None) {
        let fault =
            "expected printable ASCII without blanks: it is sent as `Authorization: Bearer …`";
        v.fault(TOKEN, fault);
    }
    if !is_secure(url) && !is_this_host(host) {
        v.note(
            NoteClass::Unsafe,
            URL,
            "http to another host: whoever is on the way reads the questions and the token, and can write the answers; use https",
        );
    }
    Some(CalloutOptions {
        url: url.to_owned(),
        token: token.flatten(),
        ca_file: v
            .some_text("IdentityCalloutCAFile")
            .map(|path| paths.input(path)),
        timeout: milliseconds(v, "IdentityCalloutTimeout"),
        when: match v.choice("IdentityCalloutWhen") {
            "always" => CalloutWhen::Always,
            _ => CalloutWhen::Mismatch,
        },
        failure: match v.choice("IdentityCalloutFailure") {
            "abstain" => CalloutFailure::Abstain,
            _ => CalloutFailure::Refuse,
        },
        threads: positive(v, "IdentityCalloutThreads"),
        queue: v.number("IdentityCalloutQueue"),
        remember: seconds(v, "IdentityCalloutCacheSeconds"),
        remember_negative: seconds(v, "IdentityCalloutNegativeCacheSeconds"),
        remembered: v.number("IdentityCalloutCacheSize"),
    })
}

fn is_secure(url: &str) -> bool {
    url.split_once(':')
        .is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("https"))
}

/// The host of a URL that can be called.
fn host(url: &str) -> Result<&str, &'static str> {
    let expected = "expected http://host/path or https://host/path";
    let (scheme, rest) = url.split_once("://").ok_or(expected)?;
    if !(scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http"))
        || !rest.bytes().all(|octet| octet.is_ascii_graphic())
    {
        return Err(expected);
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(
            "a password in a URL is shown wherever the URL is; put it into IdentityCalloutToken",
        );
    }
    if rest.contains('#') {
        return Err("what stands behind # is never sent");
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or(expected)?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let is_port = |text: &str| text.parse::<u16>().is_ok_and(|port| port > 0);
    if host.is_empty() || !(port.is_empty() || port.strip_prefix(':').is_some_and(is_port)) {
        return Err(expected);
    }
    Ok(host)
}

/// Whether nobody is on the way.
fn is_this_host(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_scheme_that_can_be_called_a_host_and_no_secret() {
        for (url, wanted) in [
            ("http://127.0.0.1:8080/identity", Some("127.0.0.1")),
            ("HTTPS://ask.example.org", Some("ask.example.org")),
            ("https://[::1]:8443/x?y=z", Some("::1")),
            ("ftp://ask.example.org/", None),
            ("ask.example.org/identity", None),
            ("https://ask.example.org:/identity", None),
            ("https://ask.example.org:x/identity", None),
            ("https://ask.example.org:65536/identity", None),
            ("https://[::1]8443/identity", None),
            ("https:///identity", None),
            ("https://:8443/identity", None),
            ("https://me:secret@ask.example.org/", None),
            ("https://ask.example.org/#x", None),
            ("https://ask.example.org/a b", None),
            ("https://ask.example.org/é", None),
        ] {
            assert_eq!(host(url).ok(), wanted, "{url}");
        }
    }
}
