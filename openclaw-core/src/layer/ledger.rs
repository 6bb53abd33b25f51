//! What was spent, kept in the store, and caps on it that hold.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::{
    access::Principal,
    error::{Error, ErrorKind, Result, Retry},
    fault::{Act, Faults},
    id::AgentId,
    store::{RecordKey, RecordStore, RecordWrite},
    time::{Clock, Timestamp},
};

/// The space of the store's records that a [`Ledger`] keeps its books in.
pub const SPEND_SPACE: &str = "spend";

/// How often a change is tried while others change the same books.
const MAX_CONFLICTS: u32 = 100;
const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// Whose spending a book is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Payer {
    /// All together.
    Everyone,
    /// One agent.
    Agent(AgentId),
    /// One person or program.
    Principal(Principal),
}

impl Payer {
    /// The key of the payer's book of the day of `at`, in UTC: `agent:main/2026-01-31`.
    fn key(&self, at: Timestamp) -> RecordKey {
        let scope = match self {
            Self::Everyone => "everyone".to_owned(),
            Self::Agent(agent) => format!("agent:{agent}"),
            Self::Principal(principal) => format!("principal:{principal}"),
        };
        RecordKey::new(SPEND_SPACE, format!("{scope}/{}", day(at)))
    }
}

impl fmt::Display for Payer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => f.write_str("everyone together"),
            Self::Agent(agent) => write!(f, "agent {agent}"),
            Self::Principal(principal) => write!(f, "{principal}"),
        }
    }
}

fn day(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.as_millis()).map_or_else(
        |_| format!("day {}", at.as_millis().div_euclid(DAY_MILLIS)),
        |time| time.to_zoned(jiff::tz::TimeZone::UTC).date().to_string(),
    )
}

/// The first moment of the next day in UTC.
fn next_day(at: Timestamp) -> Timestamp {
    let days = at.as_millis().div_euclid(DAY_MILLIS).saturating_add(1);
    Timestamp(days.saturating_mul(DAY_MILLIS))
}

/// Whom a [`Cap`] is about.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Capped {
    /// All together.
    #[default]
    Everyone,
    /// Each agent by itself.
    EachAgent,
    /// One agent.
    Agent(AgentId),
    /// Each person or program by itself.
    EachPrincipal,
    /// One person or program.
    Principal(Principal),
}

/// The most that may be spent in a day (UTC). Where several are about one payer, the least holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cap {
    /// Whose spending.
    pub capped: Capped,
    /// Millionths of a US dollar a day.
    pub micro_usd_per_day: u64,
}

impl Cap {
    /// A cap.
    pub fn new(capped: Capped, micro_usd_per_day: u64) -> Self {
        Self { capped, micro_usd_per_day }
    }

    fn is_about(&self, payer: &Payer) -> bool {
        match (&self.capped, payer) {
            (Capped::Everyone, Payer::Everyone)
            | (Capped::EachAgent, Payer::Agent(_))
            | (Capped::EachPrincipal, Payer::Principal(_)) => true,
            (Capped::Agent(capped), Payer::Agent(agent)) => capped == agent,
            (Capped::Principal(capped), Payer::Principal(principal)) => capped == principal,
            _ => false,
        }
    }
}

/// What a book says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Spent {
    /// What was spent and what is reserved, in millionths of a US dollar.
    pub micro_usd: u64,
    /// How many charges there were.
    pub charges: u64,
}

/// A reservation. Unless it is [settled](Ledger::settle), all of it counts as spent.
#[derive(Debug)]
#[must_use = "unless it is settled, all of it counts as spent"]
pub struct Charge {
    books: Vec<RecordKey>,
    reserved: u64,
}

impl Charge {
    /// How much is reserved, in millionths of a US dollar.
    pub fn reserved(&self) -> u64 {
        self.reserved
    }
}

/// The books of what was spent, one a payer and day, in the store's records.
///
/// # Contract
///
/// - **Hard.** A charge is booked whole, durably and in all of its payers' books at once before
///   [`reserve`](Self::reserve) returns, and only if no cap is passed by it. So charges that run side
///   by side, in one process or in several on one store, never pass a cap together. Only a
///   settlement above its own reservation can.
/// - **Crash.** What was reserved and not settled stays booked.
/// - **Clock.** The day is the clock's at the time of the reservation, in UTC; a settlement goes into
///   the book of its reservation. A clock that is set back goes back to that day's book.
#[derive(Clone)]
pub struct Ledger(Arc<Books>);

#[derive(Clone)]
struct Books {
    store: Arc<dyn RecordStore>,
    clock: Arc<dyn Clock>,
    faults: Faults,
    /// Held while books change: within a process nobody needs to try twice.
    turn: Arc<Mutex<()>>,
}

impl Ledger {
    /// The ledger in `store`.
    pub fn new(store: Arc<dyn RecordStore>, clock: Arc<dyn Clock>) -> Self {
        let (faults, turn) = (Faults::default(), Arc::default());
        Self(Arc::new(Books { store, clock, faults, turn }))
    }

    /// Calls `hook` before and after each commit, so that a test can end the process there. See
    /// [`FaultPoint`](crate::testing::FaultPoint).
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn faults(self, hook: impl Fn(crate::testing::FaultPoint) + Send + Sync + 'static) -> Self {
        let books = Books { faults: Faults::new(Arc::new(hook)), ..(*self.0).clone() };
        Self(Arc::new(books))
    }

    /// Books `micro_usd` for all of `payers`, if no cap is passed by it.
    ///
    /// Dropping the future may leave the amount booked.
    ///
    /// # Errors
    /// [`ErrorKind::Exhausted`] if a cap would be passed, with the time until it resets as advice and
    /// a public text that names the cap; nothing was booked. The store's errors, after which the
    /// amount may be booked.
    pub async fn reserve(&self, payers: &[Payer], caps: &[Cap], micro_usd: u64) -> Result<Charge> {
        let now = self.0.clock.now();
        let books: Vec<RecordKey> = payers.iter().map(|payer| payer.key(now)).collect();
        let check = |book: usize, spent: Spent| {
            let Some(payer) = payers.get(book) else { return Ok(()) };
            let after = spent.micro_usd.saturating_add(micro_usd);
            caps.iter()
                .filter(|cap| cap.is_about(payer) && micro_usd > 0 && after > cap.micro_usd_per_day)
                .min_by_key(|cap| cap.micro_usd_per_day)
                .map_or(Ok(()), |cap| Err(exhausted(payer, cap, spent, micro_usd, now)))
        };
        if micro_usd > 0 {
            let reserved = |spent: Spent| Spent {
                micro_usd: spent.micro_usd.saturating_add(micro_usd),
                charges: spent.charges.saturating_add(1),
            };
            self.change(Act::ReserveSpend, &books, check, reserved).await?;
        }
        Ok(Charge { books, reserved: micro_usd })
    }

    /// Replaces what was reserved by what was spent.
    ///
    /// # Errors
    /// The store's; the reservation then stays booked, or is replaced.
    pub async fn settle(&self, charge: Charge, micro_usd: u64) -> Result<()> {
        let Charge { books, reserved } = charge;
        if reserved == micro_usd {
            return Ok(());
        }
        let replaced = |spent: Spent| Spent {
            micro_usd: spent.micro_usd.saturating_sub(reserved).saturating_add(micro_usd),
            charges: spent.charges.saturating_add(u64::from(reserved == 0)),
        };
        self.change(Act::SettleSpend, &books, |_, _| Ok(()), replaced).await
    }

    /// What `payer` spent today, open reservations included.
    ///
    /// # Errors
    /// The store's, or [`ErrorKind::InvalidData`] if the book cannot be read.
    pub async fn spent_today(&self, payer: &Payer) -> Result<Spent> {
        Ok(self.book(&payer.key(self.0.clock.now())).await?.0)
    }

    /// What a book says, and its version.
    async fn book(&self, key: &RecordKey) -> Result<(Spent, u64)> {
        let Some(record) = self.0.store.record(key).await? else {
            return Ok((Spent::default(), 0));
        };
        let spent = serde_json::from_str(&record.value).map_err(|error| {
            Error::wrap(ErrorKind::InvalidData, error)
                .with("space", &key.space)
                .with("record", &key.name)
                .with("expected", "{\"micro_usd\": number, \"charges\": number}")
        })?;
        Ok((spent, record.version))
    }

    /// Changes all of `books` at once, unless `check` refuses what one of them says.
    async fn change(
        &self,
        act: Act,
        books: &[RecordKey],
        check: impl Fn(usize, Spent) -> Result<()> + Send,
        change: impl Fn(Spent) -> Spent + Send,
    ) -> Result<()> {
        let _turn = self.0.turn.lock().await;
        for _ in 0..MAX_CONFLICTS {
            let mut writes = Vec::with_capacity(books.len());
            for (index, key) in books.iter().enumerate() {
                let (spent, version) = self.book(key).await?;
                check(index, spent)?;
                let value = serde_json::to_string(&change(spent))
                    .map_err(|error| Error::wrap(ErrorKind::Internal, error))?;
                writes.push(RecordWrite {
                    key: key.clone(),
                    expect: Some(version),
                    value: Some(value),
                });
            }
            let written = self.0.store.write(writes, Vec::new());
            match self.0.faults.around(act, written).await {
                // Nothing was changed: somebody else was faster, so what they wrote is read.
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    tokio::task::yield_now().await;
                }
                other => return other,
            }
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            format!("the ledger's books changed under each of {MAX_CONFLICTS} tries to write"),
        ))
    }
}

fn exhausted(payer: &Payer, cap: &Cap, spent: Spent, micro_usd: u64, now: Timestamp) -> Error {
    let reset = next_day(now);
    let most = Usd(cap.micro_usd_per_day);
    let left = Usd(cap.micro_usd_per_day.saturating_sub(spent.micro_usd));
    let text = format!(
        "the budget of {most} a day for {payer} has {left} left and this may cost {}; it resets at {reset}",
        Usd(micro_usd)
    );
    let public = match payer {
        // A chat need not know another's id, nor what the owner pays.
        Payer::Principal(_) => format!("your budget for today is used up; it resets at {reset}"),
        Payer::Everyone | Payer::Agent(_) => {
            format!("the daily budget for {payer} is used up; it resets at {reset}")
        }
    };
    Error::new(ErrorKind::Exhausted, text)
        .with_public(public)
        .with_retry(Retry::After(reset.since(now)))
}

/// An amount in millionths of a US dollar, as people read it.
struct Usd(u64);

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dollars, rest) = (self.0 / 1_000_000, self.0 % 1_000_000);
        if rest.is_multiple_of(10_000) {
            write!(f, "{dollars}.{:02} USD", rest / 10_000)
        } else {
            write!(f, "{dollars}.{rest:06} USD")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_as_dollars() {
        for (micro, text) in [(0, "0.00 USD"), (2_500_000, "2.50 USD"), (1_234_567, "1.234567 USD")]
        {
            assert_eq!(Usd(micro).to_string(), text);
        }
    }

    #[test]
    fn days_are_utc() {
        let last = Timestamp(1_767_225_599_999);
        let agent = Payer::Agent("main".into());
        assert_eq!(agent.key(last).name, "agent:main/2025-12-31");
        assert_eq!(agent.key(next_day(last)).name, "agent:main/2026-01-01");
        assert_eq!(next_day(last), Timestamp(last.0 + 1));
        assert_eq!(next_day(next_day(last)), Timestamp(last.0 + 1 + DAY_MILLIS));
        assert_eq!(Payer::Everyone.key(Timestamp(-1)).name, "everyone/1969-12-31");
    }
}
