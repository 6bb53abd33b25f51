//! What may be opened, by whom, and what is left as it was.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    sync::atomic::{AtomicI64, Ordering},
};

use openclaw_core::{
    ErrorKind, OutboundKey,
    message::{Action, Receipt},
    store::{
        InputId, LeaseName, NewOutbound, OutboundId, OutboxStore as _, RecordKey, RecordStore as _,
        RecordWrite, SessionStore as _, Settlement,
    },
    time::{Clock, Timestamp},
};
use openclaw_memory::sqlite::Sqlite;
use tempfile::TempDir;

use crate::common::{NO_LIMITS, accept, batch, child, folder, input, lease, role, session};

/// Opening `path` fails with `kind` and these words, and changes no byte of the folder's databases.
async fn refused(path: &Path, kind: ErrorKind, words: &str) {
    let files = || {
        let mut all: Vec<_> = std::fs::read_dir(path.parent().unwrap())
            .unwrap()
            .map(|file| file.unwrap().path())
            .filter(|file| !file.to_string_lossy().ends_with("-lock"))
            .map(|file| (file.clone(), std::fs::read(file).unwrap()))
            .collect();
        all.sort();
        all
    };
    let before = files();
    let error = Sqlite::open(path).await.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(words), "{error}");
    assert!(error.to_string().contains("assistant.db"), "{error}");
    assert!(files() == before, "a file was changed");
}

/// A copy as a crash leaves it: with a log that was not applied.
fn as_after_a_crash(path: &Path) -> (TempDir, PathBuf) {
    let (other, copy) = folder();
    for suffix in ["", "-wal"] {
        let name = |path: &Path| format!("{}{suffix}", path.display());
        std::fs::copy(name(path), name(&copy)).unwrap();
    }
    (other, copy)
}

fn truncate(path: &Path, bytes: u64) {
    std::fs::File::options().write(true).open(path).unwrap().set_len(bytes).unwrap();
}

#[tokio::test]
async fn a_second_opener_is_told_so() {
    let (_folder, path) = folder();
    let first = Sqlite::open(&path).await.unwrap();
    refused(&path, ErrorKind::Conflict, "open already").await;
    #[cfg(unix)]
    {
        let alias = path.with_file_name("alias-assistant.db");
        std::os::unix::fs::symlink(&path, &alias).unwrap();
        assert_eq!(Sqlite::open(&alias).await.unwrap_err().kind(), ErrorKind::Conflict);
    }
    first.close().await.unwrap();
    Sqlite::open(&path).await.unwrap();
}

#[tokio::test]
async fn a_second_process_is_told_so() {
    let name = "opening::a_second_process_is_told_so";
    if let Some(path) = role() {
        refused(Path::new(&path), ErrorKind::Conflict, "open already").await;
        println!("the child was refused");
        return;
    }
    let (_folder, path) = folder();
    let _first = Sqlite::open(&path).await.unwrap();
    let output = child(name, path.to_str().unwrap()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("the child was refused"), "{text}");
}

#[tokio::test]
async fn a_newer_version_is_left_alone() {
    let (_folder, path) = folder();
    Sqlite::open(&path).await.unwrap().close().await.unwrap();
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.pragma_update(None, "user_version", 1_000).unwrap();
    drop(conn);
    refused(&path, ErrorKind::Unsupported, "version 1000").await;
}

#[tokio::test]
async fn a_database_of_another_application_is_left_alone() {
    for application in [0, 0x1234] {
        let (_folder, path) = folder();
        let conn = rusqlite::Connection::open(&path).unwrap();
        conn.pragma_update(None, "application_id", application).unwrap();
        conn.execute_batch("CREATE TABLE theirs (x)").unwrap();
        drop(conn);
        refused(&path, ErrorKind::InvalidConfig, "another application").await;
    }
}

#[tokio::test]
async fn a_hot_log_of_another_application_is_not_touched() {
    let (_folder, path) = folder();
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.pragma_update(None, "application_id", 7).unwrap();
    conn.execute_batch("CREATE TABLE theirs (x)").unwrap();
    conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
    conn.execute_batch("INSERT INTO theirs VALUES (1)").unwrap();
    let (_other, copy) = as_after_a_crash(&path);
    refused(&copy, ErrorKind::InvalidConfig, "another application").await;
}

#[tokio::test]
async fn garbage_and_truncated_files_are_left_alone() {
    let (_folder, path) = folder();
    let store = Sqlite::open(&path).await.unwrap();
    accept(&store, &session("a"), "1").await.unwrap();
    store.close().await.unwrap();
    let whole = std::fs::read(&path).unwrap();

    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    refused(&path, ErrorKind::InvalidData, "truncated").await;
    std::fs::write(&path, &whole[..50]).unwrap();
    refused(&path, ErrorKind::InvalidData, "truncated").await;
    let garbage: Vec<u8> =
        (0..8_192_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    std::fs::write(&path, garbage).unwrap();
    refused(&path, ErrorKind::InvalidData, "not a SQLite database").await;
    // A true header, and garbage behind it.
    let mut torn = whole.clone();
    torn[100..4096].fill(0xA5);
    std::fs::write(&path, torn).unwrap();
    refused(&path, ErrorKind::InvalidData, "damaged").await;

    std::fs::write(&path, whole).unwrap();
    assert_eq!(accept(&Sqlite::open(&path).await.unwrap(), &session("a"), "1").await, None);
}

#[tokio::test]
async fn a_truncated_file_is_left_alone_though_a_log_is_beside_it() {
    let (_folder, path) = folder();
    let a = session("a");
    let store = Sqlite::open(&path).await.unwrap();
    for n in 0..200 {
        accept(&store, &a, &n.to_string()).await.unwrap();
    }
    store.close().await.unwrap();
    let store = Sqlite::open(&path).await.unwrap();
    accept(&store, &a, "in the log").await.unwrap();
    let whole = std::fs::metadata(&path).unwrap().len();
    for bytes in [whole / 2, 4096] {
        let (_other, copy) = as_after_a_crash(&path);
        assert!(std::fs::metadata(copy.with_extension("db-wal")).unwrap().len() > 0);
        truncate(&copy, bytes);
        refused(&copy, ErrorKind::InvalidData, "truncated").await;
    }
    let (_other, copy) = as_after_a_crash(&path);
    let store = Sqlite::open(&copy).await.unwrap();
    assert_eq!(store.inputs(&a, InputId::default(), 1_000).await.unwrap().len(), 201);
}

#[tokio::test]
async fn a_short_file_whose_log_has_the_rest_is_opened() {
    let (_folder, path) = folder();
    let a = session("a");
    let store = Sqlite::open(&path).await.unwrap();
    let before = std::fs::metadata(&path).unwrap().len();
    for n in 0..20 {
        let large = input(&a, &n.to_string(), "x".repeat(10_000));
        store.accept(vec![large], NO_LIMITS).await.unwrap();
    }
    // A crash while the log is applied, as the machine may leave it: pages in place, none behind.
    rusqlite::Connection::open(&path)
        .unwrap()
        .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
        .unwrap();
    let (_other, copy) = as_after_a_crash(&path);
    assert!(std::fs::metadata(&copy).unwrap().len() > before);
    truncate(&copy, before);
    let store = Sqlite::open(&copy).await.unwrap();
    assert_eq!(store.inputs(&a, InputId::default(), 1_000).await.unwrap().len(), 20);
    assert!(store.doctor().await.unwrap().is_sound());
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named() {
    let (folder, _) = folder();
    let error = Sqlite::open(folder.path().join("none/assistant.db")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(error.to_string().contains("none"), "{error}");
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let (_folder, path) = folder();
    let store = Sqlite::open(&path).await.unwrap();
    let other = store.clone();
    store.close().await.unwrap();
    let key = RecordKey::new("space", "a");
    assert!(other.record(&key).await.unwrap_err().to_string().contains("closed"));
    let write = RecordWrite { key, expect: None, value: None };
    assert!(other.write(vec![write], vec![]).await.unwrap_err().to_string().contains("closed"));
    other.close().await.unwrap();
}

#[tokio::test]
async fn a_lease_is_taken_over_behind_the_commits_of_its_holder() {
    let (_folder, path) = folder();
    let store = Sqlite::open(&path).await.unwrap();
    let a = session("a");
    let old = lease(&store, &a).await;
    let name = LeaseName::Session(a.clone());
    let node = "node".into();
    let (committed, taken) = tokio::join!(
        store.commit(&old, &a, openclaw_core::Seq::ZERO, batch(1, "{}")),
        store.lease(&name, &node, std::time::Duration::from_secs(60)),
    );
    committed.unwrap();
    let new = taken.unwrap();
    assert_eq!(store.head(&a).await.unwrap().seq.0, 1);
    assert!(store.commit(&old, &a, openclaw_core::Seq(1), batch(2, "{}")).await.is_err());
    store.commit(&new, &a, openclaw_core::Seq(1), batch(2, "{}")).await.unwrap();
}

struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

#[tokio::test]
async fn keys_live_thirty_days_and_a_clock_that_goes_back_shortens_nothing() {
    const DAY: i64 = 24 * 60 * 60 * 1_000;
    let (_folder, path) = folder();
    let clock = Arc::new(Hand(AtomicI64::new(100 * DAY)));
    let store = Sqlite::builder(&path).clock(clock.clone()).open().await.unwrap();
    let a = session("a");
    let first = accept(&store, &a, "1").await.unwrap();
    let second = accept(&store, &a, "2").await.unwrap();
    let held = lease(&store, &a).await;
    let mut done = batch(1, "{}");
    done.consumed = vec![first, second];
    store.commit(&held, &a, openclaw_core::Seq::ZERO, done).await.unwrap();

    for day in [10, 129, 130] {
        clock.0.store(day * DAY, Ordering::Relaxed);
        assert_eq!(accept(&store, &a, "1").await, None, "on day {day}");
    }
    clock.0.store(131 * DAY, Ordering::Relaxed);
    let again = accept(&store, &a, "1").await.unwrap();
    assert!(again > second, "{again:?}: an input's place is never given twice");
    // The newest of the old rows stayed while it held the last place; now it may go.
    assert!(accept(&store, &a, "2").await.unwrap() > again);
    assert_eq!(store.inputs(&a, InputId::default(), 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_was_sent_is_known_for_thirty_days_and_what_waits_stays() {
    const DAY: i64 = 24 * 60 * 60 * 1_000;
    let (_folder, path) = folder();
    let clock = Arc::new(Hand(AtomicI64::new(100 * DAY)));
    let store = Sqlite::builder(&path).clock(clock.clone()).open().await.unwrap();
    let a = session("a");
    let row = |number: usize| {
        let key = OutboundKey::from(format!("{number}"));
        NewOutbound {
            key: key.clone(),
            conversation: a.conversation().clone(),
            session: Some(a.clone()),
            action: Action::Send { key: key.clone(), content: vec!["x".into()], reply_to: None },
            group: key,
            edits: None,
            at: Timestamp(100 * DAY),
        }
    };
    store.write(vec![], (0..40).map(row).collect()).await.unwrap();
    let lane = store.lane(a.conversation(), OutboundId::default(), 100).await.unwrap();
    // The oldest is still to be sent.
    for row in &lane[1..] {
        store.settle(row.id, Settlement::Sent(Receipt::message("m"))).await.unwrap();
    }
    let known = async || {
        let mut known = 0;
        for number in 0..40 {
            let key = OutboundKey::from(format!("{number}"));
            known += usize::from(store.outbound(&key).await.unwrap().is_some());
        }
        known
    };
    for (day, left) in [(129, 40), (10, 40), (131, 24), (131, 8), (131, 1), (131, 1)] {
        clock.0.store(day * DAY, Ordering::Relaxed);
        accept(&store, &a, &format!("{day}-{left}-{}", known().await)).await;
        assert_eq!(known().await, left, "on day {day}");
    }
    let lane = store.lane(a.conversation(), OutboundId::default(), 100).await.unwrap();
    assert_eq!(lane.len(), 1);
}
