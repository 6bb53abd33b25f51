//! Channels, tested through their public API.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics has failed"
)]

mod peers;
mod plugins;
mod telegram;
mod telegram_emulator;
mod telegram_emulator_peers;
mod telegram_emulator_process;
mod terminal;
#[cfg(unix)]
mod typed;
