//! Connections that have not yet said what they want.
//!
//! So many may be at once; for one more the oldest has to go. Who says soon what they want is not held up by those who
//! never do, and these take room for so many and no more.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::Notify;

#[derive(Default)]
pub(super) struct HalfOpen(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    last: u64,
    /// The oldest first.
    open: BTreeMap<u64, Arc<Notify>>,
}

/// A place among them; given back when it is dropped.
pub(super) struct Place {
    all: Arc<HalfOpen>,
    number: u64,
    leave: Arc<Notify>,
    over: AtomicBool,
}

impl HalfOpen {
    /// A place for one more; of more than `most` the oldest is told to go.
    pub(super) fn enter(self: &Arc<Self>, most: usize) -> Place {
        let leave = Arc::new(Notify::new());
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while waiting.open.len() >= most.max(1) {
            let Some((_, oldest)) = waiting.open.pop_first() else { break };
            oldest.notify_one();
        }
        waiting.last += 1;
        let number = waiting.last;
        waiting.open.insert(number, Arc::clone(&leave));
        Place { all: Arc::clone(self), number, leave, over: AtomicBool::new(false) }
    }
}

impl Place {
    /// It has said what it wants.
    pub(super) fn over(&self) {
        if !self.over.swap(true, Ordering::Relaxed) {
            let mut waiting = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.open.remove(&self.number);
        }
    }

    /// Completes when it has to go.
    pub(super) async fn told_to_go(&self) {
        self.leave.notified().await;
        if self.over.load(Ordering::Relaxed) {
            // Too late: it has said what it wants.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.over();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn the_oldest_goes_unless_it_has_said_what_it_wants() {
        let all = Arc::new(HalfOpen::default());
        let is_told = |place: &Place| place.told_to_go().now_or_never().is_some();
        let (first, second, third) = (all.enter(3), all.enter(3), all.enter(3));
        first.over();
        let fourth = all.enter(3);
        assert!(!is_told(&first) && !is_told(&second) && !is_told(&third) && !is_told(&fourth));
        let fifth = all.enter(3);
        assert!(is_told(&second) && !is_told(&third) && !is_told(&fifth));
        drop((third, fourth));
        let _sixth = all.enter(3);
        assert!(!is_told(&fifth));
    }
}
