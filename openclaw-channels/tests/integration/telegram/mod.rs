//! Telegram bots against an emulator of the Bot API.

mod accounts;
mod conformance;
mod crash_matrix;
mod gateway;
mod growing;
mod losses;
mod markdown;
mod membership;
mod outage;
mod outbound;
mod polling;
mod rates;
mod roundtrip;
mod webhook;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use openclaw_channels::{
    telegram::Telegram,
    testing::telegram::{Bot, Emulator, Limits},
};
use openclaw_core::{
    AccountId, Conversation, Error, Result,
    bytes::Bytes,
    channel::{Capabilities, Channel, ChannelContext, Extras},
    http::Request,
    http_client::HttpClient,
    message::{Action, Receipt, Sent},
    testing::{
        channel::{RecordingIngress, context},
        fake_service::{FakeService, LoopbackClient, answer},
    },
    time::{Clock, Timestamp},
};

pub(super) const SECRET: &str = "a-secret-of-this-account-alone";

/// A Telegram without flood limits, with one bot.
pub(super) async fn telegram() -> (Emulator, Bot) {
    let telegram = Emulator::start().await.unwrap();
    telegram.set_limits(Limits::NONE);
    let bot = telegram.bot("our_bot");
    (telegram, bot)
}

/// The bot as a channel that polls.
pub(super) fn polling(telegram: &Emulator, bot: &Bot) -> Telegram {
    let channel = Telegram::new(bot.token()).unwrap().base_url(&telegram.url()).unwrap();
    channel.http(client()).limits(unpaced())
}

/// Limits with which the bot sends as fast as it can.
pub(super) fn unpaced() -> openclaw_channels::telegram::Limits {
    let mut limits = openclaw_channels::telegram::Limits::default();
    limits.rates = openclaw_core::channel::Rates::default();
    limits
}

/// Wall-clock time that goes with a paused clock.
pub(super) struct Paused(tokio::time::Instant);

impl Paused {
    pub(super) fn new() -> Self {
        Self(tokio::time::Instant::now())
    }
}

impl Clock for Paused {
    fn now(&self) -> Timestamp {
        Timestamp(1_780_315_200_000).after(self.0.elapsed())
    }
}

pub(super) fn client() -> Arc<dyn HttpClient> {
    Arc::new(LoopbackClient::new())
}

/// A context for calls of the channel, and the door that it leads to.
pub(super) fn door(channel: &Telegram) -> (RecordingIngress, ChannelContext) {
    let door = RecordingIngress::new();
    let cx = context(&door, channel.id(), None);
    (door, cx)
}

/// Performs what must work.
pub(super) async fn done(
    channel: &Telegram,
    cx: &ChannelContext,
    to: &Conversation,
    action: &Action,
) -> Receipt {
    match channel.perform(cx, to, action).await.unwrap() {
        Sent::Yes(receipt) => receipt,
        other => panic!("{other:?}"),
    }
}

/// Performs what must fail for certain.
pub(super) async fn refused(
    channel: &Telegram,
    cx: &ChannelContext,
    to: &Conversation,
    action: &Action,
) -> Error {
    channel.perform(cx, to, action).await.unwrap_err()
}

pub(super) fn say(text: &str) -> Action {
    Action::Send { key: text.into(), content: vec![text.into()], reply_to: None }
}

/// Runs `channel` beside `app`, starting it again as a gateway does, until `app` is done.
pub(super) async fn beside<T>(
    channel: &dyn Channel,
    cx: &ChannelContext,
    app: impl Future<Output = T>,
) -> T {
    let run = async {
        loop {
            match channel.run(cx).await {
                Err(error) if error.is_transient() => tokio::task::yield_now().await,
                ended => panic!("the channel ended: {ended:?}"),
            }
        }
    };
    tokio::select! {
        biased;
        done = app => done,
        () = run => unreachable!(),
    }
}

type Slot = Arc<Mutex<Option<ChannelContext>>>;

/// A bot with a webhook, and the server that passes requests to it while it runs.
#[derive(Clone)]
pub(super) struct Hooked {
    pub(super) inner: Telegram,
    pub(super) server: Arc<FakeService>,
    slot: Slot,
}

impl Hooked {
    pub(super) async fn new(telegram: &Emulator, bot: &Bot) -> Self {
        let slot = Slot::default();
        let late = Arc::new(Mutex::new(None::<Telegram>));
        let (context, channel) = (slot.clone(), late.clone());
        let server = FakeService::start(move |request: Request<Bytes>| {
            let (context, channel) =
                (context.lock().unwrap().clone(), channel.lock().unwrap().clone());
            async move {
                let (Some(cx), Some(channel)) = (context, channel) else {
                    return answer(503, "text/plain", "");
                };
                let webhook = channel.extras().webhook.unwrap();
                let response = webhook.handle(&cx, request).await;
                answer(response.status().as_u16(), "text/plain", response.into_body())
            }
        });
        let server = Arc::new(server.await.unwrap());
        let url = format!("{}/hook", server.url());
        let inner = polling(telegram, bot).webhook(&url, SECRET).unwrap();
        *late.lock().unwrap() = Some(inner.clone());
        Self { inner, server, slot }
    }
}

/// Closes the door when the run ends.
struct Open(Slot);

impl Drop for Open {
    fn drop(&mut self) {
        *self.0.lock().unwrap() = None;
    }
}

#[async_trait]
impl Channel for Hooked {
    fn id(&self) -> &AccountId {
        self.inner.id()
    }

    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn run(&self, cx: &ChannelContext) -> Result<()> {
        *self.slot.lock().unwrap() = Some(cx.clone());
        let _open = Open(self.slot.clone());
        self.inner.run(cx).await
    }

    async fn perform(
        &self,
        cx: &ChannelContext,
        to: &Conversation,
        action: &Action,
    ) -> Result<Sent> {
        self.inner.perform(cx, to, action).await
    }

    fn extras(&self) -> Extras<'_> {
        self.inner.extras()
    }
}
