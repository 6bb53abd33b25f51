//! The one thread that writes: it drains its queue into one transaction.
//!
//! What waits while a transaction is made durable is the next transaction, and what comes while that one is
//! worked on joins it. So one call costs one flush, a thousand at once share one, and there is no timer: waiting for
//! those that may come was tried and costs as much as it saves. Calls hardly ever fail: if one does, all of the
//! transaction is undone and done again, each call with a savepoint, so that the one that fails is undone alone.
//! Callers hear of it after the commit.

use std::{
    collections::VecDeque,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI32, Ordering},
        mpsc::{Receiver, Sender, SyncSender, TrySendError},
    },
    time::Duration,
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
    memory::tallies::{self, Tallies},
    open::{self, Opened},
    sessions,
};

/// Most calls of one transaction; the rest is the next one.
const MOST_CALLS: usize = 4_096;
/// With so many calls nothing joins a transaction any more: the flush is the least of what they take.
const MOST_JOINED: usize = 256;
/// After how many pages in the log a checkpoint is made beside the writer. Closing makes one of what is
/// left, and whoever opens the file next waits for that.
const CHECKPOINT_PAGES: i32 = 1_000;
/// Pages in the log at which the writer waits until it is emptied: 64 MiB.
const CAP_PAGES: i32 = 16_384;

/// How long those who read are waited for when what was erased is to leave the log.
const BRIEFLY: Duration = Duration::from_millis(250);

/// What a caller wants done in a transaction.
pub(super) trait Call: Send {
    /// Does it; what came of it is kept for the caller. May be called again in another transaction,
    /// after this one was undone.
    ///
    /// # Errors
    /// It failed, and may have left something half done.
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), Failed>;

    /// Tells the caller how the transaction ended.
    fn answer(self: Box<Self>, commit: Result<()>);
}

/// A call failed; why is for its caller alone.
pub(super) struct Failed;

struct Asked<W, T, A> {
    work: W,
    /// Done here with what came of it, once that is durable: in the order of commits.
    after: A,
    result: Option<Result<T>>,
    answer: oneshot::Sender<Result<T>>,
}

impl<W, T, A> Call for Asked<W, T, A>
where
    W: FnMut(&mut Tx<'_>) -> Result<T> + Send,
    T: Send,
    A: FnOnce(&mut T) + Send,
{
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), Failed> {
        let result = self.result.insert((self.work)(tx));
        if result.is_ok() { Ok(()) } else { Err(Failed) }
    }

    fn answer(self: Box<Self>, commit: Result<()>) {
        let undone = || Err(Error::internal("a transaction was committed without the call"));
        let mut result = match self.result {
            Some(result) => result.and_then(|value| commit.map(|()| value)),
            None => commit.and_then(|()| undone()),
        };
        if let Ok(value) = &mut result {
            (self.after)(value);
        }
        // A caller that is gone needs no answer.
        let _ = self.answer.send(result);
    }
}

pub(super) enum Job {
    Call(Box<dyn Call>),
    Stop(oneshot::Sender<()>),
}

/// What the writer knows of the database without asking it.
#[derive(Clone, Copy)]
pub(super) struct Counters {
    /// Pending inputs, without controls.
    pub(super) pending: u64,
    /// The newest input.
    pub(super) last_input: u64,
    /// Before this no settled outgoing row is old enough to be forgotten.
    pub(super) outbox_due: Timestamp,
    /// Something was erased in this transaction: what it was must leave the log too.
    pub(super) erased: bool,
    /// Something that was erased before is in the log still: somebody read what was before.
    pub(super) in_log: bool,
}

/// An open transaction, as a call sees it.
pub(super) struct Tx<'a> {
    pub(super) conn: &'a Connection,
    pub(super) counters: &'a mut Counters,
    pub(super) tallies: &'a mut Tallies,
    pub(super) leases: &'a Mutex<LeaseTable>,
    pub(super) now: Timestamp,
}

impl<'a> Tx<'a> {
    /// A statement, compiled once.
    pub(super) fn prepare(&self, sql: &str) -> Result<CachedStatement<'a>> {
        self.conn.prepare_cached(sql).map_err(failed)
    }

    pub(super) fn execute(&self, sql: &str, params: impl rusqlite::Params) -> Result<usize> {
        self.prepare(sql)?.execute(params).map_err(failed)
    }

    pub(super) fn leases(&self) -> MutexGuard<'_, LeaseTable> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `call` so that it leaves nothing behind if it fails.
    ///
    /// # Errors
    /// There is no such protection any more; the transaction must be undone if it still is open.
    fn alone(&mut self, call: &mut dyn Call) -> Result<()> {
        let before = *self.counters;
        self.execute("SAVEPOINT call", [])?;
        let kept = call.run(self).map(|()| tallies::settle(self));
        // SQLite undoes the whole transaction on some errors; then there is no savepoint either.
        if self.conn.is_autocommit() {
            return Err(all_undone());
        }
        if let Ok(settled) = kept {
            settled?;
        } else {
            *self.counters = before;
            self.tallies.clear();
            self.execute("ROLLBACK TO call", [])?;
        }
        self.execute("RELEASE call", []).map(|_| ())
    }
}

/// Sends `call` to the writer and waits until what it did is durable.
pub(super) async fn write<T: Send + 'static>(
    jobs: &Sender<Job>,
    work: impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
) -> Result<T> {
    write_then(jobs, work, |_| ()).await
}

/// As [`write`]; `after` is done by the writer once it is durable, also if the caller is gone, and before
/// anything of a later transaction.
pub(super) async fn write_then<T: Send + 'static>(
    jobs: &Sender<Job>,
    work: impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    after: impl FnOnce(&mut T) + Send + 'static,
) -> Result<T> {
    let (answer, answered) = oneshot::channel();
    let call = Asked { work, after, result: None, answer };
    jobs.send(Job::Call(Box::new(call))).map_err(|_| closed())?;
    answered.await.unwrap_or_else(|_| Err(closed()))
}

/// What the writer has to do.
struct Queue<'a> {
    jobs: &'a Receiver<Job>,
    calls: VecDeque<Box<dyn Call>>,
    stopped: Option<oneshot::Sender<()>>,
}

impl Queue<'_> {
    /// Waits for a call; false if there will be none.
    fn wait(&mut self) -> bool {
        if self.stopped.is_none()
            && let Ok(job) = self.jobs.recv()
        {
            self.put(job);
        }
        !self.calls.is_empty()
    }

    /// Takes what is there, up to so many calls; false if nothing was.
    fn draw(&mut self, most: usize) -> bool {
        let before = self.calls.len();
        while self.stopped.is_none()
            && self.calls.len() < most
            && let Ok(job) = self.jobs.try_recv()
        {
            self.put(job);
        }
        self.calls.len() > before
    }

    fn put(&mut self, job: Job) {
        match job {
            Job::Call(call) => self.calls.push_back(call),
            Job::Stop(answer) => self.stopped = Some(answer),
        }
    }
}

/// Held while a checkpoint is made. SQLite does not wait for one that another connection makes: asked
/// for a second one it does nothing.
pub(super) type Checkpointing = Arc<Mutex<()>>;

pub(super) struct Writer {
    opened: Opened,
    counters: Counters,
    tallies: Tallies,
    leases: Arc<Mutex<LeaseTable>>,
    clock: Arc<dyn Clock>,
    checkpoints: SyncSender<()>,
    checkpointing: Checkpointing,
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
        checkpointing: Checkpointing,
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
            tallies: Tallies::default(),
            leases,
            clock,
            checkpoints,
            checkpointing,
            log_pages,
            next_checkpoint: CHECKPOINT_PAGES,
        })
    }

    /// Works until it is told to stop or all handles are gone; then leaves the database closed.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        let mut queue = Queue { jobs, calls: VecDeque::new(), stopped: None };
        while queue.wait() {
            queue.draw(MOST_CALLS);
            while !queue.calls.is_empty() {
                self.transact(&mut queue);
                self.mind_the_log();
            }
        }
        self.close();
        if let Some(answer) = queue.stopped {
            let _ = answer.send(());
        }
    }

    /// Does all calls in one transaction and answers them. If SQLite undoes all of it at one of them,
    /// those after it are left for the next transaction.
    fn transact(&mut self, queue: &mut Queue<'_>) {
        let mut done = Vec::with_capacity(queue.calls.len());
        let mut commit = self.transaction(|writer| writer.together(queue));
        match commit {
            Ok(true) => done.extend(queue.calls.drain(..)),
            Ok(false) => {
                commit = self.transaction(|writer| writer.one_by_one(&mut queue.calls, &mut done));
            }
            Err(_) => done.extend(queue.calls.drain(..)),
        }
        if std::mem::take(&mut self.counters.erased) {
            self.counters.in_log = !self.empty_the_log();
        }
        for call in done {
            call.answer(match &commit {
                Ok(_) => Ok(()),
                Err(error) => Err(again(error)),
            });
        }
    }

    /// Commits what `work` does if that comes to `true`, else undoes it.
    fn transaction(&mut self, work: impl FnOnce(&mut Self) -> Result<bool>) -> Result<bool> {
        let before = self.counters;
        self.step("BEGIN IMMEDIATE")?;
        let result = work(self).and_then(|keep| {
            if keep {
                self.step("COMMIT")?;
            }
            Ok(keep)
        });
        if !matches!(result, Ok(true)) {
            self.counters = before;
            self.tallies.clear();
            if !self.opened.conn.is_autocommit() {
                // If this fails too, the next BEGIN says so.
                let _ = self.step("ROLLBACK");
            }
        }
        result
    }

    /// Does all calls, and those that come meanwhile; false if one fails.
    fn together(&mut self, queue: &mut Queue<'_>) -> Result<bool> {
        let mut done = 0;
        loop {
            while let Some(call) = queue.calls.get_mut(done) {
                if call.run(&mut self.tx()).is_err() {
                    return Ok(false);
                }
                done += 1;
            }
            if !queue.draw(MOST_JOINED) {
                return Ok(tallies::settle(&mut self.tx()).is_ok());
            }
        }
    }

    /// Does all calls, each so that it leaves nothing behind if it fails, and moves them to `done`.
    fn one_by_one(
        &mut self,
        calls: &mut VecDeque<Box<dyn Call>>,
        done: &mut Vec<Box<dyn Call>>,
    ) -> Result<bool> {
        while let Some(mut call) = calls.pop_front() {
            let alone = self.tx().alone(call.as_mut());
            done.push(call);
            alone?;
        }
        Ok(true)
    }

    fn tx(&mut self) -> Tx<'_> {
        let now = self.clock.now();
        Tx {
            conn: &self.opened.conn,
            counters: &mut self.counters,
            tallies: &mut self.tallies,
            leases: &self.leases,
            now,
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
            let _ = self.checkpoint("RESTART");
        } else if pages >= self.next_checkpoint {
            self.next_checkpoint = pages + CHECKPOINT_PAGES;
            if let Err(TrySendError::Disconnected(())) = self.checkpoints.try_send(()) {
                let _ = self.checkpoint("PASSIVE");
            }
        }
    }

    fn checkpoint(&self, mode: &str) -> rusqlite::Result<bool> {
        checkpoint(&self.opened.conn, &self.checkpointing, mode)
    }

    /// True if nothing is left in the log. Waits only briefly for those who read.
    fn empty_the_log(&self) -> bool {
        let emptied =
            self.opened.conn.busy_timeout(BRIEFLY).and_then(|()| self.checkpoint("TRUNCATE"));
        let patient = self.opened.conn.busy_timeout(open::PATIENCE);
        if let Some(error) = emptied.as_ref().err().or(patient.as_ref().err()) {
            tracing::warn!(%error, "what was erased stays in the log until it is next emptied");
        }
        emptied.unwrap_or(false)
    }

    fn close(self) {
        let Opened { conn, lock, .. } = self.opened;
        let marked = conn.execute("UPDATE meta SET value = 1 WHERE name = 'clean'", []);
        let emptied = checkpoint(&conn, &self.checkpointing, "TRUNCATE");
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

/// False if it could not be finished, since somebody reads or writes.
fn checkpoint(conn: &Connection, alone: &Mutex<()>, mode: &str) -> rusqlite::Result<bool> {
    let _alone = alone.lock().unwrap_or_else(PoisonError::into_inner);
    let busy: bool =
        conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get(0))?;
    Ok(!busy)
}

/// Makes checkpoints when it is told to, until nobody can tell it.
pub(super) fn checkpoints(path: &Path, wanted: &Receiver<()>, checkpointing: &Mutex<()>) {
    let conn = match Connection::open(path) {
        Ok(conn) => conn,
        Err(error) => {
            tracing::warn!(%error, "checkpoints are made by the writer");
            return;
        }
    };
    while wanted.recv().is_ok() {
        if let Err(error) = checkpoint(&conn, checkpointing, "PASSIVE") {
            tracing::warn!(%error, "a checkpoint failed; the log grows until one succeeds");
        }
    }
}
