//! Messages as clients of OpenAI's API write them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Deserialize;

use super::{Failure, Refused, Said, invalid};
use crate::{
    message::{Content, Media, MediaSource},
    provider::ToolCall,
    server::state::Server,
    session::keep_file,
};

/// How many pictures a request can hold.
const MAX_PICTURES: usize = 8;
/// The pictures that are taken.
const PICTURES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/// What a message says: a text, or parts.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Body {
    Text(String),
    Parts(Vec<PartIn>),
}

#[derive(Deserialize)]
pub(super) struct PartIn {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
    refusal: Option<String>,
    image_url: Option<Address>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Address {
    Plain(String),
    Of { url: String },
}

/// A message of chat completions.
#[derive(Deserialize)]
pub(super) struct MessageIn {
    role: String,
    content: Option<Body>,
    tool_calls: Option<Vec<CallIn>>,
    tool_call_id: Option<String>,
}

#[derive(Deserialize)]
struct CallIn {
    id: String,
    function: FunctionIn,
}

#[derive(Deserialize)]
struct FunctionIn {
    name: String,
    arguments: String,
}

/// Reads messages, and keeps the pictures in them.
pub(super) struct Reader<'a> {
    server: &'a Server,
    pictures: usize,
    /// True if pictures stay in the messages.
    inline: bool,
}

impl<'a> Reader<'a> {
    /// `inline` leaves pictures where they are, for messages that are not stored.
    pub(super) fn new(server: &'a Server, inline: bool) -> Self {
        Self { server, pictures: 0, inline }
    }

    pub(super) async fn messages(&mut self, all: Vec<MessageIn>) -> Result<Vec<Said>, Refused> {
        let mut said = Vec::with_capacity(all.len());
        for (index, message) in all.into_iter().enumerate() {
            let param = format!("messages[{index}]");
            said.push(self.message(message, &param).await?);
        }
        Ok(said)
    }

    async fn message(&mut self, message: MessageIn, param: &str) -> Result<Said, Refused> {
        let MessageIn { role, content, tool_calls, tool_call_id } = message;
        let calls = tool_calls.unwrap_or_default();
        if role != "assistant" && !calls.is_empty() {
            return Err(invalid(param, "only an assistant calls tools"));
        }
        Ok(match role.as_str() {
            "system" | "developer" => Said::System(text_of(content, param)?),
            "user" => {
                let content = self.content(content, param).await?;
                if content.is_empty() {
                    return Err(invalid(param, "a user's message is empty"));
                }
                Said::User(content)
            }
            "assistant" => {
                let calls = calls.into_iter().map(|call| ToolCall {
                    id: call.id,
                    name: call.function.name,
                    arguments: call.function.arguments,
                });
                Said::Assistant { text: text_of(content, param)?, calls: calls.collect() }
            }
            "tool" => {
                let why = "a tool's message names the call with tool_call_id";
                let call = tool_call_id.ok_or_else(|| invalid(param, why))?;
                Said::Tool { call, content: self.content(content, param).await? }
            }
            _ => {
                return Err(invalid(
                    param,
                    "role must be system, developer, user, assistant or tool",
                ));
            }
        })
    }

    /// Text and pictures, in their order.
    pub(super) async fn content(
        &mut self,
        body: Option<Body>,
        param: &str,
    ) -> Result<Vec<Content>, Refused> {
        let parts = match body {
            None => return Ok(Vec::new()),
            Some(Body::Text(text)) if text.is_empty() => return Ok(Vec::new()),
            Some(Body::Text(text)) => return Ok(vec![Content::text(text)]),
            Some(Body::Parts(parts)) => parts,
        };
        let mut content = Vec::with_capacity(parts.len());
        for part in parts {
            content.push(match (part.kind.as_str(), part.text, part.image_url) {
                ("text" | "input_text" | "output_text", Some(text), _) => Content::text(text),
                ("image_url" | "input_image", _, Some(address)) => {
                    let (Address::Plain(url) | Address::Of { url }) = address;
                    self.picture(&url, param).await?
                }
                _ => {
                    let why = format!("parts of the type {:?} are not taken here", part.kind);
                    return Err(invalid(param, &why));
                }
            });
        }
        Ok(content)
    }

    async fn picture(&mut self, url: &str, param: &str) -> Result<Content, Refused> {
        self.pictures += 1;
        if self.pictures > MAX_PICTURES {
            return Err(invalid(param, "a request holds at most 8 pictures"));
        }
        let data = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
        let Some((mime, data)) = data else {
            let why = "a picture is given as data:image/…;base64,…; addresses are not fetched";
            return Err(invalid(param, why));
        };
        if !PICTURES.contains(&mime) {
            return Err(invalid(param, "a picture is PNG, JPEG, GIF or WebP"));
        }
        let bytes =
            STANDARD.decode(data).map_err(|_| invalid(param, "the picture is no base64"))?;
        let size = bytes.len() as u64;
        let hub = &self.server.handle.hub;
        let source = match hub.blobs.as_deref().filter(|_| !self.inline) {
            Some(blobs) => {
                let kept = keep_file(blobs, &hub.faults, Bytes::from(bytes)).await;
                MediaSource::Blob { id: kept.map_err(|error| Refused::from(Failure::from(error)))? }
            }
            None => MediaSource::Inline { base64: data.to_owned() },
        };
        Ok(Content::Media(Media { mime: mime.to_owned(), source, name: None, bytes: Some(size) }))
    }
}

/// Text alone.
pub(super) fn text_of(body: Option<Body>, param: &str) -> Result<String, Refused> {
    match body {
        None => Ok(String::new()),
        Some(Body::Text(text)) => Ok(text),
        Some(Body::Parts(parts)) => {
            let mut all = Vec::with_capacity(parts.len());
            for part in parts {
                match part.text.or(part.refusal) {
                    Some(text) if part.image_url.is_none() => all.push(text),
                    _ => return Err(invalid(param, "only texts can stand here")),
                }
            }
            Ok(all.join("\n"))
        }
    }
}
