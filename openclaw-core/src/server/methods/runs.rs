//! Asking agents, waiting for them and stopping them.

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Answer, Later, Request, Rest,
    agents::Empty,
    answer,
    files::{Attachment, files, kept},
};
use crate::{
    access::Principal,
    gateway::{Command, Reply, parse_command},
    id::{EventKey, SessionKey},
    message::Content,
    protocol::{Code, DeviceId, MAX_IDEMPOTENCY_KEY_BYTES, Scope, WireError},
    server::{
        caller::Caller,
        connection::Connection,
        events, keys,
        runs::{Done, Run},
        state::Server,
    },
    store::InputId,
    turn::Outcome,
};

/// How long `agent.wait` waits unless it says otherwise.
const WAIT: Duration = Duration::from_secs(30);
/// The longest that it waits.
const MAX_WAIT: Duration = Duration::from_secs(15 * 60);

/// What is asked of an agent.
struct Ask {
    session: SessionKey,
    text: String,
    files: Vec<Content>,
    key: String,
}

/// Fields that change nothing here: how a reply would be delivered elsewhere, how it is shown.
const IGNORED: &[&str] = &[
    "deliver",
    "bestEffortDeliver",
    "lane",
    "timeout",
    "timeoutMs",
    "label",
    "thinking",
    "fastMode",
    "fastAutoOnSeconds",
    "queueMode",
    "cwd",
    "promptMode",
    "bootstrapContextMode",
    "bootstrapContextRunKind",
    "suppressCommandInterpretation",
    "originatingChannel",
    "originatingTo",
    "originatingAccountId",
    "originatingThreadId",
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AgentParams {
    message: String,
    idempotency_key: String,
    agent_id: Option<String>,
    session_key: Option<String>,
    attachments: Option<Vec<Attachment>>,
    #[serde(flatten)]
    rest: Rest,
}

impl AgentParams {
    fn ask(self, request: &Request<'_>) -> Result<Ask, WireError> {
        self.rest.only(request.method, IGNORED)?;
        let files = files(request.method, self.attachments)?;
        let plan = request.server.handle.hub.plan();
        let agent = self.agent_id.as_deref();
        let key = checked_key(request.method, self.idempotency_key)?;
        let session = match &self.session_key {
            Some(text) => keys::read(&plan, text, agent)?,
            // Who names an agent means its own conversation; who names nothing, one of its own.
            None => match agent {
                Some(agent) => keys::api(keys::known(&plan, agent)?, keys::MAIN)?,
                None => keys::api(plan.default_agent.clone(), &format!("explicit:{key}"))?,
            },
        };
        Ok(Ask { session, text: self.message, files, key })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChatSend {
    session_key: String,
    message: String,
    idempotency_key: String,
    agent_id: Option<String>,
    attachments: Option<Vec<Attachment>>,
    #[serde(flatten)]
    rest: Rest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SessionsSend {
    key: String,
    message: String,
    idempotency_key: Option<String>,
    agent_id: Option<String>,
    attachments: Option<Vec<Attachment>>,
    #[serde(flatten)]
    rest: Rest,
}

fn checked_key(method: &str, key: String) -> Result<String, WireError> {
    if key.is_empty() || key.len() > MAX_IDEMPOTENCY_KEY_BYTES {
        return Err(WireError::invalid(format!(
            "invalid {method} params: at /idempotencyKey: must have 1 to \
             {MAX_IDEMPOTENCY_KEY_BYTES} bytes"
        )));
    }
    Ok(key)
}

/// Commands need the scope of what they do: text is no way around it.
pub(in crate::server) fn permitted(caller: &Caller, text: &str) -> Result<(), WireError> {
    let needed = match parse_command(text) {
        Some(Command::Approve { .. }) => Scope::Approvals,
        Some(Command::Pair { .. }) => Scope::Pairing,
        Some(Command::Agent { name: Some(_) }) => Scope::Admin,
        _ => return Ok(()),
    };
    if caller.may(needed) {
        return Ok(());
    }
    Err(super::missing(needed))
}

/// A message to an agent, and in whose name it is.
pub(in crate::server) struct Asked {
    pub(in crate::server) session: SessionKey,
    pub(in crate::server) content: Vec<Content>,
    pub(in crate::server) key: String,
    pub(in crate::server) principal: Principal,
    /// The device that asks, so that its revocation ends what it began.
    pub(in crate::server) device: Option<DeviceId>,
}

/// Accepts what a client asks in the owner's name.
async fn begin(
    server: &Arc<Server>,
    connection: &Arc<Connection>,
    ask: Ask,
) -> Result<Arc<Run>, WireError> {
    permitted(&connection.caller, &ask.text)?;
    if ask.text.trim().is_empty() && ask.files.is_empty() {
        return Err(WireError::invalid("the message is empty"));
    }
    let Ask { session, text, files, key } = ask;
    let text = Some(Content::text(text)).filter(|text| text.as_text() != Some(""));
    let mut content: Vec<Content> = text.into_iter().collect();
    for file in files {
        content.push(kept(server, file).await?);
    }
    let (principal, device) = (Principal::Owner, connection.device.clone());
    accept(server, Asked { session, content, key, principal, device }).await
}

/// Accepts what is asked. It is durable when this returns; whoever asks with the same key again gets
/// the same run.
pub(in crate::server) async fn accept(
    server: &Arc<Server>,
    asked: Asked,
) -> Result<Arc<Run>, WireError> {
    let Asked { session, content, key, principal, device } = asked;
    let (run, new) = server.runs.begin(&key, &session, device, server.now())?;
    if !new {
        return Ok(run);
    }
    let peer = session.conversation().peer.clone();
    let ask = server.handle.ask(peer, "").saying(content).in_session(session).principal(principal);
    let answer = match ask.key(&key).stream().await {
        Ok(answer) => answer,
        Err(error) => {
            server.runs.forget(&run);
            tracing::warn!(error = ?error, "a client's message was not accepted");
            return Err(error.into());
        }
    };
    let (server, kept) = (Arc::clone(server), Arc::clone(&run));
    // It goes on when the client is gone: the message was accepted.
    let hub = Arc::clone(&server.handle.hub);
    hub.spawn(async move {
        let reply = answer.finish().await.map_err(WireError::from);
        server.runs.end(&kept, server.now(), reply);
    });
    Ok(run)
}

/// `agent`: answered twice, when the message is accepted and when the agent has answered.
pub(super) fn agent(request: Request<'_>) -> Result<Later, WireError> {
    let params: AgentParams = request.parse()?;
    let ask = params.ask(&request)?;
    let (server, connection) = (Arc::clone(request.server), Arc::clone(request.connection));
    let id = request.id.to_owned();
    Ok(Box::pin(async move {
        let run = begin(&server, &connection, ask).await?;
        let accepted = json!({
            "runId": run.id,
            "sessionKey": keys::shown(&run.session),
            "agentId": run.session.agent(),
            "status": "accepted",
            "acceptedAt": run.began.as_millis(),
        });
        connection.answer(&id, answer(&accepted));
        let done = run.done().await.ok_or_else(stopped)?;
        if let Ok(reply) = &done.reply {
            server.runs.until_told(&run.session, reply.turn).await;
        }
        finished(&run, &done)
    }))
}

fn stopped() -> WireError {
    WireError::busy("the gateway stops; ask again with the same key", 1_000)
}

/// The second answer to `agent`.
fn finished(run: &Run, done: &Done) -> Answer {
    let reply = done.reply.as_ref().map_err(Clone::clone)?;
    if let Outcome::ModelFailed { .. } | Outcome::Poisoned | Outcome::TooLong = reply.outcome {
        let details = json!({ "runId": run.id, "stopReason": events::stop_reason(&reply.outcome) });
        let error = WireError::new(Code::Unavailable, events::notice(&reply.outcome));
        return Err(error.with_details(details));
    }
    let aborted = matches!(reply.outcome, Outcome::Cancelled | Outcome::Superseded);
    let payloads = if reply.text.is_empty() {
        json!([])
    } else {
        json!([{ "text": reply.text, "mediaUrl": null }])
    };
    let took = done.at.since(run.began).as_millis();
    answer(&json!({
        "runId": run.id,
        "status": "ok",
        "summary": if aborted { "aborted" } else { "completed" },
        "result": {
            "payloads": payloads,
            "meta": {
                "durationMs": u64::try_from(took).unwrap_or(u64::MAX),
                "aborted": aborted,
                "stopReason": events::stop_reason(&reply.outcome),
                "agentMeta": { "sessionKey": keys::shown(&run.session), "usage": usage(reply) },
            },
        },
    }))
}

fn usage(reply: &Reply) -> Value {
    json!({
        "input": reply.usage.input_tokens,
        "output": reply.usage.output_tokens,
        "cacheRead": reply.usage.cached_input_tokens,
        "total": reply.usage.total_tokens(),
    })
}

/// `chat.send`: answered when the message is accepted; events tell the rest.
pub(super) fn chat_send(request: Request<'_>) -> Result<Later, WireError> {
    let params: ChatSend = request.parse()?;
    params.rest.only(request.method, IGNORED)?;
    let files = files(request.method, params.attachments)?;
    let plan = request.server.handle.hub.plan();
    let session = keys::read(&plan, &params.session_key, params.agent_id.as_deref())?;
    let key = checked_key(request.method, params.idempotency_key)?;
    Ok(started(request, Ask { session, text: params.message, files, key }))
}

/// `sessions.send`: the same by the session's key.
pub(super) fn sessions_send(request: Request<'_>) -> Result<Later, WireError> {
    let params: SessionsSend = request.parse()?;
    params.rest.only(request.method, IGNORED)?;
    let files = files(request.method, params.attachments)?;
    let plan = request.server.handle.hub.plan();
    let session = keys::read(&plan, &params.key, params.agent_id.as_deref())?;
    let key = match params.idempotency_key {
        Some(key) => checked_key(request.method, key)?,
        None => request.server.fresh().map_err(WireError::from)?,
    };
    Ok(started(request, Ask { session, text: params.message, files, key }))
}

fn started(request: Request<'_>, ask: Ask) -> Later {
    let (server, connection) = (Arc::clone(request.server), Arc::clone(request.connection));
    Box::pin(async move {
        let run = begin(&server, &connection, ask).await?;
        answer(
            &json!({ "runId": run.id, "status": "started", "sessionKey": keys::shown(&run.session) }),
        )
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wait {
    run_id: String,
    timeout_ms: Option<u64>,
}

/// `agent.wait`: waits for the end of a run.
pub(super) fn wait(request: Request<'_>) -> Result<Later, WireError> {
    let params: Wait = request.parse()?;
    let run = request.server.runs.get(&params.run_id);
    Ok(Box::pin(async move {
        let time = params.timeout_ms.map_or(WAIT, Duration::from_millis).min(MAX_WAIT);
        let done = match &run {
            Some(run) => tokio::time::timeout(time, run.done()).await.ok().flatten(),
            None => None,
        };
        let (Some(run), Some(done)) = (run, done) else {
            return answer(&json!({ "runId": params.run_id, "status": "timeout" }));
        };
        let (began, at) = (run.began.as_millis(), done.at.as_millis());
        answer(&match &done.reply {
            Ok(reply) if matches!(reply.outcome, Outcome::Replied | Outcome::Cancelled) => json!({
                "runId": run.id, "status": "ok", "startedAt": began, "endedAt": at,
                "stopReason": events::stop_reason(&reply.outcome),
            }),
            Ok(reply) => json!({
                "runId": run.id, "status": "error", "startedAt": began, "endedAt": at,
                "error": events::notice(&reply.outcome),
            }),
            Err(error) => json!({
                "runId": run.id, "status": "error", "startedAt": began, "endedAt": at,
                "error": error.message,
            }),
        })
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ChatAbort {
    session_key: String,
    agent_id: Option<String>,
    run_id: Option<String>,
    #[serde(default)]
    preserve_side_runs: bool,
}

/// `chat.abort`: stops what a session is doing.
pub(super) fn chat_abort(request: Request<'_>) -> Result<Later, WireError> {
    let params: ChatAbort = request.parse()?;
    let _ = params.preserve_side_runs;
    let plan = request.server.handle.hub.plan();
    let session = keys::read(&plan, &params.session_key, params.agent_id.as_deref())?;
    let server = Arc::clone(request.server);
    Ok(Box::pin(async move { abort(&server, session, params.run_id).await }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SessionsAbort {
    key: Option<String>,
    run_id: Option<String>,
    agent_id: Option<String>,
    #[serde(default)]
    clear_queued: bool,
}

/// `sessions.abort`: the same by the session's key, or by the run.
pub(super) fn sessions_abort(request: Request<'_>) -> Result<Later, WireError> {
    let params: SessionsAbort = request.parse()?;
    if params.clear_queued {
        let why = "invalid sessions.abort params: at /clearQueued: is not supported here";
        return Err(WireError::invalid(why));
    }
    let plan = request.server.handle.hub.plan();
    let session = match (&params.key, &params.run_id) {
        (Some(key), _) => keys::read(&plan, key, params.agent_id.as_deref())?,
        (None, Some(run)) => match request.server.runs.get(run) {
            Some(run) => run.session.clone(),
            None => return Err(WireError::invalid("there is no such run")),
        },
        (None, None) => return Err(WireError::invalid("name a session or a run")),
    };
    let server = Arc::clone(request.server);
    Ok(Box::pin(async move { abort(&server, session, params.run_id).await }))
}

async fn abort(server: &Arc<Server>, session: SessionKey, run_id: Option<String>) -> Answer {
    let open = server
        .runs
        .open(|run| run.session == session && run_id.as_ref().is_none_or(|id| *id == run.id));
    // A run that is over is not stopped, nor what its session does now.
    let meant = run_id.is_none() || !open.is_empty();
    let stopped = meant && stop(server, &session).await?;
    let ids: Vec<&str> = open.iter().filter(|_| stopped).map(|run| run.id.as_str()).collect();
    answer(&json!({ "ok": true, "aborted": stopped, "runIds": ids }))
}

/// Stops the open turn of a session; false if there is none.
pub(in crate::server) async fn stop(
    server: &Arc<Server>,
    session: &SessionKey,
) -> Result<bool, WireError> {
    let store = &server.handle.hub.store;
    let head = store.head(session).await.map_err(WireError::from)?;
    // A turn that has done nothing yet but ask the model is not written down; what it answers is.
    let asked = store.inputs(session, InputId::default(), 1).await.map_err(WireError::from)?;
    if !head.open && asked.is_empty() {
        return Ok(false);
    }
    let key = EventKey::event(&server.fresh().map_err(WireError::from)?);
    let hub = &server.handle.hub;
    let accepted = crate::gateway::accept_text(hub, session.clone(), key, "/stop").await;
    accepted.map_err(WireError::from)
}

/// Who is told of sessions that change.
pub(super) fn subscribe(request: Request<'_>) -> Answer {
    let _: Empty = request.parse()?;
    request.connection.follow_sessions();
    answer(&json!({ "subscribed": true }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Follow {
    key: String,
    agent_id: Option<String>,
    include_approvals: Option<bool>,
}

pub(super) fn follow(request: Request<'_>) -> Answer {
    let params: Follow = request.parse()?;
    let _ = params.include_approvals;
    let plan = request.server.handle.hub.plan();
    let session = keys::read(&plan, &params.key, params.agent_id.as_deref())?;
    let key = keys::shown(&session);
    if !request.connection.follow(session) {
        return Err(WireError::invalid("this connection follows too many sessions"));
    }
    answer(&json!({ "subscribed": true, "key": key }))
}

pub(super) fn unfollow(request: Request<'_>) -> Answer {
    let params: Follow = request.parse()?;
    let plan = request.server.handle.hub.plan();
    let session = keys::read(&plan, &params.key, params.agent_id.as_deref())?;
    request.connection.unfollow(&session);
    answer(&json!({ "subscribed": false, "key": keys::shown(&session) }))
}
