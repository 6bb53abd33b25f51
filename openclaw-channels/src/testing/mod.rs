//! Emulators of the services that channels connect to, for tests of channels and of bots.
//!
//! Each runs on loopback, keeps its own state while what it tests is killed and started again, and
//! fails on demand through [`openclaw_core::testing::fake_service`].

pub mod telegram;
