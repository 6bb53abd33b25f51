//! Embedders that run in the process: text becomes a vector on the owner's own machine.
//!
//! [`StaticEmbedder`] is part of the crate: it needs no file and no network, and takes microseconds.
//! With the feature `onnx` there is a neural one, `OnnxEmbedder`, slower and better, whose weights are
//! a file.
//!
//! Both are models of English. What they make of another language is mostly noise, and
//! [`Embedder::coverage`](openclaw_core::provider::Embedder::coverage) says so: a search should
//! trust a vector as far as the text was understood.

#[cfg(feature = "onnx")]
mod onnx;
mod static_model;
mod table;
mod wordpiece;

#[cfg(feature = "onnx")]
pub use onnx::OnnxEmbedder;
pub use static_model::{Encoded, StaticEmbedder};

/// How many tokens of a text count for [`StaticEmbedder`]; what follows them is left out.
pub const MAX_TOKENS: usize = 512;
