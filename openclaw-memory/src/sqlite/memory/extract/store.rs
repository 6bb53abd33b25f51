//! Which turns are next, and what was used, as SQL.

use openclaw_core::{
    Result,
    memory::{Fact, Scope},
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::{
    read,
    rows::{doc, id, ids},
    shelf::kind_number,
};
use crate::{
    index::Doc,
    sqlite::{error::failed, writer::Tx},
};

/// Turns of one question at most, and their bytes.
const MOST_TURNS: usize = 16;
const MOST_BYTES: usize = 8_000;
/// Rows that are looked at for them.
const TOGETHER: u32 = 64;

/// Turns that stand together in a conversation and have one label.
pub(super) struct Batch {
    pub(super) scope: Scope,
    scope_id: i64,
    pub(super) turns: Vec<Fact>,
    /// The last row that was looked at.
    last: Doc,
}

/// The next turns from which no facts were drawn; `None` if there are none. Without turns if rows of other kinds are
/// to be passed.
pub(super) fn next(conn: &Connection) -> Result<Option<Batch>> {
    let mut scopes = conn
        .prepare_cached(
            "SELECT id, agent, part, extracted FROM memory_scopes WHERE extracted < last ORDER BY id LIMIT 1",
        )
        .map_err(failed)?;
    let scope = scopes.query_row([], |row| {
        let (id, agent, part): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok((id, agent, part, doc(row.get(3)?)))
    });
    let Some((scope_id, agent, part, extracted)) = scope.optional().map_err(failed)? else {
        return Ok(None);
    };
    let mut scope = Scope::agent(agent);
    scope.part = part;
    let mut batch = Batch { scope, scope_id, turns: Vec::new(), last: extracted };
    let mut find = conn
        .prepare_cached(
            "SELECT id, kind FROM memories WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3",
        )
        .map_err(failed)?;
    let rows = find
        .query_map(params![id(scope_id, extracted), ids(scope_id).1, TOGETHER], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .map_err(failed)?;
    let rows = rows.collect::<rusqlite::Result<Vec<(i64, u16)>>>().map_err(failed)?;
    let all = rows.len() < TOGETHER as usize;
    let mut bytes = 0;
    for (row, kind) in rows {
        if kind == kind_number(openclaw_core::memory::FactKind::Turn)
            && let Some(turn) = read::fact(conn, row)?
        {
            let fits = batch.turns.last().is_none_or(|before| {
                before.session == turn.session
                    && before.label.integrity == turn.label.integrity
                    && before.label.confidentiality == turn.label.confidentiality
            });
            bytes += turn.text.len();
            if !fits
                || batch.turns.len() >= MOST_TURNS
                || bytes > MOST_BYTES && !batch.turns.is_empty()
            {
                return Ok(Some(batch));
            }
            batch.turns.push(turn);
        }
        batch.last = doc(row);
    }
    if all {
        // What the scope gave numbers to since is gone or superseded.
        let last: i64 = conn
            .query_row("SELECT last FROM memory_scopes WHERE id = ?1", [scope_id], |row| row.get(0))
            .map_err(failed)?;
        batch.last = batch.last.max(doc(last));
    }
    Ok(Some(batch))
}

/// True if there are turns that were not looked at.
pub(super) fn is_behind(conn: &Connection) -> Result<bool> {
    conn.query_row(
        "SELECT EXISTS (SELECT 1 FROM memory_scopes WHERE extracted < last)",
        [],
        |row| row.get(0),
    )
    .map_err(failed)
}

/// How many tokens were used on a day.
pub(super) fn spent(conn: &Connection, day: i64) -> Result<u64> {
    let value = |name: &str| -> Result<i64> {
        let found = conn
            .query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0))
            .optional();
        Ok(found.map_err(failed)?.unwrap_or_default())
    };
    Ok(if value("facts_day")? == day { value("facts_tokens")?.unsigned_abs() } else { 0 })
}

/// Notes that facts were drawn from a batch, and what that used.
pub(super) fn passed(tx: &mut Tx<'_>, batch: &Batch, day: i64, used: u64) -> Result<()> {
    tx.execute(
        "UPDATE memory_scopes SET extracted = max(extracted, ?2) WHERE id = ?1",
        params![batch.scope_id, i64::from(batch.last)],
    )?;
    let tokens = spent(tx.conn, day)?.saturating_add(used);
    let tokens = i64::try_from(tokens).unwrap_or(i64::MAX);
    for (name, value) in [("facts_day", day), ("facts_tokens", tokens)] {
        tx.execute(
            "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2",
            params![name, value],
        )?;
    }
    Ok(())
}
