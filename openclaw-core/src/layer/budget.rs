//! Spending within caps.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use tokio::sync::OnceCell;

use super::{
    AroundStream, Cap, Charge, Layer, Ledger, Payer, around_stream, tokens::worst_case_input_tokens,
};
use crate::{
    access::Principal,
    error::{Error, ErrorKind, Result},
    id::{AgentId, ModelId},
    provider::{
        CallContext, CompletionEvent, CompletionRequest, CompletionStream, Price, Provider, Usage,
    },
};

/// The most output tokens of a completion that does not say.
pub const DEFAULT_BUDGET_OUTPUT_TOKENS: u32 = 8_192;

/// What happens to a completion by a model whose price is not known.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum UnknownPrice {
    /// It is refused: a cap that cannot be computed cannot be kept.
    #[default]
    Refuse,
    /// It runs without a reservation; a cost is booked if the provider reports one.
    Allow,
}

/// Reserves in a [`Ledger`] the most that a completion can cost before it starts, and settles what the
/// provider reports when it finishes.
///
/// - The most is [`worst_case_input_tokens`] and the request's `max_output_tokens` at the model's
///   price. A request without that limit is given [`max_output_tokens`](Self::max_output_tokens), so
///   that the most is true.
/// - Payers are everyone, the context's agent and its principal. A context that does not name one
///   pays as agent `unknown`, or as the gateway.
/// - The price is the one given to the layer, else the one that the provider's models list, which is
///   read once.
/// - A provider that refuses used nothing, so the reservation is taken back. After a timeout, a
///   cancellation, an unreadable answer, a stream that failed, was dropped or reports no usage, nobody
///   knows: all of it counts as spent.
///
/// Add it after retries: inside of them each try is charged by itself. Outside, tries of which nobody
/// knows what they used would count as one.
///
/// A cap that would be passed is an error of kind `Exhausted`; see [`Ledger::reserve`].
///
/// ```
/// use std::sync::Arc;
/// use openclaw_core::{layer::{BudgetLayer, Cap, Capped, Ledger}, store::RecordStore, time::SystemClock};
///
/// fn two_dollars_a_day(store: Arc<dyn RecordStore>) -> BudgetLayer {
///     BudgetLayer::new(Ledger::new(store, Arc::new(SystemClock)))
///         .cap(Cap::new(Capped::Everyone, 2_000_000))
/// }
/// ```
#[derive(Clone)]
pub struct BudgetLayer {
    ledger: Ledger,
    caps: Vec<Cap>,
    prices: HashMap<ModelId, Price>,
    unknown: UnknownPrice,
    max_output_tokens: u32,
}

impl BudgetLayer {
    /// Books without caps.
    pub fn new(ledger: Ledger) -> Self {
        Self {
            ledger,
            caps: Vec::new(),
            prices: HashMap::new(),
            unknown: UnknownPrice::default(),
            max_output_tokens: DEFAULT_BUDGET_OUTPUT_TOKENS,
        }
    }

    /// Adds a cap.
    #[must_use]
    pub fn cap(mut self, cap: Cap) -> Self {
        self.caps.push(cap);
        self
    }

    /// Sets the price of a model, in place of what the provider lists.
    #[must_use]
    pub fn price(mut self, model: impl Into<ModelId>, price: Price) -> Self {
        self.prices.insert(model.into(), price);
        self
    }

    /// Sets what happens to models without a price.
    #[must_use]
    pub fn unknown_price(mut self, what: UnknownPrice) -> Self {
        self.unknown = what;
        self
    }

    /// Sets the most output tokens of requests that do not say.
    #[must_use]
    pub fn max_output_tokens(mut self, tokens: u32) -> Self {
        self.max_output_tokens = tokens;
        self
    }
}

impl Layer<dyn Provider> for BudgetLayer {
    fn layer(&self, inner: Arc<dyn Provider>) -> Arc<dyn Provider> {
        around_stream(inner, Charging { layer: self.clone(), listed: OnceCell::new() })
    }
}

struct Charging {
    layer: BudgetLayer,
    /// The prices that the provider lists.
    listed: OnceCell<HashMap<ModelId, Price>>,
}

impl Charging {
    async fn price(&self, inner: &dyn Provider, model: &ModelId) -> Result<Option<Price>> {
        if let Some(price) = self.layer.prices.get(model) {
            return Ok(Some(*price));
        }
        let list = async || {
            let models = inner.models().await?;
            Ok(models.into_iter().filter_map(|model| Some((model.id, model.price?))).collect())
        };
        match self.listed.get_or_try_init(list).await {
            Ok(listed) => Ok(listed.get(model).copied()),
            Err(_) if self.layer.unknown == UnknownPrice::Allow => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn reserve(
        &self,
        cx: &CallContext,
        request: &CompletionRequest,
        price: Option<Price>,
    ) -> Result<Charge> {
        let most = match price {
            Some(price) => worst_case(request, price),
            None if self.layer.unknown == UnknownPrice::Allow => 0,
            None => {
                return Err(Error::new(
                    ErrorKind::Denied,
                    format!(
                        "the price of model {:?} is not known, so no budget can be kept: give it with `BudgetLayer::price`, or allow it with `BudgetLayer::unknown_price`",
                        request.model.as_str()
                    ),
                )
                .with_public("the model has no known price, so the budget cannot be kept"));
            }
        };
        let agent = cx.agent.clone().unwrap_or_else(|| AgentId::new("unknown"));
        let principal = cx.principal.clone().unwrap_or(Principal::Gateway);
        let payers = [Payer::Everyone, Payer::Agent(agent), Payer::Principal(principal)];
        self.layer.ledger.reserve(&payers, &self.layer.caps, most).await
    }
}

/// The most that `request` can cost at `price`: as if nothing, or everything, came from the cache.
fn worst_case(request: &CompletionRequest, price: Price) -> u64 {
    let output = request.max_output_tokens.map_or(u64::MAX, u64::from);
    let dearest = Price {
        input: price.input.max(price.cached_input).max(price.cache_write.unwrap_or_default()),
        ..price
    };
    dearest.cost(&Usage::new(worst_case_input_tokens(request), output))
}

/// True if after this error the provider cannot have charged for anything.
fn used_nothing(error: &Error) -> bool {
    !matches!(
        error.kind(),
        ErrorKind::Timeout | ErrorKind::Cancelled | ErrorKind::InvalidData | ErrorKind::Internal
    )
}

/// Settles; if that fails, the reservation stays booked, which is the safe side.
async fn settle(ledger: &Ledger, charge: Charge, micro_usd: u64) {
    if let Err(error) = ledger.settle(charge, micro_usd).await {
        tracing::warn!(%error, "a charge could not be settled; all of its reservation counts as spent");
    }
}

/// A stream under way, and what is reserved for it.
struct Charged {
    inner: CompletionStream,
    ledger: Ledger,
    price: Option<Price>,
    charge: Charge,
}

impl Charged {
    async fn finish(self, usage: &Usage) {
        let reported = usage.total_tokens() > 0;
        let price = self.price.filter(|_| reported).map(|price| price.cost(usage));
        if let Some(cost) = usage.cost_micro_usd.or(price) {
            settle(&self.ledger, self.charge, cost).await;
        }
    }
}

#[async_trait]
impl AroundStream for Charging {
    async fn stream(
        &self,
        cx: &CallContext,
        request: &CompletionRequest,
        inner: &dyn Provider,
    ) -> Result<CompletionStream> {
        let mut request = Cow::Borrowed(request);
        if request.max_output_tokens.is_none() {
            request.to_mut().max_output_tokens = Some(self.layer.max_output_tokens);
        }
        let price = self.price(inner, &request.model).await?;
        let charge = self.reserve(cx, &request, price).await?;
        let ledger = self.layer.ledger.clone();
        let inner = match inner.stream(cx, &request).await {
            Ok(inner) => inner,
            Err(error) => {
                if used_nothing(&error) {
                    settle(&ledger, charge, 0).await;
                }
                return Err(error);
            }
        };
        let charged = Charged { inner, ledger, price, charge };
        Ok(CompletionStream::new(stream::unfold(Some(charged), |charged| async {
            let mut charged = charged?;
            let next = charged.inner.next().await?;
            let rest = match &next {
                Ok(CompletionEvent::Finish { usage, .. }) => {
                    charged.finish(usage).await;
                    None
                }
                Ok(_) => Some(charged),
                Err(_) => None,
            };
            Some((next, rest))
        })))
    }
}
