//! A full disk while vectors are made anew: words still find everything, and it goes on once there is room.

use std::sync::Arc;

use openclaw_core::{
    ErrorKind,
    memory::{Forget, Memory as _, Page, Query},
    testing::embedder::HashEmbedder,
};
use openclaw_memory::sqlite::Sqlite;

use super::{fact, scope, texts};
use crate::common::folder;

const LIMIT: u64 = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_while_all_is_embedded_anew_costs_nothing_that_was_told() {
    let (_folder, path) = folder();
    let store = Sqlite::builder(&path).max_bytes(LIMIT).open().await.unwrap();
    let memory = store.memory().embedder(Arc::new(HashEmbedder::new(8))).open().await.unwrap();
    let mut told = 0;
    let error = loop {
        let text = format!("memory number{told} about tea and {}", "words ".repeat(30));
        let facts = vec![fact(format!("{told:05}"), text, told)];
        match memory.remember(&scope(), facts).await {
            Ok(()) => told += 1,
            Err(error) => break error,
        }
        assert!(told < 20_000, "there is no limit");
    };
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
    store.close().await.unwrap();

    // Vectors that are many times as long do not fit beside what is there.
    let store = Sqlite::builder(&path).max_bytes(LIMIT).open().await.unwrap();
    let memory = store.memory().embedder(Arc::new(HashEmbedder::new(512))).open().await.unwrap();
    memory.settled().await;
    let status = memory.status().await.unwrap();
    assert!(status.pending > 0, "all of it fitted");
    let count =
        async || memory.list(&scope(), &Page { after: None, limit: 100_000 }).await.unwrap().len();
    assert_eq!(count().await, usize::try_from(told).unwrap());
    let last = format!("number{}", told - 1);
    assert!(texts(&memory, &Query::new(last.as_str(), 1)).await[0].contains(&last));
    let found = store.doctor().await.unwrap();
    assert!(found.is_sound(), "{found:?}");

    // Nine of ten go, also on a full disk; then there is room for the rest.
    let gone = (0..told).filter(|n| n % 10 != 0).map(|n| format!("{n:05}")).collect();
    memory.forget(&scope(), &Forget::Ids(gone)).await.unwrap();
    while memory.status().await.unwrap().pending > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    memory.forgotten().await.unwrap();
    assert_eq!(count().await, usize::try_from(told).unwrap().div_ceil(10));
    let found = store.doctor().await.unwrap();
    assert!(found.is_sound(), "{found:?}");
    store.close().await.unwrap();
}
