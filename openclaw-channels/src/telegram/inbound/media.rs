//! Files that came with a message.

use openclaw_core::message::{Content, Media, MediaSource};

use crate::telegram::types::{File, Message, Sticker};

/// The files of a message, as handles to fetch them by.
pub(super) fn files(message: &Message) -> Vec<Content> {
    // An animation is given as a document as well.
    let document = message.document.as_ref().filter(|_| message.animation.is_none());
    let files = [
        (largest(&message.photo), "image/jpeg"),
        (message.animation.as_ref(), "video/mp4"),
        (message.video.as_ref(), "video/mp4"),
        (message.video_note.as_ref(), "video/mp4"),
        (message.voice.as_ref(), "audio/ogg"),
        (message.audio.as_ref(), "audio/mpeg"),
        (document, "application/octet-stream"),
    ];
    let files = files.into_iter().filter_map(|(file, mime)| Some(media(file?, mime)));
    files.chain(message.sticker.iter().flat_map(sticker)).collect()
}

/// A photo comes in several sizes.
fn largest(sizes: &[File]) -> Option<&File> {
    sizes.iter().max_by_key(|size| size.width.saturating_mul(size.height))
}

fn media(file: &File, mime: &str) -> Content {
    let given = file.mime_type.as_deref().filter(|given| given.contains('/'));
    Content::Media(Media {
        mime: given.unwrap_or(mime).to_owned(),
        source: MediaSource::Remote { handle: file.file_id.clone() },
        name: file.file_name.clone(),
        bytes: file.file_size,
    })
}

/// A sticker, and the emoji that it stands for.
fn sticker(sticker: &Sticker) -> Vec<Content> {
    let mime = match (sticker.is_animated, sticker.is_video) {
        (true, _) => "application/x-tgsticker",
        (_, true) => "video/webm",
        _ => "image/webp",
    };
    let emoji = sticker.emoji.as_deref().map(|emoji| Content::text(format!("(sticker: {emoji})")));
    emoji.into_iter().chain([media(&sticker.file, mime)]).collect()
}
