//! Spans for completions and tool calls, named as OpenTelemetry's conventions for generative AI have
//! it.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use tracing::{Instrument as _, Span, field::Empty};

use super::{AroundCall, AroundStream, Layer, around_call, around_stream};
use crate::{
    error::{Error, Result},
    provider::{
        CallContext, CompletionEvent, CompletionRequest, CompletionStream, FinishReason, Provider,
    },
    tool::{Tool, ToolContext, ToolOutput},
};

/// Makes a `tracing` span of each completion and each tool call, at level `INFO` and target
/// `openclaw::gen_ai`. Spans hold names, numbers and the kind of an error, never what was said, nor
/// arguments, nor results, nor who asked.
///
/// | part | fields |
/// |---|---|
/// | completion | `otel.name` (`chat <model>`), `gen_ai.operation.name`, `gen_ai.provider.name`, `gen_ai.request.model`, `gen_ai.request.max_tokens`, `gen_ai.request.temperature`, `gen_ai.output.type`, `gen_ai.response.finish_reasons`, `gen_ai.usage.input_tokens`, `gen_ai.usage.cache_read.input_tokens`, `gen_ai.usage.output_tokens`, `error.type` |
/// | tool call | `otel.name` (`execute_tool <tool>`), `gen_ai.operation.name`, `gen_ai.tool.name`, `gen_ai.tool.type`, `gen_ai.tool.call.id`, `error.type` |
///
/// A completion's span lasts until its stream ended or was dropped.
///
/// ```
/// use std::sync::Arc;
/// use openclaw_core::{layer::{Layer, TraceLayer}, tool::Tool};
///
/// fn traced(tool: Arc<dyn Tool>) -> Arc<dyn Tool> {
///     TraceLayer.layer(tool)
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TraceLayer;

impl Layer<dyn Provider> for TraceLayer {
    fn layer(&self, inner: Arc<dyn Provider>) -> Arc<dyn Provider> {
        around_stream(inner, *self)
    }
}

impl Layer<dyn Tool> for TraceLayer {
    fn layer(&self, inner: Arc<dyn Tool>) -> Arc<dyn Tool> {
        around_call(inner, *self)
    }
}

#[async_trait]
impl AroundStream for TraceLayer {
    async fn stream(
        &self,
        cx: &CallContext,
        request: &CompletionRequest,
        inner: &dyn Provider,
    ) -> Result<CompletionStream> {
        let span = completion_span(request, inner);
        let started = inner.stream(cx, request).instrument(span.clone()).await;
        let inner = started.inspect_err(|error| record_error(&span, error))?;
        Ok(CompletionStream::new(stream::unfold((inner, span), |(mut inner, span)| async {
            let next = inner.next().instrument(span.clone()).await?;
            match &next {
                Ok(event) => record_event(&span, event),
                Err(error) => record_error(&span, error),
            }
            Some((next, (inner, span)))
        })))
    }
}

fn completion_span(request: &CompletionRequest, provider: &dyn Provider) -> Span {
    let model = request.model.as_str();
    let output = if request.response_format.is_some() { "json" } else { "text" };
    let span = tracing::info_span!(
        target: "openclaw::gen_ai",
        "chat",
        otel.name = %format_args!("chat {model}"),
        otel.kind = "client",
        gen_ai.operation.name = "chat",
        gen_ai.provider.name = provider.id().as_str(),
        gen_ai.request.model = model,
        gen_ai.request.max_tokens = Empty,
        gen_ai.request.temperature = Empty,
        gen_ai.output.type = output,
        gen_ai.response.finish_reasons = Empty,
        gen_ai.usage.input_tokens = Empty,
        gen_ai.usage.cache_read.input_tokens = Empty,
        gen_ai.usage.output_tokens = Empty,
        error.type = Empty,
    );
    if let Some(tokens) = request.max_output_tokens {
        span.record("gen_ai.request.max_tokens", tokens);
    }
    if let Some(temperature) = request.temperature {
        span.record("gen_ai.request.temperature", f64::from(temperature));
    }
    span
}

fn record_event(span: &Span, event: &CompletionEvent) {
    let CompletionEvent::Finish { reason, usage } = event else { return };
    let reason = match reason {
        FinishReason::Stop => "stop",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::Length => "length",
        FinishReason::Refused => "content_filter",
        FinishReason::Other(_) => "other",
    };
    span.record("gen_ai.response.finish_reasons", reason);
    span.record("gen_ai.usage.input_tokens", usage.input_tokens);
    span.record("gen_ai.usage.cache_read.input_tokens", usage.cached_input_tokens);
    span.record("gen_ai.usage.output_tokens", usage.output_tokens);
}

/// The kind alone: messages may hold what was said.
fn record_error(span: &Span, error: &Error) {
    // As it is serialised: `rate_limited`.
    if let Ok(serde_json::Value::String(kind)) = serde_json::to_value(error.kind()) {
        span.record("error.type", kind);
    }
}

#[async_trait]
impl AroundCall for TraceLayer {
    async fn call(&self, cx: ToolContext, inner: &dyn Tool) -> Result<ToolOutput> {
        let tool = cx.tool().to_owned();
        let span = tracing::info_span!(
            target: "openclaw::gen_ai",
            "execute_tool",
            otel.name = %format_args!("execute_tool {tool}"),
            gen_ai.operation.name = "execute_tool",
            gen_ai.tool.name = tool,
            gen_ai.tool.type = "function",
            gen_ai.tool.call.id = %cx.call(),
            error.type = Empty,
        );
        let called = inner.call(cx).instrument(span.clone()).await;
        called.inspect_err(|error| record_error(&span, error))
    }
}
