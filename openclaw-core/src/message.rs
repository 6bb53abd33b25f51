//! The one normal form of what is said: content, parts, messages, what arrived and what leaves.
//!
//! [`Content`] is what channels, tools and models make; it has no label. A [`Part`] is content with
//! the label that the gateway gave it. Only the gateway makes parts.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    blobs::Blobs,
    error::{Error, ErrorKind, Result},
    id::{CallId, Conversation, EventKey, MessageId, OutboundKey, UserId},
    label::Label,
    time::Timestamp,
};

/// A piece of a message.
///
/// Text is Markdown (CommonMark); each channel converts it to and from its own form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Content {
    /// Markdown text.
    Text {
        /// The text.
        text: String,
    },
    /// A picture, a recording, a file.
    Media(Media),
    /// A place on Earth.
    Location {
        /// Degrees north, -90 to 90.
        latitude: f64,
        /// Degrees east, -180 to 180.
        longitude: f64,
        /// A name for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// A person's card.
    Contact {
        /// The name as shown.
        name: String,
        /// The phone number as given.
        phone: String,
    },
    /// Choices to press.
    Buttons {
        /// Rows of buttons, top to bottom.
        rows: Vec<Vec<Button>>,
    },
    /// Somebody is named.
    Mention {
        /// The platform's id of who is named.
        user: UserId,
        /// The name as written.
        text: String,
    },
}

impl Content {
    /// Text content.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }

    /// The text, if it is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text { text } => Some(text),
            _ => None,
        }
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

/// The texts among `content`, a line feed between them.
pub fn plain_text(content: &[Content]) -> String {
    let texts: Vec<&str> = content.iter().filter_map(Content::as_text).collect();
    texts.join("\n")
}

/// A file of some kind, and where its bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Media {
    /// The media type, as in `image/png`.
    pub mime: String,
    /// Where the bytes are.
    pub source: MediaSource,
    /// A file name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Size in bytes, as far as known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// Where the bytes of a [`Media`] are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum MediaSource {
    /// Still with the platform, under its handle; fetched later through the channel.
    Remote {
        /// The platform's handle.
        handle: String,
    },
    /// In the store's [`Blobs`].
    Blob {
        /// The content's address there.
        id: crate::blobs::BlobId,
    },
    /// In the message itself, base64 (RFC 4648, padded); for small things only.
    Inline {
        /// The encoded bytes.
        base64: String,
    },
}

impl MediaSource {
    /// The bytes, from the message itself or from `blobs`.
    pub(crate) async fn read(&self, blobs: Option<&dyn Blobs>) -> Result<Bytes> {
        match (self, blobs) {
            (Self::Inline { base64 }, _) => match BASE64.decode(base64) {
                Ok(bytes) => Ok(bytes.into()),
                Err(error) => Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!("inline media is not padded base64: {error}"),
                )),
            },
            (Self::Blob { id }, Some(blobs)) => blobs.get(id).await,
            (Self::Blob { id }, None) => {
                Err(Error::new(ErrorKind::NotFound, "the store keeps no blobs")
                    .with("blob", id.as_str()))
            }
            (Self::Remote { .. }, _) => Err(Error::new(
                ErrorKind::NotFound,
                "the file is still with its platform, and only that channel can have it",
            )),
        }
    }
}

/// A choice that can be pressed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Button {
    /// What is shown.
    pub label: String,
    /// What comes back in [`InboundKind::Button`] when it is pressed; opaque to channels.
    pub token: String,
}

/// Content with its label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// What it is.
    pub content: Content,
    /// Where it came from and who may see it.
    pub label: Label,
}

/// A message in a session's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Message {
    /// Said to the agent.
    User {
        /// Who said it.
        from: crate::access::Principal,
        /// The name that the platform shows for them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// When the gateway accepted it.
        at: Timestamp,
        /// What was said.
        parts: Vec<Part>,
        /// The event that it came with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<EventKey>,
        /// The platform's id of it, where it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<MessageId>,
    },
    /// Said by the model.
    Assistant {
        /// The text, empty if it only called tools.
        text: String,
        /// The calls that it asked for, in its order.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        calls: Vec<Call>,
        /// The join of all that the model had read when it said this.
        label: Label,
    },
    /// The result of a tool call.
    Tool {
        /// Which call.
        call: CallId,
        /// True if the call failed or was refused.
        #[serde(default)]
        failed: bool,
        /// What came out.
        parts: Vec<Part>,
    },
    /// A word of the gateway to the model, such as a summary of what was compacted.
    Note {
        /// The text.
        parts: Vec<Part>,
    },
}

impl Message {
    /// The join of the labels of everything in it.
    pub fn label(&self) -> Label {
        match self {
            Self::User { parts, .. } | Self::Tool { parts, .. } | Self::Note { parts } => {
                Label::join_all(parts.iter().map(|part| &part.label))
            }
            Self::Assistant { label, .. } => label.clone(),
        }
    }

    /// Shares the memory of `label`'s sources where they are the same: most messages of a history have
    /// one source.
    pub(crate) fn share_sources(&mut self, label: &Label) {
        match self {
            Self::User { parts, .. } | Self::Tool { parts, .. } | Self::Note { parts } => {
                parts.iter_mut().for_each(|part| part.label.share(label));
            }
            Self::Assistant { label: own, .. } => own.share(label),
        }
    }
}

/// A tool call as the gateway knows it: its own id, the tool's name, the arguments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Made by the gateway.
    pub id: CallId,
    /// The tool's name, as the model wrote it.
    pub tool: String,
    /// The arguments. What the model wrote, if it was not JSON, is kept as a JSON string.
    pub arguments: serde_json::Value,
}

/// Who sent what arrived, by the platform's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// The platform's immutable id.
    pub id: UserId,
    /// The name as shown; for display alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What kind of event arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum InboundKind {
    /// A new message.
    Message,
    /// An earlier message now reads as `content`.
    Edit {
        /// Which message.
        of: MessageId,
    },
    /// An earlier message is gone.
    Delete {
        /// Which message.
        of: MessageId,
    },
    /// Somebody reacted to a message.
    Reaction {
        /// Which message.
        of: MessageId,
        /// With what; empty when the reaction was taken away.
        emoji: String,
    },
    /// A button of ours was pressed.
    Button {
        /// The token that the button had.
        token: String,
    },
}

/// What arrived from a platform, in the normal form. Made by a channel, which cannot label it nor
/// say who is the owner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Inbound {
    /// What makes it the same event when it is delivered again.
    pub key: EventKey,
    /// Where.
    pub conversation: Conversation,
    /// By whom.
    pub sender: Sender,
    /// What kind of event.
    #[serde(flatten)]
    pub kind: InboundKind,
    /// What was said, in the sender's own words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub content: Vec<Content>,
    /// What is shown with it and is not the sender's own: the message that it answers, a message that
    /// it forwards. Untrusted, whoever passes it on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quoted: Vec<Content>,
    /// The platform's id of the message, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<MessageId>,
    /// The message that this one answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageId>,
    /// True if the account itself is addressed: mentioned, or replied to.
    #[serde(default)]
    pub mentioned: bool,
    /// The platform's clock; for display, never for order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
    /// The groupings above the conversation that bindings can select by, as in `guild`, `team`,
    /// `role`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

impl Inbound {
    /// A new message.
    pub fn message(
        key: EventKey,
        conversation: Conversation,
        sender: Sender,
        content: impl IntoIterator<Item = impl Into<Content>>,
    ) -> Self {
        Self {
            key,
            conversation,
            sender,
            kind: InboundKind::Message,
            content: content.into_iter().map(Into::into).collect(),
            quoted: Vec::new(),
            message: None,
            reply_to: None,
            mentioned: false,
            sent_at: None,
            attributes: BTreeMap::new(),
        }
    }

    /// The same, as another kind of event.
    #[must_use]
    pub fn of_kind(mut self, kind: InboundKind) -> Self {
        self.kind = kind;
        self
    }

    /// The same, together with words that are not the sender's own.
    #[must_use]
    pub fn quoting(mut self, quoted: impl IntoIterator<Item = impl Into<Content>>) -> Self {
        self.quoted = quoted.into_iter().map(Into::into).collect();
        self
    }

    /// The same, with the platform's id of the message.
    #[must_use]
    pub fn with_message(mut self, id: impl Into<MessageId>) -> Self {
        self.message = Some(id.into());
        self
    }

    /// The same, addressed to the account itself.
    #[must_use]
    pub fn mentioning_us(mut self) -> Self {
        self.mentioned = true;
        self
    }
}

/// What leaves: the form that the outbox keeps and that [`Channel::perform`] takes.
///
/// [`Channel::perform`]: crate::channel::Channel::perform
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Action {
    /// A new message.
    Send {
        /// Stable over retries and restarts; a keyed channel passes it to the platform.
        key: OutboundKey,
        /// What to say. Text is Markdown.
        content: Vec<Content>,
        /// The message that it answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<MessageId>,
    },
    /// Replace what a message of ours says.
    Edit {
        /// Which message.
        message: MessageId,
        /// What it is to say.
        content: Vec<Content>,
    },
    /// Take a message of ours away. As [`React`](Self::React), for channels that can: no part of the
    /// gateway, and no tool, asks for it yet.
    Delete {
        /// Which message.
        message: MessageId,
    },
    /// React to a message. Channels that can are held to it; no part of the gateway, and no tool, asks
    /// for it yet.
    React {
        /// Which message.
        message: MessageId,
        /// With what; empty takes our reaction away.
        emoji: String,
    },
    /// Show that an answer is being written. Never stored.
    Typing,
}

impl Action {
    /// The same action without what it says: what a store keeps of it when that is erased.
    #[must_use]
    pub fn without_content(mut self) -> Self {
        match &mut self {
            Self::Send { content, .. } | Self::Edit { content, .. } => content.clear(),
            Self::React { emoji, .. } => emoji.clear(),
            Self::Delete { .. } | Self::Typing => {}
        }
        self
    }
}

/// What the platform said about an action that it took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The platform's ids of the messages that came of it, in order; empty where it gives none.
    pub messages: Vec<MessageId>,
}

impl Receipt {
    /// One message came of it.
    pub fn message(id: impl Into<MessageId>) -> Self {
        Self { messages: vec![id.into()] }
    }
}

/// How [`Channel::perform`](crate::channel::Channel::perform) ended when it did not fail for certain.
#[derive(Debug)]
#[must_use]
#[non_exhaustive]
pub enum Sent {
    /// The platform took it.
    Yes(Receipt),
    /// The request went out and nobody knows whether the platform took it.
    Unknown(crate::Error),
}
