//! Ollama's own API.

use openclaw_core::serde_json::{Value, json};

use super::{
    super::server::{Act, Received, json_answer, lines},
    inputs, vector,
};

/// How many values its vectors have.
pub(crate) const DIMENSIONS: usize = 12;

/// A line as it is on the wire.
pub(crate) fn line(data: &Value) -> Vec<u8> {
    format!("{data}\n").into_bytes()
}

pub(crate) fn stream(data: impl IntoIterator<Item = Value>) -> Vec<Act> {
    let mut acts = vec![lines()];
    acts.extend(data.into_iter().map(|data| Act::Send(line(&data))));
    acts
}

/// A line of a chat with this message.
pub(crate) fn said(message: Value) -> Value {
    let mut message = message;
    message["role"] = "assistant".into();
    json!({"model": "qwen3:8b", "created_at": "2026-11-01T00:00:00Z", "message": message,
        "done": false})
}

pub(crate) fn done(reason: &str) -> Value {
    json!({"model": "qwen3:8b", "created_at": "2026-11-01T00:00:00Z",
        "message": {"role": "assistant", "content": ""}, "done": true, "done_reason": reason,
        "total_duration": 9, "prompt_eval_count": 26, "eval_count": 8})
}

fn model(name: &str) -> Value {
    json!({"name": name, "model": name, "modified_at": "2026-11-01T00:00:00Z", "size": 5_000,
        "digest": "abc", "details": {"family": "qwen3"}})
}

/// The service. It has two models, and answers by what was last said.
pub(crate) fn service(request: &Received) -> Vec<Act> {
    let (head, body) = (&request.head, &request.body);
    let known = ["qwen3:8b", "nomic-embed-text:latest", "nomic-embed-text"];
    if head.starts_with("get /api/tags") {
        let models = [model("qwen3:8b"), model("nomic-embed-text:latest")];
        return json_answer("200 OK", &json!({ "models": models }));
    }
    let name = body["model"].as_str().unwrap_or_default();
    if head.starts_with("post /api/pull") {
        return pull(name, body["stream"] != false);
    }
    if !known.contains(&name) {
        let error = format!("model '{name}' not found");
        return json_answer("404 Not Found", &json!({ "error": error }));
    }
    if head.starts_with("post /api/show") {
        let embeds = name.starts_with("nomic");
        let can =
            if embeds { json!(["embedding"]) } else { json!(["completion", "tools", "thinking"]) };
        let facts = json!({"general.architecture": "qwen3", "qwen3.context_length": 40_960});
        return json_answer(
            "200 OK",
            &json!({"model_info": facts, "capabilities": can, "details": {}}),
        );
    }
    if head.starts_with("post /api/embed") {
        let vectors: Vec<Value> =
            inputs(body).iter().map(|text| vector(text, DIMENSIONS)).collect();
        return json_answer("200 OK", &json!({"model": name, "embeddings": vectors}));
    }
    chat(body)
}

fn chat(body: &Value) -> Vec<Act> {
    let last = body["messages"].as_array().unwrap().last().unwrap();
    let text = last["content"].as_str().unwrap();
    if text.contains("stall") {
        let mut acts = stream([said(json!({"content": "Well"}))]);
        acts.push(Act::Hold);
        return acts;
    }
    // The official client always sends a list of tools.
    let has_tools = body["tools"].as_array().is_some_and(|tools| !tools.is_empty());
    if has_tools && last["role"] != "tool" {
        let call = |arguments: Value| json!({"function": {"name": "add", "arguments": arguments}});
        return stream([
            said(json!({"content": "", "thinking": "I need the sum."})),
            said(json!({"content": "", "tool_calls": [call(json!({"a": 1})), call(json!({}))]})),
            done("stop"),
        ]);
    }
    let pieces = ["Hello, ", "Ada."].map(|text| said(json!({ "content": text })));
    stream(pieces.into_iter().chain([done("stop")]))
}

fn pull(name: &str, streamed: bool) -> Vec<Act> {
    if name == "no-such-model" {
        let failure = json!({"error": "pull model manifest: file does not exist"});
        return stream([json!({"status": "pulling manifest"}), failure]);
    }
    if !streamed {
        return json_answer("200 OK", &json!({"status": "success"}));
    }
    let layer = |completed: u64| {
        json!({"status": "pulling 6a0746a1ec1a", "digest": "sha256:6a07", "total": 100,
            "completed": completed})
    };
    stream([
        json!({"status": "pulling manifest"}),
        layer(40),
        layer(100),
        json!({"status": "success"}),
    ])
}
