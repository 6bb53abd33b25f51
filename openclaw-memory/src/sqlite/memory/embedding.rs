//! Vectors, made beside: a row is found by its words as soon as it is remembered, by its meaning soon after.
//!
//! Which rows still need a vector stands in the file, so work that was cut off goes on where it was. Another
//! embedder is another generation: its vectors replace the others row by row, and a row that has none of
//! the current one counts by its words alone.
//!
//! What is told goes before: while very much is told, vectors wait, up to a bound.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use openclaw_core::{
    Error, ErrorKind, Result,
    provider::{CallContext, Embedder},
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    Inner, Progress,
    rows::doc,
    shelf::{Change, Generation},
};
use crate::{
    index::{Coarse, Rotation},
    sqlite::{
        error::failed,
        writer::{Tx, write, write_then},
    },
};

/// Texts that are embedded together.
const TOGETHER: u32 = 64;
/// Of a longer text, so many bytes are embedded: models read no more.
const MOST_TEXT: usize = 8_192;
/// While more is told in such a time, vectors wait, unless so many do.
const BUSY: u64 = 10;
const BUSY_IN: Duration = Duration::from_millis(10);
const MOST_BEHIND: u64 = 50_000;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The beginning of a text, as much as is embedded.
pub(super) fn beginning(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MOST_TEXT)).unwrap_or(text)
}

/// The number of the embedder's generation; a new one if it was not here before.
pub(super) fn generation(tx: &Tx<'_>, embedder: &dyn Embedder) -> Result<i64> {
    let dimensions = i64::try_from(embedder.dimensions()).unwrap_or(i64::MAX);
    let name = params![embedder.id().as_str(), embedder.model().as_str(), dimensions];
    tx.execute(
        "INSERT INTO memory_generations (embedder, model, dimensions) VALUES (?1, ?2, ?3)
         ON CONFLICT DO NOTHING",
        name,
    )?;
    tx.prepare(
        "SELECT id FROM memory_generations WHERE embedder = ?1 AND model = ?2 AND dimensions = ?3",
    )?
    .query_row(name, |row| row.get(0))
    .map_err(failed)
}

/// Rows that have no vector of this generation, from the lowest id on.
fn pending(conn: &Connection, generation: i64) -> Result<Vec<(i64, String)>> {
    let mut found = Vec::new();
    for range in ["generation < ?1", "generation > ?1"] {
        let sql = format!(
            "SELECT id, text FROM memories WHERE id IN (SELECT id FROM memory_index
             INDEXED BY memory_index_generation WHERE {range} LIMIT ?2)"
        );
        let mut statement = conn.prepare_cached(&sql).map_err(failed)?;
        let rows = statement
            .query_map(params![generation, TOGETHER], |row| Ok((row.get(0)?, row.get(1)?)))
            .map_err(failed)?;
        for row in rows {
            found.push(row.map_err(failed)?);
        }
        if !found.is_empty() {
            break;
        }
    }
    Ok(found)
}

/// How many rows have no vector of this generation.
pub(super) fn count_pending(conn: &Connection, generation: i64) -> Result<u64> {
    let count: i64 = conn
        .prepare_cached(
            "SELECT (SELECT count(*) FROM memory_index WHERE generation < ?1)
                  + (SELECT count(*) FROM memory_index WHERE generation > ?1)",
        )
        .and_then(|mut statement| statement.query_row([generation], |row| row.get(0)))
        .map_err(failed)?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// A vector as it is stored; neither if it is none that can be compared.
struct Made {
    id: i64,
    vector: Option<(Vec<u8>, Arc<Coarse>)>,
}

fn made(id: i64, vector: &[f32], rotation: &Rotation) -> Made {
    let coarse = Coarse::of(vector, rotation);
    let vector = coarse.map(|coarse| {
        let bytes = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
        (bytes, Arc::new(coarse))
    });
    Made { id, vector }
}

/// Stores vectors of rows that are still there.
fn keep(tx: &Tx<'_>, generation: i64, all: &[Made]) -> Result<Vec<(i64, Change)>> {
    let mut changes = Vec::with_capacity(all.len());
    for Made { id, vector } in all {
        let coarse = vector.as_ref().map(|(_, coarse)| coarse.to_bytes());
        let there = tx.execute(
            "UPDATE memory_index SET generation = ?2, coarse = ?3 WHERE id = ?1",
            params![id, generation, coarse],
        )?;
        if there == 0 {
            continue;
        }
        match vector {
            Some((bytes, coarse)) => {
                tx.execute(
                    "INSERT INTO memory_vectors (id, vector) VALUES (?1, ?2)
                     ON CONFLICT (id) DO UPDATE SET vector = ?2",
                    params![id, bytes],
                )?;
                let vector = Arc::clone(coarse);
                changes.push((id >> 32, Change::Embedded { doc: doc(*id), vector }));
            }
            None => {
                tx.execute("DELETE FROM memory_vectors WHERE id = ?1", [id])?;
            }
        }
    }
    Ok(changes)
}

/// Embeds what has no vector, whenever there is something, as long as the memory is open.
pub(super) async fn work(memory: Weak<Inner>) {
    let mut pause = FIRST_PAUSE;
    let mut way = Way::default();
    loop {
        if way.is_busy(&memory) {
            tokio::time::sleep(BUSY_IN).await;
            continue;
        }
        let Some(inner) = memory.upgrade().filter(|inner| !inner.is_closed()) else { return };
        let news = Arc::clone(&inner.news);
        // First: news that come while the rows are read must count.
        let waiting = news.notified();
        let step = step(&inner).await;
        match step {
            Ok(0) => {
                inner.progress.send_replace(Progress::Idle);
                drop(inner);
                waiting.await;
            }
            Ok(made) => {
                pause = FIRST_PAUSE;
                way.made += made as u64;
            }
            Err(error) if inner.is_closed() => {
                tracing::debug!(%error, "the memory was closed");
                inner.progress.send_replace(Progress::Failing);
                return;
            }
            Err(error) => {
                tracing::warn!(%error, ?pause, "memories could not be embedded; they are found by their words");
                inner.progress.send_replace(Progress::Failing);
                drop(inner);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// When embedding gives way to what is told.
#[derive(Default)]
struct Way {
    /// What was told when it was looked last.
    told: u64,
    /// Vectors that were made.
    made: u64,
}

impl Way {
    fn is_busy(&mut self, memory: &Weak<Inner>) -> bool {
        let Some(inner) = memory.upgrade() else { return false };
        let told = inner.told.load(Ordering::Relaxed);
        let news = told - std::mem::replace(&mut self.told, told);
        news > BUSY && told.saturating_sub(self.made) < MOST_BEHIND
    }
}

/// Embeds some rows; how many.
async fn step(inner: &Arc<Inner>) -> Result<usize> {
    let Some((embedder, generation)) = inner.embedder.as_ref().zip(inner.generation.clone()) else {
        return Ok(0);
    };
    let id = generation.id;
    let found = inner.readers.read(move |conn| pending(conn, id)).await?;
    if found.is_empty() {
        return Ok(0);
    }
    let texts: Vec<&str> = found.iter().map(|(_, text)| beginning(text)).collect();
    let vectors = embedder.embed(&CallContext::new(), &texts).await?;
    if vectors.len() != texts.len() {
        return Err(Error::new(
            ErrorKind::InvalidData,
            format!(
                "the embedder {} gave {} vectors for {} texts",
                embedder.id(),
                vectors.len(),
                texts.len()
            ),
        ));
    }
    let rotation = &generation.rotation;
    let all: Vec<Made> =
        found.iter().zip(&vectors).map(|((id, _), vector)| made(*id, vector, rotation)).collect();
    let bad = vectors.iter().filter(|vector| {
        vector.len() != rotation.dimensions() || !vector.iter().all(|value| value.is_finite())
    });
    let bad = bad.count();
    if bad > 0 {
        tracing::warn!(embedder = %embedder.id(), bad, "an embedder gave what is no vector of its length; the texts are found by their words");
    }
    let count = all.len();
    let weak = Arc::downgrade(inner);
    write_then(
        &inner.store.jobs,
        move |tx| keep(tx, id, &all),
        move |changes| {
            let Some(inner) = weak.upgrade() else { return };
            for (scope, change) in std::mem::take(changes) {
                inner.registry.committed(scope, vec![change]);
            }
        },
    )
    .await?;
    Ok(count)
}

/// What the stored vectors belong to from now on.
pub(super) async fn begin(
    store: &crate::sqlite::Shared,
    embedder: &Arc<dyn Embedder>,
) -> Result<Generation> {
    if embedder.dimensions() == 0 || embedder.dimensions() > 65_536 {
        return Err(Error::config(format!(
            "the embedder {} says that its vectors have {} values; expected 1 to 65,536",
            embedder.id(),
            embedder.dimensions()
        )));
    }
    let asked = Arc::clone(embedder);
    let id = write(&store.jobs, move |tx| generation(tx, asked.as_ref())).await?;
    Ok(Generation { id, rotation: Rotation::new(embedder.dimensions()) })
}

/// The embedder's name and model that a generation has.
pub(super) fn described(conn: &Connection, generation: i64) -> Result<Option<String>> {
    conn.prepare_cached("SELECT embedder || '/' || model FROM memory_generations WHERE id = ?1")
        .and_then(|mut statement| statement.query_row([generation], |row| row.get(0)).optional())
        .map_err(failed)
}
