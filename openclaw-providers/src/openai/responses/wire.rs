//! Requests as they are on the wire.

use std::borrow::Cow;

use openclaw_core::{
    ProviderId, Result,
    message::Content,
    provider::{
        ChatMessage, CompletionRequest, ProviderState, ResponseFormat, ToolCall, ToolChoice,
    },
    serde_json::{Map, Value, json},
};

use crate::{
    openai::{arguments_text, strict::is_strict},
    service::{At as _, as_text, exact, inline_picture, unsupported},
};

/// The body of a request for a streamed response. Nothing is stored at the service, so the reasoning
/// comes encrypted.
pub(in crate::openai) fn body(
    request: &CompletionRequest,
    model: Option<&str>,
    provider: &ProviderId,
) -> Result<Map<String, Value>> {
    let mut body = Map::new();
    if let Some(model) = model {
        body.insert("model".into(), model.into());
    }
    let input = input(request, model.unwrap_or_default(), provider)?;
    body.insert("input".into(), input.into());
    body.insert("stream".into(), true.into());
    body.insert("store".into(), false.into());
    body.insert("include".into(), json!(["reasoning.encrypted_content"]));
    if !request.system.is_empty() {
        body.insert("instructions".into(), request.system.as_str().into());
    }
    if !request.tools.is_empty() {
        let tools = request.tools.iter().map(|tool| {
            json!({
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.input_schema,
                "strict": false,
            })
        });
        body.insert("tools".into(), tools.collect());
        body.insert("tool_choice".into(), tool_choice(&request.tool_choice)?);
    }
    match &request.response_format {
        None => {}
        Some(ResponseFormat::JsonSchema { name, schema }) => {
            let format = json!({"type": "json_schema", "name": name, "schema": schema,
                "strict": is_strict(schema)});
            body.insert("text".into(), json!({ "format": format }));
        }
        Some(_) => return Err(unsupported("this response format")),
    }
    if let Some(limit) = request.max_output_tokens {
        body.insert("max_output_tokens".into(), limit.into());
    }
    if let Some(temperature) = request.temperature {
        body.insert("temperature".into(), exact(temperature).into());
    }
    Ok(body)
}

fn tool_choice(choice: &ToolChoice) -> Result<Value> {
    Ok(match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Tool(name) => json!({"type": "function", "name": name}),
        _ => return Err(unsupported("this tool choice")),
    })
}

fn input(request: &CompletionRequest, model: &str, provider: &ProviderId) -> Result<Vec<Value>> {
    let mut items = Vec::with_capacity(request.messages.len());
    for message in &request.messages {
        match message {
            ChatMessage::User { content } => {
                let content: Vec<Value> = content.iter().map(part).collect::<Result<_>>()?;
                items.push(json!({"type": "message", "role": "user", "content": content}));
            }
            ChatMessage::Assistant { text, calls, state } => {
                let kept = state.as_ref().and_then(|state| kept(state, provider, model, calls));
                match kept {
                    Some(kept) => items.extend(as_it_was(kept, text, calls)),
                    None => {
                        items.extend(said(text));
                        items.extend(calls.iter().map(called));
                    }
                }
            }
            ChatMessage::Tool { call, failed, content } => {
                items.push(json!({
                    "type": "function_call_output",
                    "call_id": call,
                    "output": output(*failed, content)?,
                }));
            }
            _ => return Err(unsupported("this kind of message")),
        }
    }
    Ok(items)
}

fn part(content: &Content) -> Result<Value> {
    match content {
        Content::Media(media) => {
            let url = format!("data:{};base64,{}", media.mime, inline_picture(media)?);
            Ok(json!({"type": "input_image", "image_url": url}))
        }
        other => Ok(json!({"type": "input_text", "text": as_text(other)?})),
    }
}

/// Text alone where that will do. The API has no mark for a call that failed.
fn output(failed: bool, content: &[Content]) -> Result<Value> {
    let error = if failed { "Error: " } else { "" };
    if content.iter().any(|part| matches!(part, Content::Media(_))) {
        let mut parts: Vec<Value> = content.iter().map(part).collect::<Result<_>>()?;
        if failed {
            parts.insert(0, json!({"type": "input_text", "text": error.trim_end()}));
        }
        return Ok(parts.into());
    }
    let texts: Vec<Cow<'_, str>> = content.iter().map(as_text).collect::<Result<_>>()?;
    Ok(format!("{error}{}", texts.join("\n")).into())
}

fn said(text: &str) -> Option<Value> {
    let said = || json!({"type": "message", "role": "assistant", "content": text});
    (!text.is_empty()).then(said)
}

fn called(call: &ToolCall) -> Value {
    json!({
        "type": "function_call",
        "call_id": call.id,
        "name": call.name,
        "arguments": arguments_text(call),
    })
}

/// The items of an earlier response, if they are ours and fit its calls.
fn kept<'a>(
    state: &'a ProviderState,
    provider: &ProviderId,
    model: &str,
    calls: &[ToolCall],
) -> Option<&'a Vec<Value>> {
    let items = state.data_for(provider, model)?.as_array()?;
    let places = items.iter().filter(|item| item.at("/type") == "function_call").count();
    (places == calls.len()).then_some(items)
}

/// The items of an earlier response in their order: reasoning as it came, calls and text from what the
/// log has.
fn as_it_was(items: &[Value], text: &str, calls: &[ToolCall]) -> Vec<Value> {
    let (mut calls, mut text) = (calls.iter(), Some(text));
    let mut out = Vec::with_capacity(items.len());
    for item in items {
        match item.at("/type").as_str() {
            Some("function_call") => out.extend(calls.next().map(called)),
            Some("message") => out.extend(text.take().and_then(said)),
            _ => out.push(item.clone()),
        }
    }
    out
}
