//! The gateway's doors under load: a gateway as a process of its own, its clients in this one.
//!
//! Run with `cargo run --release -p openclaw-benches --bin doors`. Beside each figure stands that of a server over the
//! same WebSockets library with nothing behind it, from the same run: it sends back what it hears, or says the same to all.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures_util::{SinkExt as _, StreamExt as _, stream};
use openclaw_benches::{
    Result,
    figures::{Times, rss_mb},
};
use openclaw_core::{
    Gateway, ProviderId,
    bytes::Bytes,
    provider::{
        CallContext, CompletionEvent, CompletionRequest, CompletionStream, FinishReason, ModelInfo,
        Provider, Usage,
    },
    serde_json::{Value, from_str, json},
    server::{Limits, ServerConfig, serve},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
};
use tokio_websockets::{ClientBuilder, MaybeTlsStream, Message, ServerBuilder, WebSocketStream};

const TOKEN: &str = "a-token-for-the-bench-0123456789";
const SOCKETS: usize = 1_000;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What an agent says, so that its events have about 2 kB.
const SAID: usize = 850;
/// How long after that the turn ends.
const PAUSE: Duration = Duration::from_millis(300);

/// Says it at once, and ends later.
struct Talker(ProviderId);

#[async_trait]
impl Provider for Talker {
    fn id(&self) -> &ProviderId {
        &self.0
    }

    async fn models(&self) -> openclaw_core::Result<Vec<ModelInfo>> {
        Ok(vec![ModelInfo::new("talker")])
    }

    async fn stream(
        &self,
        _: &CallContext,
        _: &CompletionRequest,
    ) -> openclaw_core::Result<CompletionStream> {
        let said = stream::iter([Ok(CompletionEvent::Text { text: "x".repeat(SAID) })]);
        let end = stream::once(async {
            tokio::time::sleep(PAUSE).await;
            Ok(CompletionEvent::Finish { reason: FinishReason::Stop, usage: Usage::default() })
        });
        Ok(CompletionStream::new(said.chain(end.boxed())))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("gateway") => return gateway().await,
        Some("echo") => return echo().await,
        Some("crier") => return crier().await,
        _ => {}
    }
    let (_echo, echo) = spawn("echo").await?;
    let (server, address) = spawn("gateway").await?;
    let process = server.id().ok_or("the gateway has ended")?.to_string();
    let idle = rss_mb(&process)?;

    let (mut plain, mut greeted) = (Times::default(), Times::default());
    for _ in 0..500 {
        let began = Instant::now();
        let mut socket = dial(&echo).await?;
        ask(&mut socket, "connect").await?;
        plain.add(began.elapsed());
        let began = Instant::now();
        drop(connect(&address).await?);
        greeted.add(began.elapsed());
    }
    println!("connect and hello                     {greeted}");
    println!("  echo: connect and one message       {plain}");

    let health = r#"{"type":"req","id":"1","method":"health","params":{}}"#;
    let mut socket = connect(&address).await?;
    println!("health                                {}", latency(&mut socket, health).await?);
    let mut socket = dial(&echo).await?;
    println!("  echo                                {}", latency(&mut socket, health).await?);

    println!("health over 64 sockets                {:.0}/s", rate(&address, true, health).await?);
    println!("  echo                                {:.0}/s", rate(&echo, false, health).await?);

    let before = rss_mb(&process)?;
    let mut sockets = Vec::with_capacity(SOCKETS);
    for _ in 0..SOCKETS {
        sockets.push(connect(&address).await?);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    #[expect(clippy::cast_precision_loss, reason = "a thousand")]
    let each = (rss_mb(&process)? - before) * 1024.0 / SOCKETS as f64;
    println!("resident, idle gateway                {idle:.1} MB");
    println!("resident, each of {SOCKETS} idle sockets   {each:.1} KB");
    let is_it = |text: &str| {
        text.starts_with(r#"{"type":"event","event":"chat""#) && text.contains(r#""delta""#)
    };
    let speaker = connect(&address).await?;
    let heard = fan_out(sockets, is_it, speaker, async |speaker, round| {
        let key = format!("fan-{round}");
        let params = json!({"sessionKey": "fan", "message": "say it", "idempotencyKey": key});
        let said = json!({"type": "req", "id": key, "method": "agent", "params": params});
        speaker.send(Message::text(said.to_string())).await?;
        loop {
            let message = speaker.next().await.ok_or("it hung up")??;
            let frame: Value = from_str(message.as_text().unwrap_or("{}"))?;
            let status = frame.pointer("/payload/status").and_then(Value::as_str);
            if frame.get("id").and_then(Value::as_str) == Some(&key) && status == Some("ok") {
                return Ok(());
            }
        }
    });
    println!("two 2 kB events to {SOCKETS} sockets      {}", heard.await?);
    let (_crier, crier) = spawn("crier").await?;
    let mut sockets = Vec::with_capacity(SOCKETS);
    for _ in 0..SOCKETS {
        sockets.push(dial(&crier).await?);
    }
    let speaker = dial(&crier).await?;
    let heard = fan_out(
        sockets,
        |_| true,
        speaker,
        async |speaker, _| Ok(speaker.send(Message::text("say it")).await?),
    );
    println!("  crier: one 2 kB text                {}", heard.await?);

    let before = rss_mb(&process)?;
    let mut open = Vec::new();
    let mut most = before;
    for number in 0..10_000 {
        if let Ok(mut stream) = TcpStream::connect(&address).await {
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").await;
            open.push(stream);
        }
        if number % 500 == 0 {
            most = most.max(rss_mb(&process)?);
        }
    }
    most = most.max(rss_mb(&process)?);
    let mut closed = 0;
    for stream in &mut open {
        let mut byte = [0];
        if let Ok(Ok(0) | Err(_)) =
            tokio::time::timeout(Duration::from_secs(30), stream.read(&mut byte)).await
        {
            closed += 1;
        }
    }
    println!(
        "10,000 half-open connections          {:+.1} MB at most, {closed} closed",
        most - before
    );
    Ok(())
}

/// Starts this program as a server of one kind; where it listens.
async fn spawn(what: &str) -> Result<(Child, String)> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg(what)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let out = child.stdout.take().ok_or("no output of the server")?;
    let mut line = String::new();
    BufReader::new(out).read_line(&mut line).await?;
    Ok((child, line.trim().to_owned()))
}

async fn gateway() -> Result<()> {
    let talker = Talker(ProviderId::new("talker"));
    let gateway = Gateway::builder().provider(talker).ephemeral().start().await?;
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let config = ServerConfig::token(TOKEN).limits(Limits::default());
    let serving = serve(listener, gateway.handle(), config).await?;
    println!("{}", serving.address());
    std::future::pending().await
}

async fn echo() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let Ok((_, mut socket)) = ServerBuilder::new().accept(stream).await else { return };
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() && socket.send(message).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// Says the same 2 kB to all sockets, each time that one of them says something.
async fn crier() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let (cry, _) = tokio::sync::broadcast::channel::<Bytes>(16);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (cry, mut cries) = (cry.clone(), cry.subscribe());
        tokio::spawn(async move {
            let Ok((_, mut socket)) = ServerBuilder::new().accept(stream).await else { return };
            loop {
                tokio::select! {
                    cried = cries.recv() => {
                        let Ok(cried) = cried else { return };
                        if socket.send(Message::text(cried)).await.is_err() {
                            return;
                        }
                    }
                    heard = socket.next() => {
                        if !matches!(heard, Some(Ok(_))) {
                            return;
                        }
                        // Whoever hears it has a socket.
                        let _ = cry.send("x".repeat(2_000).into());
                    }
                }
            }
        });
    }
}

async fn dial(address: &str) -> Result<Socket> {
    let uri = format!("ws://{address}/");
    let (socket, _) = ClientBuilder::new().uri(&uri)?.connect().await?;
    if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
        stream.set_nodelay(true)?;
    }
    Ok(socket)
}

/// A socket that was let in, to read and to write.
async fn connect(address: &str) -> Result<Socket> {
    let mut socket = dial(address).await?;
    socket.next().await.ok_or("no challenge")??;
    let hello = ask(
        &mut socket,
        &json!({"type": "req", "id": "c", "method": "connect", "params": {
            "minProtocol": 4, "maxProtocol": 4,
            "client": {"id": "cli", "version": "1", "platform": "linux", "mode": "cli"},
            "scopes": ["operator.read", "operator.write"], "auth": {"token": TOKEN},
        }})
        .to_string(),
    )
    .await?;
    if !hello.contains("hello-ok") {
        return Err(hello.into());
    }
    Ok(socket)
}

async fn ask(socket: &mut Socket, text: &str) -> Result<String> {
    socket.send(Message::text(text.to_owned())).await?;
    loop {
        let message = socket.next().await.ok_or("it hung up")??;
        if let Some(text) = message.as_text().filter(|_| message.is_text()) {
            return Ok(text.to_owned());
        }
    }
}

async fn latency(socket: &mut Socket, text: &str) -> Result<Times> {
    let mut times = Times::default();
    for number in 0..20_000 {
        let began = Instant::now();
        ask(socket, text).await?;
        if number >= 1_000 {
            times.add(began.elapsed());
        }
    }
    Ok(times)
}

/// How many requests a second 64 sockets have answered, each one after the other.
async fn rate(address: &str, greeted: bool, text: &'static str) -> Result<f64> {
    let mut tasks = Vec::new();
    let until = Instant::now() + Duration::from_secs(5);
    for _ in 0..64 {
        let mut socket = if greeted { connect(address).await? } else { dial(address).await? };
        tasks.push(tokio::spawn(async move {
            let mut count = 0_u32;
            while Instant::now() < until {
                ask(&mut socket, text).await?;
                count += 1;
            }
            Result::Ok(count)
        }));
    }
    let began = Instant::now();
    let mut all = 0_u32;
    for task in tasks {
        all += task.await??;
    }
    Ok(f64::from(all) / began.elapsed().as_secs_f64())
}

/// How long after the first socket each hears of what was said, ten times.
async fn fan_out(
    sockets: Vec<Socket>,
    is_it: fn(&str) -> bool,
    mut speaker: Socket,
    say: impl AsyncFn(&mut Socket, usize) -> Result<()>,
) -> Result<Times> {
    const ROUNDS: usize = 10;
    let mut tasks = Vec::new();
    for mut socket in sockets {
        tasks.push(tokio::spawn(async move {
            let mut mine = Vec::with_capacity(ROUNDS);
            while mine.len() < ROUNDS {
                let message = socket.next().await.ok_or("it hung up")??;
                if message.as_text().is_some_and(is_it) {
                    mine.push(Instant::now());
                }
            }
            Result::Ok((socket, mine))
        }));
    }
    for round in 0..ROUNDS {
        say(&mut speaker, round).await?;
        tokio::time::sleep(PAUSE).await;
    }
    let mut heard: Vec<Vec<Instant>> = vec![Vec::new(); ROUNDS];
    let mut kept = Vec::new();
    for task in tasks {
        let (socket, mine) = task.await??;
        kept.push(socket);
        heard.iter_mut().zip(mine).for_each(|(round, at)| round.push(at));
    }
    let mut times = Times::default();
    for round in &heard {
        let Some(first) = round.iter().min() else { continue };
        round.iter().for_each(|at| times.add(at.duration_since(*first)));
    }
    Ok(times)
}
