//! Which chat, topic and message a request means, and whether the bot may.

use openclaw_core::serde_json::{Value, json};

use crate::testing::telegram::{
    args::Args,
    error::{ApiError, Result, bad, forbidden},
    text,
    world::{ChatKind, Content, Message, Place, Status, World},
};

/// The topic of a forum that is there without having been created.
const GENERAL: i64 = 1;

/// The chat that `chat_id` names, whether the bot may write there or not.
pub(super) fn chat(world: &World, bot: i64, chat_id: &str) -> Result<Place> {
    let unknown = || bad("chat not found");
    let place = match chat_id.strip_prefix('@') {
        _ if chat_id.is_empty() => return Err(bad("chat_id is empty")),
        Some(name) => world.chats.iter().find_map(|(place, chat)| {
            let same = chat.username.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(name));
            same.then_some(*place)
        }),
        None => chat_id.trim().parse().ok().map(|id: i64| {
            if id > 0 { Place::Private { bot, user: id } } else { Place::Group(id) }
        }),
    };
    let place = place.ok_or_else(unknown)?;
    let chat = world.chats.get(&place).ok_or_else(unknown)?;
    // A bot knows the groups that it was in.
    if chat.migrated_to.is_none() && chat.username.is_none() && chat.status(bot).is_none() {
        return Err(unknown());
    }
    Ok(place)
}

/// The chat that `chat_id` names, if the bot may write there.
pub(super) fn writable(world: &World, bot: i64, args: &Args) -> Result<Place> {
    let place = chat(world, bot, args.text("chat_id"))?;
    may_write(world, bot, place)?;
    Ok(place)
}

fn may_write(world: &World, bot: i64, place: Place) -> Result<()> {
    let Some(chat) = world.chats.get(&place) else { return Err(bad("chat not found")) };
    if let Some(to) = chat.migrated_to {
        return Err(ApiError::migrated(to));
    }
    if let Place::Private { user, .. } = place
        && world.accounts.get(&user).is_none_or(|user| user.deactivated)
    {
        return Err(forbidden("user is deactivated"));
    }
    match (chat.status(bot).unwrap_or(Status::Left), chat.kind) {
        (Status::Kicked, ChatKind::Private) => Err(forbidden("bot was blocked by the user")),
        (Status::Kicked, _) => {
            Err(forbidden(&format!("bot was kicked from the {} chat", chat.noun())))
        }
        (Status::Left, ChatKind::Private) => {
            Err(forbidden("bot can't initiate conversation with a user"))
        }
        (Status::Left, _) => {
            Err(forbidden(&format!("bot is not a member of the {} chat", chat.noun())))
        }
        _ => Ok(()),
    }
}

/// The message that `message_id` names in a chat, called `what` in the error.
pub(super) fn message(world: &World, place: Place, id: i64, what: &str) -> Result<Message> {
    let found = world.chats.get(&place).and_then(|chat| chat.message(id));
    found.cloned().ok_or_else(|| bad(format!("{what} not found")))
}

/// Where a message goes, and what all messages have in common.
pub(super) struct Target {
    pub(super) place: Place,
    thread: Option<i64>,
    reply_to: Option<i64>,
    quote: Option<Value>,
    keyboard: Option<Value>,
    menu: Option<Value>,
    silent: bool,
    protect: bool,
}

impl Target {
    /// Reads and checks everything but the content.
    pub(super) fn read(world: &World, bot: i64, args: &Args) -> Result<Self> {
        let (keyboard, menu) = markup(args)?;
        let reply = args.json_of("reply_parameters", "reply parameters")?;
        let place = writable(world, bot, args)?;
        let mut thread = topic(world, bot, place, args.int("message_thread_id"))?;
        let (mut reply_to, mut quote) = (None, None);
        let legacy = args.int("reply_to_message_id");
        let legacy_lenient = args.flag("allow_sending_without_reply");
        let answered = match &reply {
            Some(reply) => {
                let id = reply.get("message_id").and_then(Value::as_i64);
                let lenient = reply.get("allow_sending_without_reply").and_then(Value::as_bool);
                let named = reply.get("chat_id").map(|id| id.to_string().replace('"', ""));
                if named.is_some_and(|named| named != args.text("chat_id")) {
                    return Err(bad("the emulator has no replies to other chats"));
                }
                let id = id.ok_or_else(|| bad("can't find field \"message_id\""))?;
                Some((id, lenient.unwrap_or(false)))
            }
            None => (legacy > 0).then_some((legacy, legacy_lenient)),
        };
        if let Some((id, lenient)) = answered {
            match message(world, place, id, "message to be replied") {
                Ok(message) => {
                    reply_to = Some(id);
                    thread = thread.or(message.thread);
                    quote = quoted(reply.as_ref(), &message)?;
                }
                Err(_) if lenient => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self {
            place,
            thread,
            reply_to,
            quote,
            keyboard,
            menu,
            silent: args.flag("disable_notification"),
            protect: args.flag("protect_content"),
        })
    }

    /// Sends these, as one album if there are more, within the bot's limits.
    pub(super) fn send(
        self,
        world: &mut World,
        bot: i64,
        contents: Vec<Content>,
    ) -> Result<Vec<Value>> {
        count(world, bot, self.place, contents.len())?;
        let album =
            (contents.len() > 1).then(|| (13_000_000_000_000_000 + world.next()).to_string());
        let mut sent = Vec::new();
        for content in contents {
            let mut message = Message::new(bot, content);
            message.thread = self.thread;
            message.reply_to = self.reply_to;
            message.keyboard = self.keyboard.clone();
            message.menu = self.menu.clone();
            message.silent = self.silent;
            message.album = album.clone();
            if let Some(quote) = &self.quote {
                message.extra.insert("quote".into(), quote.clone());
            }
            if self.protect {
                message.extra.insert("has_protected_content".into(), true.into());
            }
            sent.push(world.add(self.place, message));
        }
        Ok(sent.into_iter().map(|id| shown(world, self.place, id)).collect())
    }
}

/// Counts messages against the bot's limits.
pub(super) fn count(world: &mut World, bot: i64, place: Place, messages: usize) -> Result<()> {
    let limits = world.limits;
    let is_group = matches!(place, Place::Group(_));
    let Some(bot) = world.bots.get_mut(&bot) else { return Ok(()) };
    let counted = bot.sent.count(&limits, place.chat_id(), is_group, messages);
    counted.map_err(ApiError::too_many)
}

/// A message as the Bot API answers it.
pub(super) fn shown(world: &World, place: Place, id: i64) -> Value {
    let message = world.chats.get(&place).and_then(|chat| chat.message(id));
    message.map_or(Value::Null, |message| world.message_json(place, message, true))
}

/// The topic of a forum. Elsewhere there are none, and the parameter says nothing.
pub(super) fn topic(world: &World, bot: i64, place: Place, id: i64) -> Result<Option<i64>> {
    let Some(chat) = world.chats.get(&place).filter(|chat| chat.forum && id != 0) else {
        return Ok(None);
    };
    let unknown = || bad("message thread not found");
    let topic = chat.topics.get(&id).filter(|_| id != GENERAL).ok_or_else(unknown)?;
    if topic.closed && !chat.status(bot).is_some_and(Status::is_admin) {
        return Err(bad("TOPIC_CLOSED"));
    }
    Ok(Some(id))
}

fn quoted(reply: Option<&Value>, message: &Message) -> Result<Option<Value>> {
    let quote = reply.and_then(|reply| reply.get("quote")?.as_str()).unwrap_or_default();
    if quote.is_empty() {
        return Ok(None);
    }
    let text = message.styled().map_or("", |styled| styled.text.as_str());
    let at = text.find(quote).ok_or_else(|| bad("QUOTE_TEXT_INVALID"))?;
    let position = text::utf16_length(text.get(..at).unwrap_or_default());
    Ok(Some(json!({ "text": quote, "position": position, "is_manual": true })))
}

/// The inline keyboard of a request, or what else `reply_markup` asks the client to show.
pub(super) fn markup(args: &Args) -> Result<(Option<Value>, Option<Value>)> {
    let Some(markup) = args.json_of("reply_markup", "reply keyboard markup")? else {
        return Ok((None, None));
    };
    if !markup.is_object() {
        return Err(bad("object expected as reply markup"));
    }
    let Some(keyboard) = markup.get("inline_keyboard") else {
        if let Some(keyboard) = markup.get("keyboard") {
            rows(keyboard).ok_or_else(|| bad("field \"keyboard\" must be an Array of Arrays"))?;
        }
        return Ok((None, Some(markup)));
    };
    let rows = rows(keyboard).ok_or_else(|| {
        bad("field \"inline_keyboard\" of the InlineKeyboardMarkup must be an Array of Arrays")
    })?;
    let mut kept = Vec::new();
    for row in rows {
        let mut buttons = Vec::new();
        for button in row {
            check_button(button)?;
            buttons.push(button.clone());
        }
        if !buttons.is_empty() {
            kept.push(buttons);
        }
    }
    Ok(((!kept.is_empty()).then(|| json!({ "inline_keyboard": kept })), None))
}

fn rows(keyboard: &Value) -> Option<Vec<&Vec<Value>>> {
    keyboard.as_array()?.iter().map(Value::as_array).collect()
}

/// How long a button's data may be, in bytes.
const MAX_CALLBACK_DATA: usize = 64;

fn check_button(button: &Value) -> Result<()> {
    let wrong = |why: &str| bad(format!("can't parse inline keyboard button: {why}"));
    if !button.is_object() {
        return Err(wrong("InlineKeyboardButton must be an Object"));
    }
    let field = |name: &str| button.get(name).and_then(Value::as_str).unwrap_or_default();
    if button.get("text").is_none_or(|text| !text.is_string()) {
        return Err(wrong("Can't find field \"text\""));
    }
    if field("text").is_empty() {
        return Err(bad("BUTTON_TEXT_INVALID"));
    }
    let data = field("callback_data");
    if data.len() > MAX_CALLBACK_DATA {
        return Err(bad("BUTTON_DATA_INVALID"));
    }
    let address = field("url");
    if !address.is_empty() {
        let with_scheme =
            if address.contains(':') { address.to_owned() } else { format!("http://{address}") };
        let valid = url::Url::parse(&with_scheme).is_ok_and(|url| {
            url.scheme() == "tg" || url.host_str().is_some_and(|host| host.contains('.'))
        });
        return match valid {
            true => Ok(()),
            false => Err(bad(format!(
                "inline keyboard button URL '{address}' is invalid: Wrong HTTP URL"
            ))),
        };
    }
    let others = [
        "callback_game",
        "pay",
        "switch_inline_query",
        "switch_inline_query_chosen_chat",
        "switch_inline_query_current_chat",
        "login_url",
        "web_app",
        "copy_text",
    ];
    if data.is_empty() && others.iter().all(|name| button.get(name).is_none()) {
        return Err(wrong("Text buttons are unallowed in the inline keyboard"));
    }
    Ok(())
}
