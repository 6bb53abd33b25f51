//! Stores and memories for [`openclaw_core`], a feature each.

pub mod embed;
mod plugins;
#[cfg(feature = "sqlite")]
pub mod sqlite;

pub use plugins::register;
