//! What became of an event, by what is stored.

use super::{Answered, Hub, MAX_SESSION_PENDING};
use crate::{
    error::Result,
    hook::{HookContext, filter_reply},
    id::{EventKey, Seq, SessionKey, TurnId},
    store::InputId,
    turn::{Entry, Session, decode},
};

/// How many log rows or inputs are read at once.
const PAGE: usize = 512;
/// How many dead letters are looked through for an event, from the newest on.
#[expect(clippy::cast_possible_truncation, reason = "a small constant")]
const DEAD_LETTERS: usize = 4 * MAX_SESSION_PENDING as usize;

/// Where an event stands that was accepted before.
pub(super) enum Found {
    /// It waits for its turn.
    Pending,
    /// This turn works on it.
    Begun(TurnId),
    /// Its turn is over.
    Answered(Answered),
    /// It was given up, for this reason.
    Dead(String),
    /// There is no trace of it: it was a command, or what is known of it was erased.
    Unknown,
}

/// Looks for an event. An input only ever moves from the inbox to the log or the dead letters, so the
/// order in which they are looked through misses none.
pub(super) async fn find(hub: &Hub, key: &SessionKey, event: &EventKey) -> Result<Found> {
    let checkpoint = hub.store.head(key).await?.checkpoint;
    if is_pending(hub, key, event).await? {
        // The turn that works on it is not over, and none is open at a checkpoint.
        return Ok(match in_log(hub, key, event, checkpoint).await? {
            Some(found) => found,
            None => Found::Pending,
        });
    }
    if let Some(found) = in_log(hub, key, event, checkpoint).await? {
        return Ok(found);
    }
    if checkpoint > Seq::ZERO
        && let Some(found) = in_log(hub, key, event, Seq::ZERO).await?
    {
        return Ok(found);
    }
    let dead = hub.store.dead_letters(DEAD_LETTERS).await?;
    let mut dead = dead.into_iter();
    let letter = dead.find(|letter| letter.session == *key && letter.input.key == *event);
    Ok(letter.map_or(Found::Unknown, |letter| Found::Dead(letter.reason)))
}

async fn is_pending(hub: &Hub, key: &SessionKey, event: &EventKey) -> Result<bool> {
    let mut after = InputId::default();
    loop {
        let rows = hub.store.inputs(key, after, PAGE).await?;
        if rows.iter().any(|row| row.key == *event) {
            return Ok(true);
        }
        match rows.iter().rev().find(|row| !row.control) {
            Some(last) if rows.len() == PAGE => after = last.id,
            _ => return Ok(false),
        }
    }
}

/// The turn that took the event, in the log from after `after`.
async fn in_log(
    hub: &Hub,
    key: &SessionKey,
    event: &EventKey,
    mut after: Seq,
) -> Result<Option<Found>> {
    let mut session = Session::new();
    loop {
        let rows = hub.store.read(key, after, PAGE).await?;
        let Some(last) = rows.last() else { break };
        after = last.seq;
        for row in &rows {
            let entry = decode(row).ok().flatten();
            let takes = session.turn().is_some_and(|turn| turn.keys().contains(event));
            if let (Some(Entry::Ended { outcome }), true) = (&entry, takes)
                && let Some(turn) = session.turn()
            {
                let (turn, usage) = (turn.id(), *turn.usage());
                let reply = match outcome.notice() {
                    Some(notice) => Some(notice),
                    None => replied(hub, key, &session).await,
                };
                let answered = Answered { turn, outcome: outcome.clone(), reply, usage };
                return Ok(Some(Found::Answered(answered)));
            }
            let applied = entry.map(|entry| session.apply(row.seq, row.at, &entry));
            if !matches!(applied, Some(Ok(()))) {
                // Erased, or after something that was: understood again from the next checkpoint on.
                session = Session::new();
            }
        }
    }
    let open = session.turn().filter(|turn| turn.keys().contains(event));
    Ok(open.map(|turn| Found::Begun(turn.id())))
}

/// The reply of the turn that ends here, as hooks let it pass.
async fn replied(hub: &Hub, key: &SessionKey, session: &Session) -> Option<String> {
    let turn = session.turn()?;
    let label = session.context();
    let cx = HookContext::new(key, turn.principal(), &label);
    filter_reply(&hub.plan().hooks, cx, turn.reply()?.to_owned()).await
}
