//! `/v1/responses`.

use std::sync::Arc;

use axum::{extract::Request, response::Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Failure, MAX_BYTES, Place, Question, Refused, agent, agent_of, body, choice, direct, format,
    idempotency_key,
    input::Reader,
    invalid, no_others, place,
    responses_input::{Input, read},
    responses_told::{Events, Form},
    session_named, told, tools,
};
use crate::{
    id::AgentId,
    provider::ResponseFormat,
    server::{caller::Caller, state::Server},
};

/// What the id of a response begins with.
const PREFIX: &str = "resp_";
/// How many digits of the id name the conversation.
const NAME_DIGITS: usize = 32;

/// Fields that are not here change nothing: how an agent thinks is the agent's.
#[derive(Deserialize)]
struct ResponsesIn {
    model: String,
    input: Input,
    instructions: Option<String>,
    #[serde(default)]
    stream: bool,
    previous_response_id: Option<String>,
    user: Option<String>,
    tools: Option<Vec<Value>>,
    tool_choice: Option<Value>,
    text: Option<TextIn>,
    temperature: Option<f32>,
    max_output_tokens: Option<u32>,
    // What would be done otherwise than it is asked is refused.
    #[serde(default)]
    background: bool,
    conversation: Option<Value>,
    prompt: Option<Value>,
}

#[derive(Deserialize)]
struct TextIn {
    format: Option<FormatIn>,
}

#[derive(Deserialize)]
struct FormatIn {
    #[serde(rename = "type")]
    kind: String,
    name: Option<String>,
    schema: Option<Value>,
}

impl ResponsesIn {
    fn check(&self) -> Result<(), Refused> {
        let present = |value: &Option<Value>| value.as_ref().is_some_and(|value| !value.is_null());
        let unfit = [
            ("background", self.background),
            ("conversation", present(&self.conversation)),
            ("prompt", present(&self.prompt)),
        ];
        match unfit.iter().find(|(_, unfit)| *unfit) {
            Some((name, _)) => Err(invalid(name, &format!("{name} is not supported here"))),
            None => Ok(()),
        }
    }

    fn format(&self) -> Result<Option<ResponseFormat>, Refused> {
        match self.text.as_ref().and_then(|text| text.format.as_ref()) {
            Some(asked) => format(&asked.kind, asked.name.as_deref(), asked.schema.as_ref()),
            None => Ok(None),
        }
    }
}

pub(in crate::server) async fn respond(
    server: Arc<Server>,
    caller: Caller,
    request: Request,
) -> Response {
    answer(server, caller, request).await.unwrap_or_else(|refused| *refused)
}

async fn answer(
    server: Arc<Server>,
    caller: Caller,
    request: Request,
) -> Result<Response, Refused> {
    let headers = request.headers().clone();
    no_others(&headers)?;
    let asked: ResponsesIn = body::parse(request, MAX_BYTES, server.config.limits.body).await?;
    asked.check()?;
    let format = asked.format()?;
    let plan = server.handle.hub.plan();
    let agent = agent_of(&plan, &asked.model, &headers)?;
    let key = idempotency_key(&headers)?;
    let tools = tools(asked.tools)?;
    let brings = !tools.is_empty();
    let place = match asked.previous_response_id.as_deref() {
        Some(_) if brings => {
            let why = "a request with tools of its own brings the whole conversation as input";
            return Err(invalid("previous_response_id", why));
        }
        Some(previous) => went_on(&agent, previous)?,
        None => place(&server, &plan, &agent, &headers, asked.user.as_deref(), key.as_deref())?,
    };
    let mut reader = Reader::new(&server, brings);
    let said = read(&mut reader, asked.instructions, asked.input).await?;
    let id = server.fresh().map_err(|error| Refused::from(Failure::from(error)))?;
    let id = id.replace('-', "");
    // What follows such a response brings its conversation along.
    let name = if brings || place.name.is_empty() { "0".repeat(NAME_DIGITS) } else { place.name };
    let question = Question {
        agent,
        session: place.session,
        key,
        known: place.known,
        said,
        tools,
        choice: choice(asked.tool_choice.as_ref())?,
        format,
        temperature: asked.temperature,
        max_output_tokens: asked.max_output_tokens,
    };
    let pieces = if brings {
        direct::ask(&server, question).await?
    } else {
        agent::ask(&server, &caller, question).await?
    };
    let form = Form {
        id: format!("{PREFIX}{name}{id}"),
        item: format!("msg_{id}"),
        created: server.now().as_millis() / 1000,
        model: asked.model,
        previous: asked.previous_response_id,
    };
    if asked.stream {
        return Ok(told::tell(pieces, Events::new(form), server.config.limits.stalled));
    }
    let whole = told::whole(pieces).await?;
    Ok(body::json(StatusCode::OK, &form.whole(&whole)))
}

/// The conversation that a response was of.
fn went_on(agent: &AgentId, previous: &str) -> Result<Place, Refused> {
    let name = previous.strip_prefix(PREFIX).and_then(|rest| rest.get(..NAME_DIGITS));
    let fits = |name: &&str| {
        name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            && name.bytes().any(|byte| byte != b'0')
    };
    let Some(name) = name.filter(fits) else {
        let why = "no conversation of that response is kept here";
        let code = Some("previous_response_not_found");
        let refusal =
            body::refuse_because(StatusCode::BAD_REQUEST, why, Some("previous_response_id"), code);
        return Err(Box::new(refusal));
    };
    let session = session_named(agent, name)?;
    Ok(Place { session, name: name.to_owned(), known: true })
}

/// The body of a response, as far as it is known.
pub(super) fn object(form: &Form, status: &str, output: &[Value], usage: Value) -> Value {
    json!({
        "id": form.id, "object": "response", "created_at": form.created, "status": status,
        "model": form.model, "output": output, "usage": usage, "error": null,
        "incomplete_details": null, "instructions": null, "metadata": {},
        "parallel_tool_calls": true, "previous_response_id": form.previous,
        "temperature": null, "top_p": null, "tool_choice": "auto", "tools": [],
    })
}
