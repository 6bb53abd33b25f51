//! What people call their conversations.

use std::{collections::HashMap, sync::Arc};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Later, Request, Rest, answer};
use crate::{
    error::Result,
    gateway::Hub,
    id::SessionKey,
    protocol::WireError,
    server::keys,
    store::{RecordKey, RecordWrite},
};

/// The space of the records that hold them.
const SPACE: &str = "session-label";
/// The longest, in characters.
const MAX_CHARS: usize = 512;

fn record(key: &SessionKey) -> RecordKey {
    RecordKey::new(SPACE, key.as_str())
}

/// What a session is called, if it has been.
pub(super) async fn of(hub: &Hub, key: &SessionKey) -> Result<Option<String>> {
    Ok(hub.store.record(&record(key)).await?.map(|record| record.value))
}

/// What all sessions are called, by their keys.
pub(super) async fn all(hub: &Hub) -> Result<HashMap<String, String>> {
    let (mut found, mut after) = (HashMap::new(), None::<String>);
    loop {
        let page = hub.store.records(SPACE, "", after.as_deref(), 512).await?;
        let Some(last) = page.last() else { return Ok(found) };
        after = Some(last.key.name.clone());
        found.extend(page.into_iter().map(|record| (record.key.name, record.value)));
    }
}

/// Calls a session so, or by nothing.
pub(super) async fn set(hub: &Hub, key: &SessionKey, label: Option<String>) -> Result<()> {
    hub.write(vec![RecordWrite { key: record(key), expect: None, value: label }], Vec::new()).await
}

/// Adds a label to what clients are shown of a session.
pub(super) fn show(session: &mut Value, label: Option<String>) {
    if let Some(map) = session.as_object_mut() {
        map.extend(label.map(|label| ("label".to_owned(), label.into())));
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Patch {
    key: String,
    agent_id: Option<String>,
    /// Not the same: nothing said, and nothing wanted.
    #[serde(default, deserialize_with = "said")]
    label: Option<Option<String>>,
    #[serde(flatten)]
    rest: Rest,
}

fn said<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

/// `sessions.patch`: calls a session by another name. How an agent thinks and what it may do is said where
/// the gateway is set up.
pub(super) fn patch(request: Request<'_>) -> std::result::Result<Later, WireError> {
    let params: Patch = request.parse()?;
    params.rest.only(request.method, &[])?;
    let plan = request.server.handle.hub.plan();
    let key = keys::read(&plan, &params.key, params.agent_id.as_deref())?;
    let label = params.label;
    let fits = |label: &str| !label.trim().is_empty() && label.chars().count() <= MAX_CHARS;
    if !label.iter().flatten().all(|label| fits(label)) {
        let why = "invalid sessions.patch params: at /label: must have 1 to 512 characters";
        return Err(WireError::invalid(why));
    }
    let server = Arc::clone(request.server);
    Ok(Box::pin(async move {
        let hub = &server.handle.hub;
        if let Some(label) = label {
            set(hub, &key, label).await.map_err(WireError::from)?;
        }
        let label = of(hub, &key).await.map_err(WireError::from)?;
        let shown = keys::shown(&key);
        answer(&json!({ "ok": true, "path": "", "key": shown, "entry": { "label": label } }))
    }))
}
