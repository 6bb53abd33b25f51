//! The gateway's doors: a WebSocket for clients, and HTTP, on one port.
//!
//! [`router`] is an [`axum::Router`] for an application that serves HTTP already; nest it where you
//! like. [`serve`] listens by itself, and sets the limits that only a listener can set: on headers, on
//! connections, on slow clients.
//!
//! # Who is let in
//!
//! Everybody proves who they are by [`Auth`]'s means, wherever they come from: that a request comes
//! from this machine is no credential. What a connection may do is what it asked for and its
//! credential was granted, both. Browsers are let in from the gateway's own origin and from those that
//! the application names; a request for a host that is not the gateway's is refused, so that no web
//! page reaches it by a name that points here.
//!
//! # Routes
//!
//! Each HTTP route and each method of the protocol has an entry in one table, which says who may use
//! it; there is no other way to add one. [`http_routes`] and [`methods`] show them.

mod admission;
mod auth;
mod body;
mod caller;
mod config;
mod connection;
mod decisions;
mod devices;
mod entry;
mod events;
mod guard;
mod half_open;
mod health;
mod hooks;
mod invoke;
mod keys;
mod listen;
mod lockout;
mod logs;
mod methods;
mod metrics;
mod openai;
mod patience;
mod rates;
mod routes;
mod runs;
mod socket;
mod state;
mod tailscale;
mod tls;
mod webhooks;

pub use auth::Auth;
pub use config::{Limits, ServerConfig, Setup};
pub use devices::{DEVICE_REQUEST_TTL, MAX_DEVICE_REQUESTS};
pub use entry::{AuthEntry, DEFAULT_ADDRESS, ServerEntry, TailscaleEntry, TlsEntry, read_key};
pub use listen::{Serving, serve};
pub use lockout::Lockout;
pub use logs::LogTail;
pub use methods::{MethodInfo, Need, methods};
pub use routes::{Access, RouteInfo, http_routes};
pub use tailscale::{TAILSCALE_SOCKET, Tailscale};
pub use tls::TlsIdentity;

use crate::{error::Result, gateway::Handle};

/// The doors of the gateway behind `handle`, to be served or nested by the application.
///
/// The application's server should tell the address of each peer, by
/// `into_make_service_with_connect_info::<SocketAddr>()`: without it, nobody counts as coming from
/// this machine, and all share one lockout.
///
/// # Errors
/// The configuration cannot be used, or the store cannot be read.
pub async fn router(handle: Handle, config: ServerConfig) -> Result<axum::Router> {
    Ok(routes::router(state::Server::start(handle, config).await?))
}
