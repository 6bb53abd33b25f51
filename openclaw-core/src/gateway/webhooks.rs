//! What platforms deliver by HTTP, and what channels count.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;

use super::{Handle, plan::Plan};
use crate::{
    channel::Webhook,
    error::{Error, ErrorKind, Result},
    id::AccountId,
};

/// In how many seconds a platform is asked to deliver again what comes while the gateway shuts down.
pub const WEBHOOK_RETRY_SECONDS: u32 = 10;

/// How many webhook requests never reached a channel, since the gateway started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebhookCounts {
    /// Their bodies were too long, or broke off.
    pub too_long: u64,
    /// Their bodies came too slowly.
    pub too_slow: u64,
}

/// The same, while it is counted.
#[derive(Default)]
pub(crate) struct Unread {
    too_long: AtomicU64,
    too_slow: AtomicU64,
}

impl Unread {
    /// Counts a body that the server did not read, and returns how many of its kind there are.
    #[cfg(feature = "server")]
    pub(crate) fn add(&self, status: http::StatusCode) -> u64 {
        let count = match status {
            http::StatusCode::REQUEST_TIMEOUT => &self.too_slow,
            _ => &self.too_long,
        };
        count.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn read(&self) -> WebhookCounts {
        WebhookCounts {
            too_long: self.too_long.load(Ordering::Relaxed),
            too_slow: self.too_slow.load(Ordering::Relaxed),
        }
    }
}

impl Handle {
    /// Passes a webhook's request to the channel of `account`. Once the gateway shuts down, the channel is
    /// not asked: the answer is 503, with `Retry-After`, so that the platform delivers again.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such account, or it takes no webhooks.
    pub async fn webhook(
        &self,
        account: &AccountId,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>> {
        let plan = self.hub.plan();
        let webhook = webhook_of(&plan, account)?;
        if let Some(busy) = self.busy() {
            return Ok(busy);
        }
        Ok(webhook.handle(&self.hub.channel_context(account), request).await)
    }

    /// The answer to a webhook's request that is refused for its method or headers alone, or because the
    /// gateway shuts down. A server asks before it reads a body, so that who knows no secret cannot make it
    /// wait.
    ///
    /// # Errors
    /// As of [`webhook`](Self::webhook).
    pub fn refuse_webhook(
        &self,
        account: &AccountId,
        method: &http::Method,
        headers: &http::HeaderMap,
    ) -> Result<Option<http::Response<Bytes>>> {
        let plan = self.hub.plan();
        let refusal = webhook_of(&plan, account)?.refuse(method, headers);
        Ok(refusal.map(answer).or_else(|| self.busy()))
    }

    /// The accounts that [take webhooks](Self::webhook).
    pub fn webhook_accounts(&self) -> Vec<AccountId> {
        let plan = self.hub.plan();
        let takes = plan.channels.values().filter(|channel| channel.extras().webhook.is_some());
        takes.map(|channel| channel.id().clone()).collect()
    }

    /// How many webhook requests never reached a channel.
    pub fn webhook_counts(&self) -> WebhookCounts {
        self.hub.unread.read()
    }

    /// What each account counts, by [`Counted`](crate::channel::Counted).
    pub fn channel_counts(&self) -> BTreeMap<AccountId, Vec<(&'static str, u64)>> {
        let plan = self.hub.plan();
        let counted = plan.channels.iter().filter_map(|(account, channel)| {
            Some((account.clone(), channel.extras().counted?.counts()))
        });
        counted.collect()
    }

    /// What is answered while the gateway shuts down.
    fn busy(&self) -> Option<http::Response<Bytes>> {
        self.hub.draining.is_cancelled().then(|| {
            let mut busy = answer(http::StatusCode::SERVICE_UNAVAILABLE);
            busy.headers_mut().insert(http::header::RETRY_AFTER, WEBHOOK_RETRY_SECONDS.into());
            busy
        })
    }
}

fn webhook_of<'a>(plan: &'a Plan, account: &AccountId) -> Result<&'a dyn Webhook> {
    let channel = plan.channels.get(account);
    channel.and_then(|channel| channel.extras().webhook).ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("{account} is no account that takes webhooks"))
    })
}

fn answer(status: http::StatusCode) -> http::Response<Bytes> {
    let mut answer = http::Response::new(Bytes::new());
    *answer.status_mut() = status;
    answer
}
