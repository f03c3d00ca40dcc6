//! Listeners and the certificates they show: SNI, two key types for one domain, IPv6, numbered transports, and the
//! PROXY header of a load balancer.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use openssl::ssl::SslVersion;

use crate::harness::{
    Answer, Pki, Request, Setup, TlsPeer, connect_tcp, free_port, tcp_from, udp_from,
};

#[test]
fn each_domain_has_its_own_certificate_by_sni() {
    let setup = Setup::usual();
    for (kind, from) in [("cert", "other-dns.crt"), ("key", "other-dns.key")] {
        let to = setup
            .dir()
            .join(format!("certs/domain_{kind}_other.example.net.pem"));
        fs::copy(Pki::get().path(&format!("clients/{from}")), to).expect("a second domain");
    }
    let server = setup.start();
    for (asked, shown) in [
        (Some("example.org"), "example.org"),
        (Some("other.example.net"), "Other Net Proxy"),
        (Some("OTHER.example.NET"), "Other Net Proxy"),
        (Some("sub.other.example.net"), "example.org"),
        (Some("nobody.example"), "example.org"),
        (None, "example.org"),
    ] {
        for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
            let mut peer = TlsPeer::named("alice-uri").only(version);
            peer.sni = asked.map(str::to_owned);
            let mut connection = peer.connect(server.tls()).expect("a handshake");
            assert_eq!(
                connection.server_name().as_deref(),
                Some(shown),
                "asked for {asked:?}"
            );
            assert_eq!(
                connection.ask(&Request::ping()).response().status,
                200,
                "asked for {asked:?}"
            );
        }
    }
}

#[test]
fn rsa_and_ecdsa_side_by_side_serve_old_and_new_phones() {
    let setup = Setup::new(
        "TLSDomainName = example.org\nCAFile = root-example.crt\nTLSClientVerification = Optional\n\
         TLSCertificate = server-rsa.crt, server-ec.crt\nTLSPrivateKey = server-rsa.key, server-ec.key\n\
         DisableAuth = true\n",
    );
    for file in [
        "server-rsa.crt",
        "server-ec.crt",
        "server-rsa.key",
        "server-ec.key",
    ] {
        fs::copy(
            Pki::get().path(&format!("server/{file}")),
            setup.dir().join(file),
        )
        .expect("a PEM file");
    }
    fs::copy(
        Pki::get().path("ca/root-example.crt"),
        setup.dir().join("root-example.crt"),
    )
    .expect("a PEM file");
    let server = setup.start();
    for (ciphers, kind) in [
        ("ECDHE-RSA-AES128-GCM-SHA256", "rsa"),
        ("ECDHE-ECDSA-AES128-GCM-SHA256", "ec"),
    ] {
        let mut peer = TlsPeer::anonymous().only(SslVersion::TLS1_2);
        peer.ciphers = ciphers;
        let connection = peer.connect(server.tls()).expect("a handshake");
        assert_eq!(connection.server_key_type(), Some(kind), "{ciphers}");
    }
}

#[test]
fn numbered_transports_and_ipv6_are_served() {
    let (first, second) = (free_port(), free_port());
    let server = Setup::usual()
        .set("Transport1Interface", &format!("::1:{first}"))
        .set("Transport1Type", "TLS")
        .set("Transport1TlsDomain", "example.org")
        .set("Transport1TlsClientVerification", "Mandatory")
        .set("Transport2Interface", &format!("127.0.0.1:{second}"))
        .set("Transport2Type", "TCP")
        .set("Transport3Interface", &format!("[::1]:{second}"))
        .set("Transport3Type", "UDP")
        .set("Transport3RcvBufLen", "100000")
        .start();
    assert_eq!(server.tls(), (Ipv6Addr::LOCALHOST, first).into());
    assert_eq!(server.tcp(), (Ipv4Addr::LOCALHOST, second).into());
    let source = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let mut phone = TlsPeer::named("alice-uri")
        .from(source)
        .connect(server.tls())
        .expect("a handshake");
    let register = Request::new("REGISTER", "sip:example.org", "sip:alice@example.org");
    assert_eq!(phone.ask(&register).response().status, 200);
    assert!(
        TlsPeer::anonymous()
            .from(source)
            .settling()
            .connect(server.tls())
            .is_err(),
        "mode Mandatory"
    );
    let mut plain = tcp_from(IpAddr::V4(Ipv4Addr::LOCALHOST), server.tcp());
    assert_eq!(plain.ask(&Request::ping()).response().status, 200);
    assert_eq!(server.udp(), (Ipv6Addr::LOCALHOST, second).into());
    let mut datagrams = udp_from(source, server.udp());
    assert_eq!(datagrams.ask(&Request::ping()).response().status, 200);
}

#[test]
fn a_listed_load_balancer_names_the_real_source() {
    let balancer = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 30));
    let server = Setup::usual()
        .set("ProxyProtocolSources", "127.0.0.30")
        .set("HandshakeTimeout", "3")
        .start();
    let version_1 = b"PROXY TCP4 192.0.2.7 192.0.2.1 40000 5061\r\n".to_vec();
    let mut version_2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    version_2.extend([192, 0, 2, 7, 192, 0, 2, 1, 0x9c, 0x40, 0x13, 0xc5]);
    for header in [version_1, version_2] {
        let mut peer = TlsPeer::named("alice-uri").from(balancer);
        peer.before.clone_from(&header);
        let mut connection = peer.connect(server.tls()).expect("a handshake");
        let answer = connection.ask(&Request::ping()).response();
        let via = answer.value("via").expect("Via");
        assert!(
            via.contains("received=192.0.2.7") && via.contains("rport=40000"),
            "{via}"
        );
    }
    let mut silent = TlsPeer::named("alice-uri").from(balancer);
    assert!(
        silent.connect(server.tls()).is_err(),
        "a listed source must send the header"
    );
    let mut liar = TlsPeer::named("alice-uri");
    liar.before = b"PROXY TCP4 192.0.2.7 192.0.2.1 40000 5061\r\n".to_vec();
    assert!(
        liar.connect(server.tls()).is_err(),
        "the header of one who is not listed is no handshake"
    );
    let mut direct = TlsPeer::named("alice-uri")
        .connect(server.tls())
        .expect("others need none");
    assert_eq!(direct.ask(&Request::ping()).response().status, 200);
}

#[test]
fn tls_octets_on_the_tcp_port_and_sip_on_the_tls_port_harm_nobody() {
    let mut server = Setup::usual().start();
    let source = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));
    assert!(TlsPeer::anonymous().connect(server.tcp()).is_err());
    let mut plain = tcp_from(source, server.tls());
    match plain.ask(&Request::ping()) {
        Answer::Closed(_) => {}
        other => panic!("SIP in the clear on a TLS port: {other:?}"),
    }
    drop(connect_tcp(source, server.tls()).expect("a connection that goes at once"));
    let mut good = TlsPeer::anonymous()
        .connect(server.tls())
        .expect("a handshake");
    assert_eq!(good.ask(&Request::ping()).response().status, 200);
    assert!(server.lives());
    let none = good.next(Duration::from_millis(50));
    assert!(
        matches!(none, Answer::Silence),
        "nothing that nobody asked for: {none:?}"
    );
}
