//! Messaging services for [`openclaw_core`], one feature each.
//!
//! | feature | module | is |
//! |---|---|---|
//! | `telegram` | `telegram` | Telegram bots, by long polling or webhook |
//! | `terminal` | `terminal` | the person at the keyboard, or a pipe |
//!
//! What channels share: `markdown` brings Markdown into a platform's own form, `webhook` checks what comes
//! by HTTP.

#[cfg(feature = "markdown")]
pub mod markdown;
mod plugins;
#[cfg(feature = "telegram")]
pub mod telegram;
#[cfg(feature = "terminal")]
pub mod terminal;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "webhook")]
pub mod webhook;

pub use plugins::register;
