//! Outgoing rows in memory.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    ops::Bound,
};

use async_trait::async_trait;
use tokio::time::Instant;

use super::InMemory;
use crate::{
    error::{ErrorKind, Result},
    id::{AccountId, Conversation, OutboundKey, SessionKey},
    store::{
        KEY_RETENTION, NewOutbound, OutboundId, OutboundRow, OutboundState, OutboxStore,
        Settlement, no_such_outbound,
    },
    time::Timestamp,
};

#[derive(Default)]
pub(super) struct Outbox {
    last: u64,
    rows: HashMap<OutboundId, OutboundRow>,
    by_key: HashMap<OutboundKey, OutboundId>,
    /// Rows that are pending or being sent.
    lanes: HashMap<AccountId, BTreeMap<Conversation, BTreeSet<OutboundId>>>,
    /// Settled rows that were not sent, or nobody knows.
    undelivered: BTreeSet<OutboundId>,
    /// The live rows by their groups.
    groups: HashMap<OutboundKey, BTreeSet<OutboundId>>,
    /// All other rows, by age.
    settled: VecDeque<(Instant, OutboundId)>,
}

impl Outbox {
    /// Adds the rows whose keys are new.
    pub(super) fn add(&mut self, rows: Vec<NewOutbound>) {
        self.forget_old();
        for new in rows {
            if self.by_key.contains_key(&new.key) {
                continue;
            }
            self.last += 1;
            let id = OutboundId(self.last);
            self.by_key.insert(new.key.clone(), id);
            let lanes = self.lanes.entry(new.conversation.account.clone()).or_default();
            lanes.entry(new.conversation.clone()).or_default().insert(id);
            self.groups.entry(new.group.clone()).or_default().insert(id);
            let state = OutboundState::Pending;
            self.rows.insert(id, OutboundRow { id, new, state, attempts: 0, not_before: None });
        }
    }

    fn forget_old(&mut self) {
        let now = Instant::now();
        while let Some((at, id)) = self.settled.front()
            && now.saturating_duration_since(*at) > KEY_RETENTION
        {
            if let Some(row) = self.rows.remove(id) {
                self.by_key.remove(&row.new.key);
            }
            self.settled.pop_front();
        }
    }

    /// Takes away what settled rows of a session say.
    pub(super) fn erase(&mut self, session: &SessionKey) {
        for row in self.rows.values_mut() {
            if row.new.session.as_ref() == Some(session) && !row.state.is_live() {
                row.new.action = row.new.action.clone().without_content();
            }
        }
    }

    fn row(&mut self, id: OutboundId) -> Result<&mut OutboundRow> {
        self.rows.get_mut(&id).ok_or_else(|| no_such_outbound(id))
    }

    fn claim(&mut self, id: OutboundId, at: Timestamp) -> Result<()> {
        let row = self.row(id)?;
        if !row.state.is_live() {
            return Err(crate::Error::new(
                ErrorKind::Conflict,
                "the outgoing row is settled; read its lane afresh",
            )
            .with("row", id.0));
        }
        row.state = OutboundState::Sending { since: at };
        Ok(())
    }

    fn settle(&mut self, id: OutboundId, settlement: Settlement) -> Result<()> {
        let row = self.row(id)?;
        if !row.state.is_live() {
            return Ok(());
        }
        match settlement {
            Settlement::Sent(receipt) => row.state = OutboundState::Sent { receipt },
            Settlement::Unknown => row.state = OutboundState::Unknown,
            Settlement::Retry { at } => {
                row.state = OutboundState::Pending;
                row.attempts += 1;
                row.not_before = Some(at);
                return Ok(());
            }
            Settlement::Failed(error) => {
                row.state = OutboundState::Failed { error };
                row.attempts += 1;
                let group = row.new.group.clone();
                self.skip_group(&group, error);
            }
        }
        self.leave_lane(id);
        Ok(())
    }

    /// Gives up the pending rows of a group.
    fn skip_group(&mut self, group: &OutboundKey, error: ErrorKind) {
        let ids: Vec<OutboundId> = self.groups.get(group).into_iter().flatten().copied().collect();
        for id in ids {
            if let Some(row) = self.rows.get_mut(&id)
                && row.state == OutboundState::Pending
            {
                row.state = OutboundState::Failed { error };
                self.leave_lane(id);
            }
        }
    }

    fn leave_lane(&mut self, id: OutboundId) {
        self.settled.push_back((Instant::now(), id));
        let Some(row) = self.rows.get(&id) else { return };
        if !matches!(row.state, OutboundState::Sent { .. }) {
            self.undelivered.insert(id);
        }
        let place = &row.new.conversation;
        if let Some(lanes) = self.lanes.get_mut(&place.account)
            && let Some(lane) = lanes.get_mut(place)
        {
            lane.remove(&id);
            if lane.is_empty() {
                lanes.remove(place);
            }
        }
        if let Some(group) = self.groups.get_mut(&row.new.group) {
            group.remove(&id);
            if group.is_empty() {
                self.groups.remove(&row.new.group);
            }
        }
    }
}

#[async_trait]
impl OutboxStore for InMemory {
    async fn lanes(&self, account: &AccountId) -> Result<Vec<Conversation>> {
        let state = self.state();
        let lanes = state.outbox.lanes.get(account);
        Ok(lanes.into_iter().flat_map(BTreeMap::keys).cloned().collect())
    }

    async fn lane(
        &self,
        conversation: &Conversation,
        after: OutboundId,
        limit: usize,
    ) -> Result<Vec<OutboundRow>> {
        let outbox = &self.state().outbox;
        let lanes = outbox.lanes.get(&conversation.account);
        let Some(lane) = lanes.and_then(|lanes| lanes.get(conversation)) else {
            return Ok(Vec::new());
        };
        let ids = lane.range((Bound::Excluded(after), Bound::Unbounded)).take(limit);
        Ok(ids.filter_map(|id| outbox.rows.get(id).cloned()).collect())
    }

    async fn claim(&self, id: OutboundId, at: Timestamp) -> Result<()> {
        self.state().outbox.claim(id, at)
    }

    async fn settle(&self, id: OutboundId, settlement: Settlement) -> Result<()> {
        self.state().outbox.settle(id, settlement)
    }

    async fn outbound(&self, key: &OutboundKey) -> Result<Option<OutboundRow>> {
        let outbox = &self.state().outbox;
        Ok(outbox.by_key.get(key).and_then(|id| outbox.rows.get(id)).cloned())
    }

    async fn undelivered(&self, limit: usize) -> Result<Vec<OutboundRow>> {
        let outbox = &self.state().outbox;
        let ids = outbox.undelivered.iter().rev().take(limit);
        Ok(ids.filter_map(|id| outbox.rows.get(id).cloned()).collect())
    }
}
