//! A stranger's plugins, one of each group.

mod shelf;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use openclaw_core::{
    AccountId, Conversation, Error, ErrorKind, EventKey, MessageId, OutboundKey, ProviderId,
    Result, async_trait,
    channel::{Capabilities, Channel, ChannelContext, Delivery},
    message::{Action, Inbound, Receipt, Sender, Sent, plain_text},
    plugin::{NoConfig, Parts, PluginContext, Registry},
    provider::{
        CallContext, CompletionEvent, CompletionRequest, CompletionStream, FinishReason, ModelInfo,
        Provider, Usage,
    },
    tool::{ToolContext, ToolOutput, ToolSpec, TypedTool},
};
use tokio::sync::Notify;

pub use shelf::Shelf;

/// All that this crate has, by name. Its channel is the given wall.
pub fn register(registry: Registry, wall: Wall) -> Registry {
    registry
        .plugin("parrot", async |config: Line, _: PluginContext| {
            Ok(Parts::new().provider(Parrot::new(&config.line)))
        })
        .plugin("dice", async |_: NoConfig, _: PluginContext| Ok(Parts::new().tool(Dice)))
        .plugin("shelf", async |_: NoConfig, _: PluginContext| Ok(Parts::new().store(Shelf::new())))
        .plugin("wall", move |_: NoConfig, _: PluginContext| {
            let wall = wall.clone();
            async move { Ok(Parts::new().channel(wall)) }
        })
}

/// The parrot's configuration.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Line {
    /// What it says.
    line: String,
}

/// Says one line, whatever it is asked.
pub struct Parrot {
    line: String,
    id: ProviderId,
}

impl Parrot {
    /// Says `line`.
    pub fn new(line: &str) -> Self {
        Self { line: line.to_owned(), id: ProviderId::new("parrot") }
    }
}

#[async_trait]
impl Provider for Parrot {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    async fn models(&self) -> Result<Vec<ModelInfo>> {
        Ok(vec![ModelInfo::new("polly")])
    }

    async fn stream(&self, cx: &CallContext, _: &CompletionRequest) -> Result<CompletionStream> {
        if cx.cancel.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "the completion was cancelled"));
        }
        let events = [
            Ok(CompletionEvent::Text { text: self.line.clone() }),
            Ok(CompletionEvent::Finish { reason: FinishReason::Stop, usage: Usage::new(1, 1) }),
        ];
        Ok(CompletionStream::new(futures_util::stream::iter(events)))
    }
}

/// Always rolls a four, chosen by a fair die.
pub struct Dice;

/// How many.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Roll {
    /// How many dice, 1 to 9.
    dice: u8,
}

impl TypedTool for Dice {
    type Input = Roll;

    fn spec(&self) -> ToolSpec {
        ToolSpec::read_only("roll", "Rolls dice")
    }

    async fn run(&self, _: ToolContext, roll: Roll) -> Result<ToolOutput> {
        if !(1..=9).contains(&roll.dice) {
            let text = "Give 1 to 9 dice.";
            return Err(Error::new(ErrorKind::InvalidInput, text).with_public(text));
        }
        Ok(vec!["four"; roll.dice.into()].join(", ").into())
    }
}

/// A wall on which everybody writes.
#[derive(Clone)]
pub struct Wall(Arc<Inner>);

struct Inner {
    account: AccountId,
    capabilities: Capabilities,
    state: Mutex<State>,
    written: Notify,
}

#[derive(Default)]
struct State {
    said: u64,
    unheard: VecDeque<Inbound>,
    heard: Vec<Inbound>,
    shown: Vec<(Conversation, OutboundKey, String)>,
    /// Somebody paints over the next listener's place.
    cut: bool,
    /// The next line is not let onto the wall.
    refuses: bool,
    /// Of the next line nobody says whether it stands there.
    silent: bool,
}

impl Wall {
    /// An empty wall.
    pub fn new() -> Result<Self> {
        let day = Delivery::Keyed { window: Duration::from_secs(86_400) };
        let mut capabilities = Capabilities::text_only(day);
        capabilities.local = true;
        Ok(Self(Arc::new(Inner {
            account: "wall".parse()?,
            capabilities,
            state: Mutex::default(),
            written: Notify::new(),
        })))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    /// The place number `index` on the wall.
    pub fn place(&self, index: usize) -> Conversation {
        Conversation::direct(self.0.account.clone(), format!("place{index}"))
    }

    /// Somebody writes.
    pub fn say(&self, to: &Conversation, text: &str) {
        let mut state = self.state();
        state.said += 1;
        let key = EventKey::message(&to.to_string(), &state.said.to_string());
        let sender = Sender { id: to.peer.as_str().into(), name: None };
        state.unheard.push_back(Inbound::message(key, to.clone(), sender, [text]));
        self.0.written.notify_one();
    }

    /// What the account wrote there.
    pub fn shown(&self, to: &Conversation) -> Vec<(String, String)> {
        let state = self.state();
        let here = state.shown.iter().filter(|(place, ..)| place == to);
        here.map(|(_, key, text)| (key.to_string(), text.clone())).collect()
    }

    /// How many were taken.
    pub fn acknowledged(&self) -> usize {
        self.state().heard.len()
    }

    /// Breaks what listens, once.
    pub fn cut(&self) {
        self.state().cut = true;
        self.0.written.notify_one();
    }

    /// Does not let the next line onto the wall.
    pub fn refuse_next(&self) {
        self.state().refuses = true;
    }

    /// Lets the next line onto the wall, and does not say so.
    pub fn lose_next_answer(&self) {
        self.state().silent = true;
    }

    /// The last one comes again.
    pub fn redeliver(&self) {
        let mut state = self.state();
        let again = state.heard.last().cloned();
        state.unheard.extend(again);
        self.0.written.notify_one();
    }
}

#[async_trait]
impl Channel for Wall {
    fn id(&self) -> &AccountId {
        &self.0.account
    }

    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    async fn run(&self, cx: &ChannelContext) -> Result<()> {
        loop {
            if std::mem::take(&mut self.state().cut) {
                return Err(Error::new(ErrorKind::Unavailable, "the wall was painted over"));
            }
            let next = self.state().unheard.front().cloned();
            if let Some(inbound) = next {
                let _ = cx.accept(inbound).await?;
                let mut state = self.state();
                let heard = state.unheard.pop_front();
                state.heard.extend(heard);
                continue;
            }
            tokio::select! {
                () = cx.cancel().cancelled() => return Ok(()),
                () = self.0.written.notified() => {}
            }
        }
    }

    async fn perform(
        &self,
        _: &ChannelContext,
        to: &Conversation,
        action: &Action,
    ) -> Result<Sent> {
        let Action::Send { key, content, .. } = action else {
            return Err(Error::new(ErrorKind::Unsupported, "nothing written is ever changed"));
        };
        let mut state = self.state();
        if std::mem::take(&mut state.refuses) {
            return Err(Error::new(ErrorKind::Denied, "not on this wall"));
        }
        if !state.shown.iter().any(|(_, known, _)| known == key) {
            state.shown.push((to.clone(), key.clone(), plain_text(content)));
        }
        if std::mem::take(&mut state.silent) {
            return Ok(Sent::Unknown(Error::new(ErrorKind::Timeout, "nobody looked")));
        }
        Ok(Sent::Yes(Receipt::message(MessageId::new(key.as_str()))))
    }
}
