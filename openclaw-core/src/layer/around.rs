//! Layers that change one method; the others are forwarded here, so that none is forgotten.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    error::Result,
    id::ProviderId,
    provider::{CallContext, CompletionRequest, CompletionStream, ModelInfo, Provider},
    tool::{Tool, ToolContext, ToolOutput, ToolSpec},
};

/// What a layer does around [`Provider::stream`].
#[async_trait]
pub trait AroundStream: Send + Sync + 'static {
    /// Answers for `inner`, by calling it or not.
    ///
    /// # Errors
    /// As [`Provider::stream`].
    async fn stream(
        &self,
        cx: &CallContext,
        request: &CompletionRequest,
        inner: &dyn Provider,
    ) -> Result<CompletionStream>;
}

/// `inner` with `around` about its completions; everything else is `inner`'s own.
pub fn around_stream(inner: Arc<dyn Provider>, around: impl AroundStream) -> Arc<dyn Provider> {
    Arc::new(Streaming { inner, around })
}

struct Streaming<A> {
    inner: Arc<dyn Provider>,
    around: A,
}

#[async_trait]
impl<A: AroundStream> Provider for Streaming<A> {
    fn id(&self) -> &ProviderId {
        self.inner.id()
    }

    async fn models(&self) -> Result<Vec<ModelInfo>> {
        self.inner.models().await
    }

    async fn stream(
        &self,
        cx: &CallContext,
        request: &CompletionRequest,
    ) -> Result<CompletionStream> {
        self.around.stream(cx, request, self.inner.as_ref()).await
    }
}

/// What a layer does around [`Tool::call`].
#[async_trait]
pub trait AroundCall: Send + Sync + 'static {
    /// Answers for `inner`. Calls it at most once, unless its effect is
    /// [repeatable](crate::tool::Effect::is_repeatable).
    ///
    /// # Errors
    /// As [`Tool::call`].
    async fn call(&self, cx: ToolContext, inner: &dyn Tool) -> Result<ToolOutput>;
}

/// `inner` with `around` about its calls; everything else, [`Tool::reconcile`] included, is `inner`'s
/// own.
pub fn around_call(inner: Arc<dyn Tool>, around: impl AroundCall) -> Arc<dyn Tool> {
    Arc::new(Calling { inner, around })
}

struct Calling<A> {
    inner: Arc<dyn Tool>,
    around: A,
}

#[async_trait]
impl<A: AroundCall> Tool for Calling<A> {
    fn spec(&self) -> ToolSpec {
        self.inner.spec()
    }

    async fn call(&self, cx: ToolContext) -> Result<ToolOutput> {
        self.around.call(cx, self.inner.as_ref()).await
    }

    async fn reconcile(&self, cx: ToolContext) -> Result<Option<ToolOutput>> {
        self.inner.reconcile(cx).await
    }
}
