//! Groups that became supergroups. They go on under another id; here they keep their first one, so that
//! sessions, bindings and lists of allowed groups stay as they are.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use openclaw_core::{Error, ErrorKind, PeerId, Result, channel::ChannelContext};

/// Supergroups and channels have ids below this, groups above.
const SUPERGROUPS_BELOW: i64 = -1_000_000_000_000;
/// How many chats are remembered in memory; all that moved are in the account's durable state.
const MAX_CACHED: usize = 10_000;

/// Where chats went and came from.
#[derive(Default)]
pub(super) struct Chats(Mutex<HashMap<i64, i64>>);

impl Chats {
    /// The id under which Telegram knows the chat `peer` now.
    pub(super) async fn current(&self, cx: &ChannelContext, peer: &PeerId) -> Result<i64> {
        let chat: i64 = peer.as_str().parse().map_err(|_| {
            Error::new(
                ErrorKind::InvalidInput,
                format!("{peer} is no Telegram chat: expected its number, never a name"),
            )
        })?;
        if (SUPERGROUPS_BELOW..0).contains(&chat) {
            self.look_up(cx, "to", chat).await
        } else {
            Ok(chat)
        }
    }

    /// The id under which the chat is known here.
    pub(super) async fn peer(&self, cx: &ChannelContext, chat: i64) -> Result<PeerId> {
        let first =
            if chat < SUPERGROUPS_BELOW { self.look_up(cx, "from", chat).await? } else { chat };
        Ok(first.to_string().into())
    }

    /// Notes durably that the group `old` goes on as `new`.
    pub(super) async fn moved(&self, cx: &ChannelContext, old: i64, new: i64) -> Result<()> {
        if self.look_up(cx, "to", old).await? == new && self.look_up(cx, "from", new).await? == old
        {
            return Ok(());
        }
        tracing::info!(
            old,
            new,
            "a Telegram group became a supergroup; it keeps its first id here"
        );
        cx.state().set(&name("to", old), Some(&new.to_string())).await?;
        cx.state().set(&name("from", new), Some(&old.to_string())).await?;
        self.keep(old, new);
        self.keep(new, old);
        Ok(())
    }

    async fn look_up(&self, cx: &ChannelContext, direction: &str, chat: i64) -> Result<i64> {
        if let Some(known) = self.lock().get(&chat) {
            return Ok(*known);
        }
        let stored = cx.state().get(&name(direction, chat)).await?;
        let other = stored.and_then(|stored| stored.parse().ok()).unwrap_or(chat);
        self.keep(chat, other);
        Ok(other)
    }

    fn keep(&self, chat: i64, other: i64) {
        let mut known = self.lock();
        if known.len() >= MAX_CACHED {
            known.clear();
        }
        known.insert(chat, other);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<i64, i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(direction: &str, chat: i64) -> String {
    format!("moved/{direction}/{chat}")
}
