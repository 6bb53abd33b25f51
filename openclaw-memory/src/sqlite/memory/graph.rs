//! Graphs of neighbours for scopes that have very many vectors, kept up beside from what the file holds.

use std::sync::{Arc, Weak};

use openclaw_core::{ErrorKind, Result, error::ResultExt as _};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Inner, rows::id};
use crate::{
    index::{Coarse, Doc, Graph},
    sqlite::error::failed,
};

/// Rows that are read together.
const TOGETHER: usize = 512;
/// Vectors that are added before searches have a chance to use the graph.
const AT_ONCE: usize = 8;

/// Adds to graphs what they do not hold, whenever a search finds that there is some, as long as the memory is open.
pub(super) async fn work(memory: Weak<Inner>) {
    loop {
        let Some(inner) = memory.upgrade().filter(|inner| !inner.is_closed()) else { return };
        let news = Arc::clone(inner.registry.graphs_wanted());
        // First: news that come while rows are read must count.
        let waiting = news.notified();
        for scope in inner.registry.scopes() {
            if let Err(error) = catch_up(&memory, scope).await {
                tracing::warn!(%error, scope, "the graph of a scope is behind; its vectors are looked at one by one");
            }
        }
        drop(inner);
        waiting.await;
    }
}

/// Brings the graph of a scope up to all of its vectors.
async fn catch_up(memory: &Weak<Inner>, scope: i64) -> Result<()> {
    let mut from = 0;
    loop {
        let Some(inner) = memory.upgrade().filter(|inner| !inner.is_closed()) else {
            return Ok(());
        };
        let Some(generation) = inner.generation.clone() else {
            return Ok(());
        };
        let Some((graph, missing)) = inner.registry.missing_in_graph(scope, from, TOGETHER) else {
            return Ok(());
        };
        let Some(last) = missing.last() else {
            // Once more from the start: some may have come behind it.
            if std::mem::take(&mut from) == 0 {
                return Ok(());
            }
            continue;
        };
        from = last + 1;
        let (of, dimensions) = (generation.id, generation.rotation.dimensions());
        let read = move |conn: &Connection| vectors(conn, scope, of, dimensions, &missing);
        let vectors = inner.readers.read(read).await?;
        drop(inner);
        tokio::task::spawn_blocking(move || {
            vectors.chunks(AT_ONCE).for_each(|some| graph.add(some))
        })
        .await
        .kind(ErrorKind::Internal)?;
    }
}

/// The vectors of rows, of those that have one of this generation.
fn vectors(
    conn: &Connection,
    scope: i64,
    generation: i64,
    dimensions: usize,
    docs: &[Doc],
) -> Result<Vec<(Doc, Coarse)>> {
    let mut find = conn
        .prepare_cached("SELECT coarse FROM memory_index WHERE id = ?1 AND generation = ?2")
        .map_err(failed)?;
    let mut found = Vec::with_capacity(docs.len());
    for doc in docs {
        let bytes: Option<Option<Vec<u8>>> = find
            .query_row(params![id(scope, *doc), generation], |row| row.get(0))
            .optional()
            .map_err(failed)?;
        let vector = bytes.flatten().and_then(|bytes| Coarse::read(&bytes, dimensions));
        found.extend(vector.map(|vector| (*doc, vector)));
    }
    Ok(found)
}

/// The graph that a scope of so many vectors is to have; a new one in place of one that is worn.
pub(super) fn wanted(graph: Option<&Arc<Graph>>, scan: &crate::index::Scan) -> Arc<Graph> {
    match graph {
        Some(graph) if !graph.is_worn(scan) => Arc::clone(graph),
        _ => Arc::new(Graph::new(scan.rows())),
    }
}
