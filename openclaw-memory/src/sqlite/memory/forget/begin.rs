//! The first step: rows go at once, and what else is to be done is written down.

use std::collections::{BTreeMap, BTreeSet};

use openclaw_core::{
    Error, ErrorKind, Result,
    memory::{Forget, Scope},
};
use rusqlite::{Row as SqlRow, params};

use crate::{
    index::Doc,
    sqlite::{
        erase::securely,
        error::failed,
        memory::{
            rows::{doc, find_scope, ids},
            tallies::{sources, uncount},
        },
        writer::Tx,
    },
};

/// A row that is to go.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Doomed {
    id: i64,
    label: String,
    name: String,
    text: String,
    session: Option<String>,
    place: i64,
    kind: i64,
}

/// What of the index a forgetting changes: the scope, the numbers of the rows, and of how many ids they were.
pub(in crate::sqlite::memory) type Gone = (i64, Vec<Doc>, u64);

/// Forgets rows with all of their versions and with the facts that were drawn from them, overwrites what they
/// were in the file, and notes down what else of them is to be found.
pub(in crate::sqlite::memory) fn begin(
    tx: &mut Tx<'_>,
    scope: &Scope,
    what: &Forget,
) -> Result<Gone> {
    let Some((scope_id, _)) = find_scope(tx.conn, scope)? else { return Ok((0, Vec::new(), 0)) };
    let rows = match what {
        Forget::Ids(names) => named(tx, scope_id, names)?,
        Forget::All => {
            let (from, to) = ids(scope_id);
            find(tx, "id BETWEEN ?1 AND ?2", params![from, to])?
        }
        _ => {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "this memory does not know what to forget",
            ));
        }
    };
    if rows.is_empty() {
        return Ok((scope_id, Vec::new(), 0));
    }
    // First: on a full disk that is the room for what comes.
    securely(tx, |tx| delete(tx, scope_id, &rows))?;
    tx.execute(
        "INSERT INTO forgettings (scope, asked, memories) VALUES (?1, ?2, ?3)",
        params![scope_id, tx.now.0, i64::try_from(rows.len()).unwrap_or(i64::MAX)],
    )?;
    let job = tx.conn.last_insert_rowid();
    for row in &rows {
        tx.execute(
            "INSERT INTO forgotten (job, scope, name, text, session, place, kind)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![job, scope_id, row.name, row.text, row.session, row.place, row.kind],
        )?;
    }
    let names: BTreeSet<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    let names = u64::try_from(names.len()).unwrap_or(u64::MAX);
    Ok((scope_id, rows.iter().map(|row| doc(row.id)).collect(), names))
}

/// The rows of these ids, and of facts that were drawn from them.
fn named(tx: &Tx<'_>, scope: i64, names: &[String]) -> Result<BTreeSet<Doomed>> {
    let mut rows = BTreeSet::new();
    for name in names {
        rows.append(&mut find(tx, "scope = ?1 AND name = ?2", params![scope, name])?);
        let drawn = "scope = ?1 AND drawn_from IS NOT NULL
             AND EXISTS (SELECT 1 FROM json_each(drawn_from) WHERE value = ?2)";
        for fact in find(tx, drawn, params![scope, name])? {
            rows.append(&mut find(tx, "scope = ?1 AND name = ?2", params![scope, fact.name])?);
        }
    }
    Ok(rows)
}

fn find(tx: &Tx<'_>, which: &str, params: impl rusqlite::Params) -> Result<BTreeSet<Doomed>> {
    let sql =
        format!("SELECT id, label, name, text, session, place, kind FROM memories WHERE {which}");
    let read = |row: &SqlRow<'_>| {
        Ok(Doomed {
            id: row.get(0)?,
            label: row.get(1)?,
            name: row.get(2)?,
            text: row.get(3)?,
            session: row.get(4)?,
            place: row.get(5)?,
            kind: row.get(6)?,
        })
    };
    let mut find = tx.prepare(&sql)?;
    let found = find.query_map(params, read).map_err(failed)?;
    found.collect::<rusqlite::Result<_>>().map_err(failed)
}

/// Deletes turns that the memory took out of the log once more before it was gone there; the numbers by scope.
pub(super) fn again(tx: &mut Tx<'_>, job: i64) -> Result<BTreeMap<i64, Vec<Doc>>> {
    let rows = find(
        tx,
        "id IN (SELECT m.id FROM forgotten f JOIN memories m
             ON m.scope = f.scope AND m.name = f.name AND m.kind = f.kind AND m.text = f.text
             WHERE f.job = ?1 AND f.kind = 0)",
        [job],
    )?;
    let mut gone: BTreeMap<i64, (Vec<Doc>, BTreeSet<Doomed>)> = BTreeMap::new();
    for row in rows {
        let (docs, rows) = gone.entry(row.id >> 32).or_default();
        docs.push(doc(row.id));
        rows.insert(row);
    }
    for (scope, (_, rows)) in &gone {
        delete(tx, *scope, rows)?;
    }
    Ok(gone.into_iter().map(|(scope, (docs, _))| (scope, docs)).collect())
}

fn delete(tx: &mut Tx<'_>, scope: i64, rows: &BTreeSet<Doomed>) -> Result<u64> {
    let mut usage: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for row in rows {
        for sql in [
            "DELETE FROM memories WHERE id = ?1",
            "DELETE FROM memory_index WHERE id = ?1",
            "DELETE FROM memory_vectors WHERE id = ?1",
        ] {
            tx.execute(sql, [row.id])?;
        }
        let sum = usage.entry(sources(&row.label)?).or_default();
        sum.0 += 1;
        sum.1 += i64::try_from(row.text.len()).unwrap_or(i64::MAX);
    }
    for (source, (rows, bytes)) in usage {
        uncount(tx, scope, &source, rows, bytes)?;
    }
    Ok(rows.len() as u64)
}
