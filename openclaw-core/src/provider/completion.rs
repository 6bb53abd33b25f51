//! The stream of a completion, and the only code that collects one.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::stream::{BoxStream, Stream};
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};

use super::{ProviderState, Usage};
use crate::error::{Error, ErrorKind, Result};

/// A piece of a completion as it arrives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum CompletionEvent {
    /// More text.
    Text {
        /// The text; never empty.
        text: String,
    },
    /// More of what the model thinks to itself; shown at most, never kept.
    Reasoning {
        /// The text.
        text: String,
    },
    /// A part of a call's arguments, to show; act only on the whole [`ToolCall`](Self::ToolCall).
    ToolCallDelta {
        /// The call's index in this completion.
        index: u32,
        /// More of the arguments' JSON text.
        json: String,
    },
    /// A whole call.
    ToolCall(ToolCall),
    /// What the provider must be handed back with the calls of this completion; at most once.
    State(ProviderState),
    /// The end.
    Finish {
        /// Why.
        reason: FinishReason,
        /// What it used, as far as the provider said.
        usage: Usage,
    },
}

/// A tool call as a provider states it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The provider's id. It names the call within one request and may repeat in the next.
    pub id: String,
    /// The tool's name, as the model wrote it.
    pub name: String,
    /// The arguments as the model wrote them: meant to be a JSON object, not checked.
    pub arguments: String,
}

/// Why a completion ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FinishReason {
    /// The model was done.
    Stop,
    /// It wants tools called.
    ToolCalls,
    /// The limit on output tokens, or the context, was reached: the text is cut.
    Length,
    /// The provider withheld the text, or the model refused.
    Refused,
    /// Something else, in the provider's word.
    Other(String),
}

/// A completion as it arrives. Dropping it closes the request.
pub struct CompletionStream(BoxStream<'static, Result<CompletionEvent>>);

impl CompletionStream {
    /// Wraps a stream of events.
    pub fn new(stream: impl Stream<Item = Result<CompletionEvent>> + Send + 'static) -> Self {
        Self(Box::pin(stream))
    }
}

impl Stream for CompletionStream {
    type Item = Result<CompletionEvent>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

impl fmt::Debug for CompletionStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CompletionStream")
    }
}

/// A whole completion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Completion {
    /// All of the text.
    pub text: String,
    /// The calls, in the model's order.
    pub calls: Vec<ToolCall>,
    /// Why it ended.
    pub reason: FinishReason,
    /// What it used.
    pub usage: Usage,
    /// What the provider must be handed back with the calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ProviderState>,
}

impl Completion {
    /// Collects a stream to its end; `tap` sees each event first.
    ///
    /// # Errors
    /// The stream's own error, or [`ErrorKind::InvalidData`] with the advice to try again if it ended
    /// without [`CompletionEvent::Finish`]. A completion that was cut short is never taken for a whole
    /// one.
    pub async fn collect(
        mut stream: CompletionStream,
        mut tap: impl FnMut(&CompletionEvent) + Send,
    ) -> Result<Self> {
        let (mut text, mut calls, mut state) = (String::new(), Vec::new(), None);
        while let Some(event) = stream.next().await {
            let event = event?;
            tap(&event);
            match event {
                CompletionEvent::Text { text: more } => text.push_str(&more),
                CompletionEvent::ToolCall(call) => calls.push(call),
                CompletionEvent::State(given) => state = Some(given),
                CompletionEvent::Finish { reason, usage } => {
                    return Ok(Self { text, calls, reason, usage, state });
                }
                CompletionEvent::Reasoning { .. } | CompletionEvent::ToolCallDelta { .. } => {}
            }
        }
        Err(Error::new(
            ErrorKind::InvalidData,
            "the completion's stream ended before its finish event",
        )
        .with_public("the model's answer was cut short")
        .with_retry(crate::Retry::Backoff))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn a_stream_that_is_cut_short_is_an_error_worth_retrying() {
        let events = stream::iter([Ok(CompletionEvent::Text { text: "half".into() })]);
        let error = Completion::collect(CompletionStream::new(events), |_| {}).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.is_transient());
    }
}
