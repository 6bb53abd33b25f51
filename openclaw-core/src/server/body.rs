//! Reading bodies, and making answers.

use std::time::Duration;

use axum::{
    body::{Body, Bytes, to_bytes},
    response::Response,
};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

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

/// A refusal: `{"error": {"type": …, "message": …}}`.
pub(super) fn refuse(status: StatusCode, message: &str) -> Response {
    let kind = match status {
        StatusCode::UNAUTHORIZED => "unauthorized",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::TOO_MANY_REQUESTS => "rate_limited",
        status if status.is_server_error() => "unavailable",
        _ => "invalid_request_error",
    };
    let mut response =
        json(status, &serde_json::json!({ "error": { "type": kind, "message": message } }));
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Bearer");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}
