//! Time and chance in the hands of a test.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    error::Result,
    time::{Clock, Entropy, Timestamp},
};

/// A wall clock that stands still until it is set. Clones show the same time.
///
/// It is apart from `tokio::time`: a test that pauses that moves this one itself.
///
/// ```
/// use std::time::Duration;
/// use openclaw_core::{testing::TestClock, time::{Clock as _, Timestamp}};
///
/// let clock = TestClock::at(Timestamp(1_000));
/// clock.advance(Duration::from_secs(1));
/// assert_eq!(clock.now(), Timestamp(2_000));
/// clock.set_back(Duration::from_secs(2));
/// assert_eq!(clock.now(), Timestamp(0));
/// ```
#[derive(Clone, Debug, Default)]
pub struct TestClock(Arc<AtomicI64>);

impl TestClock {
    /// Noon of 1 June 2026 in UTC, away from any boundary.
    pub fn new() -> Self {
        Self::at(Timestamp(1_780_315_200_000))
    }

    /// Showing `time`.
    pub fn at(time: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(time.as_millis())))
    }

    /// Shows `time` from now on, be it earlier or later.
    pub fn set(&self, time: Timestamp) {
        self.0.store(time.as_millis(), Ordering::SeqCst);
    }

    /// Goes forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(millis(by), Ordering::SeqCst);
    }

    /// Goes backwards, as real clocks do.
    pub fn set_back(&self, by: Duration) {
        self.0.fetch_sub(millis(by), Ordering::SeqCst);
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// Bytes that follow from a seed (SplitMix64): the same seed, the same bytes in the same order.
/// Clones draw from the same sequence. For tests alone: whoever knows the seed knows all.
///
/// ```
/// use openclaw_core::{testing::SeededEntropy, time::Entropy as _};
///
/// let (mut one, mut other) = ([0; 16], [0; 16]);
/// SeededEntropy::new(7).fill(&mut one)?;
/// SeededEntropy::new(7).fill(&mut other)?;
/// assert_eq!(one, other);
/// # Ok::<(), openclaw_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SeededEntropy(Arc<AtomicU64>);

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

impl SeededEntropy {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seed)))
    }

    /// The next 64 bits.
    pub fn next_u64(&self) -> u64 {
        let mut z = self.0.fetch_add(GOLDEN, Ordering::SeqCst).wrapping_add(GOLDEN);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `limit`; 0 if that is 0.
    pub fn below(&self, limit: u64) -> u64 {
        self.next_u64().checked_rem(limit).unwrap_or(0)
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<()> {
        for chunk in bytes.chunks_mut(8) {
            let drawn = self.next_u64().to_le_bytes();
            for (byte, value) in chunk.iter_mut().zip(drawn) {
                *byte = value;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_published_sequence() {
        // The reference implementation's first values for the seed 1234567.
        let seeded = SeededEntropy::new(1_234_567);
        assert_eq!(seeded.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(seeded.next_u64(), 3_203_168_211_198_807_973);
    }
}
