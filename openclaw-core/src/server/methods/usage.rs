//! What conversations used.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Later, Request, Rest, answer, sessions::fold};
use crate::{id::SessionKey, protocol::WireError, provider::Usage, server::keys};

/// How many sessions are looked through.
const MAX_SESSIONS: usize = 1_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SessionsUsage {
    key: Option<String>,
    agent_id: Option<String>,
    limit: Option<usize>,
    #[serde(flatten)]
    rest: Rest,
}

/// `sessions.usage`: what each session's present history used, those with the most tokens first.
pub(super) fn sessions(request: Request<'_>) -> Result<Later, WireError> {
    let params: SessionsUsage = request.parse()?;
    params
        .rest
        .only(request.method, &["agentScope", "mode", "groupBy", "timeZone", "utcOffset"])?;
    let plan = request.server.handle.hub.plan();
    let agent = params.agent_id.as_deref();
    let one = params.key.map(|key| keys::read(&plan, &key, agent)).transpose()?;
    let agent = params.agent_id.map(|agent| keys::known(&plan, &agent)).transpose()?;
    let limit = params.limit.unwrap_or(MAX_SESSIONS);
    let server = Arc::clone(request.server);
    Ok(Box::pin(async move {
        let mut wanted: Vec<SessionKey> = Vec::new();
        match one {
            Some(key) => wanted.push(key),
            None => {
                let mut after: Option<SessionKey> = None;
                while wanted.len() < MAX_SESSIONS {
                    let store = &server.handle.hub.store;
                    let page =
                        store.sessions(after.as_ref(), 256).await.map_err(WireError::from)?;
                    let Some((last, _)) = page.last() else { break };
                    after = Some(last.clone());
                    let keys = page.into_iter().map(|(key, _)| key);
                    wanted
                        .extend(keys.filter(|key| agent.as_ref().is_none_or(|a| a == key.agent())));
                }
            }
        }
        let mut total = Usage::default();
        let mut rows = Vec::with_capacity(wanted.len());
        for key in wanted {
            let folded = fold(&server.handle.hub, &key).await.map_err(WireError::from)?;
            let usage = folded.session.usage();
            total.add(usage);
            let row = json!({
                "key": keys::shown(&key), "agentId": key.agent(), "updatedAt": folded.updated,
                "usage": shown(usage),
            });
            rows.push((usage.total_tokens(), row));
        }
        rows.sort_by_key(|(tokens, _)| std::cmp::Reverse(*tokens));
        let rows: Vec<Value> = rows.into_iter().map(|(_, row)| row).take(limit).collect();
        answer(&json!({ "updatedAt": server.now(), "sessions": rows, "totals": shown(&total) }))
    }))
}

#[expect(clippy::cast_precision_loss, reason = "nobody spends 2^52 millionths of a dollar")]
fn shown(usage: &Usage) -> Value {
    json!({
        "input": usage.input_tokens,
        "output": usage.output_tokens,
        "cacheRead": usage.cached_input_tokens,
        "cacheWrite": usage.cache_write_input_tokens,
        "totalTokens": usage.total_tokens(),
        "totalCost": usage.cost_micro_usd.map(|micro| micro as f64 / 1e6),
    })
}
