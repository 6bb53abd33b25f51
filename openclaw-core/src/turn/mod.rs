//! One pass of the agent loop, as a pure fold over log entries.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long a tool call may take unless its spec says otherwise.
pub const DEFAULT_TOOL_TIMEOUT: Duration = Duration::from_secs(60);

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// The model replied.
    Replied,
}
