//! The provider's settings in a configuration file.

use std::collections::BTreeMap;

use openclaw_core::{ModelId, ProviderId, schemars, secret::SecretRef};
use serde::{Deserialize, Serialize};

use crate::{DEFAULT_IDLE_TIMEOUT_S, PriceTable};

/// OpenAI's own address.
pub const DEFAULT_BASE_URL: &str = "https://api.openai.com/v1";

/// The model at OpenAI's own address if neither the agent nor the provider names one.
pub const DEFAULT_MODEL: &str = "gpt-4.1-mini";

/// The settings of an [`OpenAi`](super::OpenAi), as a configuration file holds them.
///
/// ```
/// use openclaw_core::serde_json::{from_value, json};
/// use openclaw_providers::openai::{OpenAi, OpenAiConfig};
///
/// let config: OpenAiConfig = from_value(json!({
///     "id": "local",
///     "base_url": "http://127.0.0.1:8080/v1",
///     "model": "smollm2",
///     "max_tokens_field": "max_tokens",
/// })).unwrap();
/// let provider = OpenAi::from_config(&config)?;
/// # let _ = provider; Ok::<(), openclaw_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OpenAiConfig {
    /// The provider's name in the gateway.
    pub id: ProviderId,
    /// Where the service is, `/v1` included where it has one.
    pub base_url: String,
    /// Which of the two APIs the service is asked by.
    pub api: OpenAiApi,
    /// The key. OpenAI needs one; servers of one's own often do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key: Option<SecretRef>,
    /// The model for requests that name none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelId>,
    /// The organization that pays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// More headers for each request. No place for secrets.
    pub headers: BTreeMap<String, String>,
    /// How the limit on output tokens is called in chat completions.
    pub max_tokens_field: MaxTokensField,
    /// How long the server may stay silent, in seconds.
    pub idle_timeout_s: u64,
    /// What models cost. Without it OpenAI's list prices hold at OpenAI's address alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prices: Option<PriceTable>,
    /// Lets the key go over plain HTTP to another machine.
    pub allow_plain_http: bool,
}

impl Default for OpenAiConfig {
    fn default() -> Self {
        Self {
            id: ProviderId::new("openai"),
            base_url: DEFAULT_BASE_URL.to_owned(),
            api: OpenAiApi::default(),
            api_key: None,
            model: None,
            organization: None,
            headers: BTreeMap::new(),
            max_tokens_field: MaxTokensField::default(),
            idle_timeout_s: DEFAULT_IDLE_TIMEOUT_S,
            prices: None,
            allow_plain_http: false,
        }
    }
}

/// An API by which completions are asked for.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OpenAiApi {
    /// `/chat/completions`: what every service speaks.
    #[default]
    ChatCompletions,
    /// `/responses`: what OpenAI's reasoning models do best with.
    Responses,
}

/// How a service calls the limit on output tokens.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum MaxTokensField {
    /// `max_completion_tokens`: OpenAI, and servers that keep up with it.
    #[default]
    MaxCompletionTokens,
    /// `max_tokens`: older servers.
    MaxTokens,
}
