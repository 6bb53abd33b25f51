//! A token bucket on the runtime's clock.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{error::Result, time::Cancel};

const MINUTE: Duration = Duration::from_secs(60);

/// So many units a minute; a full minute's worth may be taken at once.
///
/// Kept as the moment at which the bucket will be full again: taking moves it into the future, and
/// who takes what is not there yet waits for it, in order of arrival.
pub(super) struct Bucket {
    unit: Duration,
    epoch: Instant,
    full_at: Mutex<Duration>,
}

impl Bucket {
    /// A full bucket; less than one unit a minute counts as one.
    pub(super) fn per_minute(units: u32) -> Self {
        Self {
            unit: MINUTE / units.max(1),
            epoch: Instant::now(),
            full_at: Mutex::new(Duration::ZERO),
        }
    }

    /// Takes `units`, waiting until they are there. More than the bucket holds only waits longer.
    ///
    /// Cancel safe: what was not waited for is given back.
    pub(super) async fn take(&self, units: u64, cancel: &Cancel) -> Result<()> {
        let wait = self.book(units);
        if wait.is_zero() {
            return Ok(());
        }
        let mut booked = Booked { bucket: self, units };
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(super::cancelled()),
            () = tokio::time::sleep(wait) => {
                booked.units = 0;
                Ok(())
            }
        }
    }

    /// Takes what was used beyond what was taken before, without waiting: those who come later do.
    pub(super) fn settle(&self, taken: u64, used: u64) {
        self.give_back(taken.saturating_sub(used));
        self.book(used.saturating_sub(taken));
    }

    /// Takes `units` and says how long until they are there.
    fn book(&self, units: u64) -> Duration {
        let now = self.epoch.elapsed();
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        *full_at = (*full_at).max(now).saturating_add(self.cost(units));
        full_at.saturating_sub(now).saturating_sub(MINUTE)
    }

    fn give_back(&self, units: u64) {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        *full_at = full_at.saturating_sub(self.cost(units));
    }

    fn cost(&self, units: u64) -> Duration {
        let nanos = self.unit.as_nanos().saturating_mul(u128::from(units));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// Units that are waited for; given back if the wait ends early.
struct Booked<'a> {
    bucket: &'a Bucket,
    units: u64,
}

impl Drop for Booked<'_> {
    fn drop(&mut self) {
        self.bucket.give_back(self.units);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_full_minute_at_once_and_then_one_by_one() {
        let bucket = Bucket::per_minute(60);
        let cancel = Cancel::new();
        for _ in 0..60 {
            bucket.take(1, &cancel).await.unwrap();
        }
        assert_eq!(bucket.epoch.elapsed(), Duration::ZERO);
        bucket.take(1, &cancel).await.unwrap();
        assert_eq!(bucket.epoch.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_wait_gives_back_what_it_had_booked() {
        let bucket = Bucket::per_minute(60);
        let cancel = Cancel::new();
        bucket.take(60, &cancel).await.unwrap();
        let dropped = tokio::time::timeout(Duration::from_millis(1), bucket.take(600, &cancel));
        assert!(dropped.await.is_err());
        let stopped = cancel.child();
        stopped.cancel();
        let error = bucket.take(600, &stopped).await.unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Cancelled);
        bucket.take(1, &cancel).await.unwrap();
        assert!(bucket.epoch.elapsed() < Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn settling_moves_what_later_ones_wait_for() {
        let bucket = Bucket::per_minute(60);
        let cancel = Cancel::new();
        bucket.take(60, &cancel).await.unwrap();
        bucket.settle(60, 10);
        bucket.take(50, &cancel).await.unwrap();
        assert_eq!(bucket.epoch.elapsed(), Duration::ZERO);
        bucket.settle(50, 60);
        bucket.take(1, &cancel).await.unwrap();
        assert_eq!(bucket.epoch.elapsed(), Duration::from_secs(11));
    }

    proptest! {
        /// Whatever is asked for, no span of time gives more than its share and one full bucket.
        #[test]
        fn never_more_than_a_bucket_and_the_share_of_the_time(
            limit in 1u32..500,
            asks in proptest::collection::vec((0u64..800, 0u64..40_000), 1..40),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            let granted = runtime.block_on(async {
                let bucket = Bucket::per_minute(limit);
                let mut granted = Vec::new();
                for (units, pause) in asks {
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                    bucket.take(units, &Cancel::new()).await.unwrap();
                    granted.push((bucket.epoch.elapsed(), units));
                }
                granted
            });
            for (from, (start, _)) in granted.iter().enumerate() {
                let mut sum = 0;
                for (end, units) in &granted[from..] {
                    sum += units;
                    let minutes = 1.0 + (*end - *start).as_secs_f64() / 60.0;
                    // A request larger than the bucket waits for all that is beyond it beforehand.
                    let largest = granted.iter().map(|(_, units)| *units).max().unwrap_or(0);
                    let most = f64::from(limit) * minutes + largest as f64 + 1.0;
                    prop_assert!(sum as f64 <= most, "{sum} > {most}");
                }
            }
        }
    }
}
