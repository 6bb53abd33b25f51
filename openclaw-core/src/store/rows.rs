//! The rows of a store, as values.

use serde::{Deserialize, Serialize};

use crate::{
    error::ErrorKind,
    id::{AccountId, Conversation, EventKey, NodeId, OutboundKey, Seq, SessionKey},
    label::Label,
    message::{Action, Receipt},
    time::Timestamp,
};

/// The place of an input in the order of acceptance, over all sessions.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct InputId(pub u64);

/// An input to accept.
#[derive(Clone, Debug, PartialEq)]
pub struct NewInput {
    /// The session that it wakes.
    pub session: SessionKey,
    /// Where it was heard; not always the session's conversation.
    pub heard: Conversation,
    /// What makes it the same when it comes again there.
    pub key: EventKey,
    /// Controls are read before all others and do not count against limits.
    pub control: bool,
    /// When it was accepted.
    pub at: Timestamp,
    /// The encoded input; JSON text.
    pub payload: String,
}

/// How much may be pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptLimits {
    /// Pending inputs of the whole store; more are refused.
    pub total: u64,
    /// Pending inputs of one session; the oldest beyond it become dead letters.
    pub session: u64,
}

/// What became of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AcceptOutcome {
    /// It was added.
    Added {
        /// Its place.
        id: InputId,
        /// How many older inputs of the session became dead letters for it.
        dropped: u64,
    },
    /// Its key was there before.
    Duplicate {
        /// The session that it was accepted for then, which may be another than now.
        session: SessionKey,
    },
    /// The store holds too many pending inputs; its key was *not* kept, so it can come again.
    Full,
}

/// A pending input.
#[derive(Clone, Debug, PartialEq)]
pub struct InputRow {
    /// Its place.
    pub id: InputId,
    /// Its event key.
    pub key: EventKey,
    /// Whether it is a control.
    pub control: bool,
    /// When it was accepted.
    pub at: Timestamp,
    /// The encoded input.
    pub payload: String,
}

/// An input that was given up.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetter {
    /// The session that it was for.
    pub session: SessionKey,
    /// The input.
    pub input: InputRow,
    /// Why.
    pub reason: String,
}

/// What a lease is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LeaseName {
    /// Acting on a session.
    Session(SessionKey),
    /// Hearing and sending on an account.
    Account(AccountId),
}

/// The right to act, until another is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What for.
    pub name: LeaseName,
    /// Whose.
    pub node: NodeId,
    /// Higher than of any lease of this name before.
    pub epoch: u64,
}

/// A row of a session's log: an envelope that stays, and a payload that erasure nulls.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRow {
    /// Its place.
    pub seq: Seq,
    /// The kind of entry.
    pub kind: String,
    /// When it was made.
    pub at: Timestamp,
    /// The join of the labels of what is in it.
    pub label: Label,
    /// SHA-256 of the payload, in hexadecimal; stays when the payload is erased.
    pub digest: String,
    /// The encoded entry; JSON text. `None` once erased.
    pub payload: Option<String>,
}

/// Where a session's log stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionHead {
    /// The last entry.
    pub seq: Seq,
    /// The entry before the last one that a fold can start at: read from after it.
    pub checkpoint: Seq,
    /// True while a turn is open.
    pub open: bool,
    /// When it must be woken although nothing arrives.
    pub wake_at: Option<Timestamp>,
    /// Rises whenever rows that were written before are erased or what they say is taken out of them: what was
    /// read of the log with another number must be read anew.
    pub revision: u64,
}

/// How a commit changes what is known of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionUpdate {
    /// Where a fold starts from now on, if that changed.
    pub checkpoint: Option<Seq>,
    /// Whether a turn is open now.
    pub open: bool,
    /// When to wake it.
    pub wake_at: Option<Timestamp>,
}

/// A session that has something to do, or waits for something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Which.
    pub session: SessionKey,
    /// How many inputs are pending.
    pub pending: u64,
    /// Whether a turn is open.
    pub open: bool,
    /// When it must be woken although nothing arrives.
    pub wake_at: Option<Timestamp>,
}

/// What one commit does.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Entries, with consecutive `seq` from after the log's end.
    pub entries: Vec<LogRow>,
    /// Inputs that are worked into the log by this batch. `Conflict` if one is neither pending nor was
    /// dropped because its session held too many.
    pub consumed: Vec<InputId>,
    /// Inputs that are given up, and why.
    pub dead: Vec<(InputId, String)>,
    /// What leaves.
    pub outbox: Vec<NewOutbound>,
    /// Records to write.
    pub records: Vec<RecordWrite>,
    /// What is known of the session afterwards.
    pub session: SessionUpdate,
}

/// The place of an outgoing row in the order of commits.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct OutboundId(pub u64);

/// An action to perform.
#[derive(Clone, Debug, PartialEq)]
pub struct NewOutbound {
    /// Unique; adding a key that is there changes nothing.
    pub key: OutboundKey,
    /// Where to.
    pub conversation: Conversation,
    /// The session that caused it and is told if it fails for good.
    pub session: Option<SessionKey>,
    /// What.
    pub action: Action,
    /// Rows of one message share a group: if one fails for good, the rest of it is skipped.
    pub group: OutboundKey,
    /// For an edit of a message whose id is not known yet: the key of the row that sent it.
    pub edits: Option<OutboundKey>,
    /// When it was committed.
    pub at: Timestamp,
}

/// An action that waits or was performed.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboundRow {
    /// Its place.
    pub id: OutboundId,
    /// The action.
    pub new: NewOutbound,
    /// Where it stands.
    pub state: OutboundState,
    /// How often it was tried and failed.
    pub attempts: u32,
    /// Not to be tried before this.
    pub not_before: Option<Timestamp>,
}

/// Where an outgoing row stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum OutboundState {
    /// Not sent.
    Pending,
    /// Being sent since then, or the process died over it.
    Sending {
        /// Since when.
        since: Timestamp,
    },
    /// Sent.
    Sent {
        /// What the platform said.
        receipt: Receipt,
    },
    /// Nobody knows whether it was sent.
    Unknown,
    /// Not sent, and given up.
    Failed {
        /// Why.
        error: ErrorKind,
    },
}

/// What became of an outgoing row.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Settlement {
    /// Sent.
    Sent(Receipt),
    /// Nobody knows whether it was sent.
    Unknown,
    /// Certainly not sent, and to be tried again.
    Retry {
        /// Not before this.
        at: Timestamp,
    },
    /// Certainly not sent, and given up. The pending rows of its group are given up with it.
    Failed(ErrorKind),
}

/// The name of a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordKey {
    /// What kind of record.
    pub space: String,
    /// Which one.
    pub name: String,
}

impl RecordKey {
    /// The record `name` of `space`.
    pub fn new(space: impl Into<String>, name: impl Into<String>) -> Self {
        Self { space: space.into(), name: name.into() }
    }
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its name.
    pub key: RecordKey,
    /// Rises by one with each write, from 1.
    pub version: u64,
    /// JSON text.
    pub value: String,
}

/// A change of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordWrite {
    /// Which.
    pub key: RecordKey,
    /// The version that it must have; 0: it must be absent; `None`: any.
    pub expect: Option<u64>,
    /// The new value, JSON text; `None` removes it.
    pub value: Option<String>,
}
