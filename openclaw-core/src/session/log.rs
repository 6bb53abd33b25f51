//! A session's log for people who look into what happened.

use std::fmt::Write as _;

use crate::{
    error::Result,
    id::{Seq, SessionKey},
    message::{Content, Message, Part},
    store::{LogRow, SessionStore},
    turn::{Entry, decode},
};

/// A readable view of a session's log, one line an entry. It shows what was said: it is for the owner.
#[derive(Clone, Debug)]
pub struct LogView {
    rows: Vec<LogRow>,
}

impl LogView {
    pub(crate) async fn read(
        store: &dyn SessionStore,
        key: &SessionKey,
        after: Seq,
        limit: usize,
    ) -> Result<Self> {
        Ok(Self { rows: store.read(key, after, limit).await? })
    }

    /// The rows, oldest first.
    pub fn rows(&self) -> &[LogRow] {
        &self.rows
    }

    /// The entries that can be read, with their places.
    pub fn entries(&self) -> impl Iterator<Item = (Seq, Entry)> + '_ {
        self.rows.iter().filter_map(|row| Some((row.seq, decode(row).ok()??)))
    }
}

impl std::fmt::Display for LogView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for row in &self.rows {
            let what = match decode(row) {
                Ok(Some(entry)) => describe(&entry),
                Ok(None) => "(erased)".to_owned(),
                Err(error) => format!("(unreadable: {error})"),
            };
            writeln!(f, "{:>5}  {}  {:<16} {what}  [{}]", row.seq.0, row.at, row.kind, row.label)?;
        }
        Ok(())
    }
}

fn describe(entry: &Entry) -> String {
    match entry {
        Entry::Opened { session, .. } => format!("history {session}"),
        Entry::Checkpoint { history, turns, .. } => {
            format!("{} messages of {turns} turns", history.len())
        }
        Entry::Started { principal, messages, .. } => format!("{principal}: {}", said(messages)),
        Entry::Joined { messages, .. } => said(messages),
        Entry::Noted { message } => said(std::slice::from_ref(message)),
        Entry::Resumed => "after a crash".to_owned(),
        Entry::Suspended => "by a shutdown".to_owned(),
        Entry::Replied { text, calls, usage, .. } => {
            let mut line = format!("{text:?}");
            for (tool, arguments) in calls {
                // Writing to a String cannot fail.
                let _ = write!(line, " -> {tool}({arguments})");
            }
            let _ = write!(line, " ({} in, {} out)", usage.input_tokens, usage.output_tokens);
            line
        }
        Entry::ModelFailed { text, .. } => text.clone(),
        Entry::Decided { decisions } => {
            let each = decisions.iter().map(|d| format!("{}: {:?}", d.call, d.verdict));
            each.collect::<Vec<_>>().join("; ")
        }
        Entry::Answered { approval, answer } => format!("{approval}: {answer:?}"),
        Entry::Previewed { key } => key.to_string(),
        Entry::ToolStarted { call } => call.to_string(),
        Entry::ToolFinished { call, failed, parts, .. } => {
            format!("{call}{}: {}", if *failed { " failed" } else { "" }, texts(parts))
        }
        Entry::Detached => "asks go on without the turn".to_owned(),
        Entry::CancelRequested { by, .. } => format!("by {by}"),
        Entry::TimedOut => "the turn's time is over".to_owned(),
        Entry::Compacted { dropped, summary, .. } => {
            format!("{dropped} messages: {}", texts(std::slice::from_ref(summary)))
        }
        Entry::Ended { outcome } => format!("{outcome:?}"),
    }
}

fn said(messages: &[Message]) -> String {
    let each = messages.iter().map(|message| match message {
        Message::User { parts, .. } | Message::Tool { parts, .. } | Message::Note { parts } => {
            texts(parts)
        }
        Message::Assistant { text, .. } => format!("{text:?}"),
    });
    each.collect::<Vec<_>>().join(" | ")
}

fn texts(parts: &[Part]) -> String {
    let each = parts.iter().map(|part| match &part.content {
        Content::Text { text } => format!("{text:?}"),
        Content::Media(media) => format!("<{}>", media.mime),
        other => format!("{other:?}"),
    });
    each.collect::<Vec<_>>().join(" ")
}
