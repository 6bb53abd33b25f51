//! Messaging services for [`openclaw_core`].

mod plugins;
#[cfg(feature = "terminal")]
pub mod terminal;

pub use plugins::register;
