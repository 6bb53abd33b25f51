//! What clients answered to asks, for those who wait for it.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use tokio::sync::watch;

/// How many are kept in mind.
const MAX_KEPT: usize = 1_000;

#[derive(Default)]
pub(super) struct Decisions {
    kept: Mutex<VecDeque<(String, bool)>>,
    count: watch::Sender<u64>,
}

impl Decisions {
    pub(super) fn keep(&self, id: &str, allow: bool) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_KEPT {
            kept.pop_front();
        }
        kept.push_back((id.to_owned(), allow));
        drop(kept);
        self.count.send_modify(|count| *count += 1);
    }

    /// What was answered to this ask.
    pub(super) fn of(&self, id: &str) -> Option<bool> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().rev().find(|(known, _)| known == id).map(|(_, allow)| *allow)
    }

    /// Completes when something was answered after this was called.
    pub(super) fn answered(&self) -> impl Future<Output = ()> + use<> {
        let mut count = self.count.subscribe();
        async move {
            // Fails only when the doors are gone.
            let _ = count.changed().await;
        }
    }
}
