//! `/hooks/agent` and `/hooks/wake`: what other programs report, behind a token of its own.
//!
//! What they say is nobody's word: a program passes on what others wrote. So it is untrusted, in a
//! conversation that the gateway names, and commands in it are text.

use std::{sync::Arc, time::Duration};

use axum::{extract::Request, response::Response};
use http::{HeaderMap, StatusCode, request::Parts};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{
    body,
    caller::Caller,
    events, guard,
    guard::Origin,
    keys,
    methods::{channels::account, runs},
    routes,
    state::Server,
};
use crate::{
    access::Principal,
    id::{Conversation, SessionKey, hex},
    message::Content,
    protocol::{MAX_IDEMPOTENCY_KEY_BYTES, WireError},
};

/// The largest report, in bytes.
const MAX_BYTES: usize = 256 * 1024;
/// How long a program can wait for the answer.
const MAX_WAIT: Duration = Duration::from_secs(600);
/// The longest name of a hook, in characters.
const MAX_NAME: usize = 64;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AgentIn {
    message: String,
    name: Option<String>,
    agent_id: Option<String>,
    #[serde(default)]
    deliver: bool,
    channel: Option<String>,
    account_id: Option<String>,
    to: Option<String>,
    idempotency_key: Option<String>,
    #[serde(default)]
    wait_for_completion: bool,
    timeout_seconds: Option<u64>,
    /// All hooks wake at once.
    wake_mode: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WakeIn {
    text: String,
    mode: Option<String>,
    idempotency_key: Option<String>,
}

type Refused = Box<Response>;

fn invalid(why: &str) -> Refused {
    Box::new(body::refuse(StatusCode::BAD_REQUEST, why))
}

/// Lets a program in by the hooks' token alone. The credential of clients is not taken.
fn let_in(server: &Arc<Server>, parts: &Parts) -> Result<(), Refused> {
    let Some(token) = &server.config.hooks else {
        return Err(Box::new(body::refuse(StatusCode::NOT_FOUND, "there is nothing here")));
    };
    // Addresses end up in logs.
    if parts.uri.query().is_some_and(|query| query.contains("token=")) {
        return Err(invalid("a token is taken in a header alone"));
    }
    if let Err((status, why)) = guard::check(&parts.headers, &server.config) {
        return Err(Box::new(body::refuse(status, why)));
    }
    let origin = Origin::of(parts, &server.config);
    server
        .authenticate_hook(&parts.headers, &origin, token)
        .map_err(|refusal| Box::new(routes::refused(server, refusal)))?;
    routes::not_too_often(server, &origin)
}

fn key(headers: &HeaderMap, in_body: Option<String>, server: &Server) -> Result<String, Refused> {
    let header = headers.get("idempotency-key").map(|key| key.to_str());
    let key = match (header, in_body) {
        (Some(Ok(key)), _) => key.to_owned(),
        (Some(Err(_)), _) => return Err(invalid("Idempotency-Key is no text")),
        (None, Some(key)) => key,
        (None, None) => server.fresh().map_err(|error| invalid(error.public_text()))?,
    };
    if key.is_empty() || key.len() > MAX_IDEMPOTENCY_KEY_BYTES {
        return Err(invalid("the idempotency key is empty or too long"));
    }
    Ok(key)
}

/// What a hook says, behind its name; so it begins with no command.
fn content(name: &str, text: &str) -> Result<Vec<Content>, Refused> {
    if text.trim().is_empty() {
        return Err(invalid("the hook says nothing"));
    }
    Ok(vec![Content::text(format!("[hook {name}]\n{text}"))])
}

fn name(name: Option<String>) -> Result<String, Refused> {
    let name = name.unwrap_or_else(|| "hook".to_owned());
    let fits = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.');
    if name.trim().is_empty() || name.chars().count() > MAX_NAME || !name.chars().all(fits) {
        return Err(invalid("a hook's name has 1 to 64 letters, digits, spaces, - _ and ."));
    }
    Ok(name)
}

fn refused(error: &WireError) -> Refused {
    let status = match error.retryable {
        Some(true) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    };
    Box::new(body::refuse(status, &error.message))
}

/// `POST /hooks/agent`: an agent works on a report, in a conversation of its own or in the one that its
/// answer is delivered to.
pub(super) async fn agent(server: Arc<Server>, _: Caller, request: Request) -> Response {
    run_agent(server, request).await.unwrap_or_else(|refused| *refused)
}

async fn run_agent(server: Arc<Server>, request: Request) -> Result<Response, Refused> {
    let (parts, stream) = request.into_parts();
    let_in(&server, &parts)?;
    let headers = parts.headers.clone();
    let request = Request::from_parts(parts, stream);
    let asked: AgentIn = body::parse(request, MAX_BYTES, server.config.limits.body).await?;
    if !matches!(asked.wake_mode.as_deref(), None | Some("now")) {
        return Err(invalid("wakeMode: hooks wake now"));
    }
    let key = key(&headers, asked.idempotency_key.clone(), &server)?;
    let name = name(asked.name.clone())?;
    let session = session(&server, &asked, &key)?;
    let hook = runs::Asked {
        session,
        content: content(&name, &asked.message)?,
        key: format!("hook:{key}"),
        principal: Principal::Service { name: format!("hook {name}") },
        device: None,
    };
    let run = runs::accept(&server, hook).await.map_err(|error| refused(&error))?;
    let mut told = json!({
        "ok": true, "runId": run.id, "sessionKey": keys::shown(&run.session), "status": "accepted",
    });
    if !asked.wait_for_completion {
        return Ok(body::json(StatusCode::ACCEPTED, &told));
    }
    let wait = asked.timeout_seconds.map_or(MAX_WAIT, Duration::from_secs).min(MAX_WAIT);
    let done = tokio::time::timeout(wait, run.done()).await.ok().flatten();
    let Some(done) = done else { return Ok(body::json(StatusCode::ACCEPTED, &told)) };
    let reply = done.reply.as_ref().map_err(refused)?;
    if let Some(map) = told.as_object_mut() {
        map.insert("status".to_owned(), events::stop_reason(&reply.outcome).into());
        map.insert("text".to_owned(), reply.text.as_str().into());
    }
    Ok(body::json(StatusCode::OK, &told))
}

/// The conversation is never the program's own choice, but for where the answer is to go.
fn session(server: &Server, asked: &AgentIn, key: &str) -> Result<SessionKey, Refused> {
    let plan = server.handle.hub.plan();
    let agent = match &asked.agent_id {
        Some(agent) => Some(keys::known(&plan, agent).map_err(|error| refused(&error))?),
        None => None,
    };
    let named = asked.channel.is_some() || asked.account_id.is_some() || asked.to.is_some();
    if !asked.deliver {
        if named {
            return Err(invalid("channel, accountId and to are for an answer that is delivered"));
        }
        let agent = agent.unwrap_or_else(|| plan.default_agent.clone());
        let name = hex(&Sha256::digest(format!("hook\0{key}")), 16);
        return keys::api(agent, &format!("hook:{name}")).map_err(|error| refused(&error));
    }
    let Some(to) = asked.to.as_deref().filter(|to| !to.is_empty()) else {
        return Err(invalid("to: whom the answer is delivered to"));
    };
    let account = account(server, asked.channel.as_deref(), asked.account_id.as_deref());
    let account = account.map_err(|error| refused(&error))?;
    let place = match to.strip_prefix("group:") {
        Some(group) => Conversation::group(account, group),
        None => Conversation::direct(account, to),
    };
    let agent = agent.unwrap_or_else(|| {
        let chosen = server.handle.hub.directory.route(&place);
        plan.agent_at(&place, &std::collections::BTreeMap::new(), chosen)
    });
    Ok(SessionKey::new(agent, place))
}

/// `POST /hooks/wake`: the main conversation of the default agent is told something.
pub(super) async fn wake(server: Arc<Server>, _: Caller, request: Request) -> Response {
    run_wake(server, request).await.unwrap_or_else(|refused| *refused)
}

async fn run_wake(server: Arc<Server>, request: Request) -> Result<Response, Refused> {
    let (parts, stream) = request.into_parts();
    let_in(&server, &parts)?;
    let headers = parts.headers.clone();
    let request = Request::from_parts(parts, stream);
    let asked: WakeIn = body::parse(request, MAX_BYTES, server.config.limits.body).await?;
    if !matches!(asked.mode.as_deref(), None | Some("now")) {
        return Err(invalid("mode: hooks wake now"));
    }
    let key = key(&headers, asked.idempotency_key, &server)?;
    let main = keys::api(server.handle.hub.plan().default_agent.clone(), keys::MAIN);
    let hook = runs::Asked {
        session: main.map_err(|error| refused(&error))?,
        content: content("wake", &asked.text)?,
        key: format!("wake:{key}"),
        principal: Principal::Service { name: "hook wake".to_owned() },
        device: None,
    };
    let run = runs::accept(&server, hook).await.map_err(|error| refused(&error))?;
    Ok(body::json(StatusCode::OK, &json!({ "ok": true, "mode": "now", "runId": run.id })))
}
