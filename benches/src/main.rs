//! The load driver: how fast the message path is, beside what this machine allows.
//!
//! Run with `cargo run --release -p openclaw-benches --bin load`.
//!
//! A model server of its own process speaks OpenAI's streaming chat completions on loopback; the gateway
//! runs with the SQLite store (`synchronous=FULL`) and a channel that answers nobody but this driver.
//! Figures of the gateway stand beside figures of its parts alone, taken in the same run.

mod figures;
mod http;
mod model;
mod platform;

use std::{error::Error, path::Path, time::Instant};

use figures::{Times, rss_mb, syncs};
use openclaw_core::{
    Gateway, ModelId,
    layer::LimitLayer,
    provider::{CallContext, ChatMessage, Completion, CompletionRequest, Provider as _},
    store::{AcceptLimits, NewInput, SessionStore as _},
};
use openclaw_memory::sqlite::Sqlite;
use openclaw_providers::openai::OpenAi;
use platform::Platform;

/// Each connection to the model server takes some 40 kB, in the gateway and in the server.
const CALLS_AT_ONCE: u32 = 64;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("model") {
        return model::serve().await;
    }
    let (mut server, base) = model::spawn().await?;
    let folder = tempfile::tempdir()?;

    println!("this machine");
    let raw = syncs(folder.path(), 500)?;
    println!("  fdatasync of one page               {raw}");

    let provider = OpenAi::keyless(&base)?;
    let call = provider_alone(&provider).await?;
    println!("  model call alone, over loopback     {call}");
    let (accept, commit) = store_alone(folder.path()).await?;
    println!("  SQLite accept alone                 {accept}");

    println!("gateway");
    let began = Instant::now();
    let store = Sqlite::open(folder.path().join("gateway.db")).await?;
    let platform = Platform::new()?;
    let gateway = Gateway::builder()
        .store(store)
        .provider(provider)
        .layer_providers(LimitLayer::new().concurrency(CALLS_AT_ONCE))
        .channel(platform.clone())
        .start()
        .await?;
    println!("  ready after                         {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
    let idle = rss_mb()?;
    println!("  resident, idle                      {idle:.1} MB");

    platform.turns("warm-up", 50).await?;
    let mut warm = Times::default();
    for conversation in 0..20 {
        warm.extend(platform.turns(&format!("warm-{conversation}"), 51).await?);
    }
    println!("  warm turn, up to 50 before it       {warm}");
    let long = platform.turns("long", 1_000).await?;
    println!("  warm turn, up to 1,000 before it    {long}");
    // The parts' medians are taken off both: a slow sync of the disk counts against the gateway's p99.
    let parts = call.p50() + accept.p50() + commit.p50();
    println!(
        "  of it beyond model call and commits p50 {:.2} ms   p99 {:.2} ms",
        warm.p50() - parts,
        warm.p99() - parts
    );
    let mut turns = 50 + 20 * 51 + 1_000;
    for (sessions, each) in [(24, 350), (1_000, 10)] {
        let began = Instant::now();
        platform.load(sessions, each).await?;
        let total = sessions * each;
        turns += total;
        let rate = f64::from(total) / began.elapsed().as_secs_f64();
        let rss = rss_mb()?;
        println!("  {sessions:>5} sessions                      {rate:.0} turns/s");
        println!("  resident after {turns} turns          {rss:.1} MB ({:+.1})", rss - idle);
    }
    println!("  prompt of \"hello\"                   {} bytes", model::prompt_bytes(&base).await?);
    gateway.shutdown().await?;
    server.kill().await?;
    Ok(())
}

/// The model call as the gateway makes it, without the gateway.
async fn provider_alone(provider: &OpenAi) -> Result<Times> {
    let request = CompletionRequest::new(ModelId::new("default"), vec![ChatMessage::user("hello")]);
    let mut times = Times::default();
    for _ in 0..1_000 {
        let began = Instant::now();
        let stream = provider.stream(&CallContext::new(), &request).await?;
        Completion::collect(stream, |_| {}).await?;
        times.add(began.elapsed());
    }
    Ok(times)
}

/// What a turn waits for in the store, without the gateway: an accept, and a commit of about the size
/// of a turn's, which costs the same one sync.
async fn store_alone(folder: &Path) -> Result<(Times, Times)> {
    let store = Sqlite::open(folder.join("alone.db")).await?;
    let (mut accepts, mut commits) = (Times::default(), Times::default());
    for number in 0..1_000 {
        for (kind, times) in [("a", &mut accepts), ("c", &mut commits)] {
            let input = NewInput {
                session: "agent:main:bench:default:direct:alone".parse()?,
                account: "bench:default".parse()?,
                key: openclaw_core::EventKey::event(&format!("{number}{kind}")),
                control: false,
                at: openclaw_core::time::Timestamp(i64::from(number)),
                payload: "{\"text\":\"hello\"}".repeat(8),
            };
            let limits = AcceptLimits { total: u64::MAX, session: u64::MAX };
            let began = Instant::now();
            store.accept(vec![input], limits).await?;
            times.add(began.elapsed());
        }
    }
    Ok((accepts, commits))
}
