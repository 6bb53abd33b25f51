//! From Telegram's updates to the normal form.

mod entities;
mod media;

use openclaw_core::{
    AccountId, Conversation, ConversationKind, EventKey, PeerId, UserId,
    message::{Content, Inbound, InboundKind, Sender},
    time::Timestamp,
};

use super::types::{
    CallbackQuery, Chat, Entity, Message, MessageReaction, Reaction, User, full_name,
};

/// The most of an answered message that is repeated before the answer, in characters.
const MAX_EXCERPT: usize = 500;

/// The bot as Telegram knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bot {
    pub(super) id: i64,
    pub(super) username: String,
}

/// Converts the updates of one account.
pub(super) struct Reader<'a> {
    pub(super) account: &'a AccountId,
    pub(super) bot: &'a Bot,
}

impl Reader<'_> {
    /// A new message or, by the update `edit`, what an earlier one now says, in the chat that goes by
    /// `peer`. `None` if nobody says anything in it: what Telegram tells about the chat itself, other
    /// bots, a place that moves.
    pub(super) fn message(
        &self,
        peer: PeerId,
        message: &Message,
        edit: Option<i64>,
    ) -> Option<Inbound> {
        let sender = sender(message)?;
        let content = self.content(message);
        if content.is_empty() {
            return None;
        }
        let (chat, id) = (self.key_of(&message.chat), message.message_id.to_string());
        let date = message.edit_date.unwrap_or_default();
        let key = match edit {
            None => EventKey::message(&chat, &id),
            // There may be several edits in one second.
            Some(update) => EventKey::edit(&chat, &id, &format!("{date}.{update}")),
        };
        let place = self.place(peer, &message.chat, topic(message));
        let mut quoted: Vec<Content> =
            self.answered_words(message).map(Content::text).into_iter().collect();
        let mut own = content;
        if let Some(origin) = &message.forward_origin {
            // Not the words of who sent it on.
            quoted.push(attributed("forwarded from", origin.name()).into());
            quoted.append(&mut own);
        }
        let inbound = Inbound::message(key, place, sender, own).quoting(quoted);
        let mut inbound = inbound.with_message(&*id);
        if edit.is_some() {
            inbound = inbound.of_kind(InboundKind::Edit { of: id.as_str().into() });
        }
        inbound.reply_to = answered(message).map(|answered| answered.message_id.to_string().into());
        inbound.mentioned = message.chat.is_private() || self.is_addressed(message);
        inbound.sent_at = Some(seconds(message.date));
        Some(inbound)
    }

    /// A button that was pressed. `None` if it is none of ours.
    pub(super) fn button(&self, peer: PeerId, pressed: &CallbackQuery) -> Option<Inbound> {
        let (message, token) = (pressed.message.as_ref()?, pressed.data.clone()?);
        let place = self.place(peer, &message.chat, topic(message));
        let key = EventKey::event(&format!("{}/{}", self.bot.id, pressed.id));
        let nothing: [Content; 0] = [];
        let inbound = Inbound::message(key, place, person(&pressed.from), nothing);
        let mut inbound = inbound.of_kind(InboundKind::Button { token }).mentioning_us();
        inbound.reply_to = Some(message.message_id.to_string().into());
        Some(inbound)
    }

    /// The reactions that were added or, if none was, the one that was taken away.
    pub(super) fn reactions(
        &self,
        peer: &PeerId,
        change: &MessageReaction,
        update: i64,
    ) -> Vec<Inbound> {
        let sender = match (&change.user, &change.actor_chat) {
            (Some(user), _) if !user.is_bot => person(user),
            (None, Some(chat)) => chat_as_sender(chat),
            _ => return Vec::new(),
        };
        let added = change.new_reaction.iter().filter(|one| !change.old_reaction.contains(one));
        let mut emojis: Vec<String> = added.map(emoji).collect();
        if emojis.is_empty()
            && change.old_reaction.iter().any(|one| !change.new_reaction.contains(one))
        {
            emojis.push(String::new());
        }
        let inbound = |(index, emoji)| {
            let key = EventKey::event(&format!("{}/reaction/{update}/{index}", self.bot.id));
            let place = self.place(peer.clone(), &change.chat, None);
            let nothing: [Content; 0] = [];
            let of = change.message_id.to_string().into();
            let mut inbound = Inbound::message(key, place, sender.clone(), nothing)
                .of_kind(InboundKind::Reaction { of, emoji });
            inbound.mentioned = change.chat.is_private();
            inbound.sent_at = Some(seconds(change.date));
            inbound
        };
        emojis.into_iter().enumerate().map(inbound).collect()
    }

    /// True if the message names the bot, or answers it.
    pub(super) fn is_addressed(&self, message: &Message) -> bool {
        let replies = answered(message)
            .and_then(|answered| answered.from.as_ref())
            .is_some_and(|from| from.id == self.bot.id);
        if replies || message.forward_origin.is_some() {
            return replies;
        }
        let (text, entities) = said(message);
        let name = format!("@{}", self.bot.username);
        entities::spans(text, entities).into_iter().any(|span| {
            let words = text.get(span.range.clone()).unwrap_or_default();
            match span.entity.kind.as_str() {
                "mention" => words.eq_ignore_ascii_case(&name),
                "text_mention" => span.entity.user.as_ref().is_some_and(|u| u.id == self.bot.id),
                "bot_command" => words
                    .find('@')
                    .and_then(|at| words.get(at..))
                    .is_some_and(|of| of.eq_ignore_ascii_case(&name)),
                _ => false,
            }
        })
    }

    /// What the message says, whoever said it first.
    fn content(&self, message: &Message) -> Vec<Content> {
        let (text, entities) = said(message);
        let mut content = entities::content(text, entities, self.bot.id);
        content.extend(media::files(message));
        content.extend(special(message));
        content
    }

    /// The words that the message answers.
    fn answered_words(&self, message: &Message) -> Option<String> {
        let name = |from: &Message| {
            if from.from.as_ref().is_some_and(|user| user.id == self.bot.id) {
                return Some("you".to_owned());
            }
            sender(from).and_then(|sender| sender.name)
        };
        let (who, text, entities) = match (&message.quote, answered(message)) {
            (Some(quote), answered) => {
                let outside = message.external_reply.as_ref().and_then(|it| it.origin.name());
                (
                    answered.and_then(name).or(outside),
                    quote.text.as_str(),
                    quote.entities.as_slice(),
                )
            }
            (None, Some(answered)) => {
                let (text, entities) = said(answered);
                (name(answered), text, entities)
            }
            (None, None) => return None,
        };
        if text.is_empty() {
            return None;
        }
        let short = excerpt(text);
        let mut words = entities::markdown(short, &entities::spans(short, entities));
        if short.len() < text.len() {
            words.push('…');
        }
        Some(format!("{}\n{words}", attributed("in reply to", who)))
    }

    /// The chat in event keys. Another bot under the same account's name has other messages.
    fn key_of(&self, chat: &Chat) -> String {
        format!("{}/{}", self.bot.id, chat.id)
    }

    fn place(&self, peer: PeerId, chat: &Chat, topic: Option<i64>) -> Conversation {
        Conversation {
            account: self.account.clone(),
            kind: if chat.is_private() {
                ConversationKind::Direct
            } else {
                ConversationKind::Group
            },
            peer,
            thread: topic.map(|topic| topic.to_string().into()),
        }
    }
}

/// Who wrote the message, by an id that never changes. `None` for other bots and the service itself.
fn sender(message: &Message) -> Option<Sender> {
    // For these `from` is one account that stands for all of them: admins who hide, channels.
    if let Some(chat) = &message.sender_chat {
        return Some(chat_as_sender(chat));
    }
    message.from.as_ref().filter(|user| !user.is_bot).map(person)
}

fn person(user: &User) -> Sender {
    Sender { id: UserId::from(user.id.to_string()), name: Some(user.name()) }
}

fn chat_as_sender(chat: &Chat) -> Sender {
    Sender { id: UserId::from(chat.id.to_string()), name: chat.name() }
}

/// The topic that the message is in; none in the general one. In groups without topics a thread is a
/// chain of answers and no place.
fn topic(message: &Message) -> Option<i64> {
    message.message_thread_id.filter(|_| message.is_topic_message)
}

/// The message that this one answers. In a topic everything formally answers the topic's beginning.
fn answered(message: &Message) -> Option<&Message> {
    let answered = message.reply_to_message.as_deref()?;
    (Some(answered.message_id) != topic(message)).then_some(answered)
}

/// Text or caption.
fn said(message: &Message) -> (&str, &[Entity]) {
    match (&message.text, &message.caption) {
        (Some(text), _) => (text, &message.entities),
        (None, Some(caption)) => (caption, &message.caption_entities),
        (None, None) => ("", &[]),
    }
}

/// A place, a card, a poll, a die.
fn special(message: &Message) -> Option<Content> {
    if let Some(venue) = &message.venue {
        let name = [venue.title.as_str(), venue.address.as_str()];
        let name: Vec<&str> = name.into_iter().filter(|part| !part.is_empty()).collect();
        return Some(Content::Location {
            latitude: venue.location.latitude,
            longitude: venue.location.longitude,
            name: Some(name.join(", ")),
        });
    }
    if let Some(place) = &message.location {
        // Of one that moves the first place alone is told.
        let moved = place.live_period.is_some() && message.edit_date.is_some();
        let (latitude, longitude) = (place.latitude, place.longitude);
        return (!moved).then_some(Content::Location { latitude, longitude, name: None });
    }
    if let Some(contact) = &message.contact {
        let name = full_name(&contact.first_name, contact.last_name.as_deref());
        return Some(Content::Contact { name, phone: contact.phone_number.clone() });
    }
    if let Some(poll) = &message.poll {
        let options = poll.options.iter().map(|option| format!("- {}", plain(&option.text)));
        let lines: Vec<String> =
            [format!("(poll: {})", plain(&poll.question))].into_iter().chain(options).collect();
        return Some(Content::text(lines.join("\n")));
    }
    let dice = message.dice.as_ref()?;
    Some(Content::text(format!("({} {})", dice.emoji, dice.value)))
}

/// Text without marks, as Markdown on one line.
fn plain(text: &str) -> String {
    entities::markdown(text, &[]).replace('\n', " ")
}

/// Who said it, before words of somebody else.
fn attributed(how: &str, who: Option<String>) -> String {
    format!("({how} {}:)", plain(&who.unwrap_or_else(|| "somebody".to_owned())))
}

/// The beginning of the text.
fn excerpt(text: &str) -> &str {
    let end = text.char_indices().nth(MAX_EXCERPT).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or(text)
}

fn emoji(reaction: &Reaction) -> String {
    match (&reaction.emoji, &reaction.custom_emoji_id) {
        (Some(emoji), _) => emoji.clone(),
        (None, Some(_)) => "a custom emoji".to_owned(),
        (None, None) => "⭐".to_owned(),
    }
}

fn seconds(date: i64) -> Timestamp {
    Timestamp(date.saturating_mul(1_000))
}

#[cfg(test)]
mod tests;
