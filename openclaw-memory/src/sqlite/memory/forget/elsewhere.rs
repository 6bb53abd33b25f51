//! Taking texts out of all but the logs: inputs, dead letters, outgoing messages, records, files.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use openclaw_core::{
    ErrorKind, Result,
    blobs::{BlobId, Blobs as _},
    time::Timestamp,
};
use rusqlite::{Connection, params};

use super::{Inner, Job, needles};
use crate::sqlite::{
    erase::securely,
    error::failed,
    writer::{Tx, write},
};

/// Rows that are looked at together.
const TOGETHER: u32 = 500;

/// Where rows have a number and say something in JSON.
const TABLES: [(&str, &str); 3] =
    [("inputs", "payload"), ("dead", "payload"), ("outbox", "action")];

/// Takes the texts out of rows that belong to no log.
pub(super) async fn redact(inner: &Arc<Inner>, job: &Arc<Job>) -> Result<()> {
    for (table, column) in TABLES {
        let mut after = 0;
        loop {
            let job = Arc::clone(job);
            let read = move |conn: &Connection| some(conn, &job, table, column, after);
            let (last, found) = inner.store.readers.read(read).await?;
            if !found.is_empty() {
                write(&inner.store.jobs, move |tx| put(tx, table, column, &found)).await?;
            }
            match last {
                Some(last) => after = last,
                None => break,
            }
        }
    }
    loop {
        let job = Arc::clone(job);
        let found = inner.store.readers.read(move |conn| records(conn, &job)).await?;
        if found.is_empty() {
            return Ok(());
        }
        write(&inner.store.jobs, move |tx| put_records(tx, &found)).await?;
    }
}

/// A row's id, what it says, and what it is to say.
type Changed = (i64, String, String);

fn some(
    conn: &Connection,
    job: &Job,
    table: &str,
    column: &str,
    after: i64,
) -> Result<(Option<i64>, Vec<Changed>)> {
    let sql = format!("SELECT id, {column} FROM {table} WHERE id > ?1 ORDER BY id LIMIT ?2");
    let mut statement = conn.prepare_cached(&sql).map_err(failed)?;
    let mut rows = statement.query(params![after, TOGETHER]).map_err(failed)?;
    let (mut last, mut found) = (None, Vec::new());
    while let Some(row) = rows.next().map_err(failed)? {
        let id = row.get(0).map_err(failed)?;
        last = Some(id);
        let text = row.get_ref(1).and_then(|text| Ok(text.as_str_or_null()?)).map_err(failed)?;
        if let Some((text, redacted)) =
            text.and_then(|text| Some((text, job.needles.redact(text, &[])?)))
        {
            found.push((id, text.to_owned(), redacted));
        }
    }
    Ok((last, found))
}

fn put(tx: &mut Tx<'_>, table: &str, column: &str, found: &[Changed]) -> Result<u64> {
    let sql = format!("UPDATE {table} SET {column} = ?3 WHERE id = ?1 AND {column} = ?2");
    securely(tx, |tx| {
        let mut rows = 0;
        for (id, before, after) in found {
            rows += tx.execute(&sql, params![id, before, after])? as u64;
        }
        Ok(rows)
    })
}

/// A record's space, name and version, and what it is to say.
type Said = (String, String, i64, String);

fn records(conn: &Connection, job: &Job) -> Result<Vec<Said>> {
    let mut statement =
        conn.prepare_cached("SELECT space, name, version, value FROM records").map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let value = row.get_ref(3).and_then(|text| Ok(text.as_str()?)).map_err(failed)?;
        if let Some(redacted) = job.needles.redact(value, &[]) {
            let text = |column: usize| row.get::<_, String>(column).map_err(failed);
            found.push((text(0)?, text(1)?, row.get(2).map_err(failed)?, redacted));
        }
    }
    Ok(found)
}

/// A version that was written meanwhile is looked at again. Whoever read the one before must read anew.
fn put_records(tx: &mut Tx<'_>, found: &[Said]) -> Result<u64> {
    securely(tx, |tx| {
        let mut rows = 0;
        for (space, name, version, value) in found {
            rows += tx.execute(
                "UPDATE records SET value = ?4, version = version + 1
                 WHERE space = ?1 AND name = ?2 AND version = ?3",
                params![space, name, version, value],
            )? as u64;
        }
        Ok(rows)
    })
}

/// Removes the files that came with forgotten entries and that nothing else names, and those that say one of the
/// texts.
pub(super) async fn remove_files(inner: &Arc<Inner>, job: &Arc<Job>) -> Result<()> {
    let blobs = &inner.store.blobs;
    let all = Mutex::new(Vec::new());
    // A sweep that finds everything in use is a listing.
    blobs
        .sweep(Timestamp(i64::MAX), &|id: &BlobId| {
            all.lock().unwrap_or_else(PoisonError::into_inner).push(id.clone());
            true
        })
        .await?;
    let all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    if all.is_empty() {
        return Ok(());
    }
    let asked = Arc::clone(job);
    let mine = inner.store.readers.read(move |conn| files_of(conn, &asked)).await?;
    for id in all {
        let gone = mine.contains(id.as_str()) || {
            match blobs.get(&id).await {
                Ok(bytes) => job.needles.are_in(&bytes),
                Err(error) if error.kind() == ErrorKind::NotFound => false,
                // One that is damaged says nothing that can be told apart.
                Err(error) if error.kind() == ErrorKind::InvalidData => false,
                Err(error) => return Err(error),
            }
        };
        if gone {
            blobs.remove(&id).await?;
        }
    }
    Ok(())
}

/// The files that forgotten entries name, and nothing else does.
fn files_of(conn: &Connection, job: &Job) -> Result<BTreeSet<String>> {
    let mut files = BTreeSet::new();
    let mut find = conn.prepare_cached("SELECT payload FROM log WHERE id = ?1").map_err(failed)?;
    for entry in job.own.keys() {
        let mut rows = find.query([entry]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let payload = row.get_ref(0).and_then(|text| Ok(text.as_str_or_null()?));
            files.extend(payload.map_err(failed)?.map(needles::blobs).unwrap_or_default());
        }
    }
    if files.is_empty() {
        return Ok(files);
    }
    let sources = ["log", "inputs", "dead", "outbox"];
    let columns = ["payload", "payload", "payload", "action"];
    for (table, column) in sources.into_iter().zip(columns) {
        let sql = format!("SELECT id, {column} FROM {table} WHERE {column} IS NOT NULL");
        let mut statement = conn.prepare_cached(&sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let id: i64 = row.get(0).map_err(failed)?;
            if table == "log" && job.own.contains_key(&id) {
                continue;
            }
            let text = row.get_ref(1).and_then(|text| Ok(text.as_str()?)).map_err(failed)?;
            files.retain(|file| !text.contains(file.as_str()));
        }
    }
    Ok(files)
}
