//! From the events of an answer to those of a completion.

use std::collections::VecDeque;

use openclaw_core::{
    Error, ErrorKind, Result,
    provider::{CompletionEvent, FinishReason, Price, Usage},
    serde_json::{self, Value},
};

use super::wire::{CallDelta, Chunk, Delta, FunctionDelta};
use crate::service::{Answer, Calls, Ended, Service, cut_short, invalid};

/// What has arrived of an answer and is not yet passed on.
#[derive(Default)]
pub(in crate::openai) struct ChatAnswer {
    price: Option<Price>,
    calls: Calls,
    /// What the service calls each of them.
    wire_indexes: Vec<Option<u32>>,
    /// The service's word for why it ended, once that has come.
    reason: Option<String>,
    refused: bool,
    begun: bool,
    usage: Usage,
}

impl ChatAnswer {
    pub(in crate::openai) fn new(price: Option<Price>) -> Self {
        Self { price, ..Self::default() }
    }

    fn delta(&mut self, delta: Delta, out: &mut VecDeque<CompletionEvent>) -> Result<()> {
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        if let Some(text) = some(delta.reasoning_content).or_else(|| some(delta.reasoning)) {
            out.push_back(CompletionEvent::Reasoning { text });
        }
        if let Some(text) = some(delta.content) {
            out.push_back(CompletionEvent::Text { text });
        }
        if let Some(text) = some(delta.refusal) {
            self.refused = true;
            out.push_back(CompletionEvent::Text { text });
        }
        for call in delta.tool_calls.into_iter().flatten() {
            self.call(call, out)?;
        }
        if let Some(function) = delta.function_call {
            let call = CallDelta { index: Some(0), id: None, function: Some(function) };
            self.call(call, out)?;
        }
        Ok(())
    }

    /// Takes in a piece of a call. Which call it belongs to is said by its index, or, by services
    /// that leave that out or always say 0, by whether it brings another id.
    fn call(&mut self, piece: CallDelta, out: &mut VecDeque<CompletionEvent>) -> Result<()> {
        let call_id = piece.id.unwrap_or_default();
        let known = match piece.index {
            Some(index) => self.wire_indexes.iter().rposition(|known| *known == Some(index)),
            None => self.calls.len().checked_sub(1),
        };
        let known = known.filter(|position| {
            let known_id = self.calls.get_mut(*position).map(|call| call.id.as_str());
            call_id.is_empty() || known_id.is_none_or(|id| id.is_empty() || id == call_id)
        });
        let position = known.unwrap_or_else(|| {
            self.wire_indexes.push(piece.index);
            self.calls.begin("", "")
        });
        let Some(call) = self.calls.get_mut(position) else {
            return Err(Error::internal("a call that was just found or made is not there"));
        };
        if call.id.is_empty() {
            call.id = call_id;
        }
        let FunctionDelta { name, arguments } = piece.function.unwrap_or_default();
        // Some services repeat the name with each piece; none sends it in pieces.
        if call.name.is_empty() {
            call.name = name.unwrap_or_default();
        }
        let json = match arguments {
            None | Some(Value::Null) => return Ok(()),
            Some(Value::String(text)) => text,
            Some(parsed) => parsed.to_string(),
        };
        self.calls.grow(position, &json, out)
    }
}

impl Answer for ChatAnswer {
    fn read(
        &mut self,
        frame: &str,
        out: &mut VecDeque<CompletionEvent>,
        service: &Service,
    ) -> Result<bool> {
        let data = frame.trim();
        if data == "[DONE]" {
            return Ok(true);
        }
        let chunk: Chunk = match serde_json::from_str(data) {
            Ok(chunk) => chunk,
            Err(error) => {
                return Err(invalid(format!(
                    "it sent an event that is no chunk of a completion: {error}"
                )));
            }
        };
        if chunk.is_error() {
            let clean = service.without_key(data);
            return Err(service.broken_off(&serde_json::from_str(&clean).unwrap_or(Value::Null)));
        }
        if let Some(usage) = &chunk.usage {
            self.usage = usage.usage(self.price);
        }
        for choice in chunk.choices.into_iter().flatten().filter(|choice| choice.index == 0) {
            self.begun = true;
            if let Some(delta) = choice.delta {
                self.delta(delta, out)?;
            }
            if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
                self.reason = Some(reason);
            }
        }
        Ok(false)
    }

    /// The calls and the finish, if the answer is whole.
    ///
    /// It is whole if the service said why it ended, whatever happened to the connection then, or if
    /// it at least said that it is done.
    fn finish(self, ended: Ended) -> Result<VecDeque<CompletionEvent>> {
        let word = match (self.reason, ended) {
            (Some(reason), _) => reason,
            (None, Ended::Done) if self.begun => "stop".to_owned(),
            (None, Ended::Done) => return Err(cut_short()),
            (None, Ended::Early(error)) => return Err(error),
        };
        let reason = match word.as_str() {
            _ if self.refused => FinishReason::Refused,
            "stop" | "tool_calls" | "function_call" if !self.calls.is_empty() => {
                FinishReason::ToolCalls
            }
            "stop" | "tool_calls" | "function_call" | "eos" => FinishReason::Stop,
            "length" | "max_tokens" => FinishReason::Length,
            "content_filter" | "refusal" => FinishReason::Refused,
            "error" => {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    "it ended its answer with an error",
                ));
            }
            _ => FinishReason::Other(word),
        };
        let mut events = VecDeque::from(self.calls.finish(&reason)?);
        events.push_back(CompletionEvent::Finish { reason, usage: self.usage });
        Ok(events)
    }
}
