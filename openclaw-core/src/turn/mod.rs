//! One pass of the agent loop, as a pure fold over log entries.
//!
//! A [`Session`] is what the entries of its log add up to. [`Session::step`] says what may be done
//! next, as a function of that state: asking twice is harmless. There is no I/O here, no clock and no
//! randomness; time comes with the entries. The live driver and recovery run this same code.

mod calls;
mod codec;
mod entry;
mod limits;
mod open;
mod session;
mod size;

pub use calls::Phase;
pub use codec::{ENTRY_VERSION, decode, encode};
pub use entry::{Answer, AskedCall, CallDecision, Cause, Entry, Outcome};
pub use limits::{DEFAULT_TOOL_TIMEOUT, Limits};
pub use open::{MAX_ATTEMPTS, Step, Turn};
pub use session::{OpenAsk, Session};
