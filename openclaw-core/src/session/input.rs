//! What wakes a session, as the store keeps it.

use serde::{Deserialize, Serialize};

use crate::{
    access::Principal,
    error::{Error, ErrorKind, Result},
    gateway::Command,
    id::Conversation,
    label::{Integrity, Label},
    message::{Content, Inbound, InboundKind, Message, Part},
    provider::ResponseFormat,
    time::Timestamp,
};

/// An inbox row's payload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "input", rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "nearly all are messages")]
pub(crate) enum Input {
    /// Something was said or done by somebody who was let in.
    Message {
        inbound: Inbound,
        principal: Principal,
        label: Label,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        format: Option<ResponseFormat>,
    },
    /// A word to the gateway itself.
    Control { command: Command, principal: Principal, from: Conversation },
    /// Something that the model should know of in the next turn.
    Note { text: String },
}

impl Input {
    pub(crate) fn encode(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|e| Error::wrap(ErrorKind::InvalidInput, e))
    }

    pub(crate) fn decode(payload: &str) -> Result<Self> {
        serde_json::from_str(payload).map_err(|e| Error::wrap(ErrorKind::InvalidData, e))
    }

    /// True if it does not start a turn by itself.
    pub(crate) fn is_passive(&self) -> bool {
        match self {
            Self::Note { .. } => true,
            Self::Message { inbound, .. } => {
                matches!(inbound.kind, InboundKind::Reaction { .. } | InboundKind::Delete { .. })
            }
            Self::Control { .. } => false,
        }
    }
}

/// The message of the history that an event becomes.
pub(super) fn to_message(
    inbound: &Inbound,
    principal: &Principal,
    label: &Label,
    at: Timestamp,
) -> Message {
    let others = label.clone().with_integrity(Integrity::Untrusted);
    let before = match &inbound.kind {
        InboundKind::Edit { of } => {
            Some(format!("(edits the earlier message {of}, which now reads:)"))
        }
        InboundKind::Delete { of } => Some(format!("(deleted the earlier message {of})")),
        InboundKind::Reaction { of, emoji } if emoji.is_empty() => {
            Some(format!("(took back a reaction to message {of})"))
        }
        InboundKind::Reaction { of, emoji } => {
            Some(format!("(reacted to message {of} with {emoji})"))
        }
        InboundKind::Button { token } => Some(format!("(pressed the button {token:?})")),
        InboundKind::Message => None,
    };
    let own = |content: Content| {
        // What is in a file is not the sender's own words, whoever sends it.
        let label = if matches!(content, Content::Media(_)) { &others } else { label };
        Part { content, label: label.clone() }
    };
    let quoted = inbound.quoted.iter().cloned();
    let quoted = quoted.map(|content| Part { content, label: others.clone() });
    let said = before.map(Content::text).into_iter().chain(inbound.content.iter().cloned());
    let parts = quoted.chain(said.map(own)).collect();
    Message::User {
        from: principal.clone(),
        name: inbound.sender.name.clone(),
        at,
        parts,
        key: Some(inbound.key.clone()),
        message: inbound.message.clone(),
    }
}
