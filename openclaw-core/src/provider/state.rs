//! What a provider must be handed back within a turn.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{ModelId, ProviderId};

/// What a provider must be handed back, unchanged, together with the calls of its completion: signed
/// thinking, encrypted reasoning. Nobody else can make sense of it.
///
/// A provider gives it by [`CompletionEvent::State`](super::CompletionEvent::State). It stands in the
/// log with the reply, so that a crash between two calls does not lose it, and is handed back by
/// [`ChatMessage::Assistant`](super::ChatMessage::Assistant) until the turn ends or the conversation
/// is summed up.
///
/// ```
/// use openclaw_core::provider::ProviderState;
/// use serde_json::json;
///
/// let state = ProviderState::new("anthropic", "claude-haiku-4-5", json!([{"signature": "EqQB"}]));
/// assert!(state.data_for(&"anthropic".into(), "claude-haiku-4-5").is_some());
/// // After a fallback to another model it is of no use.
/// assert!(state.data_for(&"anthropic".into(), "claude-opus-4-6").is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProviderState {
    /// Whose it is.
    pub provider: ProviderId,
    /// The model that made it, by the name under which it was asked.
    pub model: ModelId,
    /// The provider's own.
    pub data: Value,
}

impl ProviderState {
    /// What `provider` must be handed back when it is asked for `model` again.
    pub fn new(provider: impl Into<ProviderId>, model: impl Into<ModelId>, data: Value) -> Self {
        Self { provider: provider.into(), model: model.into(), data }
    }

    /// The data, if it is for this provider and this model.
    pub fn data_for(&self, provider: &ProviderId, model: &str) -> Option<&Value> {
        (self.provider == *provider && self.model.as_str() == model).then_some(&self.data)
    }
}
