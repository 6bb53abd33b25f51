//! The one thread that writes: it drains its queue into one transaction.
//!
//! What waits while a transaction is made durable is the next transaction. So one call costs one
//! `fdatasync`, a thousand at once share one, and there is no timer. Each call has a savepoint: one
//! that fails is undone alone. Callers hear of it after the commit.

use std::{
    collections::VecDeque,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI32, Ordering},
        mpsc::{Receiver, Sender, SyncSender, TrySendError},
    },
};

use openclaw_core::{
    Error, ErrorKind, Result, Retry,
    store::LeaseTable,
    time::{Clock, Timestamp},
};
use rusqlite::{CachedStatement, Connection};
use tokio::sync::oneshot;

use super::{
    error::{closed, failed},
    open::Opened,
    sessions,
};

/// Most calls of one transaction; the rest is the next one.
const MOST_CALLS: usize = 4_096;
/// After how many pages in the log a checkpoint is made beside the writer: about as many as one block
/// of the log's index holds. Each page that was written many times since is written to the file once.
const CHECKPOINT_PAGES: i32 = 4_000;
/// Pages in the log at which the writer waits until it is emptied: 64 MiB.
const CAP_PAGES: i32 = 16_384;

/// Tells a caller how the transaction ended.
type Answer = Box<dyn FnOnce(Result<()>) + Send>;
type Call = Box<dyn FnOnce(&mut Tx<'_>) -> Answer + Send>;

pub(super) enum Job {
    Call(Call),
    Stop(oneshot::Sender<()>),
}

/// What the writer knows of the database without asking it.
#[derive(Clone, Copy)]
pub(super) struct Counters {
    /// Pending inputs, without controls.
    pub(super) pending: u64,
    /// The newest input.
    pub(super) last_input: u64,
    /// Something was erased in this transaction: what it was must leave the log too.
    pub(super) erased: bool,
}

/// An open transaction, as a call sees it.
pub(super) struct Tx<'a> {
    pub(super) conn: &'a Connection,
    pub(super) counters: &'a mut Counters,
    pub(super) leases: &'a Mutex<LeaseTable>,
    pub(super) now: Timestamp,
    /// Why there is no transaction, if there is none: then every call fails with it.
    missing: Option<&'a Error>,
}

impl Tx<'_> {
    /// A statement, compiled once.
    pub(super) fn prepare(&self, sql: &str) -> Result<CachedStatement<'_>> {
        self.conn.prepare_cached(sql).map_err(failed)
    }

    pub(super) fn execute(&self, sql: &str, params: impl rusqlite::Params) -> Result<usize> {
        self.prepare(sql)?.execute(params).map_err(failed)
    }

    pub(super) fn leases(&self) -> MutexGuard<'_, LeaseTable> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `call` so that it leaves nothing behind if it fails.
    fn alone<T>(&mut self, call: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if let Some(error) = self.missing {
            return Err(again(error));
        }
        let before = *self.counters;
        self.execute("SAVEPOINT call", [])?;
        let result = call(self);
        let ended = self.end_savepoint(result.is_ok());
        let result = result.and_then(|value| ended.map(|()| value));
        if result.is_err() {
            *self.counters = before;
        }
        result
    }

    fn end_savepoint(&self, keep: bool) -> Result<()> {
        // SQLite undoes the whole transaction on some errors; then there is no savepoint either.
        if self.conn.is_autocommit() {
            return Ok(());
        }
        let ended = if keep { Ok(0) } else { self.execute("ROLLBACK TO call", []) };
        let ended = ended.and_then(|_| self.execute("RELEASE call", []));
        if ended.is_err() {
            // Half a call must not be committed with the others: undo all of it.
            self.execute("ROLLBACK", [])?;
        }
        ended.map(|_| ())
    }
}

/// Sends `call` to the writer and waits until what it did is durable.
pub(super) async fn write<T: Send + 'static>(
    jobs: &Sender<Job>,
    call: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (answer, answered) = oneshot::channel();
    let call: Call = Box::new(move |tx| {
        let result = tx.alone(call);
        Box::new(move |commit| {
            // A caller that is gone needs no answer.
            let _ = answer.send(result.and_then(|value| commit.map(|()| value)));
        })
    });
    jobs.send(Job::Call(call)).map_err(|_| closed())?;
    answered.await.unwrap_or_else(|_| Err(closed()))
}

pub(super) struct Writer {
    opened: Opened,
    counters: Counters,
    leases: Arc<Mutex<LeaseTable>>,
    clock: Arc<dyn Clock>,
    checkpoints: SyncSender<()>,
    /// Pages in the log after the last commit.
    log_pages: Arc<AtomicI32>,
    /// Pages in the log at which the next checkpoint is made. While the log is written to without a
    /// pause it is never begun anew, and a checkpoint after each commit would sync the file as often.
    next_checkpoint: i32,
}

impl Writer {
    pub(super) fn new(
        mut opened: Opened,
        leases: Arc<Mutex<LeaseTable>>,
        clock: Arc<dyn Clock>,
        checkpoints: SyncSender<()>,
    ) -> Result<Self> {
        let counters = sessions::counters(&opened.conn)?;
        let log_pages = Arc::new(AtomicI32::new(0));
        let pages = Arc::clone(&log_pages);
        let hook = move |_: &mut rusqlite::hooks::Wal, count| {
            pages.store(count, Ordering::Relaxed);
            Ok(())
        };
        opened.conn.wal_hook(Some(hook)).map_err(failed)?;
        Ok(Self {
            opened,
            counters,
            leases,
            clock,
            checkpoints,
            log_pages,
            next_checkpoint: CHECKPOINT_PAGES,
        })
    }

    /// Works until it is told to stop or all handles are gone; then leaves the database closed.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        let mut calls = VecDeque::new();
        let mut stopped = None;
        while stopped.is_none() {
            match jobs.recv() {
                Ok(Job::Call(call)) => calls.push_back(call),
                Ok(Job::Stop(answer)) => stopped = Some(answer),
                Err(_) => break,
            }
            while stopped.is_none() && calls.len() < MOST_CALLS {
                match jobs.try_recv() {
                    Ok(Job::Call(call)) => calls.push_back(call),
                    Ok(Job::Stop(answer)) => stopped = Some(answer),
                    Err(_) => break,
                }
            }
            while !calls.is_empty() {
                self.transact(&mut calls);
                self.mind_the_log();
            }
        }
        self.close();
        if let Some(answer) = stopped {
            let _ = answer.send(());
        }
    }

    /// Runs `calls` in one transaction and answers them. If SQLite undoes all of it at one of them,
    /// those after it are left for the next transaction.
    fn transact(&mut self, calls: &mut VecDeque<Call>) {
        let before = self.counters;
        let mut answers = Vec::with_capacity(calls.len());
        let begun = self.step("BEGIN IMMEDIATE").err();
        let mut undone = false;
        while !undone && let Some(call) = calls.pop_front() {
            answers.push(call(&mut Tx {
                conn: &self.opened.conn,
                counters: &mut self.counters,
                leases: &self.leases,
                now: self.clock.now(),
                missing: begun.as_ref(),
            }));
            undone = begun.is_none() && self.opened.conn.is_autocommit();
        }
        let commit = match begun {
            Some(error) => Err(error),
            None if undone => Err(all_undone()),
            None => self.step("COMMIT"),
        };
        if commit.is_err() {
            self.counters = before;
            if !self.opened.conn.is_autocommit() {
                // If this fails too, the next BEGIN says so.
                let _ = self.step("ROLLBACK");
            }
        }
        if std::mem::take(&mut self.counters.erased)
            && let Err(error) = checkpoint(&self.opened.conn, "TRUNCATE")
        {
            tracing::warn!(%error, "what was erased stays in the log until it is next emptied");
        }
        for answer in answers {
            answer(match &commit {
                Ok(()) => Ok(()),
                Err(error) => Err(again(error)),
            });
        }
    }

    fn step(&self, sql: &str) -> Result<()> {
        let mut statement = self.opened.conn.prepare_cached(sql).map_err(failed)?;
        statement.execute([]).map(|_| ()).map_err(failed)
    }

    /// Has the log emptied beside the writer, or, at its cap, before anything else is written.
    fn mind_the_log(&mut self) {
        let pages = self.log_pages.load(Ordering::Relaxed);
        if pages < self.next_checkpoint - CHECKPOINT_PAGES {
            // It was begun anew.
            self.next_checkpoint = CHECKPOINT_PAGES;
        }
        if pages >= CAP_PAGES {
            let _ = checkpoint(&self.opened.conn, "RESTART");
        } else if pages >= self.next_checkpoint {
            self.next_checkpoint = pages + CHECKPOINT_PAGES;
            if let Err(TrySendError::Disconnected(())) = self.checkpoints.try_send(()) {
                let _ = checkpoint(&self.opened.conn, "PASSIVE");
            }
        }
    }

    fn close(self) {
        let Opened { conn, lock, .. } = self.opened;
        let marked = conn.execute("UPDATE meta SET value = 1 WHERE name = 'clean'", []);
        let emptied = checkpoint(&conn, "TRUNCATE");
        if let Some(error) = marked.err().or(emptied.err()) {
            tracing::warn!(%error, "the database was not closed cleanly; it will be checked when it is opened");
        }
        drop(conn);
        drop(lock);
    }
}

fn all_undone() -> Error {
    Error::new(
        ErrorKind::Exhausted,
        "a call of the same transaction filled the disk, so all of it was undone; try again",
    )
    .with_retry(Retry::Backoff)
}

/// The same error for one more caller.
fn again(error: &Error) -> Error {
    Error::new(error.kind(), error.to_string()).with_retry(error.retry())
}

fn checkpoint(conn: &Connection, mode: &str) -> rusqlite::Result<()> {
    conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()))
}

/// Makes checkpoints when it is told to, until nobody can tell it.
pub(super) fn checkpoints(path: &Path, wanted: &Receiver<()>) {
    let conn = match Connection::open(path) {
        Ok(conn) => conn,
        Err(error) => {
            tracing::warn!(%error, "checkpoints are made by the writer");
            return;
        }
    };
    while wanted.recv().is_ok() {
        if let Err(error) = checkpoint(&conn, "PASSIVE") {
            tracing::warn!(%error, "a checkpoint failed; the log grows until one succeeds");
        }
    }
}
