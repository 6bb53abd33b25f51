//! Out of one file as lines of JSON, into another.

use openclaw_core::{
    ErrorKind,
    memory::{FactKind, Memory as _, Page, Query, Scope},
    time::Timestamp,
};

use super::{fact, fresh, scope, texts};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_exported_is_the_same_after_an_import_also_twice() {
    let (folder, _store, memory) = fresh().await;
    let other = Scope { agent: "other".into(), part: "p\"1".to_owned() };
    for at in [1_000, 2_000] {
        let told = vec![fact("city", format!("lives in city {at}"), at)];
        memory.remember(&scope(), told).await.unwrap();
    }
    let facts = (0..1_200).map(|n| {
        let mut new = fact(format!("{n:05}"), format!("turn {n}\n\"quoted\" 東京"), n);
        new = new.kind(FactKind::Turn).in_session("s", n.unsigned_abs());
        if n == 7 { new.valid_from(Timestamp(5)).of(["00001"]) } else { new }
    });
    memory.remember(&other, facts.collect()).await.unwrap();
    let file = folder.path().join("memory.jsonl");
    let mut seen = Vec::new();
    let count = memory.export(&file, |progress| seen.push(progress)).await.unwrap();
    assert_eq!(count, 1_202);
    assert_eq!(seen.last().map(|last| (last.done, last.total)), Some((1_202, 1_202)));
    let again = memory.export(&file, |_| ()).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::InvalidInput);

    let (_folder, store, copy) = fresh().await;
    for _ in 0..2 {
        assert_eq!(copy.import(&file, |_| ()).await.unwrap(), 1_202);
        for scope in [&scope(), &other] {
            let page = Page { after: None, limit: 5_000 };
            let (a, b) = (memory.list(scope, &page).await, copy.list(scope, &page).await);
            assert_eq!(a.unwrap(), b.unwrap());
        }
        let then = Query::new("lives in", 5).as_of(Timestamp(1_500));
        assert_eq!(texts(&copy, &then).await, ["lives in city 1000"]);
        assert_eq!(copy.versions(&scope(), "city").await.unwrap().len(), 2);
    }
    assert!(store.doctor().await.unwrap().is_sound());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_export_is_refused_by_its_line() {
    let (folder, _store, memory) = fresh().await;
    let file = folder.path().join("bad.jsonl");
    for (text, line) in [
        ("", "line 1"),
        ("{\"format\": \"other\"}\n", "line 1"),
        ("{\"format\": \"openclaw-memory-1\"}\n{\"scope\": 1}\n", "line 2"),
        ("{\"format\": \"openclaw-memory-1\"}\n\u{0}\u{1}", "line 2"),
    ] {
        std::fs::write(&file, text).unwrap();
        let error = memory.import(&file, |_| ()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{text:?}");
        assert!(error.to_string().contains(line), "{error}");
    }
}
