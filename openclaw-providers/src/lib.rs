//! Language-model services for [`openclaw_core`], one feature each.
//!
//! | feature | module | speaks |
//! |---|---|---|
//! | `openai` | `openai` | chat completions, Responses, embeddings: OpenAI, OpenRouter, Groq, vLLM, LM Studio, llama.cpp, … |
//! | `anthropic` | `anthropic` | Messages: Claude |
//! | `ollama` | `ollama` | Ollama's own API: chat, embeddings, models and fetching them |
//! | `reqwest-client` | `http` | the HTTP client under them, which can be replaced |
//!
//! They take any base URL. What a model costs is in a [`PriceTable`], which can be replaced.

#[cfg(feature = "anthropic")]
pub mod anthropic;
#[cfg(feature = "reqwest-client")]
pub mod http;
#[cfg(feature = "ollama")]
pub mod ollama;
#[cfg(feature = "openai")]
pub mod openai;
mod plugins;
#[cfg(any(feature = "openai", feature = "anthropic", feature = "ollama"))]
mod price;
#[cfg(any(feature = "openai", feature = "anthropic", feature = "ollama"))]
mod service;

pub use plugins::register;
#[cfg(any(feature = "openai", feature = "anthropic", feature = "ollama"))]
pub use price::PriceTable;
#[cfg(any(feature = "openai", feature = "anthropic", feature = "ollama"))]
pub use service::{
    DEFAULT_IDLE_TIMEOUT_S, MAX_ANSWER_BYTES, MAX_BODY_BYTES, MAX_EVENT_BYTES, MAX_RETRY_AFTER,
};
