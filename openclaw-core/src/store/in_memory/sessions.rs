//! Inputs, logs and leases in memory.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    ops::Bound,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::Instant;

use super::InMemory;
use crate::{
    error::{Error, ErrorKind, Result},
    id::{Conversation, EventKey, NodeId, Seq, SessionKey},
    store::{
        AcceptLimits, AcceptOutcome, Batch, DROPPED, DeadLetter, InputId, InputRow, KEY_RETENTION,
        Lease, LeaseName, LogRow, NewInput, SessionHead, SessionStore, Unfinished, check_entries,
    },
};

#[derive(Default)]
pub(super) struct Sessions {
    last_input: u64,
    /// Pending inputs of all sessions; controls are not counted.
    pending: u64,
    /// What was accepted, and for which session.
    keys: HashMap<Arc<Key>, SessionKey>,
    /// The same keys by age, so that old ones can be forgotten.
    by_age: VecDeque<(Instant, Arc<Key>)>,
    all: BTreeMap<SessionKey, Session>,
    unfinished: BTreeSet<SessionKey>,
    dead: Vec<DeadLetter>,
}

type Key = (Conversation, EventKey);

#[derive(Default)]
struct Session {
    controls: BTreeMap<InputId, InputRow>,
    inputs: BTreeMap<InputId, InputRow>,
    head: SessionHead,
    log: Vec<LogRow>,
}

impl Session {
    fn pending(&self) -> usize {
        self.controls.len() + self.inputs.len()
    }

    fn holds(&self, id: InputId) -> bool {
        self.controls.contains_key(&id) || self.inputs.contains_key(&id)
    }

    /// The log rows with `seq > after`.
    fn rows(&self, after: Seq) -> &[LogRow] {
        let start = usize::try_from(after.0).unwrap_or(usize::MAX);
        self.log.get(start..).unwrap_or_default()
    }
}

impl Sessions {
    fn accept(&mut self, input: NewInput, limits: AcceptLimits) -> AcceptOutcome {
        let (name, key) = (input.session, Arc::new((input.heard, input.key)));
        if let Some(session) = self.keys.get(&key) {
            return AcceptOutcome::Duplicate { session: session.clone() };
        }
        if !input.control && self.pending >= limits.total {
            return AcceptOutcome::Full;
        }
        self.by_age.push_back((Instant::now(), Arc::clone(&key)));
        self.keys.insert(Arc::clone(&key), name.clone());
        self.last_input += 1;
        let id = InputId(self.last_input);
        let row = InputRow {
            id,
            key: key.1.clone(),
            control: input.control,
            at: input.at,
            payload: input.payload,
        };
        let session = self.all.entry(name.clone()).or_default();
        self.unfinished.insert(name.clone());
        if input.control {
            session.controls.insert(id, row);
            return AcceptOutcome::Added { id, dropped: 0 };
        }
        session.inputs.insert(id, row);
        self.pending += 1;
        let mut dropped = 0;
        while session.inputs.len() as u64 > limits.session.max(1) {
            let Some((_, input)) = session.inputs.pop_first() else { break };
            self.pending -= 1;
            dropped += 1;
            let reason = DROPPED.to_owned();
            self.dead.push(DeadLetter { session: name.clone(), input, reason });
        }
        AcceptOutcome::Added { id, dropped }
    }

    fn forget_old_keys(&mut self) {
        let now = Instant::now();
        while let Some((at, key)) = self.by_age.front()
            && now.saturating_duration_since(*at) > KEY_RETENTION
        {
            self.keys.remove(key);
            self.by_age.pop_front();
        }
    }

    /// Everything that can be wrong with `batch`, apart from its records.
    fn check(&self, name: &SessionKey, after: Seq, batch: &Batch) -> Result<()> {
        let session = self.all.get(name);
        let head = session.map(|session| session.head).unwrap_or_default();
        check_entries(name, head.seq, after, &batch.entries)?;
        let mut gone = HashSet::new();
        for id in batch.consumed.iter().chain(batch.dead.iter().map(|(id, _)| id)) {
            let held = session.is_some_and(|session| session.holds(*id));
            if !(held || self.was_dropped(name, *id)) || !gone.insert(*id) {
                return Err(not_pending(name, *id));
            }
        }
        Ok(())
    }

    fn was_dropped(&self, name: &SessionKey, id: InputId) -> bool {
        let dropped = |letter: &DeadLetter| letter.reason == DROPPED && letter.input.id == id;
        self.dead.iter().any(|letter| dropped(letter) && letter.session == *name)
    }

    /// Applies a batch that was checked.
    fn apply(&mut self, name: &SessionKey, batch: &mut Batch) {
        let session = self.all.entry(name.clone()).or_default();
        let mut take = |id: &InputId| {
            let input = session.inputs.remove(id);
            self.pending -= u64::from(input.is_some());
            input.or_else(|| session.controls.remove(id))
        };
        for id in &batch.consumed {
            take(id);
        }
        for (id, reason) in batch.dead.drain(..) {
            if let Some(input) = take(&id) {
                self.dead.push(DeadLetter { session: name.clone(), input, reason });
            }
        }
        session.log.append(&mut batch.entries);
        let update = batch.session;
        session.head = SessionHead {
            seq: session.log.last().map_or(Seq::ZERO, |row| row.seq),
            checkpoint: update.checkpoint.unwrap_or(session.head.checkpoint),
            open: update.open,
            wake_at: update.wake_at,
            revision: session.head.revision,
        };
        if update.open || update.wake_at.is_some() || session.pending() > 0 {
            self.unfinished.insert(name.clone());
        } else {
            self.unfinished.remove(name);
        }
    }
}

fn not_pending(session: &SessionKey, id: InputId) -> Error {
    Error::new(ErrorKind::Conflict, "the input is not pending; read the inputs afresh")
        .with("session", session)
        .with("input", id.0)
}

fn from_after(after: Option<&SessionKey>) -> (Bound<&SessionKey>, Bound<&SessionKey>) {
    (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}

#[async_trait]
impl SessionStore for InMemory {
    async fn accept(
        &self,
        inputs: Vec<NewInput>,
        limits: AcceptLimits,
    ) -> Result<Vec<AcceptOutcome>> {
        let sessions = &mut self.state().sessions;
        sessions.forget_old_keys();
        Ok(inputs.into_iter().map(|input| sessions.accept(input, limits)).collect())
    }

    async fn inputs(
        &self,
        session: &SessionKey,
        after: InputId,
        limit: usize,
    ) -> Result<Vec<InputRow>> {
        let state = self.state();
        let Some(session) = state.sessions.all.get(session) else { return Ok(Vec::new()) };
        let others = session.inputs.range((Bound::Excluded(after), Bound::Unbounded));
        let rows = session.controls.values().chain(others.map(|(_, row)| row));
        Ok(rows.take(limit).cloned().collect())
    }

    async fn unfinished(
        &self,
        after: Option<&SessionKey>,
        limit: usize,
    ) -> Result<Vec<Unfinished>> {
        let sessions = &self.state().sessions;
        let names = sessions.unfinished.range::<SessionKey, _>(from_after(after));
        let rows = names.filter_map(|name| {
            let session = sessions.all.get(name)?;
            Some(Unfinished {
                session: name.clone(),
                pending: session.pending() as u64,
                open: session.head.open,
                wake_at: session.head.wake_at,
            })
        });
        Ok(rows.take(limit).collect())
    }

    async fn lease(&self, name: &LeaseName, node: &NodeId, ttl: Duration) -> Result<Lease> {
        self.state().leases.take(name, node, ttl)
    }

    async fn beat(&self, node: &NodeId, ttl: Duration) -> Result<()> {
        self.state().leases.beat(node, ttl);
        Ok(())
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        self.state().leases.release(lease);
        Ok(())
    }

    async fn commit(
        &self,
        lease: &Lease,
        session: &SessionKey,
        after: Seq,
        mut batch: Batch,
    ) -> Result<()> {
        let state = &mut *self.state();
        lease.check_is_for(session)?;
        state.leases.check(lease)?;
        state.sessions.check(session, after, &batch)?;
        state.records.check(&batch.records)?;
        state.sessions.apply(session, &mut batch);
        state.records.apply(batch.records);
        state.outbox.add(batch.outbox);
        Ok(())
    }

    async fn head(&self, session: &SessionKey) -> Result<SessionHead> {
        let state = self.state();
        Ok(state.sessions.all.get(session).map(|session| session.head).unwrap_or_default())
    }

    async fn read(&self, session: &SessionKey, after: Seq, limit: usize) -> Result<Vec<LogRow>> {
        let state = self.state();
        let Some(session) = state.sessions.all.get(session) else { return Ok(Vec::new()) };
        Ok(session.rows(after).iter().take(limit).cloned().collect())
    }

    async fn sessions(
        &self,
        after: Option<&SessionKey>,
        limit: usize,
    ) -> Result<Vec<(SessionKey, SessionHead)>> {
        let state = self.state();
        let rows = state.sessions.all.range::<SessionKey, _>(from_after(after));
        let begun = rows.filter(|(_, session)| session.head.seq > Seq::ZERO);
        Ok(begun.take(limit).map(|(name, session)| (name.clone(), session.head)).collect())
    }

    async fn erase(&self, session: &SessionKey, from: Seq, to: Seq) -> Result<u64> {
        let mut state = self.state();
        state.outbox.erase(session);
        let Some(session) = state.sessions.all.get_mut(session) else { return Ok(0) };
        let rows = session.log.iter_mut();
        let erased = rows
            .filter(|row| (from..=to).contains(&row.seq))
            .filter_map(|row| row.payload.take())
            .count();
        session.head.revision += u64::from(erased > 0);
        Ok(erased as u64)
    }

    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>> {
        Ok(self.state().sessions.dead.iter().rev().take(limit).cloned().collect())
    }
}
