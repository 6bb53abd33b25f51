//! Tests of the crate from outside.

mod channel_suite;
