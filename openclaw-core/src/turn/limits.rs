//! How much a turn may take.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long a tool call may take unless its spec says otherwise.
pub const DEFAULT_TOOL_TIMEOUT: Duration = Duration::from_secs(60);

/// How much one turn may take. A turn that reaches a limit ends and says which it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Model calls.
    pub steps: u32,
    /// Tokens read and written by the model, by the provider's word.
    pub tokens: Option<u64>,
    /// Cost in millionths of a US dollar, by the provider's word. A turn of unknown cost ends after its
    /// first model call.
    pub cost_micro_usd: Option<u64>,
    /// Seconds from the turn's start, waiting for approvals and answers not counted.
    pub seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { steps: 32, tokens: None, cost_micro_usd: None, seconds: 600 }
    }
}
