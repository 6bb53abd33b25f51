//! About how much memory a message of a history takes.

use crate::message::{Content, MediaSource, Message, Part};

/// What a message takes beside its parts and text: itself, its place in the history, its ids, and what
/// allocation adds to each of them.
const MESSAGE: usize = size_of::<Message>() + 160;
/// What a part takes beside its text; its label's sources are shared with the history's.
const PART: usize = size_of::<Part>() + 32;

pub(super) fn message_size(message: &Message) -> usize {
    MESSAGE
        + match message {
            Message::User { parts, .. } | Message::Tool { parts, .. } | Message::Note { parts } => {
                parts.iter().map(part_size).sum()
            }
            Message::Assistant { text, calls, .. } => {
                let calls = calls.iter().map(|call| call.tool.len() + value_size(&call.arguments));
                text.len() + calls.sum::<usize>()
            }
        }
}

fn part_size(part: &Part) -> usize {
    PART + match &part.content {
        Content::Text { text } => text.len(),
        Content::Media(media) => match &media.source {
            MediaSource::Inline { base64 } => base64.len(),
            _ => 0,
        },
        _ => 0,
    }
}

pub(super) fn value_size(value: &serde_json::Value) -> usize {
    let held = match value {
        serde_json::Value::String(text) => text.len(),
        serde_json::Value::Array(values) => values.iter().map(value_size).sum(),
        serde_json::Value::Object(map) => {
            map.iter().map(|(key, value)| key.len() + value_size(value)).sum()
        }
        _ => 0,
    };
    size_of::<serde_json::Value>() + held
}
