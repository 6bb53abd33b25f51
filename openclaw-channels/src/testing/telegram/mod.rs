//! An emulator of Telegram's Bot API: the server that bots talk to, and the people who talk to them.
//!
//! Bots reach it at [`Emulator::url`] as they reach `https://api.telegram.org`, by long polling or
//! with a webhook. Tests are the people: they write, edit, react, press buttons, send media, block
//! and kick, and look at what a chat shows. Error texts, validation and the semantics of updates
//! follow the [documentation](https://core.telegram.org/bots/api) and the
//! [real server](https://github.com/tdlib/telegram-bot-api). The emulator keeps its state while the
//! bot is killed and started again.
//!
//! ```
//! use openclaw_channels::testing::telegram::Emulator;
//! use openclaw_core::{
//!     bytes::Bytes, http::Request, http_client::HttpClient as _,
//!     testing::fake_service::LoopbackClient,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> openclaw_core::Result<()> {
//! let telegram = Emulator::start().await?;
//! let bot = telegram.bot("shop_bot");
//! let chat = telegram.user("Ann").chat(&bot);
//! let question = chat.say("Where is my order?")?;
//!
//! // What a bot does, here by hand.
//! let url = format!("{}/bot{}/sendMessage", telegram.url(), bot.token().expose());
//! let body = format!(
//!     r#"{{"chat_id": {}, "text": "<b>On its way</b>", "parse_mode": "HTML",
//!          "reply_parameters": {{"message_id": {question}}}}}"#,
//!     chat.id()
//! );
//! let request = Request::post(url).header("content-type", "application/json");
//! let request = request.body(Bytes::from(body)).unwrap();
//! assert_eq!(LoopbackClient::new().send(request).await?.status(), 200);
//!
//! let shown = chat.next_message().await;
//! assert_eq!((shown.text.as_str(), shown.reply_to), ("On its way", Some(question)));
//! assert_eq!(shown.entities[0].kind, "bold");
//! # Ok(()) }
//! ```
//!
//! # What it is faithful to, and what not
//!
//! - Offsets, confirmation, redelivery, conflicts (409), the kinds of update that must be asked for,
//!   the order and the retries of webhooks, 24 hours for updates: as the server.
//! - Text is at most [`MAX_TEXT`] Unicode code points after parsing, captions [`MAX_CAPTION`]: as
//!   TDLib counts. Offsets of entities are UTF-16 units.
//! - The real flood limits are not published; [`Limits`] are those that Telegram's FAQ names.
//! - A file has one id for every bot; photos are not scaled, and their width and height are not read.
//! - There are no channels, no inline mode, no payments, no games, no polls, no stories, no business
//!   accounts, no legacy Markdown, and files are not fetched from URLs. Such a method answers 404,
//!   such a parameter 400.
//! - A webhook is reached on the loopback network, without TLS.
//!
//! # Faults
//!
//! [`Emulator::faults`] go by the method's name as documented, as in `sendMessage`, and by [`FILE`]
//! for downloads. [`Bot::repeat_next`] and [`Bot::reorder_next`] are those of updates.

mod args;
mod bot;
mod chat;
mod error;
mod files;
mod group;
mod json;
mod limits;
mod media;
mod methods;
mod server;
mod shown;
mod text;
mod updates;
mod user;
mod webhook;
mod world;

use std::{fmt, sync::Arc, time::Duration};

use openclaw_core::{
    Result,
    http_client::HttpClient,
    testing::fake_service::{FakeService, Faults},
    time::{Clock, SystemClock},
};
use tokio::sync::watch;

use server::Api;
use world::{Shared, World};

pub use bot::Bot;
pub use chat::{Chat, Press};
pub use files::{MAX_DOWNLOAD, MAX_PHOTO, MAX_UPLOAD};
pub use group::Group;
pub use limits::{Limits, Rate};
pub use media::Media;
pub use server::FILE;
pub use shown::{Answered, Button, File, Shown};
pub use text::{Entity, MAX_CAPTION, MAX_TEXT};
pub use user::User;

/// A Telegram that runs on loopback. Clones share it; it ends with the last of them.
#[derive(Clone)]
pub struct Emulator {
    shared: Arc<Shared>,
    service: Arc<FakeService>,
}

impl Emulator {
    /// Starts one on a free port, with the system's clock and the default [`Limits`].
    ///
    /// # Errors
    /// There is no port.
    pub async fn start() -> Result<Self> {
        Self::start_on(0, SystemClock).await
    }

    /// Starts one on this port of 127.0.0.1 (0: a free one) with this clock.
    ///
    /// # Errors
    /// The port is taken.
    pub async fn start_on(port: u16, clock: impl Clock) -> Result<Self> {
        let world = std::sync::Mutex::new(World::new(Arc::new(clock)));
        let shared = Arc::new(Shared { world, changed: watch::Sender::new(()) });
        let service = FakeService::start_on(port, Api(shared.clone())).await?;
        Ok(Self { shared, service: Arc::new(service) })
    }

    /// What bots take in place of `https://api.telegram.org`, without a slash at the end.
    pub fn url(&self) -> String {
        self.service.url()
    }

    /// A client of it that needs no network, for tests with a paused clock; see
    /// [`FakeService::client`].
    pub fn client(&self) -> Arc<dyn HttpClient> {
        self.service.client()
    }

    /// What goes wrong with requests.
    pub fn faults(&self) -> &Faults {
        self.service.faults()
    }

    /// The server itself, which keeps what it received.
    pub fn service(&self) -> &FakeService {
        &self.service
    }

    /// Sets what bots may send. What was sent before still counts.
    pub fn set_limits(&self, limits: Limits) {
        self.shared.update(|world| world.limits = limits);
    }

    /// Sets what the pauses between the tries of a webhook grow from, 1 s at first. The first retry
    /// comes at once, the second after twice this, the next after four times, up to 60 s. Takes
    /// effect when a webhook is set.
    pub fn set_webhook_pause(&self, pause: Duration) {
        self.shared.update(|world| world.webhook_pause = pause);
    }

    /// Registers a bot of this username, with privacy mode on, as BotFather does.
    pub fn bot(&self, username: &str) -> Bot {
        Bot::register(&self.shared, username)
    }

    /// Somebody new, with the first name as given and the username in small letters.
    pub fn user(&self, first_name: &str) -> User {
        User::register(&self.shared, first_name)
    }

    /// A basic group that `owner` creates.
    pub fn group(&self, title: &str, owner: &User) -> Group {
        Group::create(&self.shared, title, owner, false, false)
    }

    /// A supergroup that `owner` creates.
    pub fn supergroup(&self, title: &str, owner: &User) -> Group {
        Group::create(&self.shared, title, owner, true, false)
    }

    /// A supergroup with topics that `owner` creates.
    pub fn forum(&self, title: &str, owner: &User) -> Group {
        Group::create(&self.shared, title, owner, true, true)
    }
}

impl fmt::Debug for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emulator").field("service", &self.service).finish_non_exhaustive()
    }
}
