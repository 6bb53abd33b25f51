//! Meaning: vectors are made beside, go on where they were, and never make recall fail.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use openclaw_core::{
    Error, ErrorKind, ModelId, ProviderId, Result, async_trait,
    memory::{Memory as _, Query},
    provider::{CallContext, Embedder, Embedding},
};
use openclaw_memory::sqlite::Sqlite;

use super::{fact, scope, texts};
use crate::common::folder;

/// Knows that some words mean the same, and does as it is told otherwise.
struct Synonyms {
    id: ProviderId,
    model: ModelId,
    dimensions: usize,
    asked: AtomicUsize,
    answer: Mutex<Answer>,
}

#[derive(Clone, Copy, PartialEq)]
enum Answer {
    Vectors,
    Nan,
    Short,
    TooFew,
    Failure,
}

impl Synonyms {
    fn new(model: &str, dimensions: usize) -> Arc<Self> {
        Arc::new(Self {
            id: ProviderId::new("test"),
            model: ModelId::new(model),
            dimensions,
            asked: AtomicUsize::new(0),
            answer: Mutex::new(Answer::Vectors),
        })
    }

    fn vector(&self, text: &str) -> Embedding {
        let mut vector = vec![0.01; self.dimensions];
        for (place, words) in [["car", "automobile"], ["doctor", "physician"]].iter().enumerate() {
            if words.iter().any(|word| text.contains(word)) {
                vector[place] += 1.0;
            }
        }
        vector[2 + text.len() % (self.dimensions - 2)] += 0.1;
        vector
    }
}

#[async_trait]
impl Embedder for Synonyms {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn model(&self) -> &ModelId {
        &self.model
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    async fn embed(&self, _: &CallContext, texts: &[&str]) -> Result<Vec<Embedding>> {
        self.asked.fetch_add(texts.len(), Ordering::Relaxed);
        let vectors = texts.iter().map(|text| self.vector(text));
        let answer = *self.answer.lock().unwrap();
        match answer {
            Answer::Vectors => Ok(vectors.collect()),
            Answer::Nan => Ok(vectors.map(|v| vec![f32::NAN; v.len()]).collect()),
            Answer::Short => Ok(vectors.map(|v| v[1..].to_vec()).collect()),
            Answer::TooFew => Ok(vectors.skip(1).collect()),
            Answer::Failure => Err(Error::new(ErrorKind::Unavailable, "the service is away")),
        }
    }
}

const TOLD: [&str; 4] =
    ["the automobile is red", "the physician called", "bread and butter", "a letter from the bank"];

#[tokio::test(flavor = "multi_thread")]
async fn meaning_finds_what_words_do_not_and_says_why() {
    let (_folder, path) = folder();
    let store = Sqlite::open(&path).await.unwrap();
    let embedder = Synonyms::new("one", 8);
    let memory = store.memory().embedder(embedder.clone()).open().await.unwrap();
    let facts = TOLD.iter().map(|text| fact(*text, *text, 1)).collect();
    memory.remember(&scope(), facts).await.unwrap();
    memory.settled().await;
    let found = memory.recall(&scope(), &Query::new("my car", 1)).await.unwrap();
    assert_eq!(found[0].fact.text, TOLD[0]);
    assert!(found[0].why.meaning > 0.0 && found[0].why.words == 0.0, "{:?}", found[0].why);
    let found = memory.recall(&scope(), &Query::new("bread", 1)).await.unwrap();
    assert!(found[0].why.words > 0.0);
    let status = memory.status().await.unwrap();
    assert_eq!((status.pending, status.embedder.as_deref()), (0, Some("test/one")));
    assert!(store.doctor().await.unwrap().is_sound());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_embedder_replaces_all_vectors_and_the_same_one_none() {
    let (_folder, path) = folder();
    let told = || TOLD.iter().map(|text| fact(*text, *text, 1)).collect();
    for (round, model, dimensions, expected) in
        [(0, "one", 8, 4), (1, "one", 8, 0), (2, "two", 16, 4), (3, "one", 8, 4)]
    {
        let store = Sqlite::open(&path).await.unwrap();
        let embedder = Synonyms::new(model, dimensions);
        let memory = store.memory().embedder(embedder.clone()).open().await.unwrap();
        if round == 0 {
            memory.remember(&scope(), told()).await.unwrap();
        }
        // Answers before, while and after.
        assert_eq!(texts(&memory, &Query::new("bread", 1)).await, [TOLD[2]]);
        memory.settled().await;
        assert_eq!(texts(&memory, &Query::new("car", 1)).await, [TOLD[0]], "round {round}");
        let queries = 2;
        assert_eq!(embedder.asked.load(Ordering::Relaxed) - queries, expected, "round {round}");
        assert!(store.doctor().await.unwrap().is_sound());
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_embedder_does_wrong_costs_meaning_alone() {
    for (answer, pending) in
        [(Answer::Nan, 0), (Answer::Short, 0), (Answer::TooFew, 4), (Answer::Failure, 4)]
    {
        let (_folder, path) = folder();
        let store = Sqlite::open(&path).await.unwrap();
        let embedder = Synonyms::new("one", 8);
        *embedder.answer.lock().unwrap() = answer;
        let memory = store.memory().embedder(embedder.clone()).open().await.unwrap();
        let facts = TOLD.iter().map(|text| fact(*text, *text, 1)).collect();
        memory.remember(&scope(), facts).await.unwrap();
        memory.settled().await;
        assert_eq!(texts(&memory, &Query::new("bread", 1)).await, [TOLD[2]]);
        assert_eq!(memory.status().await.unwrap().pending, pending);
        // Once it is well again, so is everything.
        *embedder.answer.lock().unwrap() = Answer::Vectors;
        assert_eq!(texts(&memory, &Query::new("bread car", 1)).await, [TOLD[2]]);
        assert!(store.doctor().await.unwrap().is_sound());
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedder_without_dimensions_is_refused() {
    let (_folder, path) = folder();
    let store = Sqlite::open(&path).await.unwrap();
    let error = store.memory().embedder(Synonyms::new("none", 0)).open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
}
