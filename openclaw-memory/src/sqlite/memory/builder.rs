//! How a memory is opened.

use std::sync::{Arc, PoisonError, atomic::AtomicBool};

use openclaw_core::{Error, ErrorKind, Result, provider::Embedder};
use tokio::sync::{Notify, watch};

#[cfg(feature = "hnsw")]
use super::graph;
use super::{
    Beside, Extraction, Inner, Progress, SqliteMemory, embedding, extract, forget,
    registry::Registry, repair,
};
use crate::sqlite::{Sqlite, blocking, readers::Readers};

/// How much meaning counts beside words unless it is said otherwise.
pub const DEFAULT_WEIGHT: f32 = 0.3;
/// How many memories are held ready for searching unless it is said otherwise.
pub const DEFAULT_READY: usize = 2_000_000;
/// From how many vectors of one scope on a graph of neighbours is built, unless it is said otherwise: below, looking at
/// each is as quick, and exact.
pub const DEFAULT_GRAPH_FROM: usize = 500_000;
/// How to open a [`SqliteMemory`].
#[derive(Clone)]
#[must_use]
pub struct MemoryBuilder {
    store: Sqlite,
    embedder: Option<Arc<dyn Embedder>>,
    weight: f32,
    most_of_source: Option<u64>,
    ready: usize,
    graph_from: usize,
    readers: usize,
    extraction: Option<Extraction>,
}

impl MemoryBuilder {
    /// Finds by meaning too, as this embedder sees it. Memories that have vectors of another embedder get
    /// new ones in the background.
    pub fn embedder(mut self, embedder: Arc<dyn Embedder>) -> Self {
        self.embedder = Some(embedder);
        self
    }

    /// How much meaning counts beside words: 0 (not at all) to 1 (alone); [`DEFAULT_WEIGHT`] unless said
    /// otherwise. Where the embedder knows little of a query it counts less.
    pub fn weight(mut self, weight: f32) -> Self {
        self.weight = weight;
        self
    }

    /// Refuses with [`ErrorKind::Exhausted`] what would bring the texts of one source in one scope above
    /// this.
    pub fn max_source_bytes(mut self, bytes: u64) -> Self {
        self.most_of_source = Some(bytes);
        self
    }

    /// How many memories of all scopes are held ready for searching; of those beyond it the scopes that were
    /// not asked for the longest are read again when they are.
    pub fn ready(mut self, memories: usize) -> Self {
        self.ready = memories;
        self
    }

    /// From how many vectors of one scope on a graph of neighbours leads searches by meaning;
    /// [`DEFAULT_GRAPH_FROM`] unless said otherwise. It is built beside, again after each start, while all vectors are
    /// looked at, takes some 2 KB a memory, and finds nearly what they find. Only with the feature `hnsw`; without it
    /// there is none.
    pub fn graph_from(mut self, vectors: usize) -> Self {
        self.graph_from = vectors;
        self
    }

    /// Draws facts from what was said, by a model, in the background: whoever looks for a fact finds the turns that say
    /// it. Without it, turns are found by their own words and meaning.
    pub fn extraction(mut self, extraction: Extraction) -> Self {
        self.extraction = Some(extraction);
        self
    }

    /// How many searches are made at once; 2 unless said otherwise.
    pub fn searches(mut self, threads: usize) -> Self {
        self.readers = threads.max(1);
        self
    }

    /// Opens the memory. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if it is open already, clones aside;
    /// [`ErrorKind::InvalidConfig`] if the weight is not from 0 to 1 or the embedder's vectors have an impossible
    /// length; or the file cannot be read.
    pub async fn open(self) -> Result<SqliteMemory> {
        if !(0.0..=1.0).contains(&self.weight) {
            return Err(Error::config(format!(
                "the weight of meaning is {}; expected 0 to 1",
                self.weight
            )));
        }
        let store = Arc::clone(&self.store.0);
        let generation = match &self.embedder {
            Some(embedder) => Some(embedding::begin(&store, embedder).await?),
            None => None,
        };
        let (path, readers) = (store.path.clone(), self.readers);
        let registry = Registry::new(path.clone(), self.ready, self.graph_from);
        let readers = blocking(move || Readers::start(&path, readers)).await?;
        let inner = Arc::new(Inner {
            clock: Arc::clone(&store.clock),
            store,
            readers,
            registry: Arc::new(registry),
            embedder: self.embedder,
            generation,
            weight: self.weight,
            most_of_source: self.most_of_source,
            news: Arc::new(Notify::new()),
            told: Arc::default(),
            progress: watch::channel(Progress::Working).0,
            forgetting: Beside::new(),
            extraction: self.extraction,
            extracting: Beside::new(),
            closed: AtomicBool::new(false),
        });
        {
            // Each keeps its own indexes up with its own commits alone.
            let mut open = self.store.0.memory.lock().unwrap_or_else(PoisonError::into_inner);
            if open.upgrade().is_some_and(|other| !other.is_closed()) {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    "the memory of this file is open already; use a clone of it",
                ));
            }
            *open = Arc::downgrade(&inner);
        }
        repair::bring_up(&inner).await?;
        tokio::spawn(forget::work(Arc::downgrade(&inner)));
        #[cfg(feature = "hnsw")]
        tokio::spawn(graph::work(Arc::downgrade(&inner)));
        if inner.extraction.is_some() {
            tokio::spawn(extract::work(Arc::downgrade(&inner)));
        } else {
            inner.extracting.progress.send_replace(Progress::Idle);
        }
        if inner.embedder.is_some() {
            tokio::spawn(embedding::work(Arc::downgrade(&inner)));
        } else {
            inner.progress.send_replace(Progress::Idle);
        }
        Ok(SqliteMemory(inner))
    }
}

impl Sqlite {
    /// How to open the memory in this file; there is one, of which clones are made.
    pub fn memory(&self) -> MemoryBuilder {
        MemoryBuilder {
            store: self.clone(),
            embedder: None,
            weight: DEFAULT_WEIGHT,
            most_of_source: None,
            ready: DEFAULT_READY,
            graph_from: DEFAULT_GRAPH_FROM,
            readers: 2,
            extraction: None,
        }
    }
}
