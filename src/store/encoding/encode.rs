//! From a record to octets.

use super::{ByteOrder, USER_VERSION, VERSION};
use crate::store::error::record_fault;
use crate::store::{Record, RecordFault};

/// Writes a record as repro does, users in version 3.
///
/// Deviation: repro writes a wrong length for a text above 65535 octets. It reads those above 8192 as empty, so a record
/// with one is for us alone.
///
/// # Errors
/// A text that is longer than its length can say.
pub fn encode(record: &Record, order: ByteOrder) -> Result<Vec<u8>, RecordFault> {
    let mut out = Writer {
        octets: Vec::new(),
        order,
        too_long: None,
    };
    match record {
        Record::Domain(r) => {
            out.u16(VERSION);
            out.text("domain", &r.domain);
            out.i16(r.tls_port);
        }
        Record::Acl(r) => {
            out.u16(VERSION);
            out.text("tlsPeerName", &r.tls_peer_name);
            out.text("address", &r.address);
            for number in [r.mask, r.port, r.family, r.transport] {
                out.i16(number);
            }
        }
        Record::Route(r) => {
            out.u16(VERSION);
            out.text("method", &r.method);
            out.text("event", &r.event);
            out.text("matchingPattern", &r.matching_pattern);
            out.text("rewriteExpression", &r.rewrite_expression);
            out.i16(r.order);
        }
        Record::Filter(r) => {
            out.u16(VERSION);
            out.text("cond1Header", &r.cond1_header);
            out.text("cond1Regex", &r.cond1_regex);
            out.text("cond2Header", &r.cond2_header);
            out.text("cond2Regex", &r.cond2_regex);
            out.text("method", &r.method);
            out.text("event", &r.event);
            out.i16(r.action.number());
            out.text("actionData", &r.action_data);
            out.i16(r.order);
        }
        Record::Registration(r) => {
            out.u16(VERSION);
            out.text("aor", &r.aor);
            out.text("contact", &r.contact);
            out.text("path", &r.path);
        }
        Record::User(r) => {
            out.u16(USER_VERSION);
            out.text("user", &r.user);
            out.text("domain", &r.domain);
            out.text("realm", &r.realm);
            out.text("passwordHash", &r.password_hash);
            out.text("passwordHashAlt", &r.password_hash_alt);
            out.text("name", &r.name);
            out.text("email", &r.email);
            out.text("forwardAddress", &r.forward_address);
        }
        Record::Identity(r) => {
            out.u16(VERSION);
            out.text("peerName", &r.peer_name);
            out.text("authorizedIdentity", &r.authorized_identity);
        }
        Record::Silo(r) => {
            out.u16(VERSION);
            out.text("destUri", &r.dest_uri);
            out.text("sourceUri", &r.source_uri);
            out.u64(r.original_sent_time);
            out.text("tid", &r.tid);
            out.text("mimeType", &r.mime_type);
            out.field("messageBody", &r.message_body);
        }
    }
    match out.too_long {
        None => Ok(out.octets),
        Some(why) => Err(record_fault(record.table(), record.key().as_bytes(), why)),
    }
}

struct Writer {
    octets: Vec<u8>,
    order: ByteOrder,
    /// The first field that did not fit.
    too_long: Option<String>,
}

impl Writer {
    fn u16(&mut self, number: u16) {
        self.octets.extend(match self.order {
            ByteOrder::Little => number.to_le_bytes(),
            ByteOrder::Big => number.to_be_bytes(),
        });
    }

    fn i16(&mut self, number: i16) {
        self.u16(number.cast_unsigned());
    }

    fn u64(&mut self, number: u64) {
        self.octets.extend(match self.order {
            ByteOrder::Little => number.to_le_bytes(),
            ByteOrder::Big => number.to_be_bytes(),
        });
    }

    fn field(&mut self, name: &str, octets: &[u8]) {
        let Ok(length) = u16::try_from(octets.len()) else {
            self.too_long.get_or_insert_with(|| {
                format!(
                    "{name} has {} octets; repro's encoding has room for 65535",
                    octets.len()
                )
            });
            return;
        };
        self.u16(length);
        self.octets.extend_from_slice(octets);
    }

    fn text(&mut self, name: &str, text: &str) {
        self.field(name, text.as_bytes());
    }
}
