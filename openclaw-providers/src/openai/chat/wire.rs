//! Requests and answers as they are on the wire.

use std::borrow::Cow;

use openclaw_core::{
    Result,
    message::{Content, Media},
    provider::{
        ChatMessage, CompletionRequest, Price, ResponseFormat, ToolCall, ToolChoice, Usage,
    },
    serde_json::{Map, Value, json},
};
use serde::{Deserialize, Serialize};

use crate::{
    openai::{MaxTokensField, arguments_text, strict::is_strict},
    service::{as_text, exact, inline_picture, unsupported},
};

/// A request for a streamed completion. Its messages borrow: they are many, and most are plain text.
#[derive(Debug, Serialize)]
pub(in crate::openai) struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    messages: Vec<Line<'a>>,
    #[serde(flatten)]
    pub(in crate::openai) settings: Map<String, Value>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Line<'a> {
    Plain { role: &'static str, content: Cow<'a, str> },
    Other(Value),
}

pub(in crate::openai) fn body<'a>(
    request: &'a CompletionRequest,
    model: Option<&'a str>,
    max_tokens: MaxTokensField,
) -> Result<Body<'a>> {
    let mut body = Map::new();
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
    Ok(Body { model, messages: messages(request)?, settings: body })
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

fn messages(request: &CompletionRequest) -> Result<Vec<Line<'_>>> {
    let mut out = Vec::with_capacity(request.messages.len() + 1);
    if !request.system.is_empty() {
        out.push(Line::Plain { role: "system", content: (&request.system).into() });
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
                out.push(match plain(content)? {
                    Some(content) => Line::Plain { role: "user", content },
                    None => Line::Other(json!({"role": "user", "content": parts(content)?})),
                });
            }
            ChatMessage::Assistant { text, calls, .. } if calls.is_empty() && !text.is_empty() => {
                out.push(Line::Plain { role: "assistant", content: text.into() });
            }
            ChatMessage::Assistant { text, calls, .. } => {
                let content = if text.is_empty() { Value::Null } else { text.as_str().into() };
                let mut said = json!({"role": "assistant", "content": content});
                if let Some(said) = said.as_object_mut().filter(|_| !calls.is_empty()) {
                    said.insert("tool_calls".into(), calls.iter().map(called).collect());
                }
                out.push(Line::Other(said));
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
                        other => texts.push(as_text(other)?.into_owned()),
                    }
                }
                let mut text = texts.join("\n");
                if *failed {
                    text.insert_str(0, "Error: ");
                }
                let result = json!({"role": "tool", "tool_call_id": call, "content": text});
                out.push(Line::Other(result));
            }
            _ => return Err(unsupported("this kind of message")),
        }
    }
    flush(&mut pictures, &mut out);
    Ok(out)
}

fn flush(pictures: &mut Vec<Value>, out: &mut Vec<Line<'_>>) {
    if !pictures.is_empty() {
        let content = std::mem::take(pictures);
        out.push(Line::Other(json!({"role": "user", "content": content})));
    }
}

/// Plain text where that will do, since some servers take nothing else.
fn plain(content: &[Content]) -> Result<Option<Cow<'_, str>>> {
    Ok(match content {
        [one] if !matches!(one, Content::Media(_)) => Some(as_text(one)?),
        _ if content.iter().any(|part| matches!(part, Content::Media(_))) => None,
        _ => {
            let texts: Vec<Cow<'_, str>> = content.iter().map(as_text).collect::<Result<_>>()?;
            Some(texts.join("\n").into())
        }
    })
}

fn parts(content: &[Content]) -> Result<Value> {
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
