//! What leaves: how it is cut to a platform's measure and how it gets there.

mod degrade;
mod lanes;
mod markdown;
mod messages;
mod pace;
mod preview;
mod split;

pub use degrade::{Degraded, Loss, degrade};
pub(crate) use lanes::Delivery;
pub use lanes::{DELIVERY_TTL, FIRST_BACKOFF, MAX_BACKOFF, OnUnknown};
pub(crate) use messages::{Messages, messages};
pub use preview::Preview;
pub(crate) use preview::shown;
pub use split::split;
