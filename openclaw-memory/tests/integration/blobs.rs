//! Blobs in a folder pass the suite that all blobs pass, and clean up after a crash.

use std::sync::Arc;

use openclaw_core::{
    Result, async_trait,
    blobs::{BlobId, Blobs},
    testing::blobs::{BlobsFixture, suite},
    time::{Clock as _, SystemClock},
};
use openclaw_memory::sqlite::FileBlobs;
use tempfile::TempDir;

struct Fixture(TempDir);

#[async_trait]
impl BlobsFixture for Fixture {
    async fn open(&self) -> Result<Arc<dyn Blobs>> {
        Ok(Arc::new(FileBlobs::new(self.0.path(), None)))
    }

    async fn open_limited(&self, bytes: u64) -> Result<Option<Arc<dyn Blobs>>> {
        Ok(Some(Arc::new(FileBlobs::new(self.0.path(), Some(bytes)))))
    }

    async fn damage(&self, id: &BlobId) -> Result<bool> {
        let path = self.0.path().join(&id.as_str()[..2]).join(id.as_str());
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[0] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        Ok(true)
    }

    fn is_durable(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn blobs_in_a_folder_conform() {
    let report = suite("FileBlobs", || Fixture(tempfile::tempdir().unwrap())).run().await;
    assert_eq!(report.failed().count() + report.skipped().count(), 0, "{report}");
}

#[tokio::test]
async fn what_a_crash_left_half_written_is_removed_and_not_counted() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = FileBlobs::new(folder.path(), Some(10));
    let kept = blobs.put("12345".into()).await.unwrap();
    let left = folder.path().join("partial").join("left");
    std::fs::write(&left, "half a blob").unwrap();
    let blobs = FileBlobs::new(folder.path(), Some(10));
    blobs.put("67890".into()).await.unwrap();
    assert!(!left.exists());
    assert!(blobs.put("x".into()).await.is_err());
    assert_eq!(blobs.get(&kept).await.unwrap(), "12345");
}

#[tokio::test]
async fn putting_again_saves_a_blob_from_a_sweep_of_older_ones() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = FileBlobs::new(folder.path(), None);
    let id = blobs.put("again".into()).await.unwrap();
    let path = folder.path().join(&id.as_str()[..2]).join(id.as_str());
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
    let before = openclaw_core::time::Timestamp(SystemClock.now().0 - 60_000);
    blobs.put("again".into()).await.unwrap();
    assert_eq!(blobs.sweep(before, &|_| false).await.unwrap(), 0);
    assert_eq!(blobs.get(&id).await.unwrap(), "again");
}
