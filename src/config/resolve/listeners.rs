//! Where to listen: repro's simple ports, or its `Transport<N>` settings.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::super::{NoteClass, value};
use super::{Paths, Values};
use crate::auth::IdentityRules;
use crate::tls::{
    CertificateFiles, ClientVerification, EkuPolicy, ListenerTls, PassPhrase, Roots, TlsOptions,
};
use crate::transport::{ListenerKind, ListenerOptions};

/// Where the settings of one listener are found.
struct Names {
    domain: String,
    certificate: String,
    key: String,
    pass_phrase: String,
    verification: String,
    eku: String,
    sni: String,
    /// What the names of the settings of its trust anchors begin with, if it can have its own.
    roots: Option<String>,
}

impl Names {
    fn simple() -> Self {
        Self {
            domain: "TLSDomainName".to_owned(),
            certificate: "TLSCertificate".to_owned(),
            key: "TLSPrivateKey".to_owned(),
            pass_phrase: "TLSPrivateKeyPassPhrase".to_owned(),
            verification: "TLSClientVerification".to_owned(),
            eku: "ClientCertificateEku".to_owned(),
            sni: "TLSSniDomains".to_owned(),
            roots: None,
        }
    }

    fn transport(number: &str) -> Self {
        Self {
            domain: format!("Transport{number}TlsDomain"),
            certificate: format!("Transport{number}TlsCertificate"),
            key: format!("Transport{number}TlsPrivateKey"),
            pass_phrase: format!("Transport{number}TlsPrivateKeyPassPhrase"),
            verification: format!("Transport{number}TlsClientVerification"),
            eku: format!("Transport{number}ClientCertificateEku"),
            sni: format!("Transport{number}TlsSniDomains"),
            roots: Some(format!("Transport{number}")),
        }
    }
}

pub(super) fn listeners(
    v: &mut Values<'_>,
    paths: &Paths,
    tls: &TlsOptions,
    rules: IdentityRules,
) -> Vec<ListenerOptions> {
    let numbers = v.numbers("Transport", "Transport1Interface");
    let mut found = if numbers.is_empty() {
        simple(v, paths, tls, rules)
    } else {
        let mut found = Vec::new();
        for number in &numbers {
            found.extend(transport(v, number, paths, tls, rules));
        }
        ignored_simple_ports(v);
        found
    };
    let sni_roots = sni_roots(v, paths);
    for listener in &mut found {
        if let ListenerKind::Tls(tls) = &mut listener.kind {
            tls.sni_roots.clone_from(&sni_roots);
        }
    }
    if found.is_empty() && v.is_faultless() {
        let name = if numbers.is_empty() {
            "TLSPort"
        } else {
            "Transport<N>Type"
        };
        v.fault(
            name,
            "there is nothing to listen on: no UDP, TCP or TLS listener is configured",
        );
    }
    let mut places: HashMap<(SocketAddr, bool), String> = HashMap::new();
    for listener in &found {
        // UDP has ports of its own.
        let place = (listener.address, listener.kind.transport().is_stream());
        if let Some(first) = places.insert(place, listener.setting.clone()) {
            let fault = format!(
                "{} is the address of {first} already; give one of them another port",
                listener.address
            );
            v.fault(&listener.setting, fault);
        }
    }
    found
}

/// Tells of ports that were set in vain, since repro said nothing.
fn ignored_simple_ports(v: &mut Values<'_>) {
    for name in ["UDPPort", "TCPPort", "TLSPort"] {
        if v.find(name).is_some() && v.integer(name) != 0 {
            v.note(
                NoteClass::Info,
                name,
                "it does nothing: Transport<N> settings say where to listen",
            );
        }
    }
}

fn simple(
    v: &mut Values<'_>,
    paths: &Paths,
    tls: &TlsOptions,
    rules: IdentityRules,
) -> Vec<ListenerOptions> {
    let ipv4 = !v.bool("DisableIPv4");
    let ipv6 = v.bool("EnableIPv6");
    if !ipv4 && !ipv6 {
        v.fault(
            "DisableIPv4",
            "true: with EnableIPv6 = false there is no address to listen on",
        );
        return Vec::new();
    }
    let mut addresses = Vec::new();
    match v
        .some_text("IPAddress")
        .and_then(|text| value::address(text).ok())
    {
        Some(IpAddr::V4(_)) if !ipv4 => {
            v.fault("IPAddress", "an IPv4 address, although DisableIPv4 = true")
        }
        Some(IpAddr::V6(_)) if !ipv6 => {
            v.fault("IPAddress", "an IPv6 address, although EnableIPv6 = false")
        }
        Some(address) => addresses.push(address),
        None => {
            if ipv4 {
                addresses.push(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            }
            if ipv6 {
                addresses.push(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
            }
        }
    }
    let mut found = Vec::new();
    let udp = ListenerKind::Udp {
        receive_buffer: None,
    };
    for (name, kind) in [("UDPPort", udp), ("TCPPort", ListenerKind::Tcp)] {
        let port: u16 = v.number(name);
        let open = addresses.iter().filter(|_| port != 0);
        found.extend(open.map(|address| ListenerOptions {
            address: SocketAddr::new(*address, port),
            kind: kind.clone(),
            setting: name.to_owned(),
        }));
    }
    let tls_port: u16 = v.number("TLSPort");
    if tls_port != 0 {
        let options = listener_tls(v, &Names::simple(), "TLSPort", paths, tls, rules);
        for address in &addresses {
            let address = SocketAddr::new(*address, tls_port);
            let kind = ListenerKind::Tls(options.clone());
            found.push(ListenerOptions {
                address,
                kind,
                setting: "TLSPort".to_owned(),
            });
        }
    }
    found
}

fn transport(
    v: &mut Values<'_>,
    number: &str,
    paths: &Paths,
    tls: &TlsOptions,
    rules: IdentityRules,
) -> Option<ListenerOptions> {
    let setting = format!("Transport{number}Interface");
    let type_name = format!("Transport{number}Type");
    let Some(raw) = v.find(&setting) else {
        v.fault(&setting, "missing: other settings of this listener are there; say where it listens, as 192.0.2.1:5061");
        return None;
    };
    // A wrong one has been reported.
    let address = value::interface(&raw.value).ok()?;
    let buffer = format!("Transport{number}RcvBufLen");
    let kind = match v.choice(&type_name) {
        "UDP" => ListenerKind::Udp {
            receive_buffer: NonZeroUsize::new(v.number(&buffer)),
        },
        "TCP" => ListenerKind::Tcp,
        "TLS" => ListenerKind::Tls(listener_tls(
            v,
            &Names::transport(number),
            &setting,
            paths,
            tls,
            rules,
        )),
        "" => return None,
        other => {
            let text = format!(
                "{other}: nothing listens at {address} in this version; UDP, TCP and TLS are served"
            );
            v.note(NoteClass::NotYet, &type_name, &text);
            return None;
        }
    };
    let disabled = match address {
        SocketAddr::V4(_) => v.bool("DisableIPv4"),
        SocketAddr::V6(_) => !v.bool("EnableIPv6"),
    };
    if disabled {
        v.fault(
            &setting,
            "an address of a family that DisableIPv4 or EnableIPv6 switches off",
        );
        return None;
    }
    if kind.transport().is_stream() && v.find(&buffer).is_some() {
        // repro ended there.
        let text = "it does nothing: it is for UDP, and this listener is none";
        v.note(NoteClass::Info, &buffer, text);
    }
    Some(ListenerOptions {
        address,
        kind,
        setting,
    })
}

fn listener_tls(
    v: &mut Values<'_>,
    names: &Names,
    listener: &str,
    paths: &Paths,
    tls: &TlsOptions,
    rules: IdentityRules,
) -> ListenerTls {
    let domain = v
        .some_text(&names.domain)
        .and_then(|text| value::domain(text).ok())
        .unwrap_or_default();
    if v.some_text(&names.domain).is_none() && v.is_acceptable(&names.domain) {
        v.fault(
            &names.domain,
            format!(
                "missing: a TLS port without a domain cannot serve anybody; name the domain of {listener} here{}",
                if listener == "TLSPort" { ", or set TLSPort = 0" } else { "" }
            ),
        );
    }
    let certificates = certificates(v, names, &domain, paths, tls);
    let pass_phrase = match v.find(&names.pass_phrase) {
        Some(raw) => raw.value.as_str(),
        None => v.text("TLSPrivateKeyPassPhrase"),
    };
    ListenerTls {
        domain,
        certificates,
        pass_phrase: Some(pass_phrase)
            .filter(|text| !text.is_empty())
            .map(PassPhrase::new),
        verification: verification(v, names),
        eku: eku(v, names, rules),
        sni_domains: sni_domains(v, names),
        roots: names
            .roots
            .as_ref()
            .map(|family| roots(v, family, paths))
            .unwrap_or_default(),
        sni_roots: Vec::new(),
    }
}

/// The trust anchors that settings of this family name.
fn roots(v: &Values<'_>, family: &str, paths: &Paths) -> Roots {
    let all = |member: &str| {
        let name = format!("{family}{member}");
        v.list(&name).map(|path| paths.input(path)).collect()
    };
    Roots {
        setting: family.to_owned(),
        ca_directories: all("CADirectory"),
        ca_files: all("CAFile"),
    }
}

/// The trust anchors of domains chosen by SNI.
fn sni_roots(v: &mut Values<'_>, paths: &Paths) -> Vec<(String, Roots)> {
    let mut found: Vec<(String, Roots)> = Vec::new();
    for number in v.numbers("TLSSniDomain", "TLSSniDomain1Name") {
        let family = format!("TLSSniDomain{number}");
        let name = format!("{family}Name");
        let domain = v.some_text(&name).and_then(|text| value::domain(text).ok());
        let Some(domain) = domain else {
            if v.find(&name).is_none() {
                v.fault(
                    &name,
                    "missing: other settings of this domain are there; say which domain they are for",
                );
            } else if v.is_acceptable(&name) {
                v.note(
                    NoteClass::Info,
                    &name,
                    "empty: the other settings of this number are for no domain",
                );
            }
            continue;
        };
        if found.iter().any(|(known, _)| *known == domain) {
            v.fault(
                &name,
                format!("{domain} has settings of another number; keep one"),
            );
            continue;
        }
        found.push((domain, roots(v, &family, paths)));
    }
    found
}

fn verification(v: &mut Values<'_>, names: &Names) -> ClientVerification {
    let global = "TLSClientVerification";
    let name = if v.find(&names.verification).is_some() {
        names.verification.as_str()
    } else {
        global
    };
    if name == global && names.verification != global && v.find(global).is_some() {
        let text = format!(
            "absent, so that TLSClientVerification = {} applies; repro ignored it and asked nobody for a certificate",
            v.choice(global)
        );
        v.note(NoteClass::Info, &names.verification, &text);
    }
    match v.choice(name) {
        "Optional" => ClientVerification::Optional,
        "Mandatory" => ClientVerification::Mandatory,
        _ => ClientVerification::None,
    }
}

fn eku(v: &Values<'_>, names: &Names, rules: IdentityRules) -> EkuPolicy {
    let name = [names.eku.as_str(), "ClientCertificateEku"]
        .into_iter()
        .find(|name| v.find(name).is_some());
    match name.map(|name| v.choice(name)) {
        // repro leaves the check to OpenSSL, so that its answers stay the same under its rules.
        None if rules == IdentityRules::Repro => EkuPolicy::ClientAuth,
        Some("NoServerAuth") => EkuPolicy::NoServerAuth,
        Some("sipDomain") => EkuPolicy::SipDomain,
        Some("clientAuth") => EkuPolicy::ClientAuth,
        _ => EkuPolicy::Rfc5924,
    }
}

fn sni_domains(v: &Values<'_>, names: &Names) -> Option<Vec<String>> {
    let name = [names.sni.as_str(), "TLSSniDomains"]
        .into_iter()
        .find(|name| v.find(name).is_some())?;
    Some(
        v.list(name)
            .filter_map(|domain| value::domain(domain).ok())
            .collect(),
    )
}

/// Pairs the lists of chains and keys. One of the two missing is looked for under its legacy name, as in repro.
fn certificates(
    v: &mut Values<'_>,
    names: &Names,
    domain: &str,
    paths: &Paths,
    tls: &TlsOptions,
) -> Vec<CertificateFiles> {
    let mut chains: Vec<PathBuf> = v
        .list(&names.certificate)
        .map(|path| paths.input(path))
        .collect();
    let mut keys: Vec<PathBuf> = v.list(&names.key).map(|path| paths.input(path)).collect();
    if let Some(directory) = &tls.certificate_path {
        if chains.len() == 1 && keys.is_empty() {
            keys.push(directory.join(format!("domain_key_{domain}.pem")));
        } else if chains.is_empty() && keys.len() == 1 {
            chains.push(directory.join(format!("domain_cert_{domain}.pem")));
        }
    }
    if chains.len() == keys.len() {
        return chains
            .into_iter()
            .zip(keys)
            .map(|(chain, key)| CertificateFiles { chain, key })
            .collect();
    }
    let (fewer, fault) = if chains.len() < keys.len() {
        (
            &names.certificate,
            format!(
                "{} but {} in {}; each key needs its certificate, in the same order",
                files(chains.len()),
                files(keys.len()),
                names.key
            ),
        )
    } else {
        (
            &names.key,
            format!(
                "{} but {} in {}; each certificate needs its key, in the same order",
                files(keys.len()),
                files(chains.len()),
                names.certificate
            ),
        )
    };
    v.fault(fewer, fault);
    Vec::new()
}

fn files(number: usize) -> String {
    match number {
        1 => "1 file".to_owned(),
        _ => format!("{number} files"),
    }
}
