//! What leaves: how it is cut to a platform's measure and how it gets there.

mod degrade;
mod markdown;
mod split;

pub use degrade::{Degraded, Loss, degrade};
pub use split::split;
