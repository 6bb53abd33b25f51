//! Build an assistant that hears on any channel, thinks with any model and acts with any tool.

pub mod access;
pub mod agent;
pub mod blobs;
pub mod channel;
pub mod delivery;
pub mod error;
pub mod event;
#[allow(unreachable_pub, reason = "`testing` shows what it needs of it")]
mod fault;
pub mod gateway;
pub mod guide;
pub mod hook;
pub mod http_client;
mod id;
pub mod label;
pub mod layer;
pub mod memory;
pub mod message;
pub mod plugin;
pub mod policy;
pub mod provider;
pub mod secret;
mod session;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
pub mod time;
pub mod tool;
pub mod turn;

pub use async_trait::async_trait;
pub use bytes;
pub use http;
pub use schemars;
pub use serde_json;

pub use error::{Error, ErrorKind, Result, Retry};
pub use gateway::{Gateway, GatewayBuilder, Handle};
pub use id::{
    AccountId, AgentId, ApprovalId, CallId, Conversation, ConversationKind, EventKey, MessageId,
    ModelId, NodeId, OutboundKey, PeerId, ProviderId, Seq, SessionId, SessionKey, ThreadId, TurnId,
    UserId,
};
