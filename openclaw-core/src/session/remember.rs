//! What is said goes into the memory, and what of it fits a turn comes back.
//!
//! The memory follows the log with a cursor of its own: what people said and what the agent answered, each
//! under an id that its place in the log gives it. So a crash between the two commits neither loses nor doubles
//! anything, and nothing that was shown from the memory, no result of a tool, no note and no summary can get
//! into it: they are no part of what is read.

use std::{collections::HashSet, sync::Arc};

use futures_util::FutureExt as _;
use serde::{Deserialize, Serialize};

use super::{context::text_tokens, run::Run};
use crate::{
    access::Principal,
    error::{Error, ErrorKind, Result},
    fault::Act,
    gateway::{Hub, Plan},
    id::{ConversationKind, Seq, SessionKey, TurnId},
    label::{Confidentiality, Label},
    memory::{FORGOTTEN, Fact, FactKind, MAX_RECALL, Memory, Query, Scope},
    message::{Content, Message, Part, plain_text},
    store::{RecordKey, RecordWrite},
    time::Timestamp,
    turn::{Entry, decode},
};

/// The space of the records that say how far the memory is.
const SPACE: &str = "memory";
/// Rows of a log that are read together.
const ROWS: usize = 256;
/// How much of a question is looked for, in characters.
const LONGEST_QUESTION: usize = 2_000;
/// How many memories are asked for: some will be in the history already.
const ASKED_FOR: usize = 24;
/// The longest piece of a memory that is shown, in characters.
const LONGEST_SHOWN: usize = 1_000;

/// How far the memory is with a session.
#[derive(Serialize, Deserialize)]
struct Cursor {
    seq: Seq,
    /// Whose turn was open there.
    principal: Option<Principal>,
}

/// What of the memory is shown in a turn.
pub(super) struct Shown {
    turn: TurnId,
    pub(super) parts: Vec<Part>,
}

/// Whose memory what is said at a place goes to: the person's, or in a group the group's own. What somebody
/// said alone with the agent does not come up among others.
pub(crate) fn scope(key: &SessionKey, principal: &Principal) -> Scope {
    let place = key.conversation();
    match place.kind {
        ConversationKind::Direct => Scope::of(key.agent().clone(), principal),
        ConversationKind::Group => {
            Scope { agent: key.agent().clone(), part: format!("group {place}") }
        }
    }
}

/// Remembers what was said in a session since the last time.
pub(crate) async fn remember(hub: &Hub, plan: &Plan, key: &SessionKey) -> Result<()> {
    let Some(memory) = plan.memory.as_deref() else { return Ok(()) };
    if !plan.agent_of(key)?.agent.remembers {
        return Ok(());
    }
    let name = RecordKey::new(SPACE, key.to_string());
    let cursor: Option<Cursor> = match hub.store.record(&name).await? {
        Some(record) => Some(serde_json::from_str(&record.value).map_err(|error| {
            Error::wrap(ErrorKind::InvalidData, error).with("record", &name.name)
        })?),
        None => None,
    };
    let mut cursor = cursor.unwrap_or(Cursor { seq: Seq::ZERO, principal: None });
    loop {
        let rows = hub.store.read(key, cursor.seq, ROWS).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        let end = last.seq;
        let mut told: Vec<(Scope, Vec<Fact>)> = Vec::new();
        for row in &rows {
            // What was erased, or is of a kind that is not known here, is passed over.
            let Ok(Some(entry)) = decode(row) else { continue };
            if let Entry::Started { principal, .. } = &entry {
                cursor.principal = Some(principal.clone());
            }
            let Some(principal) = &cursor.principal else { continue };
            let scope = scope(key, principal);
            for (index, (text, label)) in said(&entry).into_iter().enumerate() {
                let fact = fact(key, row.seq, index, text, label, row.at);
                match told.last_mut() {
                    Some((last, facts)) if *last == scope => facts.push(fact),
                    _ => told.push((scope.clone(), vec![fact])),
                }
            }
        }
        for (scope, facts) in told {
            hub.faults.around(Act::Remember, memory.remember(&scope, facts)).await?;
        }
        cursor.seq = end;
        let value = serde_json::to_string(&cursor)
            .map_err(|error| Error::wrap(ErrorKind::Internal, error))?;
        hub.write(
            vec![RecordWrite { key: name.clone(), expect: None, value: Some(value) }],
            vec![],
        )
        .await?;
        if rows.len() < ROWS {
            return Ok(());
        }
    }
}

/// What people said in an entry, or the agent at the end of a turn.
fn said(entry: &Entry) -> Vec<(String, Label)> {
    match entry {
        Entry::Started { messages, .. } | Entry::Joined { messages, .. } => {
            messages.iter().filter_map(of_message).collect()
        }
        Entry::Replied { text, calls, label, .. } if calls.is_empty() && says_something(text) => {
            vec![(text.clone(), label.clone())]
        }
        _ => Vec::new(),
    }
}

fn of_message(message: &Message) -> Option<(String, Label)> {
    let Message::User { parts, .. } = message else { return None };
    let texts = parts.iter().filter(|part| matches!(part.content, Content::Text { .. }));
    let content: Vec<Content> = texts.clone().map(|part| part.content.clone()).collect();
    let text = plain_text(&content);
    says_something(&text).then(|| (text, Label::join_all(texts.map(|part| &part.label))))
}

/// False for what has no words, or had them and was forgotten.
fn says_something(text: &str) -> bool {
    let text = text.trim();
    !text.is_empty() && text != FORGOTTEN
}

fn fact(
    key: &SessionKey,
    seq: Seq,
    index: usize,
    text: String,
    label: Label,
    at: Timestamp,
) -> Fact {
    let id = format!("{key}#{seq}.{index}");
    Fact::new(id, text, label, at).kind(FactKind::Turn).in_session(key.to_string(), seq.0)
}

impl Hub {
    /// Remembers what an earlier process did not come to.
    pub(crate) fn catch_up_memory(self: &Arc<Self>) {
        if self.plan().memory.is_none() {
            return;
        }
        let hub = Arc::clone(self);
        self.spawn(
            async move {
                if let Err(error) = hub.remember_all().await {
                    tracing::warn!(error = ?error, "not all that was said could be remembered; it is tried again at the next start");
                }
            }
            .boxed(),
        );
    }

    async fn remember_all(self: &Arc<Self>) -> Result<()> {
        let mut after = None;
        loop {
            let sessions = self.store.sessions(after.as_ref(), ROWS).await?;
            let Some((last, _)) = sessions.last() else { return Ok(()) };
            after = Some(last.clone());
            for (key, _) in &sessions {
                match remember(self, &self.plan(), key).await {
                    // Another session will fail in the same way.
                    Err(error) if error.is_transient() => return Err(error),
                    Err(error) => {
                        tracing::warn!(session = %key, error = ?error, "a session cannot be remembered");
                    }
                    Ok(()) => {}
                }
            }
        }
    }
}

impl Run<'_> {
    /// Remembers what was said so far. What cannot be remembered now is when the session is worked on the
    /// next time, or the gateway starts: the log has it.
    pub(super) async fn remember(&self) {
        // A future that most runs do not need takes no room in them.
        let remembered = remember(self.hub, &self.plan, self.key).boxed().await;
        if let Err(error) = remembered {
            tracing::warn!(session = %self.key, error = ?error, "what was said is not in the memory yet");
        }
    }

    /// Looks once a turn for what of the memory fits it.
    ///
    /// What would lower the integrity of the conversation, or is more confidential than it, is left out: that
    /// is for the model to look for by a tool, in the open.
    pub(super) async fn recall(&mut self) {
        let Some(turn) = self.session.turn() else { return };
        if self.shown.as_ref().is_some_and(|shown| shown.turn == turn.id()) {
            return;
        }
        let (id, principal) = (turn.id(), turn.principal().clone());
        let budget = self.agent.agent.recall_tokens;
        self.shown = Some(Shown { turn: id, parts: Vec::new() });
        let Some(memory) = self.plan.memory.as_ref().filter(|_| budget > 0).map(Arc::clone) else {
            return;
        };
        match self.fitting(memory.as_ref(), &principal, budget).boxed().await {
            Ok(parts) => self.shown = Some(Shown { turn: id, parts }),
            Err(error) => {
                tracing::warn!(session = %self.key, error = ?error, "the memory could not be asked");
            }
        }
    }

    /// What of the memory fits the turn and its room.
    async fn fitting(
        &self,
        memory: &dyn Memory,
        principal: &Principal,
        budget: u32,
    ) -> Result<Vec<Part>> {
        let history = self.session.history();
        let asked = history.iter().skip(self.session.turn_begins());
        let asked: Vec<String> =
            asked.filter_map(|message| of_message(message)).map(|(text, _)| text).collect();
        let question: String = asked.join("\n").chars().take(LONGEST_QUESTION).collect();
        if question.trim().is_empty() {
            return Ok(Vec::new());
        }
        let context = self.session.context();
        let audience = self.plan.audience(self.key.conversation(), principal);
        let most = context.confidentiality.max(Confidentiality::Private).min(audience);
        let query =
            Query::new(question, ASKED_FOR.min(MAX_RECALL)).most(most).least(context.integrity);
        let found = memory.recall(&scope(self.key, principal), &query).await?;
        let known: HashSet<String> = history
            .iter()
            .filter_map(|message| match message.as_ref() {
                Message::Assistant { text, .. } => Some(text.clone()),
                message => of_message(message).map(|(text, _)| text),
            })
            .collect();
        let mut left = u64::from(budget);
        let mut parts = Vec::new();
        for recalled in found {
            let fact = recalled.fact;
            if recalled.why.repeats || known.contains(&fact.text) {
                continue;
            }
            let text = quoted(&fact);
            let size = text_tokens(&text);
            if size > left {
                continue;
            }
            left -= size;
            parts.push(Part { content: Content::text(text), label: fact.label });
        }
        Ok(parts)
    }

    /// The label of what is shown from the memory in this turn.
    pub(super) fn shown_label(&self) -> Label {
        let parts = self.shown.iter().flat_map(|shown| &shown.parts);
        Label::join_all(parts.map(|part| &part.label))
    }

    /// What is shown from the memory in the open turn.
    pub(super) fn shown_parts(&self) -> &[Part] {
        match (&self.shown, self.session.turn()) {
            (Some(shown), Some(turn)) if shown.turn == turn.id() => &shown.parts,
            _ => &[],
        }
    }
}

/// A memory as it is shown: when, from where, what.
fn quoted(fact: &Fact) -> String {
    let sources: Vec<&str> = fact.label.sources().collect();
    let text: String = fact.text.chars().take(LONGEST_SHOWN).collect();
    let more = if text.len() < fact.text.len() { " …" } else { "" };
    format!("[stored {}, from {}]\n{text}{more}", day(fact.at), sources.join(", "))
}

/// The day of a moment, in UTC.
fn day(at: Timestamp) -> String {
    let days = at.0.div_euclid(86_400_000);
    // Days since 1 March of the year 0, in eras of 400 years.
    let since = days + 719_468;
    let (era, of_era) = (since.div_euclid(146_097), since.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_its_day() {
        for (at, expected) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (951_782_400_000, "2000-02-29"),
            (1_795_390_205_000, "2026-11-22"),
            (4_107_542_399_999, "2100-02-28"),
        ] {
            assert_eq!(day(Timestamp(at)), expected);
        }
    }
}
