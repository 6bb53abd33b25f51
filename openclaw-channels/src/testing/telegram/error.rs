//! What the Bot API says when it refuses.

use openclaw_core::{
    http::StatusCode,
    serde_json::{Value, json},
    testing::fake_service::{Answer, json_answer},
};

use super::json::put;

pub(super) type Result<T, E = ApiError> = std::result::Result<T, E>;

/// A refusal: `error_code`, `description` and `parameters`.
#[derive(Clone, Debug)]
pub(super) struct ApiError {
    pub(super) code: u16,
    pub(super) description: String,
    parameters: Option<Value>,
}

impl ApiError {
    pub(super) fn new(code: u16, description: impl Into<String>) -> Self {
        Self { code, description: description.into(), parameters: None }
    }

    pub(super) fn too_many(retry_after: u64) -> Self {
        let mut error = Self::new(429, format!("Too Many Requests: retry after {retry_after}"));
        error.parameters = Some(json!({ "retry_after": retry_after }));
        error
    }

    pub(super) fn migrated(to: i64) -> Self {
        let mut error = bad("group chat was upgraded to a supergroup chat");
        error.parameters = Some(json!({ "migrate_to_chat_id": to }));
        error
    }

    /// What the server says of a status that has nothing to do with the request.
    pub(super) fn of_status(status: StatusCode, retry_after: Option<u64>) -> Self {
        match retry_after {
            Some(seconds) => Self::too_many(seconds),
            None => Self::new(status.as_u16(), status.canonical_reason().unwrap_or("Error")),
        }
    }

    pub(super) fn answer(&self) -> Answer {
        let mut body = json!({
            "ok": false, "error_code": self.code, "description": self.description,
        });
        let mut answer = match &self.parameters {
            None => json_answer(self.code, &body),
            Some(parameters) => {
                put(&mut body, "parameters", parameters.clone());
                json_answer(self.code, &body)
            }
        };
        let retry_after = self.parameters.as_ref().and_then(|p| p.get("retry_after")?.as_u64());
        if let Some(seconds) = retry_after {
            answer.headers_mut().insert("retry-after", seconds.into());
        }
        answer
    }
}

/// A 400. The server writes its texts small, but leaves names in capitals as they are.
pub(super) fn bad(text: impl AsRef<str>) -> ApiError {
    let text = text.as_ref();
    let mut chars = text.chars();
    let first = chars.next();
    let is_name = chars.clone().next().is_some_and(|second| second == '_' || second.is_uppercase());
    let text = match first {
        Some(first) if !is_name => format!("{}{}", first.to_lowercase(), chars.as_str()),
        _ => text.to_owned(),
    };
    ApiError::new(400, format!("Bad Request: {text}"))
}

pub(super) fn forbidden(text: &str) -> ApiError {
    ApiError::new(403, format!("Forbidden: {text}"))
}
