//! A few threads that read, each with a connection of its own.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, Sender},
    },
    thread,
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
    jobs: Sender<Job>,
    threads: usize,
}

impl Readers {
    pub(super) fn start(path: &Path, threads: usize) -> Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads {
            let conn = open::reader(path)?;
            let queue = Arc::clone(&queue);
            thread::Builder::new()
                .name("sqlite-reader".into())
                .spawn(move || serve(&conn, &queue))
                .kind(ErrorKind::Unavailable)?;
        }
        Ok(Self { jobs, threads })
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
        self.jobs.send(Job::Query(query)).map_err(|_| closed())?;
        answered.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Ends the threads after what they have to do.
    pub(super) fn stop(&self) {
        for _ in 0..self.threads {
            // Threads that are gone need not be told.
            let _ = self.jobs.send(Job::Stop);
        }
    }
}

fn serve(conn: &Connection, queue: &Mutex<Receiver<Job>>) {
    loop {
        // One thread waits in the queue, the others for it.
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(Job::Query(query)) => query(conn),
            Ok(Job::Stop) | Err(_) => return,
        }
    }
}
