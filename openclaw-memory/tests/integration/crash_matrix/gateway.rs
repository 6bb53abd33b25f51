//! The process that is killed: a gateway on an SQLite file, whose channels and tools act on the world
//! in the process that started it.

use std::{sync::Arc, time::Duration};

use openclaw_core::{
    AccountId, Conversation, Error, ErrorKind, EventKey, Gateway, Handle, OutboundKey, ProviderId,
    Result, Retry,
    access::{Access, Principal},
    agent::Agent,
    async_trait,
    bytes::Bytes,
    channel::{
        Capabilities, Channel, ChannelContext, Delivery, Extras, FetchMedia, Lookup, TextLimit,
        TextUnit,
    },
    delivery::{OnUnknown, Preview},
    event::EventKind,
    gateway::Binding,
    label::Confidentiality,
    layer::{BudgetLayer, Cap, Capped, Ledger},
    message::{Action, Content, Inbound, Media, MediaSource, Receipt, Sender, Sent, plain_text},
    policy::Permission,
    provider::{
        CallContext, ChatMessage, CompletionEvent, CompletionRequest, CompletionStream,
        FinishReason, ModelInfo, Price, Provider, Usage,
    },
    store::{OutboxStore as _, SessionStore as _},
    testing::{Scripted, scripted::Step},
    time::SystemClock,
    tool::{Effect, Tool, ToolContext, ToolOutput, ToolSpec},
    turn::Limits,
};
use openclaw_memory::sqlite::Sqlite;
use serde_json::json;

use super::wire::{Event, Request, Role, Taken, Wire};

pub(super) const ACCOUNTS: [&str; 4] = ["keyed:main", "keyed:side", "search:main", "blind:main"];
/// A millionth of a dollar a token.
pub(super) const PRICE: Price =
    Price { input: 1_000_000, cached_input: 1_000_000, cache_write: None, output: 1_000_000 };
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Runs until it is killed, or told to shut down.
pub(super) async fn live(role: Role) {
    let log = tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::stderr);
    let level = std::env::var("CRASH_MATRIX_LOG").unwrap_or_else(|_| "warn".into());
    log.with_env_filter(level).init();
    let wire = Wire::to(&role.world);
    let store = Sqlite::open(&role.path).await.unwrap();
    let mut builder = Gateway::builder()
        .provider(Model(wire.clone()))
        .store(store.clone())
        .on_unknown(if role.at_most_once { OnUnknown::AtMostOnce } else { OnUnknown::AtLeastOnce })
        .owner("keyed", "boss")
        .owner("search", "boss")
        .memory(store.memory().open().await.unwrap())
        .agent(Agent::new("main").permission("wire", Permission::Ask).without_memory())
        .agent(Agent::new("mindful"))
        .agent(Agent::new("small").without_tools().context_tokens(1_000).without_memory())
        .agent(
            Agent::new("hasty").limits(Limits { seconds: 1, ..Limits::default() }).without_memory(),
        )
        .default_agent("main")
        .bind(Binding::to("mindful").account("search:main".parse().unwrap()).peer("ann"))
        .bind(Binding::to("small").peer("compact"))
        .bind(Binding::to("hasty").peer("hasty"))
        .preview("keyed:main".parse().unwrap(), Preview { min_chars: 10, interval_ms: 10 });
    let points = wire.clone();
    let ledger = Ledger::new(Arc::new(store.clone()), Arc::new(SystemClock))
        .faults(move |point| points.point(point.to_string()));
    builder = builder.layer_providers(
        BudgetLayer::new(ledger).cap(Cap::new(Capped::Everyone, u64::MAX)).price("default", PRICE),
    );
    for tool in ["read", "wire", "book", "hang"] {
        builder = builder.tool(Hand { name: tool, wire: wire.clone() });
    }
    for account in ACCOUNTS {
        builder = builder.channel(Platform::new(account, &wire));
        if account != "keyed:side" {
            builder = builder
                .access(account.parse().unwrap(), Access::open().showing(Confidentiality::Private));
        }
    }
    let points = wire.clone();
    let gateway =
        builder.faults(move |point| points.point(point.to_string())).start().await.unwrap();
    tokio::spawn(erase(wire.clone(), gateway.handle()));
    let (doubts, mut events) = (wire.clone(), gateway.handle().subscribe());
    tokio::spawn(async move {
        while let Some(next) = events.next().await {
            if let Some(EventKind::DeliveryFailed { key, .. }) = kind_of(&next) {
                doubts.ask::<()>(&Request::Doubtful { key: key.as_str().into() });
            }
        }
    });
    loop {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let unfinished = store.unfinished(None, 1_000).await.unwrap();
        let mut idle = unfinished.iter().all(|row| row.pending == 0 && !row.open);
        for account in ACCOUNTS {
            idle &= store.lanes(&account.parse().unwrap()).await.unwrap().is_empty();
        }
        if wire.ask::<bool>(&Request::State { idle }) {
            break;
        }
    }
    gateway.shutdown_within(Duration::from_millis(20)).await.unwrap();
    store.close().await.unwrap();
}

/// The application asks something and has it erased.
async fn erase(wire: Wire, handle: Handle) {
    let ask = handle.ask("gone", "[[say gone]]").principal(Principal::Owner).key("gone");
    let erased = match ask.reply().await {
        Ok(reply) => handle.erase(&reply.session).await.is_ok(),
        // A life before this one came so far.
        Err(error) => error.kind() == ErrorKind::NotFound,
    };
    if erased {
        wire.ask::<()>(&Request::Erased);
    }
}

fn kind_of(next: &openclaw_core::event::Next) -> Option<EventKind> {
    match next {
        openclaw_core::event::Next::Event(event) => Some(event.kind.clone()),
        _ => None,
    }
}

/// An account of one of the platforms.
struct Platform {
    id: AccountId,
    capabilities: Capabilities,
    wire: Wire,
}

impl Platform {
    fn new(account: &str, wire: &Wire) -> Self {
        let id: AccountId = account.parse().unwrap();
        let mut capabilities = Capabilities::text_only(match id.channel() {
            "keyed" => Delivery::Keyed { window: DAY },
            "search" => Delivery::Searchable { window: DAY },
            _ => Delivery::Blind,
        });
        capabilities.edit = id.channel() == "keyed";
        capabilities.typing = id.channel() == "keyed";
        if id.channel() == "blind" {
            capabilities.max_text = TextLimit { units: 100, unit: TextUnit::Chars };
        }
        Self { id, capabilities, wire: wire.clone() }
    }
}

#[async_trait]
impl Channel for Platform {
    fn id(&self) -> &AccountId {
        &self.id
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn run(&self, cx: &ChannelContext) -> Result<()> {
        let account = self.id.as_str().to_owned();
        loop {
            let events: Vec<Event> = self.wire.ask(&Request::Poll { account: account.clone() });
            if let Some(offset) = events.last().map(|event| event.offset) {
                let inbound = |event: Event| {
                    let key = EventKey::message(&event.peer, &event.offset.to_string());
                    let place = Conversation::direct(self.id.clone(), event.peer.as_str());
                    let sender = Sender { id: event.peer.as_str().into(), name: None };
                    let picture = event.text.contains("[[look").then(picture);
                    let said = picture.into_iter().chain([event.text.into()]);
                    Inbound::message(key, place, sender, said)
                };
                for accepted in
                    cx.ingress().accept(events.into_iter().map(inbound).collect()).await?
                {
                    tracing::debug!(?accepted, "an event was taken in");
                }
                self.wire.point("before acknowledging");
                self.wire.ask::<()>(&Request::Acknowledge { account: account.clone(), offset });
                self.wire.point("after acknowledging");
                cx.state().set("offset", Some(&offset.to_string())).await?;
            }
            tokio::select! {
                () = cx.cancel().cancelled() => return Ok(()),
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
        }
    }

    async fn perform(
        &self,
        _: &ChannelContext,
        to: &Conversation,
        action: &Action,
    ) -> Result<Sent> {
        let (account, peer) = (self.id.as_str().to_owned(), to.peer.as_str().to_owned());
        match action {
            Action::Send { key, content, .. } => {
                let (key, text) = (key.as_str().to_owned(), plain_text(content));
                let send = Request::Send { account, peer, key, text };
                let broken = || Error::new(ErrorKind::Unavailable, "the platform is not there");
                match self.wire.ask(&send) {
                    Taken::Yes { id } => Ok(Sent::Yes(Receipt::message(id.as_str()))),
                    Taken::TryAgain => {
                        Err(broken().with_retry(Retry::After(Duration::from_millis(20))))
                    }
                    Taken::Refused => Err(Error::new(ErrorKind::InvalidInput, "refused")),
                    Taken::Cut => Ok(Sent::Unknown(
                        broken().with_retry(Retry::After(Duration::from_millis(20))),
                    )),
                }
            }
            Action::Edit { message, content } => {
                let (message, text) = (message.as_str().to_owned(), plain_text(content));
                self.wire.ask::<()>(&Request::Edit { account, peer, message, text });
                Ok(Sent::Yes(Receipt::default()))
            }
            _ => Ok(Sent::Yes(Receipt::default())),
        }
    }

    fn extras(&self) -> Extras<'_> {
        match self.id.channel() {
            "search" => Extras::default().fetch_media(self).lookup(self),
            _ => Extras::default().fetch_media(self),
        }
    }
}

fn picture() -> Content {
    Content::Media(Media {
        mime: "image/png".into(),
        source: MediaSource::Remote { handle: "picture".into() },
        name: None,
        bytes: None,
    })
}

#[async_trait]
impl FetchMedia for Platform {
    async fn fetch_media(&self, _: &ChannelContext, handle: &str, _: u64) -> Result<Bytes> {
        Ok(handle.to_owned().into())
    }
}

#[async_trait]
impl Lookup for Platform {
    async fn lookup(
        &self,
        _: &ChannelContext,
        _: &Conversation,
        key: &OutboundKey,
    ) -> Result<Option<Receipt>> {
        let (account, key) = (self.id.as_str().into(), key.as_str().into());
        let found: Option<String> = self.wire.ask(&Request::LookUp { account, key });
        Ok(found.map(|id| Receipt::message(id.as_str())))
    }
}

/// `read` reads, `wire` acts for good and needs leave, `book` acts for good and can be asked later
/// whether it did, `hang` can be repeated and lasts until its gate opens.
struct Hand {
    name: &'static str,
    wire: Wire,
}

#[async_trait]
impl Tool for Hand {
    fn spec(&self) -> ToolSpec {
        let schema = json!({ "type": "object", "properties": { "of": { "type": "string" } } });
        let spec = match self.name {
            "wire" => ToolSpec::new("wire", "Acts"),
            "book" => ToolSpec::read_only("book", "Acts").effect(Effect::Irreversible),
            "hang" => ToolSpec::read_only("hang", "Lasts").effect(Effect::Idempotent),
            name => ToolSpec::read_only(name, "Reads"),
        };
        spec.input_schema(schema)
    }

    async fn call(&self, cx: ToolContext) -> Result<ToolOutput> {
        let argument = cx.input()["of"].as_str().unwrap_or_default().to_owned();
        let (tool, key) = (self.name.to_owned(), cx.key().to_owned());
        let did: String = self.wire.ask(&Request::Tool { tool, key, argument: argument.clone() });
        if self.name == "hang" {
            tokio::select! {
                () = cx.cancel().cancelled() => {
                    return Err(Error::new(ErrorKind::Cancelled, "stopped"));
                }
                () = self.wire.gate(&argument) => {}
            }
        }
        Ok(did.into())
    }

    async fn reconcile(&self, cx: ToolContext) -> Result<Option<ToolOutput>> {
        let (tool, key) = (self.name.to_owned(), cx.key().to_owned());
        let acted = self.name == "book" && self.wire.ask(&Request::Acted { tool, key });
        Ok(acted.then(|| "did it".into()))
    }
}

/// A model that does what the last `[[word what]]` of the conversation says.
struct Model(Wire);

#[async_trait]
impl Provider for Model {
    fn id(&self) -> &ProviderId {
        static ID: std::sync::LazyLock<ProviderId> =
            std::sync::LazyLock::new(|| ProviderId::from("model"));
        &ID
    }

    async fn models(&self) -> Result<Vec<ModelInfo>> {
        Ok(vec![ModelInfo::new("model")])
    }

    async fn stream(
        &self,
        cx: &CallContext,
        request: &CompletionRequest,
    ) -> Result<CompletionStream> {
        let (word, what, after) = understood(request);
        match word.as_str() {
            "poison" => self.0.point("poison"),
            "grow" => return Ok(self.growing()),
            _ => {}
        }
        Scripted::from_fn(move |request| answer(request, &word, &what, &after))
            .stream(cx, request)
            .await
    }
}

impl Model {
    /// A reply that is shown while it grows.
    fn growing(&self) -> CompletionStream {
        use futures_util::{StreamExt as _, stream};
        let say = |text: &str| Ok(CompletionEvent::Text { text: text.into() });
        let (first, second) = (self.0.clone(), self.0.clone());
        let one = stream::iter([say("a reply that grows")]);
        let two = stream::once(async move {
            first.gate("shown").await;
            say(" and grows")
        });
        let three = stream::once(async move {
            second.gate("grown").await;
            say(" to its end")
        });
        let finish =
            CompletionEvent::Finish { reason: FinishReason::Stop, usage: Usage::new(1, 1) };
        CompletionStream::new(one.chain(two).chain(three).chain(stream::iter([Ok(finish)])))
    }
}

/// The last word said to the model, and what came after it.
fn understood(request: &CompletionRequest) -> (String, String, Vec<ChatMessage>) {
    let messages = &request.messages;
    if let Some(ChatMessage::User { content }) = messages.last()
        && plain_text(content).starts_with("Sum up")
    {
        return ("say".into(), "what was before".into(), Vec::new());
    }
    for (index, message) in messages.iter().enumerate().rev() {
        let ChatMessage::User { content } = message else { continue };
        let text = plain_text(content);
        if let Some((_, rest)) = text.rsplit_once("[[")
            && let Some((words, _)) = rest.split_once("]]")
        {
            let (word, what) = words.split_once(' ').unwrap();
            return (word.into(), what.into(), messages[index + 1..].to_vec());
        }
    }
    ("say".into(), "nothing".into(), Vec::new())
}

/// How many pictures the model is shown.
fn pictures(request: &CompletionRequest) -> usize {
    let contents = request.messages.iter().filter_map(|message| match message {
        ChatMessage::User { content } => Some(content),
        _ => None,
    });
    contents.flatten().filter(|content| matches!(content, Content::Media(_))).count()
}

fn answer(
    request: &CompletionRequest,
    word: &str,
    what: &str,
    after: &[ChatMessage],
) -> Result<Step> {
    let calls = after
        .iter()
        .any(|m| matches!(m, ChatMessage::Assistant { calls, .. } if !calls.is_empty()));
    let replied =
        after.iter().any(|m| matches!(m, ChatMessage::Assistant { calls, .. } if calls.is_empty()));
    if replied {
        // What a detached ask came to.
        return Ok(Step::text(format!("late {}", outcome(after, what))));
    }
    let of = |name: &str| json!({ "of": name });
    if !calls {
        let step = Step::new();
        return Ok(match word {
            "look" => Step::text(format!("saw {} of {what}", pictures(request))),
            "fail" => return Err(Error::new(ErrorKind::InvalidInput, "no")),
            "long" => {
                let piece = |n| format!("piece {n} of {what} {}", "x".repeat(70));
                Step::text([1, 2, 3].map(piece).join("\n\n"))
            }
            "reads" => step
                .call("read", of(&format!("{what}-a")))
                .call("read", of(&format!("{what}-b")))
                .call("wire", of(what)),
            "wire" | "book" | "hang" => step.call(word, of(what)),
            "many" => {
                let count: usize = what.parse().unwrap();
                (0..count).fold(step, |step, n| step.call("read", of(&format!("many-{n}"))))
            }
            _ => Step::text(format!("said {what}")),
        });
    }
    Ok(Step::text(outcome(after, what)))
}

/// What the last result or note among `after` says of a call.
fn outcome(after: &[ChatMessage], what: &str) -> String {
    let last = after.iter().rev().find_map(|message| match message {
        ChatMessage::Tool { content, .. } | ChatMessage::User { content } => {
            Some(plain_text(content))
        }
        _ => None,
    });
    let last = last.unwrap_or_default();
    let how = if last.contains("did it") {
        "did"
    } else if last.contains("unknown") {
        "unknown"
    } else {
        "not done"
    };
    format!("{how} {what}")
}
