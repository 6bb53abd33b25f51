//! From frames to the events of a completion.

use std::collections::VecDeque;

use futures_util::stream;
use openclaw_core::{
    Error, Result,
    provider::{CompletionEvent, CompletionStream, FinishReason, ToolCall},
    serde_json::{self, Value},
};

use super::{Service, read, read::Frames, read::invalid};

/// An answer as one API sends it.
pub(crate) trait Answer: Send + 'static {
    /// Takes in a frame; true if it was the last one.
    fn read(
        &mut self,
        frame: &str,
        out: &mut VecDeque<CompletionEvent>,
        service: &Service,
    ) -> Result<bool>;

    /// The calls, the state and the finish, if the answer is whole; else what that means.
    fn finish(self, ended: Ended) -> Result<VecDeque<CompletionEvent>>;
}

/// How the frames ended.
pub(crate) enum Ended {
    /// With the word for it.
    Done,
    /// Without; what it means if the answer was not whole.
    Early(Error),
}

/// Reads the completion from the frames of a body. The body is dropped, and with it the connection, when
/// the stream ends, fails or is dropped.
pub(crate) fn completion<A: Answer>(
    answer: A,
    frames: Frames,
    service: Service,
) -> CompletionStream {
    let reading = Reading { frames, answer: Some(answer), ready: VecDeque::new(), service };
    CompletionStream::new(stream::unfold(Some(reading), async |reading| {
        let mut reading = reading?;
        match reading.next().await {
            Ok(finish @ CompletionEvent::Finish { .. }) => Some((Ok(finish), None)),
            Ok(event) => Some((Ok(event), Some(reading))),
            Err(error) => Some((Err(reading.service.name(error)), None)),
        }
    }))
}

/// What goes on until the answer's end.
struct Reading<A> {
    frames: Frames,
    /// `None` once it has ended.
    answer: Option<A>,
    ready: VecDeque<CompletionEvent>,
    service: Service,
}

impl<A: Answer> Reading<A> {
    /// The next event of the completion; the last one is its finish.
    async fn next(&mut self) -> Result<CompletionEvent> {
        loop {
            if self.frames.is_cancelled() {
                return Err(read::cancelled());
            }
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            let Some(mut answer) = self.answer.take() else { return Err(cut_short()) };
            let ended = match self.frames.next().await {
                Ok(Some(frame)) => {
                    if !answer.read(&frame, &mut self.ready, &self.service)? {
                        self.answer = Some(answer);
                        continue;
                    }
                    Ended::Done
                }
                Ok(None) => Ended::Early(cut_short()),
                Err(error) if error.kind() == openclaw_core::ErrorKind::Cancelled => {
                    return Err(error);
                }
                Err(error) => Ended::Early(error),
            };
            self.ready.extend(answer.finish(ended)?);
        }
    }
}

pub(crate) fn cut_short() -> Error {
    invalid("its answer was cut short").with_public("the model's answer was cut short")
}

/// The calls of an answer, as they are put together.
#[derive(Default)]
pub(crate) struct Calls(Vec<ToolCall>);

impl Calls {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[cfg(feature = "openai")]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    #[cfg(feature = "openai")]
    pub(crate) fn get_mut(&mut self, position: usize) -> Option<&mut ToolCall> {
        self.0.get_mut(position)
    }

    /// Begins a call; its position.
    pub(crate) fn begin(&mut self, id: impl Into<String>, name: impl Into<String>) -> usize {
        let call = ToolCall { id: id.into(), name: name.into(), arguments: String::new() };
        self.0.push(call);
        self.0.len() - 1
    }

    /// Adds to a call's arguments, and shows it.
    pub(crate) fn grow(
        &mut self,
        position: usize,
        json: &str,
        out: &mut VecDeque<CompletionEvent>,
    ) -> Result<()> {
        let Some(call) = self.0.get_mut(position) else {
            return Err(invalid("it went on with a call that it had not begun"));
        };
        if !json.is_empty() {
            call.arguments.push_str(json);
            let index = u32::try_from(position).unwrap_or(u32::MAX);
            out.push_back(CompletionEvent::ToolCallDelta { index, json: json.to_owned() });
        }
        Ok(())
    }

    /// The calls that are whole, with ids; an error if one has no name. In an answer that did not end
    /// with calls the last one may be half: half a call is none.
    pub(crate) fn finish(self, reason: &FinishReason) -> Result<Vec<CompletionEvent>> {
        let whole = |call: &ToolCall| {
            *reason == FinishReason::ToolCalls
                || serde_json::from_str::<Value>(&call.arguments).is_ok()
        };
        let calls = self.0.into_iter().enumerate().filter(|(_, call)| whole(call));
        calls
            .map(|(position, mut call)| {
                if call.name.is_empty() {
                    return Err(invalid("it called a tool without naming it"));
                }
                if call.id.is_empty() {
                    call.id = format!("call_{position}");
                }
                if call.arguments.trim().is_empty() {
                    call.arguments = "{}".to_owned();
                }
                Ok(CompletionEvent::ToolCall(call))
            })
            .collect()
    }
}
