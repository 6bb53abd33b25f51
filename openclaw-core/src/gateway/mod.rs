//! The hub: it owns channels, agents, the store and delivery, and routes every message.

mod answers;
mod ask;
mod bindings;
mod builder;
mod cache;
mod check;
mod commands;
mod compose;
mod directory;
mod door;
mod equip;
mod handle;
mod hub;
mod ingress;
mod into;
#[cfg(feature = "server")]
mod invoke;
mod listen;
mod load;
mod models;
mod plan;
mod reload;
mod typed;
mod waiters;
mod wanted;
mod webhooks;

pub use crate::session::{
    APPROVAL_TTL, LogView, MAX_MEDIA_BYTES, MAX_RESULT_BYTES, MAX_SHOWN_BYTES,
    MAX_SHOWN_TEXT_BYTES, MEDIA_TIMEOUT, TOOL_GRACE,
};
pub use ask::{API_ACCOUNT, Ask, Reply, ReplyStream};
pub use bindings::Binding;
pub use builder::GatewayBuilder;
pub use cache::SESSION_CACHE_BYTES;
pub use check::{CHECK_TIMEOUT, CheckReport};
pub use commands::COMMANDS;
pub use directory::{MAX_PENDING_PAIRINGS, PAIRING_CODE_CHARS, PAIRING_TTL, PairingRequest};
pub use handle::{Approval, Gateway, Handle, SHUTDOWN_GRACE};
pub use hub::{COLLECT_ABOVE, LEASE_TTL, MAX_PENDING, MAX_SESSION_PENDING};
pub use ingress::Ingress;
pub use into::{IntoChannel, IntoProvider, IntoStore};
pub use typed::MAX_REPAIRS;
pub use webhooks::{WEBHOOK_RETRY_SECONDS, WebhookCounts};

#[cfg(feature = "server")]
pub(crate) use commands::parse as parse_command;
pub(crate) use commands::{Command, approval_token};
pub(crate) use directory::Directory;
#[cfg(feature = "server")]
pub(crate) use door::{accept_note, accept_text};
pub(crate) use hub::{Hub, LIMITS, Wake};
#[cfg(feature = "testing")]
pub(crate) use ingress::Accept;
#[cfg(feature = "server")]
pub(crate) use invoke::invoke;
pub(crate) use plan::{AgentPlan, Plan, ToolPlan};
pub(crate) use waiters::Answered;
