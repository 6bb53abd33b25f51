//! Telling an answer bit by bit, as server-sent events.

use std::time::Duration;

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Failure, Piece, Pieces, body};
use crate::{
    provider::{FinishReason, ToolCall, Usage},
    server::patience::not_read,
};

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

/// How many bits of an answer wait for a client.
const MAX_WAITING: usize = 16;

/// Tells an answer as it comes. A client that takes nothing of it for `patience` does not hear the rest, and what is
/// left of the answer is not waited for.
pub(super) fn tell(pieces: Pieces, telling: impl Telling, patience: Duration) -> Response {
    let (to, bits) = mpsc::channel(MAX_WAITING);
    // In a task of its own: what is not read holds neither the answer nor what makes it.
    tokio::spawn(pump(pieces, telling, to, patience));
    let bytes = stream::unfold(Some(bits), |bits| async {
        let mut bits = bits?;
        match bits.recv().await {
            Some(Bit::Text(text)) => Some((Ok(Bytes::from(text)), Some(bits))),
            Some(Bit::Last(text)) => Some((Ok(Bytes::from(text)), None)),
            None => Some((Err(not_read()), None)),
        }
    });
    let mut response = Response::new(Body::from_stream(bytes));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Proxies that gather what is small would hold it back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// A bit of an answer, as it is sent.
enum Bit {
    Text(String),
    Last(String),
}

async fn pump(
    mut pieces: Pieces,
    mut telling: impl Telling,
    to: mpsc::Sender<Bit>,
    patience: Duration,
) {
    let mut bit = Bit::Text(telling.begin());
    loop {
        let is_last = matches!(bit, Bit::Last(_));
        let sent = tokio::time::timeout(patience, to.send(bit)).await;
        if is_last || !matches!(sent, Ok(Ok(()))) {
            return;
        }
        let next = tokio::select! {
            biased;
            // Nobody reads any more.
            () = to.closed() => return,
            next = tokio::time::timeout(KEEP_ALIVE, pieces.next()) => next,
        };
        bit = match next {
            Err(_) => Bit::Text(": more will come\n\n".to_owned()),
            Ok(Some(Ok(Piece::End { reason, usage }))) => Bit::Last(telling.end(&reason, &usage)),
            Ok(Some(Ok(piece))) => Bit::Text(telling.piece(piece)),
            Ok(Some(Err(failure))) => Bit::Last(telling.failed(&failure)),
            Ok(None) => Bit::Last(telling.failed(&lost())),
        };
    }
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
