//! Registrations that survive a restart.

use std::fmt;

use rusqlite::{Connection, Row, params};

/// One contact of an address-of-record, as the registrar had it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SavedBinding {
    /// Address-of-record, `user@host`.
    pub aor: String,
    /// Text of the contact's URI.
    pub contact: Vec<u8>,
    /// Parameters of the contact.
    pub parameters: Vec<u8>,
    /// Call-ID of the REGISTER.
    pub call_id: Vec<u8>,
    /// What the phone calls itself.
    pub user_agent: Vec<u8>,
    /// Preference, in thousandths.
    pub q: Option<u16>,
    /// CSeq of the REGISTER.
    pub cseq: u32,
    /// Path, name-addrs parted by comma.
    pub path: Vec<u8>,
    /// Whether the REGISTER came as a datagram.
    pub datagram: bool,
    /// When it ends, in seconds since 1970.
    pub expires_at: u64,
}

impl fmt::Debug for SavedBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SavedBinding({:?} at {:?} until {})",
            self.aor,
            String::from_utf8_lossy(&self.contact),
            self.expires_at
        )
    }
}

/// A time for SQLite, which knows no more than 63 bits; what is beyond is the end of time either way.
pub(super) fn seconds(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

/// Replaces the bindings of one address-of-record. In a transaction of the caller's.
pub(super) fn save(
    connection: &Connection,
    aor: &str,
    bindings: &[SavedBinding],
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM binding WHERE aor = ?1")?
        .execute([aor])?;
    let mut insert = connection
        .prepare_cached("INSERT INTO binding VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?;
    for binding in bindings {
        insert.execute(params![
            aor,
            binding.contact,
            binding.parameters,
            binding.call_id,
            binding.user_agent,
            binding.q,
            binding.cseq,
            binding.path,
            seconds(binding.expires_at),
            binding.datagram,
        ])?;
    }
    Ok(())
}

/// Gives the bindings that end after `now`, those of one address-of-record together and in the order they were saved.
pub(super) fn each(
    connection: &Connection,
    now: u64,
    take: &mut dyn FnMut(SavedBinding),
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "SELECT aor, contact, parameters, call_id, user_agent, q, cseq, path, expires_at, datagram \
         FROM binding WHERE expires_at > ?1 ORDER BY aor, rowid",
    )?;
    let mut rows = statement.query([seconds(now)])?;
    while let Some(row) = rows.next()? {
        take(read(row)?);
    }
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<SavedBinding> {
    Ok(SavedBinding {
        aor: row.get(0)?,
        contact: row.get(1)?,
        parameters: row.get(2)?,
        call_id: row.get(3)?,
        user_agent: row.get(4)?,
        q: row.get(5)?,
        cseq: row.get(6)?,
        path: row.get(7)?,
        expires_at: row.get::<_, i64>(8)?.try_into().unwrap_or_default(),
        datagram: row.get(9)?,
    })
}
