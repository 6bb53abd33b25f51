//! What any implementer and any application can test with.
//!
//! Conformance suites, one for each trait: a suite's cases are the trait's contract, and each case
//! fails on at least one of the faulty doubles that stand beside it.

pub mod blobs;
pub mod channel;
pub mod store;
pub mod suite;

pub use suite::{Suite, Verdict};
