//! Making what is derived anew from what was told.

use openclaw_core::Result;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Inner, read, rows, tallies};
use crate::{
    sqlite::{
        error::failed,
        writer::{Tx, write},
    },
    words::{self, Terms},
};

/// Rows that are looked at in one transaction.
const TOGETHER: u32 = 500;

/// Which words the stored terms are of.
pub(super) fn version(conn: &Connection) -> Result<Option<u32>> {
    conn.query_row("SELECT value FROM meta WHERE name = 'memory_words'", [], |row| row.get(0))
        .optional()
        .map_err(failed)
}

fn set_version(tx: &Tx<'_>) -> Result<()> {
    tx.execute(
        "INSERT INTO meta (name, value) VALUES ('memory_words', ?1)
         ON CONFLICT (name) DO UPDATE SET value = ?1",
        [words::VERSION],
    )?;
    Ok(())
}

/// Compares each row's index with the row, and puts right what differs; how many that were. A repair that is
/// cut off has put some of them right.
pub(super) async fn repair(inner: &Inner) -> Result<u64> {
    let mut after = 0;
    let mut repaired = 0;
    loop {
        let (next, count) = write(&inner.store.jobs, move |tx| some(tx, after)).await?;
        repaired += count;
        match next {
            Some(next) => after = next,
            None => break,
        }
    }
    repaired += write(&inner.store.jobs, |tx| {
        let mut count = 0;
        for sql in [
            "DELETE FROM memory_index WHERE id NOT IN (SELECT id FROM memories)",
            "DELETE FROM memory_vectors WHERE id NOT IN (SELECT id FROM memories)",
            // Without a whole vector it counts as one that needs one.
            "UPDATE memory_index SET coarse = NULL, generation = 0 WHERE coarse IS NOT NULL
             AND NOT EXISTS (SELECT 1 FROM memory_vectors v, memory_generations g
                 WHERE v.id = memory_index.id AND g.id = memory_index.generation
                 AND length(v.vector) = 4 * g.dimensions
                 AND length(memory_index.coarse) = 4 + g.dimensions)",
            "UPDATE memory_index SET generation = 0 WHERE coarse IS NULL
             AND id IN (SELECT id FROM memory_vectors)",
            "DELETE FROM memory_vectors WHERE id IN (SELECT id FROM memory_index WHERE coarse IS NULL)",
        ] {
            count += tx.execute(sql, [])? as u64;
        }
        tallies::settle(tx)?;
        tx.tallies.clear();
        tx.execute("DELETE FROM memory_usage", [])?;
        recount(tx)?;
        set_version(tx)?;
        Ok(count)
    })
    .await?;
    inner.registry.clear();
    inner.news.notify_one();
    Ok(repaired)
}

/// Puts right some rows from after an id; the last of them, and how many were wrong.
fn some(tx: &Tx<'_>, after: i64) -> Result<(Option<i64>, u64)> {
    let ids: Vec<i64> = {
        let mut statement =
            tx.prepare("SELECT id FROM memories WHERE id > ?1 ORDER BY id LIMIT ?2")?;
        let found =
            statement.query_map(params![after, TOGETHER], |row| row.get(0)).map_err(failed)?;
        found.collect::<rusqlite::Result<_>>().map_err(failed)?
    };
    let mut repaired = 0;
    for id in &ids {
        let Some(fact) = read::fact(tx.conn, *id)? else { continue };
        let terms = Terms::of(&fact.text).to_bytes();
        let wanted = rows::indexed(tx, *id, &fact)?;
        let right = tx
            .prepare(
                "SELECT 1 FROM memory_index WHERE id = ?1 AND flags = ?2 AND at = ?3 AND begins = ?4
                 AND ends = ?5 AND session = ?6 AND terms = ?7",
            )?
            .exists(params![id, wanted.flags, wanted.at, wanted.begins, wanted.ends, wanted.session, terms])
            .map_err(failed)?;
        if right {
            continue;
        }
        repaired += 1;
        tx.execute(
            "INSERT INTO memory_index (id, flags, at, begins, ends, session, drawn_from, terms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?8, ?7)
             ON CONFLICT (id) DO UPDATE SET flags = ?2, at = ?3, begins = ?4, ends = ?5, session = ?6,
             terms = ?7, drawn_from = ?8",
            params![
                id,
                wanted.flags,
                wanted.at,
                wanted.begins,
                wanted.ends,
                wanted.session,
                terms,
                wanted.drawn_from
            ],
        )?;
    }
    Ok((ids.last().copied(), repaired))
}

fn recount(tx: &Tx<'_>) -> Result<()> {
    let mut statement =
        tx.prepare("SELECT scope, label, count(*), sum(length(CAST(text AS BLOB))) FROM memories GROUP BY scope, label")?;
    let mut found = statement.query([]).map_err(failed)?;
    while let Some(row) = found.next().map_err(failed)? {
        let label: String = row.get(1).map_err(failed)?;
        let (scope, rows, bytes): (i64, i64, i64) =
            (row.get(0).map_err(failed)?, row.get(2).map_err(failed)?, row.get(3).map_err(failed)?);
        tx.execute(
            "INSERT INTO memory_usage (scope, source, rows, bytes) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (scope, source) DO UPDATE SET rows = rows + ?3, bytes = bytes + ?4",
            params![scope, tallies::sources(&label)?, rows, bytes],
        )?;
    }
    Ok(())
}

/// Brings stored terms up to the words that this program knows, if it has to.
pub(super) async fn bring_up(inner: &Inner) -> Result<()> {
    let found = inner.readers.read(version).await?;
    if found == Some(words::VERSION) {
        return Ok(());
    }
    let rows = inner
        .readers
        .read(|conn| {
            conn.query_row("SELECT EXISTS (SELECT 1 FROM memories)", [], |row| {
                row.get::<_, bool>(0)
            })
            .map_err(failed)
        })
        .await?;
    if rows {
        tracing::info!(
            "the words of all memories are worked out anew, since this version knows others"
        );
        repair(inner).await.map(|_| ())
    } else {
        write(&inner.store.jobs, |tx| set_version(tx)).await
    }
}
