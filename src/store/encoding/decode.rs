//! From octets to a record.

use super::{ByteOrder, Decoded, MAX_OCTETS, OLD_USER_VERSION, USER_VERSION, VERSION};
use crate::store::error::record_fault;
use crate::store::{
    Acl, Domain, Filter, FilterAction, Identity, Record, RecordFault, Route, SiloMessage,
    StaticRegistration, Table, User,
};

/// Reads a record of `table` that is stored under `key`.
///
/// The key must be that of the record. One exception: before repro had orders in the keys of routes, those were
/// `method:event:pattern`; that is taken too, as repro does.
///
/// # Errors
/// Another version, a field that does not fit or is not UTF-8, octets left over, or a key of another record. Names and
/// mail addresses that are not UTF-8 are read as Latin-1, with a note.
pub fn decode(
    table: Table,
    key: &[u8],
    value: &[u8],
    order: ByteOrder,
) -> Result<Decoded, RecordFault> {
    let fault = |why| record_fault(table, key, why);
    if value.len() > MAX_OCTETS {
        return Err(fault(too_long(value.len())));
    }
    let mut fields = Fields {
        rest: value,
        order,
        latin1: Vec::new(),
    };
    let record = fields.record(table).map_err(fault)?;
    if !fields.rest.is_empty() {
        return Err(fault(format!(
            "{} octets after the last field",
            fields.rest.len()
        )));
    }
    if !is_key_of(key, &record) {
        return Err(fault(
            "its fields do not make this key; it is damaged, or stored in a wrong place".into(),
        ));
    }
    let note = (!fields.latin1.is_empty())
        .then(|| format!("{} not UTF-8, read as Latin-1", fields.latin1.join(", ")));
    Ok(Decoded { record, note })
}

/// Why a value of this length is no record.
pub(in crate::store) fn too_long(octets: usize) -> String {
    format!("{octets} octets; no record of repro has more than {MAX_OCTETS}")
}

fn is_key_of(key: &[u8], record: &Record) -> bool {
    key == record.key().as_bytes()
        || match record {
            Record::Route(r) => {
                key == format!("{}:{}:{}", r.method, r.event, r.matching_pattern).as_bytes()
            }
            _ => false,
        }
}

/// What is left of a record, from the front.
struct Fields<'a> {
    rest: &'a [u8],
    order: ByteOrder,
    /// Fields that were not UTF-8.
    latin1: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    fn record(&mut self, table: Table) -> Result<Record, String> {
        let version = self.u16("version")?;
        let known: &[u16] = match table {
            Table::User => &[USER_VERSION, OLD_USER_VERSION],
            _ => &[VERSION],
        };
        if !known.contains(&version) {
            return Err(unknown_version(version, known));
        }
        // Fields are read in the order in which they stand here, which is repro's.
        Ok(match table {
            Table::Domain => Record::Domain(Domain {
                domain: self.text("domain")?,
                tls_port: self.i16("tlsPort")?,
            }),
            Table::Acl => Record::Acl(Acl {
                tls_peer_name: self.text("tlsPeerName")?,
                address: self.text("address")?,
                mask: self.i16("mask")?,
                port: self.i16("port")?,
                family: self.i16("family")?,
                transport: self.i16("transport")?,
            }),
            Table::Route => Record::Route(Route {
                method: self.text("method")?,
                event: self.text("event")?,
                matching_pattern: self.text("matchingPattern")?,
                rewrite_expression: self.text("rewriteExpression")?,
                order: self.i16("order")?,
            }),
            Table::Filter => Record::Filter(Filter {
                cond1_header: self.text("cond1Header")?,
                cond1_regex: self.text("cond1Regex")?,
                cond2_header: self.text("cond2Header")?,
                cond2_regex: self.text("cond2Regex")?,
                method: self.text("method")?,
                event: self.text("event")?,
                action: self.action()?,
                action_data: self.text("actionData")?,
                order: self.i16("order")?,
            }),
            Table::Registration => Record::Registration(StaticRegistration {
                aor: self.text("aor")?,
                contact: self.text("contact")?,
                path: self.text("path")?,
            }),
            Table::User => Record::User(User {
                user: self.text("user")?,
                domain: self.text("domain")?,
                realm: self.text("realm")?,
                password_hash: self.text("passwordHash")?,
                password_hash_alt: if version == USER_VERSION {
                    self.text("passwordHashAlt")?
                } else {
                    String::new()
                },
                name: self.personal_text("name")?,
                email: self.personal_text("email")?,
                forward_address: self.text("forwardAddress")?,
            }),
            Table::Identity => Record::Identity(Identity {
                peer_name: self.text("peerName")?,
                authorized_identity: self.text("authorizedIdentity")?,
            }),
            Table::Silo => Record::Silo(SiloMessage {
                dest_uri: self.text("destUri")?,
                source_uri: self.text("sourceUri")?,
                original_sent_time: self.u64("originalSentTime")?,
                tid: self.text("tid")?,
                mime_type: self.text("mimeType")?,
                message_body: self.octets("messageBody")?.to_vec(),
            }),
        })
    }

    fn take<const N: usize>(&mut self, field: &str) -> Result<[u8; N], String> {
        let (octets, rest) = self
            .rest
            .split_first_chunk()
            .ok_or_else(|| format!("it ends before {field}"))?;
        self.rest = rest;
        Ok(*octets)
    }

    fn u16(&mut self, field: &str) -> Result<u16, String> {
        let octets: [u8; 2] = self.take(field)?;
        self.order
            .u16_at(&octets, 0)
            .ok_or_else(|| format!("it ends before {field}"))
    }

    /// Ports above 32767 come out negative, as in the key.
    fn i16(&mut self, field: &str) -> Result<i16, String> {
        self.u16(field).map(u16::cast_signed)
    }

    fn u64(&mut self, field: &str) -> Result<u64, String> {
        let octets = self.take(field)?;
        Ok(self.order.u64(octets))
    }

    /// A length and so many octets. repro stores the length as a signed number, so one above 32767 is negative there;
    /// without the sign it is right again.
    fn octets(&mut self, field: &str) -> Result<&'a [u8], String> {
        let length = usize::from(self.u16(field)?);
        let (octets, rest) = self.rest.split_at_checked(length).ok_or_else(|| {
            format!(
                "{field} is said to have {length} octets, the record has {} more",
                self.rest.len()
            )
        })?;
        self.rest = rest;
        Ok(octets)
    }

    fn text(&mut self, field: &str) -> Result<String, String> {
        let octets = self.octets(field)?.to_vec();
        String::from_utf8(octets).map_err(|_| format!("{field} is not UTF-8"))
    }

    /// A text that only people read: an old web browser may have sent it in Latin-1.
    fn personal_text(&mut self, field: &'static str) -> Result<String, String> {
        let octets = self.octets(field)?;
        Ok(std::str::from_utf8(octets).map_or_else(
            |_| {
                self.latin1.push(field);
                octets.iter().copied().map(char::from).collect()
            },
            str::to_owned,
        ))
    }

    fn action(&mut self) -> Result<FilterAction, String> {
        let number = self.i16("action")?;
        FilterAction::of_number(number).ok_or_else(|| {
            format!("action {number} is unknown; 0 is accept, 1 reject, 2 SQL query")
        })
    }
}

fn unknown_version(version: u16, known: &[u16]) -> String {
    let words: Vec<_> = known.iter().map(u16::to_string).collect();
    let mut why = format!(
        "version {version} of its encoding is unknown, {} is known",
        words.join(" and ")
    );
    if known.contains(&version.swap_bytes()) {
        why.push_str("; it was written on a machine of the other byte order");
    }
    why
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a test that cannot go on says so by panicking"
    )]

    use super::ByteOrder::Little;
    use super::*;
    use crate::store::encoding::encode;

    /// The example of repro's documents.
    fn alice() -> Vec<u8> {
        let mut value = b"\x03\0\x05\0alice\x0b\0example.org\x0b\0example.org\x20\0".to_vec();
        value.extend([b'a'; 32]);
        value.extend([0; 8]);
        value
    }

    fn why(table: Table, key: &str, value: &[u8]) -> String {
        decode(table, key.as_bytes(), value, Little)
            .unwrap_err()
            .why
    }

    #[test]
    fn a_user_is_read_field_by_field() {
        let decoded = decode(Table::User, b"alice@example.org", &alice(), Little).unwrap();
        assert_eq!(decoded.note, None);
        assert_eq!(
            decoded.record,
            Record::User(User {
                user: "alice".into(),
                domain: "example.org".into(),
                realm: "example.org".into(),
                password_hash: "a".repeat(32),
                ..User::default()
            })
        );
    }

    #[test]
    fn an_old_user_has_no_second_hash() {
        let old = b"\x02\0\x01\0u\x01\0d\x01\0r\x01\0h\x01\0n\x01\0e\x01\0f";
        let Record::User(user) = decode(Table::User, b"u@d", old, Little).unwrap().record else {
            unreachable!("a user");
        };
        assert_eq!(user.password_hash, "h");
        assert_eq!(user.password_hash_alt, "");
        assert_eq!((&*user.name, &*user.forward_address), ("n", "f"));
    }

    #[test]
    fn what_is_cut_off_is_named_by_its_first_missing_field() {
        let (key, whole) = ("alice@example.org", alice());
        for (length, expected) in [
            (0, "it ends before version"),
            (1, "it ends before version"),
            (2, "it ends before user"),
            (6, "user is said to have 5 octets, the record has 2 more"),
            (whole.len() - 1, "it ends before forwardAddress"),
        ] {
            assert_eq!(why(Table::User, key, &whole[..length]), expected);
        }
        for length in 0..whole.len() {
            assert!(!why(Table::User, key, &whole[..length]).contains("aaa"));
        }
    }

    #[test]
    fn a_record_that_is_not_whole_and_right_is_a_fault() {
        let mut longer = alice();
        longer.extend([0, 0]);
        for (situation, table, key, value, expected) in [
            (
                "octets left over",
                Table::User,
                "alice@example.org",
                &*longer,
                "2 octets after the last field",
            ),
            (
                "a version to come",
                Table::User,
                "u@d",
                b"\x04\0",
                "version 4 of its encoding is unknown, 3 and 2 is known",
            ),
            (
                "the other byte order",
                Table::Domain,
                "d",
                b"\0\x01\0\x01d\0\0",
                "version 256 of its encoding is unknown, 1 is known; it was written on a machine of the other byte order",
            ),
            (
                "the version of another table",
                Table::Domain,
                "d",
                b"\x03\0\x01\0d\0\0",
                "version 3 of its encoding is unknown, 1 is known",
            ),
            (
                "a domain that is not UTF-8",
                Table::Domain,
                "d",
                b"\x01\0\x01\0\xfc\0\0",
                "domain is not UTF-8",
            ),
            (
                "a filter that does what nobody knows",
                Table::Filter,
                "::::::",
                b"\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\x03\0\0\0\0\0",
                "action 3 is unknown; 0 is accept, 1 reject, 2 SQL query",
            ),
            (
                "the key of another domain",
                Table::Domain,
                "e",
                b"\x01\0\x01\0d\0\0",
                "its fields do not make this key; it is damaged, or stored in a wrong place",
            ),
        ] {
            assert_eq!(why(table, key, value), expected, "{situation}");
        }
    }

    #[test]
    fn routes_may_have_the_key_of_older_repros() {
        let route = Record::Route(Route {
            method: "INVITE".into(),
            matching_pattern: "^sip:9".into(),
            order: 7,
            ..Route::default()
        });
        let value = encode(&route, Little).unwrap();
        for (key, good) in [
            (";7:INVITE :  : ^sip:9", true),
            ("INVITE::^sip:9", true),
            ("7:INVITE::^sip:9", false),
            (";8:INVITE :  : ^sip:9", false),
            ("INVITE::^sip:8", false),
        ] {
            let decoded = decode(Table::Route, key.as_bytes(), &value, Little);
            assert_eq!(decoded.is_ok_and(|d| d.record == route), good, "{key}");
        }
    }

    #[test]
    fn names_for_people_may_be_latin_1() {
        let value = b"\x03\0\x01\0u\x01\0d\0\0\0\0\0\0\x06\0M\xfcller\0\0\0\0";
        let decoded = decode(Table::User, b"u@d", value, Little).unwrap();
        let Record::User(user) = decoded.record else {
            unreachable!("a user");
        };
        assert_eq!(user.name, "Müller");
        assert_eq!(
            decoded.note.as_deref(),
            Some("name not UTF-8, read as Latin-1")
        );
    }
}
