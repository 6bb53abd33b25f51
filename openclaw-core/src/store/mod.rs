//! Where everything durable is kept.
//!
//! The store knows rows, not meanings: entries, inputs and records reach it encoded. Three traits by
//! concern, so that a wrapper stays short; [`Store`] is all of them.

mod in_memory;
mod lease_table;
mod rows;
mod rules;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

pub use in_memory::InMemory;
pub use lease_table::LeaseTable;
pub use rows::{
    AcceptLimits, AcceptOutcome, Batch, DeadLetter, InputId, InputRow, Lease, LeaseName, LogRow,
    NewInput, NewOutbound, OutboundId, OutboundRow, OutboundState, Record, RecordKey, RecordWrite,
    SessionHead, SessionUpdate, Settlement, Unfinished,
};
pub use rules::{DROPPED, KEY_RETENTION, check_entries, no_such_outbound};

use crate::{
    blobs::Blobs,
    error::Result,
    id::{AccountId, Conversation, NodeId, Seq, SessionKey},
    time::Timestamp,
};

/// Inputs, sessions and their logs.
///
/// # Contract
///
/// - **Durable.** What a method has returned for survives a crash of the process and of the machine.
/// - **Atomic.** Each call is all or nothing. A call whose future was dropped may have happened.
/// - **Order.** Inputs of a session are read in the order in which they were accepted, whatever their
///   times say. Log rows are read in order of their `seq`.
/// - **Fenced.** [`commit`](Self::commit) fails with `Conflict` unless its lease is the newest for the
///   session and `after` is the log's end. Then nothing was changed.
/// - **Errors.** `Exhausted` if the disk or a limit is full, `Conflict` if a guard failed, `Unavailable`
///   if another try may help. Nothing that was accepted is lost by any of them.
#[async_trait]
pub trait SessionStore: Send + Sync + 'static {
    /// Accepts inputs: for each, checks that its key is new where it was heard, and adds it. A route
    /// may lead to another session when an event comes again, so the key is of the conversation.
    /// Outcomes are in the order of `inputs`. A key is kept for at least 30 days.
    async fn accept(
        &self,
        inputs: Vec<NewInput>,
        limits: AcceptLimits,
    ) -> Result<Vec<AcceptOutcome>>;

    /// The pending inputs of a session, oldest first, controls before all others. Of those others
    /// only the ones with an id above `after`.
    async fn inputs(
        &self,
        session: &SessionKey,
        after: InputId,
        limit: usize,
    ) -> Result<Vec<InputRow>>;

    /// The sessions that have pending inputs, an open turn or a moment to be woken at, in order of their
    /// keys, from after the given one. This is the truth of which wake-ups are hints.
    async fn unfinished(&self, after: Option<&SessionKey>, limit: usize)
    -> Result<Vec<Unfinished>>;

    /// Takes the lease `name` for `node`, if nobody else holds it or its time is over. Each lease has
    /// a higher epoch than those before. A node that holds it gets a new one.
    ///
    /// `Conflict` if another node holds it.
    async fn lease(&self, name: &LeaseName, node: &NodeId, ttl: Duration) -> Result<Lease>;

    /// Keeps all leases of `node` for `ttl` from now.
    async fn beat(&self, node: &NodeId, ttl: Duration) -> Result<()>;

    /// Gives a lease back; giving back what is lost is no error.
    async fn release(&self, lease: &Lease) -> Result<()>;

    /// Appends to a session's log, consumes inputs, adds outgoing rows, writes records: all or
    /// nothing.
    async fn commit(
        &self,
        lease: &Lease,
        session: &SessionKey,
        after: Seq,
        batch: Batch,
    ) -> Result<()>;

    /// Where a session's log stands; all zero for one that does not exist.
    async fn head(&self, session: &SessionKey) -> Result<SessionHead>;

    /// Log rows with `seq > after`, oldest first.
    async fn read(&self, session: &SessionKey, after: Seq, limit: usize) -> Result<Vec<LogRow>>;

    /// The sessions that exist, in order of their keys, from after the given one.
    async fn sessions(
        &self,
        after: Option<&SessionKey>,
        limit: usize,
    ) -> Result<Vec<(SessionKey, SessionHead)>>;

    /// Nulls the payloads of log rows in `from..=to`; their envelopes stay. Returns how many had one.
    /// If any had, the head's [`revision`](SessionHead::revision) rises.
    /// What was sent for the session loses its [content](crate::message::Action::without_content)
    /// too; what is still to be sent keeps it.
    async fn erase(&self, session: &SessionKey, from: Seq, to: Seq) -> Result<u64>;

    /// Inputs that were given up, newest first.
    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>>;
}

/// What leaves.
///
/// # Contract
///
/// - Rows of one lane (account and conversation) are read in the order in which they were committed.
/// - A row is in exactly one [`OutboundState`]; only `settle` and `claim` move it.
/// - A settled row is kept for at least [`KEY_RETENTION`], so that its receipt is found and its key
///   adds nothing, and then forgotten.
#[async_trait]
pub trait OutboxStore: Send + Sync + 'static {
    /// The lanes of an account that have rows to deliver.
    async fn lanes(&self, account: &AccountId) -> Result<Vec<Conversation>>;

    /// The rows of a lane that are pending or being sent, oldest first, with an id above `after`.
    async fn lane(
        &self,
        conversation: &Conversation,
        after: OutboundId,
        limit: usize,
    ) -> Result<Vec<OutboundRow>>;

    /// Marks a row as being sent, durably, before a send whose outcome a crash would hide.
    async fn claim(&self, id: OutboundId, at: Timestamp) -> Result<()>;

    /// Records what became of a row. Settling a settled row again changes nothing.
    async fn settle(&self, id: OutboundId, settlement: Settlement) -> Result<()>;

    /// A row by its key, whatever its state.
    async fn outbound(&self, key: &crate::id::OutboundKey) -> Result<Option<OutboundRow>>;

    /// The rows that are settled and were not sent, or nobody knows whether they were; newest first.
    async fn undelivered(&self, limit: usize) -> Result<Vec<OutboundRow>>;
}

/// Small values that are not part of a session: pairing, approvals, routes, spend.
///
/// # Contract
///
/// - A key's version rises by one with each write, from 1. A write that names a version fails with
///   `Conflict` unless the key has it (0: unless it is absent).
/// - [`write`](Self::write) is all or nothing.
#[async_trait]
pub trait RecordStore: Send + Sync + 'static {
    /// A record, if it is there.
    async fn record(&self, key: &RecordKey) -> Result<Option<Record>>;

    /// The records of a space whose names begin with `prefix`, in order of their names, from after the
    /// given one.
    async fn records(
        &self,
        space: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Record>>;

    /// Writes records and adds outgoing rows that no session causes.
    async fn write(&self, records: Vec<RecordWrite>, outbox: Vec<NewOutbound>) -> Result<()>;
}

/// Everything durable.
///
/// Backup, integrity and migration belong to the implementation.
#[async_trait]
pub trait Store: SessionStore + OutboxStore + RecordStore {
    /// True if nothing survives the process. A gateway refuses such a store unless the application
    /// said [`ephemeral`](crate::gateway::GatewayBuilder::ephemeral).
    fn is_ephemeral(&self) -> bool {
        false
    }

    /// Where files are kept that belong to what is stored. `None`: nowhere; then files that people send
    /// are not taken in, and agents are told so.
    fn blobs(&self) -> Option<Arc<dyn Blobs>>;

    /// What the store found wrong with itself since it was opened, a sentence each; waits for a check
    /// that is under way. Empty if all is sound, and for a store that does not check itself. The
    /// gateway asks once, and tells the owner. Cancel safe.
    async fn damage(&self) -> Vec<String> {
        Vec::new()
    }
}
