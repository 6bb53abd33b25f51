//! Damage is found; a backup brings back what was.

use openclaw_core::{
    ErrorKind, Gateway, Seq,
    message::{Action, Receipt},
    store::{
        InputId, LogRow, NewOutbound, OutboxStore as _, RecordStore as _, SessionStore as _,
        Settlement, Store as _,
    },
    testing::{Loopback, Scripted},
    time::Timestamp,
};
use openclaw_memory::sqlite::Sqlite;

use crate::common::{accept, batch, folder, lease, session};

/// A store with some sessions, each with a log, and inputs.
async fn filled(store: &Sqlite) {
    for n in 0..20 {
        let a = session(&n.to_string());
        let held = lease(store, &a).await;
        for seq in 1..=10 {
            let entry = batch(seq, format!("{{\"text\":\"{}\"}}", "x".repeat(500)));
            store.commit(&held, &a, Seq(seq - 1), entry).await.unwrap();
        }
        accept(store, &a, "1").await.unwrap();
    }
}

async fn contents(store: &Sqlite) -> Vec<(usize, Vec<LogRow>)> {
    let mut all = Vec::new();
    for (name, _) in store.sessions(None, 100).await.unwrap() {
        let inputs = store.inputs(&name, InputId::default(), 100).await.unwrap().len();
        all.push((inputs, store.read(&name, Seq::ZERO, 100).await.unwrap()));
    }
    all
}

#[tokio::test]
async fn a_sound_database_has_no_findings() {
    let (_folder, path) = folder();
    let store = Sqlite::open(&path).await.unwrap();
    filled(&store).await;
    assert!(store.doctor().await.unwrap().is_sound());
    assert_eq!(store.findings(), None);
}

#[tokio::test]
async fn a_backup_restores_what_damage_took() {
    let (_folder, path) = folder();
    let store = Sqlite::open(&path).await.unwrap();
    filled(&store).await;
    let before = contents(&store).await;
    assert_eq!(before.len(), 20);
    let copy = path.with_file_name("copy.db");
    store.backup(&copy).await.unwrap();
    let error = store.backup(&copy).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    // What comes later is not in the copy.
    accept(&store, &session("late"), "1").await.unwrap();
    store.close().await.unwrap();

    // A page in the middle is lost.
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 4096 / 2 * 4096;
    bytes[middle..middle + 4096].fill(0xA5);
    std::fs::write(&path, bytes).unwrap();
    let store = Sqlite::open(&path).await.unwrap();
    let findings = store.doctor().await.unwrap();
    assert!(!findings.is_sound());
    let spoiled = path.with_file_name("spoiled.db");
    assert_eq!(store.backup(&spoiled).await.unwrap_err().kind(), ErrorKind::InvalidData);
    assert!(!spoiled.exists() && !path.with_file_name("spoiled.db.partial").exists());
    store.close().await.unwrap();

    let restored = Sqlite::open(&copy).await.unwrap();
    assert!(restored.doctor().await.unwrap().is_sound());
    assert_eq!(contents(&restored).await, before);
    assert!(accept(&restored, &session("late"), "1").await.is_some());
}

#[tokio::test]
async fn the_owner_is_told_of_damage_that_a_crash_left() {
    let (_folder, path) = folder();
    let store = Sqlite::open(&path).await.unwrap();
    let a = session("a");
    let held = lease(&store, &a).await;
    for seq in 1..=20 {
        store.commit(&held, &a, Seq(seq - 1), batch(seq, "x".repeat(20_000))).await.unwrap();
    }
    store.close().await.unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 4096 / 2 * 4096;
    bytes[middle..middle + 4096].fill(0xA5);
    std::fs::write(&path, bytes).unwrap();
    // As a crash leaves it: not marked as closed.
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute("UPDATE meta SET value = 0 WHERE name = 'clean'", []).unwrap();
    drop(conn);

    let chat = Loopback::account("chat:main").unwrap();
    let ada = chat.person("ada");
    let make = async || {
        let store = Sqlite::open(&path).await.unwrap();
        let gateway = Gateway::builder()
            .provider(Scripted::replies(["hello"]))
            .store(store.clone())
            .channel(chat.clone())
            .owner("chat", "ada")
            .start()
            .await
            .unwrap();
        (store, gateway)
    };
    let (store, gateway) = make().await;
    let told = chat.next_message(ada.conversation()).await.text();
    assert!(told.contains("database is damaged") && told.contains("backup"), "{told}");
    assert!(!store.findings().unwrap().is_sound());
    // It goes on with what is whole, and after the next crash tells the same once.
    assert_eq!(ada.say("hi").await.unwrap(), "hello");
    drop(gateway);
    store.close().await.unwrap();
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute("UPDATE meta SET value = 0 WHERE name = 'clean'", []).unwrap();
    drop(conn);
    let (store, gateway) = make().await;
    assert!(!store.damage().await.is_empty());
    gateway.shutdown().await.unwrap();
    store.close().await.unwrap();
    let damaged = |shown: &openclaw_core::testing::Shown| shown.text().contains("damaged");
    assert_eq!(chat.messages().iter().filter(|shown| damaged(shown)).count(), 1);
}

#[tokio::test]
async fn a_backup_is_whole_while_others_write() {
    let (_folder, path) = folder();
    let store = Sqlite::open(&path).await.unwrap();
    filled(&store).await;
    let a = session("busy");
    let write = async {
        for n in 0..200 {
            accept(&store, &a, &n.to_string()).await.unwrap();
        }
    };
    let copy = path.with_file_name("copy.db");
    let (backup, ()) = tokio::join!(store.backup(&copy), write);
    backup.unwrap();
    let copied = Sqlite::open(&copy).await.unwrap();
    let pending = copied.inputs(&a, InputId::default(), 1_000).await.unwrap();
    let keys: Vec<String> = pending.iter().map(|row| row.key.as_str().to_owned()).collect();
    let expected: Vec<String> = (0..keys.len()).map(|n| format!("v:{n}")).collect();
    assert_eq!(keys, expected);
}

#[tokio::test]
async fn rows_that_contradict_each_other_are_found() {
    for wrong in [
        "UPDATE sessions SET seq = seq + 1 WHERE id = 3",
        "UPDATE sessions SET pending = 7 WHERE id = 3",
        "DELETE FROM log WHERE id = (SELECT min(id) FROM log)",
        "DELETE FROM sessions WHERE id = 3",
    ] {
        let (_folder, path) = folder();
        let store = Sqlite::open(&path).await.unwrap();
        filled(&store).await;
        store.close().await.unwrap();
        rusqlite::Connection::open(&path).unwrap().execute(wrong, []).unwrap();
        let store = Sqlite::open(&path).await.unwrap();
        let findings = store.doctor().await.unwrap();
        assert!(!findings.is_sound(), "{wrong}");
        assert!(!format!("{findings:?}").contains("a check failed"), "{findings:?}");
    }
}

#[tokio::test]
async fn what_is_erased_is_not_in_the_files_any_more() {
    let (_folder, path) = folder();
    let store = Sqlite::open(&path).await.unwrap();
    let a = session("a");
    let held = lease(&store, &a).await;
    let secret = "THE-SECRET-WORD".repeat(1_000);
    store.commit(&held, &a, Seq::ZERO, batch(1, format!("\"{secret}\""))).await.unwrap();
    store.commit(&held, &a, Seq(1), batch(2, "\"THE-SECRET-WORD\"")).await.unwrap();
    let key = openclaw_core::OutboundKey::from("reply");
    let action = Action::Send { key: key.clone(), content: vec![secret.into()], reply_to: None };
    let reply = NewOutbound {
        key: key.clone(),
        conversation: a.conversation().clone(),
        session: Some(a.clone()),
        action,
        group: key.clone(),
        edits: None,
        at: Timestamp(1),
    };
    store.write(vec![], vec![reply]).await.unwrap();
    let row = store.outbound(&key).await.unwrap().unwrap();
    store.settle(row.id, Settlement::Sent(Receipt::default())).await.unwrap();
    assert_eq!(store.erase(&a, Seq(1), Seq(2)).await.unwrap(), 2);
    for file in std::fs::read_dir(path.parent().unwrap()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(15).any(|window| window == b"THE-SECRET-WORD"));
    }
    store.close().await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_folder, path) = folder();
    let store = Sqlite::open(&path).await.unwrap();
    filled(&store).await;
    store.backup(path.with_file_name("copy.db")).await.unwrap();
    for name in ["assistant.db", "assistant.db-wal", "copy.db"] {
        let mode = std::fs::metadata(path.with_file_name(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}");
    }
}
