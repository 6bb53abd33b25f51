//! Messages without files.

use openclaw_core::serde_json::{Map, Value, json};

use super::target::{self, Target, message as find, writable};
use crate::testing::telegram::{
    args::Args,
    error::{Result, bad},
    json::put,
    text,
    world::{Content, World},
};

fn one(target: Target, world: &mut World, bot: i64, content: Content) -> Result<Value> {
    Ok(target.send(world, bot, vec![content])?.pop().unwrap_or_default())
}

pub(super) fn message(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    let styled = text::message_text(args)?;
    let preview = preview(args)?;
    let target = Target::read(world, bot, args)?;
    let place = target.place;
    let sent = one(target, world, bot, Content::Text(styled))?;
    let Some(preview) = preview else { return Ok(sent) };
    let id = sent.get("message_id").and_then(Value::as_i64).unwrap_or(0);
    if let Some(message) = world.chats.get_mut(&place).and_then(|chat| chat.message_mut(id)) {
        message.extra.insert("link_preview_options".into(), preview);
    }
    Ok(target::shown(world, place, id))
}

/// `link_preview_options`, if they say anything.
pub(super) fn preview(args: &Args) -> Result<Option<Value>> {
    let options = args.json_of("link_preview_options", "link preview options")?;
    let options = match options {
        None if args.flag("disable_web_page_preview") => json!({ "is_disabled": true }),
        None => return Ok(None),
        Some(options) if options.is_object() => options,
        Some(_) => return Err(bad("object expected as link preview options")),
    };
    let set = |value: &Value| *value == true || value.as_str().is_some_and(|text| !text.is_empty());
    let Value::Object(options) = options else { return Ok(None) };
    let said: Map<String, Value> = options.into_iter().filter(|(_, value)| set(value)).collect();
    Ok((!said.is_empty()).then_some(Value::Object(said)))
}

/// Latitude and longitude.
fn point(args: &Args) -> Result<Value> {
    let coordinate = |name: &str, limit: f64| {
        let text = args.text(name).trim();
        if text.is_empty() {
            return Err(bad(format!("{name} is empty")));
        }
        let value: Option<f64> = text.parse().ok();
        value.filter(|value| value.abs() <= limit).ok_or_else(|| bad("invalid location specified"))
    };
    let (latitude, longitude) = (coordinate("latitude", 90.0)?, coordinate("longitude", 180.0)?);
    Ok(json!({ "latitude": latitude, "longitude": longitude }))
}

fn plain(fields: Value) -> Content {
    match fields {
        Value::Object(fields) => Content::Plain(fields),
        _ => Content::Plain(Map::new()),
    }
}

pub(super) fn location(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    let point = point(args)?;
    let target = Target::read(world, bot, args)?;
    one(target, world, bot, plain(json!({ "location": point })))
}

pub(super) fn venue(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    let point = point(args)?;
    for name in ["title", "address"] {
        if args.text(name).is_empty() {
            return Err(bad(format!("{name} is empty")));
        }
    }
    let venue = json!({
        "location": point, "title": args.text("title"), "address": args.text("address"),
    });
    let target = Target::read(world, bot, args)?;
    one(target, world, bot, plain(json!({ "location": point, "venue": venue })))
}

pub(super) fn contact(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    if args.text("phone_number").is_empty() {
        return Err(bad("field \"phone_number\" must contain a valid phone number"));
    }
    if args.text("first_name").is_empty() {
        return Err(bad("field \"first_name\" must be non-empty"));
    }
    let mut contact = json!({
        "phone_number": args.text("phone_number"), "first_name": args.text("first_name"),
    });
    for name in ["last_name", "vcard"] {
        if args.has(name) {
            put(&mut contact, name, args.text(name));
        }
    }
    let target = Target::read(world, bot, args)?;
    one(target, world, bot, plain(json!({ "contact": contact })))
}

pub(super) fn dice(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    let emoji = if args.has("emoji") { args.text("emoji") } else { "🎲" }.to_owned();
    let target = Target::read(world, bot, args)?;
    let value = world.next() % 6 + 1;
    one(target, world, bot, plain(json!({ "dice": { "emoji": emoji, "value": value } })))
}

pub(super) fn chat_action(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    const ACTIONS: &[&str] = &[
        "typing",
        "upload_photo",
        "record_video",
        "upload_video",
        "record_voice",
        "upload_voice",
        "record_audio",
        "upload_audio",
        "upload_document",
        "choose_sticker",
        "find_location",
        "pick_up_location",
        "record_video_note",
        "upload_video_note",
        "cancel",
    ];
    let action = args.text("action").to_lowercase();
    if !ACTIONS.contains(&action.as_str()) {
        return Err(bad("wrong parameter action in request"));
    }
    let place = writable(world, bot, args)?;
    let thread = target::topic(world, bot, place, args.int("message_thread_id"))?;
    if let Some(chat) = world.chats.get_mut(&place) {
        chat.actions.push((action, thread));
    }
    Ok(true.into())
}

pub(super) fn forward(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    let from = target::chat(world, bot, args.text("from_chat_id"))?;
    let original = find(world, from, args.int("message_id"), "message to forward")?;
    let target = Target::read(world, bot, args)?;
    let place = target.place;
    let origin = json!({
        "type": "user", "sender_user": world.user_json(original.from), "date": original.date,
    });
    let sent = one(target, world, bot, original.content)?;
    let id = sent.get("message_id").and_then(Value::as_i64).unwrap_or(0);
    if let Some(message) = world.chats.get_mut(&place).and_then(|chat| chat.message_mut(id)) {
        message.extra.insert("forward_origin".into(), origin);
    }
    Ok(target::shown(world, place, id))
}

pub(super) fn copy(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    let from = target::chat(world, bot, args.text("from_chat_id"))?;
    let mut original = find(world, from, args.int("message_id"), "message to copy")?;
    if let Content::Media { caption, .. } = &mut original.content
        && args.has("caption")
    {
        let entities = args.json_of("caption_entities", "entities")?;
        *caption = text::caption(args.text("caption"), args.text("parse_mode"), entities.as_ref())?;
    }
    let target = Target::read(world, bot, args)?;
    let sent = one(target, world, bot, original.content)?;
    Ok(json!({ "message_id": sent.get("message_id") }))
}
