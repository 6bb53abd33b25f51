//! The sessions that there are, and what was said in them.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Later, Request, Rest, answer};
use crate::{
    error::Result,
    gateway::{API_ACCOUNT, Hub},
    id::{ConversationKind, Seq, SessionKey},
    message::{Content, Message, Part},
    protocol::WireError,
    server::keys,
    store::SessionHead,
    time::Timestamp,
    turn::{Entry, Session, decode},
};

/// How many sessions are looked through for a list.
const MAX_LISTED: usize = 1_000;
/// How many messages of a history are shown at most.
const MAX_MESSAGES: usize = 1_000;
/// How much of a history is shown at most, in bytes of text.
const MAX_HISTORY_BYTES: usize = 6 * 1024 * 1024;

/// A session's present history, folded from its log.
pub(super) struct Folded {
    pub(super) session: Session,
    /// When its last entry was made.
    pub(super) updated: Option<Timestamp>,
    messages: Vec<Value>,
}

pub(super) async fn fold(hub: &Hub, key: &SessionKey) -> Result<Folded> {
    let head = hub.store.head(key).await?;
    let mut folded = Folded { session: Session::new(), updated: None, messages: Vec::new() };
    for row in hub.store.read(key, head.checkpoint, usize::MAX).await? {
        folded.updated = Some(row.at);
        match decode(&row)? {
            Some(entry) => {
                folded.session.apply(row.seq, row.at, &entry)?;
                folded.note(&entry, row.seq, row.at);
            }
            None => folded.session.skip(row.seq)?,
        }
    }
    Ok(folded)
}

impl Folded {
    /// Adds what the entry says to what clients are shown.
    fn note(&mut self, entry: &Entry, seq: Seq, at: Timestamp) {
        match entry {
            Entry::Opened { .. } => self.messages.clear(),
            Entry::Checkpoint { history, .. } => {
                self.messages = history.iter().filter_map(|one| shown(one, seq, at)).collect();
            }
            Entry::Started { messages, .. } | Entry::Joined { messages, .. } => {
                self.messages.extend(messages.iter().filter_map(|one| shown(one, seq, at)));
            }
            Entry::Noted { message } => self.messages.extend(shown(message, seq, at)),
            Entry::Replied { text, calls, .. } => {
                let mut content = Vec::new();
                if !text.is_empty() {
                    content.push(json!({ "type": "text", "text": text }));
                }
                content.extend(calls.iter().map(|(tool, arguments)| {
                    json!({ "type": "toolCall", "name": tool, "arguments": arguments })
                }));
                if !content.is_empty() {
                    self.messages.push(json!({
                        "role": "assistant", "content": content, "timestamp": at,
                        "__openclaw": { "seq": seq },
                    }));
                }
            }
            Entry::ToolFinished { call, failed, parts, .. } => self.messages.push(json!({
                "role": "toolResult", "toolCallId": call.to_string(), "isError": failed,
                "content": [{ "type": "text", "text": texts(parts) }], "timestamp": at,
                "__openclaw": { "seq": seq },
            })),
            _ => {}
        }
    }
}

fn shown(message: &Message, seq: Seq, at: Timestamp) -> Option<Value> {
    let (role, text, at) = match message {
        Message::User { parts, at, .. } => ("user", texts(parts), *at),
        Message::Assistant { text, .. } => ("assistant", text.clone(), at),
        Message::Note { parts } => ("system", texts(parts), at),
        Message::Tool { .. } => return None,
    };
    Some(json!({
        "role": role, "content": [{ "type": "text", "text": text }], "timestamp": at,
        "__openclaw": { "seq": seq },
    }))
}

fn texts(parts: &[Part]) -> String {
    let text = |part: &Part| match &part.content {
        Content::Text { text } => text.clone(),
        Content::Media(media) => format!("[{}]", media.mime),
        Content::Location { latitude, longitude, .. } => format!("[{latitude}, {longitude}]"),
        Content::Contact { name, .. } => format!("[{name}]"),
        Content::Mention { text, .. } => text.clone(),
        Content::Buttons { .. } => String::new(),
    };
    parts.iter().map(text).filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
}

/// A session as the list of them shows it.
fn row(key: &SessionKey, head: SessionHead, updated: Option<Timestamp>) -> Value {
    let place = key.conversation();
    json!({
        "key": keys::shown(key),
        "kind": match place.kind { ConversationKind::Direct => "direct", ConversationKind::Group => "group" },
        "agentId": key.agent(),
        "channel": place.account.channel(),
        "accountId": place.account,
        "updatedAt": updated,
        "status": if head.open { "running" } else { "done" },
        "displayName": place.peer,
        "isMain": place.account.as_str() == API_ACCOUNT && place.peer.as_str() == keys::MAIN,
    })
}

async fn updated(hub: &Hub, key: &SessionKey, head: SessionHead) -> Result<Option<Timestamp>> {
    let before = Seq(head.seq.0.saturating_sub(1));
    Ok(hub.store.read(key, before, 1).await?.first().map(|row| row.at))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    limit: Option<usize>,
    offset: Option<usize>,
    active_minutes: Option<i64>,
    agent_id: Option<String>,
    search: Option<String>,
    #[serde(flatten)]
    rest: Rest,
}

/// `sessions.list`, those that changed last first.
pub(super) fn list(request: Request<'_>) -> Result<Later, WireError> {
    let params: List = request.parse()?;
    params.rest.only(
        request.method,
        &[
            "sortBy",
            "includeGlobal",
            "includeUnknown",
            "configuredAgentsOnly",
            "ownerFirst",
            "includeDerivedTitles",
            "includeLastMessage",
            "requireLastInteraction",
            "includePeople",
            "archived",
        ],
    )?;
    let server = Arc::clone(request.server);
    Ok(Box::pin(async move {
        let hub = &server.handle.hub;
        let now = server.now();
        let mut found = Vec::new();
        let mut after: Option<SessionKey> = None;
        let mut more = true;
        while more && found.len() < MAX_LISTED {
            let page = hub.store.sessions(after.as_ref(), 256).await.map_err(WireError::from)?;
            more = page.len() == 256;
            after = page.last().map(|(key, _)| key.clone()).or(after);
            for (key, head) in page {
                let shown = keys::shown(&key);
                let wanted = params.agent_id.as_ref().is_none_or(|id| id == key.agent().as_str())
                    && params.search.as_ref().is_none_or(|word| shown.contains(word.as_str()));
                if wanted {
                    let at = updated(hub, &key, head).await.map_err(WireError::from)?;
                    found.push((at, key, head));
                }
            }
        }
        if let Some(minutes) = params.active_minutes {
            let since = now.as_millis().saturating_sub(minutes.saturating_mul(60_000));
            found.retain(|(at, ..)| at.is_some_and(|at| at.as_millis() >= since));
        }
        found.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        let total = found.len();
        let rows: Vec<Value> = found
            .iter()
            .skip(params.offset.unwrap_or(0))
            .take(params.limit.unwrap_or(MAX_LISTED))
            .map(|(at, key, head)| row(key, *head, *at))
            .collect();
        answer(&json!({
            "ts": now, "count": rows.len(), "totalCount": total, "hasMore": more,
            "defaults": {}, "sessions": rows,
        }))
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct One {
    key: String,
    agent_id: Option<String>,
    #[serde(flatten)]
    rest: Rest,
}

impl One {
    fn find(&self, request: &Request<'_>, ignored: &[&str]) -> Result<SessionKey, WireError> {
        self.rest.only(request.method, ignored)?;
        let plan = request.server.handle.hub.plan();
        keys::read(&plan, &self.key, self.agent_id.as_deref())
    }
}

/// `sessions.get` and `sessions.describe`: one session; `null` if nothing was ever said in it.
pub(super) fn describe(request: Request<'_>) -> Result<Later, WireError> {
    let params: One = request.parse()?;
    let ignored = ["includeDerivedTitles", "includeLastMessage", "limit"];
    let key = params.find(&request, &ignored)?;
    let server = Arc::clone(request.server);
    Ok(Box::pin(async move {
        let hub = &server.handle.hub;
        let head = hub.store.head(&key).await.map_err(WireError::from)?;
        if head.seq == Seq::ZERO {
            return answer(&json!({ "session": null }));
        }
        let folded = fold(hub, &key).await.map_err(WireError::from)?;
        let mut session = row(&key, head, folded.updated);
        if let Some(map) = session.as_object_mut() {
            map.extend(folded.session.id().map(|id| ("sessionId".to_owned(), json!(id))));
            let usage = folded.session.usage();
            map.insert("inputTokens".to_owned(), usage.input_tokens.into());
            map.insert("outputTokens".to_owned(), usage.output_tokens.into());
            map.insert("totalTokens".to_owned(), usage.total_tokens().into());
        }
        answer(&json!({ "session": session }))
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resolve {
    key: String,
    agent_id: Option<String>,
    #[serde(default)]
    allow_missing: bool,
    #[serde(flatten)]
    rest: Rest,
}

/// `sessions.resolve`: the canonical form of a key.
pub(super) fn resolve(request: Request<'_>) -> Result<Later, WireError> {
    let params: Resolve = request.parse()?;
    params.rest.only(request.method, &["includeGlobal", "includeUnknown"])?;
    let plan = request.server.handle.hub.plan();
    let key = keys::read(&plan, &params.key, params.agent_id.as_deref())?;
    let server = Arc::clone(request.server);
    Ok(Box::pin(async move {
        let head = server.handle.hub.store.head(&key).await.map_err(WireError::from)?;
        if head.seq == Seq::ZERO {
            if params.allow_missing {
                return answer(&json!({ "ok": false }));
            }
            return Err(WireError::invalid("there is no such session"));
        }
        answer(&json!({ "ok": true, "key": keys::shown(&key), "agentId": key.agent() }))
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Preview {
    keys: Vec<String>,
    limit: Option<usize>,
    max_chars: Option<usize>,
}

/// `sessions.preview`: the last words of several sessions.
pub(super) fn preview(request: Request<'_>) -> Result<Later, WireError> {
    let params: Preview = request.parse()?;
    if params.keys.len() > 64 {
        return Err(WireError::invalid("invalid sessions.preview params: at /keys: at most 64"));
    }
    let plan = request.server.handle.hub.plan();
    let read = |text: &String| Ok((text.clone(), keys::read(&plan, text, None)?));
    let wanted: Vec<(String, SessionKey)> =
        params.keys.iter().map(read).collect::<Result<_, WireError>>()?;
    let (limit, most) = (params.limit.unwrap_or(12).min(50), params.max_chars.unwrap_or(240));
    let server = Arc::clone(request.server);
    Ok(Box::pin(async move {
        let mut previews = Vec::with_capacity(wanted.len());
        for (text, key) in wanted {
            let folded = fold(&server.handle.hub, &key).await.map_err(WireError::from)?;
            let skip = folded.messages.len().saturating_sub(limit);
            let items: Vec<Value> =
                folded.messages.iter().skip(skip).map(|one| item(one, most)).collect();
            let status = match (&folded.updated, items.is_empty()) {
                (None, _) => "missing",
                (Some(_), true) => "empty",
                _ => "ok",
            };
            previews.push(json!({ "key": text, "status": status, "items": items }));
        }
        answer(&json!({ "ts": server.now(), "previews": previews }))
    }))
}

fn item(message: &Value, most: usize) -> Value {
    let text = message.pointer("/content/0/text").and_then(Value::as_str).unwrap_or_default();
    let text: String = text.chars().take(most).collect();
    json!({ "role": message.get("role"), "text": text })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct History {
    session_key: String,
    agent_id: Option<String>,
    limit: Option<usize>,
    offset: Option<usize>,
    max_chars: Option<usize>,
    #[serde(flatten)]
    rest: Rest,
}

/// `chat.history`: what was said, oldest first.
pub(super) fn history(request: Request<'_>) -> Result<Later, WireError> {
    let params: History = request.parse()?;
    params.rest.only(request.method, &["sessionId"])?;
    let limit = params.limit.unwrap_or(200);
    if !(1..=MAX_MESSAGES).contains(&limit) {
        let why = "invalid chat.history params: at /limit: must be 1 to 1000";
        return Err(WireError::invalid(why));
    }
    let plan = request.server.handle.hub.plan();
    let key = keys::read(&plan, &params.session_key, params.agent_id.as_deref())?;
    let server = Arc::clone(request.server);
    Ok(Box::pin(async move {
        let folded = fold(&server.handle.hub, &key).await.map_err(WireError::from)?;
        let all = folded.messages.len();
        let end = all.saturating_sub(params.offset.unwrap_or(0));
        let mut room = params.max_chars.unwrap_or(MAX_HISTORY_BYTES).min(MAX_HISTORY_BYTES);
        let mut messages: Vec<Value> = Vec::new();
        for message in folded.messages.into_iter().take(end).rev().take(limit) {
            let size = message.to_string().len();
            if size > room && !messages.is_empty() {
                break;
            }
            room = room.saturating_sub(size);
            messages.push(message);
        }
        messages.reverse();
        answer(&json!({
            "sessionKey": keys::shown(&key),
            "sessionId": folded.session.id(),
            "messages": messages,
            "hasMore": messages.len() < end,
        }))
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Metadata {
    agent_id: Option<String>,
    session_key: Option<String>,
}

/// `chat.metadata`: what a client shows around a conversation.
pub(super) fn metadata(request: Request<'_>) -> Answer {
    let params: Metadata = request.parse()?;
    let plan = request.server.handle.hub.plan();
    let text = params.session_key.as_deref().unwrap_or(keys::MAIN);
    let key = keys::read(&plan, text, params.agent_id.as_deref())?;
    let agent = plan.agents.get(key.agent()).map(|agent| agent.agent.model.clone());
    answer(&json!({ "agentId": key.agent(), "sessionKey": keys::shown(&key), "model": agent }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Create {
    key: Option<String>,
    agent_id: Option<String>,
    #[serde(flatten)]
    rest: Rest,
}

/// `sessions.create`: an address. A session exists from its first message on.
pub(super) fn create(request: Request<'_>) -> Answer {
    let params: Create = request.parse()?;
    params.rest.only(request.method, &["idempotencyKey", "emitCommandHooks"])?;
    let plan = request.server.handle.hub.plan();
    let agent = params.agent_id.as_deref();
    let key = match params.key {
        Some(key) => keys::read(&plan, &key, agent)?,
        None => {
            let agent =
                agent.map_or_else(|| Ok(plan.default_agent.clone()), |a| keys::known(&plan, a))?;
            keys::api(agent, &request.server.fresh().map_err(WireError::from)?)?
        }
    };
    answer(&json!({ "ok": true, "key": keys::shown(&key), "runStarted": false }))
}

/// `sessions.reset`: another history begins.
pub(super) fn reset(request: Request<'_>) -> Result<Later, WireError> {
    let params: One = request.parse()?;
    let key = params.find(&request, &["reason"])?;
    let server = Arc::clone(request.server);
    Ok(Box::pin(async move {
        server.handle.renew(&key).await.map_err(WireError::from)?;
        let folded = fold(&server.handle.hub, &key).await.map_err(WireError::from)?;
        answer(&json!({
            "ok": true, "key": keys::shown(&key), "entry": { "sessionId": folded.session.id() },
        }))
    }))
}

/// `sessions.delete`: what was said is erased, and another history begins.
pub(super) fn delete(request: Request<'_>) -> Result<Later, WireError> {
    let params: One = request.parse()?;
    let key = params.find(&request, &["deleteTranscript", "emitLifecycleHooks"])?;
    let server = Arc::clone(request.server);
    Ok(Box::pin(async move {
        let deleted = server.handle.erase(&key).await.map_err(WireError::from)?;
        answer(&json!({ "ok": true, "key": keys::shown(&key), "deleted": deleted }))
    }))
}
