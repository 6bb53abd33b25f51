//! What the crate promises, tested through its public API.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics has failed"
)]

mod channel_suite;
mod dependencies;
mod fake_service;
mod gateway;
mod layers;
mod memory_suite;
mod plugins;
mod provider_suite;
mod replay;
mod sandbox_suite;
mod server;
mod simulation;
mod store_suite;
mod telemetry;
mod tool_suite;
