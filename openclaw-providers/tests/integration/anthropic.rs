//! Messages: every reason to stop, every kind of error, and what becomes of every way to answer badly.

use std::time::Duration;

use futures_util::StreamExt as _;
use openclaw_core::{
    Error, ErrorKind, Result, Retry,
    provider::{
        CallContext, ChatMessage, Completion, CompletionEvent, CompletionRequest, FinishReason,
        Price, Provider as _, ToolDefinition,
    },
    serde_json::{Value, json},
    time::Cancel,
};
use openclaw_providers::{
    MAX_EVENT_BYTES, PriceTable,
    anthropic::{Anthropic, Thinking},
};

use super::{
    emulators::{
        KEY,
        anthropic::{self as emulator, call, error, event, start, stop, stream, text, thinking},
    },
    server::{Act, Server, answer, events},
};

fn provider(server: &Server) -> Anthropic {
    Anthropic::new(KEY)
        .base_url(server.url.trim_end_matches("/v1"))
        .unwrap()
        .model("claude-haiku-4-5")
}

fn request() -> CompletionRequest {
    CompletionRequest::new("claude-haiku-4-5", vec![ChatMessage::user("Hi")])
}

fn with_tool() -> CompletionRequest {
    let mut request = request();
    request.tools = std::sync::Arc::from([ToolDefinition {
        name: "add".into(),
        description: "Adds".into(),
        input_schema: json!({"type": "object"}),
    }]);
    request
}

async fn complete(provider: &Anthropic, request: &CompletionRequest) -> Result<Completion> {
    Completion::collect(provider.stream(&CallContext::new(), request).await?, |_| {}).await
}

async fn played(script: Vec<Act>) -> Result<Completion> {
    let server = Server::start(vec![script]).await;
    complete(&provider(&server), &request()).await
}

async fn stream_of(events: Vec<Value>) -> Result<Completion> {
    played(stream(events)).await
}

async fn refused(status: &str, headers: &str, body: &str) -> Error {
    played(answer(status, headers, body)).await.unwrap_err()
}

#[tokio::test]
async fn a_message_is_asked_for_and_read_to_its_end() {
    let mut pieces = vec![start(), json!({"type": "ping"})];
    pieces.extend(text(0, &["Xin ", "chào"]));
    pieces.push(json!({"type": "an_event_of_tomorrow", "x": 1}));
    pieces.extend(stop("end_turn"));
    let server = Server::start(vec![stream(pieces)]).await;
    let price = Price {
        input: 1_000_000,
        cached_input: 100_000,
        cache_write: Some(2_000_000),
        output: 5_000_000,
    };
    let provider = provider(&server)
        .prices(PriceTable::new().with("claude-haiku-4-5", price))
        .header("anthropic-beta", "context-1m")
        .unwrap();
    let mut request = request();
    request.model = "default".into();
    request.system = "Be brief.".into();
    let done = complete(&provider, &request).await.unwrap();
    assert_eq!((done.text.as_str(), done.reason), ("Xin chào", FinishReason::Stop));
    assert_eq!(done.state, None);
    let usage = done.usage;
    assert_eq!((usage.input_tokens, usage.output_tokens, usage.reasoning_tokens), (100, 12, 4));
    assert_eq!((usage.cached_input_tokens, usage.cache_write_input_tokens), (20, 50));
    assert_eq!(usage.cost_micro_usd, Some(30 + 2 + 100 + 60));

    let [sent] = server.received().try_into().unwrap();
    assert!(sent.head.starts_with("post /v1/messages http/1.1\r\n"), "{}", sent.head);
    for header in
        ["x-api-key: sk-test-key", "anthropic-version: 2023-06-01", "anthropic-beta: context-1m"]
    {
        assert!(sent.head.contains(header), "{header} in {}", sent.head);
    }
    assert_eq!(sent.body["model"], "claude-haiku-4-5");
    assert_eq!(sent.body["system"][0]["text"], "Be brief.");
    assert_eq!(sent.body["stream"], true);
}

#[tokio::test]
async fn every_reason_to_stop_has_its_meaning() {
    let cases = [
        ("end_turn", FinishReason::Stop),
        ("stop_sequence", FinishReason::Stop),
        ("max_tokens", FinishReason::Length),
        ("model_context_window_exceeded", FinishReason::Length),
        ("refusal", FinishReason::Refused),
        ("compaction", FinishReason::Other("compaction".into())),
        ("pause_turn", FinishReason::Other("pause_turn".into())),
        ("mystery", FinishReason::Other("mystery".into())),
    ];
    for (word, reason) in cases {
        let mut pieces = vec![start()];
        pieces.extend(text(0, &["a"]));
        pieces.extend(stop(word));
        let done = stream_of(pieces).await.unwrap();
        assert_eq!((done.text.as_str(), done.reason), ("a", reason), "{word}");
    }
    for word in ["tool_use", "end_turn"] {
        let mut pieces = vec![start()];
        pieces.extend(text(0, &["Let me see."]));
        pieces.extend(call(1, "toolu_a", "f", &["{\"x\"", ":1}"]));
        pieces.extend(call(2, "toolu_b", "g", &[]));
        pieces.extend(stop(word));
        let done = stream_of(pieces).await.unwrap();
        assert_eq!(done.reason, FinishReason::ToolCalls);
        let calls: Vec<_> = done.calls.iter().map(|c| (&*c.id, &*c.name, &*c.arguments)).collect();
        assert_eq!(calls, [("toolu_a", "f", r#"{"x":1}"#), ("toolu_b", "g", "{}")]);
    }
    // Cut within a call: half a call is none.
    let mut pieces = vec![start()];
    pieces.extend(call(0, "toolu_a", "f", &["{\"x\""]));
    pieces.extend(stop("max_tokens"));
    let done = stream_of(pieces).await.unwrap();
    assert_eq!((done.calls.len(), done.reason), (0, FinishReason::Length));
}

#[tokio::test]
async fn every_type_of_error_has_its_kind_in_an_answer_and_in_the_stream() {
    use ErrorKind::*;
    let cases = [
        ("400 Bad Request", "invalid_request_error", "max_tokens: Field required", InvalidInput),
        (
            "400 Bad Request",
            "invalid_request_error",
            "prompt is too long: 208310 tokens > 200000 maximum",
            ContextOverflow,
        ),
        (
            "400 Bad Request",
            "invalid_request_error",
            "input length and `max_tokens` exceed context limit: 1 + 2 > 3",
            ContextOverflow,
        ),
        (
            "400 Bad Request",
            "invalid_request_error",
            "Your credit balance is too low to access the Anthropic API",
            Exhausted,
        ),
        ("401 Unauthorized", "authentication_error", "invalid x-api-key", Unauthenticated),
        ("402 Payment Required", "billing_error", "Payment is overdue", Exhausted),
        ("403 Forbidden", "permission_error", "not yours", Denied),
        ("404 Not Found", "not_found_error", "model: claude-none", NotFound),
        ("409 Conflict", "conflict_error", "try again", Conflict),
        ("413 Content Too Large", "request_too_large", "more than 32 MB", ContextOverflow),
        ("429 Too Many Requests", "rate_limit_error", "slow down", RateLimited),
        ("500 Internal Server Error", "api_error", "oh no", Unavailable),
        ("504 Gateway Timeout", "timeout_error", "too slow", Timeout),
        ("529 Overloaded", "overloaded_error", "Overloaded", Unavailable),
    ];
    for (status, class, message, kind) in cases {
        let body = error(class, message);
        let plain = refused(status, "content-type: application/json\r\n", &body.to_string()).await;
        assert_eq!(plain.kind(), kind, "{plain}");
        assert!(plain.to_string().contains(message), "{plain}");
        let mut pieces = vec![start()];
        pieces.extend(text(0, &["a"]));
        pieces.push(body);
        let late = stream_of(pieces).await.unwrap_err();
        assert_eq!(late.kind(), kind, "in the stream: {late}");
        assert_eq!(plain.is_transient(), late.is_transient(), "{late}");
    }
    let mut spent = error("rate_limit_error", "This organization's spend limit is reached");
    spent["error"]["details"] = json!({"error_code": "enforced_spend_limit_reached"});
    let spent = refused("429 Too Many Requests", "", &spent.to_string()).await;
    assert_eq!((spent.kind(), spent.is_transient()), (Exhausted, false));
    // Of Cloudflare, before the service.
    let html = refused("413 Content Too Large", "content-type: text/html\r\n", "<html>").await;
    assert!(html.to_string().contains("text/html"), "{html}");
}

#[tokio::test]
async fn an_overloaded_service_says_how_long_to_wait_and_the_key_is_never_repeated() {
    let body = error("overloaded_error", "no: sk-test-key").to_string();
    let busy = refused("529 Overloaded", "retry-after: 7\r\n", &body).await;
    assert_eq!(busy.retry(), Retry::After(Duration::from_secs(7)));
    assert!(busy.to_string().contains("no: ***"), "{busy}");
    let busy = refused("529 Overloaded", "", &body).await;
    assert_eq!(busy.retry(), Retry::Backoff);
    let late = stream_of(vec![start(), error("api_error", "no: sk-test-key")]).await.unwrap_err();
    assert!(!format!("{late:?}").contains("sk-test-key"), "{late:?}");
}

#[tokio::test]
async fn an_answer_cut_at_any_byte_is_read_alike() {
    let said = "ế🌏\u{301}語";
    let mut pieces = vec![start()];
    pieces.extend(text(0, &[said]));
    pieces.extend(stop("end_turn"));
    let bytes: Vec<u8> = pieces.iter().flat_map(event).collect();
    let cuts = (1..bytes.len()).step_by(7).chain([bytes.len() - 1]);
    let mut scripts: Vec<Vec<Act>> = cuts
        .map(|cut| {
            let (head, tail) = bytes.split_at(cut);
            vec![events(), Act::Send(head.to_vec()), Act::Send(tail.to_vec())]
        })
        .collect();
    let mut single = vec![events()];
    single.extend(bytes.iter().map(|byte| Act::Send(vec![*byte])));
    scripts.push(single);
    let count = scripts.len();
    let server = Server::start(scripts).await;
    let provider = provider(&server);
    for cut in 1..=count {
        assert_eq!(complete(&provider, &request()).await.unwrap().text, said, "cut {cut}");
    }
}

#[tokio::test]
async fn what_is_cut_short_or_garbage_is_never_an_answer() {
    let half = || Act::Send(b"event: content_block_delta\ndata: {\"type\": \"content_bl".to_vec());
    let begun = || {
        let mut pieces = vec![start()];
        pieces.extend(text(0, &["a"]));
        pieces
    };
    let mut scripts = vec![stream([]), stream([start()]), stream(begun())];
    scripts.push(stream(begun()).into_iter().chain([half()]).collect());
    scripts.push(stream([json!({"type": "message_stop"})]));
    let garbage: [&[u8]; 5] = [
        b"data: {not json\n\n",
        b"data: []\n\n",
        b"data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"\xff\xfe\"}}\n\n",
        b"data: {\"type\":\"content_block_delta\",\"index\":9,\"delta\":{\"type\":\"text_delta\",\"text\":\"x\"}}\n\n",
        b"data: {\"type\":\"content_block_start\"}\n\n",
    ];
    for bytes in garbage {
        let mut script = stream(begun());
        script.push(Act::Send(bytes.to_vec()));
        script.extend(stop("end_turn").iter().map(|data| Act::Send(event(data))));
        scripts.push(script);
    }
    for script in scripts {
        let error = played(script).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.retry()),
            (ErrorKind::InvalidData, Retry::Backoff),
            "{error}"
        );
    }
    let html = refused("200 OK", "content-type: text/html\r\n", "<html>").await;
    assert_eq!((html.kind(), html.retry()), (ErrorKind::InvalidData, Retry::Never));
    let body = error("overloaded_error", "Overloaded").to_string();
    let late = refused("200 OK", "content-type: application/json\r\n", &body).await;
    assert_eq!(late.kind(), ErrorKind::Unavailable, "{late}");
    // Once the reason is known, the answer is whole whatever becomes of the connection.
    let mut pieces = begun();
    pieces.push(stop("end_turn").remove(0));
    assert_eq!(stream_of(pieces).await.unwrap().text, "a");
}

#[tokio::test]
async fn silence_floods_cancelling_and_dropping_close_the_connection() {
    let flood = vec![events(), Act::Send(b"data: ".to_vec()), Act::Repeat(vec![b'x'; 64 * 1024])];
    let mut server = Server::start(vec![flood]).await;
    let error = complete(&provider(&server), &request()).await.unwrap_err();
    assert!(error.to_string().contains(&MAX_EVENT_BYTES.to_string()), "{error}");
    server.closed().await;

    let hanging = || {
        let mut script = stream([start()]);
        script.extend(text(0, &["a"]).iter().map(|data| Act::Send(event(data))));
        script.push(Act::Hold);
        script
    };
    let mut server = Server::start(vec![vec![Act::Hold], hanging(), hanging(), hanging()]).await;
    let quick = provider(&server).idle_timeout(Duration::from_secs(1));
    for _ in 0..2 {
        let error = complete(&quick, &request()).await.unwrap_err();
        assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Timeout, true), "{error}");
        server.closed().await;
    }
    let cancel = Cancel::new();
    let cx = CallContext::new().with_cancel(cancel.clone());
    let mut held = provider(&server).stream(&cx, &request()).await.unwrap();
    assert_eq!(held.next().await.unwrap().unwrap(), CompletionEvent::Text { text: "a".into() });
    cancel.cancel();
    assert_eq!(held.next().await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    server.closed().await;
    let mut dropped = provider(&server).stream(&CallContext::new(), &request()).await.unwrap();
    assert!(dropped.next().await.unwrap().is_ok());
    drop(dropped);
    server.closed().await;
}

/// The conversation after a call, with the results of its calls.
fn after(request: &CompletionRequest, done: &Completion) -> CompletionRequest {
    let mut next = request.clone();
    next.messages.push(ChatMessage::Assistant {
        text: done.text.clone(),
        calls: done.calls.clone(),
        state: done.state.clone(),
    });
    for call in &done.calls {
        let content = vec!["3".into()];
        next.messages.push(ChatMessage::Tool { call: call.id.clone(), failed: false, content });
    }
    next
}

#[tokio::test]
async fn thoughts_go_back_signed_with_the_calls_they_led_to() {
    let server = Server::answering(emulator::service).await;
    let provider = provider(&server).thinking(Thinking::Enabled { budget_tokens: 2_000 }).unwrap();
    let request = with_tool();
    let mut thoughts = String::new();
    let events = provider.stream(&CallContext::new(), &request).await.unwrap();
    let done = Completion::collect(events, |event| {
        if let CompletionEvent::Reasoning { text } = event {
            thoughts.push_str(text);
        }
    })
    .await
    .unwrap();
    assert_eq!(
        (thoughts.as_str(), done.reason.clone()),
        (emulator::THOUGHT.0, FinishReason::ToolCalls)
    );
    // The gateway's own ids, as in the log.
    let mut named = done.clone();
    for (index, call) in named.calls.iter_mut().enumerate() {
        call.id = format!("call_3_{index}");
    }
    // The service refuses thoughts that are missing or changed.
    assert_eq!(complete(&provider, &after(&request, &named)).await.unwrap().text, "Hello, Ada.");

    // After a fallback they are of no use, and the model does not think on.
    let mut other = named.clone();
    other.state.as_mut().unwrap().model = "claude-opus-4-6".into();
    let next = after(&request, &other);
    assert_eq!(complete(&provider, &next).await.unwrap().text, "Hello, Ada.");
    other.state = None;
    assert_eq!(complete(&provider, &after(&request, &other)).await.unwrap().text, "Hello, Ada.");
    let bodies: Vec<Value> = server.received().into_iter().map(|sent| sent.body).collect();
    assert_eq!(bodies[0]["thinking"], json!({"type": "enabled", "budget_tokens": 2_000}));
    assert_eq!(bodies[1]["messages"][1]["content"][0]["signature"], emulator::THOUGHT.1);
    assert_eq!(bodies[1]["messages"][1]["content"][1]["id"], "call_3_0");
    assert_eq!(bodies[2].get("thinking"), None);
}

#[tokio::test]
async fn hidden_thoughts_and_text_between_calls_keep_their_order() {
    let mut pieces = vec![start()];
    pieces.extend(emulator::block(0, json!({"type": "redacted_thinking", "data": "EmwK"}), []));
    pieces.extend(text(1, &["First."]));
    pieces.extend(call(2, "a", "add", &["{}"]));
    pieces.extend(thinking(3, ("Then that.", "sig-2")));
    pieces.extend(call(4, "b", "add", &["{}"]));
    pieces.extend(text(5, &[]));
    pieces.extend(stop("tool_use"));
    let mut end = vec![start()];
    end.extend(text(0, &["ok"]));
    end.extend(stop("end_turn"));
    let server = Server::start(vec![stream(pieces), stream(end)]).await;
    let provider = provider(&server);
    let request = with_tool();
    let done = complete(&provider, &request).await.unwrap();
    assert_eq!(done.text, "First.");
    complete(&provider, &after(&request, &done)).await.unwrap();
    let sent = &server.received()[1].body["messages"][1]["content"];
    let input = |id: &str| json!({"type": "tool_use", "id": id, "name": "add", "input": {}});
    assert_eq!(
        *sent,
        json!([
            {"type": "redacted_thinking", "data": "EmwK"},
            {"type": "text", "text": "First."},
            input("a"),
            {"type": "thinking", "thinking": "Then that.", "signature": "sig-2"},
            input("b"),
        ])
    );
}

#[tokio::test]
async fn models_are_listed_over_all_pages() {
    let server = Server::answering(emulator::service).await;
    let models = provider(&server).models().await.unwrap();
    let names: Vec<_> = models.iter().map(|model| model.id.as_str()).collect();
    assert_eq!(names, ["claude-haiku-4-5", "claude-opus-4-6"]);
    assert_eq!((models[0].context_tokens, models[0].images), (Some(200_000), Some(true)));
}
