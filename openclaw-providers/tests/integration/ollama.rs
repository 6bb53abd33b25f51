//! Ollama's own API: every reason to end, its errors, fetching models, and bad answers.

use std::time::Duration;

use futures_util::StreamExt as _;
use openclaw_core::{
    ErrorKind, Result, Retry,
    provider::{
        CallContext, ChatMessage, Completion, CompletionEvent, CompletionRequest, FinishReason,
        Provider as _, ToolDefinition,
    },
    serde_json::{Value, json},
    time::Cancel,
};
use openclaw_providers::{MAX_EVENT_BYTES, ollama::Ollama};

use super::{
    emulators::ollama::{self as emulator, done, said, stream},
    server::{Act, Server, answer, json_answer, lines},
};

fn provider(server: &Server) -> Ollama {
    Ollama::new(server.url.trim_end_matches("/v1")).unwrap().model("qwen3:8b")
}

fn request() -> CompletionRequest {
    CompletionRequest::new("default", vec![ChatMessage::user("Hi")])
}

async fn complete(provider: &Ollama, request: &CompletionRequest) -> Result<Completion> {
    Completion::collect(provider.stream(&CallContext::new(), request).await?, |_| {}).await
}

async fn played(script: Vec<Act>) -> Result<Completion> {
    let server = Server::start(vec![script]).await;
    complete(&provider(&server), &request()).await
}

fn text(text: &str) -> Value {
    said(json!({ "content": text }))
}

#[tokio::test]
async fn every_reason_to_end_has_its_meaning() {
    let cases = [
        ("stop", FinishReason::Stop),
        ("length", FinishReason::Length),
        ("load", FinishReason::Other("load".into())),
        ("unload", FinishReason::Other("unload".into())),
    ];
    for (word, reason) in cases {
        let done = played(stream([text("Xin "), text("chào"), done(word)])).await.unwrap();
        assert_eq!((done.text.as_str(), done.reason), ("Xin chào", reason));
        assert_eq!((done.usage.input_tokens, done.usage.output_tokens), (26, 8));
    }
    // Without a line break at its end, and with empty lines.
    let mut bytes = b"\n\r\n".to_vec();
    bytes.extend(done("stop").to_string().into_bytes());
    let done = played(vec![lines(), Act::Send(emulator::line(&text("a"))), Act::Send(bytes)]).await;
    assert_eq!(done.unwrap().text, "a");
}

#[tokio::test]
async fn an_answer_cut_at_any_byte_is_read_alike() {
    let lines_of = [text("ế🌏\u{301}語"), done("stop")];
    let bytes: Vec<u8> = lines_of.iter().flat_map(emulator::line).collect();
    let mut scripts: Vec<Vec<Act>> = (1..bytes.len())
        .step_by(5)
        .map(|cut| {
            let (head, tail) = bytes.split_at(cut);
            vec![lines(), Act::Send(head.to_vec()), Act::Send(tail.to_vec())]
        })
        .collect();
    let mut single = vec![lines()];
    single.extend(bytes.iter().map(|byte| Act::Send(vec![*byte])));
    scripts.push(single);
    let count = scripts.len();
    let server = Server::start(scripts).await;
    for _ in 0..count {
        let done = complete(&provider(&server), &request()).await.unwrap();
        assert_eq!(done.text, "ế🌏\u{301}語");
    }
}

#[tokio::test]
async fn calls_and_thoughts_go_back_with_their_results() {
    let server = Server::answering(emulator::service).await;
    let provider = provider(&server).think(true).option("num_ctx", 8_192).keep_alive("300");
    let mut request = request();
    request.tools = std::sync::Arc::from([ToolDefinition {
        name: "add".into(),
        description: "Adds".into(),
        input_schema: json!({"type": "object"}),
    }]);
    request.max_output_tokens = Some(64);
    let done = complete(&provider, &request).await.unwrap();
    assert_eq!((done.reason, done.calls.len()), (FinishReason::ToolCalls, 2));
    assert_eq!(done.calls[0].arguments, r#"{"a":1}"#);
    request.messages.push(ChatMessage::Assistant {
        text: String::new(),
        calls: done.calls.clone(),
        state: done.state,
    });
    for (call, failed) in done.calls.iter().zip([false, true]) {
        let content = vec!["3".into()];
        request.messages.push(ChatMessage::Tool { call: call.id.clone(), failed, content });
    }
    assert_eq!(complete(&provider, &request).await.unwrap().text, "Hello, Ada.");
    let sent = server.received()[1].body.clone();
    assert_eq!(sent["options"], json!({"num_ctx": 8_192, "num_predict": 64}));
    assert_eq!((&sent["think"], &sent["keep_alive"]), (&json!(true), &json!(300)));
    let messages = &sent["messages"];
    assert_eq!(messages[1]["thinking"], "I need the sum.");
    assert_eq!(messages[1]["tool_calls"][0]["function"]["arguments"], json!({"a": 1}));
    assert_eq!(messages[2]["tool_name"], "add");
    assert_eq!(
        (&messages[2]["content"], &messages[3]["content"]),
        (&json!("3"), &json!("Error: 3"))
    );
}

#[tokio::test]
async fn errors_have_their_kind_and_say_what_to_do() {
    let server = Server::answering(emulator::service).await;
    let mut absent = request();
    absent.model = "llama9".into();
    let error = complete(&provider(&server), &absent).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::NotFound, Retry::Never));
    assert!(error.to_string().contains("ollama pull llama9"), "{error}");

    let cases = [
        ("400 Bad Request", "qwen3:8b does not support tools", ErrorKind::Unsupported),
        ("400 Bad Request", "invalid think value", ErrorKind::InvalidInput),
        ("401 Unauthorized", "unauthorized", ErrorKind::Unauthenticated),
        ("429 Too Many Requests", "too many requests", ErrorKind::RateLimited),
        (
            "500 Internal Server Error",
            "model runner has unexpectedly stopped",
            ErrorKind::Unavailable,
        ),
        ("503 Service Unavailable", "server busy, please try again", ErrorKind::Unavailable),
        (
            "400 Bad Request",
            "the input length exceeds the context length",
            ErrorKind::ContextOverflow,
        ),
    ];
    for (status, message, kind) in cases {
        let error = played(json_answer(status, &json!({ "error": message }))).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(message), "{error}");
    }
    let script =
        stream([text("a"), json!({"error": "an error was encountered while running the model"})]);
    let error = played(script).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Backoff), "{error}");
    let nobody = Ollama::new("http://127.0.0.1:1").unwrap();
    let error = complete(&nobody.model("m"), &request()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn what_is_cut_short_or_garbage_is_never_an_answer() {
    let with = |bytes: &[u8]| {
        vec![lines(), Act::Send(emulator::line(&text("a"))), Act::Send(bytes.to_vec())]
    };
    let scripts = [
        stream([]),
        stream([text("a")]),
        with(b"{\"model\":\"m\",\"done\":tr"),
        with(b"{not json}\n"),
        with(b"[]\n"),
        with(b"{\"message\":{\"content\":\"\xff\xfe\"}}\n"),
        with(b"{\"message\":{\"tool_calls\":\"none\"}}\n"),
    ];
    for script in scripts {
        let error = played(script).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.retry()),
            (ErrorKind::InvalidData, Retry::Backoff),
            "{error}"
        );
    }
    let html = played(answer("200 OK", "content-type: text/html\r\n", "<html>")).await.unwrap_err();
    assert!(html.to_string().contains("base_url"), "{html}");
}

#[tokio::test]
async fn silence_floods_and_cancelling_close_the_connection() {
    let flood = vec![lines(), Act::Repeat(vec![b'x'; 64 * 1024])];
    let hanging = || vec![lines(), Act::Send(emulator::line(&text("a"))), Act::Hold];
    let mut server = Server::start(vec![flood, hanging(), hanging()]).await;
    let error = complete(&provider(&server), &request()).await.unwrap_err();
    assert!(error.to_string().contains(&MAX_EVENT_BYTES.to_string()), "{error}");
    server.closed().await;
    let quick = provider(&server).idle_timeout(Duration::from_secs(1));
    assert_eq!(complete(&quick, &request()).await.unwrap_err().kind(), ErrorKind::Timeout);
    server.closed().await;
    let cancel = Cancel::new();
    let cx = CallContext::new().with_cancel(cancel.clone());
    let mut held = provider(&server).stream(&cx, &request()).await.unwrap();
    assert_eq!(held.next().await.unwrap().unwrap(), CompletionEvent::Text { text: "a".into() });
    cancel.cancel();
    assert_eq!(held.next().await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    server.closed().await;
}

#[tokio::test]
async fn a_model_is_fetched_with_progress() {
    let mut server = Server::answering(emulator::service).await;
    let ollama = provider(&server);
    let cx = CallContext::new();
    let pull = ollama.pull(&cx, "qwen3:8b").await.unwrap();
    let progress: Vec<_> = pull.map(|progress| progress.unwrap()).collect().await;
    let told: Vec<_> = progress.iter().map(|one| (one.status.as_str(), one.completed)).collect();
    let layer = "pulling 6a0746a1ec1a";
    assert_eq!(
        told,
        [("pulling manifest", None), (layer, Some(40)), (layer, Some(100)), ("success", None)]
    );
    assert_eq!(progress[1].total, Some(100));
    ollama.pull(&cx, "qwen3:8b").await.unwrap().finish().await.unwrap();
    let error = ollama.pull(&cx, "no-such-model").await.unwrap().finish().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");

    let cut = stream([json!({"status": "pulling manifest"})]);
    let hanging = stream([json!({"status": "pulling manifest"})]).into_iter().chain([Act::Hold]);
    server = Server::start(vec![cut, hanging.collect()]).await;
    let ollama = provider(&server);
    let error = ollama.pull(&cx, "m").await.unwrap().finish().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
    let cancel = Cancel::new();
    let cx = CallContext::new().with_cancel(cancel.clone());
    let mut pull = ollama.pull(&cx, "m").await.unwrap();
    assert!(pull.next().await.unwrap().is_ok());
    cancel.cancel();
    assert_eq!(pull.next().await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    server.closed().await;
}

#[tokio::test]
async fn models_are_listed_with_what_they_can() {
    let server = Server::answering(emulator::service).await;
    let models = provider(&server).models().await.unwrap();
    assert_eq!(models.len(), 2);
    let chat = &models[0];
    assert_eq!((chat.id.as_str(), chat.context_tokens), ("qwen3:8b", Some(40_960)));
    assert_eq!((chat.tools, chat.images), (Some(true), Some(false)));
    assert_eq!(models[1].tools, Some(false));
    let small = provider(&server).option("num_ctx", 4_096).models().await.unwrap();
    assert_eq!(small[0].context_tokens, Some(4_096), "what is made room for");
}
