//! The octets of one record, as repro writes them: the values of its Berkeley DB files, and in base64 those of its SQL
//! tables.
//!
//! Pure. A version, then fields in a fixed order; a text is its length in two octets and itself. Numbers stand in the
//! byte order of the machine that wrote, so the order is an argument. repro takes what does not fit for an empty text and
//! goes on with garbage; here it is a fault that names the field. No fault shows what a field holds: some hold hashes.

mod decode;
mod encode;

pub use decode::decode;
pub(super) use decode::too_long;
pub use encode::encode;

use super::record::Record;

/// Octets that a key or a value may have: more than eight texts of the greatest length, so more than any record of repro.
pub const MAX_OCTETS: usize = 1 << 20;

/// Version of the records that repro writes; those of users have their own.
const VERSION: u16 = 1;
/// Version of users with `passwordHashAlt`, as written since repro has it.
const USER_VERSION: u16 = 3;
/// Version of users before that; read, never written.
const OLD_USER_VERSION: u16 = 2;

/// How a machine stores a number of several octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteOrder {
    /// The least octet first: x86, ARM.
    Little,
    /// The greatest octet first.
    Big,
}

impl ByteOrder {
    /// The number in the two octets at `at`.
    pub(super) fn u16_at(self, octets: &[u8], at: usize) -> Option<u16> {
        let octets = *octets.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u16::from_le_bytes(octets),
            Self::Big => u16::from_be_bytes(octets),
        })
    }

    /// The number in the four octets at `at`.
    pub(super) fn u32_at(self, octets: &[u8], at: usize) -> Option<u32> {
        let octets = *octets.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u32::from_le_bytes(octets),
            Self::Big => u32::from_be_bytes(octets),
        })
    }

    fn u64(self, octets: [u8; 8]) -> u64 {
        match self {
            Self::Little => u64::from_le_bytes(octets),
            Self::Big => u64::from_be_bytes(octets),
        }
    }
}

/// A record that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The record.
    pub record: Record,
    /// What the operator should know of it.
    pub note: Option<String>,
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a test that cannot go on says so by panicking"
    )]

    use proptest::prelude::*;

    use super::ByteOrder::{Big, Little};
    use super::*;
    use crate::store::{
        Acl, Domain, Filter, FilterAction, Identity, Route, SiloMessage, StaticRegistration, Table,
        User,
    };

    #[test]
    fn a_text_may_be_as_long_as_its_length_can_say() {
        let mut message = SiloMessage {
            tid: "t".into(),
            message_body: vec![0xff; 65535],
            ..SiloMessage::default()
        };
        let record = Record::Silo(message.clone());
        let value = encode(&record, Little).unwrap();
        let decoded = decode(Table::Silo, b"0:t", &value, Little).unwrap();
        assert!(decoded.record == record && decoded.note.is_none());
        message.message_body.push(0);
        assert_eq!(
            encode(&Record::Silo(message), Little).unwrap_err().why,
            "messageBody has 65536 octets; repro's encoding has room for 65535"
        );
    }

    #[test]
    fn numbers_stand_in_the_order_of_the_machine() {
        let acl = Record::Acl(Acl {
            address: "::1".into(),
            mask: 128,
            port: 40000_u16.cast_signed(),
            family: 1,
            transport: 1,
            ..Acl::default()
        });
        let little = encode(&acl, Little).unwrap();
        let big = encode(&acl, Big).unwrap();
        assert_eq!(little, b"\x01\0\0\0\x03\0::1\x80\0\x40\x9c\x01\0\x01\0");
        assert_eq!(big, b"\0\x01\0\0\0\x03::1\0\x80\x9c\x40\0\x01\0\x01");
        let key = b":::1/128:-25536:1:1";
        assert_eq!(decode(Table::Acl, key, &big, Big).unwrap().record, acl);
    }

    fn records() -> impl Strategy<Value = Record> {
        let text = || "\\PC{0,40}";
        let texts = move || proptest::array::uniform8(text());
        let numbers = proptest::array::uniform4(any::<i16>());
        let rest = (0..3_i16, any::<u64>(), any::<Vec<u8>>(), 0..8_usize);
        (texts(), numbers, rest).prop_map(|(texts, numbers, (action, time, body, table))| {
            let [a, b, c, d, e, f, g, h] = texts;
            let [mask, port, family, transport] = numbers;
            match Table::ALL[table] {
                Table::Domain => Record::Domain(Domain {
                    domain: a,
                    tls_port: port,
                }),
                Table::Acl => Record::Acl(Acl {
                    tls_peer_name: a,
                    address: b,
                    mask,
                    port,
                    family,
                    transport,
                }),
                Table::Route => Record::Route(Route {
                    method: a,
                    event: b,
                    matching_pattern: c,
                    rewrite_expression: d,
                    order: mask,
                }),
                Table::Filter => Record::Filter(Filter {
                    cond1_header: a,
                    cond1_regex: b,
                    cond2_header: c,
                    cond2_regex: d,
                    method: e,
                    event: f,
                    action: FilterAction::of_number(action).unwrap(),
                    action_data: g,
                    order: mask,
                }),
                Table::Registration => Record::Registration(StaticRegistration {
                    aor: a,
                    contact: b,
                    path: c,
                }),
                Table::User => Record::User(User {
                    user: a,
                    domain: b,
                    realm: c,
                    password_hash: d,
                    password_hash_alt: e,
                    name: f,
                    email: g,
                    forward_address: h,
                }),
                Table::Identity => Record::Identity(Identity {
                    peer_name: a,
                    authorized_identity: b,
                }),
                Table::Silo => Record::Silo(SiloMessage {
                    dest_uri: a,
                    source_uri: b,
                    original_sent_time: time,
                    tid: c,
                    mime_type: d,
                    message_body: body,
                }),
            }
        })
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(record in records(), little in any::<bool>()) {
            let order = if little { Little } else { Big };
            let value = encode(&record, order).unwrap();
            let decoded = decode(record.table(), record.key().as_bytes(), &value, order).unwrap();
            prop_assert_eq!(decoded, Decoded { record, note: None });
        }

        #[test]
        fn any_octets_are_a_record_or_a_fault(value in any::<Vec<u8>>(), key in any::<Vec<u8>>()) {
            for table in Table::ALL {
                let _ = decode(table, &key, &value, Little);
            }
        }
    }
}
