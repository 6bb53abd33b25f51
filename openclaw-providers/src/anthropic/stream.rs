//! From the events of a message to those of a completion.

use std::collections::{BTreeMap, VecDeque};

use openclaw_core::{
    ModelId, ProviderId, Result,
    provider::{CompletionEvent, FinishReason, Price, ProviderState, Usage},
    serde_json::{self, Value, json},
};
use serde::Deserialize;

use crate::service::{Answer, At as _, Calls, Ended, Service, cut_short, invalid};

/// One event. What is not named here does not matter, and new kinds may come.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: Start,
    },
    ContentBlockStart {
        index: u64,
        content_block: Value,
    },
    ContentBlockDelta {
        index: u64,
        delta: Delta,
    },
    MessageDelta {
        delta: Stop,
        #[serde(default)]
        usage: WireUsage,
    },
    MessageStop,
    Error,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Start {
    #[serde(default)]
    usage: WireUsage,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Delta {
    #[serde(rename = "text_delta")]
    Text { text: String },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: String },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: String },
    #[serde(rename = "signature_delta")]
    Signature { signature: String },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Stop {
    stop_reason: Option<String>,
}

/// Counts are cumulative; what is absent did not change.
#[derive(Default, Deserialize)]
struct WireUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Deserialize)]
struct OutputDetails {
    thinking_tokens: Option<u64>,
}

impl WireUsage {
    fn update(&mut self, later: Self) {
        self.input_tokens = later.input_tokens.or(self.input_tokens);
        self.output_tokens = later.output_tokens.or(self.output_tokens);
        self.cache_creation_input_tokens =
            later.cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.cache_read_input_tokens =
            later.cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.output_tokens_details =
            later.output_tokens_details.or_else(|| self.output_tokens_details.take());
    }

    /// The API counts what was cached beside the other input.
    fn usage(&self, price: Option<Price>) -> Usage {
        let count = |tokens: Option<u64>| tokens.unwrap_or_default();
        let read = count(self.cache_read_input_tokens);
        let kept = count(self.cache_creation_input_tokens);
        let input = count(self.input_tokens).saturating_add(read).saturating_add(kept);
        let mut usage = Usage::new(input, count(self.output_tokens));
        usage.cached_input_tokens = read;
        usage.cache_write_input_tokens = kept;
        let thinking = self.output_tokens_details.as_ref().and_then(|d| d.thinking_tokens);
        usage.reasoning_tokens = count(thinking);
        usage.cost_micro_usd = price.map(|price| price.cost(&usage));
        usage
    }
}

/// A block of the message, as it is put together.
enum Block {
    /// Text or thoughts: the block itself.
    Said(Value),
    /// A call, by its position.
    Call(usize),
}

/// What has arrived of a message and is not yet passed on.
pub(super) struct MessageAnswer {
    price: Option<Price>,
    provider: ProviderId,
    model: ModelId,
    blocks: BTreeMap<u64, Block>,
    calls: Calls,
    usage: WireUsage,
    /// The service's word for why it ended, once that has come.
    stop: Option<String>,
}

impl MessageAnswer {
    pub(super) fn new(price: Option<Price>, provider: ProviderId, model: &str) -> Self {
        Self {
            price,
            provider,
            model: ModelId::new(model),
            blocks: BTreeMap::new(),
            calls: Calls::default(),
            usage: WireUsage::default(),
            stop: None,
        }
    }

    fn begin(
        &mut self,
        index: u64,
        block: Value,
        out: &mut VecDeque<CompletionEvent>,
    ) -> Result<()> {
        let text =
            |key: &str| block.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let begun = match block.at("/type").as_str() {
            Some("tool_use") => {
                let position = self.calls.begin(text("id"), text("name"));
                // Servers that stream no arguments give them here.
                if let Some(input) =
                    block.at("/input").as_object().filter(|input| !input.is_empty())
                {
                    self.calls.grow(position, &json!(input).to_string(), out)?;
                }
                Block::Call(position)
            }
            Some("text") => {
                show(text("text"), out, |text| CompletionEvent::Text { text });
                Block::Said(block)
            }
            Some("thinking") => {
                show(text("thinking"), out, |text| CompletionEvent::Reasoning { text });
                Block::Said(block)
            }
            _ => Block::Said(block),
        };
        self.blocks.insert(index, begun);
        Ok(())
    }

    fn grow(
        &mut self,
        index: u64,
        delta: Delta,
        out: &mut VecDeque<CompletionEvent>,
    ) -> Result<()> {
        let Some(block) = self.blocks.get_mut(&index) else {
            return Err(invalid("it went on with a block that it had not begun"));
        };
        match (block, delta) {
            (Block::Call(position), Delta::InputJson { partial_json }) => {
                self.calls.grow(*position, &partial_json, out)?;
            }
            (Block::Said(block), Delta::Text { text }) => {
                append(block, "text", &text);
                show(text, out, |text| CompletionEvent::Text { text });
            }
            (Block::Said(block), Delta::Thinking { thinking }) => {
                append(block, "thinking", &thinking);
                show(thinking, out, |text| CompletionEvent::Reasoning { text });
            }
            (Block::Said(block), Delta::Signature { signature }) => {
                append(block, "signature", &signature);
            }
            _ => {}
        }
        Ok(())
    }

    /// What must come back with the calls: thoughts and text as they came, and where the calls stood.
    fn state(&self) -> Option<ProviderState> {
        let thinks = |block: &Block| match block {
            Block::Said(block) => {
                matches!(block.at("/type").as_str(), Some("thinking" | "redacted_thinking"))
            }
            Block::Call(_) => false,
        };
        if self.calls.is_empty() || !self.blocks.values().any(thinks) {
            return None;
        }
        let blocks = self.blocks.values().filter_map(|block| match block {
            // The API gives empty text and does not take it back.
            Block::Said(block) if block.at("/type") == "text" && block.at("/text") == "" => None,
            Block::Said(block) => Some(block.clone()),
            Block::Call(_) => Some(json!({"type": "tool_use"})),
        });
        Some(ProviderState::new(self.provider.clone(), self.model.clone(), blocks.collect()))
    }
}

fn append(block: &mut Value, key: &str, more: &str) {
    match block.get_mut(key) {
        Some(Value::String(known)) => known.push_str(more),
        _ => {
            if let Some(block) = block.as_object_mut() {
                block.insert(key.to_owned(), more.into());
            }
        }
    }
}

fn show(
    text: String,
    out: &mut VecDeque<CompletionEvent>,
    event: impl Fn(String) -> CompletionEvent,
) {
    if !text.is_empty() {
        out.push_back(event(text));
    }
}

impl Answer for MessageAnswer {
    fn read(
        &mut self,
        frame: &str,
        out: &mut VecDeque<CompletionEvent>,
        service: &Service,
    ) -> Result<bool> {
        let event: Event = serde_json::from_str(frame).map_err(|error| {
            invalid(format!("it sent an event that is none of a message: {error}"))
        })?;
        match event {
            Event::MessageStart { message } => self.usage.update(message.usage),
            Event::ContentBlockStart { index, content_block } => {
                self.begin(index, content_block, out)?;
            }
            Event::ContentBlockDelta { index, delta } => self.grow(index, delta, out)?,
            Event::MessageDelta { delta, usage } => {
                self.usage.update(usage);
                self.stop = delta.stop_reason.or(self.stop.take());
            }
            Event::MessageStop => return Ok(true),
            Event::Error => {
                let clean = service.without_key(frame);
                let clean: Value = serde_json::from_str(&clean).unwrap_or_default();
                return Err(service.broken_off(&clean));
            }
            Event::Other => {}
        }
        Ok(false)
    }

    fn finish(self, ended: Ended) -> Result<VecDeque<CompletionEvent>> {
        let reason = match (self.stop.as_deref(), ended) {
            // Some servers say `end_turn` after calls.
            (Some("end_turn"), _) if !self.calls.is_empty() => FinishReason::ToolCalls,
            (Some("end_turn" | "stop_sequence"), _) => FinishReason::Stop,
            (Some("tool_use"), _) => FinishReason::ToolCalls,
            (Some("max_tokens" | "model_context_window_exceeded"), _) => FinishReason::Length,
            (Some("refusal"), _) => FinishReason::Refused,
            (Some(other), _) => FinishReason::Other(other.to_owned()),
            (None, Ended::Done) => return Err(cut_short()),
            (None, Ended::Early(error)) => return Err(error),
        };
        let state = self.state().filter(|_| reason == FinishReason::ToolCalls);
        let mut events = VecDeque::from(self.calls.finish(&reason)?);
        events.extend(state.map(CompletionEvent::State));
        events.push_back(CompletionEvent::Finish { reason, usage: self.usage.usage(self.price) });
        Ok(events)
    }
}
