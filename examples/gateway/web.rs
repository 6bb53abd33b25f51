//! Webhooks, and whether the gateway is well.
//!
//! Plain HTTP: put what serves TLS in front of it, or let it listen on this machine alone.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Path, Request, State},
    http::{Response, StatusCode},
    routing::{any, get},
};
use openclaw_core::{AccountId, Error, ErrorKind, Handle, Result};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// The largest request that is read, in bytes: a platform's events are far smaller.
const MAX_BODY_BYTES: usize = 1 << 20;
/// How long reading a request may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A listener that serves.
pub(crate) struct Web {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Web {
    /// # Errors
    /// The address is none, or taken.
    pub(crate) async fn start(address: &str, handle: Handle) -> Result<Self> {
        let refused = |error| {
            Error::wrap(ErrorKind::InvalidConfig, error).with("--listen", address.to_owned())
        };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let task = tokio::spawn(async move {
            let serving = axum::serve(listener, router(handle)).with_graceful_shutdown(stopped);
            if let Err(error) = serving.await {
                tracing::error!(%error, "the listener failed");
            }
        });
        Ok(Self { address, stop, task })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Answers what was asked, and stops.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        // A client that never ends its request does not hold up the stop.
        let _ = tokio::time::timeout(BODY_TIMEOUT, self.task).await;
    }
}

fn router(handle: Handle) -> Router {
    Router::new()
        .route("/health", get(async || "ok"))
        .route("/ready", get(ready))
        .route("/webhooks/{channel}/{account}", any(webhook))
        .with_state(handle)
}

async fn ready(State(handle): State<Handle>) -> (StatusCode, &'static str) {
    if handle.is_ready() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "draining")
    }
}

async fn webhook(
    State(handle): State<Handle>,
    Path((channel, account)): Path<(String, String)>,
    request: Request,
) -> Response<Body> {
    let Ok(account) = format!("{channel}:{account}").parse::<AccountId>() else {
        return answer(StatusCode::NOT_FOUND, "no such account");
    };
    let (parts, body) = request.into_parts();
    let read = tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY_BYTES)).await;
    let body: Bytes = match read {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return answer(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large"),
        Err(_) => return answer(StatusCode::REQUEST_TIMEOUT, "the request came too slowly"),
    };
    match handle.webhook(&account, Request::from_parts(parts, body)).await {
        Ok(answer) => answer.map(Body::from),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            answer(StatusCode::NOT_FOUND, "no such account")
        }
        Err(error) => {
            tracing::warn!(%account, %error, "a webhook was not served");
            answer(StatusCode::SERVICE_UNAVAILABLE, "try again")
        }
    }
}

fn answer(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}
