//! Whether the gateway is well.

use std::sync::Arc;

use axum::{extract::Request, response::Response};
use http::StatusCode;
use serde_json::{Value, json};

use super::{body, caller::Caller, state::Server};

/// The process lives.
pub(super) async fn live(_: Arc<Server>, _: Caller, _: Request) -> Response {
    body::json(StatusCode::OK, &json!({ "ok": true, "status": "live" }))
}

/// New work is accepted.
pub(super) async fn ready(server: Arc<Server>, _: Caller, _: Request) -> Response {
    if server.handle.is_ready() {
        body::json(StatusCode::OK, &json!({ "ok": true, "status": "ready" }))
    } else {
        body::json(StatusCode::SERVICE_UNAVAILABLE, &json!({ "ok": false, "status": "draining" }))
    }
}

/// What clients are shown.
pub(super) fn snapshot(server: &Server) -> Value {
    let plan = server.handle.hub.plan();
    json!({
        "ok": true,
        "ts": server.now().as_millis(),
        "durationMs": 0,
        "defaultAgentId": plan.default_agent,
        "channelOrder": plan.channels.keys().collect::<Vec<_>>(),
    })
}
