//! Records, as SQL.

use openclaw_core::{
    Result,
    store::{Record, RecordKey, RecordWrite},
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{error::failed, sessions::count, writer::Tx};

/// Writes records in order; the caller's savepoint undoes all of them if one is refused.
pub(super) fn write(tx: &Tx<'_>, writes: &[RecordWrite]) -> Result<()> {
    for write in writes {
        let key = &write.key;
        if write.expect.is_some() {
            let found: Option<i64> = tx
                .prepare("SELECT version FROM records WHERE space = ?1 AND name = ?2")?
                .query_row([&key.space, &key.name], |row| row.get(0))
                .optional()
                .map_err(failed)?;
            write.check_version(found.unwrap_or_default().unsigned_abs())?;
        }
        match &write.value {
            Some(value) => tx.execute(
                "INSERT INTO records (space, name, version, value) VALUES (?1, ?2, 1, ?3)
                 ON CONFLICT (space, name) DO UPDATE SET version = version + 1, value = ?3",
                [&key.space, &key.name, value],
            )?,
            None => tx.execute(
                "DELETE FROM records WHERE space = ?1 AND name = ?2",
                [&key.space, &key.name],
            )?,
        };
    }
    Ok(())
}

fn record_at(row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record {
        key: RecordKey { space: row.get(0)?, name: row.get(1)? },
        version: row.get::<_, i64>(2)?.unsigned_abs(),
        value: row.get(3)?,
    })
}

pub(super) fn record(conn: &Connection, key: &RecordKey) -> Result<Option<Record>> {
    conn.prepare_cached(
        "SELECT space, name, version, value FROM records WHERE space = ?1 AND name = ?2",
    )
    .and_then(|mut found| found.query_row([&key.space, &key.name], record_at).optional())
    .map_err(failed)
}

pub(super) fn records(
    conn: &Connection,
    space: &str,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Record>> {
    // Names are compared as bytes, so those with the prefix lie side by side.
    let mut statement = conn
        .prepare_cached(
            "SELECT space, name, version, value FROM records
             WHERE space = ?1 AND name >= ?2 AND (?3 IS NULL OR name > ?3) ORDER BY name LIMIT ?4",
        )
        .map_err(failed)?;
    let from = after.filter(|after| *after > prefix).unwrap_or(prefix);
    let rows = statement
        .query_map(params![space, from, after, count(limit)], record_at)
        .map_err(failed)?;
    let mut found = Vec::new();
    for row in rows {
        let record = row.map_err(failed)?;
        if !record.key.name.starts_with(prefix) {
            break;
        }
        found.push(record);
    }
    Ok(found)
}
