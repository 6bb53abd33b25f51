//! What a refused request is told.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, ErrorKind, Retry};

/// The kinds of refusal that clients tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum Code {
    /// The request cannot be understood, or not be done as it stands.
    InvalidRequest,
    /// It cannot be done now.
    Unavailable,
    /// It is not allowed to this connection.
    Forbidden,
    /// The device is not let in, or not for this.
    NotPaired,
    /// There is no such ask, or it was answered.
    ApprovalNotFound,
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WireError {
    /// The kind.
    pub code: Code,
    /// In words.
    pub message: Cow<'static, str>,
    /// More, for programs; most have a `code` of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
    /// Whether the same request may work later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
    /// When, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl WireError {
    /// A refusal of this kind.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), details: None, retryable: None, retry_after_ms: None }
    }

    /// The request cannot be understood, or not be done as it stands.
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidRequest, message)
    }

    /// It cannot be done now, but perhaps after this many milliseconds.
    pub fn busy(message: impl Into<Cow<'static, str>>, retry_after_ms: u64) -> Self {
        Self {
            retryable: Some(true),
            retry_after_ms: Some(retry_after_ms),
            ..Self::new(Code::Unavailable, message)
        }
    }

    /// Adds what programs read.
    #[must_use]
    pub fn with_details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }
}

impl From<Error> for WireError {
    /// Says what of the error may be seen outside: its public text, and whether to try again.
    fn from(error: Error) -> Self {
        let code = match error.kind() {
            ErrorKind::Denied | ErrorKind::Unauthenticated => Code::Forbidden,
            ErrorKind::InvalidInput
            | ErrorKind::NotFound
            | ErrorKind::Unsupported
            | ErrorKind::InvalidConfig => Code::InvalidRequest,
            _ => Code::Unavailable,
        };
        let (retryable, retry_after_ms) = match error.retry() {
            Retry::Never => (None, None),
            Retry::Backoff => (Some(true), None),
            Retry::After(pause) => {
                (Some(true), Some(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)))
            }
        };
        let message = Cow::Owned(error.public_text().to_owned());
        Self { retryable, retry_after_ms, ..Self::new(code, message) }
    }
}
