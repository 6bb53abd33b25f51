//! Keeping channels listening and leases alive.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;

use super::hub::{Hub, LEASE_TTL, lock};
use crate::{
    channel::Channel,
    error::{Error, ErrorKind, Retry},
    id::AccountId,
    store::LeaseName,
    time::Cancel,
};

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// A channel that listened this long is taken to have recovered.
const STEADY: Duration = Duration::from_secs(60);

/// A channel that listens.
#[derive(Clone)]
pub(crate) struct Listener {
    pub(crate) channel: Arc<dyn Channel>,
    cancel: Cancel,
    ended: Cancel,
}

impl Hub {
    /// Listens on a channel until it is [dismissed](Self::dismiss) or the gateway drains; a link that
    /// breaks is taken up again.
    pub(crate) fn listen(self: &Arc<Self>, channel: Arc<dyn Channel>) {
        let hub = Arc::clone(self);
        let account = channel.id().clone();
        let (cancel, ended) = (self.draining.child(), Cancel::new());
        let listener = Listener { channel, cancel, ended };
        lock(&self.listeners).insert(account.clone(), listener.clone());
        self.listening();
        self.spawn(async move {
            if !hub.keep_listening(&listener).await {
                // A reload may try it again.
                lock(&hub.listeners).remove(&account);
            }
            hub.ended_listening();
            listener.ended.cancel();
        });
    }

    /// The accounts that listen, or have heard all that they ever will.
    #[cfg(feature = "server")]
    pub(crate) fn listening_accounts(&self) -> std::collections::BTreeSet<AccountId> {
        lock(&self.listeners).keys().cloned().collect()
    }

    /// Stops listening on an account, and waits until that is done.
    pub(crate) async fn dismiss(&self, account: &AccountId) {
        let Some(listener) = lock(&self.listeners).remove(account) else { return };
        listener.cancel.cancel();
        tokio::select! {
            biased;
            () = listener.ended.cancelled() => {}
            // The task was dropped.
            () = self.stopping.cancelled() => {}
        }
    }

    /// False if the channel failed for good.
    async fn keep_listening(self: &Arc<Self>, listener: &Listener) -> bool {
        let hub = self;
        let account = listener.channel.id().clone();
        let mut failures = 0_u32;
        while !listener.cancel.is_cancelled() {
            let began = tokio::time::Instant::now();
            let error = match hub.listen_once(listener, &account).await {
                Ok(()) => return true,
                Err(error) => error,
            };
            if listener.cancel.is_cancelled() {
                tracing::debug!(%account, error = ?error, "the channel failed while it was stopped");
                return true;
            }
            if error.retry() == Retry::Never {
                tracing::error!(%account, error = ?error, "the channel is off");
                let text = format!("The channel {account} is off: {error}");
                hub.tell_owner(&format!("channel/{account}"), text).await;
                return false;
            }
            failures = if began.elapsed() > STEADY { 1 } else { failures + 1 };
            let pause = match error.retry() {
                Retry::After(pause) => pause,
                _ => FIRST_PAUSE.saturating_mul(1 << failures.min(10)).min(MAX_PAUSE),
            };
            tracing::warn!(%account, error = ?error, ?pause, "the channel's link broke");
            tokio::select! {
                biased;
                () = listener.cancel.cancelled() => return true,
                () = tokio::time::sleep(pause) => {}
            }
        }
        true
    }

    async fn listen_once(
        self: &Arc<Self>,
        listener: &Listener,
        account: &AccountId,
    ) -> crate::Result<()> {
        let name = LeaseName::Account(account.clone());
        let lease = match self.store.lease(&name, &self.node, LEASE_TTL).await {
            Ok(lease) => lease,
            Err(error) if error.kind() == ErrorKind::Conflict => {
                return Err(error.with_retry(Retry::After(LEASE_TTL)));
            }
            Err(error) => return Err(error),
        };
        self.delivery.recover(account).await?;
        let mut cx = self.channel_context(account);
        cx.cancel = listener.cancel.child();
        let run = AssertUnwindSafe(listener.channel.run(&cx)).catch_unwind();
        let result = tokio::select! {
            biased;
            result = run => result.unwrap_or_else(|_| Err(
                Error::internal("the channel panicked").with_retry(Retry::Backoff)
            )),
            // One that does not listen to `cx.cancel()` is dropped, as its contract allows.
            () = async {
                listener.cancel.cancelled().await;
                tokio::time::sleep(Duration::from_secs(1)).await;
            } => Ok(()),
        };
        self.store.release(&lease).await?;
        result
    }

    /// Keeps all leases of this node.
    pub(crate) fn keep_leases(self: &Arc<Self>) {
        let hub = Arc::clone(self);
        self.spawn(async move {
            loop {
                tokio::time::sleep(LEASE_TTL / 3).await;
                if let Err(error) = hub.store.beat(&hub.node, LEASE_TTL).await {
                    tracing::error!(error = ?error, "the leases could not be kept");
                }
            }
        });
    }
}
