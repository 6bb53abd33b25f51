//! The hub: it owns channels, agents, the store and delivery, and routes every message.

mod bindings;
mod builder;
mod cache;
mod commands;
mod compose;
mod directory;
mod door;
mod handle;
mod hub;
mod ingress;
mod into;
mod listen;
mod load;
mod models;
mod plan;
mod reload;
mod typed;

pub use crate::session::{APPROVAL_TTL, LogView, MAX_RESULT_BYTES, TOOL_GRACE};
pub use bindings::Binding;
pub use builder::GatewayBuilder;
pub use cache::SESSION_CACHE_BYTES;
pub use commands::COMMANDS;
pub use directory::{MAX_PENDING_PAIRINGS, PAIRING_CODE_CHARS, PAIRING_TTL, PairingRequest};
pub use handle::{API_ACCOUNT, Approval, Ask, Gateway, Handle, Reply, ReplyStream, SHUTDOWN_GRACE};
pub use hub::{COLLECT_ABOVE, LEASE_TTL, MAX_PENDING, MAX_SESSION_PENDING};
pub use ingress::Ingress;
pub use into::{IntoChannel, IntoProvider, IntoStore};
pub use typed::MAX_REPAIRS;

pub(crate) use commands::{Command, approval_token};
pub(crate) use directory::Directory;
pub(crate) use hub::{Answered, Hub, LIMITS, Wake};
#[cfg(feature = "testing")]
pub(crate) use ingress::Accept;
pub(crate) use plan::{AgentPlan, Plan, ToolPlan};
