//! Chat completions: what is sent, and what becomes of every way to answer badly.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::StreamExt as _;
use openclaw_core::{
    Error, ErrorKind, Gateway, Result, Retry,
    agent::Agent,
    async_trait,
    bytes::Bytes,
    http::{Request, Response},
    http_client::{Body, HttpClient},
    provider::{
        CallContext, ChatMessage, Completion, CompletionEvent, CompletionRequest, DEFAULT_MODEL,
        FinishReason, Price, Provider as _,
    },
    serde_json::{self, Value, json},
    time::Cancel,
};
use openclaw_providers::{
    MAX_EVENT_BYTES, PriceTable,
    openai::{self, OpenAi},
};

use super::server::{Act, Server, answer, event, events};

fn provider(server: &Server) -> OpenAi {
    OpenAi::new("sk-test-key").base_url(&server.url).unwrap()
}

fn request() -> CompletionRequest {
    CompletionRequest::new("m", vec![ChatMessage::user("Hi")])
}

async fn complete(provider: &OpenAi) -> Result<Completion> {
    Completion::collect(provider.stream(&CallContext::new(), &request()).await?, |_| {}).await
}

fn delta(delta: Value) -> Vec<u8> {
    event(json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]}))
}

fn finish(reason: &str) -> Vec<u8> {
    event(json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}))
}

fn say(text: &str) -> Vec<u8> {
    delta(json!({"content": text}))
}

/// Completes against a stream of these bytes, after which the connection closes.
async fn stream_of(pieces: Vec<Vec<u8>>) -> Result<Completion> {
    let mut script = vec![events()];
    script.extend(pieces.into_iter().map(Act::Send));
    let server = Server::start(vec![script]).await;
    complete(&provider(&server)).await
}

async fn refused(status: &str, headers: &str, body: &str) -> Error {
    let server = Server::start(vec![answer(status, headers, body)]).await;
    complete(&provider(&server)).await.unwrap_err()
}

#[tokio::test]
async fn a_completion_is_asked_for_and_read_to_its_end() {
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 1000, "completion_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 400},
        "completion_tokens_details": {"reasoning_tokens": 5}}});
    let mut script = vec![events()];
    script.extend(
        [
            b": a comment\n\n".to_vec(),
            delta(json!({"role": "assistant", "content": ""})),
            delta(json!({"reasoning_content": "Hm."})),
            say("Xin "),
            say("chào"),
            finish("stop"),
            event(usage),
            event("[DONE]"),
        ]
        .map(Act::Send),
    );
    let server = Server::start(vec![script]).await;
    let price =
        Price { input: 1_000_000, cached_input: 500_000, cache_write: None, output: 2_000_000 };
    let provider = provider(&server)
        .prices(PriceTable::new().with("m", price))
        .organization("org-1")
        .unwrap()
        .header("x-title", "shop")
        .unwrap();

    let done = complete(&provider).await.unwrap();
    assert_eq!(done.text, "Xin chào");
    assert_eq!(done.reason, FinishReason::Stop);
    assert_eq!((done.usage.input_tokens, done.usage.output_tokens), (1000, 20));
    assert_eq!((done.usage.cached_input_tokens, done.usage.reasoning_tokens), (400, 5));
    assert_eq!(done.usage.cost_micro_usd, Some(600 + 200 + 40));

    let [sent] = server.received().try_into().unwrap();
    assert!(sent.head.starts_with("post /v1/chat/completions http/1.1\r\n"), "{}", sent.head);
    for header in
        ["authorization: bearer sk-test-key", "openai-organization: org-1", "x-title: shop"]
    {
        assert!(sent.head.contains(header), "{header} in {}", sent.head);
    }
    assert_eq!(sent.body["stream_options"], json!({"include_usage": true}));
    assert_eq!(sent.body["messages"], json!([{"role": "user", "content": "Hi"}]));
}

/// The model that the service is asked for, in the answer to a question to a gateway.
async fn asked_for(model: Option<&str>, agent: Agent) -> Option<String> {
    let answer = vec![events(), Act::Send([say("Hi"), finish("stop")].concat())];
    let server = Server::start(vec![answer]).await;
    let provider = match model {
        Some(model) => provider(&server).model(model),
        None => provider(&server),
    };
    let gateway =
        Gateway::builder().provider(provider).agent(agent).ephemeral().start().await.unwrap();
    let reply = gateway.handle().ask("ada", "Hello").reply().await.unwrap();
    assert_eq!(reply.text, "Hi");
    let [sent] = server.received().try_into().unwrap();
    sent.body.get("model").map(|model| model.as_str().unwrap().to_owned())
}

#[tokio::test]
async fn an_agent_without_a_model_gets_the_providers_choice() {
    let (plain, own) = (|| Agent::new("main"), || Agent::new("main").model("its-own"));
    assert_eq!(asked_for(Some("chosen"), plain()).await.as_deref(), Some("chosen"));
    assert_eq!(asked_for(Some("chosen"), own()).await.as_deref(), Some("its-own"));
    // A service of one's own may have only one model, whatever its name.
    assert_eq!(asked_for(None, plain()).await, None);
}

/// A client that answers nothing and keeps what it was to send.
struct Sent(Mutex<Vec<Value>>);

#[async_trait]
impl HttpClient for Sent {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>> {
        self.0.lock().unwrap().push(serde_json::from_slice(request.body()).unwrap());
        Err(Error::new(ErrorKind::Unavailable, "there is no network"))
    }
}

#[tokio::test]
async fn at_openais_own_address_there_is_a_default_model() {
    let sent = Arc::new(Sent(Mutex::default()));
    let openai = OpenAi::new("sk-test-key").http(sent.clone());
    let request = CompletionRequest::new(DEFAULT_MODEL, vec![ChatMessage::user("Hi")]);
    for provider in [openai.clone(), openai.model("chosen")] {
        provider.stream(&CallContext::new(), &request).await.unwrap_err();
    }
    let models: Vec<Value> =
        sent.0.lock().unwrap().iter().map(|body| body["model"].clone()).collect();
    assert_eq!(models, [openai::DEFAULT_MODEL, "chosen"]);
}

#[tokio::test]
async fn an_answer_cut_at_any_byte_is_read_alike() {
    let text = "ế🌏\u{301}語";
    let bytes = [say(text), finish("stop"), event("[DONE]")].concat();
    let cuts = (1..bytes.len()).map(|cut| {
        let (head, tail) = bytes.split_at(cut);
        vec![events(), Act::Send(head.to_vec()), Act::Send(tail.to_vec())]
    });
    let mut scripts: Vec<Vec<Act>> = cuts.collect();
    let mut single = vec![events()];
    single.extend(bytes.iter().map(|byte| Act::Send(vec![*byte])));
    scripts.push(single);
    let count = scripts.len();
    let server = Server::start(scripts).await;
    let provider = provider(&server);
    for cut in 1..=count {
        assert_eq!(complete(&provider).await.unwrap().text, text, "cut at {cut}");
    }
}

#[tokio::test]
async fn an_answer_that_ends_too_soon_is_an_error_worth_retrying() {
    let half = || b"data: {\"choices\": [{\"del".to_vec();
    for pieces in
        [vec![], vec![half()], vec![say("a")], vec![say("a"), half()], vec![event("[DONE]")]]
    {
        let error = stream_of(pieces).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        assert_eq!(error.retry(), Retry::Backoff);
    }
    // A length that was promised and not kept.
    let script = vec![
        Act::Send(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9999\r\n\r\n"
                .to_vec(),
        ),
        Act::Send(say("a")),
    ];
    let server = Server::start(vec![script]).await;
    let error = complete(&provider(&server)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn an_answer_is_whole_once_its_end_is_said() {
    let whole = [
        vec![say("a"), finish("stop")],
        vec![say("a"), finish("stop"), b"data: [DONE]".to_vec()],
        vec![say("a"), event("[DONE]")],
    ];
    for pieces in whole {
        let done = stream_of(pieces).await.unwrap();
        assert_eq!((done.text.as_str(), done.reason), ("a", FinishReason::Stop));
    }
}

#[tokio::test]
async fn every_reason_to_finish_has_its_meaning() {
    let call = || {
        delta(json!({"tool_calls": [{"index": 0, "id": "c",
            "function": {"name": "f", "arguments": "{}"}}]}))
    };
    let cases = [
        ("stop", false, FinishReason::Stop),
        ("stop", true, FinishReason::ToolCalls),
        ("tool_calls", true, FinishReason::ToolCalls),
        ("length", false, FinishReason::Length),
        ("content_filter", false, FinishReason::Refused),
        ("mystery", false, FinishReason::Other("mystery".into())),
    ];
    for (word, calls, reason) in cases {
        let mut pieces = vec![say("a"), finish(word), event("[DONE]")];
        if calls {
            pieces.insert(1, call());
        }
        let done = stream_of(pieces).await.unwrap();
        assert_eq!(done.reason, reason, "{word}");
        assert_eq!(done.calls.len(), usize::from(calls), "{word}");
    }
    let refusal = vec![delta(json!({"refusal": "I will not."})), finish("stop"), event("[DONE]")];
    let done = stream_of(refusal).await.unwrap();
    assert_eq!((done.text.as_str(), done.reason), ("I will not.", FinishReason::Refused));
    let error = stream_of(vec![say("a"), finish("error")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let legacy = vec![
        delta(json!({"function_call": {"name": "f", "arguments": "{\"x\":"}})),
        delta(json!({"function_call": {"arguments": "1}"}})),
        finish("function_call"),
        event("[DONE]"),
    ];
    let done = stream_of(legacy).await.unwrap();
    assert_eq!(done.reason, FinishReason::ToolCalls);
    assert_eq!(
        (done.calls[0].name.as_str(), done.calls[0].arguments.as_str()),
        ("f", r#"{"x":1}"#)
    );
}

#[tokio::test]
async fn parallel_calls_are_put_together_however_they_are_told_apart() {
    let piece = |index: Option<u32>, id: Option<&str>, name: Option<&str>, arguments: Value| {
        delta(json!({"tool_calls": [{"index": index, "id": id, "type": "function",
            "function": {"name": name, "arguments": arguments}}]}))
    };
    let (a, b) = (Some("a"), Some("b"));
    let styles = [
        // Interleaved by index, as the API has it.
        vec![
            piece(Some(0), a, Some("f"), json!("")),
            piece(Some(1), b, Some("g"), json!("{\"y\"")),
            piece(Some(0), None, None, json!("{\"x\":1}")),
            piece(Some(1), None, None, json!(":2}")),
        ],
        // Always index 0.
        vec![
            piece(Some(0), a, Some("f"), json!("{\"x\":1}")),
            piece(Some(0), b, Some("g"), json!("{\"y\"")),
            piece(Some(0), None, None, json!(":2}")),
        ],
        // No index, id and name repeated.
        vec![
            piece(None, a, Some("f"), json!("{\"x\"")),
            piece(None, a, Some("f"), json!(":1}")),
            piece(None, b, Some("g"), json!("{\"y\":2}")),
        ],
        // Arguments as an object.
        vec![
            piece(Some(0), a, Some("f"), json!({"x": 1})),
            piece(Some(1), b, Some("g"), json!({"y": 2})),
        ],
    ];
    for mut pieces in styles {
        pieces.extend([finish("tool_calls"), event("[DONE]")]);
        let done = stream_of(pieces).await.unwrap();
        let calls: Vec<_> = done.calls.iter().map(|c| (&*c.id, &*c.name, &*c.arguments)).collect();
        assert_eq!(calls, [("a", "f", r#"{"x":1}"#), ("b", "g", r#"{"y":2}"#)]);
    }
    let cut = vec![piece(Some(0), a, Some("f"), json!("{\"x\":")), finish("length")];
    assert_eq!(stream_of(cut).await.unwrap().calls, [], "half a call is none");
}

#[tokio::test]
async fn garbage_is_an_error_and_never_an_answer() {
    let broken: [Vec<u8>; 4] = [
        event("{not json"),
        event("[]"),
        b"data: {\"choices\":[{\"delta\":{\"content\":\"\xff\xfe\"}}]}\n\n".to_vec(),
        event(json!({"choices": "none"})),
    ];
    for garbage in broken {
        let error = stream_of(vec![say("a"), garbage, finish("stop")]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
    }
    let html = refused("200 OK", "content-type: text/html\r\n", "<html>Welcome</html>").await;
    assert_eq!((html.kind(), html.retry()), (ErrorKind::InvalidData, Retry::Never));
    assert!(html.to_string().contains("base_url"), "{html}");
}

#[tokio::test]
async fn an_error_in_the_stream_ends_it_with_its_kind() {
    let cases = [
        (json!({"error": {"message": "overloaded", "code": 503}}), ErrorKind::Unavailable),
        (
            json!({"error": {"message": "slow down", "code": 429}, "choices": []}),
            ErrorKind::RateLimited,
        ),
        (
            json!({"object": "error", "message": "maximum context length is 5", "code": 400}),
            ErrorKind::ContextOverflow,
        ),
    ];
    for (body, kind) in cases {
        let error = stream_of(vec![say("a"), event(&body)]).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let json = refused("200 OK", "content-type: application/json\r\n", &body.to_string()).await;
        if body.get("error").is_some() {
            assert_eq!(json.kind(), kind, "{json}");
        }
    }
}

#[tokio::test]
async fn a_refusal_says_how_long_to_wait_and_never_repeats_the_key() {
    let body = json!({"error": {"message": "no: sk-test-key", "code": "rate_limit_exceeded"}});
    let error = refused(
        "429 Too Many Requests",
        "retry-after: 7\r\nretry-after-ms: 6500\r\n",
        &body.to_string(),
    )
    .await;
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert_eq!(error.retry(), Retry::After(Duration::from_millis(6500)));
    assert!(error.to_string().contains("no: ***"), "{error}");
    assert!(!format!("{error:?}").contains("sk-test-key"));

    let moved = refused("302 Found", "location: http://127.0.0.1:1/?t=s3cret\r\n", "").await;
    assert_eq!(moved.kind(), ErrorKind::InvalidConfig);
    assert!(!moved.to_string().contains("s3cret"));
}

#[tokio::test]
async fn an_endless_line_is_cut_off() {
    let script = vec![events(), Act::Send(b"data: ".to_vec()), Act::Repeat(vec![b'x'; 64 * 1024])];
    let mut server = Server::start(vec![script]).await;
    let error = complete(&provider(&server)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(error.to_string().contains(&MAX_EVENT_BYTES.to_string()), "{error}");
    server.closed().await;
}

#[tokio::test]
async fn silence_is_a_timeout_that_closes_the_connection() {
    for script in [vec![Act::Hold], vec![events(), Act::Send(say("a")), Act::Hold]] {
        let mut server = Server::start(vec![script]).await;
        let provider = provider(&server).idle_timeout(Duration::from_millis(300));
        let error = complete(&provider).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert!(error.is_transient());
        server.closed().await;
    }
}

#[tokio::test]
async fn cancelling_ends_the_wait_and_closes_the_connection() {
    // Before the head has come.
    let mut server =
        Server::start(vec![vec![Act::Hold], vec![events(), Act::Send(say("a")), Act::Hold]]).await;
    let provider = provider(&server);
    let cancel = Cancel::new();
    let cx = CallContext::new().with_cancel(cancel.clone());
    let request = request();
    let waiting = async { provider.stream(&cx, &request).await.unwrap_err() };
    let cancelling = async {
        while server.received().is_empty() {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    };
    let (error, ()) = tokio::join!(waiting, cancelling);
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    server.closed().await;

    // In the middle.
    let cancel = Cancel::new();
    let cx = CallContext::new().with_cancel(cancel.clone());
    let mut stream = provider.stream(&cx, &request).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap(), CompletionEvent::Text { text: "a".into() });
    cancel.cancel();
    assert_eq!(stream.next().await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(stream.next().await.is_none());
    server.closed().await;
}

#[tokio::test]
async fn dropping_the_stream_closes_the_connection() {
    let mut server = Server::start(vec![vec![events(), Act::Send(say("a")), Act::Hold]]).await;
    let mut stream = provider(&server).stream(&CallContext::new(), &request()).await.unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    drop(stream);
    server.closed().await;
}

#[tokio::test]
async fn nobody_there_is_unavailable_without_the_address_in_full() {
    let provider = OpenAi::keyless("http://127.0.0.1:1/secret-path").unwrap();
    let error = complete(&provider).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Backoff));
    let text = error.to_string();
    assert!(text.contains("127.0.0.1:1") && !text.contains("secret-path"), "{text}");
}

#[tokio::test]
async fn models_are_listed_with_what_is_known() {
    let list = json!({"object": "list", "data": [
        {"id": "a", "object": "model"}, {"id": "b", "max_model_len": 4096}, {"no": "id"}]});
    let server = Server::start(vec![
        answer("200 OK", "content-type: application/json\r\n", &list.to_string()),
        answer("200 OK", "content-type: text/html\r\n", "<html>"),
    ])
    .await;
    let provider = provider(&server);
    let models = provider.models().await.unwrap();
    assert_eq!(models.len(), 2);
    assert_eq!((models[0].id.as_str(), models[0].context_tokens), ("a", None));
    assert_eq!(models[1].context_tokens, Some(4096));
    assert_eq!(provider.models().await.unwrap_err().kind(), ErrorKind::InvalidData);
    assert!(server.received()[0].head.starts_with("get /v1/models "));
}
