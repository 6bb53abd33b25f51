//! Layers as data.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    id::ModelId,
    layer::{
        BudgetLayer, Cap, Capped, Layer, Ledger, LimitLayer, RetryLayer, TimeoutLayer, TraceLayer,
        UnknownPrice,
    },
    provider::{Price, Provider},
    tool::Tool,
};

/// A layer around every provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProviderLayer {
    /// A [`RetryLayer`].
    Retry(RetryEntry),
    /// A [`TimeoutLayer`].
    Timeout(TimeoutEntry),
    /// A [`LimitLayer`].
    Limit(LimitEntry),
    /// A [`BudgetLayer`], whose ledger is in the gateway's store.
    Budget(BudgetEntry),
    /// A [`TraceLayer`].
    Trace,
}

/// A layer around every tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ToolLayer {
    /// A [`RetryLayer`]: only tools that may be called again.
    Retry(RetryEntry),
    /// A [`TimeoutLayer`].
    Timeout(ToolTimeoutEntry),
    /// A [`LimitLayer`].
    Limit(ToolLimitEntry),
    /// A [`TraceLayer`].
    Trace,
}

/// How often and when something is tried again; see [`RetryLayer`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryEntry {
    /// How many more tries after the first.
    pub times: u32,
    /// The first pause, in milliseconds.
    #[serde(default)]
    pub base_ms: Option<u64>,
    /// The longest pause of its own choice, in seconds.
    #[serde(default)]
    pub cap_seconds: Option<u64>,
    /// How long after the first try another may begin, in seconds.
    #[serde(default)]
    pub within_seconds: Option<u64>,
}

/// How long a completion may take; see [`TimeoutLayer`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimeoutEntry {
    /// Until its first event.
    pub first_event_seconds: Option<u64>,
    /// From one event to the next.
    pub between_events_seconds: Option<u64>,
    /// As a whole.
    pub whole_seconds: Option<u64>,
}

/// How long a tool's call may take; see [`TimeoutLayer`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolTimeoutEntry {
    /// As a whole.
    pub whole_seconds: u64,
}

/// How many completions each provider is asked for; see [`LimitLayer`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitEntry {
    /// At once.
    pub concurrency: Option<u32>,
    /// A minute.
    pub requests_per_minute: Option<u32>,
    /// Tokens a minute, read and written.
    pub tokens_per_minute: Option<u32>,
}

/// How many calls of each tool run at once; see [`LimitLayer`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolLimitEntry {
    /// At once.
    pub concurrency: u32,
}

/// How much may be spent; see [`BudgetLayer`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetEntry {
    /// The caps. All of them hold.
    pub caps: Vec<CapEntry>,
    /// Prices of models, in place of what providers list.
    pub prices: BTreeMap<ModelId, Price>,
    /// What happens to a completion by a model whose price is not known.
    pub unknown_price: UnknownPrice,
    /// The most output tokens of a completion that does not say.
    pub max_output_tokens: Option<u32>,
}

/// The most that may be spent in a day (UTC).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CapEntry {
    /// Whose spending.
    #[serde(default)]
    pub of: Capped,
    /// Millionths of a US dollar a day.
    pub micro_usd_per_day: u64,
}

impl RetryEntry {
    fn layer(&self) -> RetryLayer {
        let mut layer = RetryLayer::times(self.times);
        if let Some(pause) = self.base_ms {
            layer = layer.base(Duration::from_millis(pause));
        }
        if let Some(pause) = self.cap_seconds {
            layer = layer.cap(Duration::from_secs(pause));
        }
        if let Some(limit) = self.within_seconds {
            layer = layer.within(Duration::from_secs(limit));
        }
        layer
    }
}

impl TimeoutEntry {
    fn layer(&self) -> TimeoutLayer {
        let mut layer = TimeoutLayer::new();
        if let Some(limit) = self.first_event_seconds {
            layer = layer.first_event(Duration::from_secs(limit));
        }
        if let Some(limit) = self.between_events_seconds {
            layer = layer.between_events(Duration::from_secs(limit));
        }
        if let Some(limit) = self.whole_seconds {
            layer = layer.whole(Duration::from_secs(limit));
        }
        layer
    }
}

impl LimitEntry {
    fn layer(&self) -> LimitLayer {
        let mut layer = LimitLayer::new();
        if let Some(calls) = self.concurrency {
            layer = layer.concurrency(calls);
        }
        if let Some(requests) = self.requests_per_minute {
            layer = layer.requests_per_minute(requests);
        }
        if let Some(tokens) = self.tokens_per_minute {
            layer = layer.tokens_per_minute(tokens);
        }
        layer
    }
}

impl BudgetEntry {
    fn layer(&self, ledger: &Ledger) -> BudgetLayer {
        let mut layer = BudgetLayer::new(ledger.clone()).unknown_price(self.unknown_price);
        for cap in &self.caps {
            layer = layer.cap(Cap::new(cap.of.clone(), cap.micro_usd_per_day));
        }
        for (model, price) in &self.prices {
            layer = layer.price(model.clone(), *price);
        }
        if let Some(tokens) = self.max_output_tokens {
            layer = layer.max_output_tokens(tokens);
        }
        layer
    }
}

impl ProviderLayer {
    /// The layer; `ledger` is where budgets are booked.
    pub(crate) fn layer(&self, ledger: &Ledger) -> Arc<dyn Layer<dyn Provider>> {
        match self {
            Self::Retry(entry) => Arc::new(entry.layer()),
            Self::Timeout(entry) => Arc::new(entry.layer()),
            Self::Limit(entry) => Arc::new(entry.layer()),
            Self::Budget(entry) => Arc::new(entry.layer(ledger)),
            Self::Trace => Arc::new(TraceLayer),
        }
    }
}

impl ToolLayer {
    /// The layer.
    pub(crate) fn layer(&self) -> Arc<dyn Layer<dyn Tool>> {
        match self {
            Self::Retry(entry) => Arc::new(entry.layer()),
            Self::Timeout(entry) => {
                Arc::new(TimeoutLayer::new().whole(Duration::from_secs(entry.whole_seconds)))
            }
            Self::Limit(entry) => Arc::new(LimitLayer::new().concurrency(entry.concurrency)),
            Self::Trace => Arc::new(TraceLayer),
        }
    }
}
