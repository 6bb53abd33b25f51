//! Trying again, by the error's own advice.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::time::Instant;

use super::{AroundCall, AroundStream, Layer, around_call, around_stream, cancelled, open};
use crate::{
    error::{Error, Result, Retry},
    provider::{CallContext, CompletionRequest, CompletionStream, Provider},
    time::{Cancel, Entropy, SystemEntropy},
    tool::{Tool, ToolContext, ToolOutput},
};

/// The first pause of a [`RetryLayer`], before jitter.
pub const DEFAULT_RETRY_BASE: Duration = Duration::from_millis(500);
/// The longest pause of its own choice.
pub const DEFAULT_RETRY_CAP: Duration = Duration::from_secs(30);
/// How long after the first try it still begins another.
pub const DEFAULT_RETRY_LIMIT: Duration = Duration::from_secs(120);

/// Tries again when the error says that it may help.
///
/// | advice | what happens |
/// |---|---|
/// | [`Retry::Never`] | the error is returned at once |
/// | [`Retry::Backoff`] | a pause of [`base`](Self::base), doubled each time up to [`cap`](Self::cap), less up to half of it by chance |
/// | [`Retry::After`] | a pause of exactly that long, however short or long |
///
/// No try begins later than [`within`](Self::within) after the first: an error whose pause would
/// reach beyond it is returned at once. A running try is not cut short; that is
/// [`TimeoutLayer`](super::TimeoutLayer)'s. A pause ends with an error of kind `Cancelled` when the
/// work is cancelled.
///
/// - **Providers**: only before the first event was passed on. An error behind it is passed through:
///   whoever collects the stream may then start the completion anew.
/// - **Tools**: only those whose effect is [repeatable](crate::tool::Effect::is_repeatable), and within
///   the call's own time; others are left as they are.
///
/// ```
/// use std::time::Duration;
/// use openclaw_core::layer::RetryLayer;
///
/// let layer = RetryLayer::times(3).within(Duration::from_secs(60));
/// # let _ = layer;
/// ```
#[derive(Clone)]
pub struct RetryLayer {
    times: u32,
    base: Duration,
    cap: Duration,
    limit: Duration,
    entropy: Arc<dyn Entropy>,
}

impl RetryLayer {
    /// Up to `times` more tries after the first.
    pub fn times(times: u32) -> Self {
        Self {
            times,
            base: DEFAULT_RETRY_BASE,
            cap: DEFAULT_RETRY_CAP,
            limit: DEFAULT_RETRY_LIMIT,
            entropy: Arc::new(SystemEntropy),
        }
    }

    /// Sets the first pause.
    #[must_use]
    pub fn base(mut self, pause: Duration) -> Self {
        self.base = pause;
        self
    }

    /// Sets the longest pause of its own choice; the other side's word is not bounded by it.
    #[must_use]
    pub fn cap(mut self, pause: Duration) -> Self {
        self.cap = pause;
        self
    }

    /// Sets how long after the first try another may begin.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Takes the jitter from `entropy`, as a simulation does with a seed. If it has none to give,
    /// pauses have no jitter.
    #[must_use]
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = entropy;
        self
    }

    /// The pause of our own choice before try `tried + 1`: between half of the exponential and all.
    fn backoff(&self, tried: u32) -> Duration {
        let doubled = 2_u32.checked_pow(tried.saturating_sub(1)).unwrap_or(u32::MAX);
        let whole = self.base.saturating_mul(doubled).min(self.cap);
        let mut bytes = [0; 4];
        match self.entropy.fill(&mut bytes) {
            Ok(()) => {
                let chance = f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX);
                whole.mul_f64(1.0 - chance / 2.0)
            }
            Err(_) => whole,
        }
    }

    /// Waits before the next try, or gives the error back if there is to be none.
    async fn pause(
        &self,
        error: Error,
        tried: u32,
        started: Instant,
        time_left: Duration,
        cancel: &Cancel,
    ) -> Result<()> {
        let pause = match error.retry() {
            Retry::Backoff => self.backoff(tried),
            Retry::After(pause) => pause,
            Retry::Never => return Err(error),
        };
        let too_late = started.elapsed().saturating_add(pause) > self.limit || pause > time_left;
        if tried > self.times || too_late || cancel.is_cancelled() {
            return Err(error.with("tries", tried));
        }
        tracing::debug!(kind = ?error.kind(), tried, ?pause, "trying again");
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(cancelled()),
            () = tokio::time::sleep(pause) => Ok(()),
        }
    }
}

impl Layer<dyn Provider> for RetryLayer {
    fn layer(&self, inner: Arc<dyn Provider>) -> Arc<dyn Provider> {
        around_stream(inner, self.clone())
    }
}

impl Layer<dyn Tool> for RetryLayer {
    fn layer(&self, inner: Arc<dyn Tool>) -> Arc<dyn Tool> {
        if inner.spec().effect.is_repeatable() { around_call(inner, self.clone()) } else { inner }
    }
}

#[async_trait]
impl AroundStream for RetryLayer {
    async fn stream(
        &self,
        cx: &CallContext,
        request: &CompletionRequest,
        inner: &dyn Provider,
    ) -> Result<CompletionStream> {
        let started = Instant::now();
        let mut tried = 0;
        loop {
            tried += 1;
            match open(inner, cx, request).await {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    self.pause(error, tried, started, Duration::MAX, &cx.cancel).await?;
                }
            }
        }
    }
}

#[async_trait]
impl AroundCall for RetryLayer {
    async fn call(&self, cx: ToolContext, inner: &dyn Tool) -> Result<ToolOutput> {
        let started = Instant::now();
        let mut tried = 0;
        loop {
            tried += 1;
            match inner.call(cx.clone()).await {
                Ok(output) => return Ok(output),
                Err(error) => {
                    self.pause(error, tried, started, cx.time_left(), cx.cancel()).await?;
                }
            }
        }
    }
}
