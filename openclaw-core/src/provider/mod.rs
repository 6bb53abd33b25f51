//! Language-model services.

mod completion;
mod embedder;
mod state;

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use completion::{Completion, CompletionEvent, CompletionStream, FinishReason, ToolCall};
pub use embedder::{Embedder, Embedding};
pub use state::ProviderState;

use crate::{
    access::Principal,
    error::Result,
    id::{AgentId, ModelId, ProviderId},
    message::Content,
    time::Cancel,
};

/// A language-model service.
///
/// # Contract
///
/// How a completion's stream ends is its outcome:
///
/// | ends with | means |
/// |---|---|
/// | [`CompletionEvent::Finish`] | complete; nothing follows |
/// | an error | failed; nothing that came before counts |
/// | neither | cut short: [`Completion::collect`] makes it an error of kind `InvalidData` |
///
/// - **Retries.** Never here: the error says whether another try helps.
/// - **Cancelling** [`CallContext::cancel`] ends the wait in `stream`, or the stream, with an error of
///   kind `Cancelled`, and closes the request.
/// - **Cancel safety.** Dropping the stream closes the request.
/// - The model [`DEFAULT_MODEL`] is the provider's own choice, never a name that it asks its service for:
///   see [`CompletionRequest::named_model`].
/// - **Tool calls** are yielded whole, in the model's order, before `Finish`.
/// - **State** that must come back with the calls ([`ProviderState`]) names this provider and the
///   model that was asked for. State of others, as after a fallback, is passed over.
/// - **Errors** before the first event come from `stream` itself where they are known by then.
/// - Instructions inside `messages` are never moved into the system role.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// Its name, as in `openai`.
    fn id(&self) -> &ProviderId;

    /// The models that it offers, with what is known of each.
    ///
    /// # Errors
    /// The service could not be asked.
    async fn models(&self) -> Result<Vec<ModelInfo>>;

    /// Starts a completion.
    ///
    /// # Errors
    /// The service refused the request or could not be reached.
    async fn stream(
        &self,
        cx: &CallContext,
        request: &CompletionRequest,
    ) -> Result<CompletionStream>;
}

/// The name under which every provider knows its own choice of a model.
pub const DEFAULT_MODEL: &str = "default";

/// What accompanies a call of a provider or an embedder.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CallContext {
    /// Cancelled when the answer is no longer wanted.
    pub cancel: Cancel,
    /// A stable, opaque name of the session, for providers that route by it to a warm cache.
    pub session: Option<Arc<str>>,
    /// The agent that asks, for layers that account for it.
    pub agent: Option<AgentId>,
    /// Whose turn it is, for layers that account for it.
    pub principal: Option<Principal>,
}

impl CallContext {
    /// A context that nobody cancels.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, stopped by `cancel`.
    #[must_use]
    pub fn with_cancel(mut self, cancel: Cancel) -> Self {
        self.cancel = cancel;
        self
    }

    /// The same, asked by `agent` in a turn of `principal`.
    #[must_use]
    pub fn on_behalf_of(mut self, agent: AgentId, principal: Principal) -> Self {
        (self.agent, self.principal) = (Some(agent), Some(principal));
        self
    }
}

/// What is known of a model. Unknown is `None`; nothing is guessed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ModelInfo {
    /// The provider's name of it.
    pub id: ModelId,
    /// How many tokens fit, in and out together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u32>,
    /// How many tokens it can write at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u32>,
    /// Whether it calls tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<bool>,
    /// Whether it sees pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<bool>,
    /// What it costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
}

impl ModelInfo {
    /// A model of which only the name is known.
    pub fn new(id: impl Into<ModelId>) -> Self {
        Self {
            id: id.into(),
            context_tokens: None,
            max_output_tokens: None,
            tools: None,
            images: None,
            price: None,
        }
    }
}

/// What a model costs: millionths of a US dollar a million tokens (so a dollar a million tokens is
/// 1,000,000).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Tokens read, not from a cache.
    pub input: u64,
    /// Tokens read from the provider's cache.
    pub cached_input: u64,
    /// Tokens read that the provider put into its cache; as `input` if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<u64>,
    /// Tokens written, reasoning included.
    pub output: u64,
}

impl Price {
    /// What `usage` costs, in millionths of a US dollar, rounded up.
    pub fn cost(&self, usage: &Usage) -> u64 {
        let (read, kept) = (usage.cached_input_tokens, usage.cache_write_input_tokens);
        let fresh = usage.input_tokens.saturating_sub(read).saturating_sub(kept);
        let sum = u128::from(fresh) * u128::from(self.input)
            + u128::from(read) * u128::from(self.cached_input)
            + u128::from(kept) * u128::from(self.cache_write.unwrap_or(self.input))
            + u128::from(usage.output_tokens) * u128::from(self.output);
        u64::try_from(sum.div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }
}

/// What a completion used, by the provider's word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens read, cached ones included.
    pub input_tokens: u64,
    /// Those of them that came from the provider's cache.
    #[serde(default)]
    pub cached_input_tokens: u64,
    /// Those of them that the provider put into its cache.
    #[serde(default)]
    pub cache_write_input_tokens: u64,
    /// Tokens written, reasoning included.
    pub output_tokens: u64,
    /// Those of them that were reasoning.
    #[serde(default)]
    pub reasoning_tokens: u64,
    /// What it cost in millionths of a US dollar, if a price is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_micro_usd: Option<u64>,
}

impl Usage {
    /// Tokens read and written.
    pub fn new(input_tokens: u64, output_tokens: u64) -> Self {
        Self { input_tokens, output_tokens, ..Self::default() }
    }

    /// Adds up; the cost is the sum of what is known.
    pub fn add(&mut self, other: &Self) {
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.cached_input_tokens =
            self.cached_input_tokens.saturating_add(other.cached_input_tokens);
        self.cache_write_input_tokens =
            self.cache_write_input_tokens.saturating_add(other.cache_write_input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.reasoning_tokens = self.reasoning_tokens.saturating_add(other.reasoning_tokens);
        self.cost_micro_usd = match (self.cost_micro_usd, other.cost_micro_usd) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (a, b) => a.or(b),
        };
    }

    /// Tokens read and written together.
    pub fn total_tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}

/// A request for a completion, in the form that every provider converts from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CompletionRequest {
    /// Which model; [`named_model`](Self::named_model) tells whether that is said.
    pub model: ModelId,
    /// The system prompt: stable from call to call, so that providers' caches hit.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub system: String,
    /// The conversation, oldest first.
    pub messages: Vec<ChatMessage>,
    /// The tools that may be called.
    #[serde(default, skip_serializing_if = "no_tools")]
    pub tools: Arc<[ToolDefinition]>,
    /// Whether a tool may, must or must not be called.
    #[serde(default)]
    pub tool_choice: ToolChoice,
    /// The form that the answer must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_format: Option<ResponseFormat>,
    /// How many tokens to write at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u32>,
    /// 0 is the most predictable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
}

fn no_tools(tools: &Arc<[ToolDefinition]>) -> bool {
    tools.is_empty()
}

impl CompletionRequest {
    /// A request without tools or limits.
    pub fn new(model: impl Into<ModelId>, messages: Vec<ChatMessage>) -> Self {
        Self {
            model: model.into(),
            system: String::new(),
            messages,
            tools: Arc::from([]),
            tool_choice: ToolChoice::default(),
            response_format: None,
            max_output_tokens: None,
            temperature: None,
        }
    }

    /// The model that the request names; `None` if it leaves the choice to the provider, as with
    /// [`DEFAULT_MODEL`] or an empty name.
    ///
    /// ```
    /// use openclaw_core::provider::{CompletionRequest, DEFAULT_MODEL};
    ///
    /// assert!(CompletionRequest::new(DEFAULT_MODEL, vec![]).named_model().is_none());
    /// assert!(CompletionRequest::new("gpt-4o", vec![]).named_model().is_some());
    /// ```
    pub fn named_model(&self) -> Option<&ModelId> {
        let named = !matches!(self.model.as_str(), "" | DEFAULT_MODEL);
        named.then_some(&self.model)
    }
}

/// A message as a provider is given it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChatMessage {
    /// Said to the model.
    User {
        /// Text and media.
        content: Vec<Content>,
    },
    /// Said by the model.
    Assistant {
        /// The text, empty if it only called tools.
        text: String,
        /// The calls that it asked for.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        calls: Vec<ToolCall>,
        /// What the provider that made the calls asked to be handed back; of no use to another one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<ProviderState>,
    },
    /// The result of a call.
    Tool {
        /// The id of the call, as in the assistant's message.
        call: String,
        /// True if the call failed.
        #[serde(default)]
        failed: bool,
        /// Text and media.
        content: Vec<Content>,
    },
}

impl ChatMessage {
    /// Text said to the model.
    pub fn user(text: impl Into<String>) -> Self {
        Self::User { content: vec![Content::text(text)] }
    }

    /// Text said by the model.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::Assistant { text: text.into(), calls: Vec::new(), state: None }
    }
}

/// A tool as a provider is told of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolDefinition {
    /// Letters, digits, `_` and `-`; at most 64.
    pub name: String,
    /// For the model.
    pub description: String,
    /// JSON Schema of the arguments; an object.
    pub input_schema: Value,
}

/// Whether a tool may, must or must not be called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// None.
    None,
    /// At least one, whichever.
    Required,
    /// This one.
    Tool(String),
}

/// The form that an answer must have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ResponseFormat {
    /// JSON that fits a schema.
    JsonSchema {
        /// A name of the form, letters, digits, `_` and `-`.
        name: String,
        /// The schema; an object.
        schema: Value,
    },
}
