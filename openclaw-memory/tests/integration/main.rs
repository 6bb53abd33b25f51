//! What the crate promises, tested through its public API.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics has failed"
)]

mod backlog;
mod blobs;
mod common;
mod conformance;
mod crash;
mod crash_matrix;
mod damage;
mod embed;
#[cfg(feature = "onnx")]
mod embed_onnx;
mod flush;
mod full;
mod hostile;
mod measure;
mod memory;
mod opening;
mod plugins;
mod restore;
mod together;
