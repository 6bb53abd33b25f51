//! Messaging services for [`openclaw_core`].

#[cfg(feature = "terminal")]
pub mod terminal;
