//! What the layers promise.

mod budget;
mod fallback;
mod limit;
mod record;
mod retry;
mod timeout;
mod trace;
mod wrap;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use openclaw_core::{
    Error, ErrorKind, ProviderId, Result, Retry, async_trait,
    provider::{
        CallContext, ChatMessage, Completion, CompletionEvent, CompletionRequest, CompletionStream,
        FinishReason, ModelInfo, Provider, Usage,
    },
    testing::tool_context,
    tool::{Effect, Tool, ToolContext, ToolOutput, ToolSpec},
};
use serde_json::json;

/// How a call of [`Fake`] goes: refused, or events, each after a pause.
type Answer = Result<Vec<(Duration, Result<CompletionEvent>)>>;

/// A provider that answers by a list, and says so when that is at its end.
struct Fake {
    id: ProviderId,
    answers: Mutex<VecDeque<Answer>>,
    asked: Mutex<Vec<CompletionRequest>>,
    models: Vec<ModelInfo>,
}

impl Fake {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Arc<Self> {
        Self::named("fake", answers)
    }

    fn named(id: &str, answers: impl IntoIterator<Item = Answer>) -> Arc<Self> {
        Self::with_models(id, answers, Vec::new())
    }

    fn with_models(
        id: &str,
        answers: impl IntoIterator<Item = Answer>,
        models: Vec<ModelInfo>,
    ) -> Arc<Self> {
        let answers = Mutex::new(answers.into_iter().collect());
        Arc::new(Self { id: id.into(), answers, asked: Mutex::default(), models })
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn last_request(&self) -> CompletionRequest {
        self.asked.lock().unwrap().last().cloned().expect("nobody asked")
    }
}

#[async_trait]
impl Provider for Fake {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    async fn models(&self) -> Result<Vec<ModelInfo>> {
        Ok(self.models.clone())
    }

    async fn stream(
        &self,
        _cx: &CallContext,
        request: &CompletionRequest,
    ) -> Result<CompletionStream> {
        self.asked.lock().unwrap().push(request.clone());
        let answer = self.answers.lock().unwrap().pop_front();
        let events =
            answer.unwrap_or_else(|| Err(Error::internal("the fake has no more answers")))?;
        Ok(CompletionStream::new(stream::iter(events).then(|(pause, event)| async move {
            tokio::time::sleep(pause).await;
            event
        })))
    }
}

fn text(text: &str) -> CompletionEvent {
    CompletionEvent::Text { text: text.to_owned() }
}

fn finish(input: u64, output: u64) -> CompletionEvent {
    CompletionEvent::Finish { reason: FinishReason::Stop, usage: Usage::new(input, output) }
}

/// An answer that says `says` and finishes, at once.
fn says(says: &str) -> Answer {
    after(Duration::ZERO, says)
}

/// The same, each event after a pause.
fn after(pause: Duration, says: &str) -> Answer {
    Ok(vec![(pause, Ok(text(says))), (pause, Ok(finish(10, 5)))])
}

/// An answer whose first event is an error.
fn fails_at_once(kind: ErrorKind) -> Answer {
    Ok(vec![(Duration::ZERO, Err(Error::new(kind, "failed as its first event")))])
}

/// An answer that fails after some text.
fn fails_midway(kind: ErrorKind) -> Answer {
    let error = Err(Error::new(kind, "failed midway"));
    Ok(vec![(Duration::ZERO, Ok(text("half"))), (Duration::ZERO, error)])
}

fn refuses(kind: ErrorKind) -> Answer {
    Err(Error::new(kind, "refused"))
}

fn refuses_with(kind: ErrorKind, retry: Retry) -> Answer {
    Err(Error::new(kind, "refused").with_retry(retry))
}

fn request() -> CompletionRequest {
    CompletionRequest::new("small", vec![ChatMessage::user("hello")])
}

/// Asks for a whole completion.
async fn ask(provider: &Arc<dyn Provider>) -> Result<Completion> {
    ask_with(provider, &CallContext::new()).await
}

async fn ask_with(provider: &Arc<dyn Provider>, cx: &CallContext) -> Result<Completion> {
    Completion::collect(provider.stream(cx, &request()).await?, |_| {}).await
}

/// A tool that fails so many times, in the same way, and counts its calls.
struct Flaky {
    effect: Effect,
    failures: u32,
    error: fn() -> Error,
    calls: AtomicU32,
}

impl Flaky {
    fn new(effect: Effect, failures: u32) -> Arc<Self> {
        let error = || Error::new(ErrorKind::Unavailable, "not now");
        Arc::new(Self { effect, failures, error, calls: AtomicU32::new(0) })
    }

    fn calls(&self) -> u32 {
        self.calls.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Tool for Flaky {
    fn spec(&self) -> ToolSpec {
        ToolSpec::new("flaky", "Works now and then").effect(self.effect)
    }

    async fn call(&self, _cx: ToolContext) -> Result<ToolOutput> {
        if self.calls.fetch_add(1, Ordering::SeqCst) < self.failures {
            return Err((self.error)());
        }
        Ok("done".into())
    }

    async fn reconcile(&self, _cx: ToolContext) -> Result<Option<ToolOutput>> {
        Ok(Some("found".into()))
    }
}

fn call() -> ToolContext {
    tool_context("flaky", json!({}))
}
