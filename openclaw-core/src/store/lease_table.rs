//! The leases of a store that one process has to itself.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use super::{Lease, LeaseName};
use crate::{
    error::{Error, ErrorKind, Result},
    id::NodeId,
};

/// Leases kept in memory, for stores that a single process has open at a time.
///
/// They need not be durable there: who opens the store next knows that every earlier holder is gone,
/// and only has to start above all epochs given before. Expiry follows [`tokio::time`], so a clock
/// that is set back neither frees nor keeps a lease, and a paused clock holds them still.
#[derive(Debug)]
pub struct LeaseTable {
    epoch: u64,
    beats: u64,
    held: HashMap<LeaseName, Held>,
    nodes: HashMap<NodeId, Beat>,
}

#[derive(Debug)]
struct Held {
    node: NodeId,
    epoch: u64,
    until: Instant,
    /// The number of the last beat, of any node, before it was taken.
    beat: u64,
}

#[derive(Debug)]
struct Beat {
    number: u64,
    until: Instant,
}

impl LeaseTable {
    /// No leases; the first one gets the epoch after `epoch`.
    pub fn starting_after(epoch: u64) -> Self {
        Self { epoch, beats: 0, held: HashMap::new(), nodes: HashMap::new() }
    }

    /// Takes `name` for `node`; see [`SessionStore::lease`](super::SessionStore::lease).
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if another node holds it and its time is not over.
    pub fn take(&mut self, name: &LeaseName, node: &NodeId, ttl: Duration) -> Result<Lease> {
        let now = Instant::now();
        if let Some(held) = self.held.get(name)
            && held.node != *node
            && self.until(held) > now
        {
            return Err(Error::new(
                ErrorKind::Conflict,
                "the lease is held by another node; wait until it gives it back or its time is over",
            )
            .with("lease", format!("{name:?}"))
            .with("holder", &held.node));
        }
        self.epoch += 1;
        let held =
            Held { node: node.clone(), epoch: self.epoch, until: now + ttl, beat: self.beats };
        self.held.insert(name.clone(), held);
        Ok(Lease { name: name.clone(), node: node.clone(), epoch: self.epoch })
    }

    /// Keeps all leases that `node` holds for `ttl` from now.
    pub fn beat(&mut self, node: &NodeId, ttl: Duration) {
        self.beats += 1;
        let beat = Beat { number: self.beats, until: Instant::now() + ttl };
        self.nodes.insert(node.clone(), beat);
    }

    /// Gives `lease` back; nothing happens if it is not the newest of its name.
    pub fn release(&mut self, lease: &Lease) {
        if self.check(lease).is_ok() {
            self.held.remove(&lease.name);
        }
    }

    /// Takes `name` away from whoever holds it, so that what it still wants to write is refused. For when what a
    /// holder may have read is no longer so.
    pub fn revoke(&mut self, name: &LeaseName) {
        self.held.remove(name);
    }

    /// True if somebody holds `name`, or held it last and never gave it back.
    pub fn is_taken(&self, name: &LeaseName) -> bool {
        self.held.contains_key(name)
    }

    /// Checks that `lease` is the newest of its name and was not given back.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] otherwise.
    pub fn check(&self, lease: &Lease) -> Result<()> {
        match self.held.get(&lease.name) {
            Some(held) if held.epoch == lease.epoch && held.node == lease.node => Ok(()),
            _ => Err(Error::new(
                ErrorKind::Conflict,
                "the lease is lost: it was given back or a newer one was given; take it again and read afresh",
            )
            .with("lease", format!("{:?}", lease.name))
            .with("epoch", lease.epoch)),
        }
    }

    /// When the time of `held` is over: a beat after it was taken replaces the time it came with.
    fn until(&self, held: &Held) -> Instant {
        match self.nodes.get(&held.node) {
            Some(beat) if beat.number > held.beat => beat.until.max(held.until),
            _ => held.until,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_secs(1);
    const LONG: Duration = Duration::from_secs(10);

    fn name() -> LeaseName {
        LeaseName::Account("web:a".parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_beat_keeps_what_was_taken_before_it_and_nothing_after() {
        let (a, b) = (NodeId::from("a"), NodeId::from("b"));
        let mut table = LeaseTable::starting_after(7);
        let first = table.take(&name(), &a, SHORT).unwrap();
        assert_eq!(first.epoch, 8);
        table.beat(&a, LONG);
        tokio::time::advance(SHORT * 2).await;
        assert_eq!(table.take(&name(), &b, SHORT).unwrap_err().kind(), ErrorKind::Conflict);

        table.take(&name(), &a, SHORT).unwrap();
        tokio::time::advance(SHORT * 2).await;
        let third = table.take(&name(), &b, SHORT).unwrap();
        assert_eq!(third.epoch, 10);
        assert!(table.check(&first).is_err());
        table.release(&first);
        assert!(table.check(&third).is_ok());
        table.revoke(&name());
        assert!(table.check(&third).is_err() && !table.is_taken(&name()));
    }
}
