//! How fast an account sends.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    channel::{Rate, Rates},
    id::{AccountId, Conversation, ConversationKind},
};

/// From how many buckets on those that are full again are forgotten.
const MANY: usize = 1_024;

/// Buckets of accounts and of conversations. Each is kept as the moment at which it is full again, so
/// that nothing has to fill it.
#[derive(Default)]
pub(super) struct Pacer(Mutex<Buckets>);

#[derive(Default)]
struct Buckets {
    accounts: HashMap<AccountId, Instant>,
    conversations: HashMap<Conversation, Instant>,
}

impl Pacer {
    /// Takes `messages` out of the buckets of `to`, which go as one; waits until there are so many, or
    /// until the bucket is full if it never holds so many. Lanes have one send in flight each and are
    /// served in the order in which they came, so none starves another.
    pub(super) async fn pace(&self, to: &Conversation, rates: &Rates, messages: u32) {
        let rate = match to.kind {
            ConversationKind::Direct => rates.direct,
            ConversationKind::Group => rates.group,
        };
        if let Some(rate) = rate {
            let at = self.of_place(to, rate, messages, Instant::now());
            tokio::time::sleep_until(at).await;
        }
        // Only now: what waits for its own place must not keep the account from others.
        if let Some(of_all) = rates.account {
            let at = self.of_account(&to.account, of_all, messages, Instant::now());
            tokio::time::sleep_until(at).await;
            // A place's pauses count from when a message really goes.
            if let Some(rate) = rate {
                self.went(to, rate, messages, Instant::now());
            }
        }
    }

    /// Notes that a message went to a place later than its bucket alone would have had it.
    fn went(&self, to: &Conversation, rate: Rate, messages: u32, now: Instant) {
        let place = Conversation { thread: None, ..to.clone() };
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(full_at) = buckets.conversations.get_mut(&place) {
            *full_at = (*full_at).max(now + interval(rate) * messages.max(1));
        }
    }

    /// When the next message may go to a place; its threads share a bucket.
    fn of_place(&self, to: &Conversation, rate: Rate, messages: u32, now: Instant) -> Instant {
        let place = Conversation { thread: None, ..to.clone() };
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        forget_full(&mut buckets.conversations, now);
        take(buckets.conversations.entry(place).or_insert(now), rate, messages, now)
    }

    fn of_account(&self, account: &AccountId, rate: Rate, messages: u32, now: Instant) -> Instant {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        take(buckets.accounts.entry(account.clone()).or_insert(now), rate, messages, now)
    }
}

/// Takes `messages` out of a bucket now, or as soon as there are so many: the generic cell rate
/// algorithm.
fn take(full_at: &mut Instant, rate: Rate, messages: u32, now: Instant) -> Instant {
    let interval = interval(rate);
    let burst = rate.burst.max(1);
    let tolerance = interval * (burst - messages.clamp(1, burst));
    let at = full_at.checked_sub(tolerance).map_or(now, |earliest| earliest.max(now));
    *full_at = (*full_at).max(at) + interval * messages.max(1);
    at
}

/// How long it takes for one more.
fn interval(rate: Rate) -> Duration {
    Duration::from_secs(60) / rate.per_minute.max(1)
}

fn forget_full(buckets: &mut HashMap<Conversation, Instant>, now: Instant) {
    if buckets.len() >= MANY {
        buckets.retain(|_, full_at| *full_at > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(kind: ConversationKind, peer: &str) -> Conversation {
        let account: AccountId = "chat:main".parse().unwrap();
        match kind {
            ConversationKind::Direct => Conversation::direct(account, peer),
            ConversationKind::Group => Conversation::group(account, peer),
        }
    }

    fn rate(per_minute: u32, burst: u32) -> Option<Rate> {
        Some(Rate { per_minute, burst })
    }

    /// The seconds after which each message goes, if all come at once and wait for each other.
    async fn waits(pacer: &Pacer, to: &[&Conversation], rates: &Rates) -> Vec<u64> {
        let began = Instant::now();
        let sends = to.iter().map(async |to| {
            pacer.pace(to, rates, 1).await;
            began.elapsed().as_secs()
        });
        futures_util::future::join_all(sends).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let (a, b) = (place(ConversationKind::Direct, "a"), place(ConversationKind::Direct, "b"));
        let group = place(ConversationKind::Group, "g");
        let rates = Rates { account: None, direct: rate(60, 3), group: rate(6, 1) };
        let new = Pacer::default;
        assert_eq!(waits(&new(), &[&a; 6], &rates).await, [0, 0, 0, 1, 2, 3]);
        assert_eq!(waits(&new(), &[&group; 3], &rates).await, [0, 10, 20]);
        let topic = group.clone().in_thread("7");
        assert_eq!(waits(&new(), &[&group, &topic, &a, &b], &rates).await, [0, 10, 0, 0]);
        let rates = Rates { account: rate(60, 1), ..rates };
        assert_eq!(waits(&new(), &[&a, &b, &a, &b], &rates).await, [0, 1, 2, 3]);
        // A group that waits for its own turn takes nothing from others.
        assert_eq!(waits(&new(), &[&group, &group, &a], &rates).await, [0, 10, 1]);
        assert_eq!(waits(&new(), &[&a; 3], &Rates::default()).await, [0, 0, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_places_pause_begins_when_the_account_lets_its_message_go() {
        let (a, b) = (place(ConversationKind::Direct, "a"), place(ConversationKind::Direct, "b"));
        let rates = Rates { account: rate(60, 1), direct: rate(30, 1), group: None };
        let (pacer, began) = (Pacer::default(), Instant::now());
        let mut at = Vec::new();
        for to in [&b, &a, &a] {
            pacer.pace(to, &rates, 1).await;
            at.push(began.elapsed().as_secs());
        }
        assert_eq!(at, [0, 1, 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_goes_as_one_counts_as_many() {
        let (a, b) = (place(ConversationKind::Direct, "a"), place(ConversationKind::Direct, "b"));
        let rates = Rates { account: rate(60, 4), direct: rate(30, 1), group: None };
        let pacer = Pacer::default();
        let began = Instant::now();
        let mut at = Vec::new();
        // Larger than a place's bucket, an album of three goes when that is full, and empties it for long.
        for (to, messages) in [(&a, 3), (&b, 1), (&b, 1), (&a, 1)] {
            pacer.pace(to, &rates, messages).await;
            at.push(began.elapsed().as_secs());
        }
        assert_eq!(at, [0, 0, 2, 6]);
        // Three leave one of four; three more must wait for two.
        let (pacer, began) = (Pacer::default(), Instant::now());
        let rates = Rates { direct: None, ..rates };
        pacer.pace(&a, &rates, 3).await;
        pacer.pace(&b, &rates, 3).await;
        assert_eq!(began.elapsed().as_secs(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn no_minute_holds_more_than_rate_and_burst() {
        let to = place(ConversationKind::Group, "g");
        let rates = Rates { group: rate(15, 5), ..Rates::default() };
        let at = waits(&Pacer::default(), &[&to; 200], &rates).await;
        for (index, start) in at.iter().enumerate() {
            let within = at.iter().skip(index).filter(|at| **at < start + 60).count();
            assert!(within <= 20, "{within} in the minute from {start}");
        }
    }
}
