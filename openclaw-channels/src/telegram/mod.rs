//! Telegram bots.
//!
//! # Set-up
//!
//! 1. In Telegram, write `/newbot` to [@BotFather](https://t.me/BotFather) and keep the token that it
//!    answers with. Whoever has the token is the bot: give it by an environment variable or a file.
//! 2. A bot in a group hears only commands, answers to it and messages that name it. To let it hear all,
//!    write `/setprivacy` to @BotFather, choose *Disable*, and add the bot to the group (again).
//!    Reactions in groups are told only to bots that are administrators.
//! 3. Say who the owner is, by number: `.owner("telegram", "123456789")`. Write to the bot to see your
//!    number in its log, or in the request for pairing that the owner gets.
//!
//! ```no_run
//! use openclaw_channels::telegram::Telegram;
//! use openclaw_core::{Gateway, Result};
//! # async fn app(http: impl openclaw_core::http_client::HttpClient, model: openclaw_core::testing::Scripted) -> Result<()> {
//!
//! let gateway = Gateway::builder()
//!     .http(http)
//!     .provider(model)
//!     .channel(Telegram::from_env()?)
//!     .owner("telegram", "123456789")
//!     .ephemeral()
//!     .start()
//!     .await?;
//! # gateway.shutdown().await }
//! ```
//!
//! # Polling or webhook
//!
//! By default the bot asks for updates and needs no address of its own. With [`Telegram::webhook`] Telegram
//! sends them: [`run`](Channel::run) tells Telegram the address and the secret and sees that they stay,
//! and the server passes requests to [`Handle::webhook`](openclaw_core::Handle::webhook). A request without the
//! secret is refused before anything of its body is read, by a server that asks
//! [`Handle::refuse_webhook`](openclaw_core::Handle::refuse_webhook) first, as ours does; else before its body is
//! looked at. Whichever way is chosen, the other one is
//! switched off at the start; no update is dropped by that. One bot is one account: two programs that
//! poll with one token take each other's place, and both say so.
//!
//! Either way an update is acknowledged only after [`accept`](openclaw_core::gateway::Ingress::accept)
//! returned, a poll's updates in one commit. What cannot be read, and kinds of updates that are not known, are
//! acknowledged, logged, and counted in [`Counters`].
//!
//! # What it hears
//!
//! Private chats, groups and supergroups; a topic is a thread, but the general one is the group itself.
//! Text and captions become Markdown. Files come as handles that [`FetchMedia`] fetches, each picture
//! of an album as a message of its own in one commit; if one of them names the bot, all do. Places,
//! cards, polls, dice, edits, reactions and pressed buttons are heard. What somebody forwards or
//! answers comes as [`quoted`](openclaw_core::message::Inbound::quoted), as it is not their own
//! word. Not heard are posts in channels, other bots, places that move, and what Telegram says about
//! a chat.
//!
//! Who writes is known by number alone, never by a name that can be changed. An administrator who hides, or a
//! channel that speaks in its group, has the number of the chat in whose name it speaks.
//!
//! A group that becomes a supergroup goes on under another number at Telegram. Here it keeps its first
//! one, so that sessions, bindings and allow-lists stay.
//!
//! # What it says
//!
//! Markdown as Telegram's HTML, with the report of losses of [`markdown`](crate::markdown) in the log;
//! links are not previewed unless asked for, as a preview makes Telegram fetch an address that a model
//! wrote. Files are uploaded, or sent by handle if they came from this bot. A button's token has room for
//! 64 bytes.
//!
//! # Delivery
//!
//! [`Delivery::Blind`]: the Bot API knows no idempotency key and a bot cannot read its own messages. So
//! a message can be seen twice in exactly one case: the process died, or the connection broke, after a
//! request went out and before its answer was stored. Delivery then goes by
//! [`OnUnknown`](openclaw_core::delivery::OnUnknown) and logs each time. A refusal, and a connection that was never
//! made, are known not to have sent anything. An answer with a status of 500 and above leaves it open.

mod channel;
mod chats;
mod client;
mod config;
mod counters;
mod error;
mod html;
mod inbound;
mod media;
mod multipart;
mod outbound;
mod poll;
mod types;
mod updates;
mod webhook;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

#[expect(unused_imports, reason = "the documentation names them")]
use openclaw_core::channel::{Channel, FetchMedia};
use openclaw_core::{
    AccountId, Error, Result,
    channel::{Capabilities, ChannelContext, Delivery, Exclusive, TextLimit, TextUnit},
    http::Uri,
    http_client::HttpClient,
    message::Content,
    secret::{Secret, SecretRef},
    serde_json::json,
};

pub use config::{
    Config, DEFAULT_BASE_URL, Limits, MAX_DOWNLOAD_BYTES, MAX_UPLOAD_BYTES, MIN_SECRET_CHARS, Mode,
    RATES, WebhookConfig,
};
pub use counters::Counters;
pub use poll::{POLL_TIMEOUT, UPDATES_AT_ONCE};
pub use webhook::{KEEP_INTERVAL, MAX_WEBHOOK_BYTES, SECRET_HEADER};

use crate::markdown::Rendered;
use chats::Chats;
use client::Client;
use counters::Counts;
use inbound::Bot;
use updates::Albums;

/// The most that a bot may say in one message, in UTF-16 units.
pub const MAX_TEXT_UNITS: usize = 4_096;
/// The most that a bot may say beside a file, in UTF-16 units.
pub const MAX_CAPTION_UNITS: usize = 1_024;
/// What an account's secret for webhooks is called where two have the same.
const HOOK_SECRET: &str = "webhook secret";
const HOOK_EXAMPLE: &str = "https://bot.example/telegram";

/// The most files in one album.
pub const MAX_ALBUM: usize = 10;

/// A bot, as the account `telegram:NAME`. See the [module](self).
///
/// Clones share everything, so that an application can keep one to read its [`Counters`].
#[derive(Clone)]
pub struct Telegram {
    account: AccountId,
    capabilities: Capabilities,
    client: Client,
    limits: Limits,
    link_previews: bool,
    /// Where Telegram sends updates, if it does.
    hook: Option<Hook>,
    exclusive: Vec<Exclusive>,
    keep_interval: Duration,
    shared: Arc<Shared>,
}

#[derive(Clone)]
struct Hook {
    url: String,
    secret: Secret,
}

/// What a bot learns while it works.
#[derive(Default)]
struct Shared {
    bot: Mutex<Option<Arc<Bot>>>,
    chats: Chats,
    counts: Counts,
    albums: Albums,
}

impl Telegram {
    /// The bot with this token, as the account `telegram:default`, by long polling.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`](openclaw_core::ErrorKind::InvalidConfig) if it is not of the form of a token.
    ///
    /// ```
    /// use openclaw_channels::telegram::Telegram;
    ///
    /// let bot = Telegram::new("123456:made-up")?.account("support")?;
    /// assert!(!format!("{bot:?}").contains("made-up"));
    /// assert!(Telegram::new("made-up").is_err());
    /// # Ok::<(), openclaw_core::Error>(())
    /// ```
    pub fn new(token: impl Into<Secret>) -> Result<Self> {
        let token = token.into();
        config::bot_id(token.expose())?;
        let limits = Limits::default();
        let exclusive = vec![Exclusive { what: "bot token", value: token.clone() }];
        Ok(Self {
            exclusive,
            keep_interval: KEEP_INTERVAL,
            account: AccountId::new("telegram", "default")?,
            capabilities: capabilities(&limits),
            client: Client {
                base: DEFAULT_BASE_URL.to_owned(),
                token,
                http: None,
                allow_plain_http: false,
            },
            limits,
            link_previews: false,
            hook: None,
            shared: Arc::default(),
        })
    }

    /// The bot whose token is in the environment variable `TELEGRAM_BOT_TOKEN`, at the server that
    /// `TELEGRAM_BASE_URL` names if it is one's own.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`](openclaw_core::ErrorKind::InvalidConfig) if the token is not set or is
    /// none, or the address is none.
    pub fn from_env() -> Result<Self> {
        let new = Self::new(SecretRef::Env("TELEGRAM_BOT_TOKEN".to_owned()).resolve()?)?;
        match std::env::var("TELEGRAM_BASE_URL") {
            Ok(url) if !url.is_empty() => new.base_url(&url),
            _ => Ok(new),
        }
    }

    /// What a configuration says; its secrets are fetched now.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`](openclaw_core::ErrorKind::InvalidConfig), which names the setting.
    pub fn from_config(config: &Config) -> Result<Self> {
        let mut new = Self::new(config.token.resolve()?)?
            .account(&config.account)?
            .base_url(&config.base_url)?
            .limits(config.limits.clone());
        if let Mode::Webhook(webhook) = &config.mode {
            new = new.webhook(&webhook.url, webhook.secret.resolve()?)?;
        }
        new.client.allow_plain_http = config.allow_plain_http;
        new.link_previews = config.link_previews;
        Ok(new)
    }

    /// Makes it the account `telegram:NAME`, so that there can be several.
    ///
    /// # Errors
    /// As of [`AccountId::new`].
    pub fn account(mut self, name: &str) -> Result<Self> {
        self.account = AccountId::new("telegram", name)?;
        Ok(self)
    }

    /// Lets Telegram send updates to `url`, with `secret` in a header of each request. If
    /// [`base_url`](Self::base_url) is to be another, set it first: a server of one's own on this machine
    /// sends to other ports, too, and without TLS on this machine.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`](openclaw_core::ErrorKind::InvalidConfig) if the address or the secret
    /// is not as [`WebhookConfig`] says.
    pub fn webhook(mut self, url: &str, secret: impl Into<Secret>) -> Result<Self> {
        let secret = secret.into();
        config::check_secret(secret.expose())?;
        let uri = check_url("the webhook's url", url, HOOK_EXAMPLE)?;
        check_reach(&uri, &self.client.base)?;
        self.exclusive.retain(|one| one.what != HOOK_SECRET);
        self.exclusive.push(Exclusive { what: HOOK_SECRET, value: secret.clone() });
        self.hook = Some(Hook { url: url.to_owned(), secret });
        Ok(self)
    }

    /// How often it is looked whether Telegram still sends to our address, in place of
    /// [`KEEP_INTERVAL`].
    #[must_use]
    pub fn look_after_webhook_every(mut self, interval: Duration) -> Self {
        self.keep_interval = interval;
        self
    }

    /// Asks a Bot API server of one's own at this address.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`](openclaw_core::ErrorKind::InvalidConfig) if it is no `http` or `https` URL,
    /// or has a user, a password or a query.
    pub fn base_url(mut self, url: &str) -> Result<Self> {
        let uri = check_url("base_url", url, DEFAULT_BASE_URL)?;
        if uri.query().is_some() {
            return Err(Error::config("base_url has a query"));
        }
        url.trim_end_matches('/').clone_into(&mut self.client.base);
        Ok(self)
    }

    /// Lets the token go over plain HTTP to another machine, where whoever is on the way can read it.
    #[must_use]
    pub fn allow_plain_http(mut self) -> Self {
        self.client.allow_plain_http = true;
        self
    }

    /// Lets Telegram fetch the first address in what the bot says, to show a preview of it.
    #[must_use]
    pub fn link_previews(mut self) -> Self {
        self.link_previews = true;
        self
    }

    /// Replaces the limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.capabilities = capabilities(&limits);
        self.limits = limits;
        self
    }

    /// Calls Telegram with this client instead of the gateway's.
    #[must_use]
    pub fn http(mut self, client: Arc<dyn HttpClient>) -> Self {
        self.client.http = Some(client);
        self
    }

    /// What came so far.
    pub fn counters(&self) -> Counters {
        self.shared.counts.read()
    }

    /// Who the bot is; Telegram is asked once.
    async fn bot(&self, cx: &ChannelContext) -> Result<Arc<Bot>> {
        let known = || self.shared.bot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bot) = &*known() {
            return Ok(Arc::clone(bot));
        }
        let bot = Arc::new(self.ask_who(cx).await?);
        *known() = Some(Arc::clone(&bot));
        Ok(bot)
    }

    async fn ask_who(&self, cx: &ChannelContext) -> Result<Bot> {
        let user: types::User = self.client.call(cx, "getMe", &json!({})).await?;
        Ok(Bot { id: user.id, username: user.username.unwrap_or_default() })
    }
}

impl fmt::Debug for Telegram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telegram")
            .field("account", &self.account)
            .field("base_url", &self.client.base)
            .field("webhook", &self.hook.as_ref().map(|hook| &hook.url))
            .finish_non_exhaustive()
    }
}

fn capabilities(limits: &Limits) -> Capabilities {
    let utf16 = |units| TextLimit { units, unit: TextUnit::Utf16 };
    let mut can = Capabilities::text_only(Delivery::Blind);
    (can.edit, can.delete, can.react, can.typing) = (true, true, true, true);
    (can.buttons, can.media, can.location, can.contact) = (true, true, true, true);
    can.mention = true;
    can.max_text = utf16(MAX_TEXT_UNITS);
    can.max_caption = Some(utf16(MAX_CAPTION_UNITS));
    can.max_album = MAX_ALBUM;
    can.rates = limits.rates;
    can
}

/// Checks that Telegram, or a server of one's own at `base`, would send to this address.
fn check_reach(uri: &Uri, base: &str) -> Result<()> {
    let secure = uri.scheme_str() == Some("https");
    if base.parse::<Uri>().is_ok_and(|base| client::is_loopback(&base)) {
        return match secure || client::is_loopback(uri) {
            true => Ok(()),
            false => Err(Error::config(
                "the webhook's url would have what people write go over plain http to another \
                 machine; make it https",
            )),
        };
    }
    if !secure {
        return Err(Error::config(format!(
            "the webhook's url is not https, and Telegram sends to nothing else; expected one such as \
             {HOOK_EXAMPLE}"
        )));
    }
    match uri.port_u16().unwrap_or(443) {
        443 | 80 | 88 | 8443 => Ok(()),
        port => Err(Error::config(format!(
            "the webhook's url has port {port}; Telegram sends to 443, 80, 88 and 8443 alone"
        ))),
    }
}

/// Markdown as a bot shows it, in Telegram's HTML, with all that is lost on the way.
///
/// ```
/// let shown = openclaw_channels::telegram::rendered("**Hello** & [welcome](/here)");
/// assert_eq!(shown.text, "<b>Hello</b> &amp; welcome (/here)");
/// assert_eq!(shown.losses.len(), 1);
/// ```
pub fn rendered(markdown: &str) -> Rendered {
    html::text(&[Content::text(markdown)])
}

fn check_url(what: &str, url: &str, example: &str) -> Result<Uri> {
    let bad = |why: &str| Error::config(format!("{what} {why}; expected one such as {example}"));
    let uri: Uri = url.parse().map_err(|_| bad("is not a URL"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
        return Err(bad("is not a whole http or https URL"));
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(bad("has a user or a password in it"));
    }
    if url.contains('#') {
        return Err(bad("has a fragment"));
    }
    Ok(uri)
}
