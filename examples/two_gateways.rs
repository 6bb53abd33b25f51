//! Two tenants in one process, with nothing shared: each has its own agent, database, port and token.
//!
//! Run with `ADA_TOKEN=… BOB_TOKEN=… OPENAI_API_KEY=… cargo run --example two_gateways`.

use std::net::TcpListener;

use openclaw_core::{
    Error, ErrorKind, Gateway, GatewayBuilder, Result,
    agent::Agent,
    secret::SecretRef,
    server::{ServerConfig, Serving, serve},
};
use openclaw_memory::sqlite::Sqlite;
use openclaw_providers::openai::OpenAi;

/// A tenant: a gateway, and its doors.
pub(crate) struct Tenant {
    pub(crate) gateway: Gateway,
    pub(crate) doors: Serving,
}

/// Starts a tenant's gateway and opens its doors.
pub(crate) async fn tenant(
    builder: GatewayBuilder,
    persona: &str,
    config: ServerConfig,
    address: &str,
) -> Result<Tenant> {
    let gateway = builder.agent(Agent::new("main").persona(persona)).start().await?;
    let listener = TcpListener::bind(address)
        .map_err(|error| Error::wrap(ErrorKind::InvalidConfig, error).with("address", address))?;
    let doors = serve(listener, gateway.handle(), config).await?;
    Ok(Tenant { gateway, doors })
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut tenants = Vec::new();
    for (name, persona, port) in [("ADA", "You are terse.", 18790), ("BOB", "You rhyme.", 18791)] {
        let builder = Gateway::builder()
            .provider(OpenAi::from_env()?)
            .store(Sqlite::open(format!("{name}.db")).await?);
        let token = SecretRef::Env(format!("{name}_TOKEN")).resolve()?;
        let address = format!("127.0.0.1:{port}");
        let tenant = tenant(builder, persona, ServerConfig::token(token), &address).await?;
        println!("{name}: ws://{}", tenant.doors.address());
        tenants.push(tenant);
    }
    tokio::signal::ctrl_c().await.map_err(|error| Error::wrap(ErrorKind::Unavailable, error))?;
    for tenant in tenants {
        tenant.doors.stop().await;
        tenant.gateway.shutdown().await?;
    }
    Ok(())
}
