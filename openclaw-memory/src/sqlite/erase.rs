//! Taking out of the file what was written, so that no page of it and no log beside it has it any more.

use openclaw_core::{Result, Seq, SessionKey};
use rusqlite::Connection;

use super::{
    error::failed,
    outbox,
    sessions::{find, log_ids},
    writer::Tx,
};

/// Does `work` so that what it deletes or changes is overwritten in the file, and has the log emptied after the
/// transaction. The number that it returns is of rows: with none there is nothing to overwrite.
pub(super) fn securely(
    tx: &mut Tx<'_>,
    work: impl FnOnce(&mut Tx<'_>) -> Result<u64>,
) -> Result<u64> {
    let conn = tx.conn;
    secure(conn, "ON")?;
    let result = work(tx).and_then(|rows| {
        if rows > 0 {
            scrub(tx)?;
        }
        Ok(rows)
    });
    secure(conn, "FAST")?;
    let rows = result?;
    tx.counters.erased |= rows > 0;
    Ok(rows)
}

fn secure(conn: &Connection, value: &str) -> Result<()> {
    conn.pragma_update(None, "secure_delete", value).map_err(failed)
}

/// Nulls payloads and overwrites what they were in the file.
pub(super) fn erase(tx: &mut Tx<'_>, session: &SessionKey, from: Seq, to: Seq) -> Result<u64> {
    let Some(found) = find(tx, session)? else { return Ok(0) };
    let (from, to) = log_ids(found.id, from, to);
    let mut erased = 0;
    securely(tx, |tx| {
        erased = tx.execute(
            "UPDATE log SET payload = NULL WHERE id BETWEEN ?1 AND ?2 AND payload IS NOT NULL",
            [from, to],
        )? as u64;
        if erased > 0 {
            tx.execute("UPDATE sessions SET revision = revision + 1 WHERE id = ?1", [found.id])?;
        }
        Ok(erased + outbox::erase(tx, session)? as u64)
    })?;
    Ok(erased)
}

/// Overwrites the pages that are free: former versions of rows stand there. Only while deleting is
/// secure, so that what overwrites them is free again without a trace.
fn scrub(tx: &Tx<'_>) -> Result<()> {
    /// Of a page, less what belongs to SQLite.
    const ROOM: i64 = 4_000;
    const PAGES_A_ROW: i64 = 256;
    tx.execute("CREATE TABLE scrub (zeros BLOB NOT NULL)", [])?;
    loop {
        let free: i64 =
            tx.conn.pragma_query_value(None, "freelist_count", |row| row.get(0)).map_err(failed)?;
        if free == 0 {
            break;
        }
        let bytes = (free - 1).clamp(1, PAGES_A_ROW) * ROOM;
        tx.execute("INSERT INTO scrub VALUES (zeroblob(?1))", [bytes])?;
    }
    tx.execute("DROP TABLE scrub", [])?;
    Ok(())
}
