//! Long polling: the bot asks for what happened.

use std::time::Duration;

use openclaw_core::{
    Error, ErrorKind, Result, Retry,
    channel::ChannelContext,
    serde_json::{Value, json},
};
use serde::Serialize;
use tokio::time::Instant;

use super::{
    Telegram,
    types::{ALLOWED_UPDATES, RawUpdate},
};

/// How long Telegram holds a question for updates open while there are none.
pub const POLL_TIMEOUT: Duration = Duration::from_secs(50);
/// How many updates are taken at once, and so committed together.
pub const UPDATES_AT_ONCE: usize = 100;

/// How much later than Telegram we give a question up.
const GRACE: Duration = Duration::from_secs(10);
/// The pause after an empty answer that did not wait, as of a server that cannot hold a question open.
const PAUSE: Duration = Duration::from_millis(500);

/// The arguments of `getUpdates`.
#[derive(Serialize)]
struct Question {
    /// The first update that is wanted; those before it are thereby acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<i64>,
    limit: usize,
    timeout: u64,
    allowed_updates: [&'static str; 5],
}

impl Telegram {
    /// While there is a webhook, nobody may ask. What waits for it comes by asking.
    pub(super) async fn stop_webhook(&self, cx: &ChannelContext) -> Result<()> {
        let _: bool = self.client.call(cx, "deleteWebhook", &json!({})).await?;
        Ok(())
    }

    /// Asks for updates until something fails.
    pub(super) async fn poll(&self, cx: &ChannelContext) -> Result<()> {
        let mut offset = None;
        loop {
            let asked = Instant::now();
            let question = Question {
                offset,
                limit: UPDATES_AT_ONCE,
                timeout: POLL_TIMEOUT.as_secs(),
                allowed_updates: ALLOWED_UPDATES,
            };
            let answer = self.client.call_within::<Vec<Value>>(
                cx,
                "getUpdates",
                &question,
                POLL_TIMEOUT + GRACE,
            );
            let answer = answer.await?;
            if answer.is_empty() {
                if asked.elapsed() < PAUSE {
                    tokio::time::sleep(PAUSE).await;
                }
                continue;
            }
            let updates: Vec<RawUpdate> = answer.into_iter().filter_map(RawUpdate::new).collect();
            let Some(last) = updates.iter().map(|update| update.id).max() else {
                // Without their numbers they cannot be acknowledged.
                return Err(Error::new(ErrorKind::InvalidData, "updates came without numbers")
                    .with_retry(Retry::Backoff));
            };
            self.take(cx, updates).await?;
            // They are durable: the next question says so to Telegram.
            offset = Some(last.saturating_add(1));
        }
    }
}
