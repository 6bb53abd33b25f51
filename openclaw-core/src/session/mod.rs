//! The run of a session: the task that exists while the session has something to do.

mod approvals;
mod commit;
mod context;
mod controls;
mod input;
mod log;
mod means;
mod media;
mod model;
mod remember;
mod run;
mod say;
mod span;
mod tools;
mod waiting;

pub use approvals::APPROVAL_TTL;
pub use log::LogView;
pub use media::{MAX_MEDIA_BYTES, MAX_SHOWN_BYTES, MAX_SHOWN_TEXT_BYTES, MEDIA_TIMEOUT};
pub use tools::{MAX_RESULT_BYTES, TOOL_GRACE};

pub(crate) use input::Input;
#[cfg(feature = "server")]
pub(crate) use media::keep_file;
#[cfg(feature = "server")]
pub(crate) use remember::scope as memory_scope;
pub(crate) use run::{Began, run};
#[cfg(feature = "server")]
pub(crate) use tools::call_tool;
