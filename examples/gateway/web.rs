//! The doors: clients of the gateway protocol, webhooks, and whether the gateway is well.

use std::{net::TcpListener, sync::Arc};

use openclaw_core::{
    AccountId, Error, ErrorKind, Handle, Result,
    protocol::DeviceKey,
    server::{LogTail, ServerConfig, ServerEntry, Serving, serve},
    time::SystemEntropy,
};
use openclaw_memory::embed::StaticEmbedder;

use crate::setup::Setup;

/// Opens the doors that the configuration has, or those that the command line asks for.
///
/// # Errors
/// The address is none, or taken; the configuration cannot be used.
pub(crate) async fn open(
    setup: &Arc<Setup>,
    server: Option<ServerEntry>,
    tail: LogTail,
    listen: Option<&str>,
    handle: Handle,
) -> Result<Option<Serving>> {
    let (config, address) = match (server, listen) {
        (None, None) => return Ok(None),
        (Some(entry), None) => (entry.load()?, entry.address()?.to_string()),
        (Some(entry), Some(listen)) => (entry.load()?, listen.to_owned()),
        (None, Some(listen)) => (nobody()?, listen.to_owned()),
    };
    let refused = |error| Error::wrap(ErrorKind::InvalidConfig, error).with("listen", &address);
    let listener = TcpListener::bind(&address).map_err(refused)?;
    let shown = Arc::clone(setup);
    let config = config
        .embedder(Arc::new(StaticEmbedder::builtin()))
        .logs(tail)
        .setup(move || shown.shown());
    serve(listener, handle, config).await.map(Some)
}

/// What is wrong if nothing leads to accounts that take webhooks.
pub(crate) fn unreachable(webhooks: &[AccountId], has_doors: bool) -> Vec<String> {
    let closed = webhooks.iter().filter(|_| !has_doors);
    let fault = |account: &AccountId| {
        format!(
            "channel {account}: its updates come by webhook, but no door is open to them: add \
             \"server\", say --listen, or let it poll"
        )
    };
    closed.map(fault).collect()
}

/// Webhooks and health alone: a token that nobody knows lets no client in.
fn nobody() -> Result<ServerConfig> {
    let unknown = DeviceKey::generate(&SystemEntropy)?;
    let token: String = unknown.seed().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(ServerConfig::token(token).exposed_without_tls())
}
