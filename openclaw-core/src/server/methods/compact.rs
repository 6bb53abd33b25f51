//! Making a session shorter for the model that reads it.

use std::sync::Arc;

use serde_json::json;

use super::{Later, Request, answer, sessions::One};
use crate::{
    error::Result,
    gateway::Hub,
    id::{Seq, SessionKey},
    protocol::WireError,
    server::keys,
    turn::{Entry, decode},
};

/// `sessions.compact`: what was said but for the last of it becomes a summary. The log keeps what was said.
pub(super) fn compact(request: Request<'_>) -> std::result::Result<Later, WireError> {
    let params: One = request.parse()?;
    let key = params.find(&request, &[])?;
    let server = Arc::clone(request.server);
    Ok(Box::pin(async move {
        let hub = &server.handle.hub;
        let before = hub.store.head(&key).await.map_err(WireError::from)?.seq;
        if before == Seq::ZERO {
            let why = "nothing was said there";
            let shown = keys::shown(&key);
            return answer(&json!({ "ok": true, "key": shown, "compacted": false, "reason": why }));
        }
        let said = server.handle.compact(&key).await.map_err(WireError::from)?;
        let compacted = was_compacted(hub, &key, before).await.map_err(WireError::from)?;
        let mut told = json!({ "ok": true, "key": keys::shown(&key), "compacted": compacted });
        if let (false, Some(told)) = (compacted, told.as_object_mut()) {
            told.insert("reason".to_owned(), said.into());
        }
        answer(&told)
    }))
}

/// Whether the log says so after `before`.
async fn was_compacted(hub: &Hub, key: &SessionKey, before: Seq) -> Result<bool> {
    for row in hub.store.read(key, before, usize::MAX).await? {
        if matches!(decode(&row)?, Some(Entry::Compacted { .. })) {
            return Ok(true);
        }
    }
    Ok(false)
}
