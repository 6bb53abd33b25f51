//! The providers against servers: small ones made for what goes wrong, and others' real ones.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod aimock;
mod anthropic;
mod clients;
mod conformance;
mod egress;
mod emulators;
mod ollama;
mod openai;
mod peers;
mod plugins;
mod refusals;
mod responses;
mod server;
