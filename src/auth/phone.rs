//! Factory certificates of phones: where each maker writes the MAC address (`PhoneProfile`).
//!
//! Without a profile a name that is a MAC address is found in CommonNameMappings, wherever the certificate came from. A
//! profile says more of one maker: by what its issuers are known, where the address stands, and that a certificate of
//! these issuers without one names nobody. What a profile gives is a key of mappings, and never a domain or a user.

use super::certificate::NameSource;
use super::mac::Mac;
use super::peer_certificate::{PeerCertificate, SubjectAttribute};

/// A maker of phones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhoneProfile {
    /// Polycom, Poly: CN is the address.
    Polycom,
    /// Yealink: CN is the address. A second certificate is shared by all its phones, and names nobody.
    Yealink,
    /// Snom: the address stands in the CN.
    Snom,
    /// Cisco with CUCM: CN is `model-SEPaddress`, `SEPaddress` or `model-address`; on other gear the serial number is in
    /// the serialNumber attribute.
    Cisco,
    /// Cisco multiplatform phones (3PCC): the address is an attribute of its own, and not in the CN.
    CiscoMultiplatform,
    /// Grandstream: CN is the address. Older lines share one certificate, which names nobody.
    Grandstream,
}

impl PhoneProfile {
    /// All of them, in the order in which they are tried.
    pub const ALL: [Self; 6] = [
        Self::Polycom,
        Self::Yealink,
        Self::Snom,
        Self::Cisco,
        Self::CiscoMultiplatform,
        Self::Grandstream,
    ];

    /// The word of the setting.
    pub fn word(self) -> &'static str {
        match self {
            Self::Polycom => "polycom",
            Self::Yealink => "yealink",
            Self::Snom => "snom",
            Self::Cisco => "cisco",
            Self::CiscoMultiplatform => "cisco-multiplatform",
            Self::Grandstream => "grandstream",
        }
    }

    /// Words in the subject of the issuer or of the trust anchor, one of which is in every factory certificate of it.
    fn issuers(self) -> &'static [&'static str] {
        match self {
            Self::Polycom => &["polycom"],
            Self::Yealink => &["yealink"],
            Self::Snom => &["snom"],
            Self::Cisco => &["cisco", "capf"],
            Self::CiscoMultiplatform => &["cisco"],
            Self::Grandstream => &["grandstream"],
        }
    }

    /// Where such a certificate names its phone.
    fn device(self, certificate: &PeerCertificate) -> Option<Device> {
        let common_name = certificate.common_names.last().and_then(|cn| text(cn));
        match self {
            Self::Polycom | Self::Yealink | Self::Grandstream => {
                common_name.and_then(Device::whole)
            }
            Self::Snom => common_name.and_then(Device::within),
            Self::Cisco => common_name.and_then(Device::at_end).or_else(|| {
                let serial = attribute(certificate, SubjectAttribute::SerialNumber);
                serial.and_then(Device::serial_number)
            }),
            Self::CiscoMultiplatform => [SubjectAttribute::SerialNumber, SubjectAttribute::State]
                .into_iter()
                .find_map(|name| {
                    let value = attribute(certificate, name)?;
                    Mac::of_name(value).map(|_| Device {
                        source: source(name),
                        text: value.to_owned(),
                        written: None,
                    })
                }),
        }
    }
}

/// The profiles in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PhoneProfiles(u8);

impl PhoneProfiles {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// Adds one.
    #[must_use]
    pub fn with(self, profile: PhoneProfile) -> Self {
        Self(self.0 | 1 << profile as u8)
    }

    fn has(self, profile: PhoneProfile) -> bool {
        self.0 & (1 << profile as u8) != 0
    }
}

/// The phone that a factory certificate names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) source: NameSource,
    /// Its MAC address, or serial number: the key of a mapping.
    pub(super) text: String,
    /// The whole name, where that has more in it.
    pub(super) written: Option<String>,
}

impl Device {
    fn of_common_name(address: &str, whole: &str) -> Self {
        Self {
            source: NameSource::CommonName,
            text: address.to_owned(),
            written: (address != whole).then(|| whole.to_owned()),
        }
    }

    /// A CN that is an address.
    fn whole(name: &str) -> Option<Self> {
        // Of two nobody can say which is the phone's.
        let is_one = Mac::of_name(name).is_some() && !name.contains('@') && addresses(name) < 2;
        is_one.then(|| Self::of_common_name(name, name))
    }

    /// A CN with one address in it.
    fn within(name: &str) -> Option<Self> {
        Self::whole(name).or_else(|| {
            let address = words(name).find(|word| is_bare(word))?;
            is_of_one_device(name).then(|| Self::of_common_name(address, name))
        })
    }

    /// A CN that is an address, with a model before it or not.
    fn at_end(name: &str) -> Option<Self> {
        Self::whole(name).or_else(|| {
            let (_, last) = name.rsplit_once('-')?;
            (is_bare(last) && is_of_one_device(name)).then(|| Self::of_common_name(last, name))
        })
    }

    /// `PID:model SN:serial`. A serial number that is an address would be the key of some other maker's phone.
    fn serial_number(value: &str) -> Option<Self> {
        let (model, serial) = value.strip_prefix("PID:")?.split_once("SN:")?;
        let serial = serial.trim();
        let is_one = model.ends_with(' ')
            && (8..=20).contains(&serial.len())
            && serial.bytes().all(|o| o.is_ascii_alphanumeric())
            && Mac::of_name(serial).is_none();
        is_one.then(|| Self {
            source: NameSource::SerialNumber,
            text: serial.to_owned(),
            written: Some(value.to_owned()),
        })
    }
}

/// Whether a CN with more in it than an address is that of one device: no user, no domain, and one address.
fn is_of_one_device(name: &str) -> bool {
    !name.contains(['@', '.']) && addresses(name) == 1
}

/// Number of addresses in a CN, in any spelling.
fn addresses(name: &str) -> usize {
    let words: Vec<&str> = words(name).collect();
    let mut rest = words.as_slice();
    let mut found = 0;
    while let [first, behind @ ..] = rest {
        // In two, three, four or six pieces of one length.
        let pieces = match first.len() {
            2 | 3 | 4 | 6 => 12 / first.len(),
            _ => 1,
        };
        let address = rest.get(..pieces).filter(|address| {
            let of_one_length = address.iter().all(|piece| piece.len() == first.len());
            of_one_length && Mac::of_key(&address.concat()).is_some()
        });
        rest = match address {
            Some(_) => rest.get(pieces..).unwrap_or_default(),
            None => behind,
        };
        found += usize::from(address.is_some());
    }
    found
}

/// Letters and digits between anything else.
fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
}

/// An address without separators.
fn is_bare(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|o| o.is_ascii_hexdigit())
}

/// Why a certificate that a profile knows names nobody.
pub(super) const SHARED: &str =
    "a factory certificate without the address of its phone may be any phone's (PhoneProfile)";
/// Why a name beside the device is none.
pub(super) const NO_DEVICE: &str =
    "a factory certificate names its phone and nobody else (PhoneProfile)";

/// What a profile says of a certificate: `None` when none of them knows its issuer, `Some(None)` when it names no phone.
pub(super) fn device(
    certificate: &PeerCertificate,
    profiles: PhoneProfiles,
) -> Option<Option<Device>> {
    let known = PhoneProfile::ALL.into_iter().filter(|profile| {
        profiles.has(*profile)
            && profile.issuers().iter().any(|word| {
                has_word(&certificate.issuer, word) || has_word(&certificate.anchor_subject, word)
            })
    });
    let mut is_known = false;
    for profile in known {
        is_known = true;
        if let Some(device) = profile.device(certificate) {
            return Some(Some(device));
        }
    }
    is_known.then_some(None)
}

/// Whether a word stands in a distinguished name, in any letter case and not within another word.
fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_ascii_alphanumeric())
        .any(|part| part.eq_ignore_ascii_case(word))
}

fn attribute(certificate: &PeerCertificate, name: SubjectAttribute) -> Option<&str> {
    let mut attributes = certificate.subject_attributes.iter();
    attributes
        .rfind(|(own, _)| *own == name)
        .and_then(|(_, value)| text(value))
}

fn source(name: SubjectAttribute) -> NameSource {
    match name {
        SubjectAttribute::SerialNumber => NameSource::SerialNumber,
        SubjectAttribute::State => NameSource::State,
    }
}

/// Text that can be shown and compared whole.
fn text(raw: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(raw).ok()?;
    (text.len() <= 128 && !text.chars().any(char::is_control)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::super::certificate::{Identities, NamePolicy};
    use super::super::test_support::cert;
    use super::*;
    use crate::sip::SipUri;

    const YEALINK: &str = "CN=Yealink Equipment Issuing CA,O=Yealink";
    const POLYCOM: &str = "CN=Polycom Equipment Issuing CA 2,O=Polycom Inc.";
    const MANUFACTURING: &str = "CN=Cisco Manufacturing CA SHA2,O=Cisco";

    /// The keys under which a mapping finds the phone.
    fn keys(
        profiles: &[PhoneProfile],
        issuer: &str,
        cn: &str,
        attributes: &[(SubjectAttribute, &str)],
    ) -> Vec<String> {
        let mut certificate = cert(cn, &[]);
        certificate.issuer = issuer.to_owned();
        certificate.subject_attributes = attributes
            .iter()
            .map(|(name, value)| (*name, value.as_bytes().to_vec()))
            .collect();
        let policy = NamePolicy {
            phones: profiles
                .iter()
                .fold(PhoneProfiles::default(), |all, one| all.with(*one)),
            ..NamePolicy::default()
        };
        let identities = Identities::of(&certificate, &policy);
        identities.keys().map(str::to_owned).collect()
    }

    #[test]
    #[rustfmt::skip]
    fn each_profile_finds_the_phone_where_its_maker_writes_it() {
        use PhoneProfile::{Cisco, CiscoMultiplatform, Grandstream, Polycom, Snom, Yealink};
        use SubjectAttribute::{SerialNumber, State};
        type Row<'r> = (&'r str, PhoneProfile, &'r str, &'r str, &'r [(SubjectAttribute, &'r str)], &'r [&'r str]);
        let rows: &[Row<'_>] = &[
            ("polycom", Polycom, POLYCOM, "0004F22B3EB5", &[], &["0004F22B3EB5"]),
            ("polycom, no address", Polycom, POLYCOM, "Polycom Generic", &[], &[]),
            ("yealink", Yealink, YEALINK, "805EC0123456", &[], &["805EC0123456"]),
            ("yealink, colons", Yealink, YEALINK, "80:5e:c0:12:34:56", &[], &["80:5e:c0:12:34:56"]),
            ("yealink, shared by all", Yealink, YEALINK, "yealink.com", &[], &[]),
            ("yealink, shared by all, a user", Yealink, YEALINK, "alice@example.org", &[], &[]),
            ("snom", Snom, "CN=Snom Phone CA", "000413A1B2C3", &[], &["000413A1B2C3"]),
            ("snom, more in the CN", Snom, "CN=Snom Phone CA", "snom785-000413A1B2C3",
                &[], &["snom785-000413A1B2C3", "000413A1B2C3"]),
            ("snom, two addresses", Snom, "CN=Snom Phone CA", "000413A1B2C3 000413A1B2C4", &[], &[]),
            ("snom, two in two spellings", Snom, "CN=Snom Phone CA", "000413A1B2C3 00:04:13:A1:B2:C4", &[], &[]),
            ("snom, two, one with dots", Snom, "CN=Snom Phone CA", "0004.13a1.b2c4 000413A1B2C3", &[], &[]),
            ("snom, two, one in halves", Snom, "CN=Snom Phone CA", "snom 000413-A1B2C4 000413A1B2C3", &[], &[]),
            ("snom, two, one with SEP", Snom, "CN=Snom Phone CA", "000413A1B2C3 SEP000413A1B2C4", &[], &[]),
            ("snom, two whole ones", Snom, "CN=Snom Phone CA", "000413A1B2C3-SEP000413A1B2C4", &[], &[]),
            ("snom, a user", Snom, "CN=Snom Phone CA", "000413A1B2C3@example.org", &[], &[]),
            ("snom, a user behind it", Snom, "CN=Snom Phone CA", "alice@example.org 000413A1B2C3", &[], &[]),
            ("snom, a domain", Snom, "CN=Snom Phone CA", "000413A1B2C3.example.org", &[], &[]),
            ("snom, a word like a piece before it", Snom, "CN=Snom Phone CA", "snom-d7-000413A1B2C3",
                &[], &["snom-d7-000413A1B2C3", "000413A1B2C3"]),
            ("cisco, a user before it", Cisco, MANUFACTURING, "alice@example.org-SEP0004F22B3EB5", &[], &[]),
            ("cisco, a domain before it", Cisco, MANUFACTURING, "gw.example.org-0004F22B3EB5", &[], &[]),
            ("cisco, two addresses", Cisco, MANUFACTURING, "0004F22B3EB6-0004F22B3EB5", &[], &[]),
            ("cisco, two serial numbers", Cisco, MANUFACTURING, "CP-8845",
                &[(SerialNumber, "PID:CP-8845 SN:FCH2048D1ZK SN:FCH2048D1ZL")], &[]),
            ("cisco, a serial number without a model", Cisco, MANUFACTURING, "CP-8845",
                &[(SerialNumber, "SN:FCH2048D1ZK")], &[]),
            ("cisco, an address for a serial number", Cisco, MANUFACTURING, "CP-8845",
                &[(SerialNumber, "PID:CP-8845 SN:0004F22B3EB5")], &[]),
            ("cisco, one with SEP", Cisco, MANUFACTURING, "CP-8845",
                &[(SerialNumber, "PID:CP-8845 SN:SEP0004F22B3EB5")], &[]),
            ("cisco, MIC", Cisco, MANUFACTURING, "CP-8845-SEP0004F22B3EB5", &[], &["CP-8845-SEP0004F22B3EB5"]),
            ("cisco, LSC", Cisco, "CN=CAPF-1a2b3c4d,O=Example", "SEP0004F22B3EB5", &[], &["SEP0004F22B3EB5"]),
            ("cisco, network gear", Cisco, MANUFACTURING, "AP3G2-0004F22B3EB5",
                &[], &["AP3G2-0004F22B3EB5", "0004F22B3EB5"]),
            ("cisco, serial number", Cisco, MANUFACTURING, "CP-8845",
                &[(SerialNumber, "PID:CP-8845 SN:FCH2048D1ZK")], &["PID:CP-8845 SN:FCH2048D1ZK", "FCH2048D1ZK"]),
            ("cisco, nothing of it", Cisco, MANUFACTURING, "CP-8845", &[(SerialNumber, "PID:CP-8845")], &[]),
            ("cisco multiplatform", CiscoMultiplatform, "CN=Cisco Client Root", "", &[(State, "000e08abcdef")], &["000e08abcdef"]),
            ("cisco multiplatform, serialNumber", CiscoMultiplatform, "CN=Cisco Client Root", "CP-8841-3PCC",
                &[(SerialNumber, "000e08abcdef")], &["000e08abcdef"]),
            ("grandstream", Grandstream, "CN=Grandstream CA", "000b82a1b2c3", &[], &["000b82a1b2c3"]),
            ("grandstream, shared by all", Grandstream, "CN=Grandstream CA", "HandyTone", &[], &[]),
            ("another issuer is not the maker", Yealink, "CN=Example CA", "yealink.com", &[], &["yealink.com"]),
            ("nor is one that only sounds like it", Snom, "CN=Venisnomat", "gateway1", &[], &["gateway1"]),
        ];
        for (situation, profile, issuer, cn, attributes, wanted) in rows {
            assert_eq!(keys(&[*profile], issuer, cn, attributes), *wanted, "{situation}");
        }
    }

    #[test]
    fn without_its_profile_a_maker_is_nobody_special() {
        for profiles in [&[][..], &[PhoneProfile::Polycom]] {
            let found = keys(profiles, YEALINK, "yealink.com", &[]);
            assert_eq!(found, ["yealink.com"], "{profiles:?}");
        }
    }

    #[test]
    fn two_profiles_of_one_issuer_are_both_tried() {
        let both = [PhoneProfile::Cisco, PhoneProfile::CiscoMultiplatform];
        let state = [(SubjectAttribute::State, "000e08abcdef")];
        assert_eq!(
            keys(&both, "CN=Cisco Client Root", "", &state),
            ["000e08abcdef"]
        );
    }

    #[test]
    fn the_ca_of_a_maker_speaks_for_no_domain_and_no_user() {
        let policy = NamePolicy {
            phones: PhoneProfiles::default().with(PhoneProfile::Polycom),
            ..NamePolicy::default()
        };
        for (cn, san) in [
            ("0004F22B3EB5", "DNS:example.org"),
            ("0004F22B3EB5", "URI:sip:alice@example.org"),
            ("example.org", "IP:192.0.2.1"),
        ] {
            let mut certificate = cert(cn, &[san]);
            certificate.anchor_subject = "CN=Polycom Root CA".to_owned();
            let identities = Identities::of(&certificate, &policy);
            for claim in ["sip:alice@example.org", "sip:x@192.0.2.1"] {
                let speaks = SipUri::parse(claim)
                    .is_some_and(|claim| identities.entitling(&claim, true).is_some());
                assert!(!speaks, "{cn} {san} as {claim}");
            }
            assert!(!identities.unusable().is_empty(), "{cn} {san}");
        }
    }
}
