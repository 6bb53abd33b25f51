//! Chat completions against servers that others wrote, where they are installed.
//!
//! | variable | is |
//! |---|---|
//! | `OPENCLAW_PEER_AIMOCK` | the `llmock` program of npm's `@copilotkit/aimock` |
//! | `OPENCLAW_PEER_LLMOCK` | the `llmock` program of PyPI's `llmock` |
//! | `OPENCLAW_PEER_PYTHON`, `OPENCLAW_PEER_MODEL` | a Python that has `xllamacpp`, and a GGUF file |
//!
//! Without its variable a test says that it was skipped, and adds the line to the file that
//! `OPENCLAW_SKIPS` names.

use std::{
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use futures_util::StreamExt as _;
use openclaw_core::{
    ErrorKind, Result, Retry,
    layer::{Layer as _, RetryLayer},
    provider::{
        CallContext, ChatMessage, Completion, CompletionEvent, CompletionRequest, FinishReason,
        Provider, ResponseFormat, ToolDefinition,
    },
    serde_json::{self, Value, json},
    time::Cancel,
};
use openclaw_providers::openai::{MaxTokensField, OpenAi};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    net::TcpStream,
    process::{Child, Command},
};

/// What the variable names, or a skip that is told.
pub(crate) fn peer(test: &str, variable: &str) -> Option<PathBuf> {
    if let Some(path) = env::var_os(variable).filter(|path| !path.is_empty()) {
        return Some(path.into());
    }
    let line = format!("SKIPPED: {test}: {variable} is not set");
    eprintln!("{line}");
    if let Some(path) = env::var_os("OPENCLAW_SKIPS") {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
    None
}

/// A server that ends with the test.
pub(crate) struct Peer {
    child: Child,
    /// Its address, without a path.
    pub(crate) root: String,
}

impl Peer {
    /// Starts a program that is told its port, and waits until it listens.
    pub(crate) async fn on_port(mut command: Command, port_flag: &str) -> Self {
        let port = free_port();
        command.arg(port_flag).arg(port.to_string());
        let child = command.kill_on_drop(true).spawn().unwrap();
        let peer = Self { child, root: format!("http://127.0.0.1:{port}") };
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        peer
    }

    fn provider(&self) -> OpenAi {
        OpenAi::new("sk-peer-test-key").base_url(&format!("{}/v1", self.root)).unwrap()
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn complete(provider: &dyn Provider, request: &CompletionRequest) -> Result<Completion> {
    Completion::collect(provider.stream(&CallContext::new(), request).await?, |_| {}).await
}

pub(crate) fn ask(model: &str, text: &str) -> CompletionRequest {
    CompletionRequest::new(model, vec![ChatMessage::user(text)])
}

pub(crate) async fn get_json(url: &str) -> Value {
    use openclaw_core::{bytes::Bytes, http::Request, http_client::HttpClient as _};
    let request = Request::get(url).body(Bytes::new()).unwrap();
    let response = openclaw_providers::http::Reqwest::new().send(request).await.unwrap();
    let chunks: Vec<_> = response.into_body().map(|chunk| chunk.unwrap()).collect().await;
    serde_json::from_slice(&chunks.concat()).unwrap()
}

#[tokio::test]
async fn aimock_streams_text_and_tool_calls_and_saw_what_we_sent() {
    let Some(program) = peer("aimock_streams_text_and_tool_calls", "OPENCLAW_PEER_AIMOCK") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let fixtures = folder.path().join("fixtures.json");
    let content = json!({"fixtures": [
        {"match": {"userMessage": "weather"},
         "response": {"toolCalls": [
            {"name": "get_weather", "arguments": "{\"city\":\"Hanoi\"}"},
            {"name": "get_time", "arguments": "{}"}]}},
        {"match": {}, "response": {"content": "Xin chào from the fallback"}}]});
    fs::write(&fixtures, content.to_string()).unwrap();
    let mut command = Command::new(program);
    command.args(["-h", "127.0.0.1", "-c", "3", "-f"]).arg(&fixtures).stdout(Stdio::null());
    let peer = Peer::on_port(command, "-p").await;
    let provider = peer.provider();

    let mut request = ask("gpt-4o", "weather");
    request.tools = ["get_weather", "get_time"]
        .map(|name| ToolDefinition {
            name: name.into(),
            description: "A tool".into(),
            input_schema: json!({"type": "object", "properties": {}}),
        })
        .into_iter()
        .collect();
    let done = complete(&provider, &request).await.unwrap();
    assert_eq!(done.reason, FinishReason::ToolCalls);
    let calls: Vec<_> = done.calls.iter().map(|c| (&*c.name, &*c.arguments)).collect();
    assert_eq!(calls, [("get_weather", r#"{"city":"Hanoi"}"#), ("get_time", "{}")]);

    // The calls and their results go back, in the form that the server's own types have.
    request.messages = vec![
        ChatMessage::user("and now?"),
        ChatMessage::Assistant { text: String::new(), calls: done.calls.clone(), state: None },
        ChatMessage::Tool {
            call: done.calls[0].id.clone(),
            failed: false,
            content: vec!["rain".into()],
        },
        ChatMessage::Tool {
            call: done.calls[1].id.clone(),
            failed: false,
            content: vec!["noon".into()],
        },
    ];
    let done = complete(&provider, &request).await.unwrap();
    assert_eq!((&*done.text, done.reason), ("Xin chào from the fallback", FinishReason::Stop));
    assert!(!provider.models().await.unwrap().is_empty());

    let journal = get_json(&format!("{}/__aimock/journal", peer.root)).await.to_string();
    assert!(journal.contains("include_usage") && journal.contains("tool_call_id"), "{journal}");
    assert!(!journal.contains("sk-peer-test-key"), "the journal hides the key");
}

#[tokio::test]
async fn aimock_breaking_off_is_an_error_worth_retrying() {
    let Some(program) = peer("aimock_breaking_off_is_an_error", "OPENCLAW_PEER_AIMOCK") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let fixtures = folder.path().join("fixtures.json");
    fs::write(&fixtures, r#"{"fixtures":[{"match":{},"response":{"content":"text"}}]}"#).unwrap();
    let cases = [
        ("--chaos-disconnect", ErrorKind::Unavailable),
        ("--chaos-drop", ErrorKind::Unavailable),
        ("--chaos-ratelimit", ErrorKind::RateLimited),
        ("--chaos-malformed", ErrorKind::InvalidData),
    ];
    for (fault, kind) in cases {
        let mut command = Command::new(&program);
        command.args(["-h", "127.0.0.1", fault, "1", "-f"]).arg(&fixtures).stdout(Stdio::null());
        let peer = Peer::on_port(command, "-p").await;
        let error = complete(&peer.provider(), &ask("gpt-4o", "Hi")).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{fault}: {error}");
        if kind == ErrorKind::RateLimited {
            assert!(matches!(error.retry(), Retry::After(_)), "{:?}", error.retry());
        }
    }
}

/// Longer than what the judge may cut off: it does so within six events.
const QUESTION: &str =
    "How many of the words of this long question come back if one asks for all of them?";

/// Stops the judge and returns what it has to say.
async fn verdict(mut peer: Peer) -> String {
    let interrupted = Command::new("kill")
        .args(["-INT", &peer.child.id().unwrap().to_string()])
        .status()
        .await
        .unwrap();
    assert!(interrupted.success());
    let (mut out, mut err) = (String::new(), String::new());
    let (mut stdout, mut stderr) =
        (peer.child.stdout.take().unwrap(), peer.child.stderr.take().unwrap());
    let (a, b) = tokio::join!(stdout.read_to_string(&mut out), stderr.read_to_string(&mut err));
    a.unwrap();
    b.unwrap();
    out + &err
}

fn judge(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(["serve", "-h", "127.0.0.1", "--log-level", "warning", "--report"])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[tokio::test]
async fn llmock_finds_that_truncated_streams_are_noticed() {
    let Some(program) =
        peer("llmock_finds_that_truncated_streams_are_noticed", "OPENCLAW_PEER_LLMOCK")
    else {
        return;
    };
    let peer = Peer::on_port(
        judge(&program, &["--stream-fault", "truncate=0.5", "--response-style", "echo"]),
        "-p",
    )
    .await;
    let provider = peer.provider();
    let mut cut = 0;
    // Ends well, after at least one stream was cut: in the middle, where only who reads the
    // stream can try again.
    for whole in 1.. {
        match complete(&provider, &ask("gpt-4o", QUESTION)).await {
            Ok(_) if cut > 0 => break,
            Ok(_) => assert!(whole < 50, "none of {whole} streams was cut"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::InvalidData, "{error:?}");
                assert_eq!(error.retry(), Retry::Backoff, "{error:?}");
                cut += 1;
                tokio::time::sleep(Duration::from_millis(50 << cut.min(5))).await;
            }
        }
    }
    let report = verdict(peer).await;
    eprintln!("{report}");
    assert!(report.contains(&format!("{cut} fault(s) injected")), "{cut} were noticed:\n{report}");
    assert!(report.contains("PASS  the client handled every injected fault"), "{report}");
}

#[tokio::test]
async fn llmock_finds_that_the_asked_for_wait_is_kept() {
    let Some(program) =
        peer("llmock_finds_that_the_asked_for_wait_is_kept", "OPENCLAW_PEER_LLMOCK")
    else {
        return;
    };
    // Thirty a minute is one each two seconds, once the first thirty are used up.
    let peer = Peer::on_port(judge(&program, &["--rpm", "30"]), "-p").await;
    let provider = RetryLayer::times(3).layer(Arc::new(peer.provider()) as Arc<dyn Provider>);
    for question in 0..33 {
        let request = ask("gpt-4o", &format!("Question {question}"));
        assert_ne!(complete(&*provider, &request).await.unwrap().text, "");
    }
    let report = verdict(peer).await;
    eprintln!("{report}");
    assert!(!report.contains(" 0 fault(s) injected"), "the limit was not reached:\n{report}");
    assert!(report.contains("PASS  the client handled every injected fault"), "{report}");
}

#[tokio::test]
async fn a_real_model_streams_counts_obeys_a_schema_overflows_and_stops() {
    const TEST: &str = "a_real_model_streams_counts_obeys_a_schema_overflows_and_stops";
    let (Some(python), Some(model)) =
        (peer(TEST, "OPENCLAW_PEER_PYTHON"), peer(TEST, "OPENCLAW_PEER_MODEL"))
    else {
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/serve_model.py");
    let mut child = Command::new(python)
        .arg(script)
        .arg(model)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let url = loop {
        let line = lines.next_line().await.unwrap().expect("the server prints its address");
        if line.starts_with("http://") {
            break line;
        }
    };
    let provider = OpenAi::keyless(&url).unwrap().max_tokens_field(MaxTokensField::MaxTokens);
    // On a busy machine the server now and then ends a connection between two requests.
    let provider = RetryLayer::times(2).layer(Arc::new(provider) as Arc<dyn Provider>);
    assert!(!provider.models().await.unwrap().is_empty());

    let mut request = ask("smollm2", "What is the capital of France?");
    request.temperature = Some(0.0);
    request.max_output_tokens = Some(32);
    let mut pieces = 0;
    let stream = provider.stream(&CallContext::new(), &request).await.unwrap();
    let done = Completion::collect(stream, |event| {
        pieces += u32::from(matches!(event, CompletionEvent::Text { .. }));
    })
    .await
    .unwrap();
    eprintln!("answer: {:?}, {:?}, {pieces} pieces", done.text, done.usage);
    // So small a model says what it likes; how it says it is the point.
    assert!(pieces > 3 && done.usage.input_tokens > 0 && done.usage.output_tokens > 3, "{done:?}");

    request.max_output_tokens = Some(3);
    let cut = complete(&*provider, &request).await.unwrap();
    assert_eq!((cut.reason, cut.usage.output_tokens), (FinishReason::Length, 3));

    request.max_output_tokens = Some(64);
    request.response_format = Some(ResponseFormat::JsonSchema {
        name: "city".into(),
        schema: json!({"type": "object", "additionalProperties": false, "required": ["capital"],
            "properties": {"capital": {"type": "string", "enum": ["Paris", "Rome"]}}}),
    });
    let done = complete(&*provider, &request).await.unwrap();
    assert_eq!(done.reason, FinishReason::Stop);
    let answer: Value = serde_json::from_str(&done.text).unwrap();
    assert!(answer["capital"].is_string(), "{answer}");

    let error = complete(&*provider, &ask("smollm2", &"word ".repeat(6000))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ContextOverflow, "{error:?}");

    // Cancelled in the middle, it is free for the next.
    let cancel = Cancel::new();
    let cx = CallContext::new().with_cancel(cancel.clone());
    let long = ask("smollm2", "Tell a very long story about the sea.");
    let mut stream = provider.stream(&cx, &long).await.unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    cancel.cancel();
    assert_eq!(stream.next().await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    request.response_format = None;
    request.max_output_tokens = Some(4);
    assert_ne!(complete(&*provider, &request).await.unwrap().text, "");
}
