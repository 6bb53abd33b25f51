//! What was said in a session.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Later, Request, Rest, agents, answer};
use crate::{
    error::Result,
    gateway::{Hub, Plan},
    id::{Seq, SessionKey},
    message::{Content, Message, Part},
    protocol::WireError,
    server::keys,
    time::Timestamp,
    turn::{Entry, Session, decode},
};

/// How many messages of a history are shown at most.
const MAX_MESSAGES: usize = 1_000;
/// How much of a history is shown at most, in bytes of text.
const MAX_HISTORY_BYTES: usize = 6 * 1024 * 1024;

/// A session's present history, folded from its log.
pub(super) struct Folded {
    pub(super) session: Session,
    /// When its last entry was made.
    pub(super) updated: Option<Timestamp>,
    pub(super) messages: Vec<Value>,
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
    read(request, |_, _| Value::Null)
}

/// `chat.startup`: the same, with all that a client shows around it.
pub(super) fn startup(request: Request<'_>) -> Result<Later, WireError> {
    read(
        request,
        |plan, key| json!({ "agentsList": agents::all(plan), "metadata": around(plan, key) }),
    )
}

fn read(request: Request<'_>, more: fn(&Plan, &SessionKey) -> Value) -> Result<Later, WireError> {
    let params: History = request.parse()?;
    params.rest.only(request.method, &["sessionId"])?;
    let limit = params.limit.unwrap_or(200);
    if !(1..=MAX_MESSAGES).contains(&limit) {
        let why = format!("invalid {} params: at /limit: must be 1 to 1000", request.method);
        return Err(WireError::invalid(why));
    }
    let plan = request.server.handle.hub.plan();
    let key = keys::read(&plan, &params.session_key, params.agent_id.as_deref())?;
    let more = more(&plan, &key);
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
        let mut told = json!({
            "sessionKey": keys::shown(&key),
            "sessionId": folded.session.id(),
            "hasMore": messages.len() < end,
            "messages": messages,
        });
        if let (Some(told), Value::Object(more)) = (told.as_object_mut(), more) {
            told.extend(more);
        }
        answer(&told)
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
    answer(&around(&plan, &key))
}

fn around(plan: &Plan, key: &SessionKey) -> Value {
    let model = plan.agents.get(key.agent()).map(|agent| agent.agent.model.clone());
    json!({ "agentId": key.agent(), "sessionKey": keys::shown(key), "model": model })
}
