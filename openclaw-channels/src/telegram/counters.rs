//! What came, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many updates and requests came since the bot was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Updates that Telegram gave, also again.
    pub updates: u64,
    /// Events that had been accepted before, as after a crash or by a replay; acknowledged.
    pub duplicates: u64,
    /// Updates of kinds that were not asked for; acknowledged and not looked into.
    pub unknown: u64,
    /// Updates, and webhook requests, that could not be read; acknowledged, as they would be the same
    /// when they come again.
    pub malformed: u64,
    /// Webhook requests without the secret; refused.
    pub refused: u64,
    /// Webhook requests of another method than `POST`; refused.
    pub not_posted: u64,
    /// Webhook requests beyond [`MAX_WEBHOOK_BYTES`](super::MAX_WEBHOOK_BYTES); refused.
    pub too_long: u64,
    /// How often Telegram said that it could not deliver to the webhook.
    pub undelivered: u64,
}

/// The same, while it is counted.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) updates: Count,
    pub(super) duplicates: Count,
    pub(super) unknown: Count,
    pub(super) malformed: Count,
    pub(super) refused: Count,
    pub(super) not_posted: Count,
    pub(super) too_long: Count,
    pub(super) undelivered: Count,
}

impl Counts {
    pub(super) fn read(&self) -> Counters {
        Counters {
            updates: self.updates.read(),
            duplicates: self.duplicates.read(),
            unknown: self.unknown.read(),
            malformed: self.malformed.read(),
            refused: self.refused.read(),
            not_posted: self.not_posted.read(),
            too_long: self.too_long.read(),
            undelivered: self.undelivered.read(),
        }
    }
}

#[derive(Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    /// Counts one more, and returns how many there are.
    pub(super) fn add(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
