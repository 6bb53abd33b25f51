//! OpenAI's API, with agents as models: what clients of it ask goes to agents.
//!
//! Without tools of its own a request is a message to the agent, which answers with its tools, memory and
//! session. A request that brings tools is one step of a loop that the client runs: the agent's persona and
//! model answer, and which tool is called, the client sees to.

mod agent;
mod chat;
mod direct;
mod embeddings;
mod input;
mod models;
mod responses;
mod responses_input;
mod responses_told;
mod told;

pub(super) use chat::complete;
pub(super) use embeddings::embed;
pub(super) use models::{list, one};
pub(super) use responses::respond;

use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{body, keys, state::Server};
use crate::{
    error::Error,
    gateway::Plan,
    id::{AgentId, SessionKey, hex},
    message::Content,
    protocol::{MAX_IDEMPOTENCY_KEY_BYTES, WireError},
    provider::{FinishReason, ResponseFormat, ToolCall, ToolChoice, ToolDefinition, Usage},
};

/// The largest request, in bytes: pictures are in it.
const MAX_BYTES: usize = 20 << 20;
/// How many tools a client can bring.
const MAX_TOOLS: usize = 128;
/// The name that every gateway's default agent has as a model.
const MODEL: &str = "openclaw";

/// What a client gets in place of an answer.
type Refused = Box<Response>;

/// A message of a request.
#[derive(Clone, Debug, PartialEq)]
enum Said {
    /// By the application.
    System(String),
    /// By the person.
    User(Vec<Content>),
    /// By the agent, as the client says.
    Assistant { text: String, calls: Vec<ToolCall> },
    /// What a tool of the client's came to.
    Tool { call: String, content: Vec<Content> },
}

/// What is asked of an agent.
struct Question {
    agent: AgentId,
    session: SessionKey,
    /// The key that makes the request the same when it comes again.
    key: Option<String>,
    /// True if the session knows what was said before.
    known: bool,
    said: Vec<Said>,
    tools: Vec<ToolDefinition>,
    choice: ToolChoice,
    format: Option<ResponseFormat>,
    temperature: Option<f32>,
    max_output_tokens: Option<u32>,
}

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    Call(ToolCall),
    End { reason: FinishReason, usage: Usage },
}

/// An answer as it comes; its last piece is its end, or an error.
type Pieces = futures_core::stream::BoxStream<'static, Result<Piece, Failure>>;

/// Why there is no answer.
#[derive(Clone, Debug)]
struct Failure {
    status: StatusCode,
    text: String,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { status: body::status_of(error.kind()), text: error.public_text().to_owned() }
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Box::new(body::refuse(failure.status, &failure.text))
    }
}

fn invalid(param: &str, why: &str) -> Refused {
    Box::new(body::refuse_because(StatusCode::BAD_REQUEST, why, Some(param), None))
}

fn refused(error: &WireError) -> Refused {
    Box::new(body::refuse(StatusCode::BAD_REQUEST, &error.message))
}

/// The agent that a model's name stands for.
fn agent_of(plan: &Plan, model: &str, headers: &HeaderMap) -> Result<AgentId, Refused> {
    let named = header(headers, "x-openclaw-agent-id")?;
    let name = match named {
        Some(name) => name,
        None => {
            let rest = model
                .strip_prefix("openclaw/")
                .or_else(|| model.strip_prefix("openclaw:"))
                .or_else(|| model.strip_prefix("agent:"));
            match rest {
                None if model == MODEL => "default",
                Some(name) => name,
                None => model,
            }
        }
    };
    let id = AgentId::from(name);
    if plan.agents.contains_key(&id) {
        return Ok(id);
    }
    if name == "default" {
        return Ok(plan.default_agent.clone());
    }
    Err(no_model(model))
}

fn no_model(model: &str) -> Refused {
    let why =
        format!("there is no model {model:?} here; GET /v1/models lists those that there are");
    let status = StatusCode::NOT_FOUND;
    Box::new(body::refuse_because(status, &why, Some("model"), Some("model_not_found")))
}

/// A header that may stand once.
fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refused> {
    let mut lines = headers.get_all(name).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    match (line.to_str(), lines.next()) {
        (Ok(text), None) if !text.trim().is_empty() => Ok(Some(text.trim())),
        _ => Err(invalid(name, &format!("the header {name} must be one text"))),
    }
}

/// The key by which a request is the same when it comes again, if it has one.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refused> {
    let key = header(headers, "idempotency-key")?;
    if key.is_some_and(|key| key.len() > MAX_IDEMPOTENCY_KEY_BYTES) {
        return Err(invalid("Idempotency-Key", "the key is too long"));
    }
    Ok(key.map(str::to_owned))
}

/// Headers that would promise what is not done.
fn no_others(headers: &HeaderMap) -> Result<(), Refused> {
    match ["x-openclaw-model", "x-openclaw-message-channel"]
        .into_iter()
        .find(|name| headers.contains_key(*name))
    {
        Some(name) => Err(invalid(name, &format!("the header {name} is not supported here"))),
        None => Ok(()),
    }
}

/// Where a request is answered, and whether that conversation is known from before.
struct Place {
    session: SessionKey,
    /// Names the conversation in ids of responses.
    name: String,
    known: bool,
}

/// The session that a request is about: the one that it names, that of its user, or one of its own.
fn place(
    server: &Server,
    plan: &Plan,
    agent: &AgentId,
    headers: &HeaderMap,
    user: Option<&str>,
    key: Option<&str>,
) -> Result<Place, Refused> {
    if let Some(text) = header(headers, "x-openclaw-session-key")? {
        let session = keys::read(plan, text, Some(agent.as_str())).map_err(|e| refused(&e))?;
        return Ok(Place { session, name: String::new(), known: true });
    }
    let known = user.is_some_and(|user| !user.is_empty());
    let name = match (user.filter(|user| !user.is_empty()), key) {
        (Some(user), _) => named("user", user),
        (None, Some(key)) => named("key", key),
        (None, None) => {
            server.fresh().map_err(|error| Refused::from(Failure::from(error)))?.replace('-', "")
        }
    };
    let session = session_named(agent, &name)?;
    Ok(Place { session, name, known })
}

/// The conversation of this name with the agent.
fn session_named(agent: &AgentId, name: &str) -> Result<SessionKey, Refused> {
    keys::api(agent.clone(), &format!("openai:{name}")).map_err(|error| refused(&error))
}

/// A name of fixed length for what may be long, or somebody's address.
fn named(kind: &str, text: &str) -> String {
    hex(&Sha256::digest(format!("{kind}\0{text}")), 16)
}

/// The tools that a client brings: `{"type": "function", …}`; in chat completions the function is an
/// object of its own.
fn tools(list: Option<Vec<Value>>) -> Result<Vec<ToolDefinition>, Refused> {
    let list = list.unwrap_or_default();
    if list.len() > MAX_TOOLS {
        return Err(invalid("tools", &format!("there can be at most {MAX_TOOLS} tools")));
    }
    list.into_iter().map(tool).collect()
}

fn tool(tool: Value) -> Result<ToolDefinition, Refused> {
    if tool.get("type").and_then(Value::as_str) != Some("function") {
        return Err(invalid("tools", "only tools of the type \"function\" can be brought"));
    }
    let function = tool.get("function").unwrap_or(&tool);
    let text = |name: &str| function.get(name).and_then(Value::as_str).unwrap_or_default();
    let name = text("name");
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
        let why = "a tool's name has 1 to 64 letters, digits, _ and -";
        return Err(invalid("tools", why));
    }
    let schema = match function.get("parameters") {
        None | Some(Value::Null) => serde_json::json!({ "type": "object", "properties": {} }),
        Some(schema @ Value::Object(_)) => schema.clone(),
        Some(_) => {
            return Err(invalid("tools", "a tool's parameters are a JSON Schema, an object"));
        }
    };
    Ok(ToolDefinition {
        name: name.to_owned(),
        description: text("description").to_owned(),
        input_schema: schema,
    })
}

/// Whether a tool may, must or must not be called.
fn choice(choice: Option<&Value>) -> Result<ToolChoice, Refused> {
    let Some(choice) = choice.filter(|choice| !choice.is_null()) else {
        return Ok(ToolChoice::Auto);
    };
    let named = choice.pointer("/function/name").or_else(|| choice.get("name"));
    match (choice.as_str(), named.and_then(Value::as_str)) {
        (Some("auto"), _) => Ok(ToolChoice::Auto),
        (Some("none"), _) => Ok(ToolChoice::None),
        (Some("required"), _) => Ok(ToolChoice::Required),
        (None, Some(name)) => Ok(ToolChoice::Tool(name.to_owned())),
        _ => Err(invalid("tool_choice", "expected auto, none, required or a function")),
    }
}

/// The form that an answer must have, by its kind, name and schema.
fn format(
    kind: &str,
    name: Option<&str>,
    schema: Option<&Value>,
) -> Result<Option<ResponseFormat>, Refused> {
    match (kind, schema) {
        ("text", _) => Ok(None),
        ("json_object", _) => Ok(Some(ResponseFormat::JsonSchema {
            name: "object".to_owned(),
            schema: serde_json::json!({ "type": "object" }),
        })),
        ("json_schema", Some(schema @ Value::Object(_))) => Ok(Some(ResponseFormat::JsonSchema {
            name: name.unwrap_or("answer").to_owned(),
            schema: schema.clone(),
        })),
        _ => Err(invalid("response_format", "expected text, json_object or a json_schema")),
    }
}
