//! Everything that is printed goes through here, one piece at a time.

use futures_util::FutureExt as _;
use openclaw_core::{
    Conversation,
    event::{Event, EventKind, Next, Subscription},
    message::Button,
};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::render::neutralise;

/// How many streamed answers may wait for their message.
const MAX_STREAMS: usize = 16;

/// Where text goes.
pub(super) enum Out {
    /// As it is.
    Plain(Box<dyn AsyncWrite + Send + Unpin>),
    /// In whole lines above the prompt.
    Prompt(Box<dyn rustyline::ExternalPrinter + Send>),
}

pub(super) struct Screen {
    pub(super) out: Out,
    pub(super) events: Option<Subscription>,
    /// The buttons of the last message, by their numbers.
    pub(super) buttons: Vec<Button>,
    /// What was printed of answers whose messages are to come; the last one still grows.
    streams: Vec<String>,
    /// Printed without a line feed behind it, or kept back until there is one.
    open_line: String,
    /// Turns that ended without a reply.
    pub(super) silent_turns: usize,
}

impl Screen {
    pub(super) fn new(out: Out) -> Self {
        Self {
            out,
            events: None,
            buttons: Vec::new(),
            streams: vec![String::new()],
            open_line: String::new(),
            silent_turns: 0,
        }
    }

    /// Shows what has happened so far.
    pub(super) async fn catch_up(&mut self, here: &Conversation) -> std::io::Result<()> {
        loop {
            let next = self.events.as_mut().and_then(|events| events.next().now_or_never());
            match next {
                Some(Some(Next::Event(event))) if event.session.conversation() == here => {
                    self.show(&event).await?;
                }
                Some(Some(Next::Event(_))) => {}
                // What was missed cannot be completed: the message will be printed whole.
                Some(Some(Next::Missed(_))) => self.restart().await?,
                Some(None) | None => return Ok(()),
            }
        }
    }

    async fn show(&mut self, event: &Event) -> std::io::Result<()> {
        match &event.kind {
            EventKind::TextDelta { text } => {
                if let Some(stream) = self.streams.last_mut() {
                    stream.push_str(text);
                }
                self.print(text).await
            }
            EventKind::TurnStarted { .. }
            | EventKind::TextReset
            | EventKind::ToolStarted { .. } => self.restart().await,
            EventKind::TurnEnded { reply, .. } => {
                match reply {
                    Some(_) => self.streams.push(String::new()),
                    None => {
                        self.silent_turns += 1;
                        self.restart().await?;
                    }
                }
                let surplus = self.streams.len().saturating_sub(MAX_STREAMS);
                self.streams.drain(..surplus);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Ends what was streamed last without a message.
    async fn restart(&mut self) -> std::io::Result<()> {
        if let Some(stream) = self.streams.last_mut() {
            stream.clear();
        }
        self.end_line().await
    }

    /// Prints what was not yet printed of a message.
    pub(super) async fn message(&mut self, text: &str) -> std::io::Result<()> {
        let printed = |stream: &String| !stream.is_empty() && text.starts_with(stream.as_str());
        let rest = match self.streams.iter().position(printed) {
            Some(at) => {
                let stream = self.streams.remove(at);
                if self.streams.is_empty() {
                    self.streams.push(String::new());
                }
                text.get(stream.len()..).unwrap_or_default()
            }
            None => {
                self.end_line().await?;
                text
            }
        };
        self.print(rest).await?;
        self.end_line().await
    }

    async fn end_line(&mut self) -> std::io::Result<()> {
        if self.open_line.is_empty() { Ok(()) } else { self.print("\n").await }
    }

    async fn print(&mut self, text: &str) -> std::io::Result<()> {
        let text = neutralise(text);
        match &mut self.out {
            Out::Plain(writer) => {
                writer.write_all(text.as_bytes()).await?;
                writer.flush().await?;
                self.open_line.push_str(&text);
                if let Some(end) = self.open_line.rfind('\n') {
                    self.open_line.drain(..=end);
                }
            }
            Out::Prompt(printer) => {
                self.open_line.push_str(&text);
                if let Some(end) = self.open_line.rfind('\n') {
                    let lines = self.open_line.drain(..=end).collect();
                    printer.print(lines).map_err(std::io::Error::other)?;
                }
            }
        }
        Ok(())
    }
}
