//! Message text as the server takes it in: markup to entities, trimming, limits, and the entities
//! that it finds by itself.

mod found;
mod html;
mod markdown;

use openclaw_core::serde_json::{Map, Value, json};

use super::{
    args::Args,
    error::{Result, bad},
};

/// How long a message's text may be after parsing, in Unicode code points, as TDLib counts it.
pub const MAX_TEXT: usize = 4096;

/// How long a caption may be after parsing, in Unicode code points.
pub const MAX_CAPTION: usize = 1024;

/// How long a text may be before parsing, in bytes.
const MAX_RAW_BYTES: usize = 1 << 15;

/// A part of a text that has a meaning; offset and length in UTF-16 units.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entity {
    /// Its type, as in `bold`.
    pub kind: String,
    /// Where it begins.
    pub offset: usize,
    /// How long it is.
    pub length: usize,
    /// What else the Bot API says of it: `url`, `language`, `user`, `custom_emoji_id`.
    pub extra: Map<String, Value>,
}

impl Entity {
    pub(super) fn new(kind: &str, offset: usize, length: usize) -> Self {
        Self { kind: kind.to_owned(), offset, length, extra: Map::new() }
    }

    fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(key.to_owned(), value.into());
        self
    }

    fn end(&self) -> usize {
        self.offset + self.length
    }

    pub(super) fn json(&self) -> Value {
        let mut object = self.extra.clone();
        object.insert("type".into(), self.kind.clone().into());
        object.insert("offset".into(), self.offset.into());
        object.insert("length".into(), self.length.into());
        Value::Object(object)
    }
}

/// A text with its entities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Styled {
    pub(super) text: String,
    pub(super) entities: Vec<Entity>,
}

impl Styled {
    /// Each entity as `kind offset length`, with its language or address.
    #[cfg(test)]
    fn told(&self) -> String {
        let told = self.entities.iter().map(|entity| {
            let extra = ["language", "url"]
                .iter()
                .find_map(|key| entity.extra.get(*key)?.as_str())
                .map_or_else(String::new, |value| format!(" {value}"));
            format!("{} {} {}{extra}", entity.kind, entity.offset, entity.length)
        });
        told.collect::<Vec<_>>().join(", ")
    }

    /// What a person types: the entities are those that the server finds.
    pub(super) fn plain(text: &str) -> Self {
        let mut styled = Self { text: text.to_owned(), entities: Vec::new() };
        styled.entities = found::entities(&styled.text, &styled.entities);
        styled
    }

    pub(super) fn entities_json(&self) -> Value {
        self.entities.iter().map(Entity::json).collect()
    }
}

pub(super) fn utf16_length(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// A message's text.
pub(super) fn message_text(args: &Args) -> Result<Styled> {
    let text = args.text("text");
    if text.is_empty() {
        return Err(bad("message text is empty"));
    }
    let entities = args.json_of("entities", "entities").unwrap_or_default();
    let styled = formatted(text, args.text("parse_mode"), entities.as_ref())?;
    if styled.text.is_empty() {
        return Err(bad("text must be non-empty"));
    }
    if styled.text.chars().count() > MAX_TEXT {
        return Err(bad("message is too long"));
    }
    Ok(styled)
}

/// A caption, which may be empty.
pub(super) fn caption(text: &str, parse_mode: &str, entities: Option<&Value>) -> Result<Styled> {
    let styled = formatted(text, parse_mode, entities)?;
    if styled.text.chars().count() > MAX_CAPTION {
        return Err(bad("message caption is too long"));
    }
    Ok(styled)
}

fn formatted(text: &str, parse_mode: &str, entities: Option<&Value>) -> Result<Styled> {
    if text.len() > MAX_RAW_BYTES {
        return Err(bad("text is too long"));
    }
    let parsed = match parse_mode.to_lowercase().as_str() {
        "" | "none" => {
            let entities = given(entities)?;
            within(text, &entities)?;
            Ok(Styled { text: text.to_owned(), entities })
        }
        "html" => html::parse(text),
        "markdownv2" => markdown::parse(text),
        "markdown" => {
            return Err(bad("the emulator has no legacy Markdown; use MarkdownV2 or HTML"));
        }
        _ => return Err(bad("unsupported parse_mode")),
    };
    let parsed = parsed.map_err(|why| bad(format!("can't parse entities: {why}")))?;
    let mut styled = trim(parsed);
    styled.entities = found::entities(&styled.text, &styled.entities);
    Ok(styled)
}

/// Entities that the request lists itself.
fn given(entities: Option<&Value>) -> Result<Vec<Entity>> {
    let Some(Value::Array(list)) = entities else { return Ok(Vec::new()) };
    let mut entities = Vec::new();
    for value in list {
        let number = |name| value.get(name).and_then(Value::as_u64).map(|n| n as usize);
        let kind = value.get("type").and_then(Value::as_str);
        let (Some(kind), Some(offset), Some(length)) = (kind, number("offset"), number("length"))
        else {
            return Err(bad(
                "can't parse MessageEntity: expected an object with type, offset and length",
            ));
        };
        // What the server finds by itself is not taken from the request.
        if matches!(
            kind,
            "bold"
                | "italic"
                | "underline"
                | "strikethrough"
                | "spoiler"
                | "blockquote"
                | "expandable_blockquote"
                | "code"
                | "pre"
                | "text_link"
                | "text_mention"
                | "custom_emoji"
        ) && length > 0
        {
            let mut entity = Entity::new(kind, offset, length);
            for key in ["url", "language", "user", "custom_emoji_id"] {
                if let Some(value) = value.get(key) {
                    entity.extra.insert(key.to_owned(), value.clone());
                }
            }
            entities.push(entity);
        }
    }
    sort(&mut entities);
    Ok(entities)
}

fn within(text: &str, entities: &[Entity]) -> Result<()> {
    let length = utf16_length(text);
    for entity in entities {
        let offset = entity.offset;
        if entity.offset > length {
            return Err(bad(format!(
                "entity begins after the end of the text at UTF-16 offset {offset}"
            )));
        }
        if entity.end() > length {
            return Err(bad(format!(
                "entity beginning at UTF-16 offset {offset} ends after the end of the text at \
                 UTF-16 offset {}",
                entity.end()
            )));
        }
    }
    Ok(())
}

/// Outer entities before inner ones.
fn sort(entities: &mut [Entity]) {
    entities.sort_by_key(|entity| (entity.offset, std::cmp::Reverse(entity.length)));
}

/// Drops carriage returns and control characters, and white space at both ends; entities move along.
fn trim(styled: Styled) -> Styled {
    // Where each UTF-16 unit of the old text stands in the new one.
    let mut places = Vec::with_capacity(styled.text.len() + 1);
    let mut text = String::with_capacity(styled.text.len());
    let mut units = 0;
    for character in styled.text.chars() {
        let character = match character {
            '\r' => None,
            '\n' => Some('\n'),
            '\0'..='\u{1f}' => Some(' '),
            '\u{feff}' | '\u{202a}'..='\u{202e}' => None,
            other => Some(other),
        };
        let width = character.map_or(1, char::len_utf16);
        places
            .extend((0..width).map(|unit| if character.is_some() { units + unit } else { units }));
        if let Some(character) = character {
            text.push(character);
            units += width;
        }
    }
    places.push(units);
    let start = text.len() - text.trim_start().len();
    let left = utf16_length(text.get(..start).unwrap_or_default());
    let trimmed = text.trim();
    let length = utf16_length(trimmed);
    let place = |offset: usize| {
        let moved = places.get(offset).copied().unwrap_or(units);
        moved.saturating_sub(left).min(length)
    };
    let mut entities = Vec::new();
    for mut entity in styled.entities {
        let (begin, end) = (place(entity.offset), place(entity.end()));
        if end > begin {
            (entity.offset, entity.length) = (begin, end - begin);
            entities.push(entity);
        }
    }
    sort(&mut entities);
    Styled { text: trimmed.to_owned(), entities }
}

/// The entity of a link: to a person, to a page, or none if the address is no address.
fn link(address: &str, offset: usize, length: usize) -> Option<Entity> {
    let address = address.trim();
    if let Some(id) = address.strip_prefix("tg://user?id=") {
        let id: i64 = id.parse().ok().filter(|id| *id > 0)?;
        return Some(Entity::new("text_mention", offset, length).with("user", json!({ "id": id })));
    }
    let with_scheme = if address.contains("://") || address.starts_with("mailto:") {
        address.to_owned()
    } else {
        format!("http://{address}")
    };
    let url = url::Url::parse(&with_scheme).ok()?;
    let known = matches!(url.scheme(), "http" | "https" | "ftp" | "tg" | "ton" | "tonsite");
    // Telegram links to a host that has a domain, or to its own scheme.
    let host = url.host_str().unwrap_or_default();
    let reachable = matches!(url.scheme(), "tg" | "ton") || host.contains(['.', ':']);
    (known && reachable).then(|| Entity::new("text_link", offset, length).with("url", url.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_trimmed_and_its_entities_move() {
        let styled = formatted(" \n<b> a\r</b>b ", "HTML", None).unwrap();
        assert_eq!(styled.text, "ab");
        assert_eq!(styled.entities, [Entity::new("bold", 0, 1)]);
    }

    #[test]
    fn limits_count_code_points_after_parsing() {
        let mut args = Args::of_json(Map::new());
        for (text, ok) in [
            (format!("<b>{}</b>", "😀".repeat(MAX_TEXT)), true),
            ("😀".repeat(MAX_TEXT + 1), false),
        ] {
            let fields = json!({ "text": text, "parse_mode": "HTML" });
            let Value::Object(fields) = fields else { unreachable!() };
            args = Args::of_json(fields);
            assert_eq!(message_text(&args).is_ok(), ok);
        }
        assert!(message_text(&args).unwrap_err().description.contains("message is too long"));
    }

    #[test]
    fn entities_of_the_request_stay_within_the_text() {
        let entities = json!([{ "type": "bold", "offset": 1, "length": 3 }]);
        assert_eq!(
            formatted("a😀", "", Some(&entities)).unwrap_err().description,
            "Bad Request: entity beginning at UTF-16 offset 1 ends after the end of the text at \
             UTF-16 offset 4"
        );
        let entities = json!([{ "type": "bold", "offset": 1, "length": 2 }]);
        let styled = formatted("a😀", "", Some(&entities)).unwrap();
        assert_eq!(styled.entities, [Entity::new("bold", 1, 2)]);
    }
}
