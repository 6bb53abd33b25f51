//! Records in memory.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
};

use async_trait::async_trait;

use super::InMemory;
use crate::{
    error::Result,
    store::{NewOutbound, Record, RecordKey, RecordStore, RecordWrite},
};

#[derive(Default)]
pub(super) struct Records(BTreeMap<RecordKey, (u64, String)>);

impl Records {
    fn version(&self, key: &RecordKey) -> u64 {
        self.0.get(key).map_or(0, |(version, _)| *version)
    }

    /// Checks the versions that `writes` name, each as the ones before it leave them.
    pub(super) fn check(&self, writes: &[RecordWrite]) -> Result<()> {
        let mut changed: HashMap<&RecordKey, u64> = HashMap::new();
        for write in writes {
            let found = changed.get(&write.key).copied();
            let found = found.unwrap_or_else(|| self.version(&write.key));
            write.check_version(found)?;
            changed.insert(&write.key, if write.value.is_some() { found + 1 } else { 0 });
        }
        Ok(())
    }

    /// Applies writes that were checked.
    pub(super) fn apply(&mut self, writes: Vec<RecordWrite>) {
        for write in writes {
            match write.value {
                Some(value) => {
                    let version = self.version(&write.key) + 1;
                    self.0.insert(write.key, (version, value));
                }
                None => {
                    self.0.remove(&write.key);
                }
            }
        }
    }
}

fn row(key: &RecordKey, (version, value): &(u64, String)) -> Record {
    Record { key: key.clone(), version: *version, value: value.clone() }
}

#[async_trait]
impl RecordStore for InMemory {
    async fn record(&self, key: &RecordKey) -> Result<Option<Record>> {
        Ok(self.state().records.0.get(key).map(|found| row(key, found)))
    }

    async fn records(
        &self,
        space: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Record>> {
        let from = match after {
            Some(name) if name >= prefix => Bound::Excluded(RecordKey::new(space, name)),
            _ => Bound::Included(RecordKey::new(space, prefix)),
        };
        let state = self.state();
        let rows = state.records.0.range((from, Bound::Unbounded));
        let fits = |key: &RecordKey| key.space == space && key.name.starts_with(prefix);
        Ok(rows.take_while(|(key, _)| fits(key)).take(limit).map(|(k, v)| row(k, v)).collect())
    }

    async fn write(&self, records: Vec<RecordWrite>, outbox: Vec<NewOutbound>) -> Result<()> {
        let state = &mut *self.state();
        state.records.check(&records)?;
        state.records.apply(records);
        state.outbox.add(outbox);
        Ok(())
    }
}
