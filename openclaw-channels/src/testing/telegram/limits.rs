//! How many messages a bot may send.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

/// At most `count` messages in any span of `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rate {
    /// How many.
    pub count: usize,
    /// In which time.
    pub per: Duration,
}

impl Rate {
    /// At most `count` messages in any span of `per`.
    pub const fn new(count: usize, per: Duration) -> Self {
        Self { count, per }
    }
}

/// The rates that a bot must keep. Beyond them a method answers 429 with `retry_after`, in whole
/// seconds. Messages and edits count; an album counts as its messages.
///
/// The default is what Telegram's FAQ for bots names: one message a second in a chat, twenty a
/// minute in a group, thirty a second in all. The real limits let short bursts pass and are not
/// published; these do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// In one chat.
    pub chat: Option<Rate>,
    /// In one group or supergroup, besides.
    pub group: Option<Rate>,
    /// In all chats together.
    pub all: Option<Rate>,
    /// How often a webhook may be set; once a second, as the server has it.
    pub webhook: Option<Rate>,
}

impl Limits {
    /// None: for load tests.
    pub const NONE: Self = Self { chat: None, group: None, all: None, webhook: None };
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            chat: Some(Rate::new(1, Duration::from_secs(1))),
            group: Some(Rate::new(20, Duration::from_secs(60))),
            all: Some(Rate::new(30, Duration::from_secs(1))),
            webhook: Some(Rate::new(1, Duration::from_secs(1))),
        }
    }
}

/// When a bot sent how much, by chat (0 is all of them) and by which of the limits.
#[derive(Default)]
pub(super) struct Sent(HashMap<(i64, u8), VecDeque<Instant>>);

impl Sent {
    /// Counts `messages` in `chat`, or says in how many seconds they may be sent.
    pub(super) fn count(
        &mut self,
        limits: &Limits,
        chat: i64,
        is_group: bool,
        messages: usize,
    ) -> Result<(), u64> {
        let group = limits.group.filter(|_| is_group);
        let rates = [(chat, 0, limits.chat), (chat, 1, group), (0, 2, limits.all)];
        self.count_in(rates, messages)
    }

    /// Counts a webhook that is set.
    pub(super) fn count_webhook(&mut self, limits: &Limits) -> Result<(), u64> {
        self.count_in([(0, 3, limits.webhook)], 1)
    }

    fn count_in<const N: usize>(
        &mut self,
        rates: [(i64, u8, Option<Rate>); N],
        messages: usize,
    ) -> Result<(), u64> {
        let now = Instant::now();
        let rates =
            rates.into_iter().filter_map(|(chat, which, rate)| Some(((chat, which), rate?)));
        let mut wait = Duration::ZERO;
        for (key, rate) in rates.clone() {
            let times = self.0.entry(key).or_default();
            while times.front().is_some_and(|time| now.duration_since(*time) >= rate.per) {
                times.pop_front();
            }
            // An album larger than the rate goes out alone.
            let surplus = (times.len() + messages).saturating_sub(rate.count).min(times.len());
            if let Some(time) = surplus.checked_sub(1).and_then(|last| times.get(last)) {
                wait = wait.max((*time + rate.per).duration_since(now));
            }
        }
        if !wait.is_zero() {
            return Err(wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
        }
        for (key, _) in rates {
            self.0.entry(key).or_default().extend(std::iter::repeat_n(now, messages));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_default_is_one_a_second_and_twenty_a_minute_in_a_group() {
        let (limits, mut sent) = (Limits::default(), Sent::default());
        for _ in 0..20 {
            assert_eq!(sent.count(&limits, -5, true, 1), Ok(()));
            assert_eq!(sent.count(&limits, -5, true, 1).map_err(|wait| wait > 0), Err(true));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(sent.count(&limits, -5, true, 1), Err(40));
        assert_eq!(sent.count(&limits, 7, false, 1), Ok(()));
        tokio::time::advance(Duration::from_secs(40)).await;
        assert_eq!(sent.count(&limits, -5, true, 1), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_album_is_its_messages_and_passes_alone() {
        let (limits, mut sent) = (Limits::default(), Sent::default());
        assert_eq!(sent.count(&limits, 7, false, 10), Ok(()));
        assert_eq!(sent.count(&limits, 7, false, 1), Err(1));
    }
}
