//! Filling the index of a scope from the file.

use std::{path::Path, thread};

use openclaw_core::{Error, Result};
use rusqlite::Connection;

use super::{
    rows::{doc, docs_from_bytes, id},
    shelf::{Filled, Flags, Generation, Row, Shelf},
};
use crate::{
    index::{Block, Doc, Loading, Scan},
    sqlite::{
        error::{failed, unreadable},
        open,
    },
    words::Terms,
};

/// From so many rows on two threads read a half each.
const MANY: Doc = 20_000;

/// What is read of rows that lie side by side.
pub(super) struct Part {
    /// The first number that it may hold, a multiple of 64.
    pub(super) from: Doc,
    pub(super) rows: Vec<Filled>,
    pub(super) words: Vec<Block>,
    /// How many words each row has.
    pub(super) lengths: Vec<(Doc, u16)>,
    /// With numbers from nought on.
    pub(super) vectors: Scan,
}

/// Reads the index of a scope. What changes meanwhile waits in the scope's queue, so the parts need not be of one
/// moment.
pub(super) fn fill(
    conn: &Connection,
    path: &Path,
    scope: i64,
    generation: Option<&Generation>,
) -> Result<Shelf> {
    let last: i64 = conn
        .prepare_cached("SELECT coalesce(max(id), ?1) FROM memory_index WHERE id BETWEEN ?1 AND ?2")
        .and_then(|mut statement| {
            statement.query_row([id(scope, 0), id(scope, Doc::MAX)], |row| row.get(0))
        })
        .map_err(failed)?;
    let last = doc(last);
    if last < MANY {
        return Ok(Shelf::filled([part(conn, scope, 0, last, generation)?]));
    }
    let middle = last / 128 * 64;
    let parts = thread::scope(|threads| {
        let second = || part(&open::reader(path)?, scope, middle, last, generation);
        let second = threads.spawn(second);
        let first = part(conn, scope, 0, middle - 1, generation);
        let second = second.join().map_err(|_| Error::internal("filling an index panicked"))?;
        Ok::<_, Error>([first?, second?])
    })?;
    Ok(Shelf::filled(parts))
}

/// Reads the rows with numbers from `from` to `last`.
fn part(
    conn: &Connection,
    scope: i64,
    from: Doc,
    last: Doc,
    generation: Option<&Generation>,
) -> Result<Part> {
    let count = (last - from) as usize + 1;
    let dimensions = generation.map_or(0, |generation| generation.rotation.dimensions());
    let mut rows = Vec::with_capacity(count);
    let mut words = Loading::with_capacity(count);
    let mut vectors = Scan::new(dimensions);
    if dimensions > 0 {
        vectors.reserve(count);
    }
    let mut statement = conn
        .prepare_cached(
            "SELECT id, flags, at, begins, ends, session, drawn_from, terms, generation, coarse
             FROM memory_index WHERE id BETWEEN ?1 AND ?2 ORDER BY id",
        )
        .map_err(failed)?;
    let mut found = statement.query([id(scope, from), id(scope, last)]).map_err(failed)?;
    let mut damaged = 0_u64;
    while let Some(row) = found.next().map_err(failed)? {
        let doc = doc(row.get(0).map_err(failed)?);
        let terms = row.get_ref(7).map_err(failed)?.as_blob();
        let terms = terms.map_err(|e| unreadable("list of terms", e))?;
        words.row(doc);
        let length = Terms::read(terms, |term, count| words.posting(term, count));
        // Damage of what is derived costs what is derived.
        let length = length.unwrap_or_else(|| {
            damaged += 1;
            0
        });
        words.length(length);
        let drawn_from = row.get_ref(6).map_err(failed)?.as_blob_or_null().unwrap_or_default();
        rows.push(Filled {
            doc,
            row: Row {
                at: row.get(2).map_err(failed)?,
                begins: row.get(3).map_err(failed)?,
                ends: row.get(4).map_err(failed)?,
            },
            flags: Flags(row.get(1).map_err(failed)?),
            session: row.get(5).map_err(failed)?,
            drawn_from: drawn_from.map(docs_from_bytes).unwrap_or_default(),
        });
        let Some(generation) = generation else { continue };
        if row.get::<_, i64>(8).map_err(failed)? == generation.id
            && let Ok(Some(coarse)) = row.get_ref(9).map_err(failed)?.as_blob_or_null()
            && !vectors.set_bytes(doc - from, coarse)
        {
            damaged += 1;
        }
    }
    if damaged > 0 {
        tracing::error!(
            scope,
            damaged,
            "memories cannot be found as they should: what was derived of them is damaged; repair the memory"
        );
    }
    let (words, lengths) = words.blocks();
    Ok(Part { from, rows, words, lengths, vectors })
}
