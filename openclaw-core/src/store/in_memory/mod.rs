//! A store in memory.

mod outbox;
mod records;
mod sessions;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{LeaseTable, Store};
use crate::blobs::{Blobs, InMemoryBlobs};

/// How many bytes of files are kept at most.
const MAX_BLOB_BYTES: u64 = 256 << 20;

/// Keeps everything in memory and forgets it with the last clone: for tests, and for gateways that
/// said they are ephemeral.
///
/// ```
/// use openclaw_core::store::{InMemory, RecordKey, RecordStore as _, RecordWrite};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> openclaw_core::Result<()> {
/// let store = InMemory::new();
/// let key = RecordKey::new("greeting", "main");
/// let write = RecordWrite { key: key.clone(), expect: Some(0), value: Some("\"hello\"".into()) };
/// store.write(vec![write], vec![]).await?;
/// assert_eq!(store.record(&key).await?.map(|record| record.version), Some(1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct InMemory(Arc<Mutex<State>>, InMemoryBlobs);

struct State {
    leases: LeaseTable,
    sessions: sessions::Sessions,
    outbox: outbox::Outbox,
    records: records::Records,
}

impl InMemory {
    /// An empty store.
    pub fn new() -> Self {
        let state = State {
            leases: LeaseTable::starting_after(0),
            sessions: sessions::Sessions::default(),
            outbox: outbox::Outbox::default(),
            records: records::Records::default(),
        };
        let blobs = InMemoryBlobs::new().with_quota(MAX_BLOB_BYTES);
        Self(Arc::new(Mutex::new(state)), blobs)
    }

    /// The state. Every change checks first and then cannot fail, so that a panic elsewhere in a
    /// holder of the lock leaves it whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for InMemory {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for InMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InMemory").finish_non_exhaustive()
    }
}

impl Store for InMemory {
    fn is_ephemeral(&self) -> bool {
        true
    }

    fn blobs(&self) -> Option<Arc<dyn Blobs>> {
        Some(Arc::new(self.1.clone()))
    }
}
