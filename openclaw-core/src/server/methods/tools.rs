//! Calling a tool by its name.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Later, Request, answer};
use crate::{
    error::ErrorKind,
    protocol::WireError,
    server::invoke::{Invocation, shown},
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Invoke {
    name: String,
    #[serde(default)]
    args: Map<String, Value>,
    session_key: Option<String>,
    agent_id: Option<String>,
    idempotency_key: Option<String>,
    confirm: Option<bool>,
    conversation_read_origin: Option<String>,
}

/// `tools.invoke`. What the tool, or the policy, refuses is an answer, not an error.
pub(super) fn invoke(request: Request<'_>) -> Result<Later, WireError> {
    let params: Invoke = request.parse()?;
    if params.name.is_empty() {
        return Err(WireError::invalid("invalid tools.invoke params: at /name: is empty"));
    }
    // A word of the client gives no leave.
    let _ = (params.confirm, params.conversation_read_origin);
    let tool = params.name.clone();
    let invocation = Invocation {
        tool: params.name,
        arguments: params.args,
        session: params.session_key,
        agent: params.agent_id,
        key: params.idempotency_key,
    };
    let place = invocation.place(request.server)?;
    let server = Arc::clone(request.server);
    Ok(Box::pin(async move {
        match invocation.run(&server, place).await {
            Ok(output) => {
                let output = shown(&server, output).await;
                answer(&json!({ "ok": true, "toolName": tool, "output": output, "source": "core" }))
            }
            Err(error) => {
                let code = match error.kind() {
                    ErrorKind::NotFound => "not_found",
                    ErrorKind::Denied => "forbidden",
                    ErrorKind::InvalidInput => "validation_error",
                    ErrorKind::Timeout => "timeout",
                    _ => "internal_error",
                };
                let told = json!({ "code": code, "message": error.public_text() });
                answer(&json!({ "ok": false, "toolName": tool, "error": told }))
            }
        }
    }))
}
