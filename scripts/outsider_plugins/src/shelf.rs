//! A store that keeps everything on one shelf, in the order in which it came, and forgets it with the
//! process.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use openclaw_core::{
    AccountId, Conversation, Error, ErrorKind, NodeId, OutboundKey, Result, Seq, SessionKey,
    async_trait,
    blobs::Blobs,
    store::{
        AcceptLimits, AcceptOutcome, Batch, DROPPED, DeadLetter, InputId, InputRow, Lease,
        LeaseName, LeaseTable, LogRow, NewInput, NewOutbound, OutboundId, OutboundRow,
        OutboundState, OutboxStore, Record, RecordKey, RecordStore, RecordWrite, SessionHead,
        SessionStore, Settlement, Store, Unfinished, check_entries, no_such_outbound,
    },
    time::Timestamp,
};

/// Clones are the same shelf.
#[derive(Clone)]
pub struct Shelf(Arc<Mutex<Things>>);

struct Things {
    leases: LeaseTable,
    inputs: Vec<Input>,
    dead: Vec<DeadLetter>,
    sessions: BTreeMap<SessionKey, (SessionHead, Vec<LogRow>)>,
    outbox: Vec<OutboundRow>,
    records: BTreeMap<RecordKey, Record>,
}

/// An input that came once, so that its key is known.
struct Input {
    session: SessionKey,
    heard: Conversation,
    row: InputRow,
    pending: bool,
}

impl Shelf {
    /// An empty shelf.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Things {
            leases: LeaseTable::starting_after(0),
            inputs: Vec::new(),
            dead: Vec::new(),
            sessions: BTreeMap::new(),
            outbox: Vec::new(),
            records: BTreeMap::new(),
        })))
    }

    fn things(&self) -> MutexGuard<'_, Things> {
        self.0.lock().unwrap()
    }
}

impl Default for Shelf {
    fn default() -> Self {
        Self::new()
    }
}

impl Things {
    fn pending<'a>(&'a self, of: &'a SessionKey) -> impl Iterator<Item = &'a Input> {
        self.inputs.iter().filter(move |input| input.pending && input.session == *of)
    }

    fn accept(&mut self, new: NewInput, limits: AcceptLimits) -> AcceptOutcome {
        let same = |input: &&Input| input.heard == new.heard && input.row.key == new.key;
        if let Some(known) = self.inputs.iter().find(same) {
            return AcceptOutcome::Duplicate { session: known.session.clone() };
        }
        let waiting = self.inputs.iter().filter(|input| input.pending && !input.row.control);
        if !new.control && waiting.count() as u64 >= limits.total {
            return AcceptOutcome::Full;
        }
        let NewInput { session, heard, key, control, at, payload } = new;
        let id = InputId(self.inputs.len() as u64 + 1);
        let row = InputRow { id, key, control, at, payload };
        self.inputs.push(Input { session: session.clone(), heard, row, pending: true });
        let mut dropped = 0;
        while !control {
            let messages = self.pending(&session).filter(|input| !input.row.control);
            let ids: Vec<InputId> = messages.map(|input| input.row.id).collect();
            if ids.len() as u64 <= limits.session.max(1) {
                break;
            }
            self.give_up(&session, ids[0], DROPPED);
            dropped += 1;
        }
        AcceptOutcome::Added { id, dropped }
    }

    /// Takes a pending input away, if it still is.
    fn take(&mut self, session: &SessionKey, id: InputId) -> Option<InputRow> {
        let mut inputs = self.inputs.iter_mut();
        let found = inputs.find(|i| i.pending && i.session == *session && i.row.id == id)?;
        found.pending = false;
        Some(found.row.clone())
    }

    fn give_up(&mut self, session: &SessionKey, id: InputId, reason: &str) {
        if let Some(input) = self.take(session, id) {
            let (session, reason) = (session.clone(), reason.to_owned());
            self.dead.push(DeadLetter { session, input, reason });
        }
    }

    fn check(&self, session: &SessionKey, after: Seq, batch: &Batch) -> Result<()> {
        let end = self.sessions.get(session).map_or(Seq::ZERO, |(head, _)| head.seq);
        check_entries(session, end, after, &batch.entries)?;
        let mut gone = BTreeSet::new();
        for id in batch.consumed.iter().chain(batch.dead.iter().map(|(id, _)| id)) {
            let pending = self.pending(session).any(|input| input.row.id == *id);
            let dropped = self.dead.iter().any(|letter| {
                letter.session == *session && letter.input.id == *id && letter.reason == DROPPED
            });
            if !(pending || dropped) || !gone.insert(*id) {
                return Err(Error::new(ErrorKind::Conflict, format!("input {} waits not", id.0)));
            }
        }
        self.check_records(&batch.records)
    }

    fn check_records(&self, writes: &[RecordWrite]) -> Result<()> {
        let mut versions = BTreeMap::new();
        for write in writes {
            let stored = self.records.get(&write.key).map_or(0, |record| record.version);
            let version = versions.entry(&write.key).or_insert(stored);
            write.check_version(*version)?;
            *version = if write.value.is_some() { *version + 1 } else { 0 };
        }
        Ok(())
    }

    fn write(&mut self, writes: Vec<RecordWrite>, outbox: Vec<NewOutbound>) {
        for RecordWrite { key, value, .. } in writes {
            let version = self.records.get(&key).map_or(0, |record| record.version) + 1;
            match value {
                Some(value) => self.records.insert(key.clone(), Record { key, version, value }),
                None => self.records.remove(&key),
            };
        }
        for new in outbox {
            if !self.outbox.iter().any(|row| row.new.key == new.key) {
                let id = OutboundId(self.outbox.len() as u64 + 1);
                let state = OutboundState::Pending;
                self.outbox.push(OutboundRow { id, new, state, attempts: 0, not_before: None });
            }
        }
    }

    fn outgoing(&mut self, id: OutboundId) -> Result<&mut OutboundRow> {
        self.outbox.iter_mut().find(|row| row.id == id).ok_or_else(|| no_such_outbound(id))
    }
}

#[async_trait]
impl SessionStore for Shelf {
    async fn accept(
        &self,
        inputs: Vec<NewInput>,
        limits: AcceptLimits,
    ) -> Result<Vec<AcceptOutcome>> {
        let mut things = self.things();
        Ok(inputs.into_iter().map(|input| things.accept(input, limits)).collect())
    }

    async fn inputs(
        &self,
        session: &SessionKey,
        after: InputId,
        limit: usize,
    ) -> Result<Vec<InputRow>> {
        let things = self.things();
        let (controls, others): (Vec<_>, Vec<_>) =
            things.pending(session).map(|input| &input.row).partition(|row| row.control);
        let others = others.into_iter().filter(|row| row.id > after);
        Ok(controls.into_iter().chain(others).take(limit).cloned().collect())
    }

    async fn unfinished(
        &self,
        after: Option<&SessionKey>,
        limit: usize,
    ) -> Result<Vec<Unfinished>> {
        let things = self.things();
        let waiting = things.inputs.iter().filter(|i| i.pending).map(|i| i.session.clone());
        let due = |head: &SessionHead| head.open || head.wake_at.is_some();
        let open = things.sessions.iter().filter(|(_, (head, _))| due(head));
        let keys: BTreeSet<SessionKey> = waiting.chain(open.map(|(key, _)| key.clone())).collect();
        let page = keys.into_iter().filter(|key| after.is_none_or(|after| key > after)).take(limit);
        let row = |session: SessionKey| {
            let head = things.sessions.get(&session).map(|(head, _)| *head).unwrap_or_default();
            let pending = things.pending(&session).count() as u64;
            Unfinished { pending, open: head.open, wake_at: head.wake_at, session }
        };
        Ok(page.map(row).collect())
    }

    async fn lease(&self, name: &LeaseName, node: &NodeId, ttl: Duration) -> Result<Lease> {
        self.things().leases.take(name, node, ttl)
    }

    async fn beat(&self, node: &NodeId, ttl: Duration) -> Result<()> {
        self.things().leases.beat(node, ttl);
        Ok(())
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        self.things().leases.release(lease);
        Ok(())
    }

    async fn commit(
        &self,
        lease: &Lease,
        session: &SessionKey,
        after: Seq,
        batch: Batch,
    ) -> Result<()> {
        let mut things = self.things();
        lease.check_is_for(session)?;
        things.leases.check(lease)?;
        things.check(session, after, &batch)?;
        for id in batch.consumed {
            things.take(session, id);
        }
        for (id, reason) in batch.dead {
            things.give_up(session, id, &reason);
        }
        let (head, log) = things.sessions.entry(session.clone()).or_default();
        log.extend(batch.entries);
        head.seq = log.last().map_or(Seq::ZERO, |row| row.seq);
        head.checkpoint = batch.session.checkpoint.unwrap_or(head.checkpoint);
        (head.open, head.wake_at) = (batch.session.open, batch.session.wake_at);
        things.write(batch.records, batch.outbox);
        Ok(())
    }

    async fn head(&self, session: &SessionKey) -> Result<SessionHead> {
        Ok(self.things().sessions.get(session).map(|(head, _)| *head).unwrap_or_default())
    }

    async fn read(&self, session: &SessionKey, after: Seq, limit: usize) -> Result<Vec<LogRow>> {
        let things = self.things();
        let log = things.sessions.get(session).map(|(_, log)| log).into_iter().flatten();
        Ok(log.filter(|row| row.seq > after).take(limit).cloned().collect())
    }

    async fn sessions(
        &self,
        after: Option<&SessionKey>,
        limit: usize,
    ) -> Result<Vec<(SessionKey, SessionHead)>> {
        let things = self.things();
        let rows = things.sessions.iter().map(|(key, (head, _))| (key.clone(), *head));
        let begun = rows
            .filter(|(key, head)| head.seq > Seq::ZERO && after.is_none_or(|after| key > after));
        Ok(begun.take(limit).collect())
    }

    async fn erase(&self, session: &SessionKey, from: Seq, to: Seq) -> Result<u64> {
        let mut things = self.things();
        for row in &mut things.outbox {
            if row.new.session.as_ref() == Some(session) && !row.state.is_live() {
                row.new.action = row.new.action.clone().without_content();
            }
        }
        let Some((head, log)) = things.sessions.get_mut(session) else { return Ok(0) };
        let rows = log.iter_mut().filter(|row| (from..=to).contains(&row.seq));
        let erased = rows.filter_map(|row| row.payload.take()).count() as u64;
        head.revision += u64::from(erased > 0);
        Ok(erased)
    }

    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>> {
        Ok(self.things().dead.iter().rev().take(limit).cloned().collect())
    }
}

#[async_trait]
impl OutboxStore for Shelf {
    async fn lanes(&self, account: &AccountId) -> Result<Vec<Conversation>> {
        let things = self.things();
        let live = things.outbox.iter().filter(|row| row.state.is_live());
        let lanes = live.map(|row| &row.new.conversation).filter(|lane| lane.account == *account);
        Ok(lanes.collect::<BTreeSet<_>>().into_iter().cloned().collect())
    }

    async fn lane(
        &self,
        conversation: &Conversation,
        after: OutboundId,
        limit: usize,
    ) -> Result<Vec<OutboundRow>> {
        let things = self.things();
        let lane = things.outbox.iter().filter(|row| {
            row.state.is_live() && row.new.conversation == *conversation && row.id > after
        });
        Ok(lane.take(limit).cloned().collect())
    }

    async fn claim(&self, id: OutboundId, at: Timestamp) -> Result<()> {
        let mut things = self.things();
        let row = things.outgoing(id)?;
        if !row.state.is_live() {
            return Err(Error::new(ErrorKind::Conflict, "the row is settled"));
        }
        row.state = OutboundState::Sending { since: at };
        Ok(())
    }

    async fn settle(&self, id: OutboundId, settlement: Settlement) -> Result<()> {
        let mut things = self.things();
        let row = things.outgoing(id)?;
        if !row.state.is_live() {
            return Ok(());
        }
        match settlement {
            Settlement::Sent(receipt) => row.state = OutboundState::Sent { receipt },
            Settlement::Unknown => row.state = OutboundState::Unknown,
            Settlement::Retry { at } => {
                (row.state, row.not_before) = (OutboundState::Pending, Some(at));
                row.attempts += 1;
            }
            Settlement::Failed(error) => {
                row.state = OutboundState::Failed { error };
                row.attempts += 1;
                let group = row.new.group.clone();
                for other in &mut things.outbox {
                    if other.new.group == group && other.state == OutboundState::Pending {
                        other.state = OutboundState::Failed { error };
                    }
                }
            }
            other => return Err(Error::new(ErrorKind::Unsupported, format!("{other:?}"))),
        }
        Ok(())
    }

    async fn outbound(&self, key: &OutboundKey) -> Result<Option<OutboundRow>> {
        Ok(self.things().outbox.iter().find(|row| row.new.key == *key).cloned())
    }

    async fn undelivered(&self, limit: usize) -> Result<Vec<OutboundRow>> {
        let things = self.things();
        let lost = things.outbox.iter().rev().filter(|row| {
            matches!(row.state, OutboundState::Failed { .. } | OutboundState::Unknown)
        });
        Ok(lost.take(limit).cloned().collect())
    }
}

#[async_trait]
impl RecordStore for Shelf {
    async fn record(&self, key: &RecordKey) -> Result<Option<Record>> {
        Ok(self.things().records.get(key).cloned())
    }

    async fn records(
        &self,
        space: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Record>> {
        let things = self.things();
        let fits = |record: &&Record| {
            let name = record.key.name.as_str();
            record.key.space == space
                && name.starts_with(prefix)
                && after.is_none_or(|after| name > after)
        };
        Ok(things.records.values().filter(fits).take(limit).cloned().collect())
    }

    async fn write(&self, records: Vec<RecordWrite>, outbox: Vec<NewOutbound>) -> Result<()> {
        let mut things = self.things();
        things.check_records(&records)?;
        things.write(records, outbox);
        Ok(())
    }
}

impl Store for Shelf {
    fn is_ephemeral(&self) -> bool {
        true
    }

    fn blobs(&self) -> Option<Arc<dyn Blobs>> {
        None
    }
}
