//! Inputs, logs and heads, as SQL.

use openclaw_core::{
    Conversation, Error, ErrorKind, EventKey, Result, Seq, SessionKey,
    store::{
        AcceptLimits, AcceptOutcome, Batch, DROPPED, DeadLetter, InputId, InputRow, KEY_RETENTION,
        Lease, LogRow, NewInput, SessionHead, Unfinished, check_entries,
    },
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sha2::{Digest as _, Sha256};

use super::{
    error::{failed, unreadable},
    outbox, records,
    writer::{Counters, Tx},
};

/// Old keys that one `accept` forgets at most, so that forgetting never takes long.
const FORGET_AT_ONCE: u32 = 16;
/// Log ids of a session are `session << 32 | seq`.
const SEQ_BITS: u32 = 32;

pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn uint(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

/// What the writer knows from the start.
pub(super) fn counters(conn: &Connection) -> Result<Counters> {
    conn.query_row(
        "SELECT (SELECT coalesce(sum(pending), 0) FROM sessions INDEXED BY sessions_unfinished
                 WHERE open + pending + controls > 0),
                (SELECT coalesce(max(id), 0) FROM inputs)",
        [],
        |row| {
            let (pending, last_input) = (uint(row.get(0)?), uint(row.get(1)?));
            Ok(Counters {
                pending,
                last_input,
                outbox_due: Timestamp(i64::MIN),
                erased: false,
                in_log: false,
            })
        },
    )
    .map_err(failed)
}

pub(super) struct Found {
    pub(super) id: i64,
    head: SessionHead,
    pending: u64,
    controls: u64,
}

pub(super) fn find(tx: &Tx<'_>, session: &SessionKey) -> Result<Option<Found>> {
    let sql = "SELECT id, pending, controls, seq, checkpoint, open, wake_at, revision FROM sessions WHERE key = ?1";
    let read = |row: &Row<'_>| {
        Ok(Found {
            id: row.get(0)?,
            pending: uint(row.get(1)?),
            controls: uint(row.get(2)?),
            head: head_at(row, 3)?,
        })
    };
    tx.prepare(sql)?.query_row([session.as_str()], read).optional().map_err(failed)
}

fn find_or_add(tx: &Tx<'_>, session: &SessionKey) -> Result<Found> {
    if let Some(found) = find(tx, session)? {
        return Ok(found);
    }
    tx.execute("INSERT INTO sessions (key) VALUES (?1)", [session.as_str()])?;
    let id = tx.conn.last_insert_rowid();
    Ok(Found { id, head: SessionHead::default(), pending: 0, controls: 0 })
}

fn head_at(row: &Row<'_>, column: usize) -> rusqlite::Result<SessionHead> {
    Ok(SessionHead {
        seq: Seq(uint(row.get(column)?)),
        checkpoint: Seq(uint(row.get(column + 1)?)),
        open: row.get(column + 2)?,
        wake_at: row.get::<_, Option<i64>>(column + 3)?.map(Timestamp),
        revision: uint(row.get(column + 4)?),
    })
}

pub(super) fn digest(heard: &Conversation, key: &EventKey) -> [u8; 32] {
    digest_in(&heard.to_string(), &digest_in(heard.account.as_str(), key.as_str().as_bytes()))
}

/// What must be unique: of a conversation, and of the digest of account and key, which is all that
/// rows of older versions have.
pub(super) fn digest_in(heard: &str, key: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(heard);
    hash.update([0]);
    hash.update(key);
    hash.finalize().into()
}

/// The session that a key was accepted for.
fn known(tx: &Tx<'_>, digest: &[u8; 32]) -> Result<Option<SessionKey>> {
    let sql = "SELECT sessions.key FROM inputs JOIN sessions ON sessions.id = inputs.session
         WHERE inputs.digest = ?1";
    let key = tx.prepare(sql)?.query_row([digest], |row| row.get::<_, String>(0)).optional();
    key.map_err(failed)?.map(|key| key.parse()).transpose()
}

pub(super) fn accept(
    tx: &mut Tx<'_>,
    inputs: &[NewInput],
    limits: AcceptLimits,
) -> Result<Vec<AcceptOutcome>> {
    forget_old_keys(tx)?;
    outbox::forget_old(tx)?;
    inputs.iter().map(|input| accept_one(tx, input, limits)).collect()
}

fn accept_one(tx: &mut Tx<'_>, input: &NewInput, limits: AcceptLimits) -> Result<AcceptOutcome> {
    let digest = digest(&input.heard, &input.key);
    if let Some(session) = known(tx, &digest)? {
        return Ok(AcceptOutcome::Duplicate { session });
    }
    if !input.control && tx.counters.pending >= limits.total {
        return Ok(AcceptOutcome::Full);
    }
    let session = find_or_add(tx, &input.session)?;
    let id = tx.counters.last_input + 1;
    tx.execute(
        "INSERT INTO inputs (id, session, digest, seen_at, control, at, key, payload)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            int(id),
            session.id,
            digest,
            tx.now.0,
            input.control,
            input.at.0,
            input.key.as_str(),
            input.payload
        ],
    )?;
    tx.counters.last_input = id;
    if input.control {
        tx.execute("UPDATE sessions SET controls = controls + 1 WHERE id = ?1", [session.id])?;
        return Ok(AcceptOutcome::Added { id: InputId(id), dropped: 0 });
    }
    let excess = (session.pending + 1).saturating_sub(limits.session.max(1));
    let dropped = if excess > 0 { drop_oldest(tx, session.id, excess)? } else { 0 };
    tx.execute(
        "UPDATE sessions SET pending = ?2 WHERE id = ?1",
        params![session.id, int(session.pending + 1 - dropped)],
    )?;
    tx.counters.pending = tx.counters.pending + 1 - dropped;
    Ok(AcceptOutcome::Added { id: InputId(id), dropped })
}

fn drop_oldest(tx: &Tx<'_>, session: i64, excess: u64) -> Result<u64> {
    let mut oldest = tx.prepare(
        "SELECT id FROM inputs WHERE session = ?1 AND payload IS NOT NULL AND control = 0
         ORDER BY id LIMIT ?2",
    )?;
    let rows = oldest.query_map(params![session, int(excess)], |row| row.get(0)).map_err(failed)?;
    let ids = rows.collect::<rusqlite::Result<Vec<i64>>>().map_err(failed)?;
    let mut dropped = 0;
    for id in ids {
        give_up(tx, session, id, DROPPED)?;
        dropped += 1;
    }
    Ok(dropped)
}

/// Makes a pending input a dead letter; as [`take`].
fn give_up(tx: &Tx<'_>, session: i64, id: i64, reason: &str) -> Result<Option<bool>> {
    tx.execute(
        "INSERT INTO dead (session, input, control, at, key, payload, reason)
         SELECT session, id, control, at, key, payload, ?3 FROM inputs
         WHERE id = ?2 AND session = ?1 AND payload IS NOT NULL",
        params![session, id, reason],
    )?;
    take(tx, session, id)
}

/// Takes a pending input away, all but its key, and tells whether it was a control; `None` if it was
/// dropped before.
fn take(tx: &Tx<'_>, session: i64, id: i64) -> Result<Option<bool>> {
    let mut statement = tx.prepare(
        "UPDATE inputs SET payload = NULL, key = NULL
         WHERE id = ?2 AND session = ?1 AND payload IS NOT NULL RETURNING control",
    )?;
    let control = statement.query_row(params![session, id], |row| row.get(0)).optional();
    if let Some(control) = control.map_err(failed)? {
        return Ok(Some(control));
    }
    let dropped = tx
        .prepare("SELECT 1 FROM dead WHERE session = ?1 AND input = ?2 AND reason = ?3")?
        .exists(params![session, id, DROPPED])
        .map_err(failed)?;
    if dropped {
        return Ok(None);
    }
    Err(Error::new(ErrorKind::Conflict, "the input is not pending; read the inputs afresh")
        .with("input", id))
}

/// Forgets a few keys whose time is over, oldest first. Never the newest row: it holds the last id.
fn forget_old_keys(tx: &Tx<'_>) -> Result<()> {
    let retention = i64::try_from(KEY_RETENTION.as_millis()).unwrap_or(i64::MAX);
    let before = tx.now.0.saturating_sub(retention);
    let oldest: Option<i64> = tx
        .prepare("SELECT seen_at FROM inputs ORDER BY id LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()
        .map_err(failed)?;
    if oldest.is_none_or(|at| at >= before) {
        return Ok(());
    }
    tx.execute(
        "DELETE FROM inputs WHERE id IN (SELECT id FROM inputs ORDER BY id LIMIT ?1)
         AND seen_at < ?2 AND payload IS NULL AND id < (SELECT max(id) FROM inputs)",
        params![FORGET_AT_ONCE, before],
    )?;
    Ok(())
}

pub(super) fn commit(
    tx: &mut Tx<'_>,
    lease: &Lease,
    name: &SessionKey,
    after: Seq,
    batch: &Batch,
) -> Result<()> {
    lease.check_is_for(name)?;
    tx.leases().check(lease)?;
    let mut session = find_or_add(tx, name)?;
    check_entries(name, session.head.seq, after, &batch.entries)?;
    for entry in &batch.entries {
        append(tx, session.id, entry)?;
        session.head.seq = entry.seq;
    }
    let before = session.pending;
    let mut taken = |control: Option<bool>| {
        let waiting = match control {
            Some(true) => &mut session.controls,
            Some(false) => &mut session.pending,
            None => return,
        };
        *waiting = waiting.saturating_sub(1);
    };
    for id in &batch.consumed {
        taken(take(tx, session.id, int(id.0))?);
    }
    for (id, reason) in &batch.dead {
        taken(give_up(tx, session.id, int(id.0), reason)?);
    }
    outbox::add(tx, &batch.outbox)?;
    records::write(tx, &batch.records)?;
    tx.execute(
        "UPDATE sessions SET seq = ?2, checkpoint = ?3, open = ?4, wake_at = ?5, pending = ?6,
         controls = ?7 WHERE id = ?1",
        params![
            session.id,
            int(session.head.seq.0),
            int(batch.session.checkpoint.unwrap_or(session.head.checkpoint).0),
            batch.session.open,
            batch.session.wake_at.map(|at| at.0),
            int(session.pending),
            int(session.controls),
        ],
    )?;
    tx.counters.pending = tx.counters.pending.saturating_sub(before - session.pending);
    Ok(())
}

fn log_id(session: i64, seq: Seq) -> Result<i64> {
    if seq.0 >> SEQ_BITS != 0 || session >> (63 - SEQ_BITS) != 0 {
        return Err(Error::new(ErrorKind::Exhausted, "the log is full; start a new session")
            .with("seq", seq));
    }
    Ok(session << SEQ_BITS | int(seq.0))
}

/// The log ids of a session from `from` to `to`.
pub(super) fn log_ids(session: i64, from: Seq, to: Seq) -> (i64, i64) {
    let most = (1_u64 << SEQ_BITS) - 1;
    let id = |seq: Seq| session << SEQ_BITS | int(seq.0.min(most));
    (id(from), id(to))
}

fn append(tx: &Tx<'_>, session: i64, entry: &LogRow) -> Result<()> {
    let label = serde_json::to_string(&entry.label).map_err(|e| unreadable("label", e))?;
    tx.execute(
        "INSERT INTO log (id, kind, at, label, digest, payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            log_id(session, entry.seq)?,
            entry.kind,
            entry.at.0,
            label,
            entry.digest,
            entry.payload
        ],
    )?;
    Ok(())
}

fn session_id(conn: &Connection, session: &SessionKey) -> Result<Option<i64>> {
    let mut statement =
        conn.prepare_cached("SELECT id FROM sessions WHERE key = ?1").map_err(failed)?;
    statement.query_row([session.as_str()], |row| row.get(0)).optional().map_err(failed)
}

/// Reads the columns control, at, key, payload from `column` on.
fn input_at(row: &Row<'_>, id: i64, column: usize) -> rusqlite::Result<InputRow> {
    Ok(InputRow {
        id: InputId(uint(id)),
        control: row.get(column)?,
        at: Timestamp(row.get(column + 1)?),
        key: EventKey::from_stored(row.get(column + 2)?),
        payload: row.get(column + 3)?,
    })
}

pub(super) fn inputs(
    conn: &Connection,
    session: &SessionKey,
    after: InputId,
    limit: usize,
) -> Result<Vec<InputRow>> {
    // Each half is a range of the index, already in order.
    let mut statement = conn
        .prepare_cached(
            "SELECT id, control, at, key, payload FROM inputs
             WHERE session = (SELECT id FROM sessions WHERE key = ?1) AND control = ?2
             AND id > ?3 AND payload IS NOT NULL ORDER BY id LIMIT ?4",
        )
        .map_err(failed)?;
    let mut found = Vec::new();
    for (control, after) in [(true, InputId::default()), (false, after)] {
        let room = limit.saturating_sub(found.len());
        let rows = statement
            .query_map(params![session.as_str(), control, int(after.0), count(room)], |row| {
                input_at(row, row.get(0)?, 1)
            })
            .map_err(failed)?;
        for row in rows {
            found.push(row.map_err(failed)?);
        }
    }
    Ok(found)
}

pub(super) fn unfinished(
    conn: &Connection,
    after: Option<&SessionKey>,
    limit: usize,
) -> Result<Vec<Unfinished>> {
    let mut statement = conn
        .prepare_cached(
            "SELECT key, pending + controls, open, wake_at FROM sessions
             INDEXED BY sessions_unfinished
             WHERE (open + pending + controls > 0 OR wake_at IS NOT NULL) AND key > ?1
             ORDER BY key LIMIT ?2",
        )
        .map_err(failed)?;
    let rows = statement
        .query_map(params![after.map_or("", SessionKey::as_str), count(limit)], |row| {
            let wake_at = row.get::<_, Option<i64>>(3)?.map(Timestamp);
            Ok((row.get::<_, String>(0)?, uint(row.get(1)?), row.get::<_, bool>(2)?, wake_at))
        })
        .map_err(failed)?;
    rows.map(|row| {
        let (key, pending, open, wake_at) = row.map_err(failed)?;
        Ok(Unfinished { session: session_key(&key)?, pending, open, wake_at })
    })
    .collect()
}

fn session_key(text: &str) -> Result<SessionKey> {
    text.parse().map_err(|error| unreadable("session key", error))
}

pub(super) fn head(conn: &Connection, session: &SessionKey) -> Result<SessionHead> {
    let sql = "SELECT seq, checkpoint, open, wake_at, revision FROM sessions WHERE key = ?1";
    let mut statement = conn.prepare_cached(sql).map_err(failed)?;
    let found = statement.query_row([session.as_str()], |row| head_at(row, 0)).optional();
    Ok(found.map_err(failed)?.unwrap_or_default())
}

pub(super) fn read(
    conn: &Connection,
    session: &SessionKey,
    after: Seq,
    limit: usize,
) -> Result<Vec<LogRow>> {
    let Some(session) = session_id(conn, session)? else { return Ok(Vec::new()) };
    let (after, end) = log_ids(session, after, Seq(u64::MAX));
    let mut statement = conn
        .prepare_cached(
            "SELECT id, kind, at, label, digest, payload FROM log
             WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3",
        )
        .map_err(failed)?;
    let mut rows = statement.query(params![after, end, count(limit)]).map_err(failed)?;
    let mut log = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let label = row.get_ref(3).and_then(|text| Ok(text.as_str()?)).map_err(failed)?;
        let label = serde_json::from_str(label).map_err(|error| unreadable("label", error))?;
        log.push(log_row(row, session, label).map_err(failed)?);
    }
    Ok(log)
}

fn log_row(
    row: &Row<'_>,
    session: i64,
    label: openclaw_core::label::Label,
) -> rusqlite::Result<LogRow> {
    Ok(LogRow {
        seq: Seq(uint(row.get::<_, i64>(0)? - (session << SEQ_BITS))),
        kind: row.get(1)?,
        at: Timestamp(row.get(2)?),
        label,
        digest: row.get(4)?,
        payload: row.get(5)?,
    })
}

pub(super) fn sessions(
    conn: &Connection,
    after: Option<&SessionKey>,
    limit: usize,
) -> Result<Vec<(SessionKey, SessionHead)>> {
    let mut statement = conn
        .prepare_cached(
            "SELECT key, seq, checkpoint, open, wake_at, revision FROM sessions
             WHERE key > ?1 AND seq > 0 ORDER BY key LIMIT ?2",
        )
        .map_err(failed)?;
    let rows = statement
        .query_map(params![after.map_or("", SessionKey::as_str), count(limit)], |row| {
            Ok((row.get::<_, String>(0)?, head_at(row, 1)?))
        })
        .map_err(failed)?;
    rows.map(|row| {
        let (key, head) = row.map_err(failed)?;
        Ok((session_key(&key)?, head))
    })
    .collect()
}

pub(super) fn dead_letters(conn: &Connection, limit: usize) -> Result<Vec<DeadLetter>> {
    let mut statement = conn
        .prepare_cached(
            "SELECT d.input, d.control, d.at, d.key, d.payload, d.reason, s.key
             FROM dead d JOIN sessions s ON s.id = d.session ORDER BY d.id DESC LIMIT ?1",
        )
        .map_err(failed)?;
    let rows = statement
        .query_map([count(limit)], |row| {
            Ok((input_at(row, row.get(0)?, 1)?, row.get(5)?, row.get::<_, String>(6)?))
        })
        .map_err(failed)?;
    rows.map(|row| {
        let (input, reason, session) = row.map_err(failed)?;
        Ok(DeadLetter { session: session_key(&session)?, input, reason })
    })
    .collect()
}
