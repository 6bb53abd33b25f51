//! What is done to messages on a channel.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Later, Request, Rest, answer, channels::account};
use crate::{
    gateway::accept_note,
    id::{Conversation, EventKey, MessageId, OutboundKey},
    message::{Action, Content},
    protocol::{MAX_IDEMPOTENCY_KEY_BYTES, WireError},
    server::keys,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageAction {
    channel: String,
    action: String,
    params: Map<String, Value>,
    account_id: Option<String>,
    idempotency_key: String,
    #[serde(flatten)]
    rest: Rest,
}

fn invalid(why: &str) -> WireError {
    WireError::invalid(format!("invalid message.action params: {why}"))
}

impl MessageAction {
    fn text(&self, names: &[&str]) -> Option<&str> {
        let found = names.iter().find_map(|name| self.params.get(*name)?.as_str());
        found.filter(|text| !text.trim().is_empty())
    }

    fn needed(&self, names: &[&str], what: &str) -> Result<&str, WireError> {
        self.text(names).ok_or_else(|| invalid(&format!("at /params: {what} is missing")))
    }

    /// What is to be done, in the normal form.
    fn action(&self, key: &OutboundKey) -> Result<Action, WireError> {
        let message = || -> Result<MessageId, WireError> {
            Ok(MessageId::new(self.needed(&["messageId"], "messageId")?))
        };
        let said = || -> Result<Vec<Content>, WireError> {
            Ok(vec![Content::text(self.needed(&["message", "content", "text"], "message")?)])
        };
        Ok(match self.action.as_str() {
            "send" => {
                let reply_to = self.text(&["replyTo", "replyToId"]).map(MessageId::new);
                Action::Send { key: key.clone(), content: said()?, reply_to }
            }
            "edit" => Action::Edit { message: message()?, content: said()? },
            "delete" | "unsend" => Action::Delete { message: message()? },
            "react" => {
                let removes = self.params.get("remove") == Some(&Value::Bool(true));
                let emoji = if removes { "" } else { self.needed(&["emoji"], "emoji")? };
                Action::React { message: message()?, emoji: emoji.to_owned() }
            }
            other => return Err(invalid(&format!("at /action: {other:?} is not supported here"))),
        })
    }
}

/// `message.action`: sends, edits, deletes or reacts. It is durable when this is answered; the same key does
/// it once.
pub(super) fn act(request: Request<'_>) -> Result<Later, WireError> {
    let params: MessageAction = request.parse()?;
    params
        .rest
        .only(request.method, &["agentId", "sessionKey", "sessionId", "conversationReadOrigin"])?;
    let name = &params.idempotency_key;
    if name.is_empty() || name.len() > MAX_IDEMPOTENCY_KEY_BYTES {
        return Err(invalid("at /idempotencyKey: is empty or too long"));
    }
    let account = account(request.server, Some(&params.channel), params.account_id.as_deref())?;
    let to = params.needed(&["to", "target", "channelId", "chatId"], "to")?;
    let mut place = match to.strip_prefix("group:") {
        Some(group) => Conversation::group(account.clone(), group),
        None => Conversation::direct(account.clone(), to),
    };
    if let Some(thread) = params.text(&["threadId"]) {
        place = place.in_thread(thread);
    }
    let key = OutboundKey::digest(&format!("client\0{account}\0{name}"));
    let action = params.action(&key)?;
    let server = Arc::clone(request.server);
    Ok(Box::pin(async move {
        let hub = &server.handle.hub;
        let mut row = hub.outbound(&place, key, None, Content::text(""));
        row.action = action;
        hub.write(Vec::new(), vec![row]).await.map_err(WireError::from)?;
        answer(&json!({
            "ok": true, "action": params.action, "channel": account.channel(),
            "accountId": account.name(), "runId": params.idempotency_key, "status": "queued",
        }))
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Inject {
    session_key: String,
    agent_id: Option<String>,
    message: String,
    label: Option<String>,
}

/// `chat.inject`: a note that the agent reads in the session's next turn. It is durable when this is
/// answered.
pub(super) fn inject(request: Request<'_>) -> Result<Later, WireError> {
    let params: Inject = request.parse()?;
    let label = params.label.unwrap_or_default();
    if params.message.trim().is_empty() || label.chars().count() > 100 {
        let why =
            "invalid chat.inject params: message is empty, or label has more than 100 characters";
        return Err(WireError::invalid(why));
    }
    let plan = request.server.handle.hub.plan();
    let session = keys::read(&plan, &params.session_key, params.agent_id.as_deref())?;
    let text = match label.trim() {
        "" => params.message,
        label => format!("[{label}]\n{}", params.message),
    };
    let id = request.server.fresh().map_err(WireError::from)?;
    let server = Arc::clone(request.server);
    Ok(Box::pin(async move {
        let key = EventKey::event(&id);
        let noted = accept_note(&server.handle.hub, session, key, text).await;
        noted.map_err(WireError::from)?;
        answer(&json!({ "ok": true, "messageId": id }))
    }))
}
