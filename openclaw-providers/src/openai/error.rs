//! What OpenAI's refusals mean, and those of the services that speak its language.

use openclaw_core::{ErrorKind, http::StatusCode};

use crate::service::{Details, kind_of_status};

/// Codes of what is against the rules of the service.
const DENIED: [&str; 6] = [
    "content_filter",
    "content_policy_violation",
    "image_content_policy_violation",
    "bio_policy",
    "misalignment_policy_violation",
    "data_residency_mismatch",
];

/// The kind of a failure.
pub(super) fn kind(details: &Details, status: Option<StatusCode>) -> ErrorKind {
    let says = |word: &str| details.says(word);
    let kind = status.map_or(ErrorKind::Unavailable, kind_of_status);
    if says("insufficient_quota") || says("billing_hard_limit_reached") {
        ErrorKind::Exhausted
    } else if says("context_length_exceeded") || says("exceed_context_size_error") {
        ErrorKind::ContextOverflow
    } else if kind == ErrorKind::RateLimited || says("rate_limit_exceeded") {
        ErrorKind::RateLimited
    } else if DENIED.iter().any(|word| says(word)) {
        ErrorKind::Denied
    } else if says("invalid_prompt") || details.code.contains("image") {
        ErrorKind::InvalidInput
    } else if says("vector_store_timeout") {
        ErrorKind::Timeout
    } else if says("model_not_found") {
        ErrorKind::NotFound
    } else if says("invalid_api_key") {
        ErrorKind::Unauthenticated
    } else if is_overflow(&details.message) {
        ErrorKind::ContextOverflow
    } else {
        kind
    }
}

/// Whether a message is about a prompt that is too long: OpenAI's, vLLM's, llama.cpp's, LM Studio's
/// and Groq's words.
fn is_overflow(message: &str) -> bool {
    let message = message.to_lowercase();
    // vLLM names the context's length also when the wanted answer alone does not fit. A shorter
    // conversation would not help.
    if message.contains("max_tokens") && message.contains("is too large") {
        return false;
    }
    [
        "maximum context length",
        "maximum model length",
        "context size",
        "context length",
        "context window",
        "context the overflows",
        "prompt is too long",
        "reduce the length of the messages",
    ]
    .iter()
    .any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use openclaw_core::{
        Error,
        serde_json::{Value, json},
    };

    use super::*;
    use crate::service::broken_off;

    fn answer(status: u16, body: &Value) -> Error {
        let details = Details::of(body);
        Error::new(kind(&details, StatusCode::from_u16(status).ok()), details.message)
    }

    #[test]
    fn refusals_have_the_kind_that_their_senders_mean() {
        use ErrorKind::*;
        let openai = |code: &str, message: &str| json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": code}});
        let cases = [
            (401, openai("invalid_api_key", "Incorrect API key provided"), Unauthenticated),
            (403, openai("unsupported_country", "Country not supported"), Denied),
            (404, openai("model_not_found", "The model `x` does not exist"), NotFound),
            (400, openai("context_length_exceeded", "too long"), ContextOverflow),
            (429, openai("rate_limit_exceeded", "Rate limit: context window tokens"), RateLimited),
            (
                429,
                json!({"error": {"message": "You exceeded your current quota", "type": "insufficient_quota", "code": "insufficient_quota"}}),
                Exhausted,
            ),
            (402, json!({"error": {"message": "Insufficient credits", "code": 402}}), Exhausted),
            // llama.cpp
            (
                400,
                json!({"error": {"code": 400, "message": "the request exceeds the available context size, try increasing it", "type": "exceed_context_size_error", "n_prompt_tokens": 9000, "n_ctx": 2048}}),
                ContextOverflow,
            ),
            (
                500,
                json!({"error": {"code": 500, "message": "the request exceeds the available context size. try increasing the context size or enable context shift", "type": "server_error"}}),
                ContextOverflow,
            ),
            // vLLM, old and new
            (
                400,
                json!({"object": "error", "message": "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens in the messages, Please reduce the length of the messages.", "type": "BadRequestError", "param": null, "code": 400}),
                ContextOverflow,
            ),
            (
                400,
                json!({"error": {"message": "The decoder prompt (length 5000) is longer than the maximum model length of 4096.", "type": "BadRequestError", "code": 400}}),
                ContextOverflow,
            ),
            (
                400,
                json!({"error": {"message": "'max_tokens' or 'max_completion_tokens' is too large: 5000. This model's maximum context length is 4096 tokens and your request has 11 input tokens", "code": 400}}),
                InvalidInput,
            ),
            // LM Studio
            (
                400,
                json!({"error": "Trying to keep the first 9000 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens"}),
                ContextOverflow,
            ),
            (400, openai("content_policy_violation", "no"), Denied),
            (422, json!({"detail": [{"loc": ["body"], "msg": "field required"}]}), InvalidInput),
            (500, json!({"error": {"message": "The server had an error"}}), Unavailable),
            (503, json!("busy"), Unavailable),
            (408, json!({}), Timeout),
        ];
        for (status, body, kind) in cases {
            let error = answer(status, &body);
            assert_eq!(error.kind(), kind, "{body} -> {error}");
        }
        assert!(!answer(429, &openai("insufficient_quota", "no")).is_transient());
    }

    #[test]
    fn errors_inside_a_stream_are_worth_a_retry_unless_they_say_otherwise() {
        let kind = |value: Value| broken_off(super::kind, &value).kind();
        assert_eq!(kind(json!({"error": {"message": "overloaded"}})), ErrorKind::Unavailable);
        assert_eq!(kind(json!({"error": {"message": "x", "code": 429}})), ErrorKind::RateLimited);
        assert_eq!(kind(json!({"error": {"message": "x", "code": 400}})), ErrorKind::InvalidInput);
    }
}
