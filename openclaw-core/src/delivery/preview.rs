//! Showing a reply while it grows.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a reply is shown while it grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Preview {
    /// How many characters there must be before anything is shown.
    pub min_chars: usize,
    /// How long the text grows between two edits, in milliseconds.
    pub interval_ms: u64,
}

impl Default for Preview {
    fn default() -> Self {
        Self { min_chars: 40, interval_ms: 1_000 }
    }
}

impl Preview {
    /// How long the text grows between two edits.
    pub(crate) fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms.max(1))
    }
}

/// What is shown of a text that still grows: as much as fits one message.
pub(crate) fn shown(text: &str, limit: crate::channel::TextLimit) -> String {
    super::split(text, limit).into_iter().next().unwrap_or_default()
}
