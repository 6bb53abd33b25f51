//! The run of a session: the task that exists while the session has something to do.

mod approvals;
mod context;
mod controls;
mod input;
mod log;
mod model;
mod run;
mod tools;

pub use approvals::APPROVAL_TTL;
pub use log::LogView;
pub use tools::{MAX_RESULT_BYTES, TOOL_GRACE};

pub(crate) use input::Input;
pub(crate) use run::{Began, run};
