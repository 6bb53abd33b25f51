//! How much each source takes of a scope.

use openclaw_core::{Error, ErrorKind, Result};
use rusqlite::params;

use crate::sqlite::{
    error::{failed, unreadable},
    writer::Tx,
};

/// Counts a row for its source, if there is room for it.
pub(super) fn count_source(
    tx: &Tx<'_>,
    scope: i64,
    source: &str,
    bytes: i64,
    most: Option<u64>,
) -> Result<()> {
    let sum: i64 = tx
        .prepare(
            "INSERT INTO memory_usage (scope, source, rows, bytes) VALUES (?1, ?2, 1, ?3)
             ON CONFLICT (scope, source) DO UPDATE SET rows = rows + 1, bytes = bytes + ?3
             RETURNING bytes",
        )?
        .query_row(params![scope, source, bytes], |row| row.get(0))
        .map_err(failed)?;
    match most {
        Some(most) if u64::try_from(sum).unwrap_or_default() > most => Err(Error::new(
            ErrorKind::Exhausted,
            format!(
                "what {source:?} said already takes its {most} bytes of this memory; forget some of it or raise the quota"
            ),
        )),
        _ => Ok(()),
    }
}

pub(super) fn uncount(tx: &Tx<'_>, scope: i64, source: &str, rows: i64, bytes: i64) -> Result<()> {
    tx.execute(
        "UPDATE memory_usage SET rows = rows - ?3, bytes = bytes - ?4
         WHERE scope = ?1 AND source = ?2",
        params![scope, source, rows, bytes],
    )?;
    tx.execute(
        "DELETE FROM memory_usage WHERE scope = ?1 AND source = ?2 AND rows <= 0",
        params![scope, source],
    )?;
    Ok(())
}

/// The sources that a stored label names, as they are counted.
pub(super) fn sources(label: &str) -> Result<String> {
    let label: openclaw_core::label::Label =
        serde_json::from_str(label).map_err(|e| unreadable("label", e))?;
    Ok(label.sources().collect::<Vec<_>>().join(","))
}
