//! Stores with one fault each, which show that the suite can find it; and how a gateway bears it.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use super::StoreFixture;
use crate::{
    blobs::Blobs,
    error::{ErrorKind, Result},
    id::{AccountId, Conversation, EventKey, NodeId, OutboundKey, Seq, SessionKey},
    message::Action,
    store::{
        AcceptLimits, AcceptOutcome, Batch, DeadLetter, InMemory, InputId, InputRow, Lease,
        LeaseName, LogRow, NewInput, NewOutbound, OutboundId, OutboundRow, OutboundState,
        OutboxStore, Record, RecordKey, RecordStore, RecordWrite, SessionHead, SessionStore,
        Settlement, Store, Unfinished,
    },
    time::Timestamp,
};

macro_rules! faults {
    ($($(#[$meta:meta])* $name:ident),* $(,)?) => {
        /// What a [`Faulty`] store does wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Fault { $($(#[$meta])* $name),* }

        impl Fault {
            /// All faults.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

faults! {
    /// Says that the last input of a call was added, and does not keep it.
    LosesAccept,
    /// Adds an input whose key was there.
    RepeatsDuplicate,
    /// Takes the same event key in another conversation for a duplicate.
    MixesKeys,
    /// Takes a key for new because it comes for another session.
    KeysBySession,
    /// Names the session of the repetition, not the one that a key was accepted for.
    NamesNewSession,
    /// Remembers the key of an input that it refused.
    KeepsRefusedKeys,
    /// Ignores the limit of a session.
    NeverDrops,
    /// Refuses controls when it is full.
    RefusesControls,
    /// Reads inputs by their times.
    SortsByTime,
    /// Reads controls in line with the rest.
    QueuesControls,
    /// Does not list sessions that only have an open turn.
    ForgetsOpenTurns,
    /// Does not list sessions that only have a moment to be woken at.
    ForgetsAlarms,
    /// Starts each page at the beginning.
    ForgetsPage,
    /// Lists dead letters oldest first.
    ReversesDead,
    /// Gives a lease that another node holds.
    SharesLeases,
    /// Never lets a lease end.
    KeepsLeases,
    /// Does not count beats.
    IgnoresBeats,
    /// Does not take leases back.
    IgnoresRelease,
    /// Gives every lease the same epoch.
    RepeatsEpochs,
    /// Commits under any lease.
    IgnoresFencing,
    /// Commits wherever the log ends.
    IgnoresEnd,
    /// Leaves consumed inputs pending.
    ForgetsConsumed,
    /// Commits although an input is not pending.
    IgnoresPending,
    /// Keeps a part of a commit that failed.
    TearsBatches,
    /// Reads the log backwards.
    ReversesLog,
    /// Does not keep checkpoints.
    LosesCheckpoint,
    /// Drops the rows that it erases.
    ErasesEnvelopes,
    /// Keeps what was sent when it is to be erased.
    KeepsSent,
    /// Reads a lane backwards.
    ReversesLane,
    /// Lists lanes that have nothing to do.
    ListsIdleLanes,
    /// Does not keep claims.
    ForgetsClaims,
    /// Does not keep settlements.
    ForgetsSettlements,
    /// Gives a row up that was to be tried again.
    GivesUpRetries,
    /// Goes on with the rest of a message that failed.
    ForgetsGroups,
    /// Lists what was not delivered oldest first.
    ReversesUndelivered,
    /// Settles again what is settled.
    SettlesTwice,
    /// Adds an outgoing row whose key was there.
    RepeatsOutbound,
    /// Says that a row which does not exist was claimed and settled.
    InventsRows,
    /// Gives every record the version 1.
    StuckVersions,
    /// Writes a record whatever its version.
    IgnoresVersions,
    /// Keeps a part of a write that failed.
    TearsWrites,
    /// Lists records whatever their names begin with.
    IgnoresPrefix,
    /// Is empty when it is opened again.
    Forgets,
}

/// An [`InMemory`] store that says it is durable, with at most one [`Fault`].
#[derive(Clone)]
pub struct Faulty {
    inner: InMemory,
    fault: Option<Fault>,
    notes: Arc<Mutex<Notes>>,
}

/// What some faults need to remember.
#[derive(Default)]
struct Notes {
    keys: HashSet<EventKey>,
    newest: HashMap<LeaseName, Lease>,
    conversations: HashSet<Conversation>,
    settled: HashMap<OutboundId, OutboundState>,
    actions: HashMap<OutboundKey, Action>,
}

impl Faulty {
    /// A store with this fault; with none, a sound one.
    pub fn new(fault: Option<Fault>) -> Self {
        Self { inner: InMemory::new(), fault, notes: Arc::default() }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn noted<T>(&self, note: impl FnOnce(&mut Notes) -> T) -> T {
        note(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn page<'a, T: ?Sized>(&self, after: Option<&'a T>) -> Option<&'a T> {
        if self.has(Fault::ForgetsPage) { None } else { after }
    }

    /// The outgoing rows, as the fault has them.
    async fn outgoing(&self, rows: Vec<NewOutbound>) -> Result<Vec<NewOutbound>> {
        let mut all = Vec::with_capacity(rows.len());
        for mut row in rows {
            self.noted(|notes| {
                notes.conversations.insert(row.conversation.clone());
                notes.actions.insert(row.key.clone(), row.action.clone());
            });
            if self.has(Fault::ForgetsGroups) {
                row.group = row.key.clone();
            }
            let again = self.inner.outbound(&row.key).await?.is_some();
            if again && self.has(Fault::RepeatsOutbound) {
                row.key = OutboundKey::new(format!("{}'", row.key));
            }
            all.push(row);
        }
        Ok(all)
    }

    fn writes(&self, mut records: Vec<RecordWrite>) -> Vec<RecordWrite> {
        if self.has(Fault::IgnoresVersions) {
            for write in &mut records {
                write.expect = None;
            }
        }
        records
    }

    /// The lease under which the inner store is to commit.
    fn lease_for(&self, lease: &Lease, session: &SessionKey) -> Lease {
        let newest =
            self.noted(|notes| notes.newest.get(&LeaseName::Session(session.clone())).cloned());
        match newest {
            Some(newest)
                if self.has(Fault::IgnoresFencing)
                    || (self.has(Fault::RepeatsEpochs) && lease.name == newest.name) =>
            {
                newest
            }
            _ => lease.clone(),
        }
    }

    /// The batch, as the fault has it.
    async fn bent(&self, session: &SessionKey, after: &mut Seq, mut batch: Batch) -> Result<Batch> {
        if self.has(Fault::IgnoresEnd) {
            let end = self.inner.head(session).await?.seq;
            for (entry, seq) in batch.entries.iter_mut().zip(end.0 + 1..) {
                entry.seq = Seq(seq);
            }
            *after = end;
        }
        if self.has(Fault::ForgetsConsumed) {
            batch.consumed.clear();
        }
        if self.has(Fault::IgnoresPending) {
            let rows = self.inner.inputs(session, InputId::default(), usize::MAX).await?;
            let pending: HashSet<InputId> = rows.into_iter().map(|row| row.id).collect();
            batch.consumed.retain(|id| pending.contains(id));
            batch.dead.retain(|(id, _)| pending.contains(id));
        }
        if self.has(Fault::LosesCheckpoint) {
            batch.session.checkpoint = None;
        }
        batch.outbox = self.outgoing(batch.outbox).await?;
        batch.records = self.writes(batch.records);
        Ok(batch)
    }
}

#[async_trait]
impl SessionStore for Faulty {
    async fn accept(
        &self,
        mut inputs: Vec<NewInput>,
        mut limits: AcceptLimits,
    ) -> Result<Vec<AcceptOutcome>> {
        let mut given = inputs.clone();
        if self.has(Fault::LosesAccept) {
            inputs.pop();
        }
        if self.has(Fault::NeverDrops) {
            limits.session = u64::MAX;
        }
        if self.has(Fault::RefusesControls) {
            inputs.iter_mut().for_each(|input| input.control = false);
        }
        let mut outcomes = self.inner.accept(inputs, limits).await?;
        let lost = AcceptOutcome::Added { id: InputId(u64::MAX), dropped: 0 };
        outcomes.resize(given.len(), lost);
        for (outcome, mut input) in outcomes.iter_mut().zip(given.drain(..)) {
            let note = self.has(Fault::MixesKeys) || *outcome == AcceptOutcome::Full;
            let known = self.noted(|notes| match note {
                true => !notes.keys.insert(input.key.clone()),
                false => notes.keys.contains(&input.key),
            });
            match outcome {
                AcceptOutcome::Duplicate { session }
                    if self.has(Fault::RepeatsDuplicate)
                        || (self.has(Fault::KeysBySession) && *session != input.session) =>
                {
                    input.key = EventKey::event(&format!("{}'", input.key.as_str()));
                    *outcome = AcceptOutcome::Added { id: InputId(u64::MAX), dropped: 0 };
                    self.inner.accept(vec![input], limits).await?;
                }
                AcceptOutcome::Duplicate { session } if self.has(Fault::NamesNewSession) => {
                    *session = input.session;
                }
                AcceptOutcome::Added { .. }
                    if known
                        && (self.has(Fault::MixesKeys) || self.has(Fault::KeepsRefusedKeys)) =>
                {
                    *outcome = AcceptOutcome::Duplicate { session: input.session };
                }
                _ => {}
            }
        }
        Ok(outcomes)
    }

    async fn inputs(
        &self,
        session: &SessionKey,
        after: InputId,
        limit: usize,
    ) -> Result<Vec<InputRow>> {
        let after = if self.has(Fault::ForgetsPage) { InputId::default() } else { after };
        let mut rows = self.inner.inputs(session, after, limit).await?;
        if self.has(Fault::SortsByTime) {
            rows.sort_by_key(|row| row.at);
        }
        if self.has(Fault::QueuesControls) {
            rows.sort_by_key(|row| row.id);
        }
        Ok(rows)
    }

    async fn unfinished(
        &self,
        after: Option<&SessionKey>,
        limit: usize,
    ) -> Result<Vec<Unfinished>> {
        let mut rows = self.inner.unfinished(self.page(after), limit).await?;
        if self.has(Fault::ForgetsOpenTurns) {
            rows.retain(|row| row.pending > 0);
        }
        if self.has(Fault::ForgetsAlarms) {
            rows.retain(|row| row.pending > 0 || row.open);
        }
        Ok(rows)
    }

    async fn lease(&self, name: &LeaseName, node: &NodeId, ttl: Duration) -> Result<Lease> {
        let endless = Duration::from_secs(1_000_000);
        let ttl = if self.has(Fault::KeepsLeases) { endless } else { ttl };
        let mut lease = match self.inner.lease(name, node, ttl).await {
            Err(error) if error.kind() == ErrorKind::Conflict && self.has(Fault::SharesLeases) => {
                Lease { name: name.clone(), node: node.clone(), epoch: u64::MAX }
            }
            other => other?,
        };
        self.noted(|notes| notes.newest.insert(name.clone(), lease.clone()));
        if self.has(Fault::RepeatsEpochs) {
            lease.epoch = 1;
        }
        Ok(lease)
    }

    async fn beat(&self, node: &NodeId, ttl: Duration) -> Result<()> {
        if self.has(Fault::IgnoresBeats) {
            return Ok(());
        }
        self.inner.beat(node, ttl).await
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        if self.has(Fault::IgnoresRelease) {
            return Ok(());
        }
        self.inner.release(lease).await
    }

    async fn commit(
        &self,
        lease: &Lease,
        session: &SessionKey,
        mut after: Seq,
        batch: Batch,
    ) -> Result<()> {
        let lease = self.lease_for(lease, session);
        let batch = self.bent(session, &mut after, batch).await?;
        let outbox = batch.outbox.clone();
        let result = self.inner.commit(&lease, session, after, batch).await;
        if result.is_err() && self.has(Fault::TearsBatches) {
            self.inner.write(vec![], outbox).await?;
        }
        result
    }

    async fn head(&self, session: &SessionKey) -> Result<SessionHead> {
        self.inner.head(session).await
    }

    async fn read(&self, session: &SessionKey, after: Seq, limit: usize) -> Result<Vec<LogRow>> {
        let mut rows = self.inner.read(session, after, limit).await?;
        if self.has(Fault::ReversesLog) {
            rows.reverse();
        }
        if self.has(Fault::ErasesEnvelopes) {
            rows.retain(|row| row.payload.is_some());
        }
        Ok(rows)
    }

    async fn sessions(
        &self,
        after: Option<&SessionKey>,
        limit: usize,
    ) -> Result<Vec<(SessionKey, SessionHead)>> {
        self.inner.sessions(self.page(after), limit).await
    }

    async fn erase(&self, session: &SessionKey, from: Seq, to: Seq) -> Result<u64> {
        self.inner.erase(session, from, to).await
    }

    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>> {
        let mut letters = self.inner.dead_letters(limit).await?;
        if self.has(Fault::ReversesDead) {
            letters.reverse();
        }
        Ok(letters)
    }
}

#[async_trait]
impl OutboxStore for Faulty {
    async fn lanes(&self, account: &AccountId) -> Result<Vec<Conversation>> {
        if self.has(Fault::ListsIdleLanes) {
            let all = self.noted(|notes| notes.conversations.clone());
            return Ok(all.into_iter().filter(|lane| lane.account == *account).collect());
        }
        self.inner.lanes(account).await
    }

    async fn lane(
        &self,
        conversation: &Conversation,
        after: OutboundId,
        limit: usize,
    ) -> Result<Vec<OutboundRow>> {
        let mut rows = self.inner.lane(conversation, after, limit).await?;
        if self.has(Fault::ReversesLane) {
            rows.reverse();
        }
        Ok(rows)
    }

    async fn claim(&self, id: OutboundId, at: Timestamp) -> Result<()> {
        if self.has(Fault::ForgetsClaims) {
            return Ok(());
        }
        match self.inner.claim(id, at).await {
            Err(_) if self.has(Fault::InventsRows) => Ok(()),
            other => other,
        }
    }

    async fn settle(&self, id: OutboundId, settlement: Settlement) -> Result<()> {
        if self.has(Fault::ForgetsSettlements) {
            return Ok(());
        }
        let state = match &settlement {
            Settlement::Sent(receipt) => OutboundState::Sent { receipt: receipt.clone() },
            Settlement::Failed(error) => OutboundState::Failed { error: *error },
            Settlement::Unknown => OutboundState::Unknown,
            Settlement::Retry { .. } => OutboundState::Pending,
        };
        self.noted(|notes| notes.settled.insert(id, state));
        let settlement = match settlement {
            Settlement::Retry { .. } if self.has(Fault::GivesUpRetries) => Settlement::Unknown,
            other => other,
        };
        match self.inner.settle(id, settlement).await {
            Err(_) if self.has(Fault::InventsRows) => Ok(()),
            other => other,
        }
    }

    async fn outbound(&self, key: &OutboundKey) -> Result<Option<OutboundRow>> {
        let mut row = self.inner.outbound(key).await?;
        if let Some(row) = &mut row
            && self.has(Fault::SettlesTwice)
            && let Some(state) = self.noted(|notes| notes.settled.get(&row.id).cloned())
        {
            row.state = state;
        }
        if let Some(row) = &mut row
            && self.has(Fault::KeepsSent)
            && let Some(action) = self.noted(|notes| notes.actions.get(key).cloned())
        {
            row.new.action = action;
        }
        Ok(row)
    }

    async fn undelivered(&self, limit: usize) -> Result<Vec<OutboundRow>> {
        let mut rows = self.inner.undelivered(limit).await?;
        if self.has(Fault::ReversesUndelivered) {
            rows.reverse();
        }
        Ok(rows)
    }
}

#[async_trait]
impl RecordStore for Faulty {
    async fn record(&self, key: &RecordKey) -> Result<Option<Record>> {
        let mut record = self.inner.record(key).await?;
        if self.has(Fault::StuckVersions) {
            record.iter_mut().for_each(|record| record.version = 1);
        }
        Ok(record)
    }

    async fn records(
        &self,
        space: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Record>> {
        let prefix = if self.has(Fault::IgnoresPrefix) { "" } else { prefix };
        self.inner.records(space, prefix, self.page(after), limit).await
    }

    async fn write(&self, records: Vec<RecordWrite>, outbox: Vec<NewOutbound>) -> Result<()> {
        let outbox = self.outgoing(outbox).await?;
        let records = self.writes(records);
        let first: Vec<RecordWrite> = records.first().cloned().into_iter().collect();
        let result = self.inner.write(records, outbox).await;
        if result.is_err() && self.has(Fault::TearsWrites) {
            self.inner.write(first, vec![]).await?;
        }
        result
    }
}

impl Store for Faulty {
    fn blobs(&self) -> Option<Arc<dyn Blobs>> {
        self.inner.blobs()
    }
}

/// Opens one [`Faulty`] store again and again.
pub struct FaultyFixture(Faulty);

impl FaultyFixture {
    /// Opens a store with this fault; with none, a sound one.
    pub fn new(fault: Option<Fault>) -> Self {
        Self(Faulty::new(fault))
    }
}

#[async_trait]
impl StoreFixture for FaultyFixture {
    async fn open(&self) -> Result<Arc<dyn Store>> {
        if self.0.has(Fault::Forgets) {
            return Ok(Arc::new(Faulty::new(None)));
        }
        Ok(Arc::new(self.0.clone()))
    }
}
