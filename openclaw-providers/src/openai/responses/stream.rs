//! From the events of a response to those of a completion.

use std::collections::{BTreeMap, VecDeque};

use openclaw_core::{
    ModelId, ProviderId, Result,
    provider::{CompletionEvent, FinishReason, Price, ProviderState, Usage},
    serde_json::{self, Map, Value, json},
};
use serde::Deserialize;

use crate::service::{Answer, At as _, Calls, Ended, Service, cut_short, invalid};

/// One event. Only what is needed of the many kinds.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    output_index: u64,
    #[serde(default)]
    delta: Option<Value>,
    #[serde(default)]
    item: Option<Value>,
    #[serde(default)]
    response: Option<Value>,
}

/// What has arrived of a response and is not yet passed on.
pub(in crate::openai) struct ResponseAnswer {
    price: Option<Price>,
    provider: ProviderId,
    model: ModelId,
    calls: Calls,
    /// The positions of calls by the indexes of their items.
    positions: BTreeMap<u64, usize>,
    /// The whole items, of which the state is made.
    items: BTreeMap<u64, Value>,
    refused: bool,
    /// Why it ended, once that has come.
    reason: Option<FinishReason>,
    usage: Usage,
}

impl ResponseAnswer {
    pub(in crate::openai) fn new(price: Option<Price>, provider: ProviderId, model: &str) -> Self {
        Self {
            price,
            provider,
            model: ModelId::new(model),
            calls: Calls::default(),
            positions: BTreeMap::new(),
            items: BTreeMap::new(),
            refused: false,
            reason: None,
            usage: Usage::default(),
        }
    }

    /// The position of the call that an item is.
    fn call(&mut self, index: u64, item: &Value) -> usize {
        let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default();
        let calls = &mut self.calls;
        *self.positions.entry(index).or_insert_with(|| calls.begin(text("call_id"), text("name")))
    }

    /// An item is whole.
    fn done(&mut self, index: u64, item: Value, out: &mut VecDeque<CompletionEvent>) -> Result<()> {
        if item.at("/type") == "function_call" {
            let position = self.call(index, &item);
            let arguments = item.at("/arguments").as_str().unwrap_or_default();
            match self.calls.get_mut(position) {
                Some(call) if call.arguments.is_empty() => {
                    self.calls.grow(position, arguments, out)?;
                }
                Some(call) => arguments.clone_into(&mut call.arguments),
                None => {}
            }
        }
        self.items.insert(index, item);
        Ok(())
    }

    fn ended(&mut self, response: &Value) {
        self.usage = usage(response.at("/usage"), self.price);
        let word = response.at("/incomplete_details/reason").as_str().unwrap_or("incomplete");
        self.reason = Some(match (response.at("/status").as_str(), word) {
            _ if self.refused => FinishReason::Refused,
            (Some("incomplete"), "max_output_tokens") => FinishReason::Length,
            (Some("incomplete"), "content_filter") => FinishReason::Refused,
            (Some("incomplete"), other) => FinishReason::Other(other.to_owned()),
            _ if self.calls.is_empty() => FinishReason::Stop,
            _ => FinishReason::ToolCalls,
        });
    }

    /// What must come back with the calls: the reasoning, and where the calls and the text stood.
    fn state(&self) -> Option<ProviderState> {
        let reasoned = self.items.values().any(|item| item.at("/type") == "reasoning");
        if self.calls.is_empty() || !reasoned {
            return None;
        }
        let items = self.items.values().map(|item| match item.at("/type").as_str() {
            Some("reasoning") => reasoning(item),
            kind => json!({ "type": kind }),
        });
        Some(ProviderState::new(self.provider.clone(), self.model.clone(), items.collect()))
    }
}

/// A reasoning item as it is taken back: what is null or only told is left out.
fn reasoning(item: &Value) -> Value {
    let kept = item.as_object().into_iter().flatten();
    let kept = kept.filter(|(name, value)| *name != "status" && !value.is_null());
    Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>())
}

fn usage(usage: &Value, price: Option<Price>) -> Usage {
    let count = |value: &Value| value.as_u64().unwrap_or_default();
    let mut read = Usage::new(count(usage.at("/input_tokens")), count(usage.at("/output_tokens")));
    let details = usage.at("/input_tokens_details");
    read.cached_input_tokens = count(details.at("/cached_tokens"));
    read.cache_write_input_tokens = count(details.at("/cache_write_tokens"));
    read.reasoning_tokens = count(usage.at("/output_tokens_details/reasoning_tokens"));
    read.cost_micro_usd = price.map(|price| price.cost(&read));
    read
}

impl Answer for ResponseAnswer {
    fn read(
        &mut self,
        frame: &str,
        out: &mut VecDeque<CompletionEvent>,
        service: &Service,
    ) -> Result<bool> {
        let event: Event = serde_json::from_str(frame).map_err(|error| {
            invalid(format!("it sent an event that is none of a response: {error}"))
        })?;
        let index = event.output_index;
        let text = || event.delta.as_ref().and_then(Value::as_str).filter(|text| !text.is_empty());
        match event.kind.as_str() {
            "response.output_text.delta" => {
                out.extend(text().map(|text| CompletionEvent::Text { text: text.to_owned() }));
            }
            "response.refusal.delta" => {
                self.refused = true;
                out.extend(text().map(|text| CompletionEvent::Text { text: text.to_owned() }));
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                out.extend(text().map(|text| CompletionEvent::Reasoning { text: text.to_owned() }));
            }
            "response.output_item.added" => {
                if let Some(item) = event.item.filter(|item| item.at("/type") == "function_call") {
                    self.call(index, &item);
                }
            }
            "response.function_call_arguments.delta" => {
                let position = self.positions.get(&index).copied().unwrap_or(usize::MAX);
                self.calls.grow(position, text().unwrap_or_default(), out)?;
            }
            "response.output_item.done" => {
                self.done(index, event.item.unwrap_or_default(), out)?;
            }
            "response.completed" | "response.incomplete" => {
                self.ended(&event.response.unwrap_or_default());
                return Ok(true);
            }
            "response.failed" | "response.cancelled" | "error" => {
                let clean = service.without_key(frame);
                let clean: Value = serde_json::from_str(&clean).unwrap_or_default();
                // Of a response that failed, or the event itself.
                let error = clean.get("response").unwrap_or(&clean);
                return Err(service.broken_off(error));
            }
            _ => {}
        }
        Ok(false)
    }

    fn finish(mut self, ended: Ended) -> Result<VecDeque<CompletionEvent>> {
        let Some(reason) = self.reason.take() else {
            return Err(match ended {
                Ended::Done => cut_short(),
                Ended::Early(error) => error,
            });
        };
        let state = self.state().filter(|_| reason == FinishReason::ToolCalls);
        let mut events = VecDeque::from(self.calls.finish(&reason)?);
        events.extend(state.map(CompletionEvent::State));
        events.push_back(CompletionEvent::Finish { reason, usage: self.usage });
        Ok(events)
    }
}
