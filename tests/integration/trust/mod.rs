//! Whom a certificate proves, by who issued it and where it is shown: rights of CAs, roots of listeners and of domains
//! chosen by SNI, extended key usages, tickets. Real chains, met with `openssl s_client` and `gnutls-cli`.

mod client;
mod eku;
mod examples;
mod rights;
mod roots;
mod tickets;

use std::fs;

use crate::harness::{Pki, Setup};

/// A server with the CAs of the test PKI, files of its own, and this rules file.
fn with_rules(rules: &str) -> Setup {
    let setup = Setup::usual().set("CARights", "ca-rights.txt");
    copy_cas(&setup);
    write_rules(&setup, rules);
    setup
}

/// The roots, beside the rules file that names them.
fn copy_cas(setup: &Setup) {
    for ca in ["root-example", "root-vendor", "root-partner", "int-users"] {
        let file = format!("{ca}.crt");
        let from = Pki::get().path(&format!("ca/{file}"));
        fs::copy(from, setup.dir().join(&file)).expect("a CA certificate");
    }
}

fn write_rules(setup: &Setup, rules: &str) {
    fs::write(setup.dir().join("ca-rights.txt"), rules).expect("a rules file");
}

fn write_mappings(setup: &Setup, mappings: &str) {
    fs::write(setup.dir().join("mappings.txt"), mappings).expect("a mappings file");
}

/// Copies a certificate of the test PKI to where a listener finds it as that of a domain.
fn serve_domain(setup: &Setup, domain: &str, certificate: &str) {
    for (kind, ending) in [("cert", "crt"), ("key", "key")] {
        let from = Pki::get().path(&format!("clients/{certificate}.{ending}"));
        let to = setup
            .dir()
            .join(format!("certs/domain_{kind}_{domain}.pem"));
        fs::copy(from, to).expect("a certificate of a domain");
    }
}
