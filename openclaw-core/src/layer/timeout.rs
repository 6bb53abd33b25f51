//! Limits on time.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, timeout_at};

use super::{AroundStream, Layer, around_stream};
use crate::{
    error::{Error, ErrorKind, Result},
    provider::{CallContext, CompletionEvent, CompletionRequest, CompletionStream, Provider},
    tool::{Tool, ToolContext, ToolOutput, ToolSpec},
    turn::DEFAULT_TOOL_TIMEOUT,
};

/// Ends what takes too long, with an error of kind `Timeout`. Nothing is limited until it is said.
///
/// - **Providers**: the time until the first event, between one event and the next, and of the whole
///   completion, pauses of the reader included. The request is closed when a limit is reached.
/// - **Tools**: the whole call. The layer lowers the [`timeout`](ToolSpec::timeout) that the tool
///   declares and leaves the rest to the gateway: a running tool is never dropped, and only the
///   gateway can cancel it, wait, and say that its outcome is unknown.
///
/// ```
/// use std::time::Duration;
/// use openclaw_core::layer::TimeoutLayer;
///
/// let layer = TimeoutLayer::new()
///     .first_event(Duration::from_secs(30))
///     .between_events(Duration::from_secs(10))
///     .whole(Duration::from_secs(300));
/// # let _ = layer;
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TimeoutLayer {
    first_event: Option<Duration>,
    between_events: Option<Duration>,
    whole: Option<Duration>,
}

impl TimeoutLayer {
    /// Without limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Limits the time until a completion's first event.
    #[must_use]
    pub fn first_event(mut self, limit: Duration) -> Self {
        self.first_event = Some(limit);
        self
    }

    /// Limits the time from one event of a completion to the next.
    #[must_use]
    pub fn between_events(mut self, limit: Duration) -> Self {
        self.between_events = Some(limit);
        self
    }

    /// Limits the whole completion or call.
    #[must_use]
    pub fn whole(mut self, limit: Duration) -> Self {
        self.whole = Some(limit);
        self
    }

    /// Waits for `work` until the sooner of two deadlines, each with the limit that it comes from.
    async fn limited<T>(
        whole: Option<(Instant, Duration)>,
        step: Option<(Instant, Duration)>,
        what: &'static str,
        work: impl Future<Output = T> + Send,
    ) -> Result<T> {
        let ((deadline, limit), what) = match (whole, step) {
            (Some(whole), Some(step)) if step.0 < whole.0 => (step, what),
            (Some(whole), _) => (whole, "the whole completion"),
            (None, Some(step)) => (step, what),
            (None, None) => return Ok(work.await),
        };
        timeout_at(deadline, work).await.map_err(|_| {
            Error::new(ErrorKind::Timeout, format!("{what} took longer than {limit:?}"))
                .with_public("the model took too long to answer")
        })
    }
}

/// When `limit` from now is over, with the limit.
fn ends(limit: Option<Duration>) -> Option<(Instant, Duration)> {
    limit.and_then(|limit| Some((Instant::now().checked_add(limit)?, limit)))
}

const FIRST_EVENT: &str = "the first event of the completion";
const NEXT_EVENT: &str = "the next event of the completion";

impl Layer<dyn Provider> for TimeoutLayer {
    fn layer(&self, inner: Arc<dyn Provider>) -> Arc<dyn Provider> {
        around_stream(inner, *self)
    }
}

/// A stream under way, and its deadlines.
struct Watched {
    whole: Option<(Instant, Duration)>,
    /// Of the first event, until that has come.
    first: Option<(Instant, Duration)>,
    begun: bool,
    between: Option<Duration>,
    inner: CompletionStream,
}

impl Watched {
    async fn next(&mut self) -> Option<Result<CompletionEvent>> {
        let (step, what) =
            if self.begun { (ends(self.between), NEXT_EVENT) } else { (self.first, FIRST_EVENT) };
        self.begun = true;
        TimeoutLayer::limited(self.whole, step, what, self.inner.next())
            .await
            .unwrap_or_else(|error| Some(Err(error)))
    }
}

#[async_trait]
impl AroundStream for TimeoutLayer {
    async fn stream(
        &self,
        cx: &CallContext,
        request: &CompletionRequest,
        inner: &dyn Provider,
    ) -> Result<CompletionStream> {
        let (whole, first) = (ends(self.whole), ends(self.first_event));
        let inner = Self::limited(whole, first, FIRST_EVENT, inner.stream(cx, request)).await??;
        let watched = Watched { whole, first, begun: false, between: self.between_events, inner };
        // The state is gone after an error: that closes the request.
        Ok(CompletionStream::new(stream::unfold(Some(watched), |watched| async {
            let mut watched = watched?;
            let next = watched.next().await?;
            let rest = next.is_ok().then_some(watched);
            Some((next, rest))
        })))
    }
}

impl Layer<dyn Tool> for TimeoutLayer {
    fn layer(&self, inner: Arc<dyn Tool>) -> Arc<dyn Tool> {
        match self.whole {
            Some(limit) => Arc::new(Hastened { inner, limit }),
            None => inner,
        }
    }
}

/// A tool that declares a shorter time.
struct Hastened {
    inner: Arc<dyn Tool>,
    limit: Duration,
}

#[async_trait]
impl Tool for Hastened {
    fn spec(&self) -> ToolSpec {
        let spec = self.inner.spec();
        let declared = spec.timeout.unwrap_or(DEFAULT_TOOL_TIMEOUT);
        spec.timeout(declared.min(self.limit))
    }

    async fn call(&self, cx: ToolContext) -> Result<ToolOutput> {
        self.inner.call(cx).await
    }

    async fn reconcile(&self, cx: ToolContext) -> Result<Option<ToolOutput>> {
        self.inner.reconcile(cx).await
    }
}
