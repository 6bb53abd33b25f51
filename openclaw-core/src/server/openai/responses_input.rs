//! What a request to `/v1/responses` says.

use serde::Deserialize;
use serde_json::Value;

use super::{
    Refused, Said,
    input::{Body, Reader, text_of},
    invalid,
};
use crate::provider::ToolCall;

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Input {
    Text(String),
    Items(Vec<Item>),
}

/// An item of a conversation. Those that only the service itself could have made are passed over.
#[derive(Deserialize)]
pub(super) struct Item {
    #[serde(rename = "type")]
    kind: Option<String>,
    role: Option<String>,
    content: Option<Value>,
    call_id: Option<String>,
    name: Option<String>,
    arguments: Option<String>,
    output: Option<Body>,
}

/// Reads the input, after the instructions.
pub(super) async fn read(
    reader: &mut Reader<'_>,
    instructions: Option<String>,
    input: Input,
) -> Result<Vec<Said>, Refused> {
    let mut said: Vec<Said> = instructions.into_iter().map(Said::System).collect();
    let items = match input {
        Input::Text(text) => {
            let content = reader.content(Some(Body::Text(text)), "input").await?;
            said.push(Said::User(content));
            return Ok(said);
        }
        Input::Items(items) => items,
    };
    for (index, item) in items.into_iter().enumerate() {
        let param = format!("input[{index}]");
        match item.kind.as_deref().unwrap_or("message") {
            "message" => said.push(message(reader, item, &param).await?),
            "function_call" => {
                let (Some(id), Some(name), Some(arguments)) =
                    (item.call_id, item.name, item.arguments)
                else {
                    let why = "a function_call has call_id, name and arguments";
                    return Err(invalid(&param, why));
                };
                let call = ToolCall { id, name, arguments };
                // The calls of one reply are of one message.
                match said.last_mut() {
                    Some(Said::Assistant { calls, .. }) => calls.push(call),
                    _ => said.push(Said::Assistant { text: String::new(), calls: vec![call] }),
                }
            }
            "function_call_output" => {
                let why = "a function_call_output has call_id and output";
                let call = item.call_id.ok_or_else(|| invalid(&param, why))?;
                said.push(Said::Tool { call, content: reader.content(item.output, &param).await? });
            }
            "reasoning" => {}
            kind => {
                return Err(invalid(
                    &param,
                    &format!("items of the type {kind:?} are not taken here"),
                ));
            }
        }
    }
    Ok(said)
}

async fn message(reader: &mut Reader<'_>, item: Item, param: &str) -> Result<Said, Refused> {
    let body = match item.content {
        None => None,
        Some(content) => {
            let body = serde_json::from_value(content);
            Some(body.map_err(|_| invalid(param, "content is a text or a list of parts"))?)
        }
    };
    Ok(match item.role.as_deref() {
        Some("system" | "developer") => Said::System(text_of(body, param)?),
        Some("user") => {
            let content = reader.content(body, param).await?;
            if content.is_empty() {
                return Err(invalid(param, "a user's message is empty"));
            }
            Said::User(content)
        }
        Some("assistant") => Said::Assistant { text: text_of(body, param)?, calls: Vec::new() },
        _ => return Err(invalid(param, "role must be system, developer, user or assistant")),
    })
}
