//! The sandbox and the tools in it against a real Docker engine, where one runs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod boxed;
mod conformance;
mod doctor;
mod engine;
mod engine_killed;
mod entries;
mod hostile;
mod no_processes;
mod paths;
mod policy;
mod pool;
