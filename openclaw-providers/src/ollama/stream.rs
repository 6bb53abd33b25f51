//! From the lines of a chat to the events of a completion.

use std::collections::VecDeque;

use openclaw_core::{
    ModelId, ProviderId, Result,
    provider::{CompletionEvent, FinishReason, Price, ProviderState, Usage},
    serde_json::{self, Value},
};
use serde::Deserialize;

use super::failed;
use crate::service::{Answer, Calls, Ended, Service, cut_short, invalid};

/// One line.
#[derive(Deserialize)]
struct Line {
    error: Option<Value>,
    #[serde(default)]
    message: Said,
    #[serde(default)]
    done: bool,
    done_reason: Option<String>,
    prompt_eval_count: Option<u64>,
    eval_count: Option<u64>,
}

#[derive(Default, Deserialize)]
struct Said {
    content: Option<String>,
    thinking: Option<String>,
    tool_calls: Option<Vec<CallLine>>,
}

#[derive(Deserialize)]
struct CallLine {
    id: Option<String>,
    function: FunctionLine,
}

#[derive(Deserialize)]
struct FunctionLine {
    name: String,
    #[serde(default)]
    arguments: Value,
}

/// What has arrived of an answer and is not yet passed on.
pub(super) struct ChatAnswer {
    price: Option<Price>,
    provider: ProviderId,
    model: ModelId,
    calls: Calls,
    thoughts: String,
    reason: Option<String>,
    usage: Usage,
}

impl ChatAnswer {
    pub(super) fn new(price: Option<Price>, provider: ProviderId, model: &str) -> Self {
        Self {
            price,
            provider,
            model: ModelId::new(model),
            calls: Calls::default(),
            thoughts: String::new(),
            reason: None,
            usage: Usage::default(),
        }
    }
}

impl Answer for ChatAnswer {
    fn read(
        &mut self,
        frame: &str,
        out: &mut VecDeque<CompletionEvent>,
        service: &Service,
    ) -> Result<bool> {
        let line: Line = serde_json::from_str(frame)
            .map_err(|error| invalid(format!("it sent a line that is none of a chat: {error}")))?;
        if line.error.is_some() {
            return Err(failed(frame, service, self.model.as_str()));
        }
        if let Some(text) = line.message.thinking.filter(|text| !text.is_empty()) {
            self.thoughts.push_str(&text);
            out.push_back(CompletionEvent::Reasoning { text });
        }
        if let Some(text) = line.message.content.filter(|text| !text.is_empty()) {
            out.push_back(CompletionEvent::Text { text });
        }
        for CallLine { id, function } in line.message.tool_calls.into_iter().flatten() {
            let position = self.calls.begin(id.unwrap_or_default(), function.name);
            // Text, if a model wrote what is no JSON.
            let arguments = match function.arguments {
                Value::Null => String::new(),
                Value::String(text) => text,
                value => value.to_string(),
            };
            self.calls.grow(position, &arguments, out)?;
        }
        if line.done {
            self.reason = Some(line.done_reason.unwrap_or_else(|| "stop".to_owned()));
            // Absent where the whole prompt was still in memory, in old versions.
            self.usage = Usage::new(
                line.prompt_eval_count.unwrap_or_default(),
                line.eval_count.unwrap_or_default(),
            );
            self.usage.cost_micro_usd = self.price.map(|price| price.cost(&self.usage));
        }
        Ok(line.done)
    }

    fn finish(self, ended: Ended) -> Result<VecDeque<CompletionEvent>> {
        let reason = match (self.reason.as_deref(), ended) {
            (Some("stop"), _) if !self.calls.is_empty() => FinishReason::ToolCalls,
            (Some("stop"), _) => FinishReason::Stop,
            (Some("length"), _) => FinishReason::Length,
            (Some(other), _) => FinishReason::Other(other.to_owned()),
            (None, Ended::Done) => return Err(cut_short()),
            (None, Ended::Early(error)) => return Err(error),
        };
        let thought = reason == FinishReason::ToolCalls && !self.thoughts.is_empty();
        let mut events = VecDeque::from(self.calls.finish(&reason)?);
        if thought {
            let state = ProviderState::new(self.provider, self.model, self.thoughts.into());
            events.push_back(CompletionEvent::State(state));
        }
        events.push_back(CompletionEvent::Finish { reason, usage: self.usage });
        Ok(events)
    }
}
