//! A tool of your own: typed input, the application's state, and leave for what spends money.
//!
//! Run with: `examples/run custom_tool`, or with `OPENAI_API_KEY` set:
//!
//! ```sh
//! cargo run -p openclaw-examples --example custom_tool
//! ```
//!
//! Ask "Where is order 4711?" and "Refund 20 euros of order 4711". The order's note was written by a
//! customer, so it is read as text from anybody; a refund that the model wants after reading it needs
//! your leave, unless you named order and amount yourself.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use openclaw_channels::terminal::Terminal;
use openclaw_core::{
    Error, ErrorKind, Gateway, GatewayBuilder, Result,
    agent::Agent,
    gateway::{IntoChannel, IntoProvider, IntoStore},
    tool::{Capability, Effect, ToolContext, ToolSpec, ValueKind, tool_fn, tool_fn_with},
};
use openclaw_memory::sqlite::Sqlite;
use openclaw_providers::openai::OpenAi;
use schemars::JsonSchema;
use serde::Deserialize;

/// What the application has anyway: here, its orders.
#[derive(Default)]
pub(crate) struct Shop {
    refunded: Mutex<BTreeMap<String, u64>>,
}

impl Shop {
    /// Euros that were paid back, by order.
    pub(crate) fn refunded(&self) -> BTreeMap<String, u64> {
        self.refunded.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Deserialize, JsonSchema)]
struct Order {
    /// The order's number, such as 4711.
    order: String,
}

#[derive(Deserialize, JsonSchema)]
struct Refund {
    /// The order's number, such as 4711.
    order: String,
    /// How many euros.
    euros: u64,
}

async fn refund(shop: Arc<Shop>, _cx: ToolContext, input: Refund) -> Result<String> {
    if input.euros > 50 {
        let text = "An order has at most 50 euros to pay back.";
        return Err(Error::new(ErrorKind::InvalidInput, text).with_public(text));
    }
    let mut refunded = shop.refunded.lock().unwrap_or_else(PoisonError::into_inner);
    *refunded.entry(input.order.clone()).or_default() += input.euros;
    Ok(format!("Paid back {} euros of order {}.", input.euros, input.order))
}

pub(crate) fn app(
    shop: Arc<Shop>,
    provider: impl IntoProvider,
    channel: impl IntoChannel,
    store: impl IntoStore,
) -> GatewayBuilder {
    // Nothing more is said of its results, so they count as text from anybody, for the owner's eyes.
    let status = ToolSpec::read_only("order_status", "Says where an order is");
    let status = tool_fn(status, async |_, input: Order| {
        Ok(format!("Order {}: on its way. The customer's note: \"Please hurry!\"", input.order))
    });
    // Spends money for good; the harm depends on the order and the amount.
    let spec = ToolSpec::new("refund", "Pays back a part of an order")
        .capability(Capability::Spend)
        .effect(Effect::Irreversible)
        .critical("order", ValueKind::Id)
        .critical("euros", ValueKind::Amount)
        .accepts(openclaw_core::label::Confidentiality::Private);
    Gateway::builder()
        .provider(provider)
        .channel(channel)
        .store(store)
        .tool(status)
        .tool(tool_fn_with(spec, shop, refund))
        .agent(Agent::new("shop").persona("You help the owner of a small shop with its orders."))
}

#[tokio::main]
async fn main() -> Result<()> {
    openclaw_examples::log();
    let provider = OpenAi::from_env()?;
    eprintln!("I think with {provider}. Ctrl-D ends this.");
    let folder = openclaw_examples::folder()?;
    let store = Sqlite::open(folder.join("custom_tool.db")).await?;
    let shop = Arc::<Shop>::default();
    let gateway = app(Arc::clone(&shop), provider, Terminal::new(), store.clone()).start().await?;
    gateway.idle().await;
    gateway.shutdown().await?;
    eprintln!("Paid back, by order: {:?}", shop.refunded());
    store.close().await
}
