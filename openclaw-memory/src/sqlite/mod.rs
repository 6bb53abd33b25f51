//! Everything durable in one SQLite file, and blobs in a folder.
//!
//! ```
//! use openclaw_core::store::{RecordKey, RecordStore as _, RecordWrite};
//! use openclaw_memory::sqlite::Sqlite;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> openclaw_core::Result<()> {
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("assistant.db");
//! let store = Sqlite::open(&path).await?;
//! let key = RecordKey::new("greeting", "main");
//! let write = RecordWrite { key: key.clone(), expect: Some(0), value: Some("\"hello\"".into()) };
//! store.write(vec![write], vec![]).await?;
//! store.close().await?;
//!
//! let store = Sqlite::open(&path).await?;
//! assert_eq!(store.record(&key).await?.map(|record| record.version), Some(1));
//! # store.close().await
//! # }
//! ```

mod backup;
mod blobs;
mod check;
mod config;
mod erase;
mod error;
mod memory;
mod open;
mod outbox;
mod readers;
mod records;
mod schema;
mod sessions;
mod store;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        mpsc::{self, Sender},
    },
    thread::{self, JoinHandle},
};

use openclaw_core::{
    ErrorKind, Result,
    error::ResultExt as _,
    store::LeaseTable,
    time::{Clock, SystemClock},
};
use tokio::sync::{oneshot, watch};

pub use blobs::FileBlobs;
pub use check::Findings;
pub use config::{EmbedderConfig, MemoryConfig, SqliteConfig};
pub use memory::{
    DEFAULT_GRAPH_FROM, DEFAULT_READY, DEFAULT_TOKENS_A_DAY, DEFAULT_WEIGHT, Extraction,
    MAX_TEXT_BYTES, MemoryBuilder, MemoryStatus, SqliteMemory, TransferProgress, TransferStep,
};

use readers::Readers;
use writer::{Job, Writer};

/// A [`Store`](openclaw_core::store::Store) in one SQLite file.
///
/// Clones share the file. One process at a time can have it open; another gets
/// [`ErrorKind::Conflict`]. What a method returned for was flushed to the disk (`synchronous=FULL`);
/// calls that wait at the same time share one flush.
///
/// Dropping the last clone closes the file soon after; [`close`](Self::close) waits for it. Dropping
/// the future of a call does not undo the call.
#[derive(Clone)]
pub struct Sqlite(Arc<Shared>);

struct Shared {
    path: PathBuf,
    jobs: Sender<Job>,
    readers: Readers,
    leases: Arc<Mutex<LeaseTable>>,
    checked: watch::Receiver<Option<Findings>>,
    blobs: FileBlobs,
    clock: Arc<dyn Clock>,
    /// The one that is open.
    memory: Mutex<Weak<memory::Inner>>,
    /// The thread that makes checkpoints; it ends with the writer.
    checkpoints: Mutex<Option<JoinHandle<()>>>,
}

/// How to open a [`Sqlite`].
#[derive(Clone)]
pub struct Builder {
    path: PathBuf,
    max_bytes: Option<u64>,
    blobs: Option<PathBuf>,
    max_blob_bytes: Option<u64>,
    readers: usize,
    clock: Arc<dyn Clock>,
    synchronous: &'static str,
}

impl Builder {
    /// Refuses with [`ErrorKind::Exhausted`] what would make the file larger than this. A little is
    /// always let through: what is larger already stays readable.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// The folder that files are kept in; unless said otherwise it is called as the database, with
    /// `.blobs` behind it.
    #[must_use]
    pub fn blobs(mut self, folder: impl Into<PathBuf>) -> Self {
        self.blobs = Some(folder.into());
        self
    }

    /// Refuses with [`ErrorKind::Exhausted`] files that would bring all of them above this.
    #[must_use]
    pub fn max_blob_bytes(mut self, bytes: u64) -> Self {
        self.max_blob_bytes = Some(bytes);
        self
    }

    /// How many reads are served at once; 2 unless said otherwise.
    #[must_use]
    pub fn readers(mut self, threads: usize) -> Self {
        self.readers = threads.max(1);
        self
    }

    /// The clock by which event keys grow old.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// For tests that show what flushing is for: lower settings lose what was acknowledged when the
    /// machine fails. One of SQLite's `OFF`, `NORMAL`, `FULL`.
    #[doc(hidden)]
    #[must_use]
    pub fn synchronous_for_tests(mut self, value: &'static str) -> Self {
        self.synchronous = value;
        self
    }

    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// Nothing of these changes the file:
    /// - [`ErrorKind::Conflict`]: it is open already, here or in another process;
    /// - [`ErrorKind::Unsupported`]: a newer version of this program wrote it;
    /// - [`ErrorKind::InvalidConfig`]: it belongs to another application, or cannot be opened;
    /// - [`ErrorKind::InvalidData`]: it is no database, truncated or damaged.
    pub async fn open(self) -> Result<Sqlite> {
        let (answer, answered) = oneshot::channel();
        thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || self.serve(answer))
            .kind(ErrorKind::Unavailable)?;
        answered.await.unwrap_or_else(|_| Err(error::closed()))
    }

    /// Opens the file and is its writer from then on.
    fn serve(self, answer: oneshot::Sender<Result<Sqlite>>) {
        let (jobs, queue) = mpsc::channel();
        match self.start(jobs) {
            Ok((store, writer)) => {
                // If nobody waits for it any more, the store is dropped and the writer ends.
                let _ = answer.send(Ok(store));
                writer.run(&queue);
            }
            Err(error) => {
                let _ = answer.send(Err(error));
            }
        }
    }

    fn start(self, jobs: Sender<Job>) -> Result<(Sqlite, Writer)> {
        let opened = open::open(&self)?;
        let path = opened.path.clone();
        let unclean = !opened.clean;
        // Above all epochs of earlier openings; 2^32 leases fit between two.
        let leases = Arc::new(Mutex::new(LeaseTable::starting_after(opened.opens << 32)));
        let (checkpoint, wanted) = mpsc::sync_channel(1);
        let checkpointing = writer::Checkpointing::default();
        let (beside, alone) = (path.clone(), Arc::clone(&checkpointing));
        let checkpoints = thread::Builder::new()
            .name("sqlite-checkpoint".into())
            .spawn(move || writer::checkpoints(&beside, &wanted, &alone))
            .kind(ErrorKind::Unavailable)?;
        let folder = self.blobs.unwrap_or_else(|| {
            let mut name = path.clone().into_os_string();
            name.push(".blobs");
            name.into()
        });
        let blobs = FileBlobs::new(folder, self.max_blob_bytes).with_clock(Arc::clone(&self.clock));
        let (lent, clock) = (Arc::clone(&leases), Arc::clone(&self.clock));
        let writer = Writer::new(opened, lent, self.clock, checkpoint, checkpointing)?;
        let (found, checked) = watch::channel(None);
        if unclean {
            let path = path.clone();
            thread::Builder::new()
                .name("sqlite-check".into())
                .spawn(move || check_after_crash(&path, &found))
                .kind(ErrorKind::Unavailable)?;
        }
        let readers = Readers::start(&path, self.readers)?;
        let (memory, checkpoints) = (Mutex::default(), Mutex::new(Some(checkpoints)));
        let shared =
            Shared { path, jobs, readers, leases, checked, blobs, clock, memory, checkpoints };
        Ok((Sqlite(Arc::new(shared)), writer))
    }
}

fn check_after_crash(path: &Path, found: &watch::Sender<Option<Findings>>) {
    match check::quick(path) {
        Ok(findings) => {
            if !findings.is_sound() {
                tracing::error!(
                    file = %path.display(),
                    problems = ?findings.problems,
                    "the database is damaged; run doctor, restore a backup"
                );
            }
            found.send_replace(Some(findings));
        }
        Err(error) => tracing::warn!(%error, "the database could not be checked"),
    }
}

impl Sqlite {
    /// Opens the file `path`, or makes it. [`Builder::open`] lists the errors.
    ///
    /// # Errors
    /// As of [`Builder::open`].
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self> {
        Self::builder(path).open().await
    }

    /// Says more about how to open `path`.
    pub fn builder(path: impl Into<PathBuf>) -> Builder {
        Builder {
            path: path.into(),
            max_bytes: None,
            blobs: None,
            max_blob_bytes: None,
            readers: 2,
            clock: Arc::new(SystemClock),
            synchronous: "FULL",
        }
    }

    /// Finishes what was asked for, closes the file and gives its lock back. Other clones then get
    /// errors.
    ///
    /// # Errors
    /// None at present; what could not be written is logged, and found when the file is opened.
    pub async fn close(self) -> Result<()> {
        self.0.readers.stop();
        let memory = self.0.memory.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        if let Some(memory) = &memory {
            memory.close();
        }
        // The last connection that is closed empties the log, and one that only reads cannot.
        let shared = Arc::clone(&self.0);
        blocking(move || {
            shared.readers.join();
            if let Some(memory) = memory {
                memory.join();
            }
            Ok(())
        })
        .await?;
        let (answer, answered) = oneshot::channel();
        if self.0.jobs.send(Job::Stop(answer)).is_ok() {
            // An error means that it ended before: another clone closed it.
            let _ = answered.await;
        }
        blocking(move || {
            let checkpoints = &self.0.checkpoints;
            let thread = checkpoints.lock().unwrap_or_else(PoisonError::into_inner).take();
            // A thread that panicked is gone as well.
            let _ = thread.map(JoinHandle::join);
            Ok(())
        })
        .await
    }

    /// Checks the whole file: SQLite's `integrity_check`, and what must hold between rows. Reads
    /// everything, so it takes its time; other calls go on meanwhile.
    ///
    /// # Errors
    /// The file cannot be read at all.
    pub async fn doctor(&self) -> Result<Findings> {
        let path = self.0.path.clone();
        blocking(move || check::full(&path)).await
    }

    /// What the check in the background found; `None` if it is under way, or not needed because the
    /// file was closed properly before it was opened.
    pub fn findings(&self) -> Option<Findings> {
        self.0.checked.borrow().clone()
    }

    /// Copies the database to the new file `to` while it is in use, and checks the copy as
    /// [`doctor`](Self::doctor) does. To restore it, open the copy. Blobs are not part of it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if `to` exists; [`ErrorKind::InvalidData`] if the copy is damaged,
    /// and then there is none; or the disk failed.
    pub async fn backup(&self, to: impl Into<PathBuf>) -> Result<()> {
        let (from, to) = (self.0.path.clone(), to.into());
        blocking(move || backup::backup(&from, &to)).await
    }

    fn leases(&self) -> MutexGuard<'_, LeaseTable> {
        self.0.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sqlite").field("path", &self.0.path).finish_non_exhaustive()
    }
}

/// Does on a thread of its own what takes long.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| openclaw_core::Error::wrap(ErrorKind::Internal, e))?
}
