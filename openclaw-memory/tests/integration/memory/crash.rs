//! A process that is killed while it remembers, forgets, embeds anew, searches, copies: what it had been told is
//! there is there, what it had been told is gone is gone, and the file is sound.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use openclaw_core::{
    memory::{Forget, Memory as _, Page, Query},
    testing::embedder::HashEmbedder,
};
use openclaw_memory::sqlite::{Sqlite, SqliteMemory};

use super::{fact, scope, temporal::Dice};
use crate::common::{child, folder, role};

const NAME: &str = "memory::crash::what_was_acknowledged_survives_a_hundred_kills";
/// `OPENCLAW_KILLS` asks for more.
const KILLS: u64 = 100;
const WRITERS: usize = 4;

/// What it is killed in, in turn. A search catches the index up with what was committed since the last, and with the
/// feature `hnsw` has a graph caught up beside.
const KINDS: [&str; 6] = ["ingest", "forget", "search", "copy", "checkpoint", "embedding"];

/// Opens with an embedder that differs from round to round, so that each has all vectors to make anew.
async fn open(path: &Path, round: u64) -> (Sqlite, SqliteMemory) {
    let store = Sqlite::open(path).await.unwrap();
    let embedder = HashEmbedder::new(if round.is_multiple_of(2) { 32 } else { 48 });
    // A graph of neighbours, if there are any, catches up beside.
    let builder = store.memory().embedder(Arc::new(embedder)).graph_from(100);
    let memory = builder.open().await.unwrap();
    (store, memory)
}

/// One write a line, so that a kill cuts none in two.
fn say(line: &str) {
    std::io::stdout().lock().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Does it, and says when it begins and when it ends.
async fn during<T>(kind: &str, work: impl Future<Output = T>) -> T {
    say(&format!("doing {kind}"));
    let result = work.await;
    say(&format!("done {kind}"));
    result
}

async fn work(memory: SqliteMemory, round: u64, writer: usize) {
    let mut dice = Dice(round * 31 + writer as u64);
    for n in 0.. {
        let ids: Vec<String> =
            (0..=dice.below(4)).map(|k| format!("{round}-{writer}-{n}-{k}")).collect();
        let facts = ids.iter().map(|id| fact(id, format!("memory {id} about tea"), n));
        during("ingest", memory.remember(&scope(), facts.collect())).await.unwrap();
        ids.iter().for_each(|id| say(&format!("told {id}")));
        if dice.below(6) == 0 {
            let gone = ids[0].clone();
            // Before: a kill may come after the commit and before the answer.
            say(&format!("forgetting {gone}"));
            let what = Forget::Ids(vec![gone.clone()]);
            during("forget", memory.forget(&scope(), &what)).await.unwrap();
            say(&format!("gone {gone}"));
        }
        if dice.below(4) == 0 {
            during("search", memory.recall(&scope(), &Query::new("tea", 5))).await.unwrap();
        }
    }
}

async fn copy(store: Sqlite, folder: std::path::PathBuf, round: u64) {
    for n in 0.. {
        let to = folder.join(format!("copy-{round}-{n}"));
        during("copy", store.backup(&to)).await.unwrap();
        std::fs::remove_file(to).unwrap();
    }
}

/// Makes checkpoints beside those that the store makes.
#[expect(clippy::disallowed_methods, reason = "on a thread of its own")]
fn checkpoints(path: &Path) {
    let conn = rusqlite::Connection::open(path).unwrap();
    loop {
        say("doing checkpoint");
        conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
        say("done checkpoint");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[derive(Default)]
struct Heard {
    told: BTreeSet<String>,
    forgetting: BTreeSet<String>,
    gone: BTreeSet<String>,
    /// What was begun and did not end, how many times, by the process that is listened to.
    underway: BTreeMap<String, i32>,
}

impl Heard {
    fn hear(&mut self, line: &str) {
        // The test harness prints beside it, also in front of the first line.
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            [.., "doing", kind] => *self.underway.entry((*kind).to_owned()).or_default() += 1,
            [.., "done", kind] => *self.underway.entry((*kind).to_owned()).or_default() -= 1,
            _ => {}
        }
        let set = match words.as_slice() {
            [.., "told", _] => &mut self.told,
            [.., "forgetting", _] => &mut self.forgetting,
            [.., "gone", _] => &mut self.gone,
            _ => return,
        };
        set.extend(words.last().map(|id| (*id).to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_hundred_kills() {
    if let Some(role) = role() {
        let (round, path) = role.split_once(' ').unwrap();
        let round = round.parse().unwrap();
        let (store, memory) = open(Path::new(path), round).await;
        let folder = Path::new(path).parent().unwrap().to_owned();
        tokio::spawn(copy(store, folder, round));
        let settling = memory.clone();
        tokio::spawn(async move {
            loop {
                during("embedding", settling.settled()).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        let file = Path::new(path).to_owned();
        std::thread::spawn(move || checkpoints(&file));
        let tasks = (0..WRITERS).map(|n| tokio::spawn(work(memory.clone(), round, n)));
        futures_util::future::join_all(tasks).await;
        return;
    }
    let (_folder, path) = folder();
    let mut heard = Heard::default();
    let mut dice = Dice(99);
    let mut killed_in: BTreeMap<String, u64> = BTreeMap::new();
    let kills = std::env::var("OPENCLAW_KILLS").ok().and_then(|kills| kills.parse().ok());
    for round in 0..kills.unwrap_or(KILLS) {
        let mut process = child(NAME, &format!("{round} {}", path.display()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        heard.underway.clear();
        let mut next = || lines.next().expect("the child died by itself").unwrap();
        for _ in 0..=dice.below(150) {
            heard.hear(&next());
        }
        let aim = KINDS[usize::try_from(round).unwrap() % KINDS.len()];
        while heard.underway.get(aim).is_none_or(|times| *times < 1) {
            heard.hear(&next());
        }
        tokio::time::sleep(Duration::from_micros(dice.below(2_000))).await;
        process.kill().unwrap();
        process.wait().unwrap();
        // What it said before it died counts too.
        lines.map_while(Result::ok).for_each(|line| heard.hear(&line));
        for (kind, _) in heard.underway.iter().filter(|(_, times)| **times > 0) {
            *killed_in.entry(kind.clone()).or_default() += 1;
        }
        // Every tenth time all is looked at; every time it opens and answers.
        let (store, memory) = open(&path, round + 1).await;
        let found = memory.recall(&scope(), &Query::new("tea", 3)).await.unwrap();
        assert!(found.iter().all(|found| !heard.gone.contains(&found.fact.id)));
        if round % 10 == 9 {
            check(&store, &memory, &heard, round).await;
        }
        store.close().await.unwrap();
    }
    // Seen with `--no-capture`.
    eprintln!("killed in {killed_in:?}");
    assert!(KINDS.iter().all(|kind| killed_in.contains_key(*kind)), "{killed_in:?}");
    assert!(heard.told.len() > 1_000, "only {} were told", heard.told.len());
    assert!(heard.gone.len() > 20, "only {} were forgotten", heard.gone.len());
}

async fn check(store: &Sqlite, memory: &SqliteMemory, heard: &Heard, round: u64) {
    memory.settled().await;
    let found = store.doctor().await.unwrap();
    assert!(found.is_sound(), "after kill {round}: {found:?}");
    assert_eq!(memory.status().await.unwrap().pending, 0);
    let all = memory.list(&scope(), &Page { after: None, limit: 1_000_000 }).await.unwrap();
    let there: BTreeSet<String> = all.into_iter().map(|fact| fact.id).collect();
    let lost: Vec<&String> = heard
        .told
        .iter()
        .filter(|id| !there.contains(*id) && !heard.forgetting.contains(*id))
        .collect();
    assert!(lost.is_empty(), "lost after kill {round}: {lost:?}");
    let back: Vec<&String> = heard.gone.intersection(&there).collect();
    assert!(back.is_empty(), "came back after kill {round}: {back:?}");
}
