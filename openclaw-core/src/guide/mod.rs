//! The guide, a chapter a module.

#[doc = include_str!("configuration.md")]
pub mod configuration {}
