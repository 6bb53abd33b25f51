//! The daemon under load, as a process between a fake Telegram and a fake model service.
//!
//! Run with `cargo run --release -p openclaw-benches --bin daemon`. It builds the example `gateway` and
//! starts it with SQLite (`synchronous=FULL`). This process is Telegram and its people; the model server
//! is a process of its own. Figures of the daemon stand beside those of its parts alone, from one run.

mod process;
mod telegram;

use std::time::Instant;

use openclaw_benches::{
    Result,
    figures::{Cpu, Times, rss_mb, syncs},
    model, store,
};
use openclaw_core::{bytes::Bytes, http::Request, http_client::HttpClient as _};
use openclaw_providers::{http::Reqwest, openai::OpenAi};
use process::Daemon;
use telegram::Telegram;

#[tokio::main]
async fn main() -> Result<()> {
    if std::env::args().nth(1).as_deref() == Some("model") {
        return model::serve().await;
    }
    let binary = process::build().await?;
    let (mut server, base) = model::spawn().await?;
    let telegram = Telegram::start().await?;
    let folder = tempfile::tempdir()?;

    println!("this machine");
    println!("  fdatasync of one page               {}", syncs(folder.path(), 500)?);
    let call = model::alone(&OpenAi::keyless(&base)?).await?;
    println!("  model call alone, over loopback     {call}");
    let send = send_alone(telegram.url()).await?;
    println!("  call of the fake Telegram alone     {send}");
    let (accept, commit) = store::alone(folder.path()).await?;
    println!("  SQLite accept alone                 {accept}");
    println!("  SQLite commit of a turn alone       {commit}");

    println!("daemon");
    println!("  binary                              {:.1} MB", process::megabytes(&binary)?);
    let mut ready = Times::default();
    for number in 0..10 {
        let home = folder.path().join(format!("start-{number}"));
        ready.add(Daemon::start(&binary, &home, &base, telegram.url()).await?.ready);
    }
    println!("  ready, new database                 {ready}");
    let daemon = Daemon::start(&binary, &folder.path().join("load"), &base, telegram.url()).await?;
    let idle = rss_mb(&daemon.id()?)?;
    println!("  resident, idle                      {idle:.1} MB");

    telegram.turns(1, 60).await?;
    let mut warm = Times::default();
    for person in 2..22 {
        warm.extend(telegram.turns(person, 51).await?);
    }
    println!("  warm turn, up to 50 before it       {warm}");
    // A blind channel: accept, reply, claim. Polling and sending are a call of Telegram each.
    let parts = call.p50() + 2.0 * send.p50() + accept.p50() + 2.0 * commit.p50();
    println!(
        "  of it beyond its parts              p50 {:.2} ms   p99 {:.2} ms",
        warm.p50() - parts,
        warm.p99() - parts
    );
    let (cpu, began) = (Cpu::start(&daemon.id()?)?, Instant::now());
    telegram.load(24, 350).await?;
    let turns = 24 * 350;
    let rate = f64::from(turns) / began.elapsed().as_secs_f64();
    println!("  24 chats                            {rate:.0} turns/s   {}", cpu.a_turn(turns)?);
    println!("  resident after 9,480 turns          {:+.1} MB", rss_mb(&daemon.id()?)? - idle);
    match daemon.syncs(telegram.turns(1_000, 200)).await? {
        Some(count) => println!(
            "  one chat                            {:.2} commits a turn, each with its fdatasync",
            f64::from(count) / 200.0
        ),
        None => println!("  syncs were not counted: there is no strace"),
    }
    if let Some(count) = daemon.syncs(telegram.load(25, 40)).await? {
        println!(
            "  25 chats                            {:.2} fdatasyncs a turn",
            f64::from(count) / 1_000.0
        );
    }
    server.kill().await?;
    Ok(())
}

/// A call of the fake Telegram by the client that the daemon has.
async fn send_alone(url: &str) -> Result<Times> {
    let client = Reqwest::new();
    let mut times = Times::default();
    for _ in 0..1_000 {
        let body = Bytes::from_static(br#"{"chat_id": 0, "text": "hello"}"#);
        let request = Request::post(format!("{url}/bot1:x/sendMessage"))
            .header("content-type", "application/json")
            .body(body)?;
        let began = Instant::now();
        let mut body = client.send(request).await?.into_body();
        while let Some(piece) = futures_util::StreamExt::next(&mut body).await {
            piece?;
        }
        times.add(began.elapsed());
    }
    Ok(times)
}
