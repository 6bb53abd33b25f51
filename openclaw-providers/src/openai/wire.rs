//! Requests and answers as they are on the wire.

use openclaw_core::{
    Error, ErrorKind, Result,
    message::{Content, Media, MediaSource},
    provider::{
        ChatMessage, CompletionRequest, Price, ResponseFormat, ToolCall, ToolChoice, Usage,
    },
    serde_json::{self, Map, Value, json},
};
use serde::Deserialize;

use super::MaxTokensField;

/// The body of a request for a streamed completion.
pub(super) fn body(
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
        // By way of its decimal text: 0.7 as `f64` would be written 0.699999988079071.
        let exact = temperature.to_string().parse::<f64>().unwrap_or(f64::from(temperature));
        body.insert("temperature".into(), exact.into());
    }
    Ok(body)
}

/// True if the service can hold its answer to the schema. OpenAI refuses the request if `strict` is set on
/// any other: objects must have all of their properties and no more, and few keywords are known
/// (<https://platform.openai.com/docs/guides/structured-outputs#supported-schemas>).
fn is_strict(schema: &Value) -> bool {
    schema.get("type").is_some_and(|kind| kind == "object") && fits(schema)
}

fn fits(schema: &Value) -> bool {
    let Some(schema) = schema.as_object() else { return false };
    let within = |value: &Value| match value {
        Value::Object(named) => named.values().all(fits),
        Value::Array(list) => list.iter().all(fits),
        _ => false,
    };
    let known = schema.iter().all(|(keyword, value)| match keyword.as_str() {
        "properties" | "$defs" | "anyOf" => within(value),
        "items" => fits(value),
        "format" => value.as_str().is_some_and(|format| STRICT_FORMATS.contains(&format)),
        other => STRICT_KEYWORDS.contains(&other),
    });
    let is_object = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "object"),
        kind => kind.is_some_and(|kind| kind == "object"),
    };
    known && (!is_object || is_closed(schema))
}

/// True if an object has all of the properties and no others.
fn is_closed(schema: &Map<String, Value>) -> bool {
    let required = schema.get("required").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let listed = |name: &String| required.iter().any(|one| one == name);
    schema.get("additionalProperties") == Some(&Value::Bool(false))
        && schema
            .get("properties")
            .and_then(Value::as_object)
            .is_none_or(|all| all.keys().all(listed))
}

const STRICT_KEYWORDS: [&str; 17] = [
    "$schema",
    "$ref",
    "title",
    "description",
    "type",
    "required",
    "additionalProperties",
    "enum",
    "const",
    "pattern",
    "multipleOf",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minItems",
    "maxItems",
];
const STRICT_FORMATS: [&str; 9] =
    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"];

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
            ChatMessage::Assistant { text, calls } => {
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

fn as_text(content: &Content) -> Result<String> {
    Ok(match content {
        Content::Text { text } | Content::Mention { text, .. } => text.clone(),
        Content::Location { latitude, longitude, name } => {
            let name = name.as_deref().unwrap_or_default();
            format!("geo:{latitude},{longitude} {name}").trim_end().to_owned()
        }
        Content::Contact { name, phone } => format!("{name}, tel:{phone}"),
        _ => return Err(unsupported("this kind of content")),
    })
}

fn picture(media: &Media) -> Result<Value> {
    if !media.mime.starts_with("image/") {
        return Err(unsupported(&format!("media of type {}; give it pictures", media.mime)));
    }
    match &media.source {
        MediaSource::Inline { base64 } => Ok(json!({
            "type": "image_url",
            "image_url": {"url": format!("data:{};base64,{base64}", media.mime)},
        })),
        _ => Err(unsupported("a picture that is not in the message; fetch it and give it inline")),
    }
}

fn called(call: &ToolCall) -> Value {
    // Servers that parse the arguments refuse the whole conversation for ever if a model once wrote
    // broken JSON, so that is wrapped.
    let arguments = match serde_json::from_str::<Value>(&call.arguments) {
        Ok(Value::Object(_)) => call.arguments.clone(),
        _ if call.arguments.trim().is_empty() => "{}".to_owned(),
        _ => json!({"not_json": call.arguments}).to_string(),
    };
    json!({"id": call.id, "type": "function",
        "function": {"name": call.name, "arguments": arguments}})
}

fn unsupported(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("chat completions do not take {what}"))
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
