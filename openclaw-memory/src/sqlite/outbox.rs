//! Outgoing rows, as SQL.

use openclaw_core::{
    AccountId, Conversation, Error, ErrorKind, OutboundKey, Result, SessionKey,
    message::Action,
    store::{
        KEY_RETENTION, NewOutbound, OutboundId, OutboundRow, OutboundState, Settlement,
        no_such_outbound,
    },
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension as _, Row, Rows, params};

use super::{
    error::{failed, unreadable},
    sessions::{count, int},
    writer::Tx,
};

fn json<T: serde::Serialize>(what: &'static str, value: &T) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| Error::internal(format!("{what} cannot be written as JSON: {error}")))
}

/// Adds the rows whose keys are new.
pub(super) fn add(tx: &Tx<'_>, rows: &[NewOutbound]) -> Result<()> {
    for new in rows {
        tx.execute(
            "INSERT INTO outbox (key, account, conversation, message, session, edits, action, at,
             live, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1, ?9)
             ON CONFLICT (key) DO NOTHING",
            params![
                new.key.as_str(),
                new.conversation.account.as_str(),
                json("a conversation", &new.conversation)?,
                new.group.as_str(),
                new.session.as_ref().map(|session| session.as_str()),
                new.edits.as_ref().map(OutboundKey::as_str),
                json("an action", &new.action)?,
                new.at.0,
                json("a state", &OutboundState::Pending)?,
            ],
        )?;
    }
    Ok(())
}

/// Settled rows that one call forgets at most, so that forgetting never takes long.
const FORGET_AT_ONCE: u32 = 16;

/// Forgets a few settled rows whose time is over, oldest first.
pub(super) fn forget_old(tx: &mut Tx<'_>) -> Result<()> {
    let retention = i64::try_from(KEY_RETENTION.as_millis()).unwrap_or(i64::MAX);
    let wait = tx.counters.outbox_due.0.saturating_sub(tx.now.0);
    // A longer one is of a clock that was set back since.
    if (1..=retention).contains(&wait) {
        return Ok(());
    }
    let before = tx.now.0.saturating_sub(retention);
    tx.execute(
        "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE live = 0 ORDER BY id LIMIT ?1)
         AND at <= ?2",
        params![FORGET_AT_ONCE, before],
    )?;
    let oldest: Option<i64> = tx
        .prepare("SELECT at FROM outbox WHERE live = 0 ORDER BY id LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()
        .map_err(failed)?;
    // Until then there is nothing to look for.
    tx.counters.outbox_due = Timestamp(oldest.unwrap_or(tx.now.0).saturating_add(retention));
    Ok(())
}

/// Takes away what settled rows of a session say.
pub(super) fn erase(tx: &Tx<'_>, session: &SessionKey) -> Result<usize> {
    let mut statement =
        tx.prepare("SELECT id, action FROM outbox WHERE session = ?1 AND live = 0")?;
    let rows = statement
        .query_map([session.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(failed)?;
    let rows = rows.collect::<rusqlite::Result<Vec<(i64, String)>>>().map_err(failed)?;
    for (id, action) in &rows {
        let action: Action =
            serde_json::from_str(action).map_err(|error| unreadable("action", error))?;
        let action = json("an action", &action.without_content())?;
        tx.execute("UPDATE outbox SET action = ?2 WHERE id = ?1", params![id, action])?;
    }
    Ok(rows.len())
}

/// Whether a row is live.
fn live(tx: &Tx<'_>, id: OutboundId) -> Result<bool> {
    let mut statement = tx.prepare("SELECT live FROM outbox WHERE id = ?1")?;
    let found = statement.query_row([int(id.0)], |row| row.get(0)).optional().map_err(failed)?;
    found.ok_or_else(|| no_such_outbound(id))
}

pub(super) fn claim(tx: &Tx<'_>, id: OutboundId, at: Timestamp) -> Result<()> {
    if !live(tx, id)? {
        return Err(Error::new(
            ErrorKind::Conflict,
            "the outgoing row is settled; read its lane afresh",
        )
        .with("row", id.0));
    }
    let state = json("a state", &OutboundState::Sending { since: at })?;
    tx.execute("UPDATE outbox SET state = ?2 WHERE id = ?1", params![int(id.0), state])?;
    Ok(())
}

pub(super) fn settle(tx: &Tx<'_>, id: OutboundId, settlement: Settlement) -> Result<()> {
    if !live(tx, id)? {
        return Ok(());
    }
    let pending = json("a state", &OutboundState::Pending)?;
    let (state, tried) = match settlement {
        Settlement::Sent(receipt) => (OutboundState::Sent { receipt }, 0),
        Settlement::Unknown => (OutboundState::Unknown, 0),
        Settlement::Failed(error) => (OutboundState::Failed { error }, 1),
        Settlement::Retry { at } => {
            tx.execute(
                "UPDATE outbox SET state = ?2, attempts = attempts + 1, not_before = ?3 WHERE id = ?1",
                params![int(id.0), pending, at.0],
            )?;
            return Ok(());
        }
        other => {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("this store does not know the settlement {other:?}"),
            ));
        }
    };
    let text = json("a state", &state)?;
    tx.execute(
        "UPDATE outbox SET state = ?2, attempts = attempts + ?3, live = 0 WHERE id = ?1",
        params![int(id.0), text, tried],
    )?;
    if matches!(state, OutboundState::Failed { .. }) {
        // The rest of the message: what of its group is not being sent.
        tx.execute(
            "UPDATE outbox INDEXED BY outbox_group SET state = ?2, live = 0
             WHERE message = (SELECT message FROM outbox WHERE id = ?1) AND live = 1 AND state = ?3",
            params![int(id.0), text, pending],
        )?;
    }
    Ok(())
}

pub(super) fn lanes(conn: &Connection, account: &AccountId) -> Result<Vec<Conversation>> {
    // Steps from lane to lane along the index instead of reading all rows of each.
    let mut statement = conn
        .prepare_cached(
            "WITH RECURSIVE lanes (lane) AS (
                SELECT min(conversation) FROM outbox WHERE account = ?1 AND live = 1
                UNION ALL
                SELECT (SELECT min(conversation) FROM outbox
                        WHERE account = ?1 AND live = 1 AND conversation > lane)
                FROM lanes WHERE lane IS NOT NULL)
             SELECT lane FROM lanes WHERE lane IS NOT NULL",
        )
        .map_err(failed)?;
    let rows =
        statement.query_map([account.as_str()], |row| row.get::<_, String>(0)).map_err(failed)?;
    rows.map(|row| {
        let text = row.map_err(failed)?;
        serde_json::from_str(&text).map_err(|error| unreadable("conversation", error))
    })
    .collect()
}

const COLUMNS: &str =
    "id, key, conversation, message, session, edits, action, at, state, attempts, not_before";

pub(super) fn lane(
    conn: &Connection,
    conversation: &Conversation,
    after: OutboundId,
    limit: usize,
) -> Result<Vec<OutboundRow>> {
    let mut statement = conn
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM outbox WHERE account = ?1 AND conversation = ?2 AND live = 1
             AND id > ?3 ORDER BY id LIMIT ?4"
        ))
        .map_err(failed)?;
    let account = conversation.account.as_str();
    let place = json("a conversation", conversation)?;
    let lane = params![account, place, int(after.0), count(limit)];
    read(statement.query(lane).map_err(failed)?)
}

pub(super) fn outbound(conn: &Connection, key: &OutboundKey) -> Result<Option<OutboundRow>> {
    let sql = format!("SELECT {COLUMNS} FROM outbox WHERE key = ?1");
    let mut statement = conn.prepare_cached(&sql).map_err(failed)?;
    let mut rows = statement.query([key.as_str()]).map_err(failed)?;
    rows.next().map_err(failed)?.map(outbound_row).transpose()
}

pub(super) fn undelivered(conn: &Connection, limit: usize) -> Result<Vec<OutboundRow>> {
    let mut statement = conn
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM outbox INDEXED BY outbox_undelivered
             WHERE live = 0 AND state ->> 'state' <> 'sent' ORDER BY id DESC LIMIT ?1"
        ))
        .map_err(failed)?;
    read(statement.query([count(limit)]).map_err(failed)?)
}

fn read(mut rows: Rows<'_>) -> Result<Vec<OutboundRow>> {
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        found.push(outbound_row(row)?);
    }
    Ok(found)
}

fn outbound_row(row: &Row<'_>) -> Result<OutboundRow> {
    fn stored<T: serde::de::DeserializeOwned>(
        row: &Row<'_>,
        column: usize,
        what: &'static str,
    ) -> Result<T> {
        let text = row.get_ref(column).and_then(|text| Ok(text.as_str()?)).map_err(failed)?;
        serde_json::from_str(text).map_err(|error| unreadable(what, error))
    }
    let text = |column: usize| row.get::<_, String>(column).map_err(failed);
    let option = |column: usize| row.get::<_, Option<String>>(column).map_err(failed);
    let session = option(4)?.map(|key| key.parse()).transpose();
    Ok(OutboundRow {
        id: OutboundId(row.get::<_, i64>(0).map_err(failed)?.unsigned_abs()),
        new: NewOutbound {
            key: OutboundKey::from(text(1)?),
            conversation: stored(row, 2, "conversation")?,
            group: OutboundKey::from(text(3)?),
            session: session.map_err(|error| unreadable("session key", error))?,
            edits: option(5)?.map(OutboundKey::from),
            action: stored(row, 6, "action")?,
            at: Timestamp(row.get(7).map_err(failed)?),
        },
        state: stored(row, 8, "state")?,
        attempts: row.get(9).map_err(failed)?,
        not_before: row.get::<_, Option<i64>>(10).map_err(failed)?.map(Timestamp),
    })
}
