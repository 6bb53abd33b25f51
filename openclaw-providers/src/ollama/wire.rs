//! Requests as they are on the wire.

use std::collections::BTreeMap;

use openclaw_core::{
    ProviderId, Result,
    message::Content,
    provider::{ChatMessage, CompletionRequest, ResponseFormat, ToolCall, ToolChoice},
    serde_json::{Map, Value, json},
};

use super::Think;
use crate::service::{arguments, as_text, exact, inline_picture, unsupported};

/// What the provider adds to each request.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    pub(super) think: Option<Think>,
    pub(super) options: Map<String, Value>,
    pub(super) keep_alive: Option<String>,
}

/// The body of a request for a streamed chat.
pub(super) fn body(
    request: &CompletionRequest,
    model: &str,
    provider: &ProviderId,
    settings: &Settings,
) -> Result<Value> {
    let mut body = Map::new();
    body.insert("model".into(), model.into());
    body.insert("messages".into(), messages(request, model, provider)?.into());
    body.insert("stream".into(), true.into());
    let tools: Vec<Value> = request
        .tools
        .iter()
        .filter(|tool| match &request.tool_choice {
            ToolChoice::None => false,
            ToolChoice::Tool(name) => tool.name == *name,
            _ => true,
        })
        .map(|tool| {
            json!({"type": "function", "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.input_schema,
            }})
        })
        .collect();
    if !tools.is_empty() {
        body.insert("tools".into(), tools.into());
    }
    match &request.response_format {
        None => {}
        Some(ResponseFormat::JsonSchema { schema, .. }) => {
            body.insert("format".into(), schema.clone());
        }
        Some(_) => return Err(unsupported("this response format")),
    }
    let mut options = settings.options.clone();
    if let Some(limit) = request.max_output_tokens {
        options.insert("num_predict".into(), limit.into());
    }
    if let Some(temperature) = request.temperature {
        options.insert("temperature".into(), exact(temperature).into());
    }
    if !options.is_empty() {
        body.insert("options".into(), options.into());
    }
    if let Some(think) = &settings.think {
        body.insert("think".into(), json!(think));
    }
    body.extend(settings.keep_alive().map(|time| ("keep_alive".to_owned(), time)));
    Ok(body.into())
}

impl Settings {
    /// A number of seconds as a number: Ollama takes no text without a unit.
    pub(super) fn keep_alive(&self) -> Option<Value> {
        let text = self.keep_alive.as_deref()?;
        Some(text.parse::<i64>().map_or_else(|_| text.into(), Value::from))
    }
}

fn messages(request: &CompletionRequest, model: &str, provider: &ProviderId) -> Result<Vec<Value>> {
    let mut out = Vec::with_capacity(request.messages.len() + 1);
    if !request.system.is_empty() {
        out.push(json!({"role": "system", "content": request.system}));
    }
    // Results are told apart by their tools' names.
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    // Models see pictures in what the user says, and not in a tool's results.
    let mut shown: Vec<(String, Value)> = Vec::new();
    for message in &request.messages {
        if !matches!(message, ChatMessage::Tool { .. }) {
            show(&mut shown, &mut out);
        }
        match message {
            ChatMessage::User { content } => {
                let (text, pictures) = parts(content)?;
                out.push(with_pictures(json!({"role": "user", "content": text}), pictures));
            }
            ChatMessage::Assistant { text, calls, state } => {
                names.extend(calls.iter().map(|call| (call.id.as_str(), call.name.as_str())));
                let mut said = json!({"role": "assistant", "content": text});
                if let Some(said) = said.as_object_mut().filter(|_| !calls.is_empty()) {
                    said.insert("tool_calls".into(), calls.iter().map(called).collect());
                    let thoughts = state.as_ref().and_then(|state| state.data_for(provider, model));
                    said.extend(thoughts.map(|text| ("thinking".to_owned(), text.clone())));
                }
                out.push(said);
            }
            ChatMessage::Tool { call, failed, content } => {
                let (mut text, pictures) = parts(content)?;
                if *failed {
                    text.insert_str(0, "Error: ");
                }
                if !pictures.is_empty() {
                    text.push_str("\n(pictures, see the next user message)");
                    let name = names.get(call.as_str()).copied().unwrap_or("a tool");
                    shown.push((format!("Pictures from {name}:"), pictures.into()));
                }
                out.push(json!({
                    "role": "tool",
                    "tool_call_id": call,
                    "tool_name": names.get(call.as_str()).copied().unwrap_or_default(),
                    "content": text.trim_start(),
                }));
            }
            _ => return Err(unsupported("this kind of message")),
        }
    }
    show(&mut shown, &mut out);
    Ok(out)
}

fn show(shown: &mut Vec<(String, Value)>, out: &mut Vec<Value>) {
    for (text, pictures) in std::mem::take(shown) {
        out.push(json!({"role": "user", "content": text, "images": pictures}));
    }
}

/// The text, and the pictures' base64.
fn parts(content: &[Content]) -> Result<(String, Vec<Value>)> {
    let (mut texts, mut pictures) = (Vec::new(), Vec::new());
    for part in content {
        match part {
            Content::Media(media) => pictures.push(inline_picture(media)?.into()),
            other => texts.push(as_text(other)?),
        }
    }
    Ok((texts.join("\n"), pictures))
}

fn with_pictures(mut message: Value, pictures: Vec<Value>) -> Value {
    if let Some(message) = message.as_object_mut().filter(|_| !pictures.is_empty()) {
        message.insert("images".into(), pictures.into());
    }
    message
}

fn called(call: &ToolCall) -> Value {
    let function = json!({"name": call.name, "arguments": arguments(call)});
    json!({"id": call.id, "type": "function", "function": function})
}
