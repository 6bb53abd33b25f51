//! `/v1/chat/completions`.

use std::sync::Arc;

use axum::{extract::Request, response::Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Failure, MAX_BYTES, Piece, Question, Refused, agent, agent_of, body, choice, direct, format,
    idempotency_key,
    input::{MessageIn, Reader},
    invalid, no_others, place,
    told::{self, Telling, Whole},
    tools,
};
use crate::{
    provider::{FinishReason, ResponseFormat, ToolCall, Usage},
    server::{caller::Caller, state::Server},
};

/// Fields that are not here change nothing: how an agent thinks is the agent's.
#[derive(Deserialize)]
struct ChatIn {
    model: String,
    messages: Vec<MessageIn>,
    #[serde(default)]
    stream: bool,
    stream_options: Option<StreamOptions>,
    user: Option<String>,
    tools: Option<Vec<Value>>,
    tool_choice: Option<Value>,
    response_format: Option<FormatIn>,
    temperature: Option<f32>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    // What would change the shape of the answer is refused.
    n: Option<u32>,
    logprobs: Option<bool>,
    stop: Option<Value>,
    audio: Option<Value>,
    modalities: Option<Vec<String>>,
    functions: Option<Value>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Deserialize)]
struct FormatIn {
    #[serde(rename = "type")]
    kind: String,
    json_schema: Option<SchemaIn>,
}

#[derive(Deserialize)]
struct SchemaIn {
    name: Option<String>,
    schema: Option<Value>,
}

impl ChatIn {
    fn check(&self) -> Result<(), Refused> {
        let text_alone = |kinds: &Vec<String>| kinds.iter().all(|kind| kind == "text");
        let present = |value: &Option<Value>| value.as_ref().is_some_and(|value| !value.is_null());
        let unfit = [
            ("n", self.n.is_some_and(|n| n != 1)),
            ("logprobs", self.logprobs == Some(true)),
            ("stop", present(&self.stop)),
            ("audio", present(&self.audio)),
            ("modalities", !self.modalities.as_ref().is_none_or(text_alone)),
            ("functions", present(&self.functions)),
        ];
        match unfit.iter().find(|(_, unfit)| *unfit) {
            Some((name, _)) => Err(invalid(name, &format!("{name} is not supported here"))),
            None => Ok(()),
        }
    }

    fn format(&self) -> Result<Option<ResponseFormat>, Refused> {
        let Some(asked) = &self.response_format else { return Ok(None) };
        let schema = asked.json_schema.as_ref();
        let name = schema.and_then(|schema| schema.name.as_deref());
        format(&asked.kind, name, schema.and_then(|schema| schema.schema.as_ref()))
    }
}

pub(in crate::server) async fn complete(
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
    let asked: ChatIn = body::parse(request, MAX_BYTES, server.config.limits.body).await?;
    asked.check()?;
    let format = asked.format()?;
    let plan = server.handle.hub.plan();
    let agent = agent_of(&plan, &asked.model, &headers)?;
    let key = idempotency_key(&headers)?;
    let place = place(&server, &plan, &agent, &headers, asked.user.as_deref(), key.as_deref())?;
    let tools = tools(asked.tools)?;
    let brings = !tools.is_empty();
    let said = Reader::new(&server, brings).messages(asked.messages).await?;
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
        max_output_tokens: asked.max_completion_tokens.or(asked.max_tokens),
    };
    let pieces = if brings {
        direct::ask(&server, question).await?
    } else {
        agent::ask(&server, &caller, question).await?
    };
    let id = server.fresh().map_err(|error| Refused::from(Failure::from(error)))?;
    let form = Form {
        id: format!("chatcmpl-{}", id.replace('-', "")),
        created: server.now().as_millis() / 1000,
        model: asked.model,
    };
    if asked.stream {
        let with_usage = asked.stream_options.is_some_and(|options| options.include_usage);
        let chunks = Chunks { form, with_usage, calls: 0 };
        return Ok(told::tell(pieces, chunks, server.config.limits.stalled));
    }
    let whole = told::whole(pieces).await?;
    Ok(body::json(StatusCode::OK, &form.whole(&whole)))
}

/// What all parts of an answer have in common.
struct Form {
    id: String,
    created: i64,
    model: String,
}

impl Form {
    fn whole(&self, whole: &Whole) -> Value {
        let Whole { text, calls, reason, usage } = whole;
        let mut message = json!({
            "role": "assistant",
            "content": Some(text).filter(|text| calls.is_empty() || !text.is_empty()),
            "refusal": null,
        });
        if let (false, Some(map)) = (calls.is_empty(), message.as_object_mut()) {
            map.insert("tool_calls".to_owned(), calls.iter().map(call).collect());
        }
        json!({
            "id": self.id, "object": "chat.completion", "created": self.created, "model": self.model,
            "choices": [{
                "index": 0, "message": message, "logprobs": null, "finish_reason": word(reason),
            }],
            "usage": used(usage),
        })
    }

    fn chunk(&self, delta: &Value, reason: Option<&str>) -> String {
        told::event(&json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created,
            "model": self.model,
            "choices": [{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": reason }],
        }))
    }
}

fn call(call: &ToolCall) -> Value {
    json!({
        "id": call.id, "type": "function",
        "function": { "name": call.name, "arguments": call.arguments },
    })
}

fn word(reason: &FinishReason) -> &'static str {
    match reason {
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::Length => "length",
        FinishReason::Refused => "content_filter",
        FinishReason::Stop | FinishReason::Other(_) => "stop",
    }
}

fn used(usage: &Usage) -> Value {
    json!({
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens(),
        "prompt_tokens_details": { "cached_tokens": usage.cached_input_tokens },
        "completion_tokens_details": { "reasoning_tokens": usage.reasoning_tokens },
    })
}

/// The answer in chunks.
struct Chunks {
    form: Form,
    with_usage: bool,
    calls: usize,
}

impl Telling for Chunks {
    fn begin(&mut self) -> String {
        self.form.chunk(&json!({ "role": "assistant", "content": "" }), None)
    }

    fn piece(&mut self, piece: Piece) -> String {
        match piece {
            Piece::Text(text) => self.form.chunk(&json!({ "content": text }), None),
            Piece::Call(one) => {
                let mut told = call(&one);
                if let Some(map) = told.as_object_mut() {
                    map.insert("index".to_owned(), self.calls.into());
                }
                self.calls += 1;
                self.form.chunk(&json!({ "tool_calls": [told] }), None)
            }
            Piece::End { .. } => String::new(),
        }
    }

    fn end(&mut self, reason: &FinishReason, usage: &Usage) -> String {
        let mut text = self.form.chunk(&json!({}), Some(word(reason)));
        if self.with_usage {
            text.push_str(&told::event(&json!({
                "id": self.form.id, "object": "chat.completion.chunk",
                "created": self.form.created, "model": self.form.model, "choices": [],
                "usage": used(usage),
            })));
        }
        text.push_str("data: [DONE]\n\n");
        text
    }

    fn failed(&mut self, failure: &Failure) -> String {
        told::event(&json!({ "error": told::error(failure) }))
    }
}
