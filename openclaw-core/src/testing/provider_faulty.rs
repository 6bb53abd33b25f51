//! A provider that breaks its contract in one way at a time.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use serde_json::json;

use super::{
    provider::ProviderFixture,
    scripted::{Scripted, Step},
};
use crate::{
    error::{Error, ErrorKind, Result},
    id::ProviderId,
    provider::{
        CallContext, CompletionEvent, CompletionRequest, CompletionStream, DEFAULT_MODEL,
        ModelInfo, Provider, Usage,
    },
};

/// What a [`FaultyProvider`] does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProviderFault {
    /// Nothing.
    None,
    /// Says more after the finish.
    TalksOn,
    /// Ends without a finish.
    NeverFinishes,
    /// Loses a piece of the text.
    LosesText,
    /// Says nothing of what was used.
    NoUsage,
    /// Yields a call before its arguments are whole.
    HalfCalls,
    /// Keeps on waiting when it is cancelled.
    IgnoresCancel,
    /// Holds its request open when the stream is dropped.
    Leaks,
    /// Begins a stream, and tells there that the request was refused.
    FailsLate,
    /// Asks its service for a model of the name that leaves the choice to it.
    NoOwnChoice,
    /// Lists each model twice.
    ListsTwice,
    /// Says that the state to be handed back is another provider's.
    DisownsState,
}

impl ProviderFault {
    /// Every fault.
    pub const ALL: [Self; 11] = [
        Self::TalksOn,
        Self::NeverFinishes,
        Self::LosesText,
        Self::NoUsage,
        Self::HalfCalls,
        Self::IgnoresCancel,
        Self::Leaks,
        Self::FailsLate,
        Self::NoOwnChoice,
        Self::ListsTwice,
        Self::DisownsState,
    ];
}

/// A [`Scripted`] with a fault.
pub struct FaultyProvider {
    inner: Scripted,
    fault: ProviderFault,
    /// Requests that the other side has open.
    open: Arc<AtomicUsize>,
}

impl FaultyProvider {
    /// What a suite is to be told about a provider with `fault`.
    pub fn fixture(fault: ProviderFault) -> ProviderFixture {
        let open = Arc::new(AtomicUsize::new(0));
        let counter = open.clone();
        let make = move |step: fn() -> Step| {
            let open = open.clone();
            move || Self { inner: Scripted::steps([step()]), fault, open: open.clone() }
        };
        ProviderFixture::new("scripted", make(|| Step::text("Hello, Ada.")))
            .expecting("Hello, Ada.")
            .with_usage()
            .with_tools(make(|| Step::new().call("add", json!({"a": 1})).call("add", json!({}))))
            .with_state(make(|| Step::new().state(json!("signed")).call("add", json!({"a": 1}))))
            .with_stall(make(|| Step::text("Well").stall()))
            .with_refusal(make(|| Step::error(Error::new(ErrorKind::RateLimited, "busy"))))
            .counting(move || counter.load(Ordering::SeqCst))
    }

    /// What becomes of an event.
    fn spoil(&self) -> impl Fn(CompletionEvent) -> Vec<CompletionEvent> + Send + 'static {
        let fault = self.fault;
        move |event| match (fault, event) {
            (ProviderFault::TalksOn, finish @ CompletionEvent::Finish { .. }) => {
                vec![finish, CompletionEvent::Text { text: "and".into() }]
            }
            (ProviderFault::NeverFinishes, CompletionEvent::Finish { .. }) => vec![],
            (ProviderFault::LosesText, CompletionEvent::Text { text }) if text.starts_with('H') => {
                vec![]
            }
            (ProviderFault::NoUsage, CompletionEvent::Finish { reason, .. }) => {
                vec![CompletionEvent::Finish { reason, usage: Usage::default() }]
            }
            (ProviderFault::HalfCalls, CompletionEvent::ToolCall(mut call)) => {
                call.arguments.pop();
                vec![CompletionEvent::ToolCall(call)]
            }
            (ProviderFault::DisownsState, CompletionEvent::State(mut state)) => {
                state.provider = ProviderId::new("another");
                vec![CompletionEvent::State(state)]
            }
            (_, event) => vec![event],
        }
    }
}

/// A request that the other side has open.
struct Request(Arc<AtomicUsize>);

impl Drop for Request {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Provider for FaultyProvider {
    fn id(&self) -> &ProviderId {
        self.inner.id()
    }

    async fn models(&self) -> Result<Vec<ModelInfo>> {
        let mut models = self.inner.models().await?;
        if self.fault == ProviderFault::ListsTwice {
            models.extend(models.clone());
        }
        Ok(models)
    }

    async fn stream(
        &self,
        cx: &CallContext,
        request: &CompletionRequest,
    ) -> Result<CompletionStream> {
        if self.fault == ProviderFault::NoOwnChoice && request.model.as_str() == DEFAULT_MODEL {
            return Err(Error::new(ErrorKind::NotFound, "the service has no such model"));
        }
        let deaf = CallContext::new();
        let cx = if self.fault == ProviderFault::IgnoresCancel { &deaf } else { cx };
        let inner = match self.inner.stream(cx, request).await {
            Err(error) if self.fault == ProviderFault::FailsLate => {
                return Ok(CompletionStream::new(stream::iter([Err(error)])));
            }
            inner => inner?,
        };
        self.open.fetch_add(1, Ordering::SeqCst);
        let open = Request(self.open.clone());
        if self.fault == ProviderFault::Leaks {
            std::mem::forget(open);
            return Ok(inner);
        }
        let spoil = self.spoil();
        let spoiled = inner.flat_map(move |event| {
            stream::iter(match event {
                Ok(event) => spoil(event).into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            })
        });
        // The request is closed when its stream has ended, also while that is still held.
        let held = stream::unfold(Some((spoiled.boxed(), open)), async |held| {
            let (mut events, open) = held?;
            match events.next().await? {
                Err(error) => Some((Err(error), None)),
                event => Some((event, Some((events, open)))),
            }
        });
        Ok(CompletionStream::new(held))
    }
}
