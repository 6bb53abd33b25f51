//! Responses: items in, items out.

mod stream;
mod wire;

pub(super) use stream::ResponseAnswer;
pub(super) use wire::body;
