//! What the tables hold, as plain values: the records of repro's data base with repro's names and keys.
//!
//! Every back end (embedded, PostgreSQL, MySQL), every importer and the operator's commands speak in these.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A table of repro's data base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Table {
    /// Domains that are ours.
    Domain,
    /// Who may send without proving its From.
    Acl,
    /// Static routes.
    Route,
    /// Request filters.
    Filter,
    /// Contacts that never expire.
    Registration,
    /// Users and their passwords.
    User,
    /// What a certificate's name may use.
    Identity,
    /// Messages for users who are away.
    Silo,
}

impl Table {
    /// All of them, those that are read whole first.
    pub const ALL: [Self; 8] = [
        Self::Domain,
        Self::Acl,
        Self::Route,
        Self::Filter,
        Self::Registration,
        Self::User,
        Self::Identity,
        Self::Silo,
    ];

    /// The word of the command line, and the name of the file of an export.
    pub fn word(self) -> &'static str {
        match self {
            Self::Domain => "domain",
            Self::Acl => "acl",
            Self::Route => "route",
            Self::Filter => "filter",
            Self::Registration => "registration",
            Self::User => "user",
            Self::Identity => "identity",
            Self::Silo => "silo",
        }
    }

    /// repro's Berkeley DB file.
    pub fn berkeley_file(self) -> &'static str {
        match self {
            Self::Domain => "repro_config.db",
            Self::Acl => "repro_acl.db",
            Self::Route => "repro_route.db",
            Self::Filter => "repro_filter.db",
            Self::Registration => "repro_staticreg.db",
            Self::User => "repro_user.db",
            Self::Identity => "repro_tlspeeridentity.db",
            Self::Silo => "repro_silo.db",
        }
    }

    /// repro's SQL table, without the prefix.
    pub fn sql_table(self) -> &'static str {
        match self {
            Self::Domain => "configsavp",
            Self::Acl => "aclsavp",
            Self::Route => "routesavp",
            Self::Filter => "filtersavp",
            Self::Registration => "staticregsavp",
            Self::User => "users",
            Self::Identity => "tlsPeerIdentity",
            Self::Silo => "siloavp",
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A user. `password_hash` is repro's text: `[MD5]…[SHA-256]…[SHA-512-256]…` of `user:realm:password`, or the bare MD5.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct User {
    /// User part.
    pub user: String,
    /// Domain.
    pub domain: String,
    /// Realm of the digest; repro: always the domain.
    pub realm: String,
    /// Hashes of `user:realm:password`.
    pub password_hash: String,
    /// Hashes of `user@domain:realm:password`.
    pub password_hash_alt: String,
    /// Full name, for people.
    pub name: String,
    /// Mail address, for people.
    pub email: String,
    /// Not used by repro either; kept.
    pub forward_address: String,
}

impl fmt::Debug for User {
    /// Without the hashes: each is as good as the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User({:?}@{:?} [redacted])", self.user, self.domain)
    }
}

/// A domain that is ours.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Domain {
    /// Name.
    pub domain: String,
    /// Kept; repro does not use it.
    pub tls_port: i16,
}

/// An entry of the ACL: a certificate's name, or an address with the bits of it that count.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Acl {
    /// Name in a certificate; empty for an entry about addresses.
    pub tls_peer_name: String,
    /// Address; empty for an entry about a name.
    pub address: String,
    /// Leading bits of the address that count.
    pub mask: i16,
    /// Source port, as stored: above 32767 it is negative; 0 is any.
    pub port: i16,
    /// 0 IPv4, 1 IPv6.
    pub family: i16,
    /// 0 any, 1 TLS, 2 TCP, 3 UDP, 4 SCTP, 5 DCCP, 6 DTLS, 7 WS, 8 WSS.
    pub transport: i16,
}

/// A static route.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Route {
    /// Method it is for; empty for any.
    pub method: String,
    /// Event it is for; empty for any.
    pub event: String,
    /// ECMAScript regular expression that is searched for in the Request-URI.
    pub matching_pattern: String,
    /// The new URI, with `$1` to `$9`.
    pub rewrite_expression: String,
    /// The smallest is tried first.
    pub order: i16,
}

/// A contact that never expires.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StaticRegistration {
    /// Address-of-record, a URI.
    pub aor: String,
    /// Contact, a name-addr.
    pub contact: String,
    /// Path, name-addrs parted by comma.
    pub path: String,
}

/// What a filter does with a request that it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FilterAction {
    /// Goes on.
    #[default]
    Accept,
    /// Refuses, with the status and phrase of the action data.
    Reject,
    /// Does what the first column of a query says.
    Sql,
}

impl FilterAction {
    /// repro's number.
    pub fn number(self) -> i16 {
        match self {
            Self::Accept => 0,
            Self::Reject => 1,
            Self::Sql => 2,
        }
    }

    /// The action of repro's number.
    pub fn of_number(number: i16) -> Option<Self> {
        match number {
            0 => Some(Self::Accept),
            1 => Some(Self::Reject),
            2 => Some(Self::Sql),
            _ => None,
        }
    }
}

/// A request filter.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Header of the first condition; empty for none.
    pub cond1_header: String,
    /// Regular expression of the first condition.
    pub cond1_regex: String,
    /// Header of the second condition; empty for none.
    pub cond2_header: String,
    /// Regular expression of the second condition.
    pub cond2_regex: String,
    /// Method it is for; empty for any.
    pub method: String,
    /// Event it is for; empty for any.
    pub event: String,
    /// What it does.
    pub action: FilterAction,
    /// Status and phrase, or the query.
    pub action_data: String,
    /// The smallest is asked first.
    pub order: i16,
}

/// What a name in a certificate may use.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Identity {
    /// Name in the certificate.
    pub peer_name: String,
    /// `user@domain` or `domain`.
    pub authorized_identity: String,
}

/// A message for a user who is away.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SiloMessage {
    /// Address-of-record of To, a URI.
    pub dest_uri: String,
    /// From, a name-addr without its tag.
    pub source_uri: String,
    /// When it came, in seconds since 1970.
    pub original_sent_time: u64,
    /// Transaction id of the request; with the time it is the key.
    pub tid: String,
    /// Content-Type.
    pub mime_type: String,
    /// The body; as text in an export where it is UTF-8, else in base64 (see `store::text`).
    pub message_body: Vec<u8>,
}

impl fmt::Debug for SiloMessage {
    /// Without the body: it is somebody's letter.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SiloMessage({:?} to {:?}, {} octets)",
            self.source_uri,
            self.dest_uri,
            self.message_body.len()
        )
    }
}

/// A record of any table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A domain.
    Domain(Domain),
    /// An entry of the ACL.
    Acl(Acl),
    /// A static route.
    Route(Route),
    /// A request filter.
    Filter(Filter),
    /// A static registration.
    Registration(StaticRegistration),
    /// A user.
    User(User),
    /// A TLS peer identity.
    Identity(Identity),
    /// A message.
    Silo(SiloMessage),
}

impl Record {
    /// The table it belongs to.
    pub fn table(&self) -> Table {
        match self {
            Self::Domain(_) => Table::Domain,
            Self::Acl(_) => Table::Acl,
            Self::Route(_) => Table::Route,
            Self::Filter(_) => Table::Filter,
            Self::Registration(_) => Table::Registration,
            Self::User(_) => Table::User,
            Self::Identity(_) => Table::Identity,
            Self::Silo(_) => Table::Silo,
        }
    }

    /// repro's key: unique in its table.
    pub fn key(&self) -> String {
        match self {
            Self::Domain(r) => r.domain.clone(),
            Self::Acl(r) => format!(
                "{}:{}/{}:{}:{}:{}",
                r.tls_peer_name, r.address, r.mask, r.port, r.family, r.transport
            ),
            Self::Route(r) => format!(
                ";{}:{} : {} : {}",
                r.order, r.method, r.event, r.matching_pattern
            ),
            Self::Filter(r) => format!(
                "{}:{}:{}:{}:{}:{}",
                r.cond1_header, r.cond1_regex, r.cond2_header, r.cond2_regex, r.method, r.event
            ),
            Self::Registration(r) => format!("{}:{}", r.aor, r.contact),
            Self::User(r) => format!("{}@{}", r.user, r.domain),
            Self::Identity(r) => format!("{},{}", r.peer_name, r.authorized_identity),
            Self::Silo(r) => format!("{}:{}", r.original_sent_time, r.tid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_repro() {
        for (record, key) in [
            (
                Record::Acl(Acl {
                    address: "127.0.0.7".into(),
                    mask: 32,
                    transport: 1,
                    ..Acl::default()
                }),
                ":127.0.0.7/32:0:0:1",
            ),
            (
                Record::Acl(Acl {
                    tls_peer_name: "gateway1".into(),
                    ..Acl::default()
                }),
                "gateway1:/0:0:0:0",
            ),
            (
                Record::Route(Route {
                    method: "SUBSCRIBE".into(),
                    event: "presence".into(),
                    matching_pattern: "^sip:pres-(.*)@example\\.org".into(),
                    order: 5,
                    ..Route::default()
                }),
                ";5:SUBSCRIBE : presence : ^sip:pres-(.*)@example\\.org",
            ),
            (
                Record::Filter(Filter {
                    cond1_header: "From".into(),
                    cond1_regex: "^.*sip:spammer@.*$".into(),
                    ..Filter::default()
                }),
                "From:^.*sip:spammer@.*$::::",
            ),
            (
                Record::Identity(Identity {
                    peer_name: "0004F2999999".into(),
                    authorized_identity: "example.org".into(),
                }),
                "0004F2999999,example.org",
            ),
        ] {
            assert_eq!(record.key(), key);
        }
    }

    #[test]
    fn nothing_secret_is_shown_for_debugging() {
        let user = User {
            password_hash: "8ea972d8db3f90d047e3cb6b6e1ad9da".into(),
            ..User::default()
        };
        assert!(!format!("{:?}", Record::User(user)).contains("8ea9"));
    }
}
