//! What must hold in the end, by the world's counts and by the gateway's own log.

use std::collections::{BTreeMap, BTreeSet};

use openclaw_core::{
    Seq, SessionKey,
    message::Message,
    store::SessionStore as _,
    turn::{Entry, Session, decode},
};
use openclaw_memory::sqlite::Sqlite;

use super::world::{Shown, World};

/// All that is wrong.
pub(super) async fn faults(world: &World) -> Vec<String> {
    let mut faults = Vec::new();
    replies(world, &mut faults);
    deeds(world, &mut faults);
    let store = Sqlite::open(&world.path).await.unwrap();
    let findings = store.doctor().await.unwrap();
    faults.extend(findings.problems.iter().map(|problem| format!("the file: {problem}")));
    let dead = store.dead_letters(100).await.unwrap();
    if dead.len() != usize::from(world.story.poison) {
        faults.push(format!("dead letters: {dead:?}"));
    }
    let mut turns = BTreeMap::new();
    for (key, head) in store.sessions(None, 1_000).await.unwrap() {
        log(&store, &key, head.seq, &mut turns, &mut faults).await;
    }
    for (event, times) in turns.iter().filter(|(_, times)| **times != 1) {
        faults.push(format!("{event} was answered by {times} turns"));
    }
    for (account, events) in &world.said {
        let answered = |event: &&super::wire::Event| {
            event.text.contains("[[")
                && !turns
                    .keys()
                    .any(|key| key == &format!("{account} {}", key_of(&event.peer, event.offset)))
        };
        faults.extend(events.iter().filter(answered).map(|event| format!("{event:?} is lost")));
    }
    store.close().await.unwrap();
    faults
}

fn key_of(peer: &str, offset: u64) -> String {
    openclaw_core::EventKey::message(peer, &offset.to_string()).as_str().to_owned()
}

/// Every conversation shows what it must, once and in order; where nobody can know what a kill cut off,
/// it may be shown once more for each kill, and that is told.
fn replies(world: &World, faults: &mut Vec<String>) {
    for ((account, peer), shown) in &world.shown {
        let mut seen = BTreeMap::<&str, &Shown>::new();
        for one in shown {
            let Some(first) = seen.insert(&one.key, one) else { continue };
            let blind = account.starts_with("blind");
            // Only a crash between the send and its record can do that, and it is told.
            if !blind || first.life == one.life || !world.doubtful.contains(&one.key) {
                faults.push(format!("{account} {peer}: doubled: {:?}", one.text));
            }
        }
        let texts: BTreeSet<&str> = seen.values().map(|shown| shown.text.as_str()).collect();
        if texts.len() != seen.len() {
            faults.push(format!("{account} {peer}: the same under two keys: {shown:?}"));
        }
    }
    for (account, peer, expected) in world.story.expected() {
        let mut shown: Vec<&Shown> = Vec::new();
        for one in world.seen(account, peer) {
            if !shown.iter().any(|before| before.key == one.key) {
                shown.push(one);
            }
        }
        let fits = shown.len() == expected.len()
            && shown
                .iter()
                .zip(&expected)
                .all(|(shown, texts)| texts.split('|').any(|text| shown.text.contains(text)));
        if !fits {
            faults.push(format!("{account} {peer}: expected {expected:?}, people see {shown:#?}"));
        }
    }
    for text in world.story.told_the_owner() {
        let seen = world.seen("keyed:main", "boss");
        let times = seen.iter().filter(|shown| shown.text.contains(text)).count();
        if times != 1 {
            faults.push(format!("the owner is told {text:?} {times} times"));
        }
    }
}

/// What acts for good acted once, or not at all if that was said to be unknown.
fn deeds(world: &World, faults: &mut Vec<String>) {
    let mut times = BTreeMap::<(&str, &str), usize>::new();
    for deed in &world.deeds {
        *times.entry((&deed.tool, &deed.argument)).or_default() += 1;
    }
    for ((tool, order), times) in &times {
        if matches!(*tool, "wire" | "book") && *times > 1 {
            faults.push(format!("{tool} acted {times} times on {order}"));
        }
    }
    let repeatable = |tool: &str| matches!(tool, "read" | "hang");
    let keys: BTreeSet<_> = world
        .deeds
        .iter()
        .filter(|deed| repeatable(&deed.tool))
        .map(|deed| (&deed.tool, &deed.argument, &deed.key))
        .collect();
    let calls: BTreeSet<_> = keys.iter().map(|(tool, argument, _)| (tool, argument)).collect();
    if keys.len() != calls.len() {
        faults.push(format!("a call was repeated under another key: {keys:?}"));
    }
    for shown in world.shown.values().flatten() {
        for order in ["order-owner", "order-blind", "order-booked", "late"] {
            let did = shown.text == format!("did {order}") || shown.text == format!("{order} did");
            let order = if order == "late" { "order-late" } else { order };
            let acted = times.iter().any(|((_, argument), _)| *argument == order);
            if did && !acted {
                faults.push(format!("{:?}, but it was not done", shown.text));
            }
        }
        if world.lives == 1 && shown.text.contains("unknown") {
            faults.push(format!("without a crash: {:?}", shown.text));
        }
    }
}

/// Folds a session's log: no turn is left open, every call has a result, every event has its turn.
async fn log(
    store: &Sqlite,
    key: &SessionKey,
    end: Seq,
    turns: &mut BTreeMap<String, usize>,
    faults: &mut Vec<String>,
) {
    let (mut session, mut after) = (Session::new(), Seq::ZERO);
    let (mut calls, mut results) = (BTreeSet::new(), Vec::new());
    while after < end {
        for row in store.read(key, after, 512).await.unwrap() {
            after = row.seq;
            let entry = match decode(&row) {
                Ok(Some(entry)) => entry,
                other => {
                    faults.push(format!("{key}: {other:?} at {}", row.seq));
                    return;
                }
            };
            if let Entry::Started { messages, .. } | Entry::Joined { messages, .. } = &entry {
                for message in messages {
                    if let Message::User { key: Some(event), .. } = message {
                        let account = &key.conversation().account;
                        *turns.entry(format!("{account} {}", event.as_str())).or_default() += 1;
                    }
                }
            }
            // A checkpoint repeats what was there before it.
            let before = if entry.is_checkpoint() { usize::MAX } else { session.history().len() };
            let dropped = match &entry {
                Entry::Compacted { dropped, kept, .. } => dropped.saturating_sub(1 + kept.len()),
                _ => 0,
            };
            if let Err(error) = session.apply(row.seq, row.at, &entry) {
                faults.push(format!("{key}: {error} at {}", row.seq));
                return;
            }
            for message in session.history().iter().skip(before.saturating_sub(dropped)) {
                match message.as_ref() {
                    Message::Assistant { calls: made, .. } => {
                        calls.extend(made.iter().map(|call| call.id));
                    }
                    Message::Tool { call, .. } => results.push(*call),
                    _ => {}
                }
            }
        }
    }
    if session.turn().is_some() {
        faults.push(format!("{key}: a turn is left open"));
    }
    let answered: BTreeSet<_> = results.iter().copied().collect();
    if answered != calls || answered.len() != results.len() {
        faults.push(format!("{key}: calls {calls:?}, results {results:?}"));
    }
}
