//! The conformance of channels.

mod recording;

pub use recording::{RecordingIngress, context};
