//! A graph of neighbours finds what looking at each vector finds, and follows what is told and forgotten.

use std::{path::Path, sync::Arc};

use openclaw_core::{
    memory::{Forget, Memory as _, Query},
    testing::embedder::HashEmbedder,
};
use openclaw_memory::sqlite::{Sqlite, SqliteMemory};

use super::{fact, scope, temporal::Dice, texts};
use crate::common::folder;

const ROWS: usize = 600;
const WORDS: [&str; 16] = [
    "tea", "car", "dog", "river", "bank", "letter", "phone", "garden", "key", "door", "music",
    "lamp", "bread", "train", "doctor", "paper",
];

fn text(dice: &mut Dice, n: usize) -> String {
    let words: Vec<&str> = (0..6).map(|_| WORDS[dice.below(16) as usize]).collect();
    format!("{} number{n}", words.join(" "))
}

async fn open(path: &Path, graph_from: usize) -> (Sqlite, SqliteMemory) {
    let store = Sqlite::open(path).await.unwrap();
    // By meaning alone, so that words do not help.
    let builder = store.memory().embedder(Arc::new(HashEmbedder::new(64))).weight(1.0);
    let memory = builder.graph_from(graph_from).open().await.unwrap();
    (store, memory)
}

/// Searches until the graph holds so many; the search is what has it built.
async fn built(memory: &SqliteMemory, vectors: usize) {
    memory.settled().await;
    while memory.status().await.unwrap().in_graphs < vectors {
        memory.recall(&scope(), &Query::new("tea", 1)).await.unwrap();
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graph_finds_what_a_scan_finds_and_follows_what_changes() {
    let (_folder, path) = folder();
    let mut dice = Dice(3);
    let all: Vec<String> = (0..ROWS).map(|n| text(&mut dice, n)).collect();
    let questions: Vec<String> = (0..30).map(|n| text(&mut dice, n)).collect();
    let (store, memory) = open(&path, usize::MAX).await;
    let facts = all.iter().enumerate().map(|(n, text)| fact(format!("{n:05}"), text, 1));
    memory.remember(&scope(), facts.collect()).await.unwrap();
    memory.settled().await;
    let mut exact = Vec::new();
    for question in &questions {
        exact.push(texts(&memory, &Query::new(question.as_str(), 10)).await);
    }
    assert_eq!(memory.status().await.unwrap().in_graphs, 0);
    store.close().await.unwrap();

    let (store, memory) = open(&path, 300).await;
    built(&memory, ROWS).await;
    let mut hits = 0;
    for (question, exact) in questions.iter().zip(&exact) {
        let found = texts(&memory, &Query::new(question.as_str(), 10)).await;
        assert_eq!(found.len(), 10);
        hits += exact.iter().filter(|text| found.contains(text)).count();
    }
    assert!(hits >= 285, "{hits} of 300");
    // What is new is found at once, what is gone never; a filter takes no place.
    memory
        .remember(&scope(), vec![fact("new", "saffron tea for the doctor", 2_000)])
        .await
        .unwrap();
    memory.settled().await;
    let query = Query::new("saffron tea for the doctor", 10);
    assert_eq!(texts(&memory, &query).await[0], "saffron tea for the doctor");
    memory.forget(&scope(), &Forget::Ids(vec!["new".to_owned()])).await.unwrap();
    assert!(texts(&memory, &query).await.iter().all(|text| !text.contains("saffron")));
    let before =
        Query::new("saffron tea for the doctor", 10).until(openclaw_core::time::Timestamp(1_000));
    assert_eq!(texts(&memory, &before).await.len(), 10);
    built(&memory, ROWS).await;
    store.close().await.unwrap();
}
