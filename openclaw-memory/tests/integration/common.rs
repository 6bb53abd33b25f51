//! What the tests share.

use std::{path::PathBuf, process::Command, time::Duration};

use openclaw_core::{
    AccountId, Conversation, EventKey, NodeId, Seq, SessionKey,
    label::Label,
    store::{
        AcceptLimits, AcceptOutcome, Batch, InputId, Lease, LeaseName, LogRow, NewInput,
        SessionStore as _, SessionUpdate,
    },
    time::Timestamp,
};
use openclaw_memory::sqlite::Sqlite;
use tempfile::TempDir;

pub(crate) const NO_LIMITS: AcceptLimits = AcceptLimits { total: u64::MAX, session: u64::MAX };

pub(crate) fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("assistant.db");
    (folder, path)
}

pub(crate) fn session(peer: &str) -> SessionKey {
    let place = Conversation::direct(AccountId::new("web", "a").unwrap(), peer);
    SessionKey::new("main".into(), place)
}

pub(crate) fn input(session: &SessionKey, key: &str, payload: impl Into<String>) -> NewInput {
    NewInput {
        session: session.clone(),
        heard: session.conversation().clone(),
        key: EventKey::event(key),
        control: false,
        at: Timestamp(1),
        payload: payload.into(),
    }
}

pub(crate) async fn accept(store: &Sqlite, session: &SessionKey, key: &str) -> Option<InputId> {
    let input = input(session, key, format!("{{\"key\":\"{key}\"}}"));
    match store.accept(vec![input], NO_LIMITS).await.unwrap().as_slice() {
        [AcceptOutcome::Added { id, .. }] => Some(*id),
        _ => None,
    }
}

pub(crate) async fn lease(store: &Sqlite, session: &SessionKey) -> Lease {
    let name = LeaseName::Session(session.clone());
    store.lease(&name, &NodeId::from("node"), Duration::from_secs(60)).await.unwrap()
}

pub(crate) fn batch(seq: u64, payload: impl Into<String>) -> Batch {
    Batch {
        entries: vec![LogRow {
            seq: Seq(seq),
            kind: "note".into(),
            at: Timestamp(1),
            label: Label::user("owner"),
            digest: String::new(),
            payload: Some(payload.into()),
        }],
        consumed: vec![],
        dead: vec![],
        outbox: vec![],
        records: vec![],
        session: SessionUpdate { checkpoint: None, open: false, wake_at: None },
    }
}

/// This test binary as another process, running the test `name` alone; `role` says which part of it.
pub(crate) fn child(name: &str, role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]).env(ROLE, role);
    command
}

/// Which part this process plays; none in the process that the test runner started.
pub(crate) fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

const ROLE: &str = "OPENCLAW_TEST_ROLE";

/// Says that a test did not run, and why.
pub(crate) fn skip(name: &str, reason: &str) {
    let line = format!("SKIPPED: {name}: {reason}");
    eprintln!("{line}");
    if let Some(list) = std::env::var_os("OPENCLAW_SKIPS") {
        use std::io::Write as _;
        let mut list = std::fs::File::options().create(true).append(true).open(list).unwrap();
        writeln!(list, "{line}").unwrap();
    }
}
