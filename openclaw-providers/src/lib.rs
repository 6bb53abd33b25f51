//! Language-model services for [`openclaw_core`], one feature each.
//!
//! | feature | module | speaks |
//! |---|---|---|
//! | `openai` | `openai` | chat completions: OpenAI, OpenRouter, Groq, vLLM, LM Studio, llama.cpp, … |
//! | `reqwest-client` | `http` | the HTTP client under them, which can be replaced |

#[cfg(feature = "reqwest-client")]
pub mod http;
#[cfg(feature = "openai")]
pub mod openai;
