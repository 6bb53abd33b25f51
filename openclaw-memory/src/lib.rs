//! Stores and memories for [`openclaw_core`], a feature each.

pub mod embed;
#[cfg(feature = "sqlite")]
pub mod files;
#[cfg(feature = "sqlite")]
mod index;
mod plugins;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(feature = "sqlite")]
mod words;

pub use plugins::register;
