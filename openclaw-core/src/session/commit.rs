//! What a run wrote becomes durable: entries, messages, records and what was read, in one commit.

use super::run::Run;
use crate::{
    error::Result,
    fault::Act,
    gateway::Answered,
    id::{Conversation, EventKey, Seq, TurnId},
    provider::Usage,
    store::{Batch, InputId, NewOutbound, RecordWrite, SessionUpdate},
    time::Timestamp,
    turn::{Entry, Outcome, encode},
};

/// What was applied in memory and is not yet committed.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) entries: Vec<(Seq, Timestamp, Entry)>,
    pub(super) consumed: Vec<InputId>,
    pub(super) dead: Vec<(InputId, String)>,
    pub(super) outbox: Vec<NewOutbound>,
    pub(super) records: Vec<RecordWrite>,
    /// What those who wait for controls are told once it is durable.
    pub(super) answers: Vec<(EventKey, String)>,
    /// The events of inputs that cannot be read.
    pub(super) unreadable: Vec<EventKey>,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
            && self.consumed.is_empty()
            && self.dead.is_empty()
            && self.outbox.is_empty()
            && self.records.is_empty()
    }
}

impl Run<'_> {
    /// Appends an entry in memory; [`flush`](Self::flush) makes it durable.
    pub(super) fn record(&mut self, entry: Entry) -> Result<()> {
        let (seq, at) = (self.session.seq().next(), self.hub.now());
        self.session.apply(seq, at, &entry)?;
        if let (Entry::Started { .. } | Entry::Joined { .. }, Some(turn)) =
            (&entry, self.session.turn())
        {
            self.hub.waiters.begun(self.key, turn.keys().iter(), turn.id());
        }
        self.pending.entries.push((seq, at, entry));
        Ok(())
    }

    /// Commits what was appended. Nothing acts before this.
    pub(super) async fn flush(&mut self) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let Pending { entries, consumed, dead, outbox, records, answers, unreadable } =
            std::mem::take(&mut self.pending);
        let rows: Result<Vec<_>> =
            entries.iter().map(|(seq, at, entry)| encode(*seq, *at, entry)).collect();
        let checkpoint = entries
            .iter()
            .rev()
            .find(|(_, _, entry)| entry.is_checkpoint())
            .map(|(seq, ..)| Seq(seq.0.saturating_sub(1)));
        let lanes: Vec<Conversation> = outbox.iter().map(|row| row.conversation.clone()).collect();
        let dead_letters = !dead.is_empty();
        let batch = Batch {
            entries: rows?,
            consumed,
            dead,
            outbox,
            records: records.clone(),
            session: SessionUpdate {
                checkpoint,
                open: self.session.turn().is_some(),
                wake_at: self.session.wake_at(),
            },
        };
        let acts = || acts(&entries, dead_letters, !answers.is_empty());
        let commit = self.hub.store.commit(&self.lease, self.key, self.committed, batch);
        let done = self.hub.faults.around_all(acts, commit).await;
        self.hub.written(done, &records, lanes)?;
        self.committed = self.session.seq();
        if self.session.turn().is_none_or(|turn| turn.attempts() == 0) {
            // It came further than before: others may.
            self.alone = None;
        }
        self.hub.waiters.look_again_for(self.key, unreadable.iter());
        for (key, text) in answers {
            let answered = Answered {
                turn: TurnId(self.committed),
                outcome: Outcome::Replied,
                reply: Some(text),
                usage: Usage::default(),
            };
            self.hub.waiters.answered(self.key, [&key].into_iter(), &answered);
        }
        Ok(())
    }

    /// Commits what was appended if somebody waits to hear of it.
    pub(super) async fn flush_said(&mut self) -> Result<()> {
        if self.pending.outbox.is_empty() && self.pending.answers.is_empty() {
            return Ok(());
        }
        self.flush().await
    }

    /// Tells whoever waits for this control what came of it, once that is durable.
    pub(super) fn answer_control(&mut self, key: &EventKey, text: &str) {
        self.pending.answers.push((key.clone(), text.to_owned()));
    }

    pub(super) fn consume(&mut self, input: InputId) {
        self.pending.consumed.push(input);
    }

    pub(super) fn write(&mut self, record: RecordWrite) {
        self.pending.records.push(record);
    }
}

/// What a commit does.
fn acts(entries: &[(Seq, Timestamp, Entry)], dead_letters: bool, controls: bool) -> Vec<Act> {
    let mut acts: Vec<Act> = entries.iter().map(|(_, _, entry)| Act::of(entry)).collect();
    acts.dedup();
    acts.extend(dead_letters.then_some(Act::DeadLetter));
    acts.extend(controls.then_some(Act::Control));
    acts
}
