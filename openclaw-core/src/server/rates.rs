//! How often something may be done.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How many uses are kept in mind.
const MAX_KNOWN: usize = 10_000;
const MINUTE: Duration = Duration::from_secs(60);

/// What is counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Use {
    /// Requests by HTTP of an address.
    Http(Option<IpAddr>),
    /// One method's use by one client: its device, or its address.
    Method(&'static str, String),
}

/// What is left of a minute's uses. They come back evenly.
struct Left {
    uses: f64,
    at: Instant,
}

#[derive(Default)]
pub(super) struct Rates(Mutex<HashMap<Use, Left>>);

impl Rates {
    /// Counts a use of which there may be `most` a minute.
    ///
    /// # Errors
    /// There were too many; the next is fine after this long.
    pub(super) fn take(&self, what: Use, most: u32) -> Result<(), Duration> {
        let (most, now) = (f64::from(most.max(1)), Instant::now());
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KNOWN && !known.contains_key(&what) {
            // Those that were not used for a minute have all of it again.
            known.retain(|_, left| now.duration_since(left.at) < MINUTE);
            if known.len() >= MAX_KNOWN {
                return Err(MINUTE);
            }
        }
        let left = known.entry(what).or_insert(Left { uses: most, at: now });
        let back = now.duration_since(left.at).as_secs_f64() * most / MINUTE.as_secs_f64();
        left.uses = (left.uses + back).min(most);
        left.at = now;
        if left.uses < 1.0 {
            return Err(MINUTE.mul_f64((1.0 - left.uses) / most));
        }
        left.uses -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn uses_come_back_evenly_and_each_counts_by_itself() {
        let rates = Rates::default();
        let ada = || Use::Method("device.pair.remove", "ada".to_owned());
        let other = Use::Method("device.pair.rename", "ada".to_owned());
        for _ in 0..30 {
            assert!(rates.take(ada(), 30).is_ok());
        }
        let pause = rates.take(ada(), 30).unwrap_err();
        assert_eq!(pause, Duration::from_secs(2));
        assert!(rates.take(other, 30).is_ok());
        tokio::time::advance(pause).await;
        assert!(rates.take(ada(), 30).is_ok());
        assert!(rates.take(ada(), 30).is_err());
    }
}
