//! Stores and memories for [`openclaw_core`], a feature each.

#[cfg(feature = "sqlite")]
pub mod sqlite;
