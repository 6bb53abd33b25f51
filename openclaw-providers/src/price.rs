//! What models cost.

use std::collections::BTreeMap;

use openclaw_core::{provider::Price, schemars};
use serde::{Deserialize, Serialize};

/// Prices by model. A model that is not listed costs an unknown amount; nothing is guessed.
///
/// A dated snapshot (`gpt-4o-2024-08-06`, `claude-haiku-4-5-20251001`) costs what its model does unless it is listed itself.
///
/// ```
/// use openclaw_core::provider::Price;
/// use openclaw_providers::PriceTable;
///
/// let dollar = 1_000_000;
/// let prices = PriceTable::new()
///     .with("my-model", Price { input: dollar, output: 4 * dollar, ..Price::default() });
/// assert!(prices.get("my-model-2026-01-31").is_some());
/// assert!(prices.get("my-model-mini").is_none());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct PriceTable(BTreeMap<String, Price>);

impl PriceTable {
    /// Knows no price.
    pub fn new() -> Self {
        Self::default()
    }

    /// List prices of some of OpenAI's models, of August 2025. Prices change: what must be exact
    /// brings its own table.
    pub fn openai() -> Self {
        // Thousandths of a dollar a million tokens: read, read from the cache, written.
        [
            ("gpt-4o", 2_500, 1_250, 10_000),
            ("gpt-4o-mini", 150, 75, 600),
            ("gpt-4.1", 2_000, 500, 8_000),
            ("gpt-4.1-mini", 400, 100, 1_600),
            ("gpt-4.1-nano", 100, 25, 400),
            ("gpt-5", 1_250, 125, 10_000),
            ("gpt-5-mini", 250, 25, 2_000),
            ("gpt-5-nano", 50, 5, 400),
            ("o3", 2_000, 500, 8_000),
            ("o4-mini", 1_100, 275, 4_400),
        ]
        .into_iter()
        .fold(Self::new(), |table, (model, input, cached, output)| {
            table.with(model, price(input, cached, None, output))
        })
    }

    /// List prices of Anthropic's models, of November 2026, with caches that are kept for five
    /// minutes. Prices change: what must be exact brings its own table.
    pub fn anthropic() -> Self {
        // Thousandths of a dollar a million tokens: read, read from the cache, put into it, written.
        [
            ("claude-fable-5-1", 10_000, 1_000, 12_500, 50_000),
            ("claude-opus-5-5", 4_000, 200, 5_000, 20_000),
            ("claude-opus-5", 5_000, 500, 6_250, 25_000),
            ("claude-opus-4-6", 5_000, 500, 6_250, 25_000),
            ("claude-opus-4-5", 5_000, 500, 6_250, 25_000),
            ("claude-sonnet-5-5", 2_000, 200, 2_500, 10_000),
            ("claude-sonnet-5", 2_000, 200, 2_500, 10_000),
            ("claude-sonnet-4-6", 3_000, 300, 3_750, 15_000),
            ("claude-sonnet-4-5", 3_000, 300, 3_750, 15_000),
            ("claude-haiku-4-5", 1_000, 100, 1_250, 5_000),
        ]
        .into_iter()
        .fold(Self::new(), |table, (model, input, cached, kept, output)| {
            table.with(model, price(input, cached, Some(kept), output))
        })
    }

    /// The same, with this model at this price.
    #[must_use]
    pub fn with(mut self, model: impl Into<String>, price: Price) -> Self {
        self.0.insert(model.into(), price);
        self
    }

    /// The price of `model`, if it is known.
    pub fn get(&self, model: &str) -> Option<Price> {
        self.0.get(model).or_else(|| self.0.get(without_date(model)?)).copied()
    }
}

/// From thousandths of a dollar.
fn price(input: u64, cached_input: u64, cache_write: Option<u64>, output: u64) -> Price {
    let micro = |thousandths: u64| thousandths * 1_000;
    Price {
        input: micro(input),
        cached_input: micro(cached_input),
        cache_write: cache_write.map(micro),
        output: micro(output),
    }
}

/// The name before a `-2024-08-06` or a `-20240806` at its end.
fn without_date(model: &str) -> Option<&str> {
    ["-0000-00-00", "-00000000"].iter().find_map(|form| {
        let (name, date) = model.split_at_checked(model.len().checked_sub(form.len())?)?;
        let fits = date.bytes().zip(form.bytes()).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            _ => byte == form,
        });
        fits.then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_model_itself_and_its_snapshots_have_its_price() {
        let table = PriceTable::openai();
        assert_eq!(table.get("gpt-4o-2024-08-06"), table.get("gpt-4o"));
        assert_ne!(table.get("gpt-4o-mini"), table.get("gpt-4o"));
        let claude = PriceTable::anthropic();
        assert_eq!(claude.get("claude-haiku-4-5-20251001"), claude.get("claude-haiku-4-5"));
        assert_ne!(claude.get("claude-haiku-4-5"), None);
        assert_eq!(claude.get("claude-haiku-4-5-2025100"), None);
        for unknown in ["gpt-4o-turbo", "gpt-4o-2024-08", "2024-08-06", "", "größer-2024-08-06"] {
            assert_eq!(table.get(unknown), None, "{unknown}");
        }
    }
}
