//! A few threads that read, each with a connection of its own.

use std::{
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
};

use openclaw_core::{ErrorKind, Result, error::ResultExt as _};
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{error::closed, open};

type Query = Box<dyn FnOnce(&Connection) + Send>;

enum Job {
    Query(Query),
    Stop,
}

/// Reads what was committed when a query starts.
pub(super) struct Readers {
    /// A queue for each thread: from one that they share, each query would wake two threads, the one
    /// that takes it and the one that waits in its place.
    queues: Vec<Sender<Job>>,
    turn: AtomicUsize,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Readers {
    pub(super) fn start(path: &Path, threads: usize) -> Result<Self> {
        let mut queues = Vec::with_capacity(threads);
        let mut handles = Vec::with_capacity(threads);
        for _ in 0..threads {
            let conn = open::reader(path)?;
            let (jobs, queue) = mpsc::channel();
            let thread = thread::Builder::new()
                .name("sqlite-reader".into())
                .spawn(move || serve(&conn, &queue))
                .kind(ErrorKind::Unavailable)?;
            queues.push(jobs);
            handles.push(thread);
        }
        Ok(Self { queues, turn: AtomicUsize::new(0), threads: Mutex::new(handles) })
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let query: Query = Box::new(move |conn| {
            // A caller that is gone needs no answer.
            let _ = answer.send(query(conn));
        });
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.queues.len().max(1);
        let queue = self.queues.get(turn).ok_or_else(closed)?;
        queue.send(Job::Query(query)).map_err(|_| closed())?;
        answered.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Ends the threads after what they have to do.
    pub(super) fn stop(&self) {
        for queue in &self.queues {
            // Threads that are gone need not be told.
            let _ = queue.send(Job::Stop);
        }
    }

    /// Waits until the threads that were stopped have closed their connections; blocks.
    pub(super) fn join(&self) {
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A reader that panicked is gone as well.
            let _ = thread.join();
        }
    }
}

fn serve(conn: &Connection, queue: &Receiver<Job>) {
    while let Ok(Job::Query(query)) = queue.recv() {
        query(conn);
    }
}
