//! Bad input has defined answers.

use openclaw_core::{
    ErrorKind,
    memory::{Fact, Memory as _, Page, Query},
};
use openclaw_memory::sqlite::Sqlite;

use super::{fact, fresh, scope, texts};

#[tokio::test(flavor = "multi_thread")]
async fn empty_long_and_binary_texts_are_kept_as_they_are() {
    let (_folder, store, memory) = fresh().await;
    let long = "word ".repeat(200_000);
    let binary: String = (0..3_000_u32).filter_map(char::from_u32).collect();
    for (id, text) in [("empty", ""), ("long", &*long), ("binary", &*binary), ("nul", "a\0b")] {
        memory.remember(&scope(), vec![fact(id, text, 1)]).await.unwrap();
        let query = Query::new(text, 3);
        memory.recall(&scope(), &query).await.unwrap();
    }
    let all = memory.list(&scope(), &Page { after: None, limit: 10 }).await.unwrap();
    let kept: Vec<(&str, &str)> = all.iter().map(|f: &Fact| (&*f.id, &*f.text)).collect();
    assert_eq!(kept, [("binary", &*binary), ("empty", ""), ("long", &*long), ("nul", "a\0b")]);
    assert!(store.doctor().await.unwrap().is_sound());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_beyond_the_limit_is_refused_and_none_of_its_batch_is_kept() {
    let (_folder, _store, memory) = fresh().await;
    let facts = vec![fact("1", "tea", 1), fact("2", "x".repeat(5 << 20), 1)];
    let error = memory.remember(&scope(), facts).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("5242880 bytes"), "{error}");
    assert!(texts(&memory, &Query::new("tea", 3)).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_of_words_that_say_nothing_finds_them_all_the_same() {
    let (_folder, _store, memory) = fresh().await;
    memory
        .remember(&scope(), vec![fact("1", "to be or not to be", 1), fact("2", "tea", 1)])
        .await
        .unwrap();
    assert_eq!(texts(&memory, &Query::new("to be or not", 3)).await, ["to be or not to be"]);
    for nothing in ["", "   ", "?!…", "\u{200b}"] {
        assert!(texts(&memory, &Query::new(nothing, 3)).await.is_empty(), "{nothing:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_has_no_more_than_its_quota() {
    let (folder, path) = crate::common::folder();
    let store = Sqlite::open(&path).await.unwrap();
    let memory = store.memory().max_source_bytes(100).open().await.unwrap();
    let long = "x".repeat(60);
    memory.remember(&scope(), vec![fact("1", &*long, 1)]).await.unwrap();
    let error = memory.remember(&scope(), vec![fact("2", &*long, 1)]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted);
    assert!(error.to_string().contains("\"owner\""), "{error}");
    // Another source has room of its own, and forgetting makes some.
    let mut other = fact("3", &*long, 1);
    other.label = openclaw_core::label::Label::user("telegram:7");
    memory.remember(&scope(), vec![other]).await.unwrap();
    let what = openclaw_core::memory::Forget::Ids(vec!["1".to_owned()]);
    memory.forget(&scope(), &what).await.unwrap();
    memory.remember(&scope(), vec![fact("2", &*long, 1)]).await.unwrap();
    assert!(store.doctor().await.unwrap().is_sound());
    drop(folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_one_memory_in_a_file() {
    let (_folder, store, memory) = fresh().await;
    let error = store.memory().open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    drop(memory);
    store.memory().open().await.unwrap();
    let error = store.memory().weight(f32::NAN).open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
}
