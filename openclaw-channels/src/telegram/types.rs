//! The parts of the Bot API that are used, as of <https://core.telegram.org/bots/api>.

use openclaw_core::serde_json::{self, Value};
use serde::Deserialize;

/// The kinds of updates that are asked for.
pub(super) const ALLOWED_UPDATES: [&str; 5] =
    ["message", "edited_message", "callback_query", "message_reaction", "my_chat_member"];

/// Something that happened, not looked into.
pub(super) struct RawUpdate {
    pub(super) id: i64,
    /// Its kind, as Telegram calls it.
    pub(super) kind: String,
    value: Value,
}

impl RawUpdate {
    /// `None` without a number, by which alone it can be told from others.
    pub(super) fn new(value: Value) -> Option<Self> {
        let id = value.get("update_id")?.as_i64()?;
        let kind = value.as_object()?.keys().find(|key| *key != "update_id");
        Some(Self { id, kind: kind.cloned().unwrap_or_default(), value })
    }

    pub(super) fn parse(self) -> serde_json::Result<Update> {
        serde_json::from_value(self.value)
    }
}

/// Of each kind at most one is there.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Update {
    pub(super) message: Option<Message>,
    pub(super) edited_message: Option<Message>,
    pub(super) callback_query: Option<CallbackQuery>,
    pub(super) message_reaction: Option<MessageReaction>,
    pub(super) my_chat_member: Option<ChatMemberUpdated>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct User {
    pub(super) id: i64,
    #[serde(default)]
    pub(super) is_bot: bool,
    pub(super) first_name: String,
    pub(super) last_name: Option<String>,
    pub(super) username: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Chat {
    pub(super) id: i64,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) title: Option<String>,
    pub(super) first_name: Option<String>,
    pub(super) last_name: Option<String>,
}

/// A message, or what is left of one that cannot be read any more.
#[derive(Debug, Deserialize)]
pub(super) struct Message {
    pub(super) message_id: i64,
    pub(super) message_thread_id: Option<i64>,
    #[serde(default)]
    pub(super) is_topic_message: bool,
    pub(super) from: Option<User>,
    pub(super) sender_chat: Option<Chat>,
    #[serde(default)]
    pub(super) date: i64,
    pub(super) edit_date: Option<i64>,
    pub(super) chat: Chat,
    pub(super) forward_origin: Option<Origin>,
    pub(super) reply_to_message: Option<Box<Message>>,
    pub(super) external_reply: Option<ExternalReply>,
    pub(super) quote: Option<Quote>,
    pub(super) media_group_id: Option<String>,
    pub(super) text: Option<String>,
    #[serde(default)]
    pub(super) entities: Vec<Entity>,
    pub(super) caption: Option<String>,
    #[serde(default)]
    pub(super) caption_entities: Vec<Entity>,
    #[serde(default)]
    pub(super) photo: Vec<File>,
    pub(super) document: Option<File>,
    pub(super) audio: Option<File>,
    pub(super) voice: Option<File>,
    pub(super) video: Option<File>,
    pub(super) animation: Option<File>,
    pub(super) video_note: Option<File>,
    pub(super) sticker: Option<Sticker>,
    pub(super) location: Option<Location>,
    pub(super) venue: Option<Venue>,
    pub(super) contact: Option<Contact>,
    pub(super) poll: Option<Poll>,
    pub(super) dice: Option<Dice>,
    pub(super) migrate_to_chat_id: Option<i64>,
    pub(super) migrate_from_chat_id: Option<i64>,
}

/// Counted in UTF-16 code units.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Entity {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) offset: usize,
    pub(super) length: usize,
    pub(super) url: Option<String>,
    pub(super) user: Option<User>,
    pub(super) language: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Quote {
    pub(super) text: String,
    #[serde(default)]
    pub(super) entities: Vec<Entity>,
}

/// A message of another chat that is answered.
#[derive(Debug, Deserialize)]
pub(super) struct ExternalReply {
    pub(super) origin: Origin,
}

/// Who wrote a message that was forwarded.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Origin {
    pub(super) sender_user: Option<User>,
    pub(super) sender_user_name: Option<String>,
    pub(super) sender_chat: Option<Chat>,
    pub(super) chat: Option<Chat>,
}

/// A photo in one size, or any other file.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct File {
    pub(super) file_id: String,
    pub(super) file_size: Option<u64>,
    pub(super) file_name: Option<String>,
    pub(super) mime_type: Option<String>,
    #[serde(default)]
    pub(super) width: u64,
    #[serde(default)]
    pub(super) height: u64,
    /// Only in the answer to `getFile`.
    pub(super) file_path: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Sticker {
    #[serde(flatten)]
    pub(super) file: File,
    #[serde(default)]
    pub(super) is_animated: bool,
    #[serde(default)]
    pub(super) is_video: bool,
    pub(super) emoji: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Location {
    pub(super) latitude: f64,
    pub(super) longitude: f64,
    /// It moves, and each step is an edit.
    pub(super) live_period: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Venue {
    pub(super) location: Location,
    pub(super) title: String,
    #[serde(default)]
    pub(super) address: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Contact {
    pub(super) phone_number: String,
    pub(super) first_name: String,
    pub(super) last_name: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Poll {
    pub(super) question: String,
    #[serde(default)]
    pub(super) options: Vec<PollOption>,
}

#[derive(Debug, Deserialize)]
pub(super) struct PollOption {
    pub(super) text: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Dice {
    pub(super) emoji: String,
    pub(super) value: i64,
}

#[derive(Debug, Deserialize)]
pub(super) struct CallbackQuery {
    pub(super) id: String,
    pub(super) from: User,
    pub(super) message: Option<Message>,
    pub(super) data: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct MessageReaction {
    pub(super) chat: Chat,
    pub(super) message_id: i64,
    pub(super) user: Option<User>,
    pub(super) actor_chat: Option<Chat>,
    #[serde(default)]
    pub(super) date: i64,
    #[serde(default)]
    pub(super) old_reaction: Vec<Reaction>,
    #[serde(default)]
    pub(super) new_reaction: Vec<Reaction>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Reaction {
    pub(super) emoji: Option<String>,
    pub(super) custom_emoji_id: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ChatMemberUpdated {
    pub(super) chat: Chat,
    pub(super) new_chat_member: ChatMember,
}

#[derive(Debug, Deserialize)]
pub(super) struct ChatMember {
    pub(super) status: String,
}

/// What Telegram tells of a webhook.
#[derive(Debug, Deserialize)]
pub(super) struct WebhookInfo {
    #[serde(default)]
    pub(super) url: String,
    #[serde(default)]
    pub(super) pending_update_count: u64,
    pub(super) last_error_message: Option<String>,
    pub(super) last_error_date: Option<i64>,
}

/// The one part of a sent message that matters.
#[derive(Debug, Deserialize)]
pub(super) struct SentMessage {
    pub(super) message_id: i64,
}

impl User {
    /// The name as shown.
    pub(super) fn name(&self) -> String {
        full_name(&self.first_name, self.last_name.as_deref())
    }
}

impl Chat {
    /// The name as shown.
    pub(super) fn name(&self) -> Option<String> {
        let person = self.first_name.as_deref();
        let person = person.map(|first| full_name(first, self.last_name.as_deref()));
        self.title.clone().or(person)
    }

    pub(super) fn is_private(&self) -> bool {
        self.kind == "private"
    }
}

impl Origin {
    /// The name of who wrote it, for display alone.
    pub(super) fn name(&self) -> Option<String> {
        let user = self.sender_user.as_ref().map(User::name);
        let chat = self.sender_chat.as_ref().or(self.chat.as_ref()).and_then(Chat::name);
        user.or_else(|| self.sender_user_name.clone()).or(chat)
    }
}

pub(super) fn full_name(first: &str, last: Option<&str>) -> String {
    match last {
        Some(last) => format!("{first} {last}"),
        None => first.to_owned(),
    }
}
