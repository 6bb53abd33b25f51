//! The traits, each method handed to the writer or to a reader.

use std::{sync::Arc, time::Duration};

use openclaw_core::{
    AccountId, Conversation, NodeId, OutboundKey, Result, Seq, SessionKey, async_trait,
    blobs::Blobs,
    store::{
        AcceptLimits, AcceptOutcome, Batch, DeadLetter, InputId, InputRow, Lease, LeaseName,
        LogRow, NewInput, NewOutbound, OutboundId, OutboundRow, OutboxStore, Record, RecordKey,
        RecordStore, RecordWrite, SessionHead, SessionStore, Settlement, Store, Unfinished,
    },
    time::Timestamp,
};

use super::{Sqlite, erase, outbox, records, sessions, writer::write};

#[async_trait]
impl SessionStore for Sqlite {
    async fn accept(
        &self,
        inputs: Vec<NewInput>,
        limits: AcceptLimits,
    ) -> Result<Vec<AcceptOutcome>> {
        write(&self.0.jobs, move |tx| sessions::accept(tx, &inputs, limits)).await
    }

    async fn inputs(
        &self,
        session: &SessionKey,
        after: InputId,
        limit: usize,
    ) -> Result<Vec<InputRow>> {
        let session = session.clone();
        self.0.readers.read(move |conn| sessions::inputs(conn, &session, after, limit)).await
    }

    async fn unfinished(
        &self,
        after: Option<&SessionKey>,
        limit: usize,
    ) -> Result<Vec<Unfinished>> {
        let after = after.cloned();
        self.0.readers.read(move |conn| sessions::unfinished(conn, after.as_ref(), limit)).await
    }

    async fn lease(&self, name: &LeaseName, node: &NodeId, ttl: Duration) -> Result<Lease> {
        let taken = self.leases().is_taken(name);
        if !taken {
            return self.leases().take(name, node, ttl);
        }
        // A holder before may have a commit under way: the new one gets its lease behind it.
        let (name, node) = (name.clone(), node.clone());
        write(&self.0.jobs, move |tx| tx.leases().take(&name, &node, ttl)).await
    }

    async fn beat(&self, node: &NodeId, ttl: Duration) -> Result<()> {
        self.leases().beat(node, ttl);
        Ok(())
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        self.leases().release(lease);
        Ok(())
    }

    async fn commit(
        &self,
        lease: &Lease,
        session: &SessionKey,
        after: Seq,
        batch: Batch,
    ) -> Result<()> {
        let (lease, session) = (lease.clone(), session.clone());
        write(&self.0.jobs, move |tx| sessions::commit(tx, &lease, &session, after, &batch)).await
    }

    async fn head(&self, session: &SessionKey) -> Result<SessionHead> {
        let session = session.clone();
        self.0.readers.read(move |conn| sessions::head(conn, &session)).await
    }

    async fn read(&self, session: &SessionKey, after: Seq, limit: usize) -> Result<Vec<LogRow>> {
        let session = session.clone();
        self.0.readers.read(move |conn| sessions::read(conn, &session, after, limit)).await
    }

    async fn sessions(
        &self,
        after: Option<&SessionKey>,
        limit: usize,
    ) -> Result<Vec<(SessionKey, SessionHead)>> {
        let after = after.cloned();
        self.0.readers.read(move |conn| sessions::sessions(conn, after.as_ref(), limit)).await
    }

    async fn erase(&self, session: &SessionKey, from: Seq, to: Seq) -> Result<u64> {
        let session = session.clone();
        write(&self.0.jobs, move |tx| erase::erase(tx, &session, from, to)).await
    }

    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>> {
        self.0.readers.read(move |conn| sessions::dead_letters(conn, limit)).await
    }
}

#[async_trait]
impl OutboxStore for Sqlite {
    async fn lanes(&self, account: &AccountId) -> Result<Vec<Conversation>> {
        let account = account.clone();
        self.0.readers.read(move |conn| outbox::lanes(conn, &account)).await
    }

    async fn lane(
        &self,
        conversation: &Conversation,
        after: OutboundId,
        limit: usize,
    ) -> Result<Vec<OutboundRow>> {
        let conversation = conversation.clone();
        self.0.readers.read(move |conn| outbox::lane(conn, &conversation, after, limit)).await
    }

    async fn claim(&self, id: OutboundId, at: Timestamp) -> Result<()> {
        write(&self.0.jobs, move |tx| outbox::claim(tx, id, at)).await
    }

    async fn settle(&self, id: OutboundId, settlement: Settlement) -> Result<()> {
        write(&self.0.jobs, move |tx| outbox::settle(tx, id, settlement.clone())).await
    }

    async fn outbound(&self, key: &OutboundKey) -> Result<Option<OutboundRow>> {
        let key = key.clone();
        self.0.readers.read(move |conn| outbox::outbound(conn, &key)).await
    }

    async fn undelivered(&self, limit: usize) -> Result<Vec<OutboundRow>> {
        self.0.readers.read(move |conn| outbox::undelivered(conn, limit)).await
    }
}

#[async_trait]
impl RecordStore for Sqlite {
    async fn record(&self, key: &RecordKey) -> Result<Option<Record>> {
        let key = key.clone();
        self.0.readers.read(move |conn| records::record(conn, &key)).await
    }

    async fn records(
        &self,
        space: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Record>> {
        let (space, prefix) = (space.to_owned(), prefix.to_owned());
        let after = after.map(str::to_owned);
        let query =
            move |conn: &_| records::records(conn, &space, &prefix, after.as_deref(), limit);
        self.0.readers.read(query).await
    }

    async fn write(&self, writes: Vec<RecordWrite>, outgoing: Vec<NewOutbound>) -> Result<()> {
        write(&self.0.jobs, move |tx| {
            records::write(tx, &writes)?;
            outbox::add(tx, &outgoing)
        })
        .await
    }
}

#[async_trait]
impl Store for Sqlite {
    /// In a folder beside the file, made when the first one is kept.
    fn blobs(&self) -> Option<Arc<dyn Blobs>> {
        Some(Arc::new(self.0.blobs.clone()))
    }

    async fn damage(&self) -> Vec<String> {
        let mut checked = self.0.checked.clone();
        // An error means that there is nothing to check, or that it could not be done.
        let findings = checked.wait_for(Option::is_some).await;
        let findings = findings.ok().and_then(|findings| findings.clone());
        findings.map(|findings| findings.problems).unwrap_or_default()
    }
}
