//! Limits on how much runs at once and how much a minute.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    AroundCall, AroundStream, Layer, around_call, around_stream, cancelled, rate::Bucket,
    tokens::worst_case_input_tokens,
};
use crate::{
    error::{Error, Result},
    provider::{CallContext, CompletionEvent, CompletionRequest, CompletionStream, Provider},
    time::Cancel,
    tool::{Tool, ToolContext, ToolOutput},
};

/// Makes calls wait their turn. Nothing is limited until it is said; each part that the layer wraps
/// has limits of its own.
///
/// - **At once**: a completion counts until its stream ended or was dropped, a tool's call until it
///   returned. Who came first goes first.
/// - **A minute** (providers): requests and tokens come out of buckets that hold a minute's worth and
///   fill steadily. A completion takes a guess at its input's tokens, a fourth of its bytes, and
///   settles what it used by the provider's word when it finishes.
///
/// Waiting ends with an error of kind `Cancelled` when the work is cancelled, and then took nothing.
///
/// ```
/// use openclaw_core::layer::LimitLayer;
///
/// let layer = LimitLayer::new().concurrency(8).requests_per_minute(500).tokens_per_minute(200_000);
/// # let _ = layer;
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct LimitLayer {
    concurrency: Option<u32>,
    requests: Option<u32>,
    tokens: Option<u32>,
}

impl LimitLayer {
    /// Without limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// At most `calls` at once; none is taken as one.
    #[must_use]
    pub fn concurrency(mut self, calls: u32) -> Self {
        self.concurrency = Some(calls);
        self
    }

    /// At most `requests` completions a minute; none is taken as one.
    #[must_use]
    pub fn requests_per_minute(mut self, requests: u32) -> Self {
        self.requests = Some(requests);
        self
    }

    /// At most `tokens` a minute, read and written; none is taken as one.
    #[must_use]
    pub fn tokens_per_minute(mut self, tokens: u32) -> Self {
        self.tokens = Some(tokens);
        self
    }
}

impl Layer<dyn Provider> for LimitLayer {
    fn layer(&self, inner: Arc<dyn Provider>) -> Arc<dyn Provider> {
        let limited = LimitedStreams {
            slots: self.concurrency.map(Slots::new),
            requests: self.requests.map(Bucket::per_minute),
            tokens: self.tokens.map(|tokens| Arc::new(Bucket::per_minute(tokens))),
        };
        around_stream(inner, limited)
    }
}

impl Layer<dyn Tool> for LimitLayer {
    fn layer(&self, inner: Arc<dyn Tool>) -> Arc<dyn Tool> {
        match self.concurrency {
            Some(calls) => around_call(inner, LimitedCalls(Slots::new(calls))),
            None => inner,
        }
    }
}

/// Places for what runs at once.
struct Slots(Arc<Semaphore>);

impl Slots {
    fn new(places: u32) -> Self {
        let places = usize::try_from(places.max(1)).unwrap_or(usize::MAX);
        Self(Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))))
    }

    async fn take(&self, cancel: &Cancel) -> Result<OwnedSemaphorePermit> {
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(cancelled()),
            slot = Arc::clone(&self.0).acquire_owned() => {
                slot.map_err(|_| Error::internal("the layer's semaphore was closed"))
            }
        }
    }
}

struct LimitedCalls(Slots);

#[async_trait]
impl AroundCall for LimitedCalls {
    async fn call(&self, cx: ToolContext, inner: &dyn Tool) -> Result<ToolOutput> {
        let _slot = self.0.take(cx.cancel()).await?;
        inner.call(cx).await
    }
}

struct LimitedStreams {
    slots: Option<Slots>,
    requests: Option<Bucket>,
    tokens: Option<Arc<Bucket>>,
}

/// A stream under way, its place, and the tokens that it took in advance.
struct Running {
    inner: CompletionStream,
    tokens: Option<(Arc<Bucket>, u64)>,
    _slot: Option<OwnedSemaphorePermit>,
}

impl Running {
    /// Settles what a finished completion used.
    fn settle(&self, used: u64) {
        if let Some((bucket, taken)) = &self.tokens {
            bucket.settle(*taken, used);
        }
    }
}

#[async_trait]
impl AroundStream for LimitedStreams {
    async fn stream(
        &self,
        cx: &CallContext,
        request: &CompletionRequest,
        inner: &dyn Provider,
    ) -> Result<CompletionStream> {
        let slot = match &self.slots {
            Some(slots) => Some(slots.take(&cx.cancel).await?),
            None => None,
        };
        if let Some(requests) = &self.requests {
            requests.take(1, &cx.cancel).await?;
        }
        let mut tokens = None;
        if let Some(bucket) = &self.tokens {
            let guess = worst_case_input_tokens(request).div_ceil(4);
            bucket.take(guess, &cx.cancel).await?;
            tokens = Some((Arc::clone(bucket), guess));
        }
        let inner = inner.stream(cx, request).await.inspect_err(|_| {
            // What was refused used nothing.
            if let Some((bucket, guess)) = &tokens {
                bucket.settle(*guess, 0);
            }
        })?;
        let running = Running { inner, tokens, _slot: slot };
        // The state, and with it the place, is gone with the last event.
        Ok(CompletionStream::new(stream::unfold(Some(running), |running| async {
            let mut running = running?;
            let next = running.inner.next().await?;
            let rest = match &next {
                Ok(CompletionEvent::Finish { usage, .. }) => {
                    running.settle(usage.total_tokens());
                    None
                }
                Ok(_) => Some(running),
                Err(_) => None,
            };
            Some((next, rest))
        })))
    }
}
