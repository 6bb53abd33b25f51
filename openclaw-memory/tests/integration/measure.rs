//! Figures of this machine. Run with
//! `cargo test --release -p openclaw-memory --features sqlite measure -- --ignored --nocapture`

use std::{
    fs::File,
    io::Write as _,
    time::{Duration, Instant},
};

use openclaw_core::{Seq, store::SessionStore as _};
use openclaw_memory::sqlite::Sqlite;

use crate::common::{accept, batch, folder, lease, session};

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("{what:<24} p50 {:>8.3?}  p99 {:>8.3?}", at(50), at(99));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints figures; nothing can fail"]
async fn figures() {
    let (folder, path) = folder();
    let mut raw = File::create(folder.path().join("raw")).unwrap();
    let mut times = Vec::new();
    for _ in 0..1_000 {
        let start = Instant::now();
        raw.write_all(&[7; 4096]).unwrap();
        raw.sync_data().unwrap();
        times.push(start.elapsed());
    }
    show("write 4 KiB, fdatasync", times);

    let store = Sqlite::open(&path).await.unwrap();
    let a = session("single");
    let held = lease(&store, &a).await;
    let (mut accepts, mut commits) = (Vec::new(), Vec::new());
    for n in 0..2_000 {
        let start = Instant::now();
        let id = accept(&store, &a, &n.to_string()).await.unwrap();
        accepts.push(start.elapsed());
        let mut done = batch(n + 1, format!("{{\"text\":\"{}\"}}", "x".repeat(300)));
        done.consumed = vec![id];
        let start = Instant::now();
        store.commit(&held, &a, Seq(n), done).await.unwrap();
        commits.push(start.elapsed());
    }
    show("one accept", accepts);
    show("one commit", commits);

    for sessions in [24, 1_000] {
        let rounds = 40_000 / sessions;
        let start = Instant::now();
        let tasks = (0..sessions).map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                let a = session(&format!("{sessions}-{number}"));
                let held = lease(&store, &a).await;
                let mut times = Vec::new();
                for seq in 1..=rounds {
                    let entry = batch(seq, format!("{{\"text\":\"{}\"}}", "x".repeat(300)));
                    let start = Instant::now();
                    store.commit(&held, &a, Seq(seq - 1), entry).await.unwrap();
                    times.push(start.elapsed());
                }
                times
            })
        });
        let all = futures_util::future::join_all(tasks).await;
        let times: Vec<Duration> = all.into_iter().flat_map(Result::unwrap).collect();
        let rate = times.len() as f64 / start.elapsed().as_secs_f64();
        println!("{sessions:>5} sessions: {rate:>8.0} commits/s");
        show("  one of them", times);
    }
    let wal = std::fs::metadata(path.with_extension("db-wal")).unwrap().len();
    println!("log file {} KiB", wal / 1024);
}
