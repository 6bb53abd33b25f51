//! How the gateway is set up, and what it logged.

use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{Answer, Request, agents::Empty, answer};
use crate::{id::hex, protocol::WireError};

/// How many lines are shown unless it is said.
const LINES: usize = 500;
const MAX_LINES: usize = 5_000;
/// How many bytes of lines are shown unless it is said.
const BYTES: usize = 250_000;
const MAX_BYTES: usize = 1_000_000;

/// `config.get`: the configuration. Secrets are no part of one: it says where they are.
pub(super) fn config(request: Request<'_>) -> Answer {
    let _: Empty = request.parse()?;
    let Some(setup) = request.server.config.shown_setup() else {
        return answer(&json!({
            "path": "", "exists": false, "raw": null, "config": {}, "valid": true, "issues": [],
        }));
    };
    let text = serde_json::to_string_pretty(&setup.config).unwrap_or_default();
    let hash = hex(&Sha256::digest(&text), 32);
    answer(&json!({
        "path": setup.path, "exists": true, "raw": text, "config": setup.config, "hash": hash,
        "valid": true, "issues": [],
    }))
}

/// `config.schema`: what may stand in it.
pub(super) fn schema(request: Request<'_>) -> Answer {
    let _: Empty = request.parse()?;
    let setup = request.server.config.shown_setup().unwrap_or_default();
    answer(&json!({
        "schema": setup.schema, "uiHints": {}, "version": env!("CARGO_PKG_VERSION"),
        "generatedAt": request.server.now().to_string(),
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Tail {
    cursor: Option<u64>,
    limit: Option<usize>,
    max_bytes: Option<usize>,
}

/// `logs.tail`: the last lines of the log, or those since the last time.
pub(super) fn logs(request: Request<'_>) -> Answer {
    let params: Tail = request.parse()?;
    let (limit, bytes) = (params.limit.unwrap_or(LINES), params.max_bytes.unwrap_or(BYTES));
    if !(1..=MAX_LINES).contains(&limit) || !(1..=MAX_BYTES).contains(&bytes) {
        let why = "invalid logs.tail params: limit is 1 to 5000, maxBytes 1 to 1000000";
        return Err(WireError::invalid(why));
    }
    let Some(log) = &request.server.config.logs else {
        return answer(&json!({ "file": "none", "cursor": 0, "size": 0, "lines": [] }));
    };
    let tail = log.tail(params.cursor.unwrap_or(0), limit, bytes);
    answer(&json!({
        "file": log.name(), "cursor": tail.cursor, "size": tail.all, "lines": tail.lines,
        "truncated": tail.truncated, "reset": params.cursor.is_some_and(|cursor| cursor > tail.all),
    }))
}
