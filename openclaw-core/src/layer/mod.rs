//! Layers wrap a part and answer for it: they retry, limit, charge, record, trace.
//!
//! # Contract
//!
//! - The layer that was added first is the outermost: it sees a call first and its answer last.
//! - A layer for a provider leaves [`Provider::id`] and [`Provider::models`] as they are, unless it
//!   says otherwise, and passes events on as they come.
//! - A layer for a tool calls the inner tool **at most once** for each call of its own, unless the
//!   tool's effect is [repeatable](crate::tool::Effect::is_repeatable): anything else could act twice.
//!   It hands on the very context that it was given, so it cannot change what the policy allowed.
//! - Durations come from `tokio::time`, wall-clock time from a [`Clock`](crate::time::Clock).
//!
//! A layer of one's own is the method that it changes, and one line that says what it wraps:
//!
//! ```
//! use std::sync::Arc;
//! use openclaw_core::{Result, async_trait, layer::{AroundStream, Layer, around_stream}};
//! use openclaw_core::provider::{CallContext, CompletionRequest, CompletionStream, Provider};
//!
//! #[derive(Clone)]
//! struct Polite;
//!
//! #[async_trait]
//! impl AroundStream for Polite {
//!     async fn stream(&self, cx: &CallContext, request: &CompletionRequest, inner: &dyn Provider) -> Result<CompletionStream> {
//!         let mut request = request.clone();
//!         request.system.push_str("\nBe polite.");
//!         inner.stream(cx, &request).await
//!     }
//! }
//!
//! impl Layer<dyn Provider> for Polite {
//!     fn layer(&self, inner: Arc<dyn Provider>) -> Arc<dyn Provider> {
//!         around_stream(inner, self.clone())
//!     }
//! }
//! ```

mod around;
mod budget;
mod fallback;
mod ledger;
mod limit;
mod rate;
mod record;
mod retry;
mod timeout;
mod tokens;
mod trace;

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};

pub use around::{AroundCall, AroundStream, around_call, around_stream};
pub use budget::{BudgetLayer, DEFAULT_BUDGET_OUTPUT_TOKENS, UnknownPrice};
pub use fallback::{FALLBACK_KINDS, Fallback};
pub use ledger::{Cap, Capped, Charge, Ledger, Payer, SPEND_SPACE, Spent};
pub use limit::LimitLayer;
pub use record::{RecordLayer, RecordMode};
pub use retry::{DEFAULT_RETRY_BASE, DEFAULT_RETRY_CAP, DEFAULT_RETRY_LIMIT, RetryLayer};
pub use timeout::TimeoutLayer;
pub use tokens::{MAX_MEDIA_TOKENS, MESSAGE_TOKENS, worst_case_input_tokens};
pub use trace::TraceLayer;

use crate::{
    error::{Error, ErrorKind, Result, Retry},
    provider::{CallContext, CompletionRequest, CompletionStream, Provider},
};

/// Wraps a part. See the [module](self) for what a layer must keep to.
pub trait Layer<P: ?Sized>: Send + Sync + 'static {
    /// The wrapped part.
    fn layer(&self, inner: Arc<P>) -> Arc<P>;
}

/// Wraps `inner` in `layers`, the first of which becomes the outermost.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use openclaw_core::{layer::{Layer, RetryLayer, TimeoutLayer, wrap}, provider::Provider};
///
/// fn sturdy(provider: Arc<dyn Provider>) -> Arc<dyn Provider> {
///     let layers: [Arc<dyn Layer<dyn Provider>>; 2] = [
///         Arc::new(RetryLayer::times(3)),
///         // Inside of the retries: each try has 30 s to begin its answer.
///         Arc::new(TimeoutLayer::new().first_event(Duration::from_secs(30))),
///     ];
///     wrap(provider, &layers)
/// }
/// ```
pub fn wrap<P: ?Sized + 'static>(inner: Arc<P>, layers: &[Arc<dyn Layer<P>>]) -> Arc<P> {
    layers.iter().rev().fold(inner, |inner, layer| layer.layer(inner))
}

/// Starts a completion and waits for its first event, up to which another try loses nothing. The
/// stream has all events, the first included.
async fn open(
    inner: &dyn Provider,
    cx: &CallContext,
    request: &CompletionRequest,
) -> Result<CompletionStream> {
    let mut events = inner.stream(cx, request).await?;
    match events.next().await {
        Some(Ok(first)) => Ok(CompletionStream::new(stream::iter([Ok(first)]).chain(events))),
        Some(Err(error)) => Err(error),
        None => Err(Error::new(ErrorKind::InvalidData, "the completion's stream has no event")
            .with_public("the model gave no answer")
            .with_retry(Retry::Backoff)
            .with("provider", inner.id())),
    }
}

/// The error of work whose answer is no longer wanted.
fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "cancelled while waiting")
}
