//! Events on their way from a service to its client.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

/// A numbered queue of events that a client reads and acknowledges, as services keep one for
/// updates. Clones share it.
///
/// An event stays, and is read again, until it is acknowledged. On demand it comes again after
/// that, or changes places with its neighbours.
///
/// ```
/// use openclaw_core::testing::fake_service::Feed;
///
/// let feed = Feed::starting_at(100);
/// feed.reorder_next(2);
/// feed.push("question");
/// feed.push("edit");
/// assert_eq!(feed.read(0, 10), [(100, "edit"), (101, "question")]);
///
/// feed.repeat_next(1);
/// feed.acknowledge_before(101);
/// assert_eq!(feed.read(101, 10), [(100, "edit"), (101, "question")], "one came again");
/// ```
#[derive(Clone)]
pub struct Feed<T>(Arc<Shared<T>>);

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: watch::Sender<()>,
}

struct State<T> {
    next: u64,
    events: VecDeque<(u64, T)>,
    /// Acknowledged events that come once more.
    again: VecDeque<(u64, T)>,
    repeats: usize,
    /// Events that wait to be turned around, and how many are to be.
    held: Vec<T>,
    reorder: usize,
}

impl<T: Clone> Feed<T> {
    /// An empty feed whose first event has this number.
    pub fn starting_at(number: u64) -> Self {
        let state = State {
            next: number,
            events: VecDeque::new(),
            again: VecDeque::new(),
            repeats: 0,
            held: Vec::new(),
            reorder: 0,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), changed: watch::Sender::new(()) }))
    }

    /// Adds an event. Numbers are given in the order in which events become readable.
    pub fn push(&self, event: T) {
        self.update(|state| {
            if state.reorder == 0 {
                state.append(event);
                return;
            }
            state.held.push(event);
            if state.held.len() >= state.reorder {
                state.release();
            }
        });
    }

    /// The oldest `limit` events from the number `from` on. They stay. Events that come again stand
    /// before them, whatever their number.
    pub fn read(&self, from: u64, limit: usize) -> Vec<(u64, T)> {
        let state = self.state();
        let events = state.events.iter().filter(|(number, _)| *number >= from);
        state.again.iter().chain(events).take(limit).cloned().collect()
    }

    /// Forgets the events before the number.
    pub fn acknowledge_before(&self, number: u64) {
        self.update(|state| {
            state.again.clear();
            while let Some((first, event)) = state.events.pop_front() {
                if first >= number {
                    state.events.push_front((first, event));
                    break;
                }
                state.acknowledged(first, event);
            }
        });
    }

    /// Forgets the event of this number alone; nothing if it is gone.
    pub fn acknowledge(&self, number: u64) {
        self.update(|state| {
            if let Some(place) = state.again.iter().position(|(other, _)| *other == number) {
                state.again.remove(place);
            } else if let Some(place) = state.events.iter().position(|(other, _)| *other == number)
                && let Some((number, event)) = state.events.remove(place)
            {
                state.acknowledged(number, event);
            }
        });
    }

    /// Forgets all but the newest `count` events.
    pub fn keep_last(&self, count: usize) {
        self.update(|state| {
            state.again.clear();
            let surplus = state.events.len().saturating_sub(count);
            state.events.drain(..surplus);
        });
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.update(|state| {
            state.held.clear();
            state.again.clear();
            state.events.clear();
        });
    }

    /// The number that the next event will have.
    pub fn next_number(&self) -> u64 {
        self.state().next
    }

    /// How many events are not acknowledged.
    pub fn len(&self) -> usize {
        let state = self.state();
        state.events.len() + state.again.len() + state.held.len()
    }

    /// True if every event is acknowledged.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until every event is acknowledged. Cancel safe.
    pub async fn drained(&self) {
        let mut changes = self.changes();
        while !self.is_empty() {
            // The sender lives as long as `self`.
            let _ = changes.changed().await;
        }
    }

    /// Notes each change of the feed, from now on.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.0.changed.subscribe()
    }

    /// Makes the next `count` events that are acknowledged come once more, with their old number.
    pub fn repeat_next(&self, count: usize) {
        self.update(|state| state.repeats = count);
    }

    /// Holds the next `count` events back until the last of them is there, and then lets them come
    /// in the opposite order. 0 lets come what is held back.
    pub fn reorder_next(&self, count: usize) {
        self.update(|state| {
            state.release();
            state.reorder = count;
        });
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut State<T>)) {
        change(&mut self.state());
        self.0.changed.send_replace(());
    }
}

impl<T: Clone> State<T> {
    fn append(&mut self, event: T) {
        self.events.push_back((self.next, event));
        self.next += 1;
    }

    fn release(&mut self) {
        self.reorder = 0;
        while let Some(event) = self.held.pop() {
            self.append(event);
        }
    }

    fn acknowledged(&mut self, number: u64, event: T) {
        if self.repeats > 0 {
            self.repeats -= 1;
            self.again.push_back((number, event));
        }
    }
}

impl<T> fmt::Debug for Feed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("Feed")
            .field("next", &state.next)
            .field("events", &state.events.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_acknowledged_is_read_again() {
        let feed = Feed::starting_at(1);
        for event in ["a", "b", "c"] {
            feed.push(event);
        }
        assert_eq!(feed.read(0, 2), [(1, "a"), (2, "b")]);
        assert_eq!(feed.read(2, 9), [(2, "b"), (3, "c")]);
        feed.acknowledge_before(2);
        feed.acknowledge(3);
        assert_eq!(feed.read(0, 9), [(2, "b")]);
        feed.keep_last(0);
        assert!(feed.is_empty());
        assert_eq!(feed.next_number(), 4);
    }

    #[tokio::test]
    async fn a_repeat_ends_with_its_own_acknowledgement() {
        let feed = Feed::starting_at(1);
        feed.repeat_next(1);
        feed.push("a");
        feed.acknowledge(1);
        assert_eq!(feed.read(2, 9), [(1, "a")]);
        feed.acknowledge(1);
        feed.drained().await;
    }
}
