//! Forgetting for good: a job that stands in the file until nothing of the texts does.
//!
//! Rows, words and vectors go with the first commit. What else says the texts is then looked for: the logs of
//! sessions, waiting inputs, dead letters, outgoing messages, records, files. It is replaced, and what it was is
//! overwritten. Each step can be done twice, so a job that was cut off begins anew.
//!
//! A session that is at work has read its log already and would write on what it knows. It is waited for; after a
//! while its lease is taken away. Those that rest are folded afresh, since the revision of their log rises.

mod begin;
mod elsewhere;
mod logs;
mod needles;

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use openclaw_core::Result;
use rusqlite::{Connection, OptionalExtension as _};

use super::{Inner, Progress, shelf::Change};
use crate::sqlite::{
    erase::securely,
    error::{closed, failed},
    writer::{Tx, write, write_then},
};
pub(super) use begin::begin;
use needles::Needles;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How often it is looked whether the log beside the file could be emptied.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A job, and what it looks for.
struct Job {
    id: i64,
    needles: Needles,
    /// What was forgotten of entries, by their ids in the log.
    own: BTreeMap<i64, Vec<String>>,
}

/// How many forgettings are not done.
pub(super) fn left(conn: &Connection) -> Result<u64> {
    conn.prepare_cached("SELECT count(*) FROM forgettings WHERE done IS NULL")
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
        .map(|count: i64| count.unsigned_abs())
        .map_err(failed)
}

/// Does what is left of forgettings, whenever there is some, as long as the memory is open.
pub(super) async fn work(memory: Weak<Inner>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let Some(inner) = memory.upgrade().filter(|inner| !inner.is_closed()) else { return };
        let news = Arc::clone(&inner.forgetting.news);
        // First: news that come while the jobs are read must count.
        let waiting = news.notified();
        let next = inner.readers.read(next).await;
        let step = match next {
            Ok(None) => {
                inner.forgetting.progress.send_replace(Progress::Idle);
                drop(inner);
                waiting.await;
                continue;
            }
            Ok(Some(job)) => {
                drop(inner);
                run(&memory, job).await
            }
            Err(error) => {
                drop(inner);
                Err(error)
            }
        };
        match step {
            Ok(()) => pause = FIRST_PAUSE,
            Err(error) => {
                let Some(inner) = memory.upgrade().filter(|inner| !inner.is_closed()) else {
                    return;
                };
                tracing::warn!(%error, ?pause, "what was forgotten is not gone from all places yet; it is tried again");
                inner.forgetting.progress.send_replace(Progress::Failing);
                drop(inner);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// The oldest job that is not done.
fn next(conn: &Connection) -> Result<Option<Job>> {
    let mut find = conn
        .prepare_cached("SELECT id FROM forgettings WHERE done IS NULL ORDER BY id LIMIT 1")
        .map_err(failed)?;
    let id = find.query_row([], |row| row.get(0)).optional().map_err(failed)?;
    let Some(id) = id else { return Ok(None) };
    let mut texts = conn
        .prepare_cached(
            "SELECT f.text, CASE f.kind WHEN 0 THEN s.id << 32 | f.place END FROM forgotten f
             LEFT JOIN sessions s ON s.key = f.session WHERE f.job = ?1",
        )
        .map_err(failed)?;
    let rows = texts.query_map([id], |row| Ok((row.get(0)?, row.get(1)?))).map_err(failed)?;
    let rows = rows.collect::<rusqlite::Result<Vec<(String, Option<i64>)>>>().map_err(failed)?;
    let needles = Needles::new(rows.iter().map(|(text, _)| text.as_str()));
    let mut own = BTreeMap::<i64, Vec<String>>::new();
    for (text, entry) in rows {
        if let Some(entry) = entry {
            own.entry(entry).or_default().push(text);
        }
    }
    Ok(Some(Job { id, needles, own }))
}

async fn run(memory: &Weak<Inner>, job: Job) -> Result<()> {
    let (id, job) = (job.id, Arc::new(job));
    let entries = logs::redact(memory, &job).await?;
    let inner = open(memory)?;
    elsewhere::redact(&inner, &job).await?;
    elsewhere::remove_files(&inner, &job).await?;
    drop(job);
    let registry = Arc::clone(&inner.registry);
    write_then(
        &inner.store.jobs,
        move |tx| finish(tx, id, entries),
        move |gone| {
            for (scope, docs) in std::mem::take(gone) {
                registry.committed(scope, vec![Change::Gone { docs }]);
            }
        },
    )
    .await?;
    drop(inner);
    // The log beside the file still has the pages that were overwritten.
    loop {
        let inner = open(memory)?;
        let in_log = write(&inner.store.jobs, |tx| {
            tx.counters.erased |= tx.counters.in_log;
            Ok(tx.counters.in_log)
        });
        let in_log = in_log.await?;
        if !in_log {
            let done = move |tx: &mut Tx<'_>| {
                tx.execute("UPDATE forgettings SET done = ?2 WHERE id = ?1", [id, tx.now.0])
            };
            return write(&inner.store.jobs, done).await.map(drop);
        }
        drop(inner);
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Takes the texts out of the job itself.
fn finish(
    tx: &mut Tx<'_>,
    job: i64,
    entries: u64,
) -> Result<BTreeMap<i64, Vec<crate::index::Doc>>> {
    let mut gone = BTreeMap::new();
    securely(tx, |tx| {
        gone = begin::again(tx, job)?;
        let texts = tx.execute("DELETE FROM forgotten WHERE job = ?1", [job])? as u64;
        let entries = i64::try_from(entries).unwrap_or(i64::MAX);
        tx.execute("UPDATE forgettings SET entries = entries + ?2 WHERE id = ?1", [job, entries])?;
        // Also if a crash came between this and emptying the log.
        Ok(texts.max(1))
    })?;
    Ok(gone)
}

/// The memory, unless it was closed meanwhile.
fn open(memory: &Weak<Inner>) -> Result<Arc<Inner>> {
    memory.upgrade().filter(|inner| !inner.is_closed()).ok_or_else(closed)
}
