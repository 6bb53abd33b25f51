//! Requests as they are on the wire.

use openclaw_core::{
    ProviderId, Result,
    message::{Content, Media},
    provider::{
        ChatMessage, CompletionRequest, ProviderState, ResponseFormat, ToolCall, ToolChoice,
    },
    serde_json::{Map, Value, json},
};

use super::{Effort, MIN_THINKING_TOKENS, Thinking, schema};
use crate::service::{At as _, arguments, as_text, exact, inline_picture, unsupported};

/// What the provider adds to each request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    pub(super) max_tokens: u32,
    pub(super) thinking: Option<Thinking>,
    pub(super) effort: Option<Effort>,
    pub(super) prompt_cache: bool,
}

/// The body of a request for a streamed message.
///
/// What is stable comes first, as the service caches from the beginning: tools, system, messages.
pub(super) fn body(
    request: &CompletionRequest,
    model: &str,
    provider: &ProviderId,
    options: Options,
) -> Result<Map<String, Value>> {
    let mut tools: Vec<Value> = request
        .tools
        .iter()
        .map(|tool| {
            json!({
                "name": tool.name,
                "description": tool.description,
                "input_schema": tool.input_schema,
            })
        })
        .collect();
    let mut system = Vec::new();
    if !request.system.is_empty() {
        system.push(json!({"type": "text", "text": request.system}));
    }
    let mut messages = messages(request, model, provider)?;
    if options.prompt_cache {
        mark(tools.last_mut());
        mark(system.last_mut());
        mark_messages(&mut messages);
    }

    let max_tokens = request.max_output_tokens.unwrap_or(options.max_tokens);
    let mut body = Map::new();
    body.insert("model".into(), model.into());
    body.insert("max_tokens".into(), max_tokens.into());
    body.insert("stream".into(), true.into());
    if !tools.is_empty() {
        body.insert("tools".into(), tools.into());
        body.insert("tool_choice".into(), tool_choice(&request.tool_choice)?);
    }
    if !system.is_empty() {
        body.insert("system".into(), system.into());
    }
    body.insert("messages".into(), messages.into_iter().map(Value::from).collect());
    let thinking = options.thinking.and_then(|wanted| {
        thinking(wanted, request, max_tokens, thoughts_are_missing(request, model, provider))
    });
    // Beside thinking the API takes no temperature.
    let thinks = thinking.as_ref().is_some_and(|thinking| thinking.at("/type") != "disabled");
    if let Some(thinking) = thinking {
        body.insert("thinking".into(), thinking);
    }
    if let Some(temperature) = request.temperature.filter(|_| !thinks) {
        body.insert("temperature".into(), exact(temperature).into());
    }
    let mut output = Map::new();
    match &request.response_format {
        None => {}
        Some(ResponseFormat::JsonSchema { schema, .. }) => {
            let format = json!({"type": "json_schema", "schema": schema::taken(schema)});
            output.insert("format".into(), format);
        }
        Some(_) => return Err(unsupported("this response format")),
    }
    if let Some(effort) = options.effort {
        output.insert("effort".into(), json!(effort));
    }
    if !output.is_empty() {
        body.insert("output_config".into(), output.into());
    }
    Ok(body)
}

fn tool_choice(choice: &ToolChoice) -> Result<Value> {
    Ok(match choice {
        ToolChoice::Auto => json!({"type": "auto"}),
        ToolChoice::None => json!({"type": "none"}),
        ToolChoice::Required => json!({"type": "any"}),
        ToolChoice::Tool(name) => json!({"type": "tool", "name": name}),
        _ => return Err(unsupported("this tool choice")),
    })
}

/// How the model is to think about this request; `None` leaves it out.
fn thinking(
    wanted: Thinking,
    request: &CompletionRequest,
    max_tokens: u32,
    thoughts_are_missing: bool,
) -> Option<Value> {
    let forced = matches!(request.tool_choice, ToolChoice::Required | ToolChoice::Tool(_));
    match wanted {
        Thinking::Enabled { budget_tokens } => {
            let budget = budget_tokens.min(max_tokens.saturating_sub(1));
            let fits = budget >= MIN_THINKING_TOKENS && !forced && !thoughts_are_missing;
            fits.then(|| json!({"type": "enabled", "budget_tokens": budget}))
        }
        Thinking::Adaptive if forced => None,
        Thinking::Adaptive => Some(json!({"type": "adaptive"})),
        Thinking::Disabled => Some(json!({"type": "disabled"})),
    }
}

/// Whether calls are to be answered whose thoughts are not at hand, as after a fallback. A model that
/// thinks with a budget refuses that.
fn thoughts_are_missing(request: &CompletionRequest, model: &str, provider: &ProviderId) -> bool {
    let last = request.messages.iter().rev().find_map(|message| match message {
        ChatMessage::Assistant { calls, state, .. } => Some((calls, state)),
        _ => None,
    });
    last.is_some_and(|(calls, state)| {
        let kept = state.as_ref().and_then(|state| kept(state, provider, model, calls));
        !calls.is_empty() && kept.is_none()
    })
}

/// A message: its role and its blocks.
struct Spoken {
    role: &'static str,
    blocks: Vec<Value>,
}

impl From<Spoken> for Value {
    fn from(Spoken { role, blocks }: Spoken) -> Self {
        json!({"role": role, "content": blocks})
    }
}

/// The conversation. The results of all calls of a reply must stand in one message, so what has the same
/// role is put together.
fn messages(
    request: &CompletionRequest,
    model: &str,
    provider: &ProviderId,
) -> Result<Vec<Spoken>> {
    let mut out: Vec<Spoken> = Vec::with_capacity(request.messages.len());
    for message in &request.messages {
        let (role, blocks) = match message {
            ChatMessage::User { content } => ("user", parts(content)?),
            ChatMessage::Assistant { text, calls, state } => {
                let kept = state.as_ref().and_then(|state| kept(state, provider, model, calls));
                let blocks = match kept {
                    Some(kept) => as_it_was(kept, calls),
                    None => said(text).into_iter().chain(calls.iter().map(called)).collect(),
                };
                ("assistant", blocks)
            }
            ChatMessage::Tool { call, failed, content } => {
                let mut result = json!({"type": "tool_result", "tool_use_id": call,
                    "content": parts(content)?});
                if let Some(result) = result.as_object_mut().filter(|_| *failed) {
                    result.insert("is_error".into(), true.into());
                }
                ("user", vec![result])
            }
            _ => return Err(unsupported("this kind of message")),
        };
        match out.last_mut() {
            _ if blocks.is_empty() => {}
            Some(last) if last.role == role => last.blocks.extend(blocks),
            _ => out.push(Spoken { role, blocks }),
        }
    }
    Ok(out)
}

/// Text and pictures. The API takes no empty text.
fn parts(content: &[Content]) -> Result<Vec<Value>> {
    let mut blocks = Vec::with_capacity(content.len());
    for part in content {
        match part {
            Content::Media(media) => blocks.push(picture(media)?),
            other => blocks.extend(said(&as_text(other)?)),
        }
    }
    Ok(blocks)
}

fn said(text: &str) -> Option<Value> {
    (!text.trim().is_empty()).then(|| json!({"type": "text", "text": text}))
}

fn picture(media: &Media) -> Result<Value> {
    let data = inline_picture(media)?;
    let source = json!({"type": "base64", "media_type": media.mime, "data": data});
    Ok(json!({"type": "image", "source": source}))
}

fn called(call: &ToolCall) -> Value {
    json!({"type": "tool_use", "id": call.id, "name": call.name, "input": arguments(call)})
}

/// The blocks of an earlier reply, if they are ours and fit its calls.
fn kept<'a>(
    state: &'a ProviderState,
    provider: &ProviderId,
    model: &str,
    calls: &[ToolCall],
) -> Option<&'a Vec<Value>> {
    let blocks = state.data_for(provider, model)?.as_array()?;
    let places = blocks.iter().filter(|block| block.at("/type") == "tool_use").count();
    (places == calls.len()).then_some(blocks)
}

/// The blocks of an earlier reply in their order: thoughts and text as they came, calls from what the
/// log has, since their ids are the gateway's.
fn as_it_was(blocks: &[Value], calls: &[ToolCall]) -> Vec<Value> {
    let mut calls = calls.iter();
    let blocks = blocks.iter().filter_map(|block| match block.at("/type").as_str() {
        Some("tool_use") => calls.next().map(called),
        _ => Some(block.clone()),
    });
    blocks.collect()
}

/// Marks where a prefix ends that the service shall keep.
fn mark(block: Option<&mut Value>) {
    if let Some(block) = block.and_then(Value::as_object_mut) {
        block.insert("cache_control".into(), json!({"type": "ephemeral"}));
    }
}

/// Marks the last two messages to the model: this request writes up to the last one, and reads what the
/// one before it wrote up to the other. With tools and system these are the four marks that there may be.
fn mark_messages(messages: &mut [Spoken]) {
    let to_model = messages.iter_mut().rev().filter(|message| message.role == "user");
    for message in to_model.take(2) {
        mark(message.blocks.last_mut());
    }
}
