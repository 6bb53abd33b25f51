//! What must hold in the end, by the world's counts and by the gateway's own log.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use openclaw_core::{
    CallId, Seq, SessionKey,
    layer::{DEFAULT_BUDGET_OUTPUT_TOKENS, SPEND_SPACE, Spent},
    message::Message,
    store::{Record, RecordStore as _, SessionStore as _},
    turn::{Entry, Session, decode},
};
use openclaw_memory::sqlite::Sqlite;

use super::{
    gateway::PRICE,
    world::{Shown, World},
};
use crate::common::folder;

/// All that is wrong.
pub(super) async fn faults(world: &World) -> Vec<String> {
    let mut faults = Vec::new();
    replies(world, &mut faults);
    deeds(world, &mut faults);
    orders(world, &mut faults);
    let store = Sqlite::open(&world.path).await.unwrap();
    let findings = store.doctor().await.unwrap();
    faults.extend(findings.problems.iter().map(|problem| format!("the file: {problem}")));
    let dead = store.dead_letters(100).await.unwrap();
    if dead.len() != usize::from(world.story.poison) {
        faults.push(format!("dead letters: {dead:?}"));
    }
    let (mut turns, mut costs) = (BTreeMap::new(), Vec::new());
    for (key, head) in store.sessions(None, 1_000).await.unwrap() {
        costs.extend(log(&store, &key, head.seq, &mut turns, &mut faults).await);
    }
    books(&store, &costs, &mut faults).await;
    for (event, times) in turns.iter().filter(|(_, times)| **times != 1) {
        faults.push(format!("{event} was answered by {times} turns"));
    }
    if turns.keys().any(|event| event.ends_with("gone")) {
        faults.push("what was erased is still in the log".to_owned());
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
        let mut again = BTreeMap::<&str, usize>::new();
        for one in shown {
            let Some(last) = seen.insert(&one.key, one) else { continue };
            let times = again.entry(&one.key).or_default();
            *times += 1;
            let told = world.doubtful.get(&one.key).copied().unwrap_or(0);
            let blind = account.starts_with("blind");
            // Only a crash between the send and its record can do that: once, and each time it is told.
            if !blind || last.life == one.life || *times > told {
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

/// What a life that has ended left begun and not ended, by what is durable: the arguments of the calls.
pub(super) fn under_way(path: &Path) -> BTreeSet<String> {
    // A copy: what the next life finds must be what this one left.
    let (_folder, copy) = folder();
    for suffix in ["", "-wal"] {
        let name = |path: &Path| format!("{}{suffix}", path.display());
        std::fs::copy(name(path), name(&copy)).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Sqlite::open(&copy).await.unwrap();
        let mut arguments = BTreeSet::new();
        for (key, _) in store.sessions(None, 1_000).await.unwrap() {
            let (mut calls, mut begun) = (BTreeMap::new(), BTreeSet::new());
            for row in store.read(&key, Seq::ZERO, usize::MAX).await.unwrap() {
                match decode(&row) {
                    Ok(Some(Entry::Replied { calls: made, .. })) => {
                        for (index, (_, input)) in (0..).zip(made) {
                            let of = input["of"].as_str().unwrap_or_default().to_owned();
                            calls.insert(CallId { seq: row.seq, index }, of);
                        }
                    }
                    Ok(Some(Entry::ToolStarted { call })) => drop(begun.insert(call)),
                    Ok(Some(Entry::ToolFinished { call, .. })) => drop(begun.remove(&call)),
                    _ => {}
                }
            }
            arguments.extend(begun.iter().filter_map(|call| calls.remove(call)));
        }
        store.close().await.unwrap();
        arguments
    })
}

/// What was ordered was done once; only where a life ended while the call was under way may it be said
/// to be unknown instead.
fn orders(world: &World, faults: &mut Vec<String>) {
    for (line, order) in
        [("r1", "order-owner"), ("w1", "order-blind"), ("d1", "order-late"), ("o1", "order-booked")]
    {
        if !world.story.told.contains(line) {
            continue;
        }
        let deeds = world.deeds.iter().filter(|deed| deed.argument == order).count();
        let says = |how: &str| {
            let (text, late) = (format!("{how} {order}"), format!("late {how}"));
            let mut shown = world.shown.values().flatten();
            // A detached order is spoken of in a turn that began with something else.
            shown.any(|one| one.text == text || (line == "d1" && one.text.starts_with(&late)))
        };
        let (did, unknown) = (says("did"), says("unknown"));
        // What can be asked whether it was done is not unknown if it was.
        let may_be_unknown =
            world.cut_off.contains(order) && !(order == "order-booked" && deeds == 1);
        if unknown && (did || !may_be_unknown) {
            faults.push(format!(
                "{order} is said to be unknown; cut off were {:?}, done was it {deeds} times",
                world.cut_off
            ));
        }
        if !unknown && (!did || deeds != 1) {
            faults.push(format!("{order} was done {deeds} times, said to be done: {did}"));
        }
    }
}

/// What people see on one kind of platform.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    /// Different messages.
    pub(super) seen: usize,
    /// Messages that must be there and are not.
    pub(super) lost: usize,
    /// Messages that are there once more.
    pub(super) doubled: usize,
}

/// What people see, by kind of platform.
pub(super) fn count(world: &World) -> BTreeMap<String, Count> {
    let kind = |account: &str| account.split(':').next().unwrap_or_default().to_owned();
    let mut counts = BTreeMap::<String, Count>::new();
    for ((account, _), shown) in &world.shown {
        let keys: BTreeSet<_> = shown.iter().map(|shown| &shown.key).collect();
        let count = counts.entry(kind(account)).or_default();
        count.seen += keys.len();
        count.doubled += shown.len() - keys.len();
    }
    for (account, peer, expected) in world.story.expected() {
        let seen = world.seen(account, peer);
        let is_seen = |text: &str| seen.iter().any(|shown| shown.text.contains(text));
        let lost = expected.iter().filter(|texts| !texts.split('|').any(is_seen)).count();
        counts.entry(kind(account)).or_default().lost += lost;
    }
    counts
}

/// What is booked is at least what the logged replies cost, as a kill takes nothing back. A reply is
/// logged after its charge was settled, so only charges without one may still be booked whole.
async fn books(store: &Sqlite, costs: &[u64], faults: &mut Vec<String>) {
    // More than one if it became midnight.
    let books = store.records(SPEND_SPACE, "everyone/", None, 10).await.unwrap();
    let spent = |record: &Record| serde_json::from_str::<Spent>(&record.value).unwrap();
    let booked: u64 = books.iter().map(|record| spent(record).micro_usd).sum();
    let charges: u64 = books.iter().map(|record| spent(record).charges).sum();
    let (used, replies) = (costs.iter().sum::<u64>(), u64::try_from(costs.len()).unwrap());
    // All of the output, and three times as many bytes of input: no request here is that long.
    let whole = 4 * u64::from(DEFAULT_BUDGET_OUTPUT_TOKENS);
    if booked < used || replies > charges || booked - used > (charges - replies) * whole {
        faults.push(format!(
            "{replies} replies cost {used}, {booked} are booked by {charges} charges"
        ));
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
        if world.lives == 1 && shown.text.contains("unknown") {
            faults.push(format!("without a crash: {:?}", shown.text));
        }
    }
}

/// Folds a session's log: no turn is left open, every call has a result, every event has its turn. What
/// its model calls cost.
async fn log(
    store: &Sqlite,
    key: &SessionKey,
    end: Seq,
    turns: &mut BTreeMap<String, usize>,
    faults: &mut Vec<String>,
) -> Vec<u64> {
    let (mut session, mut after, mut costs) = (Session::new(), Seq::ZERO, Vec::new());
    let (mut calls, mut results) = (BTreeSet::new(), Vec::new());
    while after < end {
        for row in store.read(key, after, 512).await.unwrap() {
            after = row.seq;
            let entry = match decode(&row) {
                Ok(Some(entry)) => entry,
                // What the application had erased.
                Ok(None) if key.conversation().peer.as_str() == "gone" => {
                    session.skip(row.seq).unwrap();
                    continue;
                }
                other => {
                    faults.push(format!("{key}: {other:?} at {}", row.seq));
                    return costs;
                }
            };
            if let Entry::Replied { usage, .. } | Entry::Compacted { usage, .. } = &entry {
                costs.extend(Some(PRICE.cost(usage)).filter(|cost| *cost > 0));
            }
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
                return costs;
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
    costs
}
