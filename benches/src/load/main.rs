//! The load driver: how fast the message path is, beside what this machine allows.
//!
//! Run with `cargo run --release -p openclaw-benches --bin load`; with `-- 1000 10` behind it for a load
//! of 1,000 sessions of 10 turns alone, as under a profiler.
//!
//! A model server of its own process speaks OpenAI's streaming chat completions on loopback; the gateway
//! runs with the SQLite store (`synchronous=FULL`) and a channel that answers nobody but this driver.
//! Figures of the gateway stand beside figures of its parts alone, taken in the same run.

mod platform;

use std::{path::Path, time::Instant};

use openclaw_benches::{
    Result,
    figures::{Cpu, OURSELVES, Times, rss_mb, syncs},
    model, store,
};
use openclaw_core::{Gateway, layer::LimitLayer};
use openclaw_memory::sqlite::Sqlite;
use openclaw_providers::openai::OpenAi;
use platform::Platform;

/// Each connection to the model server takes some 40 kB, in the gateway and in the server.
const CALLS_AT_ONCE: u32 = 64;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["model"] => model::serve().await,
        [] => figures(None).await,
        [sessions, each] => figures(Some((sessions.parse()?, each.parse()?))).await,
        _ => Err("expected nothing, or how many sessions and how many turns each".into()),
    }
}

/// All figures, or those of one load alone.
async fn figures(only: Option<(u32, u32)>) -> Result<()> {
    let (mut server, base) = model::spawn().await?;
    let folder = tempfile::tempdir()?;
    let provider = OpenAi::keyless(&base)?;
    let parts = if only.is_none() { parts_alone(folder.path(), &provider).await? } else { 0.0 };

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
    let idle = rss_mb(OURSELVES)?;
    println!("  resident, idle                      {idle:.1} MB");
    match only {
        Some((sessions, each)) => loaded(&platform, sessions, each).await?,
        None => {
            warm(&platform, parts).await?;
            // With the turns before, 10,000.
            loaded(&platform, 24, 330).await?;
            println!("  resident after 10,000 turns         {:+.1} MB", rss_mb(OURSELVES)? - idle);
            loaded(&platform, 1_000, 10).await?;
        }
    }
    println!("  resident in the end                 {:+.1} MB", rss_mb(OURSELVES)? - idle);
    println!("  prompt of \"hello\"                   {} bytes", model::prompt_bytes(&base).await?);
    gateway.shutdown().await?;
    server.kill().await?;
    Ok(())
}

/// The disk, the model call and the store without the gateway; what a turn waits for in them, in
/// milliseconds.
async fn parts_alone(folder: &Path, provider: &OpenAi) -> Result<f64> {
    println!("this machine");
    println!("  fdatasync of one page               {}", syncs(folder, 500)?);
    let call = model::alone(provider).await?;
    println!("  model call alone, over loopback     {call}");
    let (accept, commit) = store::alone(folder).await?;
    println!("  SQLite accept alone                 {accept}");
    println!("  SQLite commit of a turn alone       {commit}");
    Ok(call.p50() + accept.p50() + commit.p50())
}

/// One session at a time: 2,080 turns.
async fn warm(platform: &Platform, parts: f64) -> Result<()> {
    platform.turns("warm-up", 60).await?;
    let (mut warm, cpu) = (Times::default(), Cpu::start(OURSELVES)?);
    for conversation in 0..20 {
        warm.extend(platform.turns(&format!("warm-{conversation}"), 51).await?);
    }
    println!("  warm turn, up to 50 before it       {warm}   {}", cpu.a_turn(1_020)?);
    // The parts' medians are taken off both: a slow sync of the disk counts against the gateway's p99.
    println!(
        "  of it beyond model call and commits p50 {:.2} ms   p99 {:.2} ms",
        warm.p50() - parts,
        warm.p99() - parts
    );
    let cpu = Cpu::start(OURSELVES)?;
    let long = platform.turns("long", 1_000).await?;
    println!("  warm turn, up to 1,000 before it    {long}   {}", cpu.a_turn(1_000)?);
    Ok(())
}

/// Many sessions at once.
async fn loaded(platform: &Platform, sessions: u32, each: u32) -> Result<()> {
    let (began, cpu) = (Instant::now(), Cpu::start(OURSELVES)?);
    platform.load(sessions, each).await?;
    let total = sessions * each;
    let rate = f64::from(total) / began.elapsed().as_secs_f64();
    println!(
        "  {sessions:>5} sessions                      {rate:.0} turns/s   {}",
        cpu.a_turn(total)?
    );
    Ok(())
}
