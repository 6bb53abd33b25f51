//! Files that were sent.

use std::collections::BTreeMap;

use openclaw_core::{
    bytes::Bytes,
    serde_json::{Map, Value, json},
};

use super::args::Upload;

/// How large a file may be that a bot downloads, in bytes.
pub const MAX_DOWNLOAD: usize = 20 * 1024 * 1024;

/// How large an uploaded photo may be, in bytes.
pub const MAX_PHOTO: usize = 10 * 1024 * 1024;

/// How large any other uploaded file may be, in bytes.
pub const MAX_UPLOAD: usize = 50 * 1024 * 1024;

/// A file as it was stored.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) number: i64,
    pub(super) kind: &'static str,
    pub(super) name: Option<String>,
    pub(super) mime: Option<String>,
    pub(super) bytes: Bytes,
}

#[derive(Default)]
pub(super) struct Files(BTreeMap<i64, Stored>);

/// What a file's id begins with, by its kind.
const PREFIXES: &[(&str, &str)] = &[
    ("photo", "AgACAgIAAxkDAA"),
    ("voice", "AwACAgIAAxkDAA"),
    ("video", "BAACAgIAAxkDAA"),
    ("document", "BQACAgIAAxkDAA"),
    ("sticker", "CAACAgIAAxkDAA"),
    ("audio", "CQACAgIAAxkDAA"),
    ("animation", "CgACAgIAAxkDAA"),
    ("video_note", "DQACAgIAAxkDAA"),
];

impl Files {
    pub(super) fn add(&mut self, number: i64, kind: &'static str, upload: Upload) -> Stored {
        let Upload { name, mime, bytes } = upload;
        let stored = Stored { number, kind, name, mime, bytes };
        self.0.insert(number, stored.clone());
        stored
    }

    pub(super) fn by_id(&self, id: &str) -> Option<&Stored> {
        let (_, rest) =
            PREFIXES.iter().find_map(|(kind, prefix)| Some((kind, id.strip_prefix(prefix)?)))?;
        let number = rest.trim_end_matches("Bg").parse().ok()?;
        self.0.get(&number).filter(|stored| stored.id() == id)
    }

    pub(super) fn by_path(&self, path: &str) -> Option<&Stored> {
        self.0.values().find(|stored| stored.path() == path)
    }
}

impl Stored {
    pub(super) fn id(&self) -> String {
        let prefix = PREFIXES.iter().find(|(kind, _)| *kind == self.kind);
        let prefix = prefix.map_or("", |(_, prefix)| prefix);
        format!("{prefix}{:08}Bg", self.number)
    }

    fn unique_id(&self) -> String {
        format!("AgAD{:08}", self.number)
    }

    pub(super) fn path(&self) -> String {
        let extension = match self.kind {
            "photo" => "jpg",
            "voice" => "oga",
            "video" | "video_note" | "animation" => "mp4",
            "sticker" => "webp",
            "audio" => "mp3",
            _ => self
                .name
                .as_deref()
                .and_then(|name| name.rsplit_once('.'))
                .map_or("bin", |(_, extension)| extension),
        };
        let extension: String = extension.chars().filter(char::is_ascii_alphanumeric).collect();
        format!("{}s/file_{}.{extension}", self.kind, self.number)
    }

    /// `File`, and what every kind of file has.
    pub(super) fn json(&self) -> Map<String, Value> {
        let json = json!({
            "file_id": self.id(), "file_unique_id": self.unique_id(), "file_size": self.bytes.len(),
        });
        let Value::Object(json) = json else { return Map::new() };
        json
    }

    /// The field of a message that holds it, as in `document`. `given` are the request's own
    /// figures: duration, width and the like.
    pub(super) fn fields(&self, given: impl Fn(&str) -> Value) -> Map<String, Value> {
        let mut object = self.json();
        let mut put = |key: &str, value: Value| {
            if !value.is_null() && value != "" {
                object.insert(key.to_owned(), value);
            }
        };
        let figure = |key: &str, default: i64| match given(key) {
            Value::Null => default.into(),
            value => value,
        };
        let mime = || self.mime.clone().map_or(Value::Null, Value::String);
        let name = || self.name.clone().map_or(Value::Null, Value::String);
        match self.kind {
            "photo" => {
                // Like the server, a small size first and the largest last; the emulator does not
                // scale, so the sizes differ in name alone.
                let mut small = self.json();
                small.insert("width".into(), 90.into());
                small.insert("height".into(), 67.into());
                put("width", 1280.into());
                put("height", 960.into());
                let sizes = json!([small, object]);
                return [("photo".to_owned(), sizes)].into_iter().collect();
            }
            "voice" => {
                put("duration", figure("duration", 0));
                put("mime_type", self.mime.clone().map_or("audio/ogg".into(), Value::String));
            }
            "audio" => {
                put("duration", figure("duration", 0));
                put("performer", given("performer"));
                put("title", given("title"));
                put("file_name", name());
                put("mime_type", self.mime.clone().map_or("audio/mpeg".into(), Value::String));
            }
            "video" | "animation" => {
                put("width", figure("width", 320));
                put("height", figure("height", 240));
                put("duration", figure("duration", 0));
                put("file_name", name());
                put("mime_type", self.mime.clone().map_or("video/mp4".into(), Value::String));
            }
            "video_note" => {
                put("length", figure("length", 240));
                put("duration", figure("duration", 0));
            }
            "sticker" => {
                put("type", "regular".into());
                put("width", 512.into());
                put("height", 512.into());
                put("is_animated", false.into());
                put("is_video", false.into());
                put("emoji", given("emoji"));
            }
            _ => {
                put("file_name", name());
                put("mime_type", mime());
            }
        }
        let mut fields = Map::new();
        if self.kind == "animation" {
            fields.insert("document".to_owned(), Value::Object(object.clone()));
        }
        fields.insert(self.kind.to_owned(), Value::Object(object));
        fields
    }
}

/// Whether bytes begin as one of the images that Telegram takes for a photo.
pub(super) fn is_image(bytes: &[u8]) -> bool {
    let starts: [&[u8]; 6] =
        [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*"];
    starts.iter().any(|start| bytes.starts_with(start))
        || (bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP"))
}
