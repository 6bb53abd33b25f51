//! From the normal form to Telegram's methods.

mod files;
mod keyboard;

use openclaw_core::{
    Conversation, Error, ErrorKind, MessageId, Result,
    channel::ChannelContext,
    message::{Action, Content, Media, Receipt, Sent},
    serde_json::{Map, Value, json},
};

use serde::de::DeserializeOwned;

use super::{
    Telegram,
    error::{Failure, outcome},
    html,
    types::SentMessage,
};
use crate::markdown::Rendered;

/// The arguments of a call.
type Arguments = Map<String, Value>;

/// Stands where there are buttons and nothing else, as Telegram shows none without a text.
const POINTER: &str = "👇";

impl Telegram {
    /// Performs an action.
    pub(super) async fn act(
        &self,
        cx: &ChannelContext,
        to: &Conversation,
        action: &Action,
    ) -> Result<Sent> {
        let chat = self.shared.chats.current(cx, &to.peer).await?;
        let done = self.act_in(cx, chat, to, action).await;
        let moved = match &done {
            Err(Failure::Refused(refusal)) => refusal.parameters.migrate_to_chat_id,
            _ => None,
        };
        match moved {
            // It was refused, so nothing was sent; the group goes on elsewhere.
            Some(new) if new != chat => {
                self.shared.chats.moved(cx, chat, new).await?;
                outcome(self.act_in(cx, new, to, action).await)
            }
            _ => outcome(done),
        }
    }

    async fn act_in(
        &self,
        cx: &ChannelContext,
        chat: i64,
        to: &Conversation,
        action: &Action,
    ) -> Result<Sent, Failure> {
        let mut arguments = Arguments::new();
        arguments.insert("chat_id".to_owned(), chat.into());
        match action {
            Action::Send { content, reply_to, .. } => {
                add_topic(&mut arguments, to)?;
                if let Some(message) = reply_to {
                    let reply = json!({
                        "message_id": number(message)?,
                        "allow_sending_without_reply": true,
                    });
                    arguments.insert("reply_parameters".to_owned(), reply);
                }
                let messages = self.send(cx, arguments, content).await?;
                let ids = messages.into_iter().map(|sent| sent.message_id.to_string().into());
                Ok(Sent::Yes(Receipt { messages: ids.collect() }))
            }
            Action::Edit { message, content } => {
                arguments.insert("message_id".to_owned(), number(message)?.into());
                self.edit(cx, arguments, content).await?;
                Ok(Sent::Yes(Receipt::message(message.clone())))
            }
            Action::Delete { message } => {
                arguments.insert("message_id".to_owned(), number(message)?.into());
                match self.client.call::<bool>(cx, "deleteMessage", &arguments).await {
                    Err(Failure::Refused(refusal)) if refusal.is_already_deleted() => {}
                    deleted => drop(deleted?),
                }
                Ok(Sent::Yes(Receipt::default()))
            }
            Action::React { message, emoji } => {
                arguments.insert("message_id".to_owned(), number(message)?.into());
                let reaction = match emoji.as_str() {
                    "" => json!([]),
                    emoji => json!([{ "type": "emoji", "emoji": emoji }]),
                };
                arguments.insert("reaction".to_owned(), reaction);
                let _: bool = self.client.call(cx, "setMessageReaction", &arguments).await?;
                Ok(Sent::Yes(Receipt::default()))
            }
            Action::Typing => {
                add_topic(&mut arguments, to)?;
                arguments.insert("action".to_owned(), "typing".into());
                let _: bool = self.client.call(cx, "sendChatAction", &arguments).await?;
                Ok(Sent::Yes(Receipt::default()))
            }
            _ => Err(refuse(ErrorKind::Unsupported, "Telegram has no such action")),
        }
    }

    async fn send(
        &self,
        cx: &ChannelContext,
        mut arguments: Arguments,
        content: &[Content],
    ) -> Result<Vec<SentMessage>, Failure> {
        if let Some(keyboard) = keyboard::keyboard(content)? {
            arguments.insert("reply_markup".to_owned(), keyboard);
        }
        let media: Vec<&Media> = content
            .iter()
            .filter_map(|one| match one {
                Content::Media(media) => Some(media),
                _ => None,
            })
            .collect();
        if !media.is_empty() {
            return self.send_files(cx, arguments, &media, self.words(content)).await;
        }
        for one in content {
            match one {
                Content::Location { latitude, longitude, name } => {
                    arguments.insert("latitude".to_owned(), (*latitude).into());
                    arguments.insert("longitude".to_owned(), (*longitude).into());
                    let Some(name) = name else {
                        return self.once(cx, "sendLocation", &arguments).await;
                    };
                    arguments.insert("title".to_owned(), name.as_str().into());
                    let place = format!("{latitude}, {longitude}");
                    arguments.insert("address".to_owned(), place.into());
                    return self.once(cx, "sendVenue", &arguments).await;
                }
                Content::Contact { name, phone } => {
                    arguments.insert("first_name".to_owned(), name.as_str().into());
                    arguments.insert("phone_number".to_owned(), phone.as_str().into());
                    return self.once(cx, "sendContact", &arguments).await;
                }
                _ => {}
            }
        }
        let mut words = self.words(content);
        if words.plain.trim().is_empty() {
            if !arguments.contains_key("reply_markup") {
                return Err(refuse(ErrorKind::InvalidInput, "there is nothing to say"));
            }
            POINTER.clone_into(&mut words.text);
            POINTER.clone_into(&mut words.plain);
        }
        self.without_previews(&mut arguments);
        let sent: SentMessage = self.say(cx, "sendMessage", "text", arguments, words).await?;
        Ok(vec![sent])
    }

    async fn edit(
        &self,
        cx: &ChannelContext,
        mut arguments: Arguments,
        content: &[Content],
    ) -> Result<(), Failure> {
        if let Some(keyboard) = keyboard::keyboard(content)? {
            arguments.insert("reply_markup".to_owned(), keyboard);
        }
        let words = self.words(content);
        let edited = if words.plain.trim().is_empty() {
            self.client.call::<Value>(cx, "editMessageReplyMarkup", &arguments).await
        } else {
            let caption = arguments.clone();
            self.without_previews(&mut arguments);
            let (method, copy) = ("editMessageText", words.clone());
            match self.say::<Value>(cx, method, "text", arguments, copy).await {
                Err(Failure::Refused(refusal)) if refusal.is_caption() => {
                    self.say(cx, "editMessageCaption", "caption", caption, words).await
                }
                edited => edited,
            }
        };
        match edited {
            Err(Failure::Refused(refusal)) if refusal.is_not_modified() => Ok(()),
            edited => edited.map(drop),
        }
    }

    /// Calls a method with words in this field; if Telegram cannot read their marks, without them.
    async fn say<T: DeserializeOwned>(
        &self,
        cx: &ChannelContext,
        method: &str,
        field: &str,
        mut arguments: Arguments,
        words: Rendered,
    ) -> Result<T, Failure> {
        add_words(&mut arguments, field, &words);
        match self.client.call(cx, method, &arguments).await {
            Err(Failure::Refused(refusal)) if refusal.is_unparsable() => {
                tracing::error!(account = %self.account, method, refusal = refusal.description, "Telegram cannot read our HTML; the text is sent without marks");
                arguments.remove("parse_mode");
                arguments.insert(field.to_owned(), words.plain.into());
                self.client.call(cx, method, &arguments).await
            }
            done => done,
        }
    }

    /// Calls a method that sends one message.
    async fn once(
        &self,
        cx: &ChannelContext,
        method: &str,
        arguments: &Arguments,
    ) -> Result<Vec<SentMessage>, Failure> {
        let sent = self.client.call(cx, method, arguments).await?;
        Ok(vec![sent])
    }

    fn words(&self, content: &[Content]) -> Rendered {
        let words = html::text(content);
        if !words.losses.is_empty() {
            tracing::debug!(account = %self.account, losses = ?words.losses, "not all of a text can be shown");
        }
        words
    }

    fn without_previews(&self, arguments: &mut Arguments) {
        if !self.link_previews {
            arguments.insert("link_preview_options".to_owned(), json!({ "is_disabled": true }));
        }
    }
}

fn add_words(arguments: &mut Arguments, field: &str, words: &Rendered) {
    arguments.insert(field.to_owned(), words.text.as_str().into());
    arguments.insert("parse_mode".to_owned(), "HTML".into());
}

fn add_topic(arguments: &mut Arguments, to: &Conversation) -> Result<(), Failure> {
    if let Some(thread) = &to.thread {
        let topic: i64 = thread.as_str().parse().map_err(|_| {
            refuse(
                ErrorKind::InvalidInput,
                format!("{thread} is no Telegram topic: expected its number"),
            )
        })?;
        arguments.insert("message_thread_id".to_owned(), topic.into());
    }
    Ok(())
}

fn number(message: &MessageId) -> Result<i64, Failure> {
    message.as_str().parse().map_err(|_| {
        refuse(
            ErrorKind::InvalidInput,
            format!("{message} is no message of Telegram: expected its number"),
        )
    })
}

/// What is not even tried.
fn refuse(kind: ErrorKind, why: impl Into<String>) -> Failure {
    Failure::NotSent(Error::new(kind, why.into()))
}
