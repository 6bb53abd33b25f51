//! Prints how fast a memory remembers and recalls, beside what others do with the same texts.
//!
//! `cargo run --release -p openclaw-benches --bin memory -- 10000 100000`
//!
//! Each number is a size, `writers` many who write at once; without any, these and 10000 and 100000. `sqlite-vec` is compared if `OPENCLAW_BENCH_PYTHON` names a Python that has it.

mod baselines;
mod corpus;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use openclaw_benches::{
    Result,
    figures::{self, OURSELVES, Times},
};
use openclaw_core::{
    ModelId, ProviderId,
    label::{Confidentiality, Label},
    memory::{Fact, FactKind, Memory as _, Query, Scope},
    provider::{CallContext, Embedder, Embedding},
    time::Timestamp,
};
use openclaw_memory::{
    embed::StaticEmbedder,
    sqlite::{Sqlite, SqliteMemory},
};

use corpus::Corpus;

/// Of very many memories fewer, as those who look at every vector take a second for a few.
const QUESTIONS: usize = 500;
const QUESTIONS_OF_VERY_MANY: usize = 100;
const VERY_MANY: usize = 200_000;
/// Of how many a filter leaves, at which the search by meaning is to be exact.
const FEW: usize = 10_000;
const WRITERS: usize = 16;

#[tokio::main]
async fn main() -> Result<()> {
    let mut asked: Vec<String> = std::env::args().skip(1).collect();
    if asked.is_empty() {
        asked = ["writers", "10000", "100000"].map(str::to_owned).to_vec();
    }
    for one in asked {
        let folder = tempfile::tempdir()?;
        match one.as_str() {
            "writers" => {
                println!("fdatasync of one page        {}", figures::syncs(folder.path(), 200)?);
                writers(&folder.path().join("writers.db")).await?;
            }
            size => {
                let size =
                    size.parse().map_err(|_| format!("{size:?}: expected a size or writers"))?;
                size_of(folder.path(), size).await?;
            }
        }
    }
    Ok(())
}

fn scope() -> Scope {
    Scope::agent("main")
}

/// When the memory of this number was told.
fn at(n: usize) -> Timestamp {
    Timestamp(i64::try_from(n).unwrap_or(i64::MAX) * 1_000)
}

fn fact(n: usize, text: String) -> Fact {
    // One in eight is private, so that a filter has something to leave out.
    let mut label = Label::user("owner");
    if n.is_multiple_of(8) {
        label.confidentiality = Confidentiality::Secret;
    }
    Fact::new(format!("{n:08}"), text, label, at(n))
}

/// The built-in embedder, sure of every text: so that meaning alone counts where it is to be measured alone.
struct Sure(StaticEmbedder);

#[async_trait::async_trait]
impl Embedder for Sure {
    fn id(&self) -> &ProviderId {
        self.0.id()
    }

    fn model(&self) -> &ModelId {
        self.0.model()
    }

    fn dimensions(&self) -> usize {
        self.0.dimensions()
    }

    async fn embed(
        &self,
        cx: &CallContext,
        texts: &[&str],
    ) -> openclaw_core::Result<Vec<Embedding>> {
        self.0.embed(cx, texts).await
    }
}

fn embedder(weight: f32) -> Arc<dyn Embedder> {
    let builtin = StaticEmbedder::builtin();
    if weight < 1.0 { Arc::new(builtin) } else { Arc::new(Sure(builtin)) }
}

async fn open(path: &Path, weight: f32) -> Result<(Sqlite, SqliteMemory)> {
    let store = Sqlite::open(path).await?;
    let embedder = embedder(weight);
    let memory = store.memory().embedder(embedder).weight(weight).open().await?;
    Ok((store, memory))
}

/// Many who remember one thing at a time, each waiting until it is durable.
async fn writers(path: &Path) -> Result<()> {
    const EACH: usize = 4_000;
    let (store, memory) = open(path, 0.3).await?;
    let began = Instant::now();
    let tasks = (0..WRITERS).map(|writer| {
        let memory = memory.clone();
        tokio::spawn(async move {
            let mut corpus = Corpus::new(writer as u64);
            let mut times = Vec::with_capacity(EACH);
            for n in 0..EACH {
                let new = fact(writer * EACH + n, corpus.text()).kind(FactKind::Turn);
                let began = Instant::now();
                memory.remember(&scope(), vec![new]).await?;
                times.push(began.elapsed());
            }
            Ok::<Vec<Duration>, openclaw_core::Error>(times)
        })
    });
    let mut times = Times::default();
    for task in futures_util::future::join_all(tasks).await {
        task??.into_iter().for_each(|time| times.add(time));
    }
    let took = began.elapsed();
    println!(
        "{WRITERS} writers, one a commit      {:.0} memories/s   {times}",
        rate(WRITERS * EACH, took)
    );
    memory.settled().await;
    println!(
        "until all have their vectors {:.0} memories/s",
        rate(WRITERS * EACH, began.elapsed())
    );
    store.close().await?;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a rate")]
fn rate(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

async fn size_of(folder: &Path, size: usize) -> Result<()> {
    println!("\n{size} memories");
    let path = folder.join("memory.db");
    let mut corpus = Corpus::new(1);
    let texts: Vec<String> = (0..size).map(|_| corpus.text()).collect();
    let (store, memory) = open(&path, 0.3).await?;
    let began = Instant::now();
    for (batch, chunk) in texts.chunks(1_000).enumerate() {
        let facts = chunk.iter().enumerate().map(|(n, text)| fact(batch * 1_000 + n, text.clone()));
        memory.remember(&scope(), facts.collect()).await?;
    }
    println!("  ingest by 1,000            {:.0} memories/s", rate(size, began.elapsed()));
    memory.settled().await;
    println!("  until all have vectors     {:.0} memories/s", rate(size, began.elapsed()));
    store.close().await?;
    drop(memory);

    let count = if size > VERY_MANY { QUESTIONS_OF_VERY_MANY } else { QUESTIONS };
    let questions: Vec<String> = (0..count)
        .map(|_| {
            let text = corpus.pick(size);
            let text = texts.get(text).cloned().unwrap_or_default();
            corpus.question(&text)
        })
        .collect();
    let before = figures::rss_mb(OURSELVES)?;
    let began = Instant::now();
    let (store, memory) = open(&path, 0.3).await?;
    let first = questions.first().map(String::as_str).unwrap_or_default();
    memory.recall(&scope(), &Query::new(first, 10)).await?;
    println!("  open to first answer       {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
    println!("  recall                     {}", ask(&memory, &questions, |query| query).await?);
    let filtered = |query: Query| query.most(Confidentiality::Private);
    println!("  recall with a filter       {}", ask(&memory, &questions, filtered).await?);
    let as_of = |query: Query| query.as_of(Timestamp(i64::MAX / 2));
    println!("  recall as of a moment      {}", ask(&memory, &questions, as_of).await?);
    let status = memory.status().await?;
    println!(
        "  held ready                 {:.0} bytes a memory (resident {:+.1} MB)",
        bytes_each(status.ready_bytes, size),
        figures::rss_mb(OURSELVES)? - before
    );
    store.close().await?;
    drop(memory);

    let fts = baselines::Fts5::new(&folder.join("fts5.db"), &texts)?;
    println!("  FTS5, ORDER BY rank        {}", fts.ask(&questions)?);
    vectors(folder, &path, &texts, &questions).await
}

#[expect(clippy::cast_precision_loss, reason = "a mean")]
fn bytes_each(bytes: usize, count: usize) -> f64 {
    bytes as f64 / count as f64
}

async fn ask(
    memory: &SqliteMemory,
    questions: &[String],
    refine: impl Fn(Query) -> Query,
) -> Result<Times> {
    let mut times = Times::default();
    for question in questions {
        let query = refine(Query::new(question.as_str(), 10));
        let began = Instant::now();
        let found = memory.recall(&scope(), &query).await?;
        times.add(began.elapsed());
        std::hint::black_box(found);
    }
    Ok(times)
}

/// By meaning alone, against every vector compared.
async fn vectors(folder: &Path, path: &Path, texts: &[String], questions: &[String]) -> Result<()> {
    let embedder = StaticEmbedder::builtin();
    let all: Vec<Vec<f32>> = texts.iter().map(|text| embedder.encode(text).vector).collect();
    let asked: Vec<Vec<f32>> =
        questions.iter().map(|question| embedder.encode(question).vector).collect();
    let exact = Exact::new(&all, &asked);
    println!("  every vector compared, f32 {}", exact.times);
    if let Some(line) = baselines::sqlite_vec(folder, &all, &asked)? {
        println!("  sqlite-vec, f32            {line}");
    }
    let (store, memory) = open(path, 1.0).await?;
    exact.compare("recall by meaning alone   ", &memory, questions).await?;
    let few = all.get(..FEW.min(all.len())).unwrap_or_default();
    let exact_of_few = Exact::new(few, &asked);
    exact_of_few.compare("  of 10,000 by a filter   ", &memory, questions).await?;
    store.close().await?;
    drop(memory);
    #[cfg(feature = "hnsw")]
    if texts.len() <= MOST_IN_A_GRAPH {
        graph(path, texts.len(), &exact, questions).await?;
    }
    Ok(())
}

/// Of more, building the graph takes longer than all else here.
#[cfg(feature = "hnsw")]
const MOST_IN_A_GRAPH: usize = 100_000;

/// The same, led by a graph of neighbours.
#[cfg(feature = "hnsw")]
async fn graph(path: &Path, size: usize, exact: &Exact<'_>, questions: &[String]) -> Result<()> {
    let store = Sqlite::open(path).await?;
    let memory = store.memory().embedder(embedder(1.0)).weight(1.0).graph_from(1).open().await?;
    let before = figures::rss_mb(OURSELVES)?;
    let began = Instant::now();
    memory.recall(&scope(), &Query::new("tea", 1)).await?;
    while memory.status().await?.in_graphs < size {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!(
        "  hnsw_rs, built in          {:.1} s ({:.0} bytes a memory)",
        began.elapsed().as_secs_f64(),
        bytes_each(1, size) * (figures::rss_mb(OURSELVES)? - before) * 1_048_576.0
    );
    // One that finds it whole, before the first that counts.
    memory.recall(&scope(), &Query::new("tea", 1)).await?;
    exact.compare("recall by it              ", &memory, questions).await?;
    store.close().await?;
    Ok(())
}

/// What every vector compared finds, and how long that takes. The vectors are those of the first so many memories.
struct Exact<'a> {
    all: &'a [Vec<f32>],
    asked: &'a [Vec<f32>],
    found: Vec<Vec<(usize, f32)>>,
    times: Times,
}

impl<'a> Exact<'a> {
    fn new(all: &'a [Vec<f32>], asked: &'a [Vec<f32>]) -> Self {
        let mut times = Times::default();
        let mut found = Vec::with_capacity(asked.len());
        for query in asked {
            let began = Instant::now();
            found.push(baselines::brute_force(all, query));
            times.add(began.elapsed());
        }
        Self { all, asked, found, times }
    }

    /// How long a memory takes, and how much of it it finds.
    async fn compare(&self, name: &str, memory: &SqliteMemory, questions: &[String]) -> Result<()> {
        let mut times = Times::default();
        let (mut hits, mut wanted) = (0, 0);
        for ((question, query), exact) in questions.iter().zip(self.asked).zip(&self.found) {
            let refined = Query::new(question.as_str(), 10).until(at(self.all.len()));
            let began = Instant::now();
            let found = memory.recall(&scope(), &refined).await?;
            times.add(began.elapsed());
            // Others may be as close as the tenth.
            let least = exact.last().map_or(0.0, |(_, close)| *close) - 1e-6;
            let close = |id: &str| {
                let vector = id.parse::<usize>().ok().and_then(|n| self.all.get(n));
                vector.map_or(-1.0, |v| v.iter().zip(query).map(|(a, b)| a * b).sum::<f32>())
            };
            hits += found.iter().filter(|found| close(&found.fact.id) >= least).count();
            wanted += exact.len();
        }
        println!("  {name} {times}   recall@10 {:.4}", bytes_each(hits, wanted));
        Ok(())
    }
}
