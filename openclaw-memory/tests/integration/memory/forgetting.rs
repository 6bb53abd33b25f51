//! After forgetting, nothing of it is in any file.

use std::{path::Path, sync::Arc};

use openclaw_core::{
    memory::{Forget, Memory as _, Query},
    provider::{CallContext, Embedder as _},
    testing::embedder::HashEmbedder,
    time::Timestamp,
};
use openclaw_memory::sqlite::Sqlite;

use super::{fact, scope, texts};
use crate::common::folder;

fn is_in_a_file(folder: &Path, what: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        path.is_file()
            && std::fs::read(path).unwrap().windows(what.len()).any(|window| window == what)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn text_vector_and_older_versions_leave_every_file() {
    let (folder, path) = folder();
    let store = Sqlite::open(&path).await.unwrap();
    let embedder = Arc::new(HashEmbedder::new(64));
    let memory = store.memory().embedder(embedder.clone()).open().await.unwrap();
    let (old, secret) =
        ("the old pass phrase heliotrope", "the pass phrase is xylophone marmalade");
    for n in 0..200 {
        let facts = vec![fact(format!("other{n}"), format!("something else, number {n}"), n)];
        memory.remember(&scope(), facts).await.unwrap();
    }
    memory.remember(&scope(), vec![fact("secret", old, 1_000)]).await.unwrap();
    memory.settled().await;
    memory.remember(&scope(), vec![fact("secret", secret, 2_000)]).await.unwrap();
    memory.settled().await;
    let vector = embedder.embed(&CallContext::new(), &[secret]).await.unwrap().remove(0);
    let vector: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
    for (name, bytes) in [("text", secret.as_bytes()), ("old", old.as_bytes()), ("vector", &vector)]
    {
        assert!(is_in_a_file(folder.path(), bytes), "{name} was never there");
    }

    let gone = memory.forget(&scope(), &Forget::Ids(vec!["secret".to_owned()])).await.unwrap();
    assert_eq!(gone, 1);
    memory.forgotten().await.unwrap();
    let backup = folder.path().join("backup.db");
    store.backup(&backup).await.unwrap();
    for query in ["xylophone marmalade", "pass phrase", "heliotrope"] {
        for query in [Query::new(query, 50), Query::new(query, 50).as_of(Timestamp(1_500))] {
            let found = texts(&memory, &query).await;
            assert!(!found.iter().any(|text| text.contains("phrase")), "{found:?}");
        }
    }
    assert!(memory.versions(&scope(), "secret").await.unwrap().is_empty());
    for (name, bytes) in [
        ("text", &b"xylophone marmalade"[..]),
        ("old", &b"heliotrope"[..]),
        ("vector", &vector),
        ("part of the vector", &vector[64..128]),
    ] {
        assert!(!is_in_a_file(folder.path(), bytes), "{name} is still in a file");
    }
    assert!(store.doctor().await.unwrap().is_sound());
    store.close().await.unwrap();
    assert!(!is_in_a_file(folder.path(), b"xylophone"), "after closing");
}
