//! Tools for [`openclaw_core`].
//!
//! | tool | what it does | capability, effect |
//! |---|---|---|
//! | [`Now`] | tells date and time in a time zone | reads, `ReadOnly` |
//! | [`AskUser`] | asks the person a question; their next message is the answer | reads, `Idempotent` |
//! | [`MemorySearch`] | looks for what was said before, now or as of a day | reads private, `ReadOnly` |
//! | [`MemorySave`] | remembers a fact, in place of what its name meant | writes, `Idempotent` |
//! | [`MemoryForget`] | forgets for good | writes irreversibly |
//! | [`SendMessage`] | sends a message to another conversation | `Communicate`, `Idempotent` |
//! | [`Shell`](boxed::Shell) | runs commands, at once or in the background | `Execute`, `Idempotent` |
//! | [`Code`](boxed::Code) | runs Python and JavaScript; plots come back as pictures | `Execute`, `Idempotent` |
//! | [`Files`](boxed::Files) | reads, writes, edits, lists, searches files of the box | `WriteReversible`, `Idempotent` |
//! | [`Process`](boxed::Process) | runs a program that speaks JSON lines | `Execute`, `Idempotent` |
//!
//! The first six run in the application's process, reach no network and read no environment. The others
//! (feature `boxed`) run in the box of their session, which a sandbox makes (feature `docker`), without a
//! network and without secrets; without a sandbox the gateway does not start.

mod ask_user;
#[cfg(feature = "boxed")]
pub mod boxed;
mod memory;
mod now;
mod plugins;
pub mod sandbox;
mod send_message;

pub use ask_user::AskUser;
pub use memory::{MemoryForget, MemorySave, MemorySearch};
pub use now::Now;
pub use plugins::{NowConfig, register};
pub use send_message::SendMessage;
