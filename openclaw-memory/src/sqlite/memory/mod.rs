//! A memory in the store's own file.

mod builder;
mod embedding;
mod extract;
mod fill;
mod forget;
#[cfg(feature = "hnsw")]
mod graph;
mod read;
mod recall;
mod registry;
mod repair;
mod rows;
mod shelf;
pub(super) mod tallies;
mod transfer;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use openclaw_core::{
    Error, ErrorKind, Result, async_trait,
    memory::{Fact, Forget, Memory, Page, Query, Recalled, Scope},
    provider::{CallContext, Embedder},
    time::Clock,
};
use tokio::sync::{Notify, watch};

use super::{Shared, blocking, readers::Readers, writer::write_then};
use crate::index::Coarse;
use recall::{Asked, Meaning};
use registry::Registry;
use rows::{Prepared, Told};
use shelf::Generation;

pub use builder::{DEFAULT_GRAPH_FROM, DEFAULT_READY, DEFAULT_WEIGHT, MemoryBuilder};
pub use extract::{DEFAULT_TOKENS_A_DAY, Extraction};
pub use transfer::{TransferProgress, TransferStep};

/// The longest text of a memory, in bytes; of longer ones remember pieces.
pub const MAX_TEXT_BYTES: usize = 4 * 1024 * 1024;
/// From so many bytes of text on, a batch is prepared on a thread of its own.
const LARGE_BATCH: usize = 64 * 1024;

/// A [`Memory`] in the file of a [`Sqlite`](crate::sqlite::Sqlite) store.
///
/// - **Durable.** What `remember` returned for was flushed to the disk.
/// - **Words and meaning.** A memory is found by its words as soon as it is remembered, in any script; with
///   an [`Embedder`] also by its meaning, soon after. [`settled`](Self::settled) waits for that.
/// - **Nothing is overwritten.** What an id meant before is found by queries as of then, and listed by
///   [`versions`](Self::versions).
/// - **One index a scope**, filled from the file when the scope is first asked, and kept up with each commit.
///   A large scope takes nothing from a small one.
/// - **Forgetting** takes rows, words and vectors away at once, with the facts that were drawn from them. A job that
///   outlives the process then takes the texts, also where they are quoted, out of the store: logs, inputs, dead
///   letters, outgoing messages, records and blobs. Envelopes stay, and
///   [`FORGOTTEN`](openclaw_core::memory::FORGOTTEN) where a text was. After [`forgotten`](Self::forgotten) no file has
///   them any more, nor a backup made from then on; older backups are not touched. A text of fewer than 16 bytes goes
///   only where it is the whole of what was said.
///
/// Clones share everything. It ends with the store, or when the last clone is gone.
///
/// ```
/// use openclaw_core::{label::Label, memory::{Fact, Memory as _, Query, Scope}, time::Timestamp};
/// use openclaw_memory::sqlite::Sqlite;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> openclaw_core::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// let store = Sqlite::open(folder.path().join("assistant.db")).await?;
/// let memory = store.memory().open().await?;
/// let scope = Scope::agent("main");
/// let fact = |text: &str, at| Fact::new("city", text, Label::user("owner"), Timestamp(at));
/// memory.remember(&scope, vec![fact("Ada lives in Paris", 1_000)]).await?;
/// memory.remember(&scope, vec![fact("Ada lives in Rome", 2_000)]).await?;
///
/// let now = memory.recall(&scope, &Query::new("Where does Ada live?", 5)).await?;
/// assert_eq!(now[0].fact.text, "Ada lives in Rome");
/// let then = Query::new("Where does Ada live?", 5).as_of(Timestamp(1_500));
/// assert_eq!(memory.recall(&scope, &then).await?[0].fact.text, "Ada lives in Paris");
/// # store.close().await
/// # }
/// ```
#[derive(Clone)]
pub struct SqliteMemory(Arc<Inner>);

pub(super) struct Inner {
    store: Arc<Shared>,
    readers: Readers,
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
    embedder: Option<Arc<dyn Embedder>>,
    generation: Option<Generation>,
    weight: f32,
    most_of_source: Option<u64>,
    /// There is something to embed.
    news: Arc<Notify>,
    /// How many memories were told since it was opened.
    told: Arc<AtomicU64>,
    progress: watch::Sender<Progress>,
    forgetting: Beside,
    extraction: Option<Extraction>,
    extracting: Beside,
    closed: AtomicBool,
}

/// Work that is done beside: how it is told that there is some, and how it goes.
struct Beside {
    news: Arc<Notify>,
    progress: watch::Sender<Progress>,
}

impl Beside {
    fn new() -> Self {
        Self { news: Arc::new(Notify::new()), progress: watch::channel(Progress::Working).0 }
    }
}

/// How embedding goes, or forgetting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Working,
    /// Nothing was left when it was looked last.
    Idle,
    /// It is tried again after a while.
    Failing,
}

impl Inner {
    /// Ends what works for it: the file is closed.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.readers.stop();
        self.news.notify_one();
        self.forgetting.news.notify_one();
        self.extracting.news.notify_one();
        #[cfg(feature = "hnsw")]
        self.registry.graphs_wanted().notify_one();
    }

    /// Waits until its connections are closed; blocks.
    pub(super) fn join(&self) {
        self.readers.join();
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

/// What a memory holds and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryStatus {
    /// Memories that have no vector of the embedder yet.
    pub pending: u64,
    /// The embedder and its model; `None` without one.
    pub embedder: Option<String>,
    /// Forgettings of which something may still be in a file.
    pub forgetting: u64,
    /// Memories that are held ready for searching.
    pub ready: usize,
    /// How many bytes that takes, without graphs.
    pub ready_bytes: usize,
    /// Vectors that graphs of neighbours hold; 0 without the feature `hnsw`.
    pub in_graphs: usize,
}

impl SqliteMemory {
    /// Waits until every memory has its vector, or the embedder failed: then it is tried again later. Cancel
    /// safe.
    pub async fn settled(&self) {
        let mut progress = self.0.progress.subscribe();
        loop {
            // An error would mean that the sender is gone, but it is in `self`.
            let found = progress.wait_for(|progress| *progress != Progress::Working).await;
            let failing = !found.is_ok_and(|found| *found == Progress::Idle);
            let Some(generation) = self.0.generation.as_ref().filter(|_| !failing) else { return };
            let id = generation.id;
            let left = self.0.readers.read(move |conn| embedding::count_pending(conn, id)).await;
            if !left.is_ok_and(|left| left > 0) {
                return;
            }
            // It was idle before the last commit.
            tokio::task::yield_now().await;
        }
    }

    /// Waits until nothing of what was forgotten is in any file: the database, the log beside it, blobs, and
    /// backups made from then on. A session that is at work is waited for. Cancel safe; the work goes on without
    /// it, also after a restart.
    ///
    /// # Errors
    /// The storage failed; it is tried again later.
    pub async fn forgotten(&self) -> Result<()> {
        let mut progress = self.0.forgetting.progress.subscribe();
        loop {
            if self.0.readers.read(forget::left).await? == 0 {
                return Ok(());
            }
            // An error would mean that the sender is gone, but it is in `self`.
            let found = progress.wait_for(|progress| *progress != Progress::Working).await;
            if found.is_ok_and(|found| *found == Progress::Failing) {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    "what was forgotten is not gone from all places yet; it is tried again",
                ));
            }
            tokio::task::yield_now().await;
        }
    }

    /// All that an id meant, oldest first; the last is what it means now.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn versions(&self, scope: &Scope, id: &str) -> Result<Vec<Fact>> {
        let (scope, id) = (scope.clone(), id.to_owned());
        let registry = Arc::clone(&self.0.registry);
        let read = self.0.readers.read(move |conn| match registry.scope(conn, &scope)? {
            Some(scope) => read::versions(conn, scope, &id),
            None => Ok(Vec::new()),
        });
        read.await
    }

    /// Makes what is derived anew where it does not fit what was told: words, times, counts. Vectors that are
    /// missing are made again in the background. Returns how many memories were put right. What was told is
    /// never changed. [`Sqlite::doctor`](crate::sqlite::Sqlite::doctor) says whether there is something to repair.
    ///
    /// # Errors
    /// The storage failed; some may have been put right.
    pub async fn repair(&self) -> Result<u64> {
        repair::repair(&self.0).await
    }

    /// What it holds and how far it is.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn status(&self) -> Result<MemoryStatus> {
        let generation = self.0.generation.as_ref().map(|generation| generation.id);
        let read = self.0.readers.read(move |conn| {
            let forgetting = forget::left(conn)?;
            Ok(match generation {
                Some(id) => (
                    embedding::count_pending(conn, id)?,
                    embedding::described(conn, id)?,
                    forgetting,
                ),
                None => (0, None, forgetting),
            })
        });
        let (pending, embedder, forgetting) = read.await?;
        let (ready, ready_bytes) = self.0.registry.size();
        let in_graphs = self.0.registry.in_graphs();
        Ok(MemoryStatus { pending, embedder, forgetting, ready, ready_bytes, in_graphs })
    }

    async fn store(&self, scope: &Scope, facts: Vec<Fact>, told: Told) -> Result<()> {
        if facts.is_empty() {
            return Ok(());
        }
        let facts = Self::prepare(facts).await?;
        let count = facts.len() as u64;
        let scope = scope.clone();
        let (registry, news) = (Arc::clone(&self.0.registry), Arc::clone(&self.0.news));
        let all_told = Arc::clone(&self.0.told);
        let progress = self.0.embedder.as_ref().map(|_| self.0.progress.clone());
        let extracting = &self.0.extracting;
        let extracting = self
            .0
            .extraction
            .as_ref()
            .map(|_| (Arc::clone(&extracting.news), extracting.progress.clone()));
        let done = write_then(
            &self.0.store.jobs,
            move |tx| rows::store(tx, &scope, &facts, told),
            move |(scope, changes)| {
                registry.committed(*scope, std::mem::take(changes));
                all_told.fetch_add(count, Ordering::Relaxed);
                if let Some(progress) = progress {
                    progress.send_replace(Progress::Working);
                    news.notify_one();
                }
                if let Some((news, progress)) = extracting {
                    progress.send_replace(Progress::Working);
                    news.notify_one();
                }
            },
        );
        done.await.map(|_| ())
    }

    async fn prepare(facts: Vec<Fact>) -> Result<Vec<Prepared>> {
        for fact in &facts {
            if fact.text.len() > MAX_TEXT_BYTES {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!(
                        "the text of {:?} has {} bytes, a memory has at most {MAX_TEXT_BYTES}; remember pieces of it",
                        fact.id,
                        fact.text.len()
                    ),
                ));
            }
        }
        let bytes: usize = facts.iter().map(|fact| fact.text.len()).sum();
        let work = || facts.into_iter().map(Prepared::new).collect();
        if bytes < LARGE_BATCH { work() } else { blocking(work).await }
    }

    /// The query's vector and its weight; `None` if it is to be found by words alone.
    async fn meaning(&self, query: &Query) -> Option<Meaning> {
        let (embedder, generation) = self.0.embedder.as_ref().zip(self.0.generation.as_ref())?;
        let text = embedding::beginning(&query.text);
        let weight = self.0.weight * known(embedder.as_ref(), text);
        if weight <= 0.0 || text.trim().is_empty() {
            return None;
        }
        match embedder.embed(&CallContext::new(), &[text]).await {
            Ok(vectors) => {
                let vector = vectors.into_iter().next()?;
                let coarse = Coarse::of(&vector, &generation.rotation)?;
                Some(Meaning { vector, coarse, weight })
            }
            Err(error) => {
                tracing::warn!(%error, "a query could not be embedded; it is answered by words alone");
                None
            }
        }
    }
}

/// How much of the weight is left by what the embedder knows of a query: none of half of it, all of four fifths.
fn known(embedder: &dyn Embedder, text: &str) -> f32 {
    ((embedder.coverage(text) - 0.5) / 0.3).clamp(0.0, 1.0)
}

#[async_trait]
impl Memory for SqliteMemory {
    async fn remember(&self, scope: &Scope, facts: Vec<Fact>) -> Result<()> {
        let told = Told { most_of_source: self.0.most_of_source, as_history: false };
        self.store(scope, facts, told).await
    }

    async fn recall(&self, scope: &Scope, query: &Query) -> Result<Vec<Recalled>> {
        let meaning = self.meaning(query).await;
        let asked = Asked::new(query.clone(), self.0.clock.now(), meaning);
        let (scope, registry) = (scope.clone(), Arc::clone(&self.0.registry));
        let generation = self.0.generation.clone();
        let read = self.0.readers.read(move |conn| {
            let Some(scope) = registry.scope(conn, &scope)? else { return Ok(Vec::new()) };
            registry
                .with(conn, scope, generation.as_ref(), |shelf| asked.search(conn, scope, shelf))
        });
        read.await
    }

    async fn list(&self, scope: &Scope, page: &Page) -> Result<Vec<Fact>> {
        let (scope, page) = (scope.clone(), page.clone());
        let registry = Arc::clone(&self.0.registry);
        let read = self.0.readers.read(move |conn| match registry.scope(conn, &scope)? {
            Some(scope) => read::list(conn, scope, &page),
            None => Ok(Vec::new()),
        });
        read.await
    }

    async fn forget(&self, scope: &Scope, what: &Forget) -> Result<u64> {
        let (scope, what) = (scope.clone(), what.clone());
        let registry = Arc::clone(&self.0.registry);
        let forgetting = &self.0.forgetting;
        let (news, progress) = (Arc::clone(&forgetting.news), forgetting.progress.clone());
        let done = write_then(
            &self.0.store.jobs,
            move |tx| forget::begin(tx, &scope, &what),
            move |(scope, docs, _)| {
                let docs = std::mem::take(docs);
                if !docs.is_empty() {
                    registry.committed(*scope, vec![shelf::Change::Gone { docs }]);
                    progress.send_replace(Progress::Working);
                    news.notify_one();
                }
            },
        );
        done.await.map(|(.., names)| names)
    }
}

impl std::fmt::Debug for SqliteMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteMemory").field("path", &self.0.store.path).finish_non_exhaustive()
    }
}
