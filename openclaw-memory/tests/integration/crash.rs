//! A process that is killed while it writes: all that it had been told is there is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader, Write as _},
    process::Stdio,
};

use openclaw_core::{
    Seq,
    store::{InputId, SessionStore as _},
};
use openclaw_memory::sqlite::Sqlite;

use crate::common::{accept, batch, child, folder, lease, role, session};

const NAME: &str = "crash::what_was_acknowledged_survives_a_kill";
const SESSIONS: usize = 16;

/// Accepts and commits without end, and says each as soon as it was acknowledged.
async fn work(store: Sqlite, round: String, number: usize) {
    let a = session(&number.to_string());
    let held = lease(&store, &a).await;
    let mut end = store.head(&a).await.unwrap().seq;
    // What an earlier process accepted and did not get to.
    let mut waiting: Vec<_> = store.inputs(&a, InputId::default(), 1_000).await.unwrap();
    for n in 0.. {
        let key = format!("{round}-{n}");
        accept(&store, &a, &key).await.unwrap();
        say(&format!("accepted {number} v:{key}"));
        waiting.extend(store.inputs(&a, InputId::default(), 1).await.unwrap());
        let mut done = batch(end.0 + 1, "{}");
        let first = waiting.remove(0);
        waiting.clear();
        done.entries[0].payload = Some(first.key.as_str().to_owned());
        done.consumed = vec![first.id];
        store.commit(&held, &a, end, done).await.unwrap();
        end = end.next();
        say(&format!("committed {number} {}", first.key.as_str()));
    }
}

/// One write a line, so that a kill cuts none in two.
fn say(line: &str) {
    std::io::stdout().lock().write_all(format!("{line}\n").as_bytes()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_kill() {
    if let Some(role) = role() {
        let (round, path) = role.split_once(' ').unwrap();
        let store = Sqlite::open(path).await.unwrap();
        let tasks = (0..SESSIONS).map(|n| tokio::spawn(work(store.clone(), round.into(), n)));
        futures_util::future::join_all(tasks).await;
        return;
    }
    let (_folder, path) = folder();
    let mut accepted: BTreeSet<(usize, String)> = BTreeSet::new();
    let mut committed: BTreeMap<usize, u64> = BTreeMap::new();
    for round in 0..5_usize {
        let mut process = child(NAME, &format!("{round} {}", path.display()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut heard = 0;
        while heard < 200 + 50 * round {
            let line = lines.next().expect("the child died by itself").unwrap();
            heard += usize::from(note(&line, &mut accepted, &mut committed));
        }
        process.kill().unwrap();
        process.wait().unwrap();
        // What it said before it died counts too.
        lines.map_while(Result::ok).for_each(|line| {
            note(&line, &mut accepted, &mut committed);
        });

        let store = Sqlite::open(&path).await.unwrap();
        assert!(store.doctor().await.unwrap().is_sound());
        let mut kept: BTreeSet<(usize, String)> = BTreeSet::new();
        for number in 0..SESSIONS {
            let a = session(&number.to_string());
            let log = store.read(&a, Seq::ZERO, 100_000).await.unwrap();
            assert!(log.len() as u64 >= committed.get(&number).copied().unwrap_or_default());
            let inputs = store.inputs(&a, InputId::default(), 100_000).await.unwrap();
            let pending = inputs.into_iter().map(|row| row.key.as_str().to_owned());
            for key in log.into_iter().filter_map(|row| row.payload).chain(pending) {
                assert!(kept.insert((number, key.clone())), "{key} is there twice");
            }
        }
        let lost: Vec<_> = accepted.difference(&kept).collect();
        assert!(lost.is_empty(), "lost {lost:?}");
        store.close().await.unwrap();
    }
    assert!(accepted.len() > 400, "only {} were accepted", accepted.len());
}

fn note(
    line: &str,
    accepted: &mut BTreeSet<(usize, String)>,
    committed: &mut BTreeMap<usize, u64>,
) -> bool {
    // The test harness prints beside it, also in front of the first line.
    let words: Vec<&str> = line.split(' ').collect();
    match words.as_slice() {
        [.., "accepted", number, key] => {
            accepted.insert((number.parse().unwrap(), (*key).to_owned()))
        }
        [.., "committed", number, _] => {
            *committed.entry(number.parse().unwrap()).or_default() += 1;
            true
        }
        _ => false,
    }
}

#[tokio::test]
async fn a_database_that_was_not_closed_is_checked() {
    let name = "crash::a_database_that_was_not_closed_is_checked";
    if let Some(path) = role() {
        let store = Sqlite::open(&path).await.unwrap();
        accept(&store, &session("a"), "1").await.unwrap();
        std::process::abort();
    }
    let (_folder, path) = folder();
    let status = child(name, path.to_str().unwrap()).stdout(Stdio::null()).status().unwrap();
    assert!(!status.success());
    let store = Sqlite::open(&path).await.unwrap();
    let findings = loop {
        match store.findings() {
            Some(findings) => break findings,
            None => tokio::task::yield_now().await,
        }
    };
    assert!(findings.is_sound());
    assert_eq!(accept(&store, &session("a"), "1").await, None);
}
