//! How many tokens a request may be at most.

use serde_json::Value;

use crate::{
    message::{Content, Media, MediaSource},
    provider::{ChatMessage, CompletionRequest, ResponseFormat},
};

/// Tokens that a message, a call or a tool costs beyond its text, at most.
pub const MESSAGE_TOKENS: u64 = 16;
/// Tokens that a picture costs, at most, by the published rules of the large providers. Other media
/// count with their bytes where those are more.
pub const MAX_MEDIA_TOKENS: u64 = 50_000;

/// The most tokens that the input of `request` can be for any tokenizer whose tokens are at least a
/// byte long, as those of all large models are: a token a byte of text. Text is a fourth of it as a
/// rule, so this is for reservations, not for display.
///
/// ```
/// use openclaw_core::{layer::worst_case_input_tokens, provider::{ChatMessage, CompletionRequest}};
///
/// let request = CompletionRequest::new("model", vec![ChatMessage::user("hello")]);
/// assert!(worst_case_input_tokens(&request) >= 5);
/// ```
pub fn worst_case_input_tokens(request: &CompletionRequest) -> u64 {
    let mut sum = MESSAGE_TOKENS + bytes(&request.system);
    for message in &request.messages {
        sum = sum.saturating_add(MESSAGE_TOKENS).saturating_add(match message {
            ChatMessage::User { content } => contents(content),
            ChatMessage::Assistant { text, calls, state } => {
                bytes(text)
                    + state.as_ref().map_or(0, |state| json(&state.data))
                    + calls
                        .iter()
                        .map(|call| {
                            MESSAGE_TOKENS
                                + bytes(&call.id)
                                + bytes(&call.name)
                                + bytes(&call.arguments)
                        })
                        .sum::<u64>()
            }
            ChatMessage::Tool { call, content, .. } => bytes(call) + contents(content),
        });
    }
    for tool in request.tools.iter() {
        sum = sum
            .saturating_add(MESSAGE_TOKENS + bytes(&tool.name) + bytes(&tool.description))
            .saturating_add(json(&tool.input_schema));
    }
    if let Some(ResponseFormat::JsonSchema { name, schema }) = &request.response_format {
        sum = sum.saturating_add(MESSAGE_TOKENS + bytes(name) + json(schema));
    }
    sum
}

fn bytes(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}

fn json(value: &Value) -> u64 {
    bytes(&value.to_string())
}

fn contents(contents: &[Content]) -> u64 {
    contents.iter().fold(0, |sum, content| sum.saturating_add(one(content)))
}

fn one(content: &Content) -> u64 {
    match content {
        Content::Text { text } => bytes(text),
        Content::Media(media) => MESSAGE_TOKENS.saturating_add(of_media(media)),
        // The others reach a model as text, if at all: their JSON is longer than any rendering.
        other => serde_json::to_string(other).map_or(MAX_MEDIA_TOKENS, |text| bytes(&text)),
    }
}

fn of_media(media: &Media) -> u64 {
    if media.mime.starts_with("image/") {
        return MAX_MEDIA_TOKENS;
    }
    let inline = match &media.source {
        MediaSource::Inline { base64 } => bytes(base64),
        MediaSource::Remote { .. } | MediaSource::Blob { .. } => 0,
    };
    inline.max(media.bytes.unwrap_or(0)).max(MAX_MEDIA_TOKENS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_everything_that_is_sent() {
        let mut request = CompletionRequest::new("m", vec![ChatMessage::user("0123456789")]);
        let bare = worst_case_input_tokens(&request);
        assert!(bare >= 10);
        request.system = "x".repeat(100);
        assert_eq!(worst_case_input_tokens(&request), bare + 100);
        request.messages.push(ChatMessage::assistant("y".repeat(50)));
        assert_eq!(worst_case_input_tokens(&request), bare + 150 + MESSAGE_TOKENS);
        let image = Media {
            mime: "image/png".into(),
            source: MediaSource::Inline { base64: "A".repeat(1_000_000) },
            name: None,
            bytes: None,
        };
        let before = worst_case_input_tokens(&request);
        request.messages.push(ChatMessage::User { content: vec![Content::Media(image)] });
        let image = worst_case_input_tokens(&request) - before;
        assert_eq!(image, MAX_MEDIA_TOKENS + 2 * MESSAGE_TOKENS);
    }
}
