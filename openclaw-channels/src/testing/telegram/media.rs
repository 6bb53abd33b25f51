//! Files that people send.

use std::fmt;

use openclaw_core::{
    bytes::Bytes,
    serde_json::{Map, Value},
};

use super::args::Upload;

/// A file to send.
///
/// ```
/// use openclaw_channels::testing::telegram::Media;
///
/// let voice = Media::voice(&b"OggS"[..]).with("duration", 3);
/// let page = Media::document("bill.pdf", &b"%PDF-1.7"[..]).mime("application/pdf").caption("Here");
/// # let _ = (voice, page);
/// ```
#[derive(Clone)]
#[must_use]
pub struct Media {
    pub(super) kind: &'static str,
    pub(super) upload: Upload,
    pub(super) caption: String,
    pub(super) figures: Map<String, Value>,
}

impl Media {
    fn new(kind: &'static str, mime: &str, bytes: impl Into<Bytes>) -> Self {
        let mime = (!mime.is_empty()).then(|| mime.to_owned());
        let upload = Upload { name: None, mime, bytes: bytes.into() };
        Self { kind, upload, caption: String::new(), figures: Map::new() }
    }

    /// A photo.
    pub fn photo(bytes: impl Into<Bytes>) -> Self {
        Self::new("photo", "image/jpeg", bytes)
    }

    /// A file of any type.
    pub fn document(name: &str, bytes: impl Into<Bytes>) -> Self {
        Self::new("document", "", bytes).name(name)
    }

    /// A recorded voice, as Ogg Opus.
    pub fn voice(bytes: impl Into<Bytes>) -> Self {
        Self::new("voice", "audio/ogg", bytes)
    }

    /// Music.
    pub fn audio(bytes: impl Into<Bytes>) -> Self {
        Self::new("audio", "audio/mpeg", bytes)
    }

    /// A video.
    pub fn video(bytes: impl Into<Bytes>) -> Self {
        Self::new("video", "video/mp4", bytes)
    }

    /// A round video.
    pub fn video_note(bytes: impl Into<Bytes>) -> Self {
        Self::new("video_note", "", bytes)
    }

    /// A GIF, which Telegram keeps as a silent video.
    pub fn animation(bytes: impl Into<Bytes>) -> Self {
        Self::new("animation", "video/mp4", bytes)
    }

    /// A sticker.
    pub fn sticker(emoji: &str, bytes: impl Into<Bytes>) -> Self {
        Self::new("sticker", "", bytes).with("emoji", emoji)
    }

    /// With the name of a file.
    pub fn name(mut self, name: &str) -> Self {
        self.upload.name = Some(name.to_owned());
        self
    }

    /// With another MIME type.
    pub fn mime(mut self, mime: &str) -> Self {
        self.upload.mime = Some(mime.to_owned());
        self
    }

    /// With a caption.
    pub fn caption(mut self, caption: &str) -> Self {
        self.caption = caption.to_owned();
        self
    }

    /// With another field of the Bot API's object, as in `duration`.
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.figures.insert(field.to_owned(), value.into());
        self
    }
}

impl fmt::Debug for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Media")
            .field("kind", &self.kind)
            .field("bytes", &self.upload.bytes.len())
            .finish_non_exhaustive()
    }
}
