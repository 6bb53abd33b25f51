//! What `/v1/responses` answers, whole or bit by bit.

use serde_json::{Value, json};

use super::{
    Failure, Piece,
    responses::object,
    told::{Telling, Whole, error},
};
use crate::provider::{FinishReason, ToolCall, Usage};

/// What all parts of a response have in common.
pub(super) struct Form {
    pub(super) id: String,
    /// The id of its message.
    pub(super) item: String,
    pub(super) created: i64,
    pub(super) model: String,
    pub(super) previous: Option<String>,
}

impl Form {
    pub(super) fn whole(&self, whole: &Whole) -> Value {
        let mut output = Vec::new();
        if !whole.text.is_empty() || whole.calls.is_empty() {
            output.push(self.message(&whole.text, "completed"));
        }
        output.extend(whole.calls.iter().map(|one| call(one, "completed")));
        self.ended(&whole.reason, &whole.usage, &output)
    }

    fn ended(&self, reason: &FinishReason, usage: &Usage, output: &[Value]) -> Value {
        let why = match reason {
            FinishReason::Length => Some("max_output_tokens"),
            FinishReason::Refused => Some("content_filter"),
            _ => None,
        };
        let status = if why.is_some() { "incomplete" } else { "completed" };
        let mut value = object(self, status, output, used(usage));
        if let (Some(why), Some(map)) = (why, value.as_object_mut()) {
            map.insert("incomplete_details".to_owned(), json!({ "reason": why }));
        }
        value
    }

    fn message(&self, text: &str, status: &str) -> Value {
        let content = if status == "in_progress" { json!([]) } else { json!([part(text)]) };
        json!({
            "id": self.item, "type": "message", "status": status, "role": "assistant",
            "content": content,
        })
    }
}

fn part(text: &str) -> Value {
    json!({ "type": "output_text", "text": text, "annotations": [] })
}

fn call(call: &ToolCall, status: &str) -> Value {
    let arguments = if status == "in_progress" { "" } else { &call.arguments };
    json!({
        "id": format!("fc_{}", call.id), "type": "function_call", "status": status,
        "call_id": call.id, "name": call.name, "arguments": arguments,
    })
}

fn used(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.input_tokens,
        "input_tokens_details": { "cached_tokens": usage.cached_input_tokens },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": { "reasoning_tokens": usage.reasoning_tokens },
        "total_tokens": usage.total_tokens(),
    })
}

/// The response as events, each with its number.
pub(super) struct Events {
    form: Form,
    number: u64,
    /// The text so far, if a message was begun.
    text: Option<String>,
    calls: Vec<ToolCall>,
}

impl Events {
    pub(super) fn new(form: Form) -> Self {
        Self { form, number: 0, text: None, calls: Vec::new() }
    }

    fn event(&mut self, name: &str, mut value: Value) -> String {
        if let Some(map) = value.as_object_mut() {
            map.insert("type".to_owned(), name.into());
            map.insert("sequence_number".to_owned(), self.number.into());
        }
        self.number += 1;
        format!("event: {name}\ndata: {value}\n\n")
    }

    /// Begins the message; it is the first item.
    fn open(&mut self) -> String {
        if self.text.is_some() {
            return String::new();
        }
        self.text = Some(String::new());
        let item = self.form.message("", "in_progress");
        let id = self.form.item.clone();
        self.event("response.output_item.added", json!({ "output_index": 0, "item": item }))
            + &self.event(
                "response.content_part.added",
                json!({ "item_id": id, "output_index": 0, "content_index": 0, "part": part("") }),
            )
    }

    fn close(&mut self) -> String {
        let Some(text) = self.text.clone() else { return String::new() };
        let (id, item) = (self.form.item.clone(), self.form.message(&text, "completed"));
        let place = |mut more: Value| {
            if let Some(map) = more.as_object_mut() {
                map.insert("item_id".to_owned(), id.clone().into());
                map.insert("output_index".to_owned(), 0.into());
                map.insert("content_index".to_owned(), 0.into());
            }
            more
        };
        let done = place(json!({ "text": text, "logprobs": [] }));
        let part = place(json!({ "part": part(&text) }));
        self.event("response.output_text.done", done)
            + &self.event("response.content_part.done", part)
            + &self.event("response.output_item.done", json!({ "output_index": 0, "item": item }))
    }

    /// A call comes whole, after the message if there is one.
    fn called(&mut self, one: &ToolCall, index: usize) -> String {
        let id = format!("fc_{}", one.id);
        let arguments = &one.arguments;
        let begun = json!({ "output_index": index, "item": call(one, "in_progress") });
        let delta = json!({ "item_id": id, "output_index": index, "delta": arguments });
        let whole = json!({
            "item_id": id, "output_index": index, "name": one.name, "arguments": arguments,
        });
        let done = json!({ "output_index": index, "item": call(one, "completed") });
        self.event("response.output_item.added", begun)
            + &self.event("response.function_call_arguments.delta", delta)
            + &self.event("response.function_call_arguments.done", whole)
            + &self.event("response.output_item.done", done)
    }
}

impl Telling for Events {
    fn begin(&mut self) -> String {
        let begun = object(&self.form, "in_progress", &[], Value::Null);
        self.event("response.created", json!({ "response": begun }))
            + &self.event("response.in_progress", json!({ "response": begun }))
    }

    fn piece(&mut self, piece: Piece) -> String {
        match piece {
            Piece::Text(text) => {
                let opened = self.open();
                if let Some(all) = &mut self.text {
                    all.push_str(&text);
                }
                let delta = json!({
                    "item_id": self.form.item, "output_index": 0, "content_index": 0,
                    "delta": text, "logprobs": [],
                });
                opened + &self.event("response.output_text.delta", delta)
            }
            // They are told at the end, behind the whole message.
            Piece::Call(call) => {
                self.calls.push(call);
                String::new()
            }
            Piece::End { .. } => String::new(),
        }
    }

    fn end(&mut self, reason: &FinishReason, usage: &Usage) -> String {
        let calls = std::mem::take(&mut self.calls);
        let mut told = if calls.is_empty() { self.open() } else { String::new() };
        told.push_str(&self.close());
        let text = self.text.take();
        let first = usize::from(text.is_some());
        for (index, one) in calls.iter().enumerate() {
            told.push_str(&self.called(one, first + index));
        }
        let mut output: Vec<Value> =
            text.iter().map(|text| self.form.message(text, "completed")).collect();
        output.extend(calls.iter().map(|one| call(one, "completed")));
        let response = self.form.ended(reason, usage, &output);
        let name = if response.get("status") == Some(&"incomplete".into()) {
            "response.incomplete"
        } else {
            "response.completed"
        };
        told.push_str(&self.event(name, json!({ "response": response })));
        told
    }

    fn failed(&mut self, failure: &Failure) -> String {
        let mut response = object(&self.form, "failed", &[], Value::Null);
        if let Some(map) = response.as_object_mut() {
            let told = error(failure);
            let why = json!({ "code": "server_error", "message": told.get("message") });
            map.insert("error".to_owned(), why);
        }
        self.event("response.failed", json!({ "response": response }))
    }
}
