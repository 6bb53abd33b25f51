//! What bots are told, and who is told what.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use openclaw_core::{
    serde_json::{Value, json},
    time::Timestamp,
};

use super::{
    json::put,
    world::{ChatKind, Content, Message, Place, Status, World},
};

/// How long the server keeps an update.
pub(super) const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a press of a button can be answered. Telegram publishes no figure; updates of presses
/// are kept for 150 seconds.
pub(super) const CALLBACK_KEPT: Duration = Duration::from_secs(150);

/// Every kind of update that there is.
const ALL: &[&str] = &[
    "message",
    "edited_message",
    "channel_post",
    "edited_channel_post",
    "inline_query",
    "chosen_inline_result",
    "callback_query",
    "shipping_query",
    "pre_checkout_query",
    "poll",
    "poll_answer",
    "my_chat_member",
    "chat_member",
    "chat_join_request",
    "chat_boost",
    "removed_chat_boost",
    "message_reaction",
    "message_reaction_count",
    "business_connection",
    "business_message",
    "edited_business_message",
    "deleted_business_messages",
    "purchased_paid_media",
];

/// Those that a bot gets only if it asks for them.
const ON_REQUEST: &[&str] = &["chat_member", "message_reaction", "message_reaction_count"];

/// The kinds of update that a bot wants.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Kinds(BTreeSet<&'static str>);

impl Default for Kinds {
    fn default() -> Self {
        Self(ALL.iter().copied().filter(|kind| !ON_REQUEST.contains(kind)).collect())
    }
}

impl Kinds {
    /// What a request asks for; `None` if it leaves things as they are. A list without a known
    /// name, as the empty one, is the default.
    pub(super) fn asked(allowed: &str) -> Option<Self> {
        let Ok(Value::Array(names)) = openclaw_core::serde_json::from_str(allowed) else {
            return None;
        };
        let names: Option<Vec<String>> =
            names.iter().map(|name| name.as_str().map(str::to_lowercase)).collect();
        let names = names?;
        let known: BTreeSet<_> =
            ALL.iter().copied().filter(|kind| names.iter().any(|name| name == kind)).collect();
        Some(if known.is_empty() { Self::default() } else { Self(known) })
    }

    pub(super) fn has(&self, kind: &str) -> bool {
        self.0.contains(kind)
    }

    pub(super) fn json(&self) -> Value {
        ALL.iter().filter(|kind| self.has(kind)).copied().collect()
    }
}

/// An update on its way to a bot.
pub(super) struct Update {
    pub(super) kind: &'static str,
    pub(super) body: Value,
    /// Webhooks get the updates of one queue in order, one after the other.
    pub(super) queue: (&'static str, i64),
    pub(super) expires: Timestamp,
}

impl Update {
    pub(super) fn json(&self, id: u64) -> Value {
        let mut update = json!({ "update_id": id });
        put(&mut update, self.kind, self.body.clone());
        update
    }
}

impl World {
    pub(super) fn push(&self, bot: i64, kind: &'static str, queue: i64, body: Value) {
        let Some(bot) = self.bots.get(&bot).filter(|bot| bot.kinds.has(kind)) else { return };
        // Edits of a message stand in line with it; other kinds have lines of their own.
        let line = if kind == "edited_message" { "message" } else { kind };
        let expires = self.clock.now().after(KEPT);
        bot.feed.push(Arc::new(Update { kind, body, queue: (line, queue), expires }));
    }

    /// Drops what waited for longer than the server keeps it.
    pub(super) fn expire(&self, bot: i64) {
        let Some(bot) = self.bots.get(&bot) else { return };
        let now = self.clock.now();
        while let Some((id, _)) =
            bot.feed.read(0, 1).into_iter().next().filter(|(_, update)| update.expires <= now)
        {
            bot.feed.acknowledge(id);
        }
    }

    /// Tells the bots of a chat of a message, or of its edit.
    pub(super) fn tell(&self, place: Place, id: i64, kind: &'static str) {
        let Some(message) = self.chats.get(&place).and_then(|chat| chat.message(id)) else {
            return;
        };
        for bot in self.hearers(place, message) {
            self.push(bot, kind, place.chat_id(), self.message_json(place, message, true));
        }
    }

    /// The bots that see a message. None sees what bots write, its own words included.
    fn hearers(&self, place: Place, message: &Message) -> Vec<i64> {
        if self.bots.contains_key(&message.from) && !message.is_service() {
            return Vec::new();
        }
        let Some(chat) = self.chats.get(&place) else { return Vec::new() };
        match place {
            Place::Private { bot, .. } => {
                let blocked = chat.status(bot) == Some(Status::Kicked);
                if blocked { Vec::new() } else { vec![bot] }
            }
            Place::Group(_) => {
                let members = chat.members.iter().filter(|(_, status)| status.is_in());
                members
                    .filter(|(id, status)| {
                        self.bots.get(id).is_some_and(|bot| {
                            !bot.privacy
                                || status.is_admin()
                                || message.is_service()
                                || self.is_meant_for(**id, place, message)
                        })
                    })
                    .map(|(id, _)| *id)
                    .collect()
            }
        }
    }

    /// What a bot sees of a group in privacy mode: commands, mentions and answers to it.
    fn is_meant_for(&self, bot: i64, place: Place, message: &Message) -> bool {
        let Some(chat) = self.chats.get(&place) else { return false };
        let answers = message.reply_to.and_then(|id| chat.message(id));
        if answers.is_some_and(|answered| answered.from == bot) {
            return true;
        }
        let name = self.accounts.get(&bot).and_then(|account| account.username.as_deref());
        let name = name.unwrap_or_default().to_lowercase();
        let Some(styled) = message.styled() else { return false };
        let units: Vec<u16> = styled.text.encode_utf16().collect();
        styled.entities.iter().any(|entity| {
            let span = units.get(entity.offset..entity.offset + entity.length);
            let text = String::from_utf16_lossy(span.unwrap_or_default()).to_lowercase();
            match entity.kind.as_str() {
                "mention" => text.strip_prefix('@') == Some(&name),
                "text_mention" => {
                    let id = entity.extra.get("user").and_then(|user| user.get("id")?.as_i64());
                    id == Some(bot)
                }
                "bot_command" => match text.split_once('@') {
                    Some((_, named)) => named == name,
                    // A command for any bot goes to the one that wrote last.
                    None => chat.last_bot.is_none_or(|last| last == bot),
                },
                _ => false,
            }
        })
    }

    /// Changes what a bot is in a chat, and tells it.
    pub(super) fn set_status(&mut self, place: Place, bot: i64, by: i64, new: Status) {
        let date = self.date();
        let Some(chat) = self.chats.get_mut(&place) else { return };
        let old = chat.members.insert(bot, new).unwrap_or(Status::Left);
        let kind = chat.kind;
        if old == new || !self.bots.contains_key(&bot) {
            return;
        }
        // To a bot in a private chat, who did not block it is no stranger but a member.
        let old =
            if kind == ChatKind::Private && old == Status::Left { Status::Kicked } else { old };
        let change = json!({
            "chat": self.chat_json(place),
            "from": self.user_json(by),
            "date": date,
            "old_chat_member": self.member_json(bot, old, kind),
            "new_chat_member": self.member_json(bot, new, kind),
        });
        self.push(bot, "my_chat_member", place.chat_id(), change);
    }

    /// Says something in the server's name, and tells the bots.
    pub(super) fn announce(&mut self, place: Place, from: i64, fields: Value) -> i64 {
        self.announce_in(place, from, None, fields)
    }

    /// [`announce`](Self::announce) in a topic.
    pub(super) fn announce_in(
        &mut self,
        place: Place,
        from: i64,
        thread: Option<i64>,
        fields: Value,
    ) -> i64 {
        let id = self.add_service(place, from, fields);
        if let Some(message) = self.chats.get_mut(&place).and_then(|chat| chat.message_mut(id)) {
            message.thread = thread;
        }
        self.tell(place, id, "message");
        id
    }

    /// Adds a message of the server, and tells nobody yet.
    pub(super) fn add_service(&mut self, place: Place, from: i64, fields: Value) -> i64 {
        let Value::Object(fields) = fields else { return 0 };
        self.add(place, Message::new(from, Content::Service(fields)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_leaves_out_what_must_be_asked_for() {
        let default = Kinds::default();
        assert!(default.has("message") && default.has("my_chat_member"));
        assert!(!default.has("message_reaction") && !default.has("chat_member"));
        assert!(Kinds::asked("").is_none() && Kinds::asked("{}").is_none());
        assert!(Kinds::asked("[]") == Some(Kinds::default()));
        let asked = Kinds::asked(r#"["MESSAGE","message_reaction"]"#).unwrap();
        assert_eq!(asked.json(), json!(["message", "message_reaction"]));
    }
}
