//! Files beside words: pictures, recordings, documents, albums.

use openclaw_core::{
    ErrorKind,
    bytes::Bytes,
    channel::ChannelContext,
    message::{Media, MediaSource},
    serde_json::{Value, json},
};

use super::{Arguments, add_words, refuse};
use crate::{
    markdown::Rendered,
    telegram::{Telegram, error::Failure, multipart::Form, types::SentMessage},
};

/// The largest picture that is sent as one, in bytes; a larger one is sent as a document.
const MAX_PHOTO_BYTES: usize = 10 << 20;

/// How Telegram shows a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Photo,
    Animation,
    Video,
    Voice,
    Audio,
    Document,
}

/// A file that is to be sent.
struct Outgoing {
    kind: Kind,
    source: Source,
    name: String,
}

enum Source {
    /// Telegram has it.
    Id(String),
    Bytes(Bytes),
}

impl Kind {
    /// By what its media type says; the size is not known of what Telegram has.
    fn of(mime: &str, bytes: Option<usize>) -> Self {
        match mime.to_ascii_lowercase().as_str() {
            "image/jpeg" | "image/png" | "image/webp"
                if bytes.is_none_or(|bytes| bytes <= MAX_PHOTO_BYTES) =>
            {
                Self::Photo
            }
            "image/gif" => Self::Animation,
            "video/mp4" => Self::Video,
            "audio/ogg" | "audio/opus" => Self::Voice,
            "audio/mpeg" | "audio/mp3" | "audio/mp4" | "audio/x-m4a" | "audio/m4a" => Self::Audio,
            _ => Self::Document,
        }
    }

    /// The kind's name as a field, and as a type in an album.
    fn field(self) -> &'static str {
        match self {
            Self::Photo => "photo",
            Self::Animation => "animation",
            Self::Video => "video",
            Self::Voice => "voice",
            Self::Audio => "audio",
            Self::Document => "document",
        }
    }

    fn method(self) -> &'static str {
        match self {
            Self::Photo => "sendPhoto",
            Self::Animation => "sendAnimation",
            Self::Video => "sendVideo",
            Self::Voice => "sendVoice",
            Self::Audio => "sendAudio",
            Self::Document => "sendDocument",
        }
    }
}

impl Telegram {
    /// Sends files in one message, or in one album.
    pub(super) async fn send_files(
        &self,
        cx: &ChannelContext,
        arguments: Arguments,
        media: &[&Media],
        words: Rendered,
    ) -> Result<Vec<SentMessage>, Failure> {
        let mut files = Vec::with_capacity(media.len());
        for one in media {
            files.push(self.outgoing(cx, one).await?);
        }
        let marked = self.send_files_as(cx, arguments.clone(), &files, &words).await;
        let Err(Failure::Refused(refusal)) = &marked else { return marked };
        // In both cases nothing was sent.
        if refusal.is_no_picture() {
            for file in &mut files {
                file.kind = Kind::Document;
            }
            return self.send_files_as(cx, arguments, &files, &words).await;
        }
        if refusal.is_unparsable() {
            tracing::error!(account = %self.account, refusal = refusal.description, "Telegram cannot read our HTML; the caption is sent without marks");
            let bare = Rendered { text: crate::telegram::html::escaped(&words.plain), ..words };
            return self.send_files_as(cx, arguments, &files, &bare).await;
        }
        marked
    }

    async fn send_files_as(
        &self,
        cx: &ChannelContext,
        arguments: Arguments,
        files: &[Outgoing],
        words: &Rendered,
    ) -> Result<Vec<SentMessage>, Failure> {
        match files {
            [file] => Ok(vec![self.send_file(cx, arguments, file, words).await?]),
            files => self.send_album(cx, arguments, files, words).await,
        }
    }

    async fn send_file(
        &self,
        cx: &ChannelContext,
        mut arguments: Arguments,
        file: &Outgoing,
        words: &Rendered,
    ) -> Result<SentMessage, Failure> {
        if !words.text.is_empty() {
            add_words(&mut arguments, "caption", words);
        }
        let (field, method) = (file.kind.field(), file.kind.method());
        match &file.source {
            Source::Id(id) => {
                arguments.insert(field.to_owned(), id.as_str().into());
                self.client.call(cx, method, &arguments).await
            }
            Source::Bytes(bytes) => {
                let mut form = form(&arguments)?;
                form.file(field, &file.name, bytes);
                self.client.upload(cx, method, form).await
            }
        }
    }

    async fn send_album(
        &self,
        cx: &ChannelContext,
        mut arguments: Arguments,
        files: &[Outgoing],
        words: &Rendered,
    ) -> Result<Vec<SentMessage>, Failure> {
        let all = |of: &[Kind]| files.iter().all(|file| of.contains(&file.kind));
        // Documents and recordings stand only among their like.
        let as_is = all(&[Kind::Photo, Kind::Video]) || all(&[Kind::Audio]);
        let mut items = Vec::with_capacity(files.len());
        for (index, file) in files.iter().enumerate() {
            let kind = if as_is { file.kind } else { Kind::Document };
            let media = match &file.source {
                Source::Id(id) => id.clone(),
                Source::Bytes(_) => format!("attach://file{index}"),
            };
            let mut item = Arguments::new();
            item.insert("type".to_owned(), kind.field().into());
            item.insert("media".to_owned(), media.into());
            if index == 0 && !words.text.is_empty() {
                add_words(&mut item, "caption", words);
            }
            items.push(Value::from(item));
        }
        arguments.insert("media".to_owned(), json!(items));
        let mut form = form(&arguments)?;
        for (index, file) in files.iter().enumerate() {
            if let Source::Bytes(bytes) = &file.source {
                form.file(&format!("file{index}"), &file.name, bytes);
            }
        }
        self.client.upload(cx, "sendMediaGroup", form).await
    }

    async fn outgoing(&self, cx: &ChannelContext, media: &Media) -> Result<Outgoing, Failure> {
        let (source, bytes) = match &media.source {
            MediaSource::Remote { handle } => {
                // Telegram would fetch an address.
                let is_id = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                if handle.is_empty() || !handle.chars().all(is_id) {
                    let why = "the file is not Telegram's own; its bytes are needed to send it";
                    return Err(refuse(ErrorKind::InvalidInput, why));
                }
                (Source::Id(handle.clone()), None)
            }
            _ => {
                let read = cx.media(media, self.limits.upload_bytes).await;
                let bytes = read.map_err(Failure::NotSent)?;
                let length = bytes.len();
                (Source::Bytes(bytes), Some(length))
            }
        };
        let kind = Kind::of(&media.mime, bytes);
        let name = media.name.clone().unwrap_or_else(|| format!("file.{}", ending(&media.mime)));
        Ok(Outgoing { kind, source, name })
    }
}

/// The arguments as fields: texts as they are, the rest as JSON.
fn form(arguments: &Arguments) -> Result<Form, Failure> {
    let mut form = Form::new().map_err(Failure::NotSent)?;
    for (name, value) in arguments {
        match value {
            Value::String(text) => form.field(name, text),
            other => form.field(name, &other.to_string()),
        }
    }
    Ok(form)
}

/// The ending of a file's name that people expect.
fn ending(mime: &str) -> &str {
    match mime {
        "image/jpeg" => "jpg",
        "image/svg+xml" => "svg",
        "audio/mpeg" => "mp3",
        "text/plain" => "txt",
        "text/markdown" => "md",
        _ => match mime.split_once('/') {
            Some((_, kind))
                if kind.len() <= 5 && kind.bytes().all(|b| b.is_ascii_alphanumeric()) =>
            {
                kind
            }
            _ => "bin",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_says_how_it_is_shown() {
        let table = [
            ("image/png", Some(1), Kind::Photo),
            ("image/png", Some(MAX_PHOTO_BYTES + 1), Kind::Document),
            ("image/jpeg", None, Kind::Photo),
            ("image/svg+xml", Some(1), Kind::Document),
            ("image/gif", Some(1), Kind::Animation),
            ("video/mp4", Some(1), Kind::Video),
            ("video/webm", Some(1), Kind::Document),
            ("audio/ogg", Some(1), Kind::Voice),
            ("AUDIO/MPEG", Some(1), Kind::Audio),
            ("application/pdf", Some(1), Kind::Document),
        ];
        for (mime, bytes, kind) in table {
            assert_eq!(Kind::of(mime, bytes), kind, "{mime}");
        }
        assert_eq!(
            (ending("image/jpeg"), ending("application/pdf"), ending("x")),
            ("jpg", "pdf", "bin")
        );
        assert_eq!(ending("application/octet-stream"), "bin");
    }
}
