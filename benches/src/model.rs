//! A model server of its own process: OpenAI's streaming chat completions, one fixed answer.

use std::{
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
};

use openclaw_core::{
    ModelId,
    provider::{CallContext, ChatMessage, Completion, CompletionRequest, Provider as _},
};
use openclaw_providers::openai::OpenAi;

use crate::{Result, figures::Times, http::Connection};

/// The smallest prompt that was asked, in bytes: that of a first "hello".
static SMALLEST: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Starts the server as a process and returns its base URL.
pub async fn spawn() -> Result<(Child, String)> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("model")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let out = child.stdout.take().ok_or("no output of the model server")?;
    let mut line = String::new();
    BufReader::new(out).read_line(&mut line).await?;
    Ok((child, format!("http://{}/v1", line.trim())))
}

/// Serves until it is killed.
pub async fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            // A client that goes away ends its connection, nothing else.
            let _ = answer(stream).await;
        });
    }
}

async fn answer(stream: TcpStream) -> Result<()> {
    let mut connection = Connection::new(stream)?;
    while let Some(asked) = connection.next().await? {
        if asked.path == "/smallest" {
            let text = SMALLEST.load(Ordering::Relaxed).to_string();
            connection.answer("text/plain", &text).await?;
            continue;
        }
        // The gateway's prompts have a system message, the calls without a gateway do not.
        if asked.body.windows(8).any(|bytes| bytes == b"\"system\"") {
            SMALLEST.fetch_min(asked.body.len(), Ordering::Relaxed);
        }
        connection.answer("text/event-stream", &events()).await?;
    }
    Ok(())
}

fn events() -> String {
    let chunk = |delta: &str, finish: &str| {
        format!(
            "data: {{\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
        )
    };
    let mut body = String::new();
    for word in ["Hello", ",", " how", " are", " you", "?"] {
        body.push_str(&chunk(&format!("{{\"content\":\"{word}\"}}"), "null"));
    }
    body.push_str(&chunk("{}", "\"stop\""));
    body.push_str("data: {\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"choices\":[],\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":6,\"total_tokens\":106}}\n\n");
    body.push_str("data: [DONE]\n\n");
    body
}

/// The model call as the gateway makes it, without the gateway.
///
/// # Errors
/// The server is not there.
pub async fn alone(provider: &OpenAi) -> Result<Times> {
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

/// How many bytes the smallest prompt had, as JSON.
pub async fn prompt_bytes(base: &str) -> Result<usize> {
    let address = base.trim_start_matches("http://").trim_end_matches("/v1");
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /smallest HTTP/1.1\r\n\r\n").await?;
    let mut buffer = vec![0; 256];
    let read = stream.read(&mut buffer).await?;
    buffer.truncate(read);
    let text = String::from_utf8(buffer)?;
    Ok(text.rsplit("\r\n").next().unwrap_or_default().parse()?)
}
