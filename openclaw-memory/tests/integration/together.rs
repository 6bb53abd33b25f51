//! Calls that share a transaction, and one of them fails.

use openclaw_core::{
    ErrorKind,
    store::{RecordKey, RecordStore as _, RecordWrite},
};
use openclaw_memory::sqlite::Sqlite;

use crate::common::folder;

fn put(name: String, expect: u64) -> RecordWrite {
    let key = RecordKey::new("test", name);
    RecordWrite { key, expect: Some(expect), value: Some("1".into()) }
}

/// What waits while the first call is made durable is the next transaction.
#[tokio::test]
async fn a_call_that_fails_is_undone_alone() {
    let (_folder, path) = folder();
    let store = Sqlite::open(&path).await.unwrap();
    let fails = |number: u32| number % 10 == 7;
    let calls = (0..100).map(|number| {
        // The second record of a call that fails cannot be written, the first one can.
        let expect = if fails(number) { 5 } else { 0 };
        let writes = vec![put(format!("{number}a"), 0), put(format!("{number}b"), expect)];
        store.write(writes, Vec::new())
    });
    let results = futures_util::future::join_all(calls).await;
    store.close().await.unwrap();

    let store = Sqlite::open(&path).await.unwrap();
    for (number, result) in (0..).zip(results) {
        for half in ["a", "b"] {
            let key = RecordKey::new("test", format!("{number}{half}"));
            let version = store.record(&key).await.unwrap().map(|record| record.version);
            let expected = if fails(number) { None } else { Some(1) };
            assert_eq!(version, expected, "{key:?}: {result:?}");
        }
        match result {
            Ok(()) => assert!(!fails(number)),
            Err(error) => assert!(fails(number) && error.kind() == ErrorKind::Conflict, "{error}"),
        }
    }
}
