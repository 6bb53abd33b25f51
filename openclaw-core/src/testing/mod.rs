//! What any implementer and any application can test with.
//!
//! Conformance suites, one for each trait: a suite's cases are the trait's contract, and each case
//! fails on at least one of the faulty doubles that stand beside it.

pub mod blobs;
pub mod channel;
mod clock;
pub mod embedder;
pub mod fake_service;
mod loopback;
pub mod memory;
mod memory_faulty;
pub mod provider;
mod provider_faulty;
pub mod sandbox;
mod sandbox_double;
mod sandbox_faulty;
mod sandbox_script;
pub mod scripted;
pub mod store;
pub mod suite;
pub mod tool;
mod tool_call;
mod tool_faulty;

pub use crate::fault::{Act, FaultPoint};
pub use clock::{SeededEntropy, TestClock};
pub use embedder::HashEmbedder;
pub use loopback::{Loopback, Person, Shown};
pub use memory::MemoryDouble;
pub use sandbox::{CommandCall, CommandScript, SandboxDouble};
pub use scripted::{Scripted, Step};
pub use suite::{Suite, Verdict};
pub use tool::{TestCall, tool_context};
