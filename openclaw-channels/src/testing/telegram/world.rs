//! What Telegram remembers: accounts, chats, messages, files.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use openclaw_core::{
    secret::Secret,
    serde_json::{Map, Value},
    testing::fake_service::Feed,
    time::{Clock, Timestamp},
};
use tokio::{sync::watch, task::AbortHandle, time::Instant};

use super::{
    files::Files,
    limits::{Limits, Sent},
    text::Styled,
    updates::{Kinds, Update},
};

/// A conversation: a person and a bot, or a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Private { bot: i64, user: i64 },
    Group(i64),
}

impl Place {
    /// The id that the bot sees.
    pub(super) fn chat_id(self) -> i64 {
        match self {
            Self::Private { user, .. } => user,
            Self::Group(id) => id,
        }
    }
}

/// A person or a bot.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) id: i64,
    pub(super) is_bot: bool,
    pub(super) first_name: String,
    pub(super) last_name: Option<String>,
    pub(super) username: Option<String>,
    pub(super) language: Option<String>,
    pub(super) deactivated: bool,
}

/// What Telegram knows of a bot beside its account.
pub(super) struct Bot {
    pub(super) token: Secret,
    pub(super) privacy: bool,
    pub(super) feed: Feed<Arc<Update>>,
    pub(super) kinds: Kinds,
    pub(super) poll: Poll,
    pub(super) webhook: Option<Webhook>,
    pub(super) webhook_error: Option<(Timestamp, String)>,
    pub(super) commands: HashMap<(String, String), Value>,
    pub(super) sent: Sent,
}

/// The long poll of a bot.
#[derive(Default)]
pub(super) struct Poll {
    /// Which poll waits; one that waited before ends.
    pub(super) turn: u64,
    /// How often the token was revoked; a poll of an older one ends.
    pub(super) tokens: u32,
    /// The last offset, and when it was asked for.
    pub(super) last: Option<(i64, Instant)>,
    /// Until when a conflict is answered late.
    pub(super) conflict_until: Option<Instant>,
}

pub(super) struct Webhook {
    pub(super) url: String,
    pub(super) secret: Option<Secret>,
    pub(super) max_connections: usize,
    pub(super) task: AbortHandle,
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChatKind {
    Private,
    Group,
    Supergroup,
}

/// What somebody is in a group, or what a bot is to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Creator,
    Administrator,
    Member,
    Left,
    Kicked,
}

impl Status {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Creator => "creator",
            Self::Administrator => "administrator",
            Self::Member => "member",
            Self::Left => "left",
            Self::Kicked => "kicked",
        }
    }

    pub(super) fn is_in(self) -> bool {
        !matches!(self, Self::Left | Self::Kicked)
    }

    pub(super) fn is_admin(self) -> bool {
        matches!(self, Self::Creator | Self::Administrator)
    }
}

pub(super) struct Topic {
    pub(super) name: String,
    pub(super) closed: bool,
}

pub(super) struct Chat {
    pub(super) kind: ChatKind,
    pub(super) title: String,
    pub(super) username: Option<String>,
    /// In a private chat the bot alone: whether it is blocked.
    pub(super) members: BTreeMap<i64, Status>,
    pub(super) forum: bool,
    pub(super) topics: BTreeMap<i64, Topic>,
    pub(super) migrated_to: Option<i64>,
    pub(super) messages: BTreeMap<i64, Message>,
    next_id: i64,
    /// Actions such as `typing`, and the topic they were shown in.
    pub(super) actions: Vec<(String, Option<i64>)>,
    /// The last bot that wrote here.
    pub(super) last_bot: Option<i64>,
}

impl Chat {
    pub(super) fn new(kind: ChatKind, title: &str) -> Self {
        Self {
            kind,
            title: title.to_owned(),
            username: None,
            members: BTreeMap::new(),
            forum: false,
            topics: BTreeMap::new(),
            migrated_to: None,
            messages: BTreeMap::new(),
            next_id: 1,
            actions: Vec::new(),
            last_bot: None,
        }
    }

    pub(super) fn status(&self, account: i64) -> Option<Status> {
        self.members.get(&account).copied()
    }

    /// A message that was not deleted.
    pub(super) fn message(&self, id: i64) -> Option<&Message> {
        self.messages.get(&id).filter(|message| !message.deleted)
    }

    pub(super) fn message_mut(&mut self, id: i64) -> Option<&mut Message> {
        self.messages.get_mut(&id).filter(|message| !message.deleted)
    }
}

/// What a message is made of.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    Text(Styled),
    /// A file with a caption: the fields are its kind's, as in `photo`.
    Media {
        kind: &'static str,
        fields: Map<String, Value>,
        caption: Styled,
    },
    /// Anything else that people send: location, contact, dice.
    Plain(Map<String, Value>),
    /// What Telegram says by itself.
    Service(Map<String, Value>),
}

#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) id: i64,
    pub(super) from: i64,
    pub(super) date: i64,
    pub(super) edit_date: Option<i64>,
    pub(super) edits: u32,
    pub(super) thread: Option<i64>,
    pub(super) reply_to: Option<i64>,
    pub(super) content: Content,
    pub(super) keyboard: Option<Value>,
    /// A keyboard below the chat, or an order to remove one.
    pub(super) menu: Option<Value>,
    pub(super) album: Option<String>,
    pub(super) silent: bool,
    /// Fields of the message beside its content, as in `quote`.
    pub(super) extra: Map<String, Value>,
    pub(super) reactions: BTreeMap<i64, Vec<Value>>,
    pub(super) deleted: bool,
    /// True once `next_message` gave it out.
    pub(super) read: bool,
}

impl Message {
    pub(super) fn new(from: i64, content: Content) -> Self {
        Self {
            id: 0,
            from,
            date: 0,
            edit_date: None,
            edits: 0,
            thread: None,
            reply_to: None,
            content,
            keyboard: None,
            menu: None,
            album: None,
            silent: false,
            extra: Map::new(),
            reactions: BTreeMap::new(),
            deleted: false,
            read: false,
        }
    }

    pub(super) fn is_service(&self) -> bool {
        matches!(self.content, Content::Service(_))
    }

    pub(super) fn styled(&self) -> Option<&Styled> {
        match &self.content {
            Content::Text(styled) | Content::Media { caption: styled, .. } => Some(styled),
            _ => None,
        }
    }
}

/// A press of a button that waits for its answer.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) bot: i64,
    pub(super) asked: Timestamp,
    pub(super) answer: Option<Map<String, Value>>,
}

/// Everything, behind one lock.
pub(super) struct World {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) limits: Limits,
    /// How long a webhook's second retry waits; the third waits twice as long, and so on.
    pub(super) webhook_pause: Duration,
    pub(super) accounts: BTreeMap<i64, Account>,
    pub(super) bots: BTreeMap<i64, Bot>,
    pub(super) chats: HashMap<Place, Chat>,
    pub(super) files: Files,
    pub(super) queries: BTreeMap<u64, Query>,
    counter: i64,
}

impl World {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            limits: Limits::default(),
            webhook_pause: Duration::from_secs(1),
            accounts: BTreeMap::new(),
            bots: BTreeMap::new(),
            chats: HashMap::new(),
            files: Files::default(),
            queries: BTreeMap::new(),
            counter: 0,
        }
    }

    /// A number that nothing else has.
    pub(super) fn next(&mut self) -> i64 {
        self.counter += 1;
        self.counter
    }

    /// The time as the Bot API tells it: whole seconds.
    pub(super) fn date(&self) -> i64 {
        self.clock.now().as_millis().div_euclid(1000)
    }

    /// Where people talk now: what became of a group that was migrated.
    pub(super) fn present(&self, place: Place) -> Place {
        let moved = self.chats.get(&place).and_then(|chat| chat.migrated_to);
        moved.map_or(place, Place::Group)
    }

    /// Adds a message to a chat, numbered and dated.
    pub(super) fn add(&mut self, place: Place, mut message: Message) -> i64 {
        let date = self.date();
        let is_bot = self.bots.contains_key(&message.from);
        // Private chats and basic groups share one sequence, a supergroup has its own.
        let shared = self.next();
        let Some(chat) = self.chats.get_mut(&place) else { return 0 };
        message.id = match chat.kind {
            ChatKind::Supergroup => chat.next_id,
            _ => shared,
        };
        chat.next_id = message.id + 1;
        message.date = date;
        if is_bot {
            chat.last_bot = Some(message.from);
        }
        let id = message.id;
        chat.messages.insert(id, message);
        id
    }
}

/// The world, and a note of each of its changes.
pub(super) struct Shared {
    pub(super) world: std::sync::Mutex<World>,
    pub(super) changed: watch::Sender<()>,
}

impl Shared {
    /// Reads the world.
    pub(super) fn read<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(&mut self.world.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Changes the world, and wakes who waits for that.
    pub(super) fn update<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let value = self.read(change);
        self.changed.send_replace(());
        value
    }

    /// Waits until `ready` finds what it looks for. Cancel safe.
    pub(super) async fn wait<T>(&self, mut ready: impl FnMut(&mut World) -> Option<T>) -> T {
        let mut changes = self.changed.subscribe();
        loop {
            if let Some(value) = self.read(&mut ready) {
                return value;
            }
            // The sender lives as long as `self`.
            let _ = changes.changed().await;
        }
    }
}
