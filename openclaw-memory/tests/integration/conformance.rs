//! SQLite passes the suite that every store passes.

use std::sync::{Arc, Mutex};

use openclaw_core::{
    Result, async_trait,
    store::Store,
    testing::store::{StoreFixture, suite},
};
use openclaw_memory::sqlite::Sqlite;
use tempfile::TempDir;

struct Fixture {
    folder: TempDir,
    open: Mutex<Option<Sqlite>>,
}

#[async_trait]
impl StoreFixture for Fixture {
    async fn open(&self) -> Result<Arc<dyn Store>> {
        let before = self.open.lock().unwrap().take();
        if let Some(store) = before {
            store.close().await?;
        }
        let store = Sqlite::open(self.folder.path().join("assistant.db")).await?;
        *self.open.lock().unwrap() = Some(store.clone());
        Ok(Arc::new(store))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_conforms() {
    let fixture = || Fixture { folder: tempfile::tempdir().unwrap(), open: Mutex::new(None) };
    let report = suite("Sqlite", fixture).run().await;
    assert_eq!(report.failed().count() + report.skipped().count(), 0, "{report}");
}
