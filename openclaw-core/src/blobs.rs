//! Content-addressed storage of what is too large for a row: media, files, long tool output.

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{error::Result, time::Timestamp};

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
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) unless it is 64 lower-case
    /// hexadecimal digits; so an address can never be a path.
    pub fn parse(text: &str) -> Result<Self> {
        let fits = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 64 && text.bytes().all(fits) {
            return Ok(Self(text.to_owned()));
        }
        Err(crate::Error::new(
            crate::ErrorKind::InvalidInput,
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
/// - The same bytes twice are one blob.
/// - [`get`](Self::get) never returns bytes that do not match their address.
#[async_trait]
pub trait Blobs: Send + Sync + 'static {
    /// Stores `bytes`.
    ///
    /// # Errors
    /// [`ErrorKind::Exhausted`](crate::ErrorKind::Exhausted) if the quota or the disk is full.
    async fn put(&self, bytes: Bytes) -> Result<BlobId>;

    /// The bytes of `id`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound); or
    /// [`ErrorKind::InvalidData`](crate::ErrorKind::InvalidData) if what is stored does not match.
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
