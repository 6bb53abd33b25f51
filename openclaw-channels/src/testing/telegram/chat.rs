//! A chat as somebody sees and uses it.

use std::{fmt, sync::Arc};

use openclaw_core::{
    Error, ErrorKind, Result,
    serde_json::{Value, json},
};

use super::{
    media::Media,
    shown::{Answered, Button, Shown},
    text::{self, Styled},
    world::{Content, Message, Place, Query, Shared, Status, World},
};

/// A chat as one person sees it, and writes in it. Clones are the same.
///
/// Waiting methods wait as long as it takes; put a timeout around them where nothing may come.
/// What was read by [`next_message`](Self::next_message) is read for all who are in the chat.
#[derive(Clone)]
pub struct Chat {
    shared: Arc<Shared>,
    place: Place,
    user: i64,
    thread: Option<i64>,
}

/// A press of a button.
#[derive(Clone)]
pub struct Press {
    shared: Arc<Shared>,
    id: u64,
}

impl Chat {
    pub(super) fn new(shared: Arc<Shared>, place: Place, user: i64) -> Self {
        Self { shared, place, user, thread: None }
    }

    /// A topic of the chat: what is written goes there, and only what is there is read.
    pub fn topic(&self, thread: i64) -> Self {
        Self { thread: Some(thread), ..self.clone() }
    }

    /// The id that bots see; another once the group was migrated.
    pub fn id(&self) -> i64 {
        self.shared.read(|world| world.present(self.place).chat_id())
    }

    /// Writes a message, and returns its id. Commands, mentions and addresses in it are found, as
    /// Telegram finds them.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] if the person is not in the group, or blocks the bot.
    pub fn say(&self, text: &str) -> Result<i64> {
        self.send(self.message(Content::Text(Styled::plain(text))))
    }

    /// [`say`](Self::say) with marked text, in the Bot API's HTML.
    ///
    /// # Errors
    /// As [`say`](Self::say), and [`ErrorKind::InvalidInput`] for what is no such HTML.
    pub fn say_html(&self, html: &str) -> Result<i64> {
        let styled = text::caption(html, "HTML", None);
        let styled =
            styled.map_err(|error| Error::new(ErrorKind::InvalidInput, error.description))?;
        self.send(self.message(Content::Text(styled)))
    }

    /// Answers a message.
    ///
    /// # Errors
    /// As [`say`](Self::say).
    pub fn reply(&self, to: i64, text: &str) -> Result<i64> {
        let mut message = self.message(Content::Text(Styled::plain(text)));
        message.reply_to = Some(to);
        self.send(message)
    }

    /// Sends a file.
    ///
    /// # Errors
    /// As [`say`](Self::say).
    pub fn send_media(&self, media: Media) -> Result<i64> {
        let content = self.stored(media);
        self.send(self.message(content))
    }

    /// Sends files as one album; bots get a message for each.
    ///
    /// # Errors
    /// As [`say`](Self::say).
    pub fn send_album(&self, media: impl IntoIterator<Item = Media>) -> Result<Vec<i64>> {
        let album = self.shared.read(|world| 13_000_000_000_000_000 + world.next()).to_string();
        media
            .into_iter()
            .map(|media| {
                let mut message = self.message(self.stored(media));
                message.album = Some(album.clone());
                self.send(message)
            })
            .collect()
    }

    /// Sends a place.
    ///
    /// # Errors
    /// As [`say`](Self::say).
    pub fn send_location(&self, latitude: f64, longitude: f64) -> Result<i64> {
        self.send_plain(json!({ "location": { "latitude": latitude, "longitude": longitude } }))
    }

    /// Sends somebody's phone number.
    ///
    /// # Errors
    /// As [`say`](Self::say).
    pub fn send_contact(&self, phone_number: &str, first_name: &str) -> Result<i64> {
        let contact = json!({ "phone_number": phone_number, "first_name": first_name });
        self.send_plain(json!({ "contact": contact }))
    }

    /// Sends a message with these fields of the Bot API's object, for whatever else there is.
    ///
    /// # Errors
    /// As [`say`](Self::say).
    pub fn send_plain(&self, fields: Value) -> Result<i64> {
        let fields = fields.as_object().cloned().unwrap_or_default();
        self.send(self.message(Content::Plain(fields)))
    }

    /// Changes the text or the caption of one's own message.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such message with a text.
    pub fn edit(&self, id: i64, text: &str) -> Result<()> {
        self.shared.update(|world| {
            let place = world.present(self.place);
            let date = world.date();
            let message = message_of(world, place, id)?;
            let own = message.from == self.user;
            let (Content::Text(styled) | Content::Media { caption: styled, .. }) =
                &mut message.content
            else {
                return Err(no_message(id));
            };
            if !own {
                return Err(no_message(id));
            }
            *styled = Styled::plain(text);
            message.edit_date = Some(date);
            message.edits += 1;
            world.tell(place, id, "edited_message");
            Ok(())
        })
    }

    /// Deletes a message. Bots are not told.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such message.
    pub fn delete(&self, id: i64) -> Result<()> {
        self.shared.update(|world| {
            let place = world.present(self.place);
            message_of(world, place, id)?.deleted = true;
            Ok(())
        })
    }

    /// Reacts with these emoji in place of those before; none takes them back.
    ///
    /// Bots hear of it that asked for `message_reaction`, in groups only as administrators.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such message.
    pub fn react(&self, id: i64, emoji: &[&str]) -> Result<()> {
        self.shared.update(|world| {
            let place = world.present(self.place);
            let new: Vec<Value> =
                emoji.iter().map(|emoji| json!({ "type": "emoji", "emoji": emoji })).collect();
            let message = message_of(world, place, id)?;
            let old = match new.is_empty() {
                true => message.reactions.remove(&self.user),
                false => message.reactions.insert(self.user, new.clone()),
            };
            let change = json!({
                "chat": world.chat_json(place),
                "message_id": id,
                "user": world.user_json(self.user),
                "date": world.date(),
                "old_reaction": old.unwrap_or_default(),
                "new_reaction": new,
            });
            let bots: Vec<i64> = match (place, world.chats.get(&place)) {
                (Place::Private { bot, .. }, _) => vec![bot],
                (_, Some(chat)) => {
                    let admins = chat.members.iter().filter(|(_, status)| status.is_admin());
                    admins.map(|(id, _)| *id).collect()
                }
                _ => Vec::new(),
            };
            for bot in bots {
                world.push(bot, "message_reaction", place.chat_id(), change.clone());
            }
            Ok(())
        })
    }

    /// Presses the button of a message that says `text`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such button with data for the bot.
    pub fn press(&self, id: i64, text: &str) -> Result<Press> {
        self.shared.update(|world| {
            let place = world.present(self.place);
            let message = message_of(world, place, id)?.clone();
            let shown = world.shown(place, &message);
            let button = shown.keyboard.iter().flatten().find(|button| button.text == text);
            let data = button.and_then(|button| button.data.clone()).ok_or_else(|| {
                Error::new(ErrorKind::NotFound, format!("message {id} has no button '{text}'"))
            })?;
            let query = u64::try_from(world.next()).unwrap_or(0) + 4_000_000_000_000_000_000;
            let instance = place.chat_id().unsigned_abs() + 3_000_000_000_000_000;
            let press = json!({
                "id": query.to_string(),
                "from": world.user_json(self.user),
                "message": world.message_json(place, &message, true),
                "chat_instance": instance.to_string(),
                "data": data,
            });
            let asked = world.clock.now();
            world.queries.insert(query, Query { bot: message.from, asked, answer: None });
            world.push(message.from, "callback_query", self.user, press);
            Ok(Press { shared: self.shared.clone(), id: query })
        })
    }

    /// Blocks the bot of a private chat: what it sends is refused, and it is told.
    pub fn block(&self) {
        self.set_bot(Status::Kicked);
    }

    /// Takes [`block`](Self::block) back.
    pub fn unblock(&self) {
        self.set_bot(Status::Member);
    }

    fn set_bot(&self, status: Status) {
        if let Place::Private { bot, .. } = self.place {
            self.shared.update(|world| world.set_status(self.place, bot, self.user, status));
        }
    }

    /// The person leaves the group.
    pub fn leave(&self) {
        self.shared.update(|world| {
            let place = world.present(self.place);
            let left = json!({ "left_chat_member": world.user_json(self.user) });
            world.announce(place, self.user, left);
            if let Some(chat) = world.chats.get_mut(&place) {
                chat.members.insert(self.user, Status::Left);
            }
        });
    }

    /// What the chat shows now, oldest first: what people, bots and Telegram wrote, without what was
    /// deleted.
    pub fn messages(&self) -> Vec<Shown> {
        self.shared.read(|world| self.all(world).into_iter().filter(|m| !m.deleted).collect())
    }

    /// The messages of bots alone.
    pub fn bot_messages(&self) -> Vec<Shown> {
        self.shared.read(|world| self.of_bots(world))
    }

    /// A message, also one that was deleted.
    pub fn message_by_id(&self, id: i64) -> Option<Shown> {
        self.shared.read(|world| self.all(world).into_iter().find(|message| message.id == id))
    }

    /// The next message of a bot that nobody read by this method yet. Cancel safe.
    pub async fn next_message(&self) -> Shown {
        self.shared
            .wait(|world| {
                let place = world.present(self.place);
                let chat = world.chats.get(&place)?;
                let unread = |id: i64| chat.message(id).is_some_and(|message| !message.read);
                let next = self.of_bots(world).into_iter().find(|message| unread(message.id))?;
                world.chats.get_mut(&place)?.message_mut(next.id)?.read = true;
                Some(next)
            })
            .await
    }

    /// Waits until `ready` finds what it looks for in [`messages`](Self::messages). Cancel safe.
    pub async fn until<T>(&self, mut ready: impl FnMut(&[Shown]) -> Option<T>) -> T {
        self.shared
            .wait(|world| {
                let shown: Vec<_> = self.all(world).into_iter().filter(|m| !m.deleted).collect();
                ready(&shown)
            })
            .await
    }

    /// How often a bot was shown to do this here, as in `typing`.
    pub fn actions(&self, action: &str) -> usize {
        self.shared.read(|world| self.count_actions(world, action))
    }

    /// Waits until a bot was shown to do this so often. Cancel safe.
    pub async fn acted(&self, action: &str, count: usize) {
        self.shared.wait(|world| (self.count_actions(world, action) >= count).then_some(())).await;
    }

    fn count_actions(&self, world: &World, action: &str) -> usize {
        let chat = world.chats.get(&world.present(self.place));
        let actions = chat.into_iter().flat_map(|chat| &chat.actions);
        let here = actions.filter(|(other, thread)| {
            other == action && (self.thread.is_none() || self.thread == *thread)
        });
        here.count()
    }

    fn all(&self, world: &World) -> Vec<Shown> {
        let place = world.present(self.place);
        let messages = world.chats.get(&place).into_iter().flat_map(|chat| chat.messages.values());
        let here =
            messages.filter(|message| self.thread.is_none() || message.thread == self.thread);
        here.map(|message| world.shown(place, message)).collect()
    }

    fn of_bots(&self, world: &World) -> Vec<Shown> {
        let place = world.present(self.place);
        let Some(chat) = world.chats.get(&place) else { return Vec::new() };
        let wanted = |message: &&Shown| {
            let service = chat.message(message.id).is_some_and(Message::is_service);
            !message.deleted && !service && world.bots.contains_key(&message.from)
        };
        self.all(world).iter().filter(wanted).cloned().collect()
    }

    fn message(&self, content: Content) -> Message {
        let mut message = Message::new(self.user, content);
        message.thread = self.thread;
        message
    }

    fn stored(&self, media: Media) -> Content {
        let Media { kind, upload, caption, figures } = media;
        let stored = self.shared.update(|world| {
            let number = world.next();
            world.files.add(number, kind, upload)
        });
        let fields = stored.fields(|name| figures.get(name).cloned().unwrap_or_default());
        Content::Media { kind, fields, caption: Styled::plain(&caption) }
    }

    fn send(&self, message: Message) -> Result<i64> {
        self.shared.update(|world| {
            let place = world.present(self.place);
            let denied = |why| Err(Error::new(ErrorKind::Denied, why));
            let Some(chat) = world.chats.get_mut(&place) else {
                return Err(Error::internal("the chat is gone"));
            };
            match place {
                Place::Private { bot, .. } => match chat.status(bot) {
                    Some(Status::Kicked) => return denied("the person blocks the bot; unblock it"),
                    // The first message is what starts a bot.
                    None => {
                        chat.members.insert(bot, Status::Member);
                    }
                    _ => {}
                },
                Place::Group(_) if !chat.status(self.user).is_some_and(Status::is_in) => {
                    return denied("the person is not in the group");
                }
                Place::Group(_) => {}
            }
            let id = world.add(place, message);
            world.tell(place, id, "message");
            Ok(id)
        })
    }
}

fn no_message(id: i64) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no message {id} of that kind here"))
}

fn message_of(world: &mut World, place: Place, id: i64) -> Result<&mut Message> {
    let chat = world.chats.get_mut(&place);
    chat.and_then(|chat| chat.message_mut(id)).ok_or_else(|| no_message(id))
}

impl Press {
    /// Waits until the bot answers. Cancel safe.
    pub async fn answered(&self) -> Answered {
        self.shared.wait(|world| self.look(world)).await
    }

    /// What the bot answered, if it did.
    pub fn answer(&self) -> Option<Answered> {
        self.shared.read(|world| self.look(world))
    }

    fn look(&self, world: &World) -> Option<Answered> {
        world.queries.get(&self.id)?.answer.as_ref().map(Answered::of)
    }
}

impl Shown {
    /// The button that says `text`.
    pub fn button(&self, text: &str) -> Option<&Button> {
        self.keyboard.iter().flatten().find(|button| button.text == text)
    }
}

impl fmt::Debug for Chat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chat")
            .field("chat", &self.place.chat_id())
            .field("user", &self.user)
            .field("thread", &self.thread)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Press {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Press").field("id", &self.id).finish_non_exhaustive()
    }
}
