//! The Bot API's objects. Fields and their order of appearance follow the real server's `Json*`
//! types.

use openclaw_core::serde_json::{Map, Value, json};

use super::world::{Account, Chat, ChatKind, Content, Message, Place, Status, World};

/// Sets a field of an object.
pub(super) fn put(object: &mut Value, key: &str, value: impl Into<Value>) {
    if let Value::Object(object) = object {
        object.insert(key.to_owned(), value.into());
    }
}

impl Account {
    pub(super) fn json(&self) -> Value {
        let mut user = json!({
            "id": self.id, "is_bot": self.is_bot, "first_name": self.first_name,
        });
        for (key, value) in [
            ("last_name", &self.last_name),
            ("username", &self.username),
            ("language_code", &self.language),
        ] {
            if let Some(value) = value {
                put(&mut user, key, value.as_str());
            }
        }
        user
    }
}

impl World {
    pub(super) fn user_json(&self, id: i64) -> Value {
        self.accounts.get(&id).map_or(Value::Null, Account::json)
    }

    pub(super) fn me_json(&self, bot: i64) -> Value {
        let mut me = self.user_json(bot);
        let reads_all = self.bots.get(&bot).is_some_and(|bot| !bot.privacy);
        for (key, value) in [
            ("can_join_groups", true),
            ("can_read_all_group_messages", reads_all),
            ("supports_inline_queries", false),
            ("can_connect_to_business", false),
            ("has_main_web_app", false),
            ("has_topics_enabled", false),
        ] {
            put(&mut me, key, value);
        }
        me
    }

    pub(super) fn chat_json(&self, place: Place) -> Value {
        let Some(chat) = self.chats.get(&place) else { return Value::Null };
        let mut json = json!({ "id": place.chat_id() });
        match (chat.kind, place) {
            (ChatKind::Private, Place::Private { user, .. }) => {
                if let Some(user) = self.accounts.get(&user) {
                    put(&mut json, "first_name", user.first_name.as_str());
                    for (key, value) in
                        [("last_name", &user.last_name), ("username", &user.username)]
                    {
                        if let Some(value) = value {
                            put(&mut json, key, value.as_str());
                        }
                    }
                }
                put(&mut json, "type", "private");
            }
            (ChatKind::Group, _) => {
                put(&mut json, "title", chat.title.as_str());
                put(&mut json, "type", "group");
                put(&mut json, "all_members_are_administrators", false);
            }
            _ => {
                put(&mut json, "title", chat.title.as_str());
                put(&mut json, "type", "supergroup");
                if let Some(name) = &chat.username {
                    put(&mut json, "username", name.as_str());
                }
                if chat.forum {
                    put(&mut json, "is_forum", true);
                }
            }
        }
        json
    }

    /// What `getChat` answers.
    pub(super) fn full_chat_json(&self, place: Place) -> Value {
        let mut json = self.chat_json(place);
        put(&mut json, "max_reaction_count", 11);
        put(&mut json, "accent_color_id", 0);
        let gifts = json!({ "unlimited_gifts": false, "limited_gifts": false, "unique_gifts": false,
            "premium_subscription": false, "gifts_from_channels": false, });
        put(&mut json, "accepted_gift_types", gifts);
        if let Some(chat) = self.chats.get(&place)
            && chat.kind != ChatKind::Private
        {
            let allowed = |name: &str| (name.to_owned(), true.into());
            let permissions: Map<String, Value> = [
                "can_send_messages",
                "can_send_audios",
                "can_send_documents",
                "can_send_photos",
                "can_send_videos",
                "can_send_video_notes",
                "can_send_voice_notes",
                "can_send_polls",
                "can_send_other_messages",
                "can_add_web_page_previews",
                "can_change_info",
                "can_invite_users",
                "can_pin_messages",
                "can_manage_topics",
            ]
            .map(allowed)
            .into_iter()
            .collect();
            put(&mut json, "permissions", permissions);
        }
        json
    }

    pub(super) fn member_json(&self, account: i64, status: Status, kind: ChatKind) -> Value {
        let mut member = json!({ "user": self.user_json(account), "status": status.name() });
        match status {
            Status::Creator => put(&mut member, "is_anonymous", false),
            Status::Administrator => {
                put(&mut member, "can_be_edited", false);
                for right in [
                    "can_manage_chat",
                    "can_change_info",
                    "can_delete_messages",
                    "can_invite_users",
                    "can_restrict_members",
                    "can_pin_messages",
                    "can_manage_video_chats",
                    "can_post_stories",
                    "can_edit_stories",
                    "can_delete_stories",
                ] {
                    put(&mut member, right, true);
                }
                if kind == ChatKind::Supergroup {
                    put(&mut member, "can_manage_topics", true);
                }
                put(&mut member, "can_promote_members", false);
                put(&mut member, "is_anonymous", false);
            }
            Status::Kicked => put(&mut member, "until_date", 0),
            Status::Member | Status::Left => {}
        }
        member
    }

    /// A message as bots see it; with the one that it answers, unless it is that itself.
    pub(super) fn message_json(&self, place: Place, message: &Message, with_reply: bool) -> Value {
        let chat = self.chats.get(&place);
        let mut json = Map::new();
        json.insert("message_id".into(), message.id.into());
        json.insert("from".into(), self.user_json(message.from));
        json.insert("chat".into(), self.chat_json(place));
        json.insert("date".into(), message.date.into());
        if let Some(date) = message.edit_date {
            json.insert("edit_date".into(), date.into());
        }
        if let Some(thread) = message.thread {
            json.insert("message_thread_id".into(), thread.into());
            json.insert("is_topic_message".into(), true.into());
        }
        let answered = message.reply_to.and_then(|id| chat?.message(id));
        if let Some(answered) = answered.filter(|_| with_reply) {
            json.insert("reply_to_message".into(), self.message_json(place, answered, false));
        }
        if let Some(album) = &message.album {
            json.insert("media_group_id".into(), album.as_str().into());
        }
        match &message.content {
            Content::Text(styled) => {
                json.insert("text".into(), styled.text.as_str().into());
                if !styled.entities.is_empty() {
                    json.insert("entities".into(), styled.entities_json());
                }
            }
            Content::Media { fields, caption, .. } => {
                json.extend(fields.clone());
                if !caption.text.is_empty() {
                    json.insert("caption".into(), caption.text.as_str().into());
                    if !caption.entities.is_empty() {
                        json.insert("caption_entities".into(), caption.entities_json());
                    }
                }
            }
            Content::Plain(fields) | Content::Service(fields) => json.extend(fields.clone()),
        }
        json.extend(message.extra.clone());
        if let Some(keyboard) = &message.keyboard {
            json.insert("reply_markup".into(), keyboard.clone());
        }
        // Entities name people by id alone until they are shown.
        for key in ["entities", "caption_entities"] {
            for entity in json.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten() {
                let id = entity.pointer("/user/id").and_then(Value::as_i64);
                if let Some(id) = id.filter(|id| self.accounts.contains_key(id)) {
                    put(entity, "user", self.user_json(id));
                }
            }
        }
        Value::Object(json)
    }
}

impl Chat {
    /// What the chat's kind is called in errors.
    pub(super) fn noun(&self) -> &'static str {
        match self.kind {
            ChatKind::Private => "private",
            ChatKind::Group => "group",
            ChatKind::Supergroup => "supergroup",
        }
    }
}
