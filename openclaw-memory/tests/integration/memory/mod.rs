//! The memory in the store's file.

mod agent;
mod alone;
mod conformance;
mod crash;
mod facts;
mod folder;
mod forgetting;
mod forgetting_all;
mod full;
#[cfg(feature = "hnsw")]
mod graph;
mod input;
mod isolation;
mod languages;
mod repair;
mod temporal;
mod transfer;
mod vectors;

use std::path::Path;

use openclaw_core::{
    label::Label,
    memory::{Fact, Memory as _, Query, Scope},
    time::Timestamp,
};
use openclaw_memory::sqlite::{Sqlite, SqliteMemory};
use tempfile::TempDir;

use crate::common::folder;

pub(crate) async fn open(path: &Path) -> (Sqlite, SqliteMemory) {
    let store = Sqlite::open(path).await.unwrap();
    let memory = store.memory().open().await.unwrap();
    (store, memory)
}

/// A memory that finds by words alone, in a folder that goes with the first value.
pub(crate) async fn fresh() -> (TempDir, Sqlite, SqliteMemory) {
    let (folder, path) = folder();
    let (store, memory) = open(&path).await;
    (folder, store, memory)
}

pub(crate) fn fact(id: impl Into<String>, text: impl Into<String>, at: i64) -> Fact {
    Fact::new(id, text, Label::user("owner"), Timestamp(at))
}

pub(crate) fn scope() -> Scope {
    Scope::agent("main")
}

pub(crate) async fn texts(memory: &SqliteMemory, query: &Query) -> Vec<String> {
    let found = memory.recall(&scope(), query).await.unwrap();
    found.into_iter().map(|found| found.fact.text).collect()
}
