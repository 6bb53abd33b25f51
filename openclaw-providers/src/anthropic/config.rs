//! The provider's settings in a configuration file.

use std::collections::BTreeMap;

use openclaw_core::{ModelId, ProviderId, schemars, secret::SecretRef};
use serde::{Deserialize, Serialize};

use crate::{DEFAULT_IDLE_TIMEOUT_S, PriceTable};

/// Anthropic's own address.
pub const DEFAULT_BASE_URL: &str = "https://api.anthropic.com";

/// The model at Anthropic's own address if neither the agent nor the provider names one.
pub const DEFAULT_MODEL: &str = "claude-haiku-4-5";

/// How many tokens an answer has at most where neither the request nor the configuration says.
pub const DEFAULT_MAX_TOKENS: u32 = 8_192;

/// The least that a model can be given to think with, in tokens.
pub const MIN_THINKING_TOKENS: u32 = 1_024;

/// The settings of an [`Anthropic`](super::Anthropic), as a configuration file holds them.
///
/// ```
/// use openclaw_core::serde_json::{from_value, json};
/// use openclaw_providers::anthropic::AnthropicConfig;
///
/// let config: AnthropicConfig = from_value(json!({
///     "api_key": {"env": "ANTHROPIC_API_KEY"},
///     "model": "claude-haiku-4-5",
///     "thinking": {"type": "enabled", "budget_tokens": 4096},
/// })).unwrap();
/// assert_eq!(config.max_tokens, 8192);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AnthropicConfig {
    /// The provider's name in the gateway.
    pub id: ProviderId,
    /// Where the service is, without `/v1`.
    pub base_url: String,
    /// The key. Anthropic needs one; a gateway of one's own may not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key: Option<SecretRef>,
    /// The model for requests that name none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelId>,
    /// How many tokens an answer has at most where the request does not say, thoughts included.
    pub max_tokens: u32,
    /// Whether and how the model thinks before it answers; its own default if it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<Thinking>,
    /// How much effort the model makes; its own default if it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<Effort>,
    /// Lets the service keep the stable beginning of prompts for five minutes.
    pub prompt_cache: bool,
    /// More headers for each request, as `anthropic-beta`, or `anthropic-version` for a later version of
    /// the API than 2023-06-01. No place for secrets.
    pub headers: BTreeMap<String, String>,
    /// How long the server may stay silent, in seconds.
    pub idle_timeout_s: u64,
    /// What models cost. Without it Anthropic's list prices hold at Anthropic's address alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prices: Option<PriceTable>,
    /// Lets the key go over plain HTTP to another machine.
    pub allow_plain_http: bool,
}

impl Default for AnthropicConfig {
    fn default() -> Self {
        Self {
            id: ProviderId::new("anthropic"),
            base_url: DEFAULT_BASE_URL.to_owned(),
            api_key: None,
            model: None,
            max_tokens: DEFAULT_MAX_TOKENS,
            thinking: None,
            effort: None,
            prompt_cache: true,
            headers: BTreeMap::new(),
            idle_timeout_s: DEFAULT_IDLE_TIMEOUT_S,
            prices: None,
            allow_plain_http: false,
        }
    }
}

/// Whether and how a model thinks before it answers. Which of them a model takes depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Thinking {
    /// With a budget: models up to Claude 4.6. Cut to fit below the request's limit on output tokens;
    /// where less than [`MIN_THINKING_TOKENS`] fit, or a call of a tool is forced, it does not think.
    Enabled {
        /// Tokens to think with at most; at least [`MIN_THINKING_TOKENS`].
        #[schemars(range(min = 1024))]
        budget_tokens: u32,
    },
    /// As it sees fit: models from Claude 4.6 on.
    Adaptive,
    /// Not at all, where the model allows that.
    Disabled,
}

/// How much effort a model makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Effort {
    /// The least.
    Low,
    /// Less than by default, as a rule.
    Medium,
    /// Most models' default.
    High,
    /// More.
    Xhigh,
    /// As much as it can.
    Max,
}
