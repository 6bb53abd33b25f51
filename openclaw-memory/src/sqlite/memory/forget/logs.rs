//! Taking texts out of the logs of sessions.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, Weak},
    time::Duration,
};

use openclaw_core::{Result, SessionKey, store::LeaseName};
use rusqlite::{Connection, params};
use sha2::{Digest as _, Sha256};

use super::{Inner, Job, open};
use crate::sqlite::{
    erase::securely,
    error::failed,
    writer::{Tx, write},
};

/// Rows that are looked at together.
const TOGETHER: u32 = 500;
/// How long a session that is at work is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A row as it is to be: its id, its payload and digest.
type Redacted = (i64, String, String);

/// Takes the texts out of all logs; out of how many entries.
pub(super) async fn redact(memory: &Weak<Inner>, job: &Arc<Job>) -> Result<u64> {
    let mut left = open(memory)?.store.readers.read(sessions).await?;
    let since = tokio::time::Instant::now();
    let mut entries = 0;
    loop {
        let mut busy = BTreeMap::new();
        for (id, key) in left {
            let inner = open(memory)?;
            let name: Option<LeaseName> = key.parse::<SessionKey>().ok().map(LeaseName::Session);
            let leases = &inner.store.leases;
            let at_work = name.as_ref().is_some_and(|name| {
                leases.lock().unwrap_or_else(PoisonError::into_inner).is_taken(name)
            });
            if at_work && since.elapsed() < PATIENCE {
                busy.insert(id, key);
            } else {
                entries += session(&inner, job, id, name, at_work).await?;
            }
        }
        if busy.is_empty() {
            return Ok(entries);
        }
        left = busy;
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn sessions(conn: &Connection) -> Result<BTreeMap<i64, String>> {
    let mut statement = conn.prepare_cached("SELECT id, key FROM sessions").map_err(failed)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(failed)?;
    rows.collect::<rusqlite::Result<_>>().map_err(failed)
}

/// Takes the texts out of one log. Whoever has read it then reads it anew.
async fn session(
    inner: &Arc<Inner>,
    job: &Arc<Job>,
    id: i64,
    name: Option<LeaseName>,
    at_work: bool,
) -> Result<u64> {
    let mut after = id << 32;
    let mut found: Vec<Redacted> = Vec::new();
    loop {
        let job = Arc::clone(job);
        let read = move |conn: &Connection| some(conn, &job, id, after);
        let (last, mut rows) = inner.store.readers.read(read).await?;
        found.append(&mut rows);
        match last {
            Some(last) => after = last,
            None => break,
        }
    }
    if found.is_empty() && !at_work {
        return Ok(0);
    }
    let job = Arc::clone(job);
    write(&inner.store.jobs, move |tx| apply(tx, &job, id, name.as_ref(), &found, after)).await
}

/// What is to change of some rows from after an id; the last of them, `None` if there is none.
fn some(
    conn: &Connection,
    job: &Job,
    session: i64,
    after: i64,
) -> Result<(Option<i64>, Vec<Redacted>)> {
    let mut statement = conn
        .prepare_cached(
            "SELECT id, payload, digest FROM log WHERE id > ?1 AND id < ?2 ORDER BY id LIMIT ?3",
        )
        .map_err(failed)?;
    let mut rows =
        statement.query(params![after, (session + 1) << 32, TOGETHER]).map_err(failed)?;
    let (mut last, mut found) = (None, Vec::new());
    while let Some(row) = rows.next().map_err(failed)? {
        let id = row.get(0).map_err(failed)?;
        last = Some(id);
        let payload = row.get_ref(1).and_then(|text| Ok(text.as_str_or_null()?)).map_err(failed)?;
        let own = job.own.get(&id).map(Vec::as_slice).unwrap_or_default();
        let Some(redacted) = payload.and_then(|text| job.needles.redact(text, own)) else {
            continue;
        };
        let before: String = row.get(2).map_err(failed)?;
        // One that did not fit before is not made to.
        let fits = payload.is_some_and(|text| digest(text) == before);
        let digest = if fits { digest(&redacted) } else { before };
        found.push((id, redacted, digest));
    }
    Ok((last, found))
}

fn apply(
    tx: &mut Tx<'_>,
    job: &Job,
    session: i64,
    name: Option<&LeaseName>,
    found: &[Redacted],
    after: i64,
) -> Result<u64> {
    // From now on nobody commits who read the log before.
    if let Some(name) = name {
        tx.leases().revoke(name);
    }
    securely(tx, |tx| {
        let mut entries = 0;
        let mut put = |tx: &Tx<'_>, rows: &[Redacted]| {
            for (id, payload, digest) in rows {
                entries += tx.execute(
                    "UPDATE log SET payload = ?2, digest = ?3 WHERE id = ?1 AND payload IS NOT NULL",
                    params![id, payload, digest],
                )? as u64;
            }
            Ok::<(), openclaw_core::Error>(())
        };
        put(tx, found)?;
        // What was appended since it was read.
        let mut after = after;
        while let (Some(last), rows) = some(tx.conn, job, session, after)? {
            put(tx, &rows)?;
            after = last;
        }
        if entries > 0 {
            tx.execute("UPDATE sessions SET revision = revision + 1 WHERE id = ?1", [session])?;
        }
        Ok(entries)
    })
}

fn digest(payload: &str) -> String {
    Sha256::digest(payload).iter().map(|byte| format!("{byte:02x}")).collect()
}
