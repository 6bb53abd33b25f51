//! The sessions that there are.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Later, Request, Rest, answer, history::fold, labels};
use crate::{
    error::Result,
    gateway::{API_ACCOUNT, Hub},
    id::{ConversationKind, Seq, SessionKey},
    protocol::WireError,
    server::keys,
    store::SessionHead,
    time::Timestamp,
};

/// How many sessions are looked through for a list.
const MAX_LISTED: usize = 1_000;
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
        let mut names = labels::all(hub).await.map_err(WireError::from)?;
        let rows: Vec<Value> = found
            .iter()
            .skip(params.offset.unwrap_or(0))
            .take(params.limit.unwrap_or(MAX_LISTED))
            .map(|(at, key, head)| {
                let mut row = row(key, *head, *at);
                labels::show(&mut row, names.remove(key.as_str()));
                row
            })
            .collect();
        answer(&json!({
            "ts": now, "count": rows.len(), "totalCount": total, "hasMore": more,
            "defaults": {}, "sessions": rows,
        }))
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct One {
    key: String,
    agent_id: Option<String>,
    #[serde(flatten)]
    rest: Rest,
}

impl One {
    pub(super) fn find(
        &self,
        request: &Request<'_>,
        ignored: &[&str],
    ) -> Result<SessionKey, WireError> {
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
        labels::show(&mut session, labels::of(hub, &key).await.map_err(WireError::from)?);
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
        labels::set(&server.handle.hub, &key, None).await.map_err(WireError::from)?;
        answer(&json!({ "ok": true, "key": keys::shown(&key), "deleted": deleted }))
    }))
}
