//! Sessions' addresses, as clients write them.
//!
//! Clients know `agent:<agent>:<rest>`, `main`, and texts of their own. What they name so is a private
//! conversation on the application's own account; the sessions of channels have their canonical form.

use crate::{
    gateway::{API_ACCOUNT, Plan},
    id::{AgentId, Conversation, ConversationKind, SessionKey},
    protocol::WireError,
};
use serde_json::json;

/// The name of the conversation that clients begin with.
pub(super) const MAIN: &str = "main";
/// The longest key, in bytes.
const MAX_BYTES: usize = 512;

/// Reads a key. `agent` is what else the request says of who is to answer.
pub(super) fn read(plan: &Plan, text: &str, agent: Option<&str>) -> Result<SessionKey, WireError> {
    let invalid = |why: String| Err(WireError::invalid(why));
    if text.trim().is_empty() || text.len() > MAX_BYTES {
        return invalid(format!("a session key has 1 to {MAX_BYTES} bytes"));
    }
    let key = match text.parse::<SessionKey>() {
        Ok(key) => key,
        Err(_) => match text.strip_prefix("agent:").and_then(|rest| rest.split_once(':')) {
            Some((agent, peer)) if !peer.is_empty() => api(AgentId::from(agent), peer)?,
            Some(_) => return invalid("a session key is agent:<agent>:<name>".to_owned()),
            None => {
                let agent = agent.map_or_else(|| plan.default_agent.clone(), AgentId::from);
                api(agent, text)?
            }
        },
    };
    if agent.is_some_and(|agent| agent != key.agent().as_str()) {
        return invalid("the session belongs to another agent than agentId names".to_owned());
    }
    known(plan, key.agent().as_str())?;
    Ok(key)
}

/// Refuses agents that there are not.
pub(super) fn known(plan: &Plan, agent: &str) -> Result<AgentId, WireError> {
    let id = AgentId::from(agent);
    if plan.agents.contains_key(&id) {
        return Ok(id);
    }
    let details = json!({ "code": "UNKNOWN_AGENT_ID", "agentId": agent });
    Err(WireError::invalid(format!("unknown agent id \"{agent}\"")).with_details(details))
}

/// The session of `agent` that clients call `name`.
pub(super) fn api(agent: AgentId, name: &str) -> Result<SessionKey, WireError> {
    let account = API_ACCOUNT.parse().map_err(WireError::from)?;
    Ok(SessionKey::new(agent, Conversation::direct(account, name)))
}

/// The key as clients write it; [`read`] takes it back.
pub(super) fn shown(key: &SessionKey) -> String {
    let place = key.conversation();
    let plain = place.account.as_str() == API_ACCOUNT
        && place.kind == ConversationKind::Direct
        && place.thread.is_none()
        && !key.agent().as_str().contains([':', '%', ' ']);
    let short = format!("agent:{}:{}", key.agent(), place.peer);
    if plain && short.parse::<SessionKey>().is_err() && !place.peer.as_str().is_empty() {
        short
    } else {
        key.to_string()
    }
}
