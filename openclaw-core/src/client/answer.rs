//! An agent's answer, while it grows.

use serde_json::Value;

use super::{Client, ClientEvent, ClientEvents, Pending, question};
use crate::error::{ErrorKind, Result};

/// An agent's answer.
#[derive(Debug)]
pub struct Answer {
    client: Client,
    events: ClientEvents,
    pending: Pending,
    session: String,
    text: String,
    key: String,
}

impl Answer {
    pub(super) async fn ask(client: Client, session: &str, text: &str) -> Result<Self> {
        let key = client.fresh()?;
        let events = client.events();
        let (_, pending) = client.begin("agent", question(session, text, &key)).await?;
        let (session, text) = (session.to_owned(), text.to_owned());
        Ok(Self { client, events, pending, session, text, key })
    }

    /// The next piece of it; `None` once it is whole, and then [`finish`](Self::finish) has it at once.
    /// Pieces that were told while there was no connection are missed. Cancel safe.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            let ClientEvent::Event { name, payload } = self.events.next().await? else { continue };
            if name != "chat" || payload.get("runId").is_none_or(|run| *run != self.key) {
                continue;
            }
            match payload.get("state").and_then(Value::as_str) {
                Some("delta") => {
                    let text = payload.get("deltaText").and_then(Value::as_str).unwrap_or_default();
                    if !text.is_empty() {
                        return Some(text.to_owned());
                    }
                }
                Some("final" | "aborted" | "error") => return None,
                _ => {}
            }
        }
    }

    /// The whole answer; waits for it, also over a lost connection.
    ///
    /// # Errors
    /// The agent could not answer, or the client is closed.
    pub async fn finish(mut self) -> Result<String> {
        loop {
            if let Some(outcome) = self.pending.outcome().await {
                return outcome.map(|payload| text_of(&payload));
            }
            self.pending = self.again().await?;
        }
    }

    /// Asks the same once more, when there is a connection.
    async fn again(&self) -> Result<Pending> {
        loop {
            self.client.connected().await?;
            let again = question(&self.session, &self.text, &self.key);
            match self.client.begin("agent", again).await {
                Ok((_, pending)) => return Ok(pending),
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    // Lost once more; or it is not yet known to be.
                    tokio::time::sleep(super::FIRST_PAUSE / 10).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn text_of(payload: &Value) -> String {
    let payloads = payload.pointer("/result/payloads").and_then(Value::as_array);
    let texts = payloads.into_iter().flatten().filter_map(|one| one.get("text")?.as_str());
    texts.collect::<Vec<_>>().join("\n")
}
