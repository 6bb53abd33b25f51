//! How much each source takes of a scope, and the number of a scope's newest row: sums that many calls of one
//! transaction change, so they are kept at hand and written once, before it ends.

use std::collections::HashMap;

use openclaw_core::{Error, ErrorKind, Result, memory::Scope};
use rusqlite::{OptionalExtension as _, params};

use super::rows::find_scope;
use crate::{
    index::Doc,
    sqlite::{
        error::{failed, unreadable},
        writer::Tx,
    },
};

/// Of so many sums none is kept beyond a transaction.
const MOST_KEPT: usize = 1_024;

/// The sums that are at hand. After a transaction that was undone they are none.
#[derive(Default)]
pub(in crate::sqlite) struct Tallies {
    scopes: HashMap<Scope, Newest>,
    usage: HashMap<i64, HashMap<String, Used>>,
    changed: bool,
}

#[derive(Clone, Copy)]
struct Newest {
    scope: i64,
    doc: Doc,
    changed: bool,
}

#[derive(Clone, Copy, Default)]
struct Used {
    rows: i64,
    bytes: i64,
    changed: bool,
}

impl Tallies {
    pub(in crate::sqlite) fn clear(&mut self) {
        self.scopes.clear();
        self.usage.clear();
        self.changed = false;
    }
}

/// A scope's id, and the number of its newest row; it is made if it was not there.
pub(super) fn newest(tx: &mut Tx<'_>, scope: &Scope) -> Result<(i64, Doc)> {
    if let Some(newest) = tx.tallies.scopes.get(scope) {
        return Ok((newest.scope, newest.doc));
    }
    let (id, doc) = match find_scope(tx.conn, scope)? {
        Some(found) => found,
        None => {
            tx.execute(
                "INSERT INTO memory_scopes (agent, part) VALUES (?1, ?2)",
                [scope.agent.as_str(), &scope.part],
            )?;
            (tx.conn.last_insert_rowid(), 0)
        }
    };
    tx.tallies.scopes.insert(scope.clone(), Newest { scope: id, doc, changed: false });
    Ok((id, doc))
}

/// Says that rows up to this number were added to a scope.
pub(super) fn set_newest(tx: &mut Tx<'_>, scope: &Scope, doc: Doc) {
    if let Some(newest) = tx.tallies.scopes.get_mut(scope)
        && newest.doc != doc
    {
        (newest.doc, newest.changed, tx.tallies.changed) = (doc, true, true);
    }
}

/// Counts a row for its source, if there is room for it.
pub(super) fn count_source(
    tx: &mut Tx<'_>,
    scope: i64,
    source: &str,
    bytes: i64,
    most: Option<u64>,
) -> Result<()> {
    let known = tx.tallies.usage.get(&scope).and_then(|sources| sources.get(source));
    let mut used = match known {
        Some(used) => *used,
        None => tx
            .prepare("SELECT rows, bytes FROM memory_usage WHERE scope = ?1 AND source = ?2")?
            .query_row(params![scope, source], |row| {
                Ok(Used { rows: row.get(0)?, bytes: row.get(1)?, changed: false })
            })
            .optional()
            .map_err(failed)?
            .unwrap_or_default(),
    };
    used = Used { rows: used.rows + 1, bytes: used.bytes + bytes, changed: true };
    tx.tallies.changed = true;
    let sources = tx.tallies.usage.entry(scope).or_default();
    match sources.get_mut(source) {
        Some(place) => *place = used,
        None => drop(sources.insert(source.to_owned(), used)),
    }
    match most {
        Some(most) if u64::try_from(used.bytes).unwrap_or_default() > most => Err(Error::new(
            ErrorKind::Exhausted,
            format!(
                "what {source:?} said already takes its {most} bytes of this memory; forget some of it or raise the quota"
            ),
        )),
        _ => Ok(()),
    }
}

pub(super) fn uncount(
    tx: &mut Tx<'_>,
    scope: i64,
    source: &str,
    rows: i64,
    bytes: i64,
) -> Result<()> {
    settle(tx)?;
    tx.tallies.usage.remove(&scope);
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

/// Writes what changed.
pub(in crate::sqlite) fn settle(tx: &mut Tx<'_>) -> Result<()> {
    if !std::mem::take(&mut tx.tallies.changed) {
        return Ok(());
    }
    let mut kept = 0;
    for newest in tx.tallies.scopes.values_mut() {
        kept += 1;
        if std::mem::take(&mut newest.changed) {
            let sql = "UPDATE memory_scopes SET last = ?2 WHERE id = ?1";
            let mut update = tx.conn.prepare_cached(sql).map_err(failed)?;
            update.execute(params![newest.scope, i64::from(newest.doc)]).map_err(failed)?;
        }
    }
    for (scope, sources) in &mut tx.tallies.usage {
        for (source, used) in sources {
            kept += 1;
            if std::mem::take(&mut used.changed) {
                let sql =
                    "INSERT INTO memory_usage (scope, source, rows, bytes) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (scope, source) DO UPDATE SET rows = ?3, bytes = ?4";
                let mut update = tx.conn.prepare_cached(sql).map_err(failed)?;
                update.execute(params![scope, source, used.rows, used.bytes]).map_err(failed)?;
            }
        }
    }
    if kept > MOST_KEPT {
        tx.tallies.clear();
    }
    Ok(())
}

/// The sources that a stored label names, as they are counted.
pub(super) fn sources(label: &str) -> Result<String> {
    let label: openclaw_core::label::Label =
        serde_json::from_str(label).map_err(|e| unreadable("label", e))?;
    Ok(label.sources().collect::<Vec<_>>().join(","))
}
