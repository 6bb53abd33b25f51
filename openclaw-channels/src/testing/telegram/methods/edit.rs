//! What happens to messages that are there.

use openclaw_core::serde_json::{Value, json};

use super::{
    send,
    target::{self, count, markup, message as find, shown, writable},
};
use crate::testing::telegram::{
    args::Args,
    error::{Result, bad},
    text::{self, Styled},
    updates::CALLBACK_KEPT,
    world::{ChatKind, Content, Message, Place, Status, World},
};

const NOT_MODIFIED: &str = "message is not modified: specified new message content and reply \
     markup are exactly the same as a current content and reply markup of the message";

/// For how long a bot may delete messages, in seconds.
const DELETABLE: i64 = 48 * 60 * 60;

/// The message that an edit is of: one that the bot wrote.
fn own(world: &World, bot: i64, args: &Args) -> Result<(Place, Message)> {
    let place = writable(world, bot, args)?;
    let message = find(world, place, args.int("message_id"), "message to edit")?;
    if message.from != bot || message.is_service() {
        return Err(bad("message can't be edited"));
    }
    Ok((place, message))
}

/// Puts the edited message in the place of the one that was, unless they are the same.
fn replace(world: &mut World, bot: i64, place: Place, mut message: Message) -> Result<Value> {
    let date = world.date();
    let id = message.id;
    let before = find(world, place, id, "message to edit")?;
    if before.content == message.content
        && before.keyboard == message.keyboard
        && before.extra == message.extra
    {
        return Err(bad(NOT_MODIFIED));
    }
    count(world, bot, place, 1)?;
    // A change of buttons alone is not shown as an edit.
    if before.content != message.content {
        message.edit_date = Some(date);
    }
    message.edits += 1;
    if let Some(chat) = world.chats.get_mut(&place) {
        chat.messages.insert(id, message);
    }
    Ok(shown(world, place, id))
}

pub(super) fn text(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    let styled = text::message_text(args)?;
    let preview = send::preview(args)?;
    let (keyboard, _) = markup(args)?;
    let (place, mut message) = own(world, bot, args)?;
    if !matches!(message.content, Content::Text(_)) {
        return Err(bad("there is no text in the message to edit"));
    }
    message.content = Content::Text(styled);
    // An edit without a keyboard takes it away.
    message.keyboard = keyboard;
    match preview {
        Some(preview) => message.extra.insert("link_preview_options".into(), preview),
        None => message.extra.remove("link_preview_options"),
    };
    replace(world, bot, place, message)
}

pub(super) fn caption(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    let entities = args.json_of("caption_entities", "entities")?;
    let new: Styled =
        text::caption(args.text("caption"), args.text("parse_mode"), entities.as_ref())?;
    let (keyboard, _) = markup(args)?;
    let (place, mut message) = own(world, bot, args)?;
    let Content::Media { caption, .. } = &mut message.content else {
        return Err(bad("there is no caption in the message to edit"));
    };
    *caption = new;
    message.keyboard = keyboard;
    replace(world, bot, place, message)
}

pub(super) fn reply_markup(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    let (keyboard, _) = markup(args)?;
    let (place, mut message) = own(world, bot, args)?;
    message.keyboard = keyboard;
    replace(world, bot, place, message)
}

pub(super) fn delete(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    if args.text("chat_id").is_empty() {
        return Err(bad("chat identifier is not specified"));
    }
    let id = args.int("message_id");
    if id == 0 {
        return Err(bad("message identifier is not specified"));
    }
    let place = writable(world, bot, args)?;
    remove(world, bot, place, id)?;
    Ok(true.into())
}

pub(super) fn delete_many(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    let ids = args.json_of("message_ids", "message_ids")?;
    let ids: Option<Vec<i64>> =
        ids.as_ref().and_then(|ids| ids.as_array()?.iter().map(Value::as_i64).collect());
    let ids = ids.ok_or_else(|| bad("message identifiers are not specified"))?;
    if ids.len() > 100 {
        return Err(bad("too many message identifiers specified"));
    }
    let place = writable(world, bot, args)?;
    // What is not there is skipped.
    for id in ids {
        match remove(world, bot, place, id) {
            Err(error) if !error.description.ends_with("not found") => return Err(error),
            _ => {}
        }
    }
    Ok(true.into())
}

fn remove(world: &mut World, bot: i64, place: Place, id: i64) -> Result<()> {
    let message = find(world, place, id, "message to delete")?;
    let date = world.date();
    let Some(chat) = world.chats.get_mut(&place) else { return Ok(()) };
    let is_admin = chat.status(bot).is_some_and(Status::is_admin);
    let own = message.from == bot || chat.kind == ChatKind::Private;
    if !own && !is_admin {
        return Err(bad("message can't be deleted"));
    }
    if date - message.date >= DELETABLE && !is_admin {
        return Err(bad("message can't be deleted for everyone"));
    }
    if let Some(message) = chat.messages.get_mut(&id) {
        message.deleted = true;
    }
    Ok(())
}

/// What people and bots may react with, as the Bot API lists it.
const REACTIONS: &[&str] = &[
    "❤",
    "👍",
    "👎",
    "🔥",
    "🥰",
    "👏",
    "😁",
    "🤔",
    "🤯",
    "😱",
    "🤬",
    "😢",
    "🎉",
    "🤩",
    "🤮",
    "💩",
    "🙏",
    "👌",
    "🕊",
    "🤡",
    "🥱",
    "🥴",
    "😍",
    "🐳",
    "❤‍🔥",
    "🌚",
    "🌭",
    "💯",
    "🤣",
    "⚡",
    "🍌",
    "🏆",
    "💔",
    "🤨",
    "😐",
    "🍓",
    "🍾",
    "💋",
    "🖕",
    "😈",
    "😴",
    "😭",
    "🤓",
    "👻",
    "👨‍💻",
    "👀",
    "🎃",
    "🙈",
    "😇",
    "😨",
    "🤝",
    "✍",
    "🤗",
    "🫡",
    "🎅",
    "🎄",
    "☃",
    "💅",
    "🤪",
    "🗿",
    "🆒",
    "💘",
    "🙉",
    "🦄",
    "😘",
    "💊",
    "🙊",
    "😎",
    "👾",
    "🤷‍♂",
    "🤷",
    "🤷‍♀",
    "😡",
];

pub(super) fn react(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    let list = args.json_of("reaction", "reaction types")?.unwrap_or_else(|| json!([]));
    let Value::Array(list) = list else {
        return Err(bad("expected an Array of ReactionType"));
    };
    for reaction in &list {
        let kind = reaction.get("type").and_then(Value::as_str);
        if !reaction.is_object() || !matches!(kind, Some("emoji" | "custom_emoji" | "paid")) {
            return Err(bad("can't parse ReactionType: invalid reaction type specified"));
        }
    }
    let place = target::chat(world, bot, args.text("chat_id"))?;
    let id = args.int("message_id");
    find(world, place, id, "message to react")?;
    for reaction in &list {
        let emoji = reaction.get("emoji").and_then(Value::as_str).unwrap_or_default();
        if !REACTIONS.contains(&emoji) {
            return Err(bad("REACTION_INVALID"));
        }
    }
    // A bot has one reaction a message.
    if list.len() > 1 {
        return Err(bad("REACTIONS_TOO_MANY"));
    }
    if let Some(message) = world.chats.get_mut(&place).and_then(|chat| chat.message_mut(id)) {
        if list.is_empty() {
            message.reactions.remove(&bot);
        } else {
            message.reactions.insert(bot, list);
        }
    }
    Ok(true.into())
}

/// How long the text of an answer to a button may be, in characters.
const MAX_ANSWER: usize = 200;

pub(super) fn answer_callback_query(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    let late = || bad("query is too old and response timeout expired or query ID is invalid");
    let now = world.clock.now();
    let id: u64 = args.text("callback_query_id").parse().map_err(|_| late())?;
    if args.text("text").chars().count() > MAX_ANSWER {
        return Err(bad("MESSAGE_TOO_LONG"));
    }
    let query = world.queries.get_mut(&id).filter(|query| query.bot == bot).ok_or_else(late)?;
    if query.answer.is_some() || now.since(query.asked) >= CALLBACK_KEPT {
        return Err(late());
    }
    let answer = json!({
        "text": args.text("text"), "show_alert": args.flag("show_alert"), "url": args.text("url"),
    });
    query.answer = answer.as_object().cloned();
    Ok(true.into())
}
