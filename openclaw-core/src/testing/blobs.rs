//! The conformance suite of [`Blobs`], and doubles with one fault each.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Suite, Verdict};
use crate::{
    blobs::{BlobId, Blobs, InMemoryBlobs},
    error::{Error, ErrorKind, Result},
    time::Timestamp,
};

/// How the suite opens the storage under test.
#[async_trait]
pub trait BlobsFixture: Send + Sync + 'static {
    /// Opens it. The first call gives an empty one; a later call gives what a new process would find.
    async fn open(&self) -> Result<Arc<dyn Blobs>>;

    /// Opens one that has room for `bytes` bytes of blobs, if it can be limited.
    async fn open_limited(&self, bytes: u64) -> Result<Option<Arc<dyn Blobs>>>;

    /// Changes a byte of what is stored under `id`; false if that cannot be done from outside.
    async fn damage(&self, id: &BlobId) -> Result<bool>;

    /// False if nothing survives the process.
    fn is_durable(&self) -> bool;
}

/// The contract of [`Blobs`], as cases. `fixture` is called once a case.
pub fn suite<F: BlobsFixture>(
    name: impl Into<String>,
    fixture: impl Fn() -> F + Clone + Send + Sync + 'static,
) -> Suite {
    macro_rules! cases {
        ($($case:ident),* $(,)?) => {
            Suite::new(name)$(.case(stringify!($case), {
                let fixture = fixture.clone();
                move || $case(fixture())
            }))*
        };
    }
    cases![
        what_is_put_is_got,
        the_same_bytes_are_one_blob,
        what_is_not_there_is_not_found,
        what_is_removed_is_gone,
        a_sweep_takes_what_is_old_and_not_live,
        a_full_quota_refuses,
        damage_is_found,
        blobs_survive_reopening,
    ]
}

const END: Timestamp = Timestamp(i64::MAX);

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T>, kind: ErrorKind) {
    let found = result.as_ref().map_err(Error::kind);
    assert!(found.is_err_and(|found| found == kind), "expected {kind:?}, not {result:?}");
}

async fn what_is_put_is_got(fixture: impl BlobsFixture) -> Result<Verdict> {
    let blobs = fixture.open().await?;
    for bytes in [Bytes::new(), Bytes::from_static(b"x"), Bytes::from(vec![7; 1_000_000])] {
        let id = blobs.put(bytes.clone()).await?;
        assert_eq!(id, BlobId::of(&bytes));
        assert!(blobs.get(&id).await? == bytes, "{} bytes came back changed", bytes.len());
    }
    Ok(Verdict::Passed)
}

async fn the_same_bytes_are_one_blob(fixture: impl BlobsFixture) -> Result<Verdict> {
    let blobs = fixture.open().await?;
    let one = blobs.put(Bytes::from_static(b"same")).await?;
    assert_eq!(blobs.put(Bytes::from_static(b"same")).await?, one);
    assert_eq!(blobs.sweep(END, &|_| false).await?, 1);
    Ok(Verdict::Passed)
}

async fn what_is_not_there_is_not_found(fixture: impl BlobsFixture) -> Result<Verdict> {
    let blobs = fixture.open().await?;
    refused(blobs.get(&BlobId::of(b"never")).await, ErrorKind::NotFound);
    Ok(Verdict::Passed)
}

async fn what_is_removed_is_gone(fixture: impl BlobsFixture) -> Result<Verdict> {
    let blobs = fixture.open().await?;
    let id = blobs.put(Bytes::from_static(b"x")).await?;
    blobs.remove(&id).await?;
    blobs.remove(&id).await?;
    refused(blobs.get(&id).await, ErrorKind::NotFound);
    assert_eq!(blobs.put(Bytes::from_static(b"x")).await?, id);
    assert_eq!(blobs.get(&id).await?, Bytes::from_static(b"x"));
    Ok(Verdict::Passed)
}

async fn a_sweep_takes_what_is_old_and_not_live(fixture: impl BlobsFixture) -> Result<Verdict> {
    let blobs = fixture.open().await?;
    let live = blobs.put(Bytes::from_static(b"live")).await?;
    let dead = blobs.put(Bytes::from_static(b"dead")).await?;
    assert_eq!(blobs.sweep(Timestamp(0), &|_| false).await?, 0);
    assert_eq!(blobs.sweep(END, &|id| *id == live).await?, 1);
    assert_eq!(blobs.get(&live).await?, Bytes::from_static(b"live"));
    refused(blobs.get(&dead).await, ErrorKind::NotFound);
    Ok(Verdict::Passed)
}

async fn a_full_quota_refuses(fixture: impl BlobsFixture) -> Result<Verdict> {
    let Some(blobs) = fixture.open_limited(10).await? else {
        return Ok(Verdict::Skipped("the storage cannot be limited".into()));
    };
    let six = blobs.put(Bytes::from_static(b"666666")).await?;
    refused(blobs.put(Bytes::from_static(b"55555")).await, ErrorKind::Exhausted);
    // What is there needs no room.
    blobs.put(Bytes::from_static(b"666666")).await?;
    blobs.put(Bytes::from_static(b"4444")).await?;
    blobs.remove(&six).await?;
    let five = blobs.put(Bytes::from_static(b"55555")).await?;
    assert_eq!(blobs.get(&five).await?, Bytes::from_static(b"55555"));
    blobs.sweep(END, &|_| false).await?;
    blobs.put(Bytes::from_static(b"1010101010")).await?;
    Ok(Verdict::Passed)
}

async fn damage_is_found(fixture: impl BlobsFixture) -> Result<Verdict> {
    let blobs = fixture.open().await?;
    let id = blobs.put(Bytes::from_static(b"whole")).await?;
    if !fixture.damage(&id).await? {
        return Ok(Verdict::Skipped("the storage cannot be damaged from outside".into()));
    }
    refused(blobs.get(&id).await, ErrorKind::InvalidData);
    // Putting the bytes again mends it.
    blobs.put(Bytes::from_static(b"whole")).await?;
    assert_eq!(blobs.get(&id).await?, Bytes::from_static(b"whole"));
    Ok(Verdict::Passed)
}

async fn blobs_survive_reopening(fixture: impl BlobsFixture) -> Result<Verdict> {
    if !fixture.is_durable() {
        return Ok(Verdict::Skipped("the storage says that it is ephemeral".into()));
    }
    let id = fixture.open().await?.put(Bytes::from_static(b"kept")).await?;
    assert_eq!(fixture.open().await?.get(&id).await?, Bytes::from_static(b"kept"));
    Ok(Verdict::Passed)
}

/// What [`FaultyBlobs`] do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BlobFault {
    /// Gives back other bytes.
    Changes,
    /// Keeps the same bytes twice.
    Repeats,
    /// Gives empty bytes for what is not there.
    Invents,
    /// Does not remove.
    KeepsRemoved,
    /// Sweeps what is live.
    SweepsLive,
    /// Has no quota.
    IgnoresQuota,
    /// Gives back damaged bytes.
    TrustsBytes,
    /// Is empty when it is opened again.
    Forgets,
}

impl BlobFault {
    /// All faults.
    pub const ALL: &'static [Self] = &[
        Self::Changes,
        Self::Repeats,
        Self::Invents,
        Self::KeepsRemoved,
        Self::SweepsLive,
        Self::IgnoresQuota,
        Self::TrustsBytes,
        Self::Forgets,
    ];
}

/// [`InMemoryBlobs`] with at most one [`BlobFault`].
#[derive(Clone)]
pub struct FaultyBlobs {
    inner: InMemoryBlobs,
    fault: Option<BlobFault>,
    repeated: Arc<AtomicU64>,
}

impl FaultyBlobs {
    /// A storage with this fault; with none, a sound one.
    pub fn new(inner: InMemoryBlobs, fault: Option<BlobFault>) -> Self {
        Self { inner, fault, repeated: Arc::default() }
    }

    fn has(&self, fault: BlobFault) -> bool {
        self.fault == Some(fault)
    }
}

#[async_trait]
impl Blobs for FaultyBlobs {
    async fn put(&self, bytes: Bytes) -> Result<BlobId> {
        if self.has(BlobFault::Repeats) {
            self.repeated.fetch_add(1, Ordering::Relaxed);
        }
        self.inner.put(bytes).await
    }

    async fn get(&self, id: &BlobId) -> Result<Bytes> {
        match self.inner.get(id).await {
            Ok(_) if self.has(BlobFault::Changes) => Ok(Bytes::from_static(b"other")),
            Err(_) if self.has(BlobFault::Invents) => Ok(Bytes::new()),
            Err(error)
                if error.kind() == ErrorKind::InvalidData && self.has(BlobFault::TrustsBytes) =>
            {
                Ok(Bytes::from_static(b"damaged"))
            }
            other => other,
        }
    }

    async fn remove(&self, id: &BlobId) -> Result<()> {
        if self.has(BlobFault::KeepsRemoved) {
            return Ok(());
        }
        self.inner.remove(id).await
    }

    async fn sweep(
        &self,
        before: Timestamp,
        live: &(dyn for<'a> Fn(&'a BlobId) -> bool + Sync),
    ) -> Result<u64> {
        if self.has(BlobFault::SweepsLive) {
            return self.inner.sweep(before, &|_| false).await;
        }
        let swept = self.inner.sweep(before, live).await?;
        Ok(self.repeated.swap(0, Ordering::Relaxed).max(swept))
    }
}

/// Opens one [`FaultyBlobs`] again and again.
pub struct FaultyBlobsFixture(FaultyBlobs);

impl FaultyBlobsFixture {
    /// Opens a storage with this fault; with none, a sound one.
    pub fn new(fault: Option<BlobFault>) -> Self {
        Self(FaultyBlobs::new(InMemoryBlobs::new(), fault))
    }
}

#[async_trait]
impl BlobsFixture for FaultyBlobsFixture {
    async fn open(&self) -> Result<Arc<dyn Blobs>> {
        if self.0.has(BlobFault::Forgets) {
            return Ok(Arc::new(FaultyBlobs::new(InMemoryBlobs::new(), None)));
        }
        Ok(Arc::new(self.0.clone()))
    }

    async fn open_limited(&self, bytes: u64) -> Result<Option<Arc<dyn Blobs>>> {
        let quota = if self.0.has(BlobFault::IgnoresQuota) { u64::MAX } else { bytes };
        let inner = InMemoryBlobs::new().with_quota(quota);
        Ok(Some(Arc::new(FaultyBlobs::new(inner, self.0.fault))))
    }

    async fn damage(&self, id: &BlobId) -> Result<bool> {
        self.0.inner.damage(id);
        Ok(true)
    }

    fn is_durable(&self) -> bool {
        true
    }
}
