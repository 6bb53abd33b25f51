//! Chat completions.

mod stream;
mod wire;

pub(super) use stream::ChatAnswer;
pub(super) use wire::body;
