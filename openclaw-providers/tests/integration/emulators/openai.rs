//! OpenAI's chat completions, Responses and embeddings.

use openclaw_core::serde_json::{Value, json};

use super::{
    super::server::{Act, Received, event, events, json_answer},
    KEY, inputs, vector,
};

/// How many values its vectors have.
pub(crate) const DIMENSIONS: usize = 8;

/// The encrypted reasoning that comes with a call.
pub(crate) const REASONING: &str = "gAAAAAB-encrypted";

fn error(status: &str, code: &str, message: &str) -> Vec<Act> {
    let error =
        json!({"message": message, "type": "invalid_request_error", "param": null, "code": code});
    json_answer(status, &json!({ "error": error }))
}

/// The service.
pub(crate) fn service(request: &Received) -> Vec<Act> {
    let (head, body) = (&request.head, &request.body);
    if !head.contains(&format!("authorization: bearer {KEY}")) {
        return error("401 Unauthorized", "invalid_api_key", "Incorrect API key provided");
    }
    if head.starts_with("get /v1/models") {
        let model =
            |id: &str| json!({"id": id, "object": "model", "created": 1, "owned_by": "openai"});
        let data = [model("gpt-5-mini"), model("text-embedding-3-small")];
        return json_answer("200 OK", &json!({"object": "list", "data": data}));
    }
    if head.starts_with("post /v1/embeddings") {
        return embeddings(body);
    }
    if head.starts_with("post /v1/responses") {
        return responses(body);
    }
    chat(body)
}

fn embeddings(body: &Value) -> Vec<Act> {
    let dimensions =
        body["dimensions"].as_u64().map_or(DIMENSIONS, |n| usize::try_from(n).unwrap());
    let texts = inputs(body);
    if texts.iter().any(String::is_empty) {
        return error("400 Bad Request", "invalid_input", "'$.input' is invalid: an empty string");
    }
    // Not in order: the index counts.
    let data: Vec<Value> = texts
        .iter()
        .enumerate()
        .rev()
        .map(|(index, text)| {
            json!({"object": "embedding", "index": index, "embedding": vector(text, dimensions)})
        })
        .collect();
    let usage = json!({"prompt_tokens": 3, "total_tokens": 3});
    json_answer(
        "200 OK",
        &json!({"object": "list", "data": data, "model": body["model"], "usage": usage}),
    )
}

fn chat(body: &Value) -> Vec<Act> {
    let last = body["messages"].as_array().unwrap().last().unwrap();
    let chunk = |delta: Value, reason: Option<&str>| {
        json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
    };
    let mut data = Vec::new();
    if last.to_string().contains("stall") {
        return vec![
            events(),
            Act::Send(event(chunk(json!({"content": "Well"}), None))),
            Act::Hold,
        ];
    }
    if body["tools"].is_array() && last["role"] != "tool" {
        let call = json!({"index": 0, "id": "call_a", "type": "function",
            "function": {"name": "add", "arguments": "{\"a\": 1}"}});
        data.push(chunk(json!({ "tool_calls": [call] }), None));
        data.push(chunk(json!({}), Some("tool_calls")));
    } else {
        data.push(chunk(json!({"role": "assistant", "content": "Hello, "}), None));
        data.push(chunk(json!({"content": "Ada."}), None));
        data.push(chunk(json!({}), Some("stop")));
    }
    data.push(json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}}));
    let mut acts = vec![events()];
    acts.extend(data.into_iter().map(|data| Act::Send(event(data))));
    acts.push(Act::Send(event("[DONE]")));
    acts
}

/// Events of a response, as they are on the wire.
pub(crate) fn response_stream(data: impl IntoIterator<Item = Value>) -> Vec<Act> {
    let mut acts = vec![events()];
    acts.extend(data.into_iter().enumerate().map(|(number, mut data)| {
        data["sequence_number"] = number.into();
        Act::Send(super::anthropic::event(&data))
    }));
    acts
}

/// A response as events have it.
pub(crate) fn response(status: &str, output: Value) -> Value {
    json!({"id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-5-mini",
        "status": status, "output": output, "error": null, "incomplete_details": null,
        "instructions": null, "metadata": {}, "parallel_tool_calls": true, "temperature": 1.0,
        "tool_choice": "auto", "tools": [], "top_p": 1.0,
        "usage": {"input_tokens": 70, "input_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 10},
            "output_tokens": 30, "output_tokens_details": {"reasoning_tokens": 16},
            "total_tokens": 100}})
}

pub(crate) fn item_events(index: u64, start: Value, middle: Vec<Value>, end: Value) -> Vec<Value> {
    let mut events =
        vec![json!({"type": "response.output_item.added", "output_index": index, "item": start})];
    events.extend(middle.into_iter().map(|mut data| {
        data["output_index"] = index.into();
        data["item_id"] = start["id"].clone();
        data
    }));
    events.push(json!({"type": "response.output_item.done", "output_index": index, "item": end}));
    events
}

pub(crate) fn text(index: u64, pieces: &[&str]) -> Vec<Value> {
    let start = json!({"type": "message", "id": "msg_1", "role": "assistant", "status": "in_progress", "content": []});
    let mut middle = vec![json!({"type": "response.content_part.added", "content_index": 0,
        "part": {"type": "output_text", "text": "", "annotations": []}})];
    middle.extend(pieces.iter().map(|text| {
        json!({"type": "response.output_text.delta", "content_index": 0, "delta": text, "logprobs": []})
    }));
    let part = json!({"type": "output_text", "text": pieces.concat(), "annotations": []});
    middle.push(json!({"type": "response.output_text.done", "content_index": 0,
        "text": pieces.concat(), "logprobs": []}));
    middle.push(json!({"type": "response.content_part.done", "content_index": 0, "part": part}));
    let end = json!({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
        "content": [part]});
    item_events(index, start, middle, end)
}

pub(crate) fn call(index: u64, id: &str, name: &str, pieces: &[&str]) -> Vec<Value> {
    let item = |status: &str, arguments: &str| {
        json!({"type": "function_call", "id": format!("fc_{id}"), "call_id": id, "name": name,
            "arguments": arguments, "status": status})
    };
    let mut middle: Vec<Value> = pieces
        .iter()
        .map(|json| json!({"type": "response.function_call_arguments.delta", "delta": json}))
        .collect();
    middle.push(json!({"type": "response.function_call_arguments.done", "name": name,
        "arguments": pieces.concat()}));
    item_events(index, item("in_progress", ""), middle, item("completed", &pieces.concat()))
}

pub(crate) fn reasoning(index: u64) -> Vec<Value> {
    let item = |encrypted: Value| {
        json!({"type": "reasoning", "id": "rs_1", "summary": [], "content": null,
            "encrypted_content": encrypted, "status": "completed"})
    };
    let middle = vec![json!({"type": "response.reasoning_summary_text.delta", "summary_index": 0,
        "delta": "I need the sum."})];
    item_events(index, item("gAAA".into()), middle, item(REASONING.into()))
}

fn responses(body: &Value) -> Vec<Act> {
    let items = body["input"].as_array().cloned().unwrap_or_default();
    let said = items.last().map(ToString::to_string).unwrap_or_default();
    let mut data =
        vec![json!({"type": "response.created", "response": response("in_progress", json!([]))})];
    if said.contains("stall") {
        data.extend(text(0, &["Well"]));
        let mut acts = response_stream(data);
        acts.push(Act::Hold);
        return acts;
    }
    let results = items.iter().filter(|item| item["type"] == "function_call_output").count();
    let calls = items.iter().filter(|item| item["type"] == "function_call").count();
    if results != calls {
        let message = "No tool output found for function call.";
        return error("400 Bad Request", "invalid_request_error", message);
    }
    if results > 0 {
        let kept = items.iter().find(|item| item["type"] == "reasoning");
        let whole = kept.is_some_and(|item| {
            item["encrypted_content"] == REASONING
                && item["id"] == "rs_1"
                && item.get("status").is_none()
        });
        if !whole {
            let message =
                "Item of type 'function_call' was provided without its required 'reasoning' item";
            return error("400 Bad Request", "invalid_request_error", message);
        }
    }
    if body["tools"].as_array().is_some_and(|tools| !tools.is_empty()) && results == 0 {
        data.extend(reasoning(0));
        data.extend(call(1, "call_a", "add", &["{\"a\":", " 1}"]));
        data.extend(call(2, "call_b", "add", &["{}"]));
    } else {
        data.extend(text(0, &["Hello, ", "Ada."]));
    }
    let output: Vec<Value> = data
        .iter()
        .filter(|data| data["type"] == "response.output_item.done")
        .map(|data| data["item"].clone())
        .collect();
    data.push(
        json!({"type": "response.completed", "response": response("completed", output.into())}),
    );
    response_stream(data)
}
