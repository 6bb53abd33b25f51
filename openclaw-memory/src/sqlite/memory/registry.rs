//! The indexes of the scopes that are in use, filled from the file and kept up with its commits.
//!
//! A scope's slot is there before its index is filled. From then on each commit leaves what it changed in the
//! slot's queue, in the order of commits; whoever searches next applies it. What was committed before the
//! slot was there is in the state that filling reads. To apply a change twice changes nothing.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use openclaw_core::{Result, memory::Scope};
use rusqlite::Connection;

use super::{
    fill::fill,
    rows,
    shelf::{Change, Generation, Shelf},
};
#[cfg(feature = "hnsw")]
use crate::index::Doc;

/// Changes that wait for a search at most; beyond them the index is filled anew when it is needed.
const MOST_WAITING: usize = 100_000;

#[derive(Default)]
pub(super) struct Registry {
    /// The file, for what is read beside.
    path: PathBuf,
    scopes: Mutex<HashMap<Scope, i64>>,
    slots: Mutex<HashMap<i64, Arc<Slot>>>,
    clock: AtomicU64,
    /// Most rows in all indexes together; those that were not used for the longest go first.
    most_rows: AtomicUsize,
    /// From how many vectors on a scope has a graph.
    #[cfg(feature = "hnsw")]
    graph_from: usize,
    #[cfg(feature = "hnsw")]
    graphs_wanted: Arc<tokio::sync::Notify>,
}

#[derive(Default)]
pub(super) struct Slot {
    waiting: Mutex<Waiting>,
    shelf: Mutex<Option<Shelf>>,
    used: AtomicU64,
    rows: AtomicUsize,
}

#[derive(Default)]
struct Waiting {
    changes: Vec<Change>,
    /// There were too many.
    overrun: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    pub(super) fn new(path: PathBuf, most_rows: usize, graph_from: usize) -> Self {
        let _ = graph_from;
        Self {
            path,
            most_rows: AtomicUsize::new(most_rows),
            #[cfg(feature = "hnsw")]
            graph_from,
            ..Self::default()
        }
    }

    /// Takes note of what was committed.
    pub(super) fn committed(&self, scope: i64, changes: Vec<Change>) {
        let Some(slot) = lock(&self.slots).get(&scope).map(Arc::clone) else { return };
        let mut waiting = lock(&slot.waiting);
        if waiting.changes.len() + changes.len() > MOST_WAITING {
            waiting.changes = Vec::new();
            waiting.overrun = true;
        } else if !waiting.overrun {
            waiting.changes.extend(changes);
        }
    }

    /// Drops every index, so that it is filled anew.
    pub(super) fn clear(&self) {
        let slots: Vec<Arc<Slot>> = lock(&self.slots).values().map(Arc::clone).collect();
        for slot in slots {
            lock(&slot.waiting).overrun = true;
        }
    }

    /// The number of a scope; `None` if nothing was ever remembered in it.
    pub(super) fn scope(&self, conn: &Connection, scope: &Scope) -> Result<Option<i64>> {
        if let Some(id) = lock(&self.scopes).get(scope) {
            return Ok(Some(*id));
        }
        let found = rows::find_scope(conn, scope)?;
        if let Some((id, _)) = found {
            lock(&self.scopes).insert(scope.clone(), id);
        }
        Ok(found.map(|(id, _)| id))
    }

    /// Does `work` with the index of a scope, as it is after all that was committed before the call.
    pub(super) fn with<T>(
        &self,
        conn: &Connection,
        scope: i64,
        generation: Option<&Generation>,
        work: impl FnOnce(&mut Shelf) -> Result<T>,
    ) -> Result<T> {
        let slot = Arc::clone(lock(&self.slots).entry(scope).or_default());
        slot.used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        let mut shelf = lock(&slot.shelf);
        let (changes, overrun) = {
            let mut waiting = lock(&slot.waiting);
            (std::mem::take(&mut waiting.changes), std::mem::take(&mut waiting.overrun))
        };
        let fill = || fill(conn, &self.path, scope, generation);
        let filled = match &mut *shelf {
            Some(shelf) if !overrun => {
                changes.into_iter().for_each(|change| shelf.apply(change));
                shelf
            }
            // Until it is filled there is none: a failure leaves none that is behind.
            place => {
                #[cfg(feature = "hnsw")]
                let graph = place.take().and_then(|before| before.vectors.graph);
                *place = None;
                let filled = place.insert(fill()?);
                #[cfg(feature = "hnsw")]
                filled.vectors.graph.clone_from(&graph);
                filled
            }
        };
        #[cfg(feature = "hnsw")]
        self.mind_the_graph(filled);
        slot.rows.store(filled.len(), Ordering::Relaxed);
        let result = work(filled);
        drop(shelf);
        self.make_room(scope);
        result
    }

    fn make_room(&self, used: i64) {
        let most = self.most_rows.load(Ordering::Relaxed);
        let mut slots = lock(&self.slots);
        let size = |slot: &Arc<Slot>| slot.rows.load(Ordering::Relaxed);
        while slots.values().map(size).sum::<usize>() > most {
            let oldest = slots.iter().filter(|(scope, _)| **scope != used);
            let oldest = oldest.min_by_key(|(_, slot)| slot.used.load(Ordering::Relaxed));
            let Some(scope) = oldest.map(|(scope, _)| *scope) else { break };
            slots.remove(&scope);
        }
    }

    /// Has a graph built or caught up where there are enough vectors for one.
    #[cfg(feature = "hnsw")]
    fn mind_the_graph(&self, shelf: &mut Shelf) {
        let vectors = &mut shelf.vectors;
        if vectors.scan.rows() < self.graph_from {
            vectors.graph = None;
            return;
        }
        // Looking for what is new or gone takes time: not at each search.
        let graph = match &vectors.graph {
            Some(graph) if !shelf.changed => Arc::clone(graph),
            graph => {
                let graph = super::graph::wanted(graph.as_ref(), &vectors.scan);
                graph.set_behind(true);
                graph
            }
        };
        shelf.changed = false;
        if graph.is_behind() {
            self.graphs_wanted.notify_one();
        }
        vectors.graph = Some(graph);
    }

    /// Told when a graph is behind.
    #[cfg(feature = "hnsw")]
    pub(super) fn graphs_wanted(&self) -> &Arc<tokio::sync::Notify> {
        &self.graphs_wanted
    }

    /// The scopes that are in use.
    #[cfg(feature = "hnsw")]
    pub(super) fn scopes(&self) -> Vec<i64> {
        lock(&self.slots).keys().copied().collect()
    }

    /// The graph of a scope, and rows that it does not hold, from a number on; `None` if it has none.
    #[cfg(feature = "hnsw")]
    pub(super) fn missing_in_graph(
        &self,
        scope: i64,
        from: Doc,
        most: usize,
    ) -> Option<(Arc<crate::index::Graph>, Vec<Doc>)> {
        let slot = lock(&self.slots).get(&scope).map(Arc::clone)?;
        let shelf = lock(&slot.shelf);
        let vectors = &shelf.as_ref()?.vectors;
        let graph = Arc::clone(vectors.graph.as_ref()?);
        let missing = graph.missing(&vectors.scan, from, most);
        if from == 0 && missing.is_empty() {
            graph.set_behind(false);
        }
        Some((graph, missing))
    }

    /// How many vectors all graphs hold.
    #[cfg(feature = "hnsw")]
    pub(super) fn in_graphs(&self) -> usize {
        let slots: Vec<Arc<Slot>> = lock(&self.slots).values().map(Arc::clone).collect();
        let graph = |slot: &Arc<Slot>| lock(&slot.shelf).as_ref()?.vectors.graph.clone();
        slots.iter().filter_map(graph).map(|graph| graph.len()).sum()
    }

    #[cfg(not(feature = "hnsw"))]
    pub(super) fn in_graphs(&self) -> usize {
        0
    }

    /// Rows and bytes of all indexes that are filled.
    pub(super) fn size(&self) -> (usize, usize) {
        let slots: Vec<Arc<Slot>> = lock(&self.slots).values().map(Arc::clone).collect();
        slots.iter().fold((0, 0), |(rows, bytes), slot| match &*lock(&slot.shelf) {
            Some(shelf) => (rows + shelf.len(), bytes + shelf.bytes()),
            None => (rows, bytes),
        })
    }
}
