//! Anthropic's Messages.

use openclaw_core::serde_json::{Value, json};

use super::{
    super::server::{Act, Received, answer, events, json_answer},
    KEY,
};

/// The thought that a model that thinks has before a call, and its signature.
pub(crate) const THOUGHT: (&str, &str) = ("I need the sum.", "EqQBCgIYAhIM-signed");

/// An event as it is on the wire.
pub(crate) fn event(data: &Value) -> Vec<u8> {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap()).into_bytes()
}

/// A stream of these events.
pub(crate) fn stream(data: impl IntoIterator<Item = Value>) -> Vec<Act> {
    let mut acts = vec![events()];
    acts.extend(data.into_iter().map(|data| Act::Send(event(&data))));
    acts
}

pub(crate) fn start() -> Value {
    json!({"type": "message_start", "message": {
        "id": "msg_01", "type": "message", "role": "assistant", "model": "claude-haiku-4-5",
        "content": [], "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": 30, "cache_creation_input_tokens": 50,
            "cache_read_input_tokens": 20, "output_tokens": 1}}})
}

/// A block: how it starts and what it grows by.
pub(crate) fn block(
    index: u64,
    start: Value,
    deltas: impl IntoIterator<Item = Value>,
) -> Vec<Value> {
    let mut events =
        vec![json!({"type": "content_block_start", "index": index, "content_block": start})];
    events.extend(
        deltas
            .into_iter()
            .map(|delta| json!({"type": "content_block_delta", "index": index, "delta": delta})),
    );
    events.push(json!({"type": "content_block_stop", "index": index}));
    events
}

pub(crate) fn text(index: u64, pieces: &[&str]) -> Vec<Value> {
    let deltas = pieces.iter().map(|text| json!({"type": "text_delta", "text": text}));
    block(index, json!({"type": "text", "text": ""}), deltas)
}

pub(crate) fn call(index: u64, id: &str, name: &str, pieces: &[&str]) -> Vec<Value> {
    let start = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
    let deltas =
        pieces.iter().map(|json| json!({"type": "input_json_delta", "partial_json": json}));
    block(index, start, deltas)
}

pub(crate) fn thinking(index: u64, (text, signature): (&str, &str)) -> Vec<Value> {
    let (first, second) = text.split_at(5);
    let deltas = [
        json!({"type": "thinking_delta", "thinking": first}),
        json!({"type": "thinking_delta", "thinking": second}),
        json!({"type": "signature_delta", "signature": signature}),
    ];
    block(index, json!({"type": "thinking", "thinking": "", "signature": ""}), deltas)
}

pub(crate) fn stop(reason: &str) -> Vec<Value> {
    vec![
        json!({"type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": null},
            "usage": {"output_tokens": 12, "output_tokens_details": {"thinking_tokens": 4}}}),
        json!({"type": "message_stop"}),
    ]
}

pub(crate) fn error(class: &str, message: &str) -> Value {
    json!({"type": "error", "error": {"type": class, "message": message},
        "request_id": "req_01"})
}

/// The service. It answers by what was last said.
pub(crate) fn service(request: &Received) -> Vec<Act> {
    let (head, body) = (&request.head, &request.body);
    // The official client shows the key as a bearer's since its version 2.
    let keys = [format!("x-api-key: {KEY}"), format!("authorization: bearer {KEY}")];
    if !keys.iter().any(|key| head.contains(key)) {
        let body = error("authentication_error", "invalid x-api-key");
        return json_answer("401 Unauthorized", &body);
    }
    let versions = ["2023-06-01", "2026-10-21"].map(|date| format!("anthropic-version: {date}"));
    let Some(version) = versions.iter().find(|version| head.contains(*version)) else {
        let message = "anthropic-version: header is required";
        return json_answer("400 Bad Request", &error("invalid_request_error", message));
    };
    if version.ends_with("2026-10-21") && body.get("temperature").is_some() {
        let message = "temperature: Extra inputs are not permitted";
        return json_answer("400 Bad Request", &error("invalid_request_error", message));
    }
    if head.starts_with("get /v1/models") {
        return json_answer("200 OK", &models(head));
    }
    if let Some(message) = fault(body) {
        return json_answer("400 Bad Request", &error("invalid_request_error", &message));
    }
    let last = body["messages"].as_array().unwrap().last().unwrap();
    let said = last["content"].to_string();
    if said.contains("overload") {
        let body = error("overloaded_error", "Overloaded").to_string();
        return answer(
            "529 Overloaded",
            "content-type: application/json\r\nretry-after: 2\r\n",
            &body,
        );
    }
    if said.contains("stall") {
        let mut acts = stream([start()]);
        acts.extend(text(0, &["Well"]).iter().map(|data| Act::Send(event(data))));
        acts.push(Act::Hold);
        return acts;
    }
    let mut events = vec![start(), json!({"type": "ping"})];
    let thinks = body["thinking"]["type"] == "enabled";
    if body["tools"].is_array() && !said.contains("tool_result") {
        if thinks {
            events.extend(thinking(0, THOUGHT));
        }
        let first = u64::from(thinks);
        events.extend(call(first, "toolu_01", "add", &["", "{\"a\":", " 1}"]));
        events.extend(call(first + 1, "toolu_02", "add", &[]));
        events.extend(stop("tool_use"));
    } else {
        events.extend(text(0, &["Hello, ", "Ada."]));
        events.extend(stop("end_turn"));
    }
    stream(events)
}

/// Two pages.
fn models(head: &str) -> Value {
    let model = |id: &str| {
        json!({"type": "model", "id": id, "display_name": id, "created_at": "2025-10-01T00:00:00Z",
            "lifecycle": "active", "max_input_tokens": 200_000, "max_tokens": 64_000,
            "capabilities": {"image_input": {"supported": true}}})
    };
    if head.contains("after_id=claude-haiku-4-5 ") {
        return json!({"data": [model("claude-opus-4-6")], "has_more": false,
            "first_id": "claude-opus-4-6", "last_id": "claude-opus-4-6"});
    }
    json!({"data": [model("claude-haiku-4-5")], "has_more": true,
        "first_id": "claude-haiku-4-5", "last_id": "claude-haiku-4-5"})
}

/// What the API would refuse.
fn fault(body: &Value) -> Option<String> {
    let messages = body["messages"].as_array()?;
    if !body["max_tokens"].is_u64() {
        return Some("max_tokens: Field required".into());
    }
    let marks = body.to_string().matches("cache_control").count();
    if marks > 4 {
        return Some(format!(
            "A maximum of 4 blocks with cache_control may be provided. Found {marks}."
        ));
    }
    let mut open: Vec<&str> = Vec::new();
    let no_blocks = Vec::new();
    for message in messages {
        let blocks = message["content"].as_array().unwrap_or(&no_blocks);
        for block in blocks {
            match block["type"].as_str()? {
                "text" if block["text"] == "" => {
                    return Some("messages: text content blocks must be non-empty".into());
                }
                "tool_use" => open.push(block["id"].as_str()?),
                "tool_result" => {
                    let id = block["tool_use_id"].as_str()?;
                    let Some(at) = open.iter().position(|known| *known == id) else {
                        return Some(format!("unexpected `tool_use_id` {id}"));
                    };
                    open.remove(at);
                }
                "thinking" if block["signature"] != THOUGHT.1 || block["thinking"] != THOUGHT.0 => {
                    return Some("Invalid `signature` in `thinking` block".into());
                }
                _ => {}
            }
        }
        if message["role"] == "user" && !open.is_empty() {
            return Some("`tool_use` ids were found without `tool_result` blocks".into());
        }
    }
    let last = messages.iter().rev().find(|message| message["role"] == "assistant");
    let thinks = body["thinking"]["type"] == "enabled";
    let calls = last.is_some_and(|message| message["content"].to_string().contains("tool_use"));
    if thinks && calls && last?["content"][0]["type"] != "thinking" {
        return Some("Expected `thinking` or `redacted_thinking`, but found `tool_use`".into());
    }
    None
}
