//! Content-addressed storage of what is too large for a row: media, files, long tool output.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    error::{Error, ErrorKind, Result},
    time::{Clock, SystemClock, Timestamp},
};

/// The address of a blob: the SHA-256 of its bytes in lower-case hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlobId(String);

impl BlobId {
    /// The address of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(crate::id::hex(&Sha256::digest(bytes), 32))
    }

    /// Reads an address.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] unless it is 64 lower-case
    /// hexadecimal digits; so an address can never be a path.
    pub fn parse(text: &str) -> Result<Self> {
        let fits = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 64 && text.bytes().all(fits) {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::new(
            ErrorKind::InvalidInput,
            format!("blob id {text:?}: expected 64 lower-case hexadecimal digits"),
        ))
    }

    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Keeps blobs.
///
/// # Contract
///
/// - A blob is durable when [`put`](Self::put) returns, so an entry that names it may be committed.
/// - The same bytes twice are one blob, stored when they were put last.
/// - [`get`](Self::get) never returns bytes that do not match their address.
#[async_trait]
pub trait Blobs: Send + Sync + 'static {
    /// Stores `bytes`.
    ///
    /// # Errors
    /// [`ErrorKind::Exhausted`] if the quota or the disk is full.
    async fn put(&self, bytes: Bytes) -> Result<BlobId>;

    /// The bytes of `id`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; or
    /// [`ErrorKind::InvalidData`] if what is stored does not match.
    async fn get(&self, id: &BlobId) -> Result<Bytes>;

    /// Removes `id`; removing what is not there is no error.
    ///
    /// # Errors
    /// The storage failed.
    async fn remove(&self, id: &BlobId) -> Result<()>;

    /// Removes what was stored before `before` and is not `live`; returns how many.
    ///
    /// # Errors
    /// The storage failed.
    async fn sweep(
        &self,
        before: Timestamp,
        live: &(dyn for<'a> Fn(&'a BlobId) -> bool + Sync),
    ) -> Result<u64>;
}

/// Keeps blobs in memory and forgets them with the last clone.
#[derive(Clone)]
pub struct InMemoryBlobs {
    quota: Option<u64>,
    clock: Arc<dyn Clock>,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    used: u64,
    blobs: HashMap<BlobId, (Timestamp, Bytes)>,
}

impl InMemoryBlobs {
    /// Empty, without a quota.
    pub fn new() -> Self {
        Self { quota: None, clock: Arc::new(SystemClock), kept: Arc::default() }
    }

    /// The same blobs, stored at the times of this clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The same blobs, refusing what would bring them above `bytes` in all.
    #[must_use]
    pub fn with_quota(mut self, bytes: u64) -> Self {
        self.quota = Some(bytes);
        self
    }

    /// Changes what is stored under `id`, as a failing disk does.
    #[cfg(feature = "testing")]
    pub(crate) fn damage(&self, id: &BlobId) {
        if let Some((_, bytes)) = self.kept().blobs.get_mut(id) {
            *bytes = bytes.iter().map(|byte| !byte).collect();
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for InMemoryBlobs {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for InMemoryBlobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InMemoryBlobs").field("quota", &self.quota).finish_non_exhaustive()
    }
}

#[async_trait]
impl Blobs for InMemoryBlobs {
    async fn put(&self, bytes: Bytes) -> Result<BlobId> {
        let id = BlobId::of(&bytes);
        let kept = &mut *self.kept();
        let size = bytes.len() as u64;
        let before = kept.blobs.get(&id).map_or(0, |(_, old)| old.len() as u64);
        let used = kept.used - before + size;
        if self.quota.is_some_and(|quota| used > quota) {
            return Err(Error::new(
                ErrorKind::Exhausted,
                "the blobs' quota is full; sweep, or raise it",
            )
            .with("bytes", size));
        }
        kept.used = used;
        kept.blobs.insert(id.clone(), (self.clock.now(), bytes));
        Ok(id)
    }

    async fn get(&self, id: &BlobId) -> Result<Bytes> {
        let found = self.kept().blobs.get(id).map(|(_, bytes)| bytes.clone());
        let bytes = found.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "no such blob").with("blob", id.as_str())
        })?;
        if BlobId::of(&bytes) != *id {
            return Err(Error::new(
                ErrorKind::InvalidData,
                "the stored bytes do not match their address",
            )
            .with("blob", id.as_str()));
        }
        Ok(bytes)
    }

    async fn remove(&self, id: &BlobId) -> Result<()> {
        let kept = &mut *self.kept();
        if let Some((_, bytes)) = kept.blobs.remove(id) {
            kept.used -= bytes.len() as u64;
        }
        Ok(())
    }

    async fn sweep(
        &self,
        before: Timestamp,
        live: &(dyn for<'a> Fn(&'a BlobId) -> bool + Sync),
    ) -> Result<u64> {
        let kept = &mut *self.kept();
        let count = kept.blobs.len();
        kept.blobs.retain(|id, (at, _)| *at >= before || live(id));
        kept.used = kept.blobs.values().map(|(_, bytes)| bytes.len() as u64).sum();
        Ok((count - kept.blobs.len()) as u64)
    }
}
