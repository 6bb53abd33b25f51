//! SQLite's memory passes the suite that every memory passes, with an embedder and without.

use std::sync::{Arc, Mutex};

use openclaw_core::{
    Result, async_trait,
    memory::Memory,
    testing::{
        embedder::HashEmbedder,
        memory::{MemoryFixture, suite},
    },
};
use openclaw_memory::sqlite::Sqlite;
use tempfile::TempDir;

struct Fixture {
    embeds: bool,
    open: Mutex<Option<(TempDir, Sqlite)>>,
}

impl Fixture {
    async fn start(&self, folder: TempDir) -> Result<Arc<dyn Memory>> {
        let store = Sqlite::open(folder.path().join("assistant.db")).await?;
        let mut memory = store.memory();
        if self.embeds {
            memory = memory.embedder(Arc::new(HashEmbedder::new(64)));
        }
        let memory = memory.open().await?;
        *self.open.lock().unwrap() = Some((folder, store));
        Ok(Arc::new(memory))
    }

    async fn stop(&self) -> Option<TempDir> {
        let (folder, store) = self.open.lock().unwrap().take()?;
        store.close().await.unwrap();
        Some(folder)
    }
}

#[async_trait]
impl MemoryFixture for Fixture {
    async fn open(&self) -> Result<Arc<dyn Memory>> {
        self.stop().await;
        self.start(tempfile::tempdir().unwrap()).await
    }

    async fn reopen(&self, memory: Arc<dyn Memory>) -> Result<Option<Arc<dyn Memory>>> {
        drop(memory);
        let folder = self.stop().await.unwrap();
        self.start(folder).await.map(Some)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_in_sqlite_conforms() {
    for embeds in [false, true] {
        let fixture = Fixture { embeds, open: Mutex::new(None) };
        let report = suite(format!("SqliteMemory, embeds: {embeds}"), fixture).run().await;
        assert_eq!(report.failed().count() + report.skipped().count(), 0, "{report}");
    }
}
