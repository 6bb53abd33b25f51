//! Answering what agents ask leave for.

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Later, Request, agents::Empty, answer};
use crate::{
    error::ErrorKind,
    gateway::Approval,
    id::ApprovalId,
    protocol::{Code, Scope, WireError},
    server::{connection::Event, events, keys, state::Server},
};

/// The longest that an answer is waited for.
const MAX_WAIT: Duration = Duration::from_secs(15 * 60);
/// How often it is looked whether an ask was answered elsewhere.
const LOOK_EVERY: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfAsk {
    id: String,
}

fn unknown() -> WireError {
    WireError::new(Code::ApprovalNotFound, "unknown or expired approval id")
        .with_details(json!({ "reason": "APPROVAL_NOT_FOUND" }))
}

async fn open(server: &Server) -> Result<Vec<Approval>, WireError> {
    server.handle.open_approvals().await.map_err(WireError::from)
}

/// `exec.approval.list`: what waits for an answer.
pub(super) fn list(request: Request<'_>) -> Result<Later, WireError> {
    let _: Empty = request.parse()?;
    let server = Arc::clone(request.server);
    Ok(Box::pin(async move {
        let now = server.now().as_millis();
        let open = open(&server).await?;
        answer(&open.iter().map(|one| events::asked(one, now)).collect::<Vec<_>>())
    }))
}

/// `exec.approval.get`: one of them, with the whole call.
pub(super) fn get(request: Request<'_>) -> Result<Later, WireError> {
    let params: OfAsk = request.parse()?;
    let server = Arc::clone(request.server);
    Ok(Box::pin(async move {
        let open = open(&server).await?;
        let one =
            open.iter().find(|one| one.ask.approval.as_str() == params.id).ok_or_else(unknown)?;
        answer(&json!({
            "id": params.id,
            "commandText": events::command(one),
            "allowedDecisions": ["allow-once", "deny"],
            "agentId": one.session.agent(),
            "expiresAtMs": one.ask.expires,
        }))
    }))
}

/// `approval.get`: the same, for clients that know several kinds of asks.
pub(super) fn describe(request: Request<'_>) -> Result<Later, WireError> {
    let params: OfAsk = request.parse()?;
    let server = Arc::clone(request.server);
    Ok(Box::pin(async move {
        let open = open(&server).await?;
        let one =
            open.iter().find(|one| one.ask.approval.as_str() == params.id).ok_or_else(unknown)?;
        answer(&json!({ "approval": snapshot(one, "pending", server.now().as_millis()) }))
    }))
}

fn snapshot(one: &Approval, status: &str, now: i64) -> Value {
    json!({
        "id": one.ask.approval,
        "urlPath": format!("/approvals/{}", one.ask.approval),
        "createdAtMs": now,
        "expiresAtMs": one.ask.expires,
        "presentation": {
            "kind": "exec",
            "commandText": events::command(one),
            "agentId": one.session.agent(),
            "allowedDecisions": ["allow-once", "deny"],
        },
        "status": status,
        "sourceSessionKey": keys::shown(&one.session),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Resolve {
    id: String,
    decision: String,
    kind: Option<String>,
}

impl Resolve {
    /// There is leave for one call, or none; nothing is allowed for ever.
    fn allows(&self) -> Result<bool, WireError> {
        match self.decision.as_str() {
            "allow-once" => Ok(true),
            "deny" => Ok(false),
            _ => Err(WireError::invalid("invalid decision; expected allow-once or deny")),
        }
    }
}

/// `exec.approval.resolve`.
pub(super) fn resolve(request: Request<'_>) -> Result<Later, WireError> {
    let params: Resolve = request.parse()?;
    let allow = params.allows()?;
    let server = Arc::clone(request.server);
    Ok(Box::pin(async move {
        settle(&server, &params, allow).await?;
        answer(&json!({ "ok": true }))
    }))
}

/// `approval.resolve`.
pub(super) fn resolve_any(request: Request<'_>) -> Result<Later, WireError> {
    let params: Resolve = request.parse()?;
    let allow = params.allows()?;
    if params.kind.as_deref() != Some("exec") {
        return Err(WireError::invalid("invalid approval.resolve params: at /kind: must be exec"));
    }
    let server = Arc::clone(request.server);
    Ok(Box::pin(async move {
        let one = settle(&server, &params, allow).await?;
        let now = server.now().as_millis();
        let mut approval = snapshot(&one, if allow { "allowed" } else { "denied" }, now);
        if let Some(map) = approval.as_object_mut() {
            let session = map.remove("sourceSessionKey");
            map.insert("source".to_owned(), json!({ "sessionKey": session }));
            map.insert("decision".to_owned(), params.decision.as_str().into());
            map.insert("reason".to_owned(), "user".into());
            map.insert("resolvedAtMs".to_owned(), now.into());
        }
        answer(&json!({ "applied": true, "approval": approval }))
    }))
}

async fn settle(server: &Server, params: &Resolve, allow: bool) -> Result<Approval, WireError> {
    let open = open(server).await?;
    let one = open.into_iter().find(|one| one.ask.approval.as_str() == params.id);
    let one = one.ok_or_else(unknown)?;
    let id = ApprovalId::from(params.id.as_str());
    server.handle.answer(&id, allow).await.map_err(|error| match error.kind() {
        ErrorKind::NotFound => unknown(),
        _ => error.into(),
    })?;
    let payload = json!({
        "id": params.id, "decision": params.decision, "resolvedBy": "client", "ts": server.now(),
    });
    server.decisions.keep(&params.id, allow);
    let event = Event::new("exec.approval.resolved", &payload);
    server.tell_some(&event, |one| one.caller.may(Scope::Approvals));
    Ok(one)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wait {
    id: String,
    timeout_ms: Option<u64>,
}

/// `exec.approval.waitDecision`: waits until an ask is answered. No decision: not in this time, or the ask
/// was answered elsewhere or is over.
pub(super) fn wait(request: Request<'_>) -> Result<Later, WireError> {
    let params: Wait = request.parse()?;
    let server = Arc::clone(request.server);
    Ok(Box::pin(async move {
        let time = params.timeout_ms.map_or(MAX_WAIT, Duration::from_millis).min(MAX_WAIT);
        let until = Instant::now() + time;
        let id = params.id.as_str();
        if server.decisions.of(id).is_none() && !is_open(&server, id).await? {
            return Err(unknown());
        }
        loop {
            let answered = server.decisions.answered();
            let decision = server.decisions.of(id);
            let over = Instant::now() >= until || !is_open(&server, id).await?;
            if decision.is_some() || over {
                // It may have been answered while it was looked for.
                let decision = decision.or_else(|| server.decisions.of(id));
                let word = decision.map(|allow| if allow { "allow-once" } else { "deny" });
                return answer(&json!({ "id": id, "decision": word }));
            }
            let next = (Instant::now() + LOOK_EVERY).min(until);
            let _ = tokio::time::timeout_at(next, answered).await;
        }
    }))
}

async fn is_open(server: &Server, id: &str) -> Result<bool, WireError> {
    Ok(open(server).await?.iter().any(|one| one.ask.approval.as_str() == id))
}
