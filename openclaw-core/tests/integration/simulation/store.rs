//! A store that works, and whose caller often does not hear of it.

use std::{sync::Arc, time::Duration};

use openclaw_core::{
    AccountId, Conversation, NodeId, OutboundKey, Result, Seq, SessionKey, async_trait,
    blobs::Blobs,
    store::{
        AcceptLimits, AcceptOutcome, Batch, DeadLetter, InMemory, InputId, InputRow, Lease,
        LeaseName, LogRow, NewInput, NewOutbound, OutboundId, OutboundRow, OutboxStore, Record,
        RecordKey, RecordStore, RecordWrite, SessionHead, SessionStore, Settlement, Store,
        Unfinished,
    },
    time::Timestamp,
};
use sha2::{Digest as _, Sha256};

use super::world::{Bug, Life};

/// The store as one life of the process has it.
pub(super) struct SimStore {
    pub(super) inner: InMemory,
    pub(super) life: Arc<Life>,
}

macro_rules! ask {
    ($self:ident, $what:literal, $call:expr) => {{
        $self.life.before($what).await?;
        let answer = $call.await;
        $self.life.after($what).await?;
        answer
    }};
}

impl SimStore {
    fn note_outbox(&self, rows: &[NewOutbound]) {
        self.life.world.happened.lock().unwrap().outbox.extend_from_slice(rows);
    }

    fn planted(&self, bug: Bug) -> bool {
        self.life.world.bug == Some(bug)
    }
}

/// All labels of a row say that it can be trusted.
fn without_labels(row: &mut LogRow) {
    let Some(payload) = &mut row.payload else { return };
    *payload = payload.replace(r#""integrity":"untrusted""#, r#""integrity":"system""#);
    row.digest = Sha256::digest(&*payload).iter().map(|byte| format!("{byte:02x}")).collect();
}

#[async_trait]
impl SessionStore for SimStore {
    async fn accept(
        &self,
        inputs: Vec<NewInput>,
        limits: AcceptLimits,
    ) -> Result<Vec<AcceptOutcome>> {
        self.life.before("accept").await?;
        let keys: Vec<_> = inputs.iter().map(|input| input.key.clone()).collect();
        let given = inputs.clone();
        let mut outcomes = self.inner.accept(inputs, limits).await?;
        if self.planted(Bug::KeysBySession) {
            for (outcome, mut input) in outcomes.iter_mut().zip(given) {
                let AcceptOutcome::Duplicate { session } = outcome else { continue };
                if *session != input.session {
                    input.heard.thread = Some(input.session.as_str().into());
                    *outcome = self.inner.accept(vec![input], limits).await?.remove(0);
                }
            }
        }
        for (key, outcome) in keys.iter().zip(&outcomes) {
            self.life.world.log(format!("accept {} {outcome:?}", key.as_str()));
            self.life.world.accepted(key);
        }
        self.life.after("accept").await?;
        Ok(outcomes)
    }

    async fn inputs(
        &self,
        session: &SessionKey,
        after: InputId,
        limit: usize,
    ) -> Result<Vec<InputRow>> {
        ask!(self, "inputs", self.inner.inputs(session, after, limit))
    }

    async fn unfinished(
        &self,
        after: Option<&SessionKey>,
        limit: usize,
    ) -> Result<Vec<Unfinished>> {
        ask!(self, "unfinished", self.inner.unfinished(after, limit))
    }

    async fn lease(&self, name: &LeaseName, node: &NodeId, ttl: Duration) -> Result<Lease> {
        ask!(self, "lease", self.inner.lease(name, node, ttl))
    }

    async fn beat(&self, node: &NodeId, ttl: Duration) -> Result<()> {
        ask!(self, "beat", self.inner.beat(node, ttl))
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        ask!(self, "release", self.inner.release(lease))
    }

    async fn commit(
        &self,
        lease: &Lease,
        session: &SessionKey,
        after: Seq,
        mut batch: Batch,
    ) -> Result<()> {
        self.life.before("commit").await?;
        if self.planted(Bug::LostInput) && !batch.consumed.is_empty() {
            let pending = self.inner.inputs(session, InputId::default(), usize::MAX).await?;
            let more = pending.iter().find(|row| !row.control && !batch.consumed.contains(&row.id));
            batch.consumed.extend(more.map(|row| row.id));
        }
        let done = self.inner.commit(lease, session, after, batch.clone()).await;
        let rows = batch.entries.iter().map(|row| format!("{}:{:.8}", row.kind, row.digest));
        let rows = rows.collect::<Vec<_>>().join(" ");
        self.life.world.log(format!(
            "commit {session} after {after} [{rows}] consumed {:?} out {} ok {}",
            batch.consumed,
            batch.outbox.len(),
            done.is_ok()
        ));
        done?;
        self.note_outbox(&batch.outbox);
        self.life.world.happened.lock().unwrap().commits.push((session.clone(), batch));
        self.life.after("commit").await
    }

    async fn head(&self, session: &SessionKey) -> Result<SessionHead> {
        ask!(self, "head", self.inner.head(session))
    }

    async fn read(&self, session: &SessionKey, after: Seq, limit: usize) -> Result<Vec<LogRow>> {
        let mut rows = ask!(self, "read", self.inner.read(session, after, limit))?;
        for row in &mut rows {
            if self.planted(Bug::OrphanCall) && row.kind == "tool_finished" {
                row.payload = None;
            }
            if self.planted(Bug::LabelLoss) {
                without_labels(row);
            }
        }
        Ok(rows)
    }

    async fn sessions(
        &self,
        after: Option<&SessionKey>,
        limit: usize,
    ) -> Result<Vec<(SessionKey, SessionHead)>> {
        ask!(self, "sessions", self.inner.sessions(after, limit))
    }

    async fn erase(&self, session: &SessionKey, from: Seq, to: Seq) -> Result<u64> {
        ask!(self, "erase", self.inner.erase(session, from, to))
    }

    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>> {
        ask!(self, "dead letters", self.inner.dead_letters(limit))
    }
}

#[async_trait]
impl OutboxStore for SimStore {
    async fn lanes(&self, account: &AccountId) -> Result<Vec<Conversation>> {
        ask!(self, "lanes", self.inner.lanes(account))
    }

    async fn lane(
        &self,
        conversation: &Conversation,
        after: OutboundId,
        limit: usize,
    ) -> Result<Vec<OutboundRow>> {
        ask!(self, "lane", self.inner.lane(conversation, after, limit))
    }

    async fn claim(&self, id: OutboundId, at: Timestamp) -> Result<()> {
        ask!(self, "claim", self.inner.claim(id, at))
    }

    async fn settle(&self, id: OutboundId, settlement: Settlement) -> Result<()> {
        self.life.before("settle").await?;
        self.life.world.log(format!("settle {id:?} {settlement:?}"));
        let sent = matches!(settlement, Settlement::Sent(_));
        if !(sent && self.planted(Bug::DoubleSend) && self.life.world.chance(4)) {
            self.inner.settle(id, settlement).await?;
        }
        self.life.after("settle").await
    }

    async fn outbound(&self, key: &OutboundKey) -> Result<Option<OutboundRow>> {
        ask!(self, "outbound", self.inner.outbound(key))
    }

    async fn undelivered(&self, limit: usize) -> Result<Vec<OutboundRow>> {
        ask!(self, "undelivered", self.inner.undelivered(limit))
    }
}

#[async_trait]
impl RecordStore for SimStore {
    async fn record(&self, key: &RecordKey) -> Result<Option<Record>> {
        ask!(self, "record", self.inner.record(key))
    }

    async fn records(
        &self,
        space: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Record>> {
        ask!(self, "records", self.inner.records(space, prefix, after, limit))
    }

    async fn write(&self, records: Vec<RecordWrite>, outbox: Vec<NewOutbound>) -> Result<()> {
        self.life.before("write").await?;
        self.inner.write(records, outbox.clone()).await?;
        self.life.world.log(format!("write out {}", outbox.len()));
        self.note_outbox(&outbox);
        self.life.after("write").await
    }
}

impl Store for SimStore {
    fn blobs(&self) -> Option<Arc<dyn Blobs>> {
        self.inner.blobs()
    }
}
