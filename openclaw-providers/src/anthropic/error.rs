//! What Anthropic's refusals mean.

use openclaw_core::{ErrorKind, http::StatusCode};

use crate::service::{Details, kind_of_status};

/// Codes of what is not paid for, whatever their status.
const UNPAID: [&str; 4] = [
    "contract_spend_limit_reached",
    "enforced_spend_limit_reached",
    "linked_organization_spend_limit_reached",
    "linked_organization_billing_unavailable",
];

/// The kind of a failure: by its type, which is the same in an answer and in a stream, else by its
/// status.
pub(super) fn kind(details: &Details, status: Option<StatusCode>) -> ErrorKind {
    if UNPAID.contains(&details.code.as_str()) {
        return ErrorKind::Exhausted;
    }
    match details.class.as_str() {
        "invalid_request_error" if is_overflow(&details.message) => ErrorKind::ContextOverflow,
        "invalid_request_error" if is_unpaid(&details.message) => ErrorKind::Exhausted,
        "invalid_request_error" if status.is_none() => ErrorKind::InvalidInput,
        "request_too_large" => ErrorKind::ContextOverflow,
        "authentication_error" => ErrorKind::Unauthenticated,
        "billing_error" => ErrorKind::Exhausted,
        "permission_error" => ErrorKind::Denied,
        "not_found_error" => ErrorKind::NotFound,
        "conflict_error" => ErrorKind::Conflict,
        "rate_limit_error" => ErrorKind::RateLimited,
        "timeout_error" => ErrorKind::Timeout,
        "api_error" | "overloaded_error" => ErrorKind::Unavailable,
        _ => status.map_or(ErrorKind::Unavailable, kind_of_status),
    }
}

/// Whether a message is about a prompt that is too long.
fn is_overflow(message: &str) -> bool {
    let message = message.to_lowercase();
    ["prompt is too long", "exceed context limit", "context window"]
        .iter()
        .any(|words| message.contains(words))
}

/// Whether a message is about an account without money, which has no type of its own.
fn is_unpaid(message: &str) -> bool {
    message.to_lowercase().contains("credit balance is too low")
}
