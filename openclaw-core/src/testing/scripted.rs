//! A provider that answers from a script.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use futures_util::stream;
use serde_json::Value;

use crate::{
    error::{Error, ErrorKind, Result},
    id::ProviderId,
    provider::{
        CallContext, CompletionEvent, CompletionRequest, CompletionStream, FinishReason, ModelInfo,
        Provider, ProviderState, ToolCall, Usage,
    },
    time::Cancel,
};

/// A [`Provider`] that answers from a script and remembers what it was asked.
///
/// Each call of [`stream`](Provider::stream) takes the next [`Step`]; a call too many is an error of
/// kind [`Internal`](ErrorKind::Internal) that says so. Clones share script and memory, so a test
/// keeps one and gives the other away.
///
/// ```
/// use openclaw_core::{
///     Result,
///     provider::{CallContext, ChatMessage, Completion, CompletionRequest, Provider as _},
///     testing::scripted::{Scripted, Step},
/// };
/// use serde_json::json;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<()> {
/// let model = Scripted::steps([
///     Step::new().call("weather", json!({"city": "Hanoi"})),
///     Step::text("It rains in Hanoi."),
/// ]);
/// let request = CompletionRequest::new("any", vec![ChatMessage::user("Weather?")]);
///
/// let first = Completion::collect(model.stream(&CallContext::new(), &request).await?, |_| {}).await?;
/// assert_eq!(first.calls[0].name, "weather");
/// let second = Completion::collect(model.stream(&CallContext::new(), &request).await?, |_| {}).await?;
/// assert_eq!(second.text, "It rains in Hanoi.");
///
/// assert_eq!(model.requests().len(), 2);
/// assert!(model.stream(&CallContext::new(), &request).await.is_err(), "the script is over");
/// # Ok(()) }
/// ```
///
/// A program that answers from the request:
///
/// ```
/// use openclaw_core::testing::scripted::Scripted;
///
/// let parrot = Scripted::from_fn(|request| Ok(format!("{} messages", request.messages.len())));
/// # let _ = parrot;
/// ```
#[derive(Clone)]
pub struct Scripted {
    id: ProviderId,
    inner: Arc<Inner>,
}

struct Inner {
    script: Script,
    models: Mutex<Vec<ModelInfo>>,
    requests: Mutex<Vec<CompletionRequest>>,
    open: Arc<AtomicUsize>,
}

type Program = Box<dyn Fn(&CompletionRequest) -> Result<Step> + Send + Sync>;

enum Script {
    Steps(Mutex<VecDeque<Step>>),
    Program(Program),
}

impl Scripted {
    /// Answers with these texts, one a call, each streamed in a few deltas.
    pub fn replies(texts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::steps(texts.into_iter().map(|text| Step::text(text)))
    }

    /// Answers with these steps, one a call.
    pub fn steps(steps: impl IntoIterator<Item = impl Into<Step>>) -> Self {
        Self::of(Script::Steps(Mutex::new(steps.into_iter().map(Into::into).collect())))
    }

    /// Answers each request with what `program` makes of it; its error is the error of
    /// [`stream`](Provider::stream).
    pub fn from_fn<S: Into<Step>>(
        program: impl Fn(&CompletionRequest) -> Result<S> + Send + Sync + 'static,
    ) -> Self {
        Self::of(Script::Program(Box::new(move |request| program(request).map(Into::into))))
    }

    fn of(script: Script) -> Self {
        Self {
            id: ProviderId::new("scripted"),
            inner: Arc::new(Inner {
                script,
                models: Mutex::new(vec![ModelInfo::new("scripted")]),
                requests: Mutex::default(),
                open: Arc::default(),
            }),
        }
    }

    /// The same script under another name than `scripted`.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<ProviderId>) -> Self {
        self.id = id.into();
        self
    }

    /// Replaces the list of models, which is one named `scripted`.
    #[must_use]
    pub fn with_models(self, models: impl IntoIterator<Item = ModelInfo>) -> Self {
        *lock(&self.inner.models) = models.into_iter().collect();
        self
    }

    /// Adds a step to the end of the script; of no use to a program, which has no end.
    pub fn push(&self, step: impl Into<Step>) {
        if let Script::Steps(steps) = &self.inner.script {
            lock(steps).push_back(step.into());
        }
    }

    /// Every request so far, in order, those that were answered with an error among them.
    pub fn requests(&self) -> Vec<CompletionRequest> {
        lock(&self.inner.requests).clone()
    }

    /// How many streams are neither read to their end nor dropped.
    pub fn open_streams(&self) -> usize {
        self.inner.open.load(Ordering::SeqCst)
    }

    /// Takes the next step and remembers the request.
    fn next(&self, request: &CompletionRequest) -> Result<Step> {
        let asked = {
            let mut requests = lock(&self.inner.requests);
            requests.push(request.clone());
            requests.len()
        };
        match &self.inner.script {
            Script::Program(program) => program(request),
            Script::Steps(steps) => lock(steps).pop_front().ok_or_else(|| {
                Error::internal(format!(
                    "the scripted provider has no step for request {asked}: the script had {}; \
                     give it more, or look for a request too many",
                    asked.saturating_sub(1)
                ))
            }),
        }
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted")
            .field("id", &self.id)
            .field("requests", &lock(&self.inner.requests).len())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Provider for Scripted {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    async fn models(&self) -> Result<Vec<ModelInfo>> {
        Ok(lock(&self.inner.models).clone())
    }

    async fn stream(
        &self,
        cx: &CallContext,
        request: &CompletionRequest,
    ) -> Result<CompletionStream> {
        let beats = self.next(request)?.beats(&self.id, request)?;
        Ok(play(beats, cx.cancel.clone(), Open::new(&self.inner.open)))
    }
}

/// One answer: what it says in which order, and how it ends.
///
/// It ends with [`CompletionEvent::Finish`] unless told otherwise, for the reason
/// [`ToolCalls`](FinishReason::ToolCalls) if it calls tools and [`Stop`](FinishReason::Stop) if not,
/// with a usage that is counted from the texts (four bytes a token).
#[derive(Debug, Default)]
pub struct Step {
    pieces: Vec<Piece>,
    end: End,
    usage: Option<Usage>,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    Reasoning(String),
    Call { name: String, arguments: String },
    State(Value),
    Stall,
}

#[derive(Debug, Default)]
enum End {
    #[default]
    Natural,
    Finish(FinishReason),
    Cut,
    Fail(Error),
    Refuse(Error),
}

impl Step {
    /// An answer that says nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// An answer that says `text`.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new().say(text)
    }

    /// No answer: [`stream`](Provider::stream) itself fails with `error`.
    pub fn error(error: Error) -> Self {
        Self { end: End::Refuse(error), ..Self::new() }
    }

    /// Says more.
    #[must_use]
    pub fn say(mut self, text: impl Into<String>) -> Self {
        self.pieces.push(Piece::Text(text.into()));
        self
    }

    /// Thinks aloud.
    #[must_use]
    pub fn reason(mut self, text: impl Into<String>) -> Self {
        self.pieces.push(Piece::Reasoning(text.into()));
        self
    }

    /// Calls a tool. The calls of an answer have the ids `call_0`, `call_1`, …, which repeat in the
    /// next answer, as those of real providers do.
    #[must_use]
    pub fn call(self, name: impl Into<String>, arguments: Value) -> Self {
        self.call_raw(name, arguments.to_string())
    }

    /// Calls a tool with arguments that need not be JSON.
    #[must_use]
    pub fn call_raw(mut self, name: impl Into<String>, arguments: impl Into<String>) -> Self {
        self.pieces.push(Piece::Call { name: name.into(), arguments: arguments.into() });
        self
    }

    /// Asks to be handed `data` back with the calls of this answer; see
    /// [`ProviderState`].
    #[must_use]
    pub fn state(mut self, data: Value) -> Self {
        self.pieces.push(Piece::State(data));
        self
    }

    /// Waits here until the call is cancelled or the stream dropped.
    #[must_use]
    pub fn stall(mut self) -> Self {
        self.pieces.push(Piece::Stall);
        self
    }

    /// Ends for this reason.
    #[must_use]
    pub fn finish(mut self, reason: FinishReason) -> Self {
        self.end = End::Finish(reason);
        self
    }

    /// Ends without [`CompletionEvent::Finish`], as a connection that breaks.
    #[must_use]
    pub fn cut(mut self) -> Self {
        self.end = End::Cut;
        self
    }

    /// Ends with an error in the stream, after what was said.
    #[must_use]
    pub fn fail(mut self, error: Error) -> Self {
        self.end = End::Fail(error);
        self
    }

    /// Reports this usage.
    #[must_use]
    pub fn usage(mut self, usage: Usage) -> Self {
        self.usage = Some(usage);
        self
    }

    /// What happens on the stream, in order.
    fn beats(self, id: &ProviderId, request: &CompletionRequest) -> Result<VecDeque<Beat>> {
        let (mut beats, mut written, mut calls) = (VecDeque::new(), 0, 0_u32);
        for piece in self.pieces {
            match piece {
                Piece::Text(text) => {
                    written += text.len();
                    beats.extend(
                        deltas(&text).map(|text| Beat::Event(CompletionEvent::Text { text })),
                    );
                }
                Piece::Reasoning(text) => {
                    written += text.len();
                    beats.push_back(Beat::Event(CompletionEvent::Reasoning { text }));
                }
                Piece::Call { name, arguments } => {
                    written += arguments.len();
                    beats.extend(deltas(&arguments).map(|json| {
                        Beat::Event(CompletionEvent::ToolCallDelta { index: calls, json })
                    }));
                    beats.push_back(Beat::Event(CompletionEvent::ToolCall(ToolCall {
                        id: format!("call_{calls}"),
                        name,
                        arguments,
                    })));
                    calls += 1;
                }
                Piece::State(data) => {
                    let state = ProviderState::new(id.clone(), request.model.clone(), data);
                    beats.push_back(Beat::Event(CompletionEvent::State(state)));
                }
                Piece::Stall => beats.push_back(Beat::Stall),
            }
        }
        let reason = match self.end {
            End::Natural if calls > 0 => FinishReason::ToolCalls,
            End::Natural => FinishReason::Stop,
            End::Finish(reason) => reason,
            End::Cut => return Ok(beats),
            End::Fail(error) => {
                beats.push_back(Beat::Fail(error));
                return Ok(beats);
            }
            End::Refuse(error) => return Err(error),
        };
        let usage = self.usage.unwrap_or_else(|| Usage::new(read_by(request), tokens(written)));
        beats.push_back(Beat::Event(CompletionEvent::Finish { reason, usage }));
        Ok(beats)
    }
}

impl From<&str> for Step {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Step {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

enum Beat {
    Event(CompletionEvent),
    Fail(Error),
    Stall,
}

/// Counts a stream as open while it lives.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn play(beats: VecDeque<Beat>, cancel: Cancel, open: Open) -> CompletionStream {
    CompletionStream::new(stream::unfold(Some((beats, cancel, open)), async |state| {
        let (mut beats, cancel, open) = state?;
        let beat = beats.pop_front()?;
        if matches!(beat, Beat::Stall) {
            cancel.cancelled().await;
        }
        match beat {
            _ if cancel.is_cancelled() => Some((Err(cancelled()), None)),
            Beat::Event(event) => Some((Ok(event), Some((beats, cancel, open)))),
            Beat::Fail(error) => Some((Err(error), None)),
            // A stall ends by cancellation alone, which is answered above.
            Beat::Stall => None,
        }
    }))
}

fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the completion was cancelled")
}

/// The text in up to three pieces of whole characters.
fn deltas(text: &str) -> impl Iterator<Item = String> {
    let chars: Vec<char> = text.chars().collect();
    let size = chars.len().div_ceil(3).max(1);
    let pieces: Vec<String> = chars.chunks(size).map(|piece| piece.iter().collect()).collect();
    pieces.into_iter()
}

/// About how many tokens a request is.
fn read_by(request: &CompletionRequest) -> u64 {
    let bytes: usize = request
        .messages
        .iter()
        .filter_map(|message| serde_json::to_string(message).ok())
        .map(|json| json.len())
        .sum();
    tokens(request.system.len() + bytes)
}

fn tokens(bytes: usize) -> u64 {
    u64::try_from(bytes.div_ceil(4)).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What it guards is valid after every statement, also in a thread that panicked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, StreamExt as _};
    use serde_json::json;

    use super::*;
    use crate::provider::{ChatMessage, Completion};

    fn request() -> CompletionRequest {
        CompletionRequest::new("scripted", vec![ChatMessage::user("Hi")])
    }

    async fn complete(model: &Scripted) -> Result<Completion> {
        Completion::collect(model.stream(&CallContext::new(), &request()).await?, |_| {}).await
    }

    #[tokio::test]
    async fn texts_come_in_pieces_of_whole_characters() {
        let model = Scripted::replies(["Xin chào, thế giới 🌏"]);
        let mut pieces = Vec::new();
        let stream = model.stream(&CallContext::new(), &request()).await.unwrap();
        let done = Completion::collect(stream, |event| {
            if let CompletionEvent::Text { text } = event {
                pieces.push(text.clone());
            }
        })
        .await
        .unwrap();
        assert_eq!(pieces.len(), 3);
        assert_eq!(done.text, "Xin chào, thế giới 🌏");
        assert_eq!(pieces.concat(), done.text);
        assert!(done.usage.total_tokens() > 0);
        assert_eq!(model.open_streams(), 0);
    }

    #[tokio::test]
    async fn an_exhausted_script_says_which_request_came_too_many() {
        let model = Scripted::replies(["only one"]);
        complete(&model).await.unwrap();
        let error = complete(&model).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(error.to_string().contains("request 2: the script had 1"), "{error}");
        model.push("another");
        assert_eq!(complete(&model).await.unwrap().text, "another");
    }

    #[tokio::test]
    async fn several_calls_keep_their_order_and_make_the_reason() {
        let step = Step::text("Let me see.").call("a", json!({"x": 1})).call_raw("b", "{broken");
        let done = complete(&Scripted::steps([step])).await.unwrap();
        assert_eq!(done.reason, FinishReason::ToolCalls);
        let calls: Vec<_> = done.calls.iter().map(|c| (&*c.id, &*c.name, &*c.arguments)).collect();
        assert_eq!(calls, [("call_0", "a", r#"{"x":1}"#), ("call_1", "b", "{broken")]);
    }

    #[tokio::test]
    async fn fails_at_each_place_a_provider_can_fail() {
        let busy = || Error::new(ErrorKind::RateLimited, "busy");
        let model = Scripted::steps([
            Step::error(busy()),
            Step::text("half").fail(busy()),
            Step::text("half").cut(),
        ]);
        assert!(model.stream(&CallContext::new(), &request()).await.is_err());
        assert_eq!(complete(&model).await.unwrap_err().kind(), ErrorKind::RateLimited);
        assert_eq!(complete(&model).await.unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(model.requests().len(), 3);
    }

    #[tokio::test]
    async fn a_stall_lasts_until_it_is_cancelled_or_dropped() {
        let model = Scripted::steps([Step::text("a").stall().say("never"), Step::new().stall()]);
        let cancel = Cancel::new();
        let cx = CallContext::new().with_cancel(cancel.clone());
        let mut stream = model.stream(&cx, &request()).await.unwrap();
        assert!(stream.next().await.unwrap().is_ok());
        assert!(stream.next().now_or_never().is_none());
        cancel.cancel();
        assert_eq!(stream.next().await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
        assert!(stream.next().await.is_none());

        let stream = model.stream(&CallContext::new(), &request()).await.unwrap();
        assert_eq!(model.open_streams(), 1);
        drop(stream);
        assert_eq!(model.open_streams(), 0);
    }

    #[tokio::test]
    async fn a_program_answers_from_the_request() {
        let model = Scripted::from_fn(|request| match request.messages.last() {
            Some(ChatMessage::User { .. }) => Ok(Step::text(format!("{}!", request.model))),
            _ => Err(Error::new(ErrorKind::InvalidInput, "nothing was said")),
        });
        assert_eq!(complete(&model).await.unwrap().text, "scripted!");
        let empty = CompletionRequest::new("m", Vec::new());
        assert!(model.stream(&CallContext::new(), &empty).await.is_err());
    }
}
