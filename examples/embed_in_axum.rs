//! A shop's own web service, with the gateway nested into it.
//!
//! Run with `SHOP_TOKEN=$(openssl rand -hex 32) OPENAI_API_KEY=… cargo run --example embed_in_axum`, then
//! `curl localhost:8080/orders/4711`, `curl localhost:8080/claw/health`, and
//! `curl -d 'Where is order 4711?' localhost:8080/ask`. Clients of the gateway protocol connect to
//! `ws://localhost:8080/claw/`.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use openclaw_core::{
    Gateway, GatewayBuilder, Handle, Result,
    access::Principal,
    schemars,
    server::{self, ServerConfig},
    tool::{ToolSpec, tool_fn_with},
};
use openclaw_memory::sqlite::Sqlite;
use openclaw_providers::openai::OpenAi;
use tokio::net::TcpListener;

/// What the shop had before: orders, and a route that shows one.
#[derive(Clone, Default)]
pub(crate) struct Shop(Arc<BTreeMap<u32, String>>);

impl Shop {
    pub(crate) fn open() -> Self {
        Self(Arc::new(BTreeMap::from([(4711, "shipped on Monday".to_owned())])))
    }
}

async fn order(State(app): State<App>, Path(id): Path<u32>) -> Result<String, StatusCode> {
    app.shop.0.get(&id).cloned().ok_or(StatusCode::NOT_FOUND)
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Order {
    /// Its number.
    order: u32,
}

/// The agent, and what it can look up.
pub(crate) fn gateway(shop: Shop, builder: GatewayBuilder) -> GatewayBuilder {
    let spec = ToolSpec::read_only("order", "Says how an order stands");
    builder.tool(tool_fn_with(spec, shop, async |shop: Shop, _, input: Order| {
        Ok(shop.0.get(&input.order).cloned().unwrap_or_else(|| "there is no such order".into()))
    }))
}

#[derive(Clone)]
struct App {
    shop: Shop,
    handle: Handle,
}

/// A route of the shop's own that asks the agent.
async fn ask(State(app): State<App>, question: String) -> Result<String, StatusCode> {
    let customer = Principal::Service { name: "shop".into() };
    let asked = app.handle.ask("web", question).principal(customer).reply().await;
    asked.map(|reply| reply.text).map_err(|_| StatusCode::BAD_GATEWAY)
}

/// The shop's routes, and the gateway's below `/claw`.
pub(crate) async fn router(shop: Shop, handle: Handle, config: ServerConfig) -> Result<Router> {
    let claw = server::router(handle.clone(), config).await?;
    Ok(Router::new()
        .route("/orders/{id}", get(order))
        .route("/ask", post(ask))
        .with_state(App { shop, handle })
        .nest("/claw", claw))
}

#[tokio::main]
async fn main() -> Result<()> {
    openclaw_examples::log();
    let shop = Shop::open();
    let builder =
        Gateway::builder().provider(OpenAi::from_env()?).store(Sqlite::open("shop.db").await?);
    let running = gateway(shop.clone(), builder).start().await?;
    let token = std::env::var("SHOP_TOKEN").unwrap_or_default();
    let app = router(shop, running.handle(), ServerConfig::token(token)).await?;

    let unavailable =
        |error| openclaw_core::Error::wrap(openclaw_core::ErrorKind::Unavailable, error);
    let listener = TcpListener::bind("127.0.0.1:8080").await.map_err(unavailable)?;
    // The gateway wants to know who connects.
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    let stop = async { drop(tokio::signal::ctrl_c().await) };
    axum::serve(listener, service).with_graceful_shutdown(stop).await.map_err(unavailable)?;
    running.shutdown().await
}
