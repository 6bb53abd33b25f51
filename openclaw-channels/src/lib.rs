//! Messaging services for [`openclaw_core`].

mod plugins;
#[cfg(feature = "terminal")]
pub mod terminal;
#[cfg(feature = "testing")]
pub mod testing;

pub use plugins::register;
