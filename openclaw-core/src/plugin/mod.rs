//! Plugins by name, and the file that composes a gateway of them.
//!
//! A plugin is a name and a function: it takes its configuration and makes [`Parts`]. A [`Registry`]
//! holds those that a program was compiled with; it is a plain value, nothing registers itself. A
//! [`Config`] says which of them a gateway uses, and how.
//!
//! ```
//! use openclaw_core::{
//!     Gateway, Result,
//!     plugin::{NoConfig, Parts, PluginContext, Registry},
//!     tool::{ToolSpec, tool_fn},
//! };
//!
//! fn registry() -> Registry {
//!     Registry::new().plugin("dice", async |_: NoConfig, _: PluginContext| {
//!         let spec = ToolSpec::read_only("roll", "Rolls a die");
//!         Ok(Parts::new().tool(tool_fn(spec, async |_, _: NoConfig| Ok("4"))))
//!     })
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let text = r#"{
//!   "ephemeral": true,
//!   "plugins": [{"plugin": "dise"}]
//! }"#;
//! let error = Gateway::builder().config_str(&registry(), text).start().await.unwrap_err().to_string();
//! assert!(error.contains("line 3"), "{error}");
//! assert!(error.contains(r#"did you mean "dice"?"#), "{error}");
//! # }
//! ```

mod config;
mod diagnose;
mod entry;
mod layers;
mod parts;
mod registry;
mod source;

pub use config::{
    Config, FallbackEntry, FallbackLink, MAX_CONFIG_BYTES, ModelAlias, OwnerEntry, TelemetryEntry,
};
pub use entry::{NoConfig, PluginEntry};
pub use layers::{
    BudgetEntry, CapEntry, LimitEntry, ProviderLayer, RetryEntry, TimeoutEntry, ToolLayer,
    ToolLimitEntry, ToolTimeoutEntry,
};
pub use parts::Parts;
pub use registry::{PluginContext, Registry};

pub(crate) use diagnose::did_you_mean;
pub(crate) use registry::Factory;
pub(crate) use source::{Place, Segment};
