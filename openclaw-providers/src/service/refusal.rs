//! What a service's refusals mean.

use std::time::Duration;

use jiff::SignedDuration;
use openclaw_core::{
    Error, ErrorKind, Retry,
    http::{HeaderMap, StatusCode, header},
    serde_json::{self, Value},
    time::{Clock as _, SystemClock, Timestamp},
};

/// The longest wait that is believed; a longer one is shortened to it.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// How much of a service's own message goes into an error's text, in characters.
const MESSAGE_CHARS: usize = 500;

/// Says what kind of failure a service means; without a status it stood in a stream.
type KindOf = fn(&Details, Option<StatusCode>) -> ErrorKind;

/// The error that a response with a status other than 200 means.
pub(super) fn refused(
    kind_of: KindOf,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Error {
    if status.is_redirection() {
        return Error::config(format!(
            "it answered {status}, and redirects are not followed; set base_url to the final address"
        ));
    }
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = kind_of_status(status);
        let text = format!("it answered {status} with {}, not JSON", media.unwrap_or("something"));
        return with_wait(Error::new(kind, text), kind, headers);
    };
    let details = Details::of(&value);
    let kind = kind_of(&details, Some(status));
    let text = format!("it answered {status}: {}", details.message);
    with_wait(Error::new(kind, text), kind, headers)
}

/// The error that an error object in a stream means.
pub(crate) fn broken_off(kind_of: KindOf, value: &Value) -> Error {
    let details = Details::of(value);
    let status = details.code.parse().ok().and_then(|code| StatusCode::from_u16(code).ok());
    let kind = kind_of(&details, status);
    Error::new(kind, format!("it broke off its answer: {}", details.message))
}

/// What the various services write into an error.
pub(crate) struct Details {
    pub(crate) message: String,
    /// `code`, as text; Anthropic's `details.error_code`.
    pub(crate) code: String,
    /// `type`.
    #[cfg_attr(
        not(any(feature = "openai", feature = "anthropic")),
        expect(dead_code, reason = "Ollama has none")
    )]
    pub(crate) class: String,
}

impl Details {
    /// Reads `{"error": {…}}`, `{"error": "text"}`, `{"message": …}` and `{"detail": …}`.
    pub(crate) fn of(value: &Value) -> Self {
        let inner = value.get("error").filter(|error| !error.is_null()).unwrap_or(value);
        let text = |key| match inner.get(key) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            Some(other @ (Value::Object(_) | Value::Array(_))) => other.to_string(),
            _ => String::new(),
        };
        let message = [inner.as_str().unwrap_or_default().to_owned(), text("message")]
            .into_iter()
            .chain([text("detail")])
            .find(|text| !text.is_empty())
            .unwrap_or_else(|| "no message".to_owned());
        let message = message.chars().filter(|c| !c.is_control()).take(MESSAGE_CHARS).collect();
        let detail = inner.get("details").and_then(|details| details.get("error_code"));
        let code = detail.and_then(Value::as_str).map_or_else(|| text("code"), str::to_owned);
        Self { message, code, class: text("type") }
    }

    /// Whether the code or the type is this word.
    #[cfg(feature = "openai")]
    pub(crate) fn says(&self, word: &str) -> bool {
        self.code == word || self.class == word
    }
}

pub(crate) fn kind_of_status(status: StatusCode) -> ErrorKind {
    match status.as_u16() {
        401 => ErrorKind::Unauthenticated,
        402 => ErrorKind::Exhausted,
        403 => ErrorKind::Denied,
        404 => ErrorKind::NotFound,
        408 => ErrorKind::Timeout,
        409 => ErrorKind::Conflict,
        429 => ErrorKind::RateLimited,
        400..500 => ErrorKind::InvalidInput,
        500.. => ErrorKind::Unavailable,
        _ => ErrorKind::InvalidData,
    }
}

fn with_wait(error: Error, kind: ErrorKind, headers: &HeaderMap) -> Error {
    if !matches!(kind, ErrorKind::RateLimited | ErrorKind::Unavailable | ErrorKind::Timeout) {
        return error;
    }
    let now = SystemClock.now().since(Timestamp::default());
    match wait(headers, now) {
        Some(wait) => error.with_retry(Retry::After(wait.min(MAX_RETRY_AFTER))),
        None => error,
    }
}

/// How long the service asks to wait; `now` is the time since 1970.
fn wait(headers: &HeaderMap, now: Duration) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let exact = text("retry-after-ms").and_then(|ms| seconds(ms).map(|ms| ms / 1_000));
    let plain = || {
        let text = text("retry-after")?;
        seconds(text).or_else(|| until(text, now))
    };
    // Of the limits, the one that is used up counts.
    let spent = |what: &str| {
        let left = text(&format!("x-ratelimit-remaining-{what}"))?;
        (left.trim() == "0").then_some(())?;
        duration(text(&format!("x-ratelimit-reset-{what}"))?)
    };
    let limits = || spent("requests").max(spent("tokens"));
    let reset = || {
        let text = text("x-ratelimit-reset")?;
        // OpenRouter's is a moment, in milliseconds since 1970; others' is a span or in seconds.
        match seconds(text)?.as_secs() {
            ms @ 100_000_000_000.. => Some(Duration::from_millis(ms).saturating_sub(now)),
            at @ 1_000_000_000.. => Some(Duration::from_secs(at).saturating_sub(now)),
            _ => seconds(text),
        }
    };
    exact.or_else(plain).or_else(limits).or_else(reset)
}

fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.trim().parse().ok()?).ok()
}

/// The time from `now` to an HTTP date.
fn until(text: &str, now: Duration) -> Option<Duration> {
    let at = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp().as_second();
    Some(Duration::from_secs(at.try_into().ok()?).saturating_sub(now))
}

/// A span such as `6m0s`, `2m59.56s` or `20ms`.
fn duration(text: &str) -> Option<Duration> {
    let span: SignedDuration = text.trim().parse().ok()?;
    span.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any(_: &Details, status: Option<StatusCode>) -> ErrorKind {
        status.map_or(ErrorKind::Unavailable, kind_of_status)
    }

    #[test]
    fn what_is_no_json_is_named_by_its_type_alone() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, "text/html".parse().unwrap());
        let error = refused(any, StatusCode::BAD_GATEWAY, &headers, b"<html>nginx says <b>no</b>");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.to_string(), "it answered 502 Bad Gateway with text/html, not JSON");
        let error = refused(any, StatusCode::FOUND, &HeaderMap::new(), b"");
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    }

    #[test]
    fn the_wait_is_read_from_whichever_header_has_it() {
        let now = Duration::from_secs(1_800_000_000);
        let wait = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, value.parse().unwrap());
            }
            wait(&headers, now).map(|wait| wait.as_millis())
        };
        assert_eq!(wait(&[("retry-after", "3")]), Some(3_000));
        assert_eq!(wait(&[("retry-after", "2.5"), ("retry-after-ms", "2400")]), Some(2_400));
        // 2027-01-15T08:00:00Z is second 1,800,000,000.
        assert_eq!(wait(&[("retry-after", "Fri, 15 Jan 2027 08:00:07 GMT")]), Some(7_000));
        assert_eq!(wait(&[("retry-after", "Fri, 15 Jan 2021 08:00:07 GMT")]), Some(0));
        assert_eq!(
            wait(&[
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-reset-requests", "2m59.56s"),
                ("x-ratelimit-remaining-tokens", "7"),
                ("x-ratelimit-reset-tokens", "1h"),
            ]),
            Some(179_560)
        );
        assert_eq!(
            wait(&[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "20ms")]),
            Some(20)
        );
        assert_eq!(wait(&[("x-ratelimit-reset", "1800000004500")]), Some(4_500));
        assert_eq!(wait(&[("x-ratelimit-reset", "12")]), Some(12_000));
        for bad in ["soon", "-1", "NaN", "1e300", ""] {
            assert_eq!(wait(&[("retry-after", bad)]), None, "{bad}");
        }
    }
}
