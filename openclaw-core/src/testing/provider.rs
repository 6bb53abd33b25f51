//! The contract of [`Provider`] as cases.
//!
//! ```
//! use openclaw_core::testing::{Scripted, Step, provider::{ProviderFixture, suite}};
//! use serde_json::json;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let fixture = ProviderFixture::new("scripted", || Scripted::replies(["Hello, Ada."]))
//!     .expecting("Hello, Ada.")
//!     .with_usage()
//!     .with_tools(|| Scripted::steps([Step::new().call("add", json!({"a": 1}))]));
//! suite("scripted", fixture).assert().await;
//! # }
//! ```

use std::{future::Future, sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use serde_json::json;

pub use super::provider_faulty::{FaultyProvider, ProviderFault};
use super::{Suite, Verdict};
use crate::{
    error::{Error, ErrorKind, Result},
    gateway::IntoProvider,
    id::ModelId,
    provider::{
        CallContext, ChatMessage, Completion, CompletionEvent, CompletionRequest, DEFAULT_MODEL,
        FinishReason, Provider, ToolChoice, ToolDefinition,
    },
    time::Cancel,
};

/// How long a cancelled completion may take to end, by `tokio::time`.
pub const CANCEL_GRACE: Duration = Duration::from_secs(5);
/// How long a case waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(60);

type Make = Arc<dyn Fn() -> Arc<dyn Provider> + Send + Sync>;

/// What the suite is told about a provider. What is not said skips the cases that need it.
#[derive(Clone)]
pub struct ProviderFixture {
    model: ModelId,
    make: Make,
    expected: Option<String>,
    usage: bool,
    tools: Option<Make>,
    stateful: Option<Make>,
    stalling: Option<Make>,
    failing: Option<Make>,
    open: Option<Arc<dyn Fn() -> usize + Send + Sync>>,
}

impl ProviderFixture {
    /// About the provider that `make` makes, asked for `model`; each case has its own.
    pub fn new<P: IntoProvider>(
        model: impl Into<ModelId>,
        make: impl Fn() -> P + Send + Sync + 'static,
    ) -> Self {
        Self {
            model: model.into(),
            make: erase(make),
            expected: None,
            usage: false,
            tools: None,
            stateful: None,
            stalling: None,
            failing: None,
            open: None,
        }
    }

    /// It answers everything with this text.
    #[must_use]
    pub fn expecting(mut self, text: impl Into<String>) -> Self {
        self.expected = Some(text.into());
        self
    }

    /// It says what a completion used.
    #[must_use]
    pub fn with_usage(mut self) -> Self {
        self.usage = true;
        self
    }

    /// How to make one that calls at least one tool, with arguments that are a JSON object.
    #[must_use]
    pub fn with_tools<P: IntoProvider>(
        mut self,
        make: impl Fn() -> P + Send + Sync + 'static,
    ) -> Self {
        self.tools = Some(erase(make));
        self
    }

    /// How to make one that calls at least one tool and asks to be handed state back with the call.
    #[must_use]
    pub fn with_state<P: Provider>(mut self, make: impl Fn() -> P + Send + Sync + 'static) -> Self {
        self.stateful = Some(erase(make));
        self
    }

    /// How to make one that begins a stream and then says nothing more.
    #[must_use]
    pub fn with_stall<P: IntoProvider>(
        mut self,
        make: impl Fn() -> P + Send + Sync + 'static,
    ) -> Self {
        self.stalling = Some(erase(make));
        self
    }

    /// How to make one whose service refuses every request.
    #[must_use]
    pub fn with_refusal<P: IntoProvider>(
        mut self,
        make: impl Fn() -> P + Send + Sync + 'static,
    ) -> Self {
        self.failing = Some(erase(make));
        self
    }

    /// How many requests the other side has open, of all that the fixture made.
    #[must_use]
    pub fn counting(mut self, open: impl Fn() -> usize + Send + Sync + 'static) -> Self {
        self.open = Some(Arc::new(open));
        self
    }

    fn request(&self) -> CompletionRequest {
        CompletionRequest::new(self.model.clone(), vec![ChatMessage::user("Say hello.")])
    }

    /// Waits until the other side has no request open, if the fixture can tell.
    async fn all_closed(&self) -> Result<()> {
        let Some(open) = &self.open else { return Ok(()) };
        let closed = async {
            while open() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        in_time("the request stays open", PATIENCE, closed).await
    }
}

fn erase<P: IntoProvider>(make: impl Fn() -> P + Send + Sync + 'static) -> Make {
    Arc::new(move || make().into_provider())
}

/// The cases of [`Provider`]'s contract.
pub fn suite(name: impl Into<String>, fixture: ProviderFixture) -> Suite {
    let case = |run: fn(ProviderFixture) -> futures_core::future::BoxFuture<'static, _>| {
        let fixture = fixture.clone();
        move || run(fixture.clone())
    };
    Suite::new(name)
        .case("nothing_follows_the_finish", case(|f| Box::pin(nothing_follows_the_finish(f))))
        .case("the_text_is_the_pieces_in_order", case(|f| Box::pin(the_text_is_the_pieces(f))))
        .case("usage_is_said", case(|f| Box::pin(usage_is_said(f))))
        .case("tool_calls_are_whole", case(|f| Box::pin(tool_calls_are_whole(f))))
        .case("state_names_who_wants_it_back", case(|f| Box::pin(state_names_who_wants_it(f))))
        .case("cancelling_ends_the_stream", case(|f| Box::pin(cancelling_ends_the_stream(f))))
        .case("dropping_closes_the_request", case(|f| Box::pin(dropping_closes_the_request(f))))
        .case("a_refusal_fails_before_the_stream", case(|f| Box::pin(a_refusal_fails_early(f))))
        .case("the_default_model_is_its_own_choice", case(|f| Box::pin(the_default_model(f))))
        .case("models_are_listed_once", case(|f| Box::pin(models_are_listed_once(f))))
}

/// Reads all events, also those that must not come.
async fn events(make: &Make, request: &CompletionRequest) -> Result<Vec<CompletionEvent>> {
    let stream = make().stream(&CallContext::new(), request).await?;
    let read = stream.collect::<Vec<_>>();
    in_time("the stream does not end", PATIENCE, read).await?.into_iter().collect()
}

async fn nothing_follows_the_finish(fixture: ProviderFixture) -> Result<Verdict> {
    let events = events(&fixture.make, &fixture.request()).await?;
    let finishes =
        events.iter().filter(|event| matches!(event, CompletionEvent::Finish { .. })).count();
    check(finishes == 1, || format!("{finishes} finish events; expected one"))?;
    check(matches!(events.last(), Some(CompletionEvent::Finish { .. })), || {
        "something follows the finish".to_owned()
    })
}

async fn the_text_is_the_pieces(fixture: ProviderFixture) -> Result<Verdict> {
    let mut pieces = Vec::new();
    for event in events(&fixture.make, &fixture.request()).await? {
        if let CompletionEvent::Text { text } = event {
            pieces.push(text);
        }
    }
    check(pieces.iter().all(|piece| !piece.is_empty()), || "a piece of text is empty".to_owned())?;
    let text = pieces.concat();
    match fixture.expected {
        Some(expected) => check(text == expected, || format!("{text:?}; expected {expected:?}")),
        None => check(!text.is_empty(), || "it says nothing".to_owned()),
    }
}

async fn usage_is_said(fixture: ProviderFixture) -> Result<Verdict> {
    if !fixture.usage {
        return skip("it does not say what a completion used");
    }
    let stream = (fixture.make)().stream(&CallContext::new(), &fixture.request()).await?;
    let usage = Completion::collect(stream, |_| {}).await?.usage;
    check(usage.input_tokens > 0 && usage.output_tokens > 0, || format!("{usage:?}"))?;
    check(
        usage.cached_input_tokens <= usage.input_tokens
            && usage.reasoning_tokens <= usage.output_tokens,
        || format!("parts that are more than the whole: {usage:?}"),
    )
}

async fn tool_calls_are_whole(fixture: ProviderFixture) -> Result<Verdict> {
    let Some(make) = &fixture.tools else { return skip("no fixture calls tools") };
    let mut request = with_a_tool(&fixture);
    request.tool_choice = ToolChoice::Required;
    let (mut calls, mut reason, mut deltas) = (Vec::new(), None, Vec::<String>::new());
    for event in events(make, &request).await? {
        match event {
            CompletionEvent::ToolCall(call) => calls.push(call),
            CompletionEvent::ToolCallDelta { index, json } => {
                let index = usize::try_from(index).unwrap_or(usize::MAX);
                if deltas.len() <= index.min(1_000) {
                    deltas.resize(index.min(1_000) + 1, String::new());
                }
                if let Some(delta) = deltas.get_mut(index) {
                    delta.push_str(&json);
                }
            }
            CompletionEvent::Finish { reason: why, .. } => reason = Some((why, calls.len())),
            _ => {}
        }
    }
    check(!calls.is_empty(), || "it called no tool".to_owned())?;
    check(reason == Some((FinishReason::ToolCalls, calls.len())), || {
        format!("{} calls, but the finish was {reason:?}", calls.len())
    })?;
    for (index, call) in calls.iter().enumerate() {
        check(!call.id.is_empty() && !call.name.is_empty(), || format!("unnamed: {call:?}"))?;
        let whole = serde_json::from_str::<serde_json::Map<_, _>>(&call.arguments).is_ok();
        check(whole, || format!("its arguments are not whole: {call:?}"))?;
        let shown = deltas.get(index).filter(|shown| !shown.is_empty());
        check(shown.is_none_or(|shown| *shown == call.arguments), || {
            format!("shown in pieces as {shown:?}, and whole as {:?}", call.arguments)
        })?;
    }
    let mut ids: Vec<_> = calls.iter().map(|call| &call.id).collect();
    ids.sort_unstable();
    ids.dedup();
    check(ids.len() == calls.len(), || "two calls have the same id".to_owned())
}

fn with_a_tool(fixture: &ProviderFixture) -> CompletionRequest {
    let mut request = fixture.request();
    request.tools = Arc::from([ToolDefinition {
        name: "add".into(),
        description: "Adds two numbers".into(),
        input_schema: json!({
            "type": "object",
            "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
        }),
    }]);
    request
}

async fn state_names_who_wants_it(fixture: ProviderFixture) -> Result<Verdict> {
    let Some(make) = &fixture.stateful else { return skip("no fixture wants state back") };
    let (provider, request) = (make(), with_a_tool(&fixture));
    let stream = provider.stream(&CallContext::new(), &request).await?;
    let done = Completion::collect(stream, |_| {}).await?;
    let Some(state) = done.state else {
        return Err(Error::internal("it gave no state"));
    };
    check(!done.calls.is_empty(), || "it gave state without a call".to_owned())?;
    check(state.data_for(provider.id(), request.model.as_str()).is_some(), || {
        format!(
            "the state is for {} of {}; expected {} of {}",
            state.model,
            state.provider,
            request.model,
            provider.id()
        )
    })
}

async fn cancelling_ends_the_stream(fixture: ProviderFixture) -> Result<Verdict> {
    let Some(make) = &fixture.stalling else { return skip("no fixture stalls") };
    let cancel = Cancel::new();
    let cx = CallContext::new().with_cancel(cancel.clone());
    let mut stream = make().stream(&cx, &fixture.request()).await?;
    let first = in_time("nothing begins", PATIENCE, stream.next()).await?;
    check(matches!(first, Some(Ok(_))), || format!("it does not begin: {first:?}"))?;
    cancel.cancel();
    // What was under way may still come.
    let end = async {
        while let Some(event) = stream.next().await {
            match event {
                Err(error) => return Some(error),
                Ok(CompletionEvent::Finish { .. }) => return None,
                Ok(_) => {}
            }
        }
        None
    };
    let end = in_time("it goes on though it was cancelled", CANCEL_GRACE, end).await?;
    let kind = end.as_ref().map(Error::kind);
    check(kind == Some(ErrorKind::Cancelled), || format!("it ended with {end:?}"))?;
    // With the stream still held: cancelling alone closes.
    fixture.all_closed().await?;
    drop(stream);
    Ok(Verdict::Passed)
}

async fn dropping_closes_the_request(fixture: ProviderFixture) -> Result<Verdict> {
    let (Some(make), Some(_)) = (&fixture.stalling, &fixture.open) else {
        return skip("no fixture stalls and counts open requests");
    };
    let mut stream = make().stream(&CallContext::new(), &fixture.request()).await?;
    let first = in_time("nothing begins", PATIENCE, stream.next()).await?;
    check(matches!(first, Some(Ok(_))), || format!("it does not begin: {first:?}"))?;
    drop(stream);
    fixture.all_closed().await?;
    Ok(Verdict::Passed)
}

async fn a_refusal_fails_early(fixture: ProviderFixture) -> Result<Verdict> {
    let Some(make) = &fixture.failing else { return skip("no fixture refuses") };
    let (provider, cx, request) = (make(), CallContext::new(), fixture.request());
    let started = in_time("it does not answer", PATIENCE, provider.stream(&cx, &request)).await?;
    check(started.is_err(), || "a stream began though the service had refused".to_owned())
}

async fn the_default_model(fixture: ProviderFixture) -> Result<Verdict> {
    let request = CompletionRequest { model: DEFAULT_MODEL.into(), ..fixture.request() };
    let stream = (fixture.make)().stream(&CallContext::new(), &request).await?;
    Completion::collect(stream, |_| {}).await?;
    Ok(Verdict::Passed)
}

async fn models_are_listed_once(fixture: ProviderFixture) -> Result<Verdict> {
    let provider = (fixture.make)();
    let models = in_time("it does not answer", PATIENCE, provider.models()).await??;
    check(!models.is_empty(), || "it lists no model".to_owned())?;
    let mut names: Vec<_> = models.iter().map(|model| model.id.as_str()).collect();
    check(names.iter().all(|name| !name.is_empty()), || "a model has no name".to_owned())?;
    names.sort_unstable();
    names.dedup();
    check(names.len() == models.len(), || "a model is listed twice".to_owned())
}

async fn in_time<T>(what: &str, limit: Duration, work: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(limit, work)
        .await
        .map_err(|_| Error::internal(format!("{what} after {} s", limit.as_secs())))
}

fn check(holds: bool, what: impl FnOnce() -> String) -> Result<Verdict> {
    if holds { Ok(Verdict::Passed) } else { Err(Error::internal(what())) }
}

fn skip(why: &str) -> Result<Verdict> {
    Ok(Verdict::Skipped(why.to_owned()))
}
