//! Calling a tool by its name, by HTTP or by the protocol.

use std::sync::Arc;

use axum::{extract::Request, response::Response};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::{body, caller::Caller, keys, state::Server};
use crate::{
    error::{Error, Result},
    gateway,
    id::{SessionKey, hex},
    message::{Content, MediaSource},
    protocol::{MAX_IDEMPOTENCY_KEY_BYTES, WireError},
    tool::ToolOutput,
};

/// The largest request, in bytes.
const MAX_BYTES: usize = 2 << 20;

/// A tool, and what it is called with.
pub(super) struct Invocation {
    pub(super) tool: String,
    pub(super) arguments: Map<String, Value>,
    pub(super) session: Option<String>,
    pub(super) agent: Option<String>,
    pub(super) key: Option<String>,
}

impl Invocation {
    /// The session that it is in, and what tells it from others.
    pub(super) fn place(
        &self,
        server: &Server,
    ) -> std::result::Result<(SessionKey, u64), WireError> {
        let plan = server.handle.hub.plan();
        let key = match &self.key {
            Some(key) if key.len() > MAX_IDEMPOTENCY_KEY_BYTES => {
                return Err(WireError::invalid("the idempotency key is too long"));
            }
            Some(key) => key.clone(),
            None => server.fresh().map_err(WireError::from)?,
        };
        let digest = Sha256::digest(format!("invoke\0{key}"));
        let number = digest.iter().take(8).fold(0, |all, byte| all << 8 | u64::from(*byte));
        let session = match &self.session {
            Some(text) => keys::read(&plan, text, self.agent.as_deref())?,
            None => {
                let agent = self.agent.as_deref();
                let agent = agent
                    .map_or_else(|| Ok(plan.default_agent.clone()), |a| keys::known(&plan, a))?;
                keys::api(agent, &format!("tools:{}", hex(&digest, 16)))?
            }
        };
        Ok((session, number))
    }

    pub(super) async fn run(
        self,
        server: &Arc<Server>,
        (session, number): (SessionKey, u64),
    ) -> Result<ToolOutput> {
        let hub = &server.handle.hub;
        if hub.draining.is_cancelled() {
            let kind = crate::error::ErrorKind::Unavailable;
            return Err(Error::new(kind, "the gateway is shutting down and accepts nothing"));
        }
        gateway::invoke(hub, session, &self.tool, Value::Object(self.arguments), number).await
    }
}

/// What a tool gave back, as clients are shown it.
pub(super) async fn shown(server: &Server, output: ToolOutput) -> Value {
    let blobs = server.handle.hub.blobs.as_deref();
    let ToolOutput { content, shown, question, .. } = output;
    let mut all = Vec::new();
    for one in content.into_iter().chain(shown).chain(question.into_iter().flatten()) {
        all.push(match one {
            Content::Text { text } => json!({ "type": "text", "text": text }),
            Content::Media(media) => match &media.source {
                MediaSource::Inline { base64 } => {
                    json!({ "type": "media", "mimeType": media.mime, "data": base64 })
                }
                source => match source.read(blobs).await {
                    Ok(bytes) => json!({
                        "type": "media", "mimeType": media.mime, "data": STANDARD.encode(bytes),
                    }),
                    Err(_) => json!({ "type": "text", "text": "(a file that is not to be had)" }),
                },
            },
            other => serde_json::to_value(other).unwrap_or_default(),
        });
    }
    json!({ "content": all })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InvokeIn {
    #[serde(alias = "name")]
    tool: String,
    #[serde(default)]
    args: Map<String, Value>,
    session_key: Option<String>,
    agent_id: Option<String>,
    idempotency_key: Option<String>,
}

/// `POST /tools/invoke`.
pub(super) async fn invoke(server: Arc<Server>, _: Caller, request: Request) -> Response {
    let header = request.headers().get("idempotency-key");
    let header = header.and_then(|key| key.to_str().ok()).map(str::to_owned);
    let asked: InvokeIn = match body::parse(request, MAX_BYTES, server.config.limits.body).await {
        Ok(asked) => asked,
        Err(refusal) => return *refusal,
    };
    let invocation = Invocation {
        tool: asked.tool,
        arguments: asked.args,
        session: asked.session_key,
        agent: asked.agent_id,
        key: header.or(asked.idempotency_key),
    };
    let place = match invocation.place(&server) {
        Ok(place) => place,
        Err(error) => return body::refuse(StatusCode::BAD_REQUEST, &error.message),
    };
    match invocation.run(&server, place).await {
        Ok(output) => {
            let result = shown(&server, output).await;
            body::json(StatusCode::OK, &json!({ "ok": true, "result": result }))
        }
        Err(error) => {
            tracing::debug!(error = ?error, "a client's call failed");
            body::refuse(body::status_of(error.kind()), error.public_text())
        }
    }
}
