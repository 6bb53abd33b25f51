//! Telling an answer bit by bit, as server-sent events.

use std::{convert::Infallible, time::Duration};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Failure, Piece, Pieces, body};
use crate::provider::{FinishReason, ToolCall, Usage};

/// After how long without a word a comment says that more will come.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How an answer is told in one of the API's forms.
pub(super) trait Telling: Send + 'static {
    /// What comes before the first piece.
    fn begin(&mut self) -> String;
    /// A piece that is not the end.
    fn piece(&mut self, piece: Piece) -> String;
    /// The end.
    fn end(&mut self, reason: &FinishReason, usage: &Usage) -> String;
    /// The end of an answer that failed.
    fn failed(&mut self, failure: &Failure) -> String;
}

/// Tells an answer as it comes.
pub(super) fn tell(pieces: Pieces, telling: impl Telling) -> Response {
    let begun = stream::unfold(Some((pieces, telling, false)), |state| async {
        let (mut pieces, mut telling, begun) = state?;
        if !begun {
            let text = telling.begin();
            return Some((text, Some((pieces, telling, true))));
        }
        let next = tokio::time::timeout(KEEP_ALIVE, pieces.next()).await;
        Some(match next {
            Err(_) => (": more will come\n\n".to_owned(), Some((pieces, telling, true))),
            Ok(Some(Ok(Piece::End { reason, usage }))) => (telling.end(&reason, &usage), None),
            Ok(Some(Ok(piece))) => (telling.piece(piece), Some((pieces, telling, true))),
            Ok(Some(Err(failure))) => (telling.failed(&failure), None),
            Ok(None) => (telling.failed(&lost()), None),
        })
    });
    let bytes = begun.map(|text| Ok::<_, Infallible>(Bytes::from(text)));
    let mut response = Response::new(Body::from_stream(bytes));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Proxies that gather what is small would hold it back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn lost() -> Failure {
    let text = "the gateway stopped; ask again with the same Idempotency-Key".to_owned();
    Failure { status: StatusCode::SERVICE_UNAVAILABLE, text }
}

/// An event without a name.
pub(super) fn event(value: &impl Serialize) -> String {
    format!("data: {}\n\n", serde_json::to_string(value).unwrap_or_default())
}

/// What a client is told of a failure.
pub(super) fn error(failure: &Failure) -> Value {
    let kind = body::kind(failure.status);
    json!({ "message": failure.text, "type": kind, "param": null, "code": null })
}

/// A whole answer.
pub(super) struct Whole {
    pub(super) text: String,
    pub(super) calls: Vec<ToolCall>,
    pub(super) reason: FinishReason,
    pub(super) usage: Usage,
}

/// Waits for the whole answer.
pub(super) async fn whole(mut pieces: Pieces) -> Result<Whole, Failure> {
    let (mut text, mut calls) = (String::new(), Vec::new());
    while let Some(piece) = pieces.next().await {
        match piece? {
            Piece::Text(more) => text.push_str(&more),
            Piece::Call(call) => calls.push(call),
            Piece::End { reason, usage } => return Ok(Whole { text, calls, reason, usage }),
        }
    }
    Err(lost())
}
