//! What must hold of every world when all is over.

use std::collections::{BTreeMap, BTreeSet};

use openclaw_core::{
    Conversation, OutboundKey, Seq, SessionKey,
    channel::Delivery,
    label::Integrity,
    message::{Action, Message, plain_text},
    store::{LogRow, OutboundRow, OutboundState, OutboxStore as _, SessionStore as _},
    tool::Capability,
    turn::{Answer, Cause, Entry, Outcome, Session, decode},
};
use serde_json::Value;

use super::{
    channel::{Platform, Seen, Uttered},
    model::EVIL,
    scenario::Scene,
};
use crate::replay::follows;

/// The whole log of a session.
struct Log {
    key: SessionKey,
    entries: Vec<(LogRow, Entry)>,
}

pub(super) async fn check(scene: &Scene) {
    let mut logs = Vec::new();
    for (key, _) in scene.store.sessions(None, 1_000).await.unwrap() {
        let rows = scene.store.read(&key, Seq::ZERO, usize::MAX).await.unwrap();
        let entries = rows.into_iter().map(|row| {
            let entry = decode(&row).unwrap().unwrap();
            (row, entry)
        });
        logs.push(Log { entries: entries.collect(), key });
    }
    inputs(scene, &logs).await;
    turns(scene, &logs);
    outbox(scene).await;
    effects(scene, &logs);
    logs.iter().for_each(|log| labels(scene, log));
    logs.iter().for_each(|log| steps(scene, log));
}

/// What came about in a world, so that it can be known whether all that may happen ever does.
pub(super) async fn came_about(scene: &Scene) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let name = |value: &Value, tag: &str| value[tag].as_str().unwrap_or_default().to_owned();
    for (key, _) in scene.store.sessions(None, 1_000).await.unwrap() {
        all.insert(format!("agent {}", key.agent()));
        if scene.lets_in(key.conversation()) {
            all.insert("let in".to_owned());
        }
        for row in scene.store.read(&key, Seq::ZERO, usize::MAX).await.unwrap() {
            all.insert(format!("entry {}", row.kind));
            for text in ["edits the earlier", "deleted the earlier", "reacted to message"] {
                let holds = row.payload.as_ref().is_some_and(|payload| payload.contains(text));
                all.extend(holds.then(|| text.to_owned()));
            }
            match decode(&row) {
                Ok(Some(Entry::Ended { outcome })) => {
                    let outcome = serde_json::to_value(outcome).unwrap();
                    all.insert(format!("outcome {}", name(&outcome, "outcome")));
                }
                Ok(Some(Entry::Answered { answer, .. })) => {
                    let answer = serde_json::to_value(answer).unwrap();
                    all.insert(format!("answer {}", name(&answer, "answer")));
                }
                _ => {}
            }
        }
    }
    let rows = scene.world.happened.lock().unwrap().outbox.clone();
    for row in rows {
        let Some(stored) = scene.store.outbound(&row.key).await.unwrap() else { continue };
        if row.group != row.key {
            all.insert("sent in pieces".to_owned());
        }
        let state = serde_json::to_value(stored.state).unwrap();
        all.insert(format!("sent {}", name(&state, "state")));
    }
    if scene.world.happened.lock().unwrap().trace.iter().any(|line| line.ends_with(" reloaded")) {
        all.insert("reloaded".to_owned());
    }
    if !scene.store.dead_letters(1).await.unwrap().is_empty() {
        all.insert("dead letter".to_owned());
    }
    all
}

/// The pure turn, given the log alone, would have done the same.
fn steps(scene: &Scene, log: &Log) {
    let mut session = Session::new();
    for (row, entry) in &log.entries {
        let step = session.step();
        if !follows(&step, entry) {
            let (key, seq) = (&log.key, row.seq);
            scene.world.violation(format!("{key} {seq}: {step:?} is followed by {entry:?}"));
        }
        if let Err(error) = session.apply(row.seq, row.at, entry) {
            scene.world.violation(format!("{} {}: {error}", log.key, row.seq));
            return;
        }
    }
}

fn messages(entry: &Entry) -> &[Message] {
    match entry {
        Entry::Started { messages, .. } | Entry::Joined { messages, .. } => messages,
        Entry::Noted { message } => std::slice::from_ref(message),
        _ => &[],
    }
}

fn keys(log: &Log) -> impl Iterator<Item = String> {
    let said = log.entries.iter().flat_map(|(_, entry)| messages(entry));
    said.filter_map(|message| match message {
        Message::User { key, .. } => key.as_ref().map(|key| key.as_str().to_owned()),
        _ => None,
    })
}

/// Everything that was said was accepted, is in one log or a dead letter, and in the order in which it
/// was said.
async fn inputs(scene: &Scene, logs: &[Log]) {
    let world = &scene.world;
    let dead = scene.store.dead_letters(1_000).await.unwrap();
    let dead: BTreeSet<&str> = dead.iter().map(|letter| letter.input.key.as_str()).collect();
    let accepted = world.happened.lock().unwrap().accepted.clone();
    let mut worked: BTreeMap<String, usize> = BTreeMap::new();
    for key in logs.iter().flat_map(keys) {
        *worked.entry(key).or_default() += 1;
    }
    for platform in [&scene.alpha, &scene.beta] {
        let mut order: BTreeMap<Conversation, Vec<String>> = BTreeMap::new();
        for Uttered { place, key, command } in platform.all_said() {
            let name = key.as_str().to_owned();
            let refused = platform.is_refused(&key);
            if !refused && !accepted.contains(&name) {
                world.violation(format!("lost: {name} was said and never accepted"));
            }
            let times = worked.get(&name).copied().unwrap_or(0);
            if times > 1 || (times > 0 && (refused || command)) {
                world.violation(format!("{name} is in the logs {times} times"));
            }
            // A turn that is given up has its messages in the log, and they are dead letters.
            if times == 0 && !refused && !command && !dead.contains(name.as_str()) {
                world.violation(format!("{name} was accepted and is in no log"));
            }
            if times == 1 && !platform.is_late(&key) {
                order.entry(place).or_default().push(name);
            }
        }
        for log in logs {
            let Some(said) = order.get(log.key.conversation()) else { continue };
            let heard: Vec<String> = keys(log).filter(|key| said.contains(key)).collect();
            let said: Vec<String> =
                said.iter().filter(|key| heard.contains(key)).cloned().collect();
            if said != heard {
                world.violation(format!("{}: said {said:?}, heard {heard:?}", log.key));
            }
        }
    }
}

/// Every turn has an end, what it says goes out with that end, and what was consumed is in the log.
fn turns(scene: &Scene, logs: &[Log]) {
    let world = &scene.world;
    for log in logs {
        let mut open = false;
        for (row, entry) in &log.entries {
            match entry {
                Entry::Started { .. } => open = true,
                Entry::Ended { outcome } => {
                    open = false;
                    world.log(format!("{} {} {outcome:?}", log.key, row.seq));
                }
                _ => {}
            }
        }
        if open {
            world.violation(format!("{}: a turn has no end", log.key));
        }
    }
    let commits = world.happened.lock().unwrap().commits.clone();
    for (key, batch) in &commits {
        for row in &batch.entries {
            let Ok(Some(Entry::Ended { outcome })) = decode(row) else { continue };
            let speaks = outcome == Outcome::Replied || outcome.notice().is_some();
            let said = batch.outbox.iter().any(|row| row.conversation == *key.conversation());
            if speaks && !said {
                world.violation(format!("{key} {}: {outcome:?} is told to nobody", row.seq));
            }
        }
    }
}

/// What was to be sent was: once where that can be known, in order, and nothing else.
async fn outbox(scene: &Scene) {
    let world = &scene.world;
    let (new, unknown, denied) = {
        let happened = world.happened.lock().unwrap();
        (happened.outbox.clone(), happened.unknown.clone(), happened.denied.clone())
    };
    let mut rows: BTreeMap<OutboundKey, OutboundRow> = BTreeMap::new();
    for row in &new {
        let stored = scene.store.outbound(&row.key).await.unwrap();
        rows.insert(row.key.clone(), stored.unwrap());
    }
    for platform in [&scene.alpha, &scene.beta] {
        let mut seen: BTreeMap<OutboundKey, usize> = BTreeMap::new();
        let mut order: BTreeMap<Conversation, Vec<OutboundKey>> = BTreeMap::new();
        for message in platform.seen() {
            let times = seen.entry(message.key.clone()).or_default();
            *times += 1;
            if *times == 1 {
                order.entry(message.conversation.clone()).or_default().push(message.key.clone());
            }
            if message.text.contains("is set aside: ") {
                world.violation(format!("quarantined: {}", message.text));
            }
            match rows.get(&message.key) {
                Some(row) if row.new.conversation == message.conversation => {}
                _ => world.violation(format!("nobody wanted to send {message:?}")),
            }
        }
        for (place, order) in order {
            let ids: Vec<_> = order.iter().filter_map(|key| rows.get(key)).map(|r| r.id).collect();
            if !ids.is_sorted() {
                world.violation(format!("{place}: sent out of order {ids:?}"));
            }
        }
        for row in rows.values().filter(|row| row.new.conversation.account == platform.account) {
            let times = seen.get(&row.new.key).copied().unwrap_or(0);
            settled(scene, platform, row, times, unknown.get(&row.new.key).copied().unwrap_or(0));
        }
        for message in platform.seen() {
            shown(scene, &rows, &message);
        }
    }
    for row in rows.values().filter(|row| matches!(row.state, OutboundState::Failed { .. })) {
        let refused = |other: &OutboundRow| {
            let text = text_of(other);
            other.new.group == row.new.group
                && [Some(&other.new.key), other.new.edits.as_ref()]
                    .into_iter()
                    .flatten()
                    .any(|key| denied.contains(&(key.clone(), text.clone())))
        };
        if !rows.values().any(refused) {
            world.violation(format!("{} was given up, and nobody refused it", row.new.key));
        }
    }
}

fn text_of(row: &OutboundRow) -> String {
    match &row.new.action {
        Action::Send { content, .. } | Action::Edit { content, .. } => plain_text(content),
        _ => String::new(),
    }
}

/// People see what was sent last: a message as it was sent, or as it was changed to be.
fn shown(scene: &Scene, rows: &BTreeMap<OutboundKey, OutboundRow>, message: &Seen) {
    let Some(sent) = rows.get(&message.key) else { return };
    let edits = rows.values().filter(|row| row.new.edits.as_ref() == Some(&message.key));
    let edits: Vec<&OutboundRow> = edits.collect();
    let settled = |row: &&&OutboundRow| matches!(row.state, OutboundState::Sent { .. });
    let last = edits.iter().filter(settled).max_by_key(|row| row.id);
    let fits = match last {
        Some(edit) => message.text == text_of(edit),
        // What it grew to is stored nowhere.
        None if is_preview(scene, &message.key) => true,
        None => message.text == text_of(sent),
    };
    if !fits {
        scene.world.violation(format!("{message:?} is not what was sent last: {sent:?} {last:?}"));
    }
}

fn is_preview(scene: &Scene, key: &OutboundKey) -> bool {
    let happened = scene.world.happened.lock().unwrap();
    let mut entries = happened.commits.iter().flat_map(|(_, batch)| &batch.entries);
    entries.any(
        |row| matches!(decode(row), Ok(Some(Entry::Previewed { key: shown })) if shown == *key),
    )
}

fn settled(scene: &Scene, platform: &Platform, row: &OutboundRow, times: usize, unknown: usize) {
    let key = &row.new.key;
    let blind = platform.capabilities.delivery == Delivery::Blind;
    let violation = |what: &str| {
        scene.world.violation(format!(
            "{key} in state {:?} was seen {times} times, {unknown} times unknown: {what}",
            row.state
        ));
    };
    if times > 1 && !blind {
        violation("doubled");
    }
    if blind && times > 1 + unknown {
        violation("doubled, and nobody was told");
    }
    if blind && scene.at_most_once && times > 1 {
        violation("doubled where that was not wanted");
    }
    let sends = matches!(row.new.action, Action::Send { .. });
    match &row.state {
        OutboundState::Sent { .. } if sends && times == 0 => violation("lost"),
        OutboundState::Unknown if !(blind && scene.at_most_once) => violation("given up too early"),
        OutboundState::Pending | OutboundState::Sending { .. } => violation("never settled"),
        _ => {}
    }
}

/// No effect that cannot be repeated happened twice, and none that untrusted text asked for without
/// the owner's leave.
fn effects(scene: &Scene, logs: &[Log]) {
    let world = &scene.world;
    let effects = world.happened.lock().unwrap().effects.clone();
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for effect in &effects {
        let count = times.entry(&effect.key).or_default();
        *count += 1;
        if *count > 1 && !effect.repeatable {
            world.violation(format!("{effect:?} happened {count} times"));
        }
        let guarded = matches!(
            effect.capability,
            Capability::Communicate
                | Capability::Spend
                | Capability::WriteIrreversible
                | Capability::Configure
        );
        let tainted = effect.context.integrity == Integrity::Untrusted
            || effect.arguments.to_string().contains(EVIL);
        if !guarded || !tainted {
            continue;
        }
        let log = logs.iter().find(|log| log.key == effect.session);
        let allowed = log.is_some_and(|log| has_leave(log, &effect.call, &effect.arguments));
        if effect.capability == Capability::Configure || !allowed {
            world.violation(format!("without leave: {effect:?}"));
        }
    }
}

/// True if the owner was asked for this very call, and gave leave.
fn has_leave(log: &Log, call: &str, arguments: &Value) -> bool {
    let decisions = log.entries.iter().filter_map(|(_, entry)| match entry {
        Entry::Decided { decisions } => Some(decisions),
        _ => None,
    });
    let mut asked = decisions.flatten().filter_map(|decision| decision.ask.as_ref());
    let Some(ask) =
        asked.find(|ask| ask.call.id.to_string() == call && ask.call.arguments == *arguments)
    else {
        return false;
    };
    log.entries.iter().any(|(_, entry)| match entry {
        Entry::Answered { approval, answer: Answer::Allowed { by } }
        | Entry::Started {
            cause: Cause::Approval { approval, answer: Answer::Allowed { by } },
            ..
        } => *approval == ask.approval && by.is_owner(),
        _ => false,
    })
}

/// Whatever holds a marked text is labelled untrusted.
fn labels(scene: &Scene, log: &Log) {
    for (row, _) in &log.entries {
        let payload: Value = serde_json::from_str(row.payload.as_deref().unwrap()).unwrap();
        let trusted = row.label.integrity > Integrity::Untrusted;
        if let Some(text) = mislabelled(&payload, trusted) {
            let (key, seq, kind) = (&log.key, row.seq, &row.kind);
            scene.world.violation(format!("label lost: {key} {seq} {kind}: {text}"));
        }
    }
}

/// A marked text whose nearest label says that it can be trusted.
fn mislabelled(value: &Value, trusted: bool) -> Option<&str> {
    match value {
        Value::String(text) => (trusted && text.contains(EVIL)).then_some(text),
        Value::Array(items) => items.iter().find_map(|item| mislabelled(item, trusted)),
        Value::Object(members) => {
            let label = members.get("label").and_then(|label| label.get("integrity"));
            let trusted = label.map_or(trusted, |integrity| integrity != "untrusted");
            members.values().find_map(|member| mislabelled(member, trusted))
        }
        _ => None,
    }
}
