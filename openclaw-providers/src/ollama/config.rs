//! The provider's settings in a configuration file.

use std::collections::BTreeMap;

use openclaw_core::{
    ModelId, ProviderId, schemars,
    secret::SecretRef,
    serde_json::{Map, Value},
};
use serde::{Deserialize, Serialize};

use crate::{DEFAULT_IDLE_TIMEOUT_S, PriceTable};

/// Where Ollama listens unless it is told otherwise.
pub const DEFAULT_BASE_URL: &str = "http://127.0.0.1:11434";

/// The settings of an [`Ollama`](super::Ollama), as a configuration file holds them.
///
/// ```
/// use openclaw_core::serde_json::{from_value, json};
/// use openclaw_providers::ollama::{Ollama, OllamaConfig};
///
/// let config: OllamaConfig = from_value(json!({
///     "model": "qwen3:8b",
///     "think": true,
///     "options": {"num_ctx": 16384},
///     "keep_alive": "10m",
/// })).unwrap();
/// let provider = Ollama::from_config(&config)?;
/// # let _ = provider; Ok::<(), openclaw_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OllamaConfig {
    /// The provider's name in the gateway.
    pub id: ProviderId,
    /// Where the service is, without `/api`.
    pub base_url: String,
    /// The key, for `https://ollama.com`; a server of one's own wants none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key: Option<SecretRef>,
    /// The model for requests that name none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelId>,
    /// Whether the model thinks before it answers; its own default if it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub think: Option<Think>,
    /// Options of the model as Ollama names them. `num_ctx` is how many tokens fit; Ollama's default is
    /// small, and what does not fit is silently cut off.
    pub options: Map<String, Value>,
    /// How long the model stays in memory after a request, as `"10m"`; `"-1"` for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<String>,
    /// More headers for each request. No place for secrets.
    pub headers: BTreeMap<String, String>,
    /// How long the server may stay silent, in seconds. Loading a large model takes its time.
    pub idle_timeout_s: u64,
    /// What models cost; nothing is known without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prices: Option<PriceTable>,
    /// Lets the key go over plain HTTP to another machine.
    pub allow_plain_http: bool,
}

impl Default for OllamaConfig {
    fn default() -> Self {
        Self {
            id: ProviderId::new("ollama"),
            base_url: DEFAULT_BASE_URL.to_owned(),
            api_key: None,
            model: None,
            think: None,
            options: Map::new(),
            keep_alive: None,
            headers: BTreeMap::new(),
            idle_timeout_s: DEFAULT_IDLE_TIMEOUT_S,
            prices: None,
            allow_plain_http: false,
        }
    }
}

/// Whether, or how much, a model thinks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum Think {
    /// Whether.
    Switch(bool),
    /// How much, for models that can tell: `low`, `medium` or `high`.
    Level(ThinkLevel),
}

/// How much a model thinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ThinkLevel {
    /// Little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
}

impl From<bool> for Think {
    fn from(on: bool) -> Self {
        Self::Switch(on)
    }
}

impl From<ThinkLevel> for Think {
    fn from(level: ThinkLevel) -> Self {
        Self::Level(level)
    }
}
