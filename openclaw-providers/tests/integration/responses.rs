//! Responses: every way to end, every code of an error, and what becomes of every way to answer badly.

use futures_util::StreamExt as _;
use openclaw_core::{
    Error, ErrorKind, Result, Retry,
    provider::{
        CallContext, ChatMessage, Completion, CompletionEvent, CompletionRequest, FinishReason,
        Provider as _, ToolDefinition,
    },
    serde_json::{Value, json},
    time::Cancel,
};
use openclaw_providers::openai::{OpenAi, OpenAiApi};

use super::{
    emulators::{
        KEY,
        openai::{self as emulator, call, reasoning, response, response_stream, text},
    },
    server::{Act, Server, answer, event},
};

fn provider(url: &str) -> OpenAi {
    OpenAi::new(KEY).base_url(url).unwrap().api(OpenAiApi::Responses)
}

fn request() -> CompletionRequest {
    CompletionRequest::new("gpt-5-mini", vec![ChatMessage::user("Hi")])
}

async fn complete(provider: &OpenAi, request: &CompletionRequest) -> Result<Completion> {
    Completion::collect(provider.stream(&CallContext::new(), request).await?, |_| {}).await
}

async fn played(script: Vec<Act>) -> Result<Completion> {
    let server = Server::start(vec![script]).await;
    complete(&provider(&server.url), &request()).await
}

/// The last event, for this response.
fn end(status: &str, response: Value) -> Value {
    json!({"type": format!("response.{status}"), "response": response})
}

fn incomplete(reason: &str) -> Value {
    let mut response = response("incomplete", json!([]));
    response["incomplete_details"] = json!({ "reason": reason });
    end("incomplete", response)
}

fn failed(code: &str) -> Value {
    let mut response = response("failed", json!([]));
    response["error"] = json!({"code": code, "message": "no: sk-test-key"});
    end("failed", response)
}

#[tokio::test]
async fn every_way_to_end_has_its_meaning() {
    let completed = || end("completed", response("completed", json!([])));
    let cases = [
        (completed(), FinishReason::Stop),
        (incomplete("max_output_tokens"), FinishReason::Length),
        (incomplete("content_filter"), FinishReason::Refused),
        (incomplete("max_messages"), FinishReason::Other("max_messages".into())),
        (incomplete("steered"), FinishReason::Other("steered".into())),
    ];
    for (last, reason) in cases {
        let mut data = text(0, &["Xin ", "chào"]);
        data.insert(0, json!({"type": "response.in_progress"}));
        data.push(last);
        let done = played(response_stream(data)).await.unwrap();
        assert_eq!((done.text.as_str(), done.reason), ("Xin chào", reason));
        let usage = done.usage;
        assert_eq!((usage.input_tokens, usage.output_tokens, usage.reasoning_tokens), (70, 30, 16));
        assert_eq!((usage.cached_input_tokens, usage.cache_write_input_tokens), (20, 10));
    }
    let refusal =
        json!({"type": "response.refusal.delta", "output_index": 0, "delta": "I will not."});
    let done = played(response_stream([refusal, completed()])).await.unwrap();
    assert_eq!((done.text.as_str(), done.reason), ("I will not.", FinishReason::Refused));

    let mut data = call(0, "a", "f", &["{\"x\"", ":1}"]);
    data.extend(call(1, "b", "g", &[]));
    data.push(completed());
    let done = played(response_stream(data)).await.unwrap();
    assert_eq!((done.reason, done.state), (FinishReason::ToolCalls, None));
    let calls: Vec<_> = done.calls.iter().map(|c| (&*c.id, &*c.name, &*c.arguments)).collect();
    assert_eq!(calls, [("a", "f", r#"{"x":1}"#), ("b", "g", "{}")]);
    // Cut within a call, and a call that was not streamed.
    let mut data: Vec<Value> = call(0, "a", "f", &["{\"x\""]).into_iter().take(2).collect();
    data.push(incomplete("max_output_tokens"));
    assert_eq!(played(response_stream(data)).await.unwrap().calls, []);
    let mut data: Vec<Value> = call(0, "a", "f", &["{\"x\":1}"]).into_iter().skip(3).collect();
    data.push(completed());
    assert_eq!(played(response_stream(data)).await.unwrap().calls[0].arguments, r#"{"x":1}"#);
}

#[tokio::test]
async fn every_code_of_a_failure_has_its_kind() {
    use ErrorKind::*;
    let cases = [
        ("server_error", Unavailable),
        ("rate_limit_exceeded", RateLimited),
        ("invalid_prompt", InvalidInput),
        ("data_residency_mismatch", Denied),
        ("bio_policy", Denied),
        ("misalignment_policy_violation", Denied),
        ("vector_store_timeout", Timeout),
        ("invalid_image", InvalidInput),
        ("invalid_image_format", InvalidInput),
        ("invalid_base64_image", InvalidInput),
        ("invalid_image_url", InvalidInput),
        ("image_too_large", InvalidInput),
        ("image_too_small", InvalidInput),
        ("image_parse_error", InvalidInput),
        ("image_content_policy_violation", Denied),
        ("invalid_image_mode", InvalidInput),
        ("image_file_too_large", InvalidInput),
        ("unsupported_image_media_type", InvalidInput),
        ("empty_image_file", InvalidInput),
        ("failed_to_download_image", InvalidInput),
        ("image_file_not_found", InvalidInput),
        ("context_length_exceeded", ContextOverflow),
        ("insufficient_quota", Exhausted),
    ];
    for (code, kind) in cases {
        let mut data = text(0, &["a"]);
        data.push(failed(code));
        let error = played(response_stream(data)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{code}: {error}");
        assert!(error.to_string().contains("no: ***"), "{error}");
        let event = json!({"type": "error", "code": code, "message": "oh no", "param": null});
        let error = played(response_stream([event])).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{code} as an event: {error}");
        assert!(error.to_string().contains("oh no"), "{error}");
    }
    // Whoever cancelled it, it is no answer; asking again may help.
    let mut data = text(0, &["a"]);
    data.push(end("cancelled", response("cancelled", json!([]))));
    let error = played(response_stream(data)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_transient()), (Unavailable, true), "{error}");
    let body =
        json!({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}).to_string();
    let error = played(answer("429 Too Many Requests", "retry-after: 3\r\n", &body)).await;
    assert!(matches!(error.unwrap_err().retry(), Retry::After(_)));
}

#[tokio::test]
async fn what_is_cut_short_or_garbage_is_never_an_answer() {
    let begun = || response_stream(text(0, &["a"]));
    let with = |bytes: &[u8]| {
        let mut script = begun();
        script.push(Act::Send(bytes.to_vec()));
        script
    };
    let scripts = [
        response_stream([]),
        begun(),
        with(b"event: response.completed\ndata: {\"type\": \"response.comp"),
        with(b"data: {not json\n\n"),
        with(b"data: []\n\n"),
        with(b"data: {\"type\":\"response.output_text.delta\",\"delta\":\"\xff\"}\n\n"),
        with(&event(
            json!({"type": "response.function_call_arguments.delta", "output_index": 7, "delta": "{"}),
        )),
        with(&event("[DONE]")),
    ];
    for script in scripts {
        let error = played(script).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.retry()),
            (ErrorKind::InvalidData, Retry::Backoff),
            "{error}"
        );
    }
}

#[tokio::test]
async fn cancelling_closes_the_connection() {
    let mut script = response_stream(text(0, &["a"]));
    script.push(Act::Hold);
    let mut server = Server::start(vec![script]).await;
    let cancel = Cancel::new();
    let cx = CallContext::new().with_cancel(cancel.clone());
    let mut held = provider(&server.url).stream(&cx, &request()).await.unwrap();
    assert_eq!(held.next().await.unwrap().unwrap(), CompletionEvent::Text { text: "a".into() });
    cancel.cancel();
    assert_eq!(held.next().await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    server.closed().await;
}

fn kind(error: Result<Completion>) -> ErrorKind {
    error.map_err(|error: Error| error.kind()).unwrap_err()
}

#[tokio::test]
async fn reasoning_goes_back_encrypted_with_the_calls_it_led_to() {
    let server = Server::answering(emulator::service).await;
    let provider = provider(&format!("{}/v1", server.url));
    let mut request = request();
    request.tools = std::sync::Arc::from([ToolDefinition {
        name: "add".into(),
        description: "Adds".into(),
        input_schema: json!({"type": "object"}),
    }]);
    let mut thoughts = String::new();
    let events = provider.stream(&CallContext::new(), &request).await.unwrap();
    let done = Completion::collect(events, |event| {
        if let CompletionEvent::Reasoning { text } = event {
            thoughts.push_str(text);
        }
    })
    .await
    .unwrap();
    assert_eq!((thoughts.as_str(), done.calls.len()), ("I need the sum.", 2));
    let mut next = request.clone();
    next.messages.push(ChatMessage::Assistant {
        text: String::new(),
        calls: done.calls.clone(),
        state: done.state.clone(),
    });
    for call in &done.calls {
        let content = vec!["3".into()];
        next.messages.push(ChatMessage::Tool { call: call.id.clone(), failed: true, content });
    }
    assert_eq!(complete(&provider, &next).await.unwrap().text, "Hello, Ada.");
    let sent = server.received()[1].body.clone();
    let reasoning = json!({"type": "reasoning", "id": "rs_1", "summary": [],
        "encrypted_content": emulator::REASONING});
    assert_eq!(sent["input"][1], reasoning);
    assert_eq!(sent["input"][2]["call_id"], "call_a");
    assert_eq!(sent["input"][4]["output"], "Error: 3");
    assert_eq!(
        (&sent["store"], &sent["include"]),
        (&json!(false), &json!(["reasoning.encrypted_content"]))
    );
    // Another model's is passed over, which this service minds.
    next.model = "gpt-5".into();
    assert_eq!(kind(complete(&provider, &next).await), ErrorKind::InvalidInput);
    assert!(!server.received()[2].body.to_string().contains(emulator::REASONING));
    // Reasoning before plain text need not come back.
    let mut data = reasoning_then_text();
    data.push(end("completed", response("completed", json!([]))));
    assert_eq!(played(response_stream(data)).await.unwrap().state, None);
}

fn reasoning_then_text() -> Vec<Value> {
    let mut data = reasoning(0);
    data.extend(text(1, &["ok"]));
    data
}
