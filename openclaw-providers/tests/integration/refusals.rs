//! What services answer in place of a completion, each status and code, as whoever asks is told of it.

use openclaw_core::{
    Error, ErrorKind,
    provider::{CallContext, ChatMessage, Completion, CompletionRequest, Provider},
    serde_json::{Value, json},
};
use openclaw_providers::{
    anthropic::Anthropic,
    ollama::Ollama,
    openai::{OpenAi, OpenAiApi},
};

use super::{
    emulators::KEY,
    server::{Server, answer},
};

/// What a provider makes of an answer with this status and body.
async fn refused<P: Provider>(provider: impl Fn(&str) -> P, status: &str, body: &Value) -> Error {
    let script = answer(status, "content-type: application/json\r\n", &body.to_string());
    let server = Server::start(vec![script]).await;
    let request = CompletionRequest::new("m-1", vec![ChatMessage::user("Hi")]);
    let answered = match provider(&server.url).stream(&CallContext::new(), &request).await {
        Ok(stream) => Completion::collect(stream, |_| {}).await,
        Err(error) => Err(error),
    };
    let error = answered.unwrap_err();
    assert!(!format!("{error:?}").contains(KEY), "{error:?}");
    error
}

#[tokio::test]
async fn openai_and_those_who_speak_its_language() {
    use ErrorKind::*;
    let body = |code: &str| {
        json!({"error": {"message": format!("{code}: {KEY}"), "type": "invalid_request_error",
            "param": null, "code": code}})
    };
    let cases = [
        ("400 Bad Request", "invalid_value", InvalidInput),
        ("400 Bad Request", "context_length_exceeded", ContextOverflow),
        ("400 Bad Request", "content_policy_violation", Denied),
        ("401 Unauthorized", "invalid_api_key", Unauthenticated),
        ("402 Payment Required", "no_credits", Exhausted),
        ("403 Forbidden", "unsupported_country_region_territory", Denied),
        ("404 Not Found", "model_not_found", NotFound),
        ("408 Request Timeout", "timeout", Timeout),
        ("409 Conflict", "conflict", Conflict),
        ("413 Content Too Large", "too_large", InvalidInput),
        ("422 Unprocessable Content", "unprocessable", InvalidInput),
        ("429 Too Many Requests", "rate_limit_exceeded", RateLimited),
        ("429 Too Many Requests", "insufficient_quota", Exhausted),
        ("500 Internal Server Error", "server_error", Unavailable),
        ("502 Bad Gateway", "bad_gateway", Unavailable),
        ("503 Service Unavailable", "overloaded", Unavailable),
        ("504 Gateway Timeout", "gateway", Unavailable),
    ];
    for api in [OpenAiApi::ChatCompletions, OpenAiApi::Responses] {
        for (status, code, kind) in cases {
            let provider = |url: &str| OpenAi::new(KEY).base_url(url).unwrap().api(api);
            let error = refused(provider, status, &body(code)).await;
            assert_eq!(error.kind(), kind, "{api:?} {status} {code}: {error}");
            assert!(error.to_string().contains(&format!("{code}: ***")), "{error}");
            let again = matches!(kind, RateLimited | Unavailable | Timeout);
            assert_eq!(error.is_transient(), again, "{api:?} {status} {code}: {error:?}");
        }
    }
}

#[tokio::test]
async fn anthropic() {
    use ErrorKind::*;
    let provider = |url: &str| Anthropic::new(KEY).base_url(url.trim_end_matches("/v1")).unwrap();
    let cases = [
        ("403 Forbidden", "permission_error", "organization_on_hold", Denied),
        ("429 Too Many Requests", "rate_limit_error", "ramp_limit_exceeded", RateLimited),
        ("408 Request Timeout", "", "", Timeout),
        ("422 Unprocessable Content", "", "", InvalidInput),
        ("503 Service Unavailable", "", "", Unavailable),
    ];
    for (status, class, code, kind) in cases {
        let body = json!({"type": "error", "error": {"type": class, "message": format!("no: {KEY}"),
            "details": {"error_code": code}}});
        let error = refused(provider, status, &body).await;
        assert_eq!(error.kind(), kind, "{status} {code}: {error}");
        assert!(error.to_string().contains("no: ***"), "{error}");
    }
}

#[tokio::test]
async fn ollama() {
    use ErrorKind::*;
    let provider = |url: &str| Ollama::new(url.trim_end_matches("/v1")).unwrap().key(KEY);
    let cases = [
        ("401 Unauthorized", "unauthorized", Unauthenticated),
        ("403 Forbidden", "this model requires a subscription", Denied),
        ("404 Not Found", "model 'm-1' not found", NotFound),
        ("502 Bad Gateway", "upstream is away", Unavailable),
    ];
    for (status, message, kind) in cases {
        let body = json!({"error": format!("{message}: {KEY}")});
        let error = refused(provider, status, &body).await;
        assert_eq!(error.kind(), kind, "{status}: {error}");
        assert!(error.to_string().contains(&format!("{message}: ***")), "{error}");
        // Whoever runs a daemon and whoever writes a program can fetch it.
        let advice = error.to_string().contains("`ollama pull m-1` where Ollama runs");
        assert_eq!(advice, kind == NotFound, "{error}");
    }
}
