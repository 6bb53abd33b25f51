//! Two-way links to messaging services.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    blobs::Blobs,
    error::{Error, ErrorKind, Result},
    event::Events,
    fault::{Act, Faults},
    gateway::Ingress,
    http_client::HttpClient,
    id::{AccountId, Conversation, OutboundKey},
    message::{Action, Inbound, Media, Receipt, Sent},
    secret::Secret,
    store::{RecordKey, RecordStore, RecordWrite},
    time::{Cancel, Clock},
};

/// One account of a messaging service: it hears, and it acts.
///
/// # Contract
///
/// - **Order.** `run` passes each conversation's events to [`Ingress::accept`] in the order in which
///   the service gave them.
/// - **Acknowledging.** The platform is told that an event was taken (an offset moves, a webhook is
///   answered) only after `accept` returned for it. An event may come twice; its
///   [`EventKey`](crate::EventKey) is then the same.
/// - **Delivery.** [`perform`](Self::perform) returns `Err` only if the action certainly did not
///   happen; if that cannot be known it returns [`Sent::Unknown`]. The same
///   [`OutboundKey`] twice is one message on a [`Delivery::Keyed`] channel.
/// - **Retries.** Never here: the error's advice says whether another try helps; delivery tries.
/// - **Capabilities.** Nothing that [`capabilities`](Self::capabilities) lacks is ever asked for.
/// - **One call.** What one [`Action::Send`] holds fits one message of the platform: text with the
///   mentions in it; or up to [`max_album`](Capabilities::max_album) media, with a caption where the
///   platform has captions; or a place; or a contact. Buttons stand behind a text or a single medium,
///   or alone.
/// - **Cancel safety.** `run` may be dropped at any await point; what was not accepted is heard again.
///   `perform` is not dropped while the process lives, also when the gateway stops; if it dies, the
///   outcome is unknown.
/// - **Concurrency.** `perform` is called for several conversations at once, for one conversation one
///   after the other, and possibly before `run` was first polled.
#[async_trait]
pub trait Channel: Send + Sync + 'static {
    /// The account, as in `telegram:support`.
    fn id(&self) -> &AccountId;

    /// What the channel can do. The same at every call.
    fn capabilities(&self) -> &Capabilities;

    /// Hears until `cx.cancel()`, or until the link breaks: then it returns an error whose advice says
    /// whether to start it again. `Ok` means that nothing more will ever come, as at the end of input.
    async fn run(&self, cx: &ChannelContext) -> Result<()>;

    /// Performs one action.
    ///
    /// # Errors
    /// The action certainly did not happen. A transient error is tried again later, any other is
    /// final for this message.
    async fn perform(
        &self,
        cx: &ChannelContext,
        to: &Conversation,
        action: &Action,
    ) -> Result<Sent>;

    /// Optional abilities. A wrapper forwards this one method, and so all of them.
    fn extras(&self) -> Extras<'_> {
        Extras::default()
    }
}

/// The optional abilities of a channel.
#[derive(Clone, Copy, Default)]
#[non_exhaustive]
pub struct Extras<'a> {
    /// Finds what was sent; needed by [`Delivery::Searchable`].
    pub lookup: Option<&'a dyn Lookup>,
    /// Fetches media that was accepted as a remote handle.
    pub fetch_media: Option<&'a dyn FetchMedia>,
    /// Takes events by HTTP.
    pub webhook: Option<&'a dyn Webhook>,
    /// Checks the account's credentials.
    pub probe: Option<&'a dyn Probe>,
    /// What the account counts.
    pub counted: Option<&'a dyn Counted>,
    /// What no other account of the gateway may have; a gateway in which two have the same does not
    /// start.
    pub exclusive: &'a [Exclusive],
}

impl<'a> Extras<'a> {
    /// Adds [`Lookup`].
    #[must_use]
    pub fn lookup(mut self, ability: &'a dyn Lookup) -> Self {
        self.lookup = Some(ability);
        self
    }

    /// Adds [`FetchMedia`].
    #[must_use]
    pub fn fetch_media(mut self, ability: &'a dyn FetchMedia) -> Self {
        self.fetch_media = Some(ability);
        self
    }

    /// Adds [`Webhook`].
    #[must_use]
    pub fn webhook(mut self, ability: &'a dyn Webhook) -> Self {
        self.webhook = Some(ability);
        self
    }

    /// Adds [`Probe`].
    #[must_use]
    pub fn probe(mut self, ability: &'a dyn Probe) -> Self {
        self.probe = Some(ability);
        self
    }

    /// Adds [`Counted`].
    #[must_use]
    pub fn counted(mut self, ability: &'a dyn Counted) -> Self {
        self.counted = Some(ability);
        self
    }

    /// Says what no other account may have.
    #[must_use]
    pub fn exclusive(mut self, values: &'a [Exclusive]) -> Self {
        self.exclusive = values;
        self
    }
}

/// Something that belongs to one account alone, as its login: two accounts with one would take each
/// other's place.
#[derive(Clone, Debug)]
pub struct Exclusive {
    /// What it is, for people, as in `bot token`. Values of different things are never compared.
    pub what: &'static str,
    /// The value; never shown.
    pub value: Secret,
}

/// Finds a sent message by its key.
#[async_trait]
pub trait Lookup: Send + Sync {
    /// The receipt of what was sent to `to` under `key`, or `None` if it certainly was not sent.
    ///
    /// # Errors
    /// The platform could not be asked.
    async fn lookup(
        &self,
        cx: &ChannelContext,
        to: &Conversation,
        key: &OutboundKey,
    ) -> Result<Option<Receipt>>;
}

/// Fetches media by the platform's handle.
#[async_trait]
pub trait FetchMedia: Send + Sync {
    /// The bytes behind `handle`.
    ///
    /// # Errors
    /// [`ErrorKind::Exhausted`] if it is longer than `max_bytes`.
    async fn fetch_media(&self, cx: &ChannelContext, handle: &str, max_bytes: u64)
    -> Result<Bytes>;
}

/// Checks an account without hearing or sending.
#[async_trait]
pub trait Probe: Send + Sync {
    /// Who the platform says the account is, for people, as in `@my_bot`.
    ///
    /// # Errors
    /// The platform does not take the credentials, or could not be asked; the error says which, and
    /// what to do.
    async fn probe(&self, cx: &ChannelContext) -> Result<String>;
}

/// Takes a platform's events by HTTP.
#[async_trait]
pub trait Webhook: Send + Sync {
    /// Checks the request's signature on its raw bytes, in constant time and before parsing; accepts
    /// what it holds; answers. An error in accepting must become an answer that makes the platform
    /// deliver again.
    async fn handle(
        &self,
        cx: &ChannelContext,
        request: http::Request<Bytes>,
    ) -> http::Response<Bytes>;

    /// Looks at a request before its body is read: the answer, if method or headers alone are reason
    /// enough to refuse it. What passes is checked by [`handle`](Self::handle) all the same, so a channel
    /// without this is no less safe, only more patient.
    fn refuse(&self, method: &http::Method, headers: &http::HeaderMap) -> Option<http::StatusCode> {
        let _ = (method, headers);
        None
    }
}

/// Says in numbers what came to an account.
pub trait Counted: Send + Sync {
    /// Names, in `snake_case` and always the same, and how often each happened since the channel was
    /// made. They never fall.
    fn counts(&self) -> Vec<(&'static str, u64)>;
}

/// What a channel can do, as data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Capabilities {
    /// What is known after a crash about a message that was being sent.
    pub delivery: Delivery,
    /// [`Action::Edit`] works.
    pub edit: bool,
    /// [`Action::Delete`] works.
    pub delete: bool,
    /// [`Action::React`] works.
    pub react: bool,
    /// [`Action::Typing`] works.
    pub typing: bool,
    /// [`Content::Buttons`](crate::message::Content::Buttons) are shown and can be pressed; without
    /// it they are sent as text.
    pub buttons: bool,
    /// [`Content::Media`](crate::message::Content::Media) can be sent; without it its name is.
    pub media: bool,
    /// [`Content::Location`](crate::message::Content::Location) can be sent; without it its
    /// coordinates are.
    pub location: bool,
    /// [`Content::Contact`](crate::message::Content::Contact) can be sent; without it name and
    /// number are.
    pub contact: bool,
    /// [`Content::Mention`](crate::message::Content::Mention) notifies whom it names; without it the
    /// name is text.
    pub mention: bool,
    /// The longest text of one message.
    pub max_text: TextLimit,
    /// The longest text beside media in one message; `None` if it must go in a message of its own.
    pub max_caption: Option<TextLimit>,
    /// How many media one message holds at most; 0 counts as 1.
    pub max_album: usize,
    /// How fast the account may send.
    pub rates: Rates,
    /// The channel is in the hands of whoever runs the process (a terminal). The *host* decides
    /// whether that makes its speaker the owner, by how it adds the channel.
    pub local: bool,
}

impl Capabilities {
    /// A channel that sends text and nothing else.
    pub fn text_only(delivery: Delivery) -> Self {
        Self {
            delivery,
            edit: false,
            delete: false,
            react: false,
            typing: false,
            buttons: false,
            media: false,
            location: false,
            contact: false,
            mention: false,
            max_text: TextLimit { units: usize::MAX, unit: TextUnit::Bytes },
            max_caption: None,
            max_album: 1,
            rates: Rates::default(),
            local: false,
        }
    }
}

/// How fast an account may send; `None` is no limit. Delivery holds to all that are given. Messages and
/// edits count, an album as its messages.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// Everything that the account sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Rate>,
    /// What it sends to one person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direct: Option<Rate>,
    /// What it sends to one group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Rate>,
}

/// A rate: a bucket of `burst` messages that fills by `per_minute`. So in no minute there are more than
/// the two together. An album that is larger than the bucket goes when that is full, and what follows
/// waits so much longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// How many messages a minute in the long run; 0 counts as 1.
    pub per_minute: u32,
    /// How many may go at once after a pause; 0 counts as 1.
    pub burst: u32,
}

/// The longest text of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextLimit {
    /// How many units.
    pub units: usize,
    /// What is counted.
    pub unit: TextUnit,
}

/// What a platform counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TextUnit {
    /// UTF-8 bytes.
    Bytes,
    /// Unicode scalar values.
    Chars,
    /// UTF-16 code units.
    Utf16,
}

impl TextUnit {
    /// The length of `text` in this unit.
    pub fn count(self, text: &str) -> usize {
        match self {
            Self::Bytes => text.len(),
            Self::Chars => text.chars().count(),
            Self::Utf16 => text.chars().map(char::len_utf16).sum(),
        }
    }
}

/// What is known after a crash about a message that was being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Delivery {
    /// The platform drops a second message with the same key for this long.
    Keyed {
        /// How long the platform remembers keys.
        window: Duration,
    },
    /// [`Lookup`] finds what was sent, for this long.
    Searchable {
        /// How far back it looks.
        window: Duration,
    },
    /// Nothing can be known.
    Blind,
}

/// What the gateway hands to a channel with each call. Nothing of it should be kept: layers may
/// replace it.
#[derive(Clone)]
pub struct ChannelContext {
    pub(crate) ingress: Ingress,
    pub(crate) http: Option<Arc<dyn HttpClient>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) cancel: Cancel,
    pub(crate) events: Events,
    pub(crate) blobs: Option<Arc<dyn Blobs>>,
    pub(crate) state: ChannelState,
}

impl ChannelContext {
    /// The door: what arrived goes in here.
    pub fn ingress(&self) -> &Ingress {
        &self.ingress
    }

    /// Accepts one event; [`Ingress::accept`] takes several in one commit.
    ///
    /// # Errors
    /// See [`Ingress::accept`].
    pub async fn accept(&self, inbound: Inbound) -> Result<Accepted> {
        self.ingress.accept_one(inbound).await
    }

    /// The HTTP client of the gateway.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if the application gave none.
    pub fn http(&self) -> Result<&dyn HttpClient> {
        self.http.as_deref().ok_or_else(|| {
            Error::config("no HTTP client: add one with `Gateway::builder().http(..)`")
        })
    }

    /// Wall-clock time.
    pub fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// Cancelled when the channel should stop.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// What happens in the gateway as it happens, for channels that show an answer while it grows.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// What the account keeps over restarts.
    pub fn state(&self) -> &ChannelState {
        &self.state
    }

    /// The bytes of a medium that is to be sent.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if it is a platform's handle, or its blob is not there;
    /// [`ErrorKind::Exhausted`] if it has more than `max_bytes`; [`ErrorKind::InvalidData`] if it is
    /// damaged.
    pub async fn media(&self, media: &Media, max_bytes: u64) -> Result<Bytes> {
        let bytes = media.source.read(self.blobs.as_deref()).await?;
        if bytes.len() as u64 > max_bytes {
            return Err(Error::new(
                ErrorKind::Exhausted,
                format!("a file of {} bytes, at most {max_bytes} can be sent", bytes.len()),
            )
            .with_public(format!(
                "the file is larger than the {max_bytes} bytes that can be sent"
            )));
        }
        Ok(bytes)
    }
}

/// Small values that an account keeps over restarts, as where it stopped reading.
///
/// Only one process writes them: the holder of the account's lease.
#[derive(Clone)]
pub struct ChannelState {
    store: Arc<dyn RecordStore>,
    account: AccountId,
    faults: Faults,
}

impl ChannelState {
    pub(crate) fn new(store: Arc<dyn RecordStore>, account: AccountId, faults: Faults) -> Self {
        Self { store, account, faults }
    }

    fn key(&self, name: &str) -> RecordKey {
        RecordKey::new(STATE_SPACE, format!("{}/{name}", self.account))
    }

    /// The value kept under `name`.
    ///
    /// # Errors
    /// The store failed.
    pub async fn get(&self, name: &str) -> Result<Option<String>> {
        let record = self.store.record(&self.key(name)).await?;
        let read = |text: String| {
            serde_json::from_str(&text).map_err(|e| Error::wrap(ErrorKind::InvalidData, e))
        };
        record.map(|record| read(record.value)).transpose()
    }

    /// Keeps a value under `name`, durably when it returns; `None` removes it.
    ///
    /// # Errors
    /// The store failed; whether the value is kept is then unknown.
    pub async fn set(&self, name: &str, value: Option<&str>) -> Result<()> {
        let value = value.map(|text| serde_json::Value::from(text).to_string());
        let write = RecordWrite { key: self.key(name), expect: None, value };
        let written = self.store.write(vec![write], Vec::new());
        self.faults.around(Act::KeepState, written).await
    }
}

impl std::fmt::Debug for ChannelState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ChannelState").field(&self.account).finish()
    }
}

/// The records that accounts keep.
const STATE_SPACE: &str = "channel";

/// What became of an event that a channel passed in. In each case the platform may be told that it
/// was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub enum Accepted {
    /// It is durable and will be worked on.
    New,
    /// It was accepted before.
    Duplicate,
    /// It was not let in; trying again does not help.
    Refused(Refusal),
}

/// Why an event was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The sender is not known; a pairing code was sent to them, or was already pending.
    Pairing,
    /// The sender is not allowed here.
    NotAllowed,
    /// A group message that does not address the account.
    NotMentioned,
    /// The account's direct or group messages are disabled.
    Disabled,
    /// Nothing that an agent works on, such as a reaction to somebody else's message.
    Irrelevant,
    /// Longer than [`MAX_INBOUND_BYTES`].
    TooLarge,
}

/// The largest event that is accepted, counted as JSON. Its sender is told.
pub const MAX_INBOUND_BYTES: usize = 1 << 20;
