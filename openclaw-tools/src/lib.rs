//! Tools for [`openclaw_core`].
//!
//! | tool | what it does | capability, effect |
//! |---|---|---|
//! | [`Now`] | tells date and time in a time zone | reads, `ReadOnly` |
//! | [`AskUser`] | asks the person a question; their next message is the answer | reads, `Idempotent` |
//! | [`SendMessage`] | sends a message to another conversation | `Communicate`, `Idempotent` |
//!
//! All of them run in the application's process, reach no network and read no environment.

mod ask_user;
mod now;
mod plugins;
mod send_message;

pub use ask_user::AskUser;
pub use now::Now;
pub use plugins::{NowConfig, register};
pub use send_message::SendMessage;
