//! What leaves: how it is cut to a platform's measure and how it gets there.

mod lanes;

pub(crate) use lanes::Delivery;
pub use lanes::{DELIVERY_TTL, FIRST_BACKOFF, MAX_BACKOFF, OnUnknown};

use crate::{
    channel::{Capabilities, TextLimit},
    message::Content,
};
pub(crate) fn split(text: &str, _limit: TextLimit) -> Vec<String> {
    vec![text.to_owned()]
}
pub(crate) fn degrade(content: Vec<Content>, _c: &Capabilities) -> (Vec<Content>, Vec<()>) {
    (content, Vec::new())
}
