//! Reading bodies, and making answers.

use std::time::Duration;

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::Request,
    response::Response,
};
use http::{HeaderValue, StatusCode, header};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use crate::error::ErrorKind;

/// Reads a request's body, up to `limit` bytes, within `time`.
///
/// # Errors
/// The answer to a body that is too large, too slow, or broken off.
pub(super) async fn read(body: Body, limit: usize, time: Duration) -> Result<Bytes, Box<Response>> {
    match tokio::time::timeout(time, to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => {
            let why = "the request is too large, or broke off";
            Err(Box::new(refuse(StatusCode::PAYLOAD_TOO_LARGE, why)))
        }
        Err(_) => Err(Box::new(refuse(StatusCode::REQUEST_TIMEOUT, "the request came too slowly"))),
    }
}

/// An answer in JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let text = serde_json::to_vec(value).unwrap_or_else(|_| b"{}".to_vec());
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A refusal, in the form that clients of OpenAI's API know:
/// `{"error": {"message": …, "type": …, "param": …, "code": …}}`.
pub(super) fn refuse(status: StatusCode, message: &str) -> Response {
    refuse_because(status, message, None, None)
}

/// The same, with the field that is wrong and a word for programs.
pub(super) fn refuse_because(
    status: StatusCode,
    message: &str,
    param: Option<&str>,
    code: Option<&str>,
) -> Response {
    let kind = kind(status);
    let error = json!({ "message": message, "type": kind, "param": param, "code": code });
    let mut response = json(status, &json!({ "error": error }));
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Bearer");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// The word for refusals with this status.
pub(super) fn kind(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "unauthorized",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::TOO_MANY_REQUESTS => "rate_limited",
        status if status.is_server_error() => "unavailable",
        _ => "invalid_request_error",
    }
}

/// The status that stands for a failure of this kind.
pub(super) fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::InvalidInput | ErrorKind::ContextOverflow | ErrorKind::Unsupported => {
            StatusCode::BAD_REQUEST
        }
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Denied => StatusCode::FORBIDDEN,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::RateLimited | ErrorKind::Exhausted => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Unavailable | ErrorKind::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_GATEWAY,
    }
}

/// Reads JSON from a request whose credentials were checked.
///
/// # Errors
/// The answer to a body that cannot be read, is no JSON, or does not fit.
pub(super) async fn parse<T: DeserializeOwned>(
    request: Request,
    limit: usize,
    time: Duration,
) -> Result<T, Box<Response>> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    // What a web page can send without being asked about it is not JSON.
    if !kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) {
        let why = "Content-Type must be application/json";
        return Err(Box::new(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, why)));
    }
    let bytes = read(request.into_body(), limit, time).await?;
    let mut reader = serde_json::Deserializer::from_slice(&bytes);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let why = error.into_inner();
        let message = match path.as_str() {
            "." => format!("the request does not fit: {why}"),
            path => format!("the request does not fit at {path}: {why}"),
        };
        let param = Some(path.as_str()).filter(|path| *path != ".");
        Box::new(refuse_because(StatusCode::BAD_REQUEST, &message, param, None))
    })
}
