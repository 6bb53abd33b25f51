//! Files, up and down.

use openclaw_core::serde_json::{self, Map, Value};

use super::target::Target;
use crate::testing::telegram::{
    args::Args,
    error::{ApiError, Result, bad},
    files::{MAX_DOWNLOAD, MAX_PHOTO, MAX_UPLOAD, Stored, is_image},
    text::{self, Styled},
    world::{Content, World},
};

pub(super) fn photo(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    send(world, bot, args, "photo")
}

pub(super) fn document(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    send(world, bot, args, "document")
}

pub(super) fn audio(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    send(world, bot, args, "audio")
}

pub(super) fn voice(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    send(world, bot, args, "voice")
}

pub(super) fn video(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    send(world, bot, args, "video")
}

pub(super) fn animation(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    send(world, bot, args, "animation")
}

pub(super) fn video_note(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    send(world, bot, args, "video_note")
}

pub(super) fn sticker(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    send(world, bot, args, "sticker")
}

fn send(world: &mut World, bot: i64, args: &Args, kind: &'static str) -> Result<Value> {
    fits(args)?;
    let caption = match kind {
        "sticker" | "video_note" => Styled::default(),
        _ => {
            let entities = args.json_of("caption_entities", "entities")?;
            text::caption(args.text("caption"), args.text("parse_mode"), entities.as_ref())?
        }
    };
    let target = Target::read(world, bot, args)?;
    let stored = file(world, args, args.text(kind), args.file(kind).is_some(), kind)?;
    let fields = stored.fields(|name| figure(args.text(name)));
    let content = Content::Media { kind, fields, caption };
    Ok(target.send(world, bot, vec![content])?.pop().unwrap_or_default())
}

/// A figure of a file as it was sent: a number, a text, or nothing.
fn figure(text: &str) -> Value {
    match text {
        "" => Value::Null,
        text => text.parse::<i64>().map_or_else(|_| text.into(), Value::from),
    }
}

fn fits(args: &Args) -> Result<()> {
    if args.file_bytes() > MAX_UPLOAD {
        return Err(ApiError::new(413, "Request Entity Too Large"));
    }
    Ok(())
}

/// The file that a request names: uploaded under its own name or by `attach://`, or sent before.
fn file(
    world: &mut World,
    args: &Args,
    name: &str,
    uploaded: bool,
    kind: &'static str,
) -> Result<Stored> {
    let upload = if uploaded {
        args.file(kind)
    } else if let Some(part) = name.strip_prefix("attach://") {
        args.file(part)
    } else if name.is_empty() {
        return Err(bad(format!("there is no {} in the request", kind.replace('_', " "))));
    } else if name.contains("://") {
        return Err(bad("failed to get HTTP URL content: the emulator fetches none"));
    } else {
        let known = world.files.by_id(name);
        let known = known.ok_or_else(|| bad("wrong file identifier/HTTP URL specified"))?;
        if known.kind != kind {
            return Err(bad(format!("can't use file of type {} as {kind}", known.kind)));
        }
        return Ok(known.clone());
    };
    let upload = upload.cloned().ok_or_else(|| bad("wrong file identifier/HTTP URL specified"))?;
    let size = upload.bytes.len();
    if size == 0 {
        return Err(bad("file must be non-empty"));
    }
    if kind == "photo" {
        if size > MAX_PHOTO {
            return Err(bad(format!(
                "file of size {size} bytes is too big for a photo; the maximum size is {MAX_PHOTO} \
                 bytes"
            )));
        }
        if !is_image(&upload.bytes) {
            return Err(bad("IMAGE_PROCESS_FAILED"));
        }
    }
    let number = world.next();
    Ok(world.files.add(number, kind, upload))
}

pub(super) fn group(world: &mut World, bot: i64, args: &Args) -> Result<Value> {
    fits(args)?;
    let media = args.json_of("media", "media")?.unwrap_or_default();
    let Value::Array(media) = media else {
        return Err(bad("expected an Array of InputMedia"));
    };
    match media.len() {
        0 => return Err(bad("there are no messages to send")),
        11.. => return Err(bad("too many messages to send as an album")),
        _ => {}
    }
    let wrong = |why: &str| bad(format!("can't parse InputMedia: {why}"));
    let field = |item: &Value, name: &str| {
        item.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let mut kinds = Vec::new();
    for item in &media {
        kinds.push(match field(item, "type").as_str() {
            "photo" => "photo",
            "video" => "video",
            "document" => "document",
            "audio" => "audio",
            _ => return Err(wrong("type of the media is invalid or can't be in an album")),
        });
    }
    for alone in ["document", "audio"] {
        if kinds.contains(&alone) && kinds.iter().any(|kind| *kind != alone) {
            let name = if alone == "audio" { "Audio" } else { "Document" };
            return Err(bad(format!("{name} can't be mixed with other media types")));
        }
    }
    let target = Target::read(world, bot, args)?;
    let mut contents = Vec::new();
    for (item, kind) in media.iter().zip(kinds) {
        let name = field(item, "media");
        if name.is_empty() {
            return Err(wrong("Field \"media\" must be non-empty"));
        }
        let caption = text::caption(
            &field(item, "caption"),
            &field(item, "parse_mode"),
            item.get("caption_entities"),
        )?;
        let stored = file(world, args, &name, false, kind)?;
        let fields = stored.fields(|name| item.get(name).cloned().unwrap_or_default());
        contents.push(Content::Media { kind, fields, caption });
    }
    Ok(target.send(world, bot, contents)?.into())
}

pub(super) fn get_file(world: &mut World, _: i64, args: &Args) -> Result<Value> {
    let wrong = || bad("invalid file_id");
    let stored = world.files.by_id(args.text("file_id")).ok_or_else(wrong)?;
    if stored.bytes.len() > MAX_DOWNLOAD {
        return Err(bad("file is too big"));
    }
    let mut json: Map<String, Value> = stored.json();
    json.insert("file_path".into(), stored.path().into());
    serde_json::to_value(json).map_err(|_| wrong())
}
