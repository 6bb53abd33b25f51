//! From the bytes of an answer to the events of a completion.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use openclaw_core::{
    Error, ErrorKind, Result, Retry,
    http_client::Body,
    provider::{CompletionEvent, CompletionStream, FinishReason, Price, ToolCall, Usage},
    serde_json::{self, Value},
    time::Cancel,
};
use sse_stream::{Sse, SseByteStream};

use super::{
    Service,
    error::broken_off,
    wire::{CallDelta, Chunk, Delta, FunctionDelta},
};

/// The longest event that is read, in bytes.
pub const MAX_EVENT_BYTES: usize = 4 * 1024 * 1024;

/// The longest answer that is read, in bytes on the wire.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

type Events = stream::BoxStream<'static, Result<Sse, sse_stream::Error>>;

/// What goes on until the answer's end.
struct Reading {
    events: Events,
    /// Bytes read since the last whole event.
    pending: Arc<AtomicUsize>,
    answer: Answer,
    ready: VecDeque<CompletionEvent>,
    cancel: Cancel,
    idle: Duration,
    service: Service,
}

/// Reads the completion from the body of a response. The body is dropped, and with it the
/// connection, when the stream ends, fails or is dropped.
pub(super) fn read(
    body: Body,
    price: Option<Price>,
    cancel: Cancel,
    idle: Duration,
    service: Service,
) -> CompletionStream {
    let pending = Arc::new(AtomicUsize::new(0));
    let reading = Reading {
        events: events(body, pending.clone()),
        pending,
        answer: Answer { price, ..Answer::default() },
        ready: VecDeque::new(),
        cancel,
        idle,
        service,
    };
    CompletionStream::new(stream::unfold(Some(reading), async |reading| {
        let mut reading = reading?;
        match reading.next().await {
            Ok(finish @ CompletionEvent::Finish { .. }) => Some((Ok(finish), None)),
            Ok(event) => Some((Ok(event), Some(reading))),
            Err(error) => Some((Err(reading.service.name(error)), None)),
        }
    }))
}

/// Cuts the bytes into events, and refuses to hold more of them than the limits say.
fn events(body: Body, pending: Arc<AtomicUsize>) -> Events {
    let mut total = 0_usize;
    let limited = body.map(move |chunk| {
        let chunk = chunk?;
        total = total.saturating_add(chunk.len());
        let event = pending.fetch_add(chunk.len(), Ordering::Relaxed).saturating_add(chunk.len());
        let (what, limit) = if event > MAX_EVENT_BYTES {
            ("event", MAX_EVENT_BYTES)
        } else if total > MAX_ANSWER_BYTES {
            ("answer", MAX_ANSWER_BYTES)
        } else {
            return Ok(chunk);
        };
        Err(invalid(format!("it sent an {what} of more than {limit} bytes")))
    });
    SseByteStream::new(limited).boxed()
}

impl Reading {
    /// The next event of the completion; the last one is its finish.
    async fn next(&mut self) -> Result<CompletionEvent> {
        loop {
            if self.cancel.is_cancelled() {
                return Err(cancelled());
            }
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            let event = tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Err(cancelled()),
                event = tokio::time::timeout(self.idle, self.events.next()) => event,
            };
            let ended = match event {
                Ok(Some(Ok(event))) => {
                    self.pending.store(0, Ordering::Relaxed);
                    match event.data.as_deref().map(str::trim) {
                        None | Some("") => continue,
                        Some("[DONE]") => Ended::Done,
                        Some(data) => {
                            self.answer.read(data, &mut self.ready, &self.service)?;
                            continue;
                        }
                    }
                }
                Ok(None) => Ended::Early(cut_short()),
                Ok(Some(Err(error))) => Ended::Early(broken(error)),
                Err(_) => Ended::Early(Error::new(
                    ErrorKind::Timeout,
                    format!("it sent nothing for {} s", self.idle.as_secs_f32()),
                )),
            };
            self.ready = std::mem::take(&mut self.answer).finish(ended)?;
        }
    }
}

/// How the stream of events ended.
enum Ended {
    /// With the word for it.
    Done,
    /// Without; what it means if the answer was not whole.
    Early(Error),
}

/// What has arrived of an answer and is not yet passed on.
#[derive(Default)]
struct Answer {
    price: Option<Price>,
    calls: Vec<ToolCallParts>,
    /// The service's word for why it ended, once that has come.
    reason: Option<String>,
    refused: bool,
    begun: bool,
    usage: Usage,
}

#[derive(Default)]
struct ToolCallParts {
    wire_index: Option<u32>,
    call_id: String,
    name: String,
    arguments: String,
}

impl Answer {
    /// Takes in the data of one event.
    fn read(
        &mut self,
        data: &str,
        out: &mut VecDeque<CompletionEvent>,
        service: &Service,
    ) -> Result<()> {
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
            return Err(broken_off(&serde_json::from_str(&clean).unwrap_or(Value::Null)));
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
        Ok(())
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
            Some(index) => self.calls.iter().rposition(|call| call.wire_index == Some(index)),
            None => self.calls.len().checked_sub(1),
        };
        let known = known.filter(|position| {
            let known_id = self.calls.get(*position).map(|call| call.call_id.as_str());
            call_id.is_empty() || known_id.is_none_or(|id| id.is_empty() || id == call_id)
        });
        let position = known.unwrap_or_else(|| {
            self.calls.push(ToolCallParts { wire_index: piece.index, ..ToolCallParts::default() });
            self.calls.len() - 1
        });
        let Some(call) = self.calls.get_mut(position) else {
            return Err(Error::internal("a call that was just found or made is not there"));
        };
        if call.call_id.is_empty() {
            call.call_id = call_id;
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
        if !json.is_empty() {
            call.arguments.push_str(&json);
            let index = u32::try_from(position).unwrap_or(u32::MAX);
            out.push_back(CompletionEvent::ToolCallDelta { index, json });
        }
        Ok(())
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
        let mut events = VecDeque::with_capacity(self.calls.len() + 1);
        for (position, call) in self.calls.into_iter().enumerate() {
            let whole = reason == FinishReason::ToolCalls
                || serde_json::from_str::<Value>(&call.arguments).is_ok();
            if !whole {
                continue; // Cut with the answer: half a call is none.
            }
            if call.name.is_empty() {
                return Err(invalid("it called a tool without naming it"));
            }
            let id =
                if call.call_id.is_empty() { format!("call_{position}") } else { call.call_id };
            events.push_back(CompletionEvent::ToolCall(ToolCall {
                id,
                name: call.name,
                arguments: call.arguments,
            }));
        }
        events.push_back(CompletionEvent::Finish { reason, usage: self.usage });
        Ok(events)
    }
}

pub(super) fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the completion was cancelled")
}

/// The model may do better the next time.
fn invalid(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidData, text).with_retry(Retry::Backoff)
}

fn cut_short() -> Error {
    invalid("its answer was cut short").with_public("the model's answer was cut short")
}

fn broken(error: sse_stream::Error) -> Error {
    match error {
        sse_stream::Error::Body(source) => match source.downcast::<Error>() {
            Ok(error) => *error,
            Err(other) => Error::wrap(ErrorKind::Unavailable, other),
        },
        other => invalid(format!("it sent what is no stream of events: {other}")),
    }
}
