//! Requests and answers as they are on the wire.

use openclaw_core::{
    Result,
    message::{Content, Media},
    provider::{
        ChatMessage, CompletionRequest, Price, ResponseFormat, ToolCall, ToolChoice, Usage,
    },
    serde_json::{Map, Value, json},
};
use serde::Deserialize;

use crate::{
    openai::{MaxTokensField, arguments_text, strict::is_strict},
    service::{as_text, exact, inline_picture, unsupported},
};

/// The body of a request for a streamed completion.
pub(in crate::openai) fn body(
    request: &CompletionRequest,
    model: Option<&str>,
    max_tokens: MaxTokensField,
) -> Result<Map<String, Value>> {
    let mut body = Map::new();
    if let Some(model) = model {
        body.insert("model".into(), model.into());
    }
    body.insert("messages".into(), messages(request)?.into());
    body.insert("stream".into(), true.into());
    body.insert("stream_options".into(), json!({"include_usage": true}));
    if !request.tools.is_empty() {
        let tools: Vec<Value> = request
            .tools
            .iter()
            .map(|tool| {
                json!({"type": "function", "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.input_schema,
                }})
            })
            .collect();
        body.insert("tools".into(), tools.into());
        body.insert("tool_choice".into(), tool_choice(&request.tool_choice)?);
    }
    match &request.response_format {
        None => {}
        Some(ResponseFormat::JsonSchema { name, schema }) => {
            let form = json!({"type": "json_schema",
                "json_schema": {"name": name, "schema": schema, "strict": is_strict(schema)}});
            body.insert("response_format".into(), form);
        }
        Some(_) => return Err(unsupported("this response format")),
    }
    if let Some(limit) = request.max_output_tokens {
        let field = match max_tokens {
            MaxTokensField::MaxCompletionTokens => "max_completion_tokens",
            MaxTokensField::MaxTokens => "max_tokens",
        };
        body.insert(field.into(), limit.into());
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
        ToolChoice::Tool(name) => json!({"type": "function", "function": {"name": name}}),
        _ => return Err(unsupported("this tool choice")),
    })
}

fn messages(request: &CompletionRequest) -> Result<Vec<Value>> {
    let mut out = Vec::with_capacity(request.messages.len() + 1);
    if !request.system.is_empty() {
        out.push(json!({"role": "system", "content": request.system}));
    }
    // Pictures that tools returned. The API takes none in a tool's message, and wants the results of
    // all calls before anything else.
    let mut pictures: Vec<Value> = Vec::new();
    for message in &request.messages {
        if !matches!(message, ChatMessage::Tool { .. }) {
            flush(&mut pictures, &mut out);
        }
        match message {
            ChatMessage::User { content } => {
                out.push(json!({"role": "user", "content": said(content)?}));
            }
            ChatMessage::Assistant { text, calls, .. } => {
                let content = if text.is_empty() { Value::Null } else { text.as_str().into() };
                let mut said = json!({"role": "assistant", "content": content});
                if let Some(said) = said.as_object_mut().filter(|_| !calls.is_empty()) {
                    said.insert("tool_calls".into(), calls.iter().map(called).collect());
                }
                out.push(said);
            }
            ChatMessage::Tool { call, failed, content } => {
                let mut texts = Vec::new();
                for part in content {
                    match part {
                        Content::Media(media) => {
                            texts.push("(a picture, see the next user message)".to_owned());
                            pictures.push(
                                json!({"type": "text", "text": format!("Result of {call}:")}),
                            );
                            pictures.push(picture(media)?);
                        }
                        other => texts.push(as_text(other)?),
                    }
                }
                let mut text = texts.join("\n");
                if *failed {
                    text.insert_str(0, "Error: ");
                }
                out.push(json!({"role": "tool", "tool_call_id": call, "content": text}));
            }
            _ => return Err(unsupported("this kind of message")),
        }
    }
    flush(&mut pictures, &mut out);
    Ok(out)
}

fn flush(pictures: &mut Vec<Value>, out: &mut Vec<Value>) {
    if !pictures.is_empty() {
        out.push(json!({"role": "user", "content": std::mem::take(pictures)}));
    }
}

/// Plain text where that will do, since some servers take nothing else.
fn said(content: &[Content]) -> Result<Value> {
    if !content.iter().any(|part| matches!(part, Content::Media(_))) {
        let texts: Vec<String> = content.iter().map(as_text).collect::<Result<_>>()?;
        return Ok(texts.join("\n").into());
    }
    content
        .iter()
        .map(|part| match part {
            Content::Media(media) => picture(media),
            other => Ok(json!({"type": "text", "text": as_text(other)?})),
        })
        .collect()
}

fn picture(media: &Media) -> Result<Value> {
    let url = format!("data:{};base64,{}", media.mime, inline_picture(media)?);
    Ok(json!({"type": "image_url", "image_url": {"url": url}}))
}

fn called(call: &ToolCall) -> Value {
    json!({"id": call.id, "type": "function",
        "function": {"name": call.name, "arguments": arguments_text(call)}})
}

/// One event of the stream. Servers differ: everything may be absent or null.
#[derive(Debug, Deserialize)]
pub(super) struct Chunk {
    error: Option<Value>,
    object: Option<String>,
    pub(super) choices: Option<Vec<Choice>>,
    pub(super) usage: Option<WireUsage>,
}

impl Chunk {
    /// Whether it is an error in the place of a chunk, or has one.
    pub(super) fn is_error(&self) -> bool {
        self.error.is_some() || self.object.as_deref() == Some("error")
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Choice {
    #[serde(default)]
    pub(super) index: u32,
    pub(super) delta: Option<Delta>,
    pub(super) finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Delta {
    pub(super) content: Option<String>,
    /// Of vLLM, llama.cpp and DeepSeek.
    pub(super) reasoning_content: Option<String>,
    /// Of OpenRouter and Groq.
    pub(super) reasoning: Option<String>,
    pub(super) refusal: Option<String>,
    pub(super) tool_calls: Option<Vec<CallDelta>>,
    /// What was before `tool_calls`.
    pub(super) function_call: Option<FunctionDelta>,
}

#[derive(Debug, Deserialize)]
pub(super) struct CallDelta {
    pub(super) index: Option<u32>,
    pub(super) id: Option<String>,
    pub(super) function: Option<FunctionDelta>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct FunctionDelta {
    pub(super) name: Option<String>,
    /// Text; an object from servers that parse it themselves.
    pub(super) arguments: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct WireUsage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
    /// OpenRouter's: dollars.
    cost: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
}

impl WireUsage {
    /// The provider's own word on the cost goes before the table's.
    pub(super) fn usage(&self, price: Option<Price>) -> Usage {
        let mut usage = Usage::new(
            self.prompt_tokens.unwrap_or_default(),
            self.completion_tokens.unwrap_or_default(),
        );
        usage.cached_input_tokens =
            self.prompt_tokens_details.as_ref().and_then(|d| d.cached_tokens).unwrap_or_default();
        usage.reasoning_tokens = self
            .completion_tokens_details
            .as_ref()
            .and_then(|d| d.reasoning_tokens)
            .unwrap_or_default();
        usage.cost_micro_usd =
            self.cost.and_then(micro).or_else(|| price.map(|price| price.cost(&usage)));
        usage
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be a number from zero to far below u64::MAX"
)]
fn micro(dollars: f64) -> Option<u64> {
    (0.0..1e9).contains(&dollars).then(|| (dollars * 1e6).ceil() as u64)
}
