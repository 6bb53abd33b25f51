//! Build an assistant that hears on any channel, thinks with any model and acts with any tool.
//!
//! An application composes a [`Gateway`] from parts and runs it inside the process that it already
//! owns. The gateway hears people, decides which agent answers, runs that agent, and delivers the
//! answer; it survives `kill -9`, and asks the owner before a model that read somebody else's text
//! does what cannot be undone.
//!
//! A [`Channel`](channel::Channel) receives and sends messages, a [`Provider`](provider::Provider)
//! completes conversations, a [`Tool`](tool::Tool) acts on the model's behalf, a
//! [`Store`](store::Store) keeps everything durable. This crate has the traits, their contracts and the
//! gateway; its siblings have the parts: `openclaw-channels`, `openclaw-providers`, `openclaw-tools`,
//! `openclaw-memory`.
//!
#![cfg_attr(feature = "testing", doc = "```")]
#![cfg_attr(not(feature = "testing"), doc = "```ignore")]
//! use openclaw_core::{
//!     Gateway, Result, schemars,
//!     testing::{Loopback, Scripted, Step},
//!     tool::{ToolSpec, tool_fn},
//! };
//! use serde_json::json;
//!
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! struct City {
//!     /// Its name.
//!     city: String,
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<()> {
//! let weather = ToolSpec::read_only("weather", "Says what the weather is like");
//! let weather = tool_fn(weather, async |_, input: City| Ok(format!("rain in {}", input.city)));
//!
//! // In an application: a real provider, a real messenger, and a store on disk.
//! let model = Scripted::steps([
//!     Step::new().call("weather", json!({ "city": "Hanoi" })),
//!     Step::text("Take an umbrella."),
//! ]);
//! let user = Loopback::new();
//! let gateway = Gateway::builder()
//!     .provider(model)
//!     .channel(user.clone())
//!     .tool(weather)
//!     .ephemeral()
//!     .start()
//!     .await?;
//!
//! assert_eq!(user.say("What do I need in Hanoi today?").await?, "Take an umbrella.");
//! gateway.shutdown().await
//! # }
//! ```
//!
//! # Concepts
//!
//! | word | meaning |
//! |---|---|
//! | [gateway](Gateway) | the hub: owns channels, agents, store and delivery |
//! | [agent](agent::Agent) | persona, provider and model, tools, permissions |
//! | [session](SessionKey) | one agent's conversation in one place; data, not a task |
//! | [turn](turn) | one pass of the loop: from the messages that it answers to the reply |
//! | [inbound, action](message) | what arrives and what leaves, in one normal form |
//! | [label](label::Label) | where a value came from and who may see it |
//! | [permit](policy::Permit) | unforgeable leave to run one exact call; only the policy makes it |
//! | [principal](access::Principal) | an authenticated person or program; who the owner is, is the host's word |
//! | [layer](layer), [hook](hook) | what wraps a part; what decides at a point |
//!
//! Every trait's documentation is its contract; [`testing`](testing) has a suite for each.
//!
//! # Embedding
//!
//! This crate starts no runtime, reads no environment, file or home directory that it was not given,
//! and installs no globals: no logger, no signal handler. It connects nowhere that the application did
//! not configure. Several gateways live in one process. See the chapter on
//! [embedding](guide::embedding).
//!
//! # Guide
//!
//! - [Getting started](guide::getting_started)
//! - [Tools and policy](guide::tools_and_policy): what asks, and why
//! - [Channels](guide::channels)
//! - [Providers, layers, hooks](guide::providers)
//! - [Stores](guide::stores)
//! - [Memory](guide::memory): what an agent remembers, and how it is recalled
//! - [Agents and routing](guide::agents_and_routing)
//! - [Configuration](guide::configuration): plugins by name, from a JSON file
//! - [Durability and recovery](guide::durability): what is promised, and what is not
//! - [Testing your bot](guide::testing)
//! - [Embedding](guide::embedding)
//!
//! # Features
//!
//! All are off by default.
//!
//! - `protocol`: frames and signatures of the gateway protocol, without I/O.
//! - `server`: the gateway's doors, a WebSocket and HTTP on one port.
//! - `client`: a client of a gateway.
//! - `testing`: suites, doubles, clock. The guide is part of it.

pub mod access;
pub mod agent;
pub mod blobs;
pub mod channel;
#[cfg(feature = "client")]
pub mod client;
pub mod delivery;
pub mod egress;
pub mod error;
pub mod event;
#[allow(unreachable_pub, reason = "`testing` shows what it needs of it")]
mod fault;
pub mod gateway;
#[cfg(feature = "testing")]
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
#[cfg(feature = "protocol")]
pub mod protocol;
pub mod provider;
pub mod sandbox;
pub mod secret;
#[cfg(feature = "server")]
pub mod server;
mod session;
pub mod store;
#[cfg(feature = "opentelemetry")]
pub mod telemetry;
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
