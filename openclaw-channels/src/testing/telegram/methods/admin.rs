//! Chats, members, topics and commands.

use openclaw_core::serde_json::{Value, json};

use super::target::{self, chat, writable};
use crate::testing::telegram::{
    args::Args,
    error::{ApiError, Result, bad, forbidden},
    world::{ChatKind, Place, Status, Topic, World},
};

/// A chat that the bot may look into.
fn readable(world: &World, bot: i64, args: &Args) -> Result<Place> {
    let place = chat(world, bot, args.text("chat_id"))?;
    let Some(chat) = world.chats.get(&place) else { return Err(bad("chat not found")) };
    if let Some(to) = chat.migrated_to {
        return Err(ApiError::migrated(to));
    }
    match chat.status(bot) {
        _ if chat.kind == ChatKind::Private => Ok(place),
        Some(Status::Kicked) => {
            Err(forbidden(&format!("bot was kicked from the {} chat", chat.noun())))
        }
        Some(Status::Left) | None if chat.username.is_none() => {
            Err(forbidden(&format!("bot is not a member of the {} chat", chat.noun())))
        }
        _ => Ok(place),
    }
}

pub(super) fn get_chat(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    // A group that was migrated can still be looked at.
    let place = chat(world, bot, args.text("chat_id"))?;
    match readable(world, bot, args) {
        Err(error) if error.code == 403 => Err(error),
        _ => Ok(world.full_chat_json(place)),
    }
}

pub(super) fn get_chat_member(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    let place = readable(world, bot, args)?;
    let user = args.int("user_id");
    if user <= 0 {
        return Err(bad("invalid user_id specified"));
    }
    if !world.accounts.contains_key(&user) {
        return Err(bad("user not found"));
    }
    let Some(chat) = world.chats.get(&place) else { return Err(bad("chat not found")) };
    let status = match (chat.kind, place) {
        (ChatKind::Private, Place::Private { bot, user: person })
            if user == bot || user == person =>
        {
            Status::Member
        }
        (ChatKind::Private, _) => return Err(bad("member not found")),
        _ => chat.status(user).unwrap_or(Status::Left),
    };
    Ok(world.member_json(user, status, chat.kind))
}

pub(super) fn get_chat_member_count(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    let place = readable(world, bot, args)?;
    let Some(chat) = world.chats.get(&place) else { return Err(bad("chat not found")) };
    Ok(match chat.kind {
        ChatKind::Private => 2.into(),
        _ => chat.members.values().filter(|status| status.is_in()).count().into(),
    })
}

pub(super) fn get_chat_administrators(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    let place = readable(world, bot, args)?;
    let Some(chat) = world.chats.get(&place) else { return Err(bad("chat not found")) };
    if chat.kind == ChatKind::Private {
        return Err(bad("there are no administrators in the private chat"));
    }
    // Other bots are left out.
    let admins = chat
        .members
        .iter()
        .filter(|(id, status)| status.is_admin() && (**id == bot || !world.bots.contains_key(id)));
    Ok(admins.map(|(id, status)| world.member_json(*id, *status, chat.kind)).collect())
}

pub(super) fn leave_chat(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    let place = readable(world, bot, args)?;
    if matches!(place, Place::Private { .. }) {
        return Err(bad("chat member status can't be changed in private chats"));
    }
    world.announce(place, bot, json!({ "left_chat_member": world.user_json(bot) }));
    world.set_status(place, bot, bot, Status::Left);
    Ok(true.into())
}

/// Where commands are kept: a scope and a language.
fn scope(world: &World, bot: i64, args: &Args) -> Result<(String, String)> {
    let scope = args.json_of("scope", "BotCommandScope")?;
    let scope = scope.unwrap_or_else(|| json!({ "type": "default" }));
    let wrong = |why: &str| bad(format!("can't parse BotCommandScope: {why}"));
    if !scope.is_object() {
        return Err(wrong("BotCommandScope must be an Object"));
    }
    let kind = scope.get("type").and_then(Value::as_str).unwrap_or_default();
    match kind {
        "default" | "all_private_chats" | "all_group_chats" | "all_chat_administrators" => {}
        "chat" | "chat_administrators" | "chat_member" => {
            let id = scope.get("chat_id").map(|id| id.to_string().replace('"', ""));
            let id = id.ok_or_else(|| wrong("Empty chat_id specified"))?;
            chat(world, bot, &id)?;
            if kind == "chat_member" && scope.get("user_id").and_then(Value::as_i64).is_none() {
                return Err(wrong("Invalid user_id specified"));
            }
        }
        _ => return Err(wrong("Unsupported type specified")),
    }
    Ok((scope.to_string(), args.text("language_code").to_owned()))
}

pub(super) fn set_my_commands(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    let commands = args.json_of("commands", "commands")?;
    let commands = commands.unwrap_or_else(|| json!([]));
    let Value::Array(list) = &commands else {
        return Err(bad("expected an Array of BotCommand"));
    };
    let mut kept = Vec::new();
    for command in list {
        let field = |name: &str| command.get(name).and_then(Value::as_str).map(str::trim);
        let (Some(name), Some(description)) = (field("command"), field("description")) else {
            return Err(bad("can't parse BotCommand: expected command and description"));
        };
        let name = name.trim_start_matches('/');
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !(1..=32).contains(&name.len()) || !name.chars().all(allowed) {
            return Err(bad("BOT_COMMAND_INVALID"));
        }
        if !(1..=256).contains(&description.chars().count()) {
            return Err(bad("BOT_COMMAND_DESCRIPTION_INVALID"));
        }
        kept.push(json!({ "command": name, "description": description }));
    }
    if kept.len() > 100 {
        return Err(bad("BOT_COMMANDS_TOO_MUCH"));
    }
    let key = scope(world, bot, args)?;
    if let Some(bot) = world.bots.get_mut(&bot) {
        bot.commands.insert(key, kept.into());
    }
    Ok(true.into())
}

pub(super) fn get_my_commands(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    let key = scope(world, bot, args)?;
    let commands = world.bots.get(&bot).and_then(|bot| bot.commands.get(&key).cloned());
    Ok(commands.unwrap_or_else(|| json!([])))
}

pub(super) fn delete_my_commands(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    let key = scope(world, bot, args)?;
    if let Some(bot) = world.bots.get_mut(&bot) {
        bot.commands.remove(&key);
    }
    Ok(true.into())
}

/// The colours that Telegram gives topics; the first is the default.
const ICON_COLORS: &[i64] = &[0x6F_B9F0, 0xFF_D67E, 0xCB_86DB, 0x8E_EE98, 0xFF_93B2, 0xFB_6F5F];

/// The forum of a request, where the bot has the right to manage topics.
fn forum(world: &World, bot: i64, args: &Args, what: &str) -> Result<Place> {
    let place = writable(world, bot, args)?;
    let Some(chat) = world.chats.get(&place).filter(|chat| chat.forum) else {
        return Err(bad("the chat is not a forum"));
    };
    if !chat.status(bot).is_some_and(Status::is_admin) {
        return Err(bad(format!("not enough rights to {what}")));
    }
    Ok(place)
}

pub(super) fn create_forum_topic(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    let place = forum(world, bot, args, "create a topic")?;
    let name = args.text("name").trim().to_owned();
    if !(1..=128).contains(&name.chars().count()) {
        return Err(bad("TOPIC_TITLE_EMPTY"));
    }
    let color = args.int("icon_color");
    let color = match (color, ICON_COLORS) {
        (0, [first, ..]) => *first,
        (color, colors) if colors.contains(&color) => color,
        _ => return Err(bad("TOPIC_ICON_COLOR_INVALID")),
    };
    let id = world.create_topic(place, bot, &name, color);
    Ok(json!({ "message_thread_id": id, "name": name, "icon_color": color }))
}

impl World {
    /// A topic has the id of the message that says it was created.
    pub(in crate::testing::telegram) fn create_topic(
        &mut self,
        place: Place,
        by: i64,
        name: &str,
        icon_color: i64,
    ) -> i64 {
        let icon_color = if icon_color == 0 { 0x6F_B9F0 } else { icon_color };
        let created = json!({ "forum_topic_created": { "name": name, "icon_color": icon_color } });
        let id = self.add_service(place, by, created);
        if let Some(chat) = self.chats.get_mut(&place) {
            let topic = Topic { name: name.to_owned(), closed: false };
            chat.topics.insert(id, topic);
            if let Some(message) = chat.message_mut(id) {
                message.thread = Some(id);
            }
        }
        self.tell(place, id, "message");
        id
    }
}

/// The topic of a request.
fn topic(world: &World, bot: i64, args: &Args, what: &str) -> Result<(Place, i64)> {
    let place = forum(world, bot, args, what)?;
    let id = args.int("message_thread_id");
    match target::topic(world, bot, place, id)? {
        Some(id) => Ok((place, id)),
        None => Err(bad("message thread not found")),
    }
}

pub(super) fn edit_forum_topic(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    let (place, id) = topic(world, bot, args, "edit the topic")?;
    let name = args.text("name").trim().to_owned();
    let Some(topic) = world.chats.get_mut(&place).and_then(|chat| chat.topics.get_mut(&id)) else {
        return Err(bad("message thread not found"));
    };
    if name.is_empty() || topic.name == name {
        return Err(bad("TOPIC_NOT_MODIFIED"));
    }
    topic.name.clone_from(&name);
    let edited = json!({ "forum_topic_edited": { "name": name } });
    world.announce_in(place, bot, Some(id), edited);
    Ok(true.into())
}

fn set_closed(world: &mut World, bot: i64, args: &Args, closed: bool) -> Result<Value> {
    let (place, id) = topic(world, bot, args, "close or open the topic")?;
    let Some(topic) = world.chats.get_mut(&place).and_then(|chat| chat.topics.get_mut(&id)) else {
        return Err(bad("message thread not found"));
    };
    if topic.closed == closed {
        return Err(bad("TOPIC_NOT_MODIFIED"));
    }
    topic.closed = closed;
    let what = if closed { "forum_topic_closed" } else { "forum_topic_reopened" };
    world.announce_in(place, bot, Some(id), json!({ what: {} }));
    Ok(true.into())
}

pub(super) fn close_forum_topic(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    set_closed(world, bot, args, true)
}

pub(super) fn reopen_forum_topic(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    set_closed(world, bot, args, false)
}

pub(super) fn delete_forum_topic(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    let (place, id) = topic(world, bot, args, "delete the topic")?;
    if let Some(chat) = world.chats.get_mut(&place) {
        chat.topics.remove(&id);
        let messages = chat.messages.values_mut();
        for message in messages.filter(|message| message.thread == Some(id)) {
            message.deleted = true;
        }
    }
    Ok(true.into())
}
