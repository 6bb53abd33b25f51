//! Names of things: agents, accounts, conversations, sessions, entries, calls.
//!
//! Every id is a cheap clone. Ids that outlive a process are made by the host or by the gateway from
//! `(session, seq, index)`, never taken from a model, whose own call ids repeat.

use std::{fmt, str::FromStr, sync::Arc};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, ErrorKind, Result};

macro_rules! string_id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps the text as it stands; nothing is checked or changed.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($name), &*self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(Self::from)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                String::json_schema(generator)
            }
        }
    };
}

string_id!(
    /// Names an agent: `main`, `support`.
    AgentId
);
string_id!(
    /// A platform's immutable id of a person or a bot. Never a display name or a handle that its
    /// holder can change: access is decided on it.
    UserId
);
string_id!(
    /// A platform's id of a chat: a person's, a group's, a room's.
    PeerId
);
string_id!(
    /// A platform's id of a thread or topic within a chat.
    ThreadId
);
string_id!(
    /// A platform's id of a message, unique within its conversation.
    MessageId
);
string_id!(
    /// Names a provider: `openai`, `local`.
    ProviderId
);
string_id!(
    /// A provider's own name of a model.
    ModelId
);
string_id!(
    /// One process's name towards the store. Unique among live processes on one store.
    NodeId
);
string_id!(
    /// The current history under a [`SessionKey`]; `/new` starts another.
    SessionId
);
string_id!(
    /// A request for the owner's leave, short enough to be typed. Made by the gateway from the call
    /// that it is about, and bound to that call's hash.
    ApprovalId
);
string_id!(
    /// The idempotency key of an outgoing action; stable over retries and restarts.
    OutboundKey
);

/// One configured login of a channel, written `channel:name`, as in `telegram:support`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId {
    text: Arc<str>,
    colon: usize,
}

impl AccountId {
    /// Names account `name` of channel `channel`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if a part is empty or holds a colon or a control character.
    pub fn new(channel: &str, name: &str) -> Result<Self> {
        for part in [channel, name] {
            if part.is_empty() || part.contains(|c: char| c == ':' || c.is_control()) {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!(
                        "account {channel:?}:{name:?}: expected two non-empty parts without colons, such as telegram:support"
                    ),
                ));
            }
        }
        Ok(Self { text: format!("{channel}:{name}").into(), colon: channel.len() })
    }

    /// The channel's name, before the colon.
    pub fn channel(&self) -> &str {
        self.text.get(..self.colon).unwrap_or_default()
    }

    /// The account's name within the channel, after the colon.
    pub fn name(&self) -> &str {
        self.text.get(self.colon + 1..).unwrap_or_default()
    }

    /// The whole id as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for AccountId {
    type Err = Error;

    /// Reads `channel:name`; a bare `channel` names its `default` account.
    fn from_str(text: &str) -> Result<Self> {
        let (channel, name) = text.split_once(':').unwrap_or((text, "default"));
        Self::new(channel, name)
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountId({:?})", &*self.text)
    }
}

impl Serialize for AccountId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for AccountId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl schemars::JsonSchema for AccountId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "AccountId".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        String::json_schema(generator)
    }
}

/// Who takes part in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConversationKind {
    /// One person and the account.
    Direct,
    /// More than two.
    Group,
}

/// A place where messages are exchanged: a chat of an account, and a thread in it where the platform
/// has threads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Conversation {
    /// The login through which the place is reached.
    pub account: AccountId,
    /// Direct or group.
    pub kind: ConversationKind,
    /// The platform's id of the chat.
    pub peer: PeerId,
    /// The platform's id of the thread or topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<ThreadId>,
}

impl Conversation {
    /// The direct conversation with `peer`.
    pub fn direct(account: AccountId, peer: impl Into<PeerId>) -> Self {
        Self { account, kind: ConversationKind::Direct, peer: peer.into(), thread: None }
    }

    /// The group conversation `peer`.
    pub fn group(account: AccountId, peer: impl Into<PeerId>) -> Self {
        Self { account, kind: ConversationKind::Group, peer: peer.into(), thread: None }
    }

    /// The same place, in a thread.
    #[must_use]
    pub fn in_thread(mut self, thread: impl Into<ThreadId>) -> Self {
        self.thread = Some(thread.into());
        self
    }
}

impl fmt::Display for Conversation {
    /// `telegram:support:direct:42`, and `:thread` behind it; parts are percent-encoded where they
    /// hold a colon, so that two places never share a text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ConversationKind::Direct => "direct",
            ConversationKind::Group => "group",
        };
        write!(f, "{}:{kind}:{}", self.account, encode(self.peer.as_str()))?;
        match &self.thread {
            Some(thread) => write!(f, ":{}", encode(thread.as_str())),
            None => Ok(()),
        }
    }
}

const RESERVED: &AsciiSet = &CONTROLS.add(b':').add(b'%').add(b' ');

fn encode(part: &str) -> impl fmt::Display + '_ {
    utf8_percent_encode(part, RESERVED)
}

fn decode<T: From<String>>(part: &str) -> Result<T> {
    percent_decode_str(part)
        .decode_utf8()
        .map(|text| T::from(text.into_owned()))
        .map_err(|e| Error::wrap(ErrorKind::InvalidInput, e))
}

/// The stable address of one agent's conversation in one place.
///
/// Its text form is `agent:<agent>:<channel>:<account>:<direct|group>:<peer>[:<thread>]`.
///
/// ```
/// use openclaw_core::{AccountId, AgentId, Conversation, SessionKey};
///
/// let place = Conversation::direct(AccountId::new("telegram", "support")?, "42");
/// let key = SessionKey::new(AgentId::new("main"), place);
/// assert_eq!(key.as_str(), "agent:main:telegram:support:direct:42");
/// assert_eq!(key.as_str().parse::<SessionKey>()?, key);
/// # Ok::<(), openclaw_core::Error>(())
/// ```
#[derive(Clone)]
pub struct SessionKey(Arc<KeyParts>);

struct KeyParts {
    agent: AgentId,
    conversation: Conversation,
    text: String,
}

impl SessionKey {
    /// The session of `agent` in `conversation`.
    pub fn new(agent: AgentId, conversation: Conversation) -> Self {
        let text = format!("agent:{}:{conversation}", encode(agent.as_str()));
        Self(Arc::new(KeyParts { agent, conversation, text }))
    }

    /// The agent that answers here.
    pub fn agent(&self) -> &AgentId {
        &self.0.agent
    }

    /// The place that it answers in.
    pub fn conversation(&self) -> &Conversation {
        &self.0.conversation
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }
}

impl FromStr for SessionKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "session key {text:?}: expected agent:<agent>:<channel>:<account>:<direct|group>:<peer>[:<thread>]"
                ),
            )
        };
        let mut parts = text.split(':');
        let mut next = || parts.next().ok_or_else(bad);
        if next()? != "agent" {
            return Err(bad());
        }
        let agent = decode(next()?)?;
        let account = AccountId::new(next()?, next()?)?;
        let kind = match next()? {
            "direct" => ConversationKind::Direct,
            "group" => ConversationKind::Group,
            _ => return Err(bad()),
        };
        let peer = decode(next()?)?;
        let thread = parts.next().map(decode).transpose()?;
        if parts.next().is_some() {
            return Err(bad());
        }
        Ok(Self::new(agent, Conversation { account, kind, peer, thread }))
    }
}

impl PartialEq for SessionKey {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.text == other.0.text
    }
}

impl Eq for SessionKey {}

impl std::hash::Hash for SessionKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.text.hash(state);
    }
}

impl PartialOrd for SessionKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SessionKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.text.cmp(&other.0.text)
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionKey({:?})", self.0.text)
    }
}

impl Serialize for SessionKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.text)
    }
}

impl<'de> Deserialize<'de> for SessionKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The position of an entry in a session's log, from 1. Zero is "before the first".
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// Before the first entry.
    pub const ZERO: Self = Self(0);

    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A turn of a session: the position of the entry that started it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TurnId(pub Seq);

impl fmt::Display for TurnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "turn {}", self.0)
    }
}

/// A tool call of a session: the position of the model's reply, and the index in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CallId {
    /// Position of the entry that holds the model's reply.
    pub seq: Seq,
    /// Index of the call in that reply, from 0.
    pub index: u32,
}

impl fmt::Display for CallId {
    /// The form that providers and models see: `call_12_0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call_{}_{}", self.seq, self.index)
    }
}

/// What makes an incoming event one and the same when a platform delivers it again.
///
/// Unique within the conversation that it is heard in. Edits, reactions and button presses share a message's
/// id, so the key says which kind of event it is.
///
/// ```
/// use openclaw_core::EventKey;
/// assert_ne!(EventKey::message("chat", "7"), EventKey::edit("chat", "7", "1"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventKey(String);

impl EventKey {
    /// A message, by the platform's conversation id and its id there.
    pub fn message(conversation: &str, id: &str) -> Self {
        Self(format!("m:{}:{}", encode(conversation), encode(id)))
    }

    /// An edit of a message; `version` tells one edit from the next (an edit date, a counter).
    pub fn edit(conversation: &str, id: &str, version: &str) -> Self {
        Self(format!("e:{}:{}:{}", encode(conversation), encode(id), encode(version)))
    }

    /// Anything that has an id of its own: a callback, an API caller's idempotency key.
    pub fn event(id: &str) -> Self {
        Self(format!("v:{}", encode(id)))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes back what [`as_str`](Self::as_str) gave; for stores.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }
}

impl ApprovalId {
    /// Derives the id of the ask about `call` of `session`: six letters and digits that are hard to
    /// confuse, the same after every restart.
    pub(crate) fn derive(session: &SessionKey, call: CallId) -> Self {
        const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789x";
        let digest = Sha256::digest(format!("approval\0{session}\0{call}"));
        let text: String = digest
            .iter()
            .take(7)
            .map(|byte| {
                let index = usize::from(byte % 31);
                char::from(ALPHABET.get(index).copied().unwrap_or(b'x'))
            })
            .collect();
        Self(text.into())
    }
}

impl OutboundKey {
    /// Derives the key of the `index`-th action that entry `seq` of `session` caused.
    pub(crate) fn derive(session: &SessionKey, seq: Seq, index: u32) -> Self {
        Self::digest(&format!("{session}\0{seq}\0{index}"))
    }

    /// Derives a key from what the action is about, for what no session log caused.
    pub(crate) fn digest(about: &str) -> Self {
        Self(hex(&Sha256::digest(format!("outbound\0{about}")), 16).into())
    }
}

/// The first `bytes` of `digest` in lower-case hexadecimal.
pub(crate) fn hex(digest: &[u8], bytes: usize) -> String {
    // Four bits are always a digit.
    let digit = |bits: u8| char::from_digit(u32::from(bits), 16).unwrap_or_default();
    digest.iter().take(bytes).flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_keys_never_collide_on_delimiters() {
        let account = AccountId::new("web", "a").unwrap();
        let tricky = Conversation::direct(account.clone(), "1:2%3A");
        let other = Conversation::direct(account, "1").in_thread("2%3A");
        let (a, b) = (
            SessionKey::new("m".into(), tricky.clone()),
            SessionKey::new("m".into(), other.clone()),
        );
        assert_ne!(a, b);
        assert_eq!(a.as_str().parse::<SessionKey>().unwrap().conversation(), &tricky);
        assert_eq!(b.as_str().parse::<SessionKey>().unwrap().conversation(), &other);
    }

    #[test]
    fn bad_ids_name_what_was_expected() {
        for text in ["", "agent", "agent:a:b:c:nowhere:d", "agent:a:b:c:direct:d:e:f"] {
            let error = text.parse::<SessionKey>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
        }
        assert!("a:b:c".parse::<AccountId>().is_err());
        assert_eq!("terminal".parse::<AccountId>().unwrap().as_str(), "terminal:default");
    }
}
