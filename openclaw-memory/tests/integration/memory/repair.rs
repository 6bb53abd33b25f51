//! What is derived is made anew from what was told.

use std::sync::Arc;

use openclaw_core::{
    memory::{Memory as _, Query},
    testing::embedder::HashEmbedder,
};
use openclaw_memory::sqlite::Sqlite;

use super::{fact, scope, texts};
use crate::common::folder;

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_index_is_found_and_put_right() {
    for damage in [
        "DELETE FROM memory_index WHERE id % 3 = 0",
        "UPDATE memory_index SET at = at + 1, flags = 0 WHERE id % 2 = 0",
        "UPDATE memory_index SET terms = x'0102' WHERE id % 2 = 0",
        "UPDATE memory_index SET coarse = x'00'",
        "DELETE FROM memory_vectors WHERE id % 2 = 0",
        "UPDATE memory_index SET coarse = NULL",
        "DELETE FROM memory_usage",
        "INSERT INTO memory_vectors VALUES (77, x'00')",
    ] {
        let (_folder, path) = folder();
        let open = async || {
            let store = Sqlite::open(&path).await.unwrap();
            let memory = store.memory().embedder(Arc::new(HashEmbedder::new(32)));
            let memory = memory.open().await.unwrap();
            (store, memory)
        };
        let (store, memory) = open().await;
        let facts = (0..30).map(|n| fact(n.to_string(), format!("tea number{n}"), n));
        memory.remember(&scope(), facts.collect()).await.unwrap();
        memory.settled().await;
        assert_eq!(texts(&memory, &Query::new("number7", 1)).await, ["tea number7"]);
        store.close().await.unwrap();

        rusqlite::Connection::open(&path).unwrap().execute_batch(damage).unwrap();
        let (store, memory) = open().await;
        // An answer or an error, but no panic; and never a wrong vector.
        let _ = memory.recall(&scope(), &Query::new("number7", 1)).await;
        let found = store.doctor().await.unwrap();
        memory.repair().await.unwrap();
        memory.settled().await;
        let after = store.doctor().await.unwrap();
        assert!(after.is_sound(), "{damage}: {after:?} after {found:?}");
        assert_eq!(texts(&memory, &Query::new("number7", 1)).await, ["tea number7"], "{damage}");
        assert_eq!(texts(&memory, &Query::new("tea", 50)).await.len(), 30);
        assert_eq!(memory.repair().await.unwrap(), 0, "{damage}");
        store.close().await.unwrap();
    }
}
