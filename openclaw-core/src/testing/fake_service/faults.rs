//! What goes wrong, and when.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::testing::SeededEntropy;

/// The name that stands for every request.
pub const ANY: &str = "*";

/// What happens to one request instead of what should.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing: for the gaps in a script.
    Pass,
    /// The connection is closed; the request has no effect and no answer.
    Drop,
    /// The request is never answered and has no effect; it ends when the client gives up.
    Hold,
    /// The request is handled this much later.
    Delay(Duration),
    /// The request has no effect and this status for an answer, in the service's own words.
    Status(u16),
    /// The request has no effect; the answer is 429, to be tried again after so many seconds.
    RateLimited {
        /// Whole seconds.
        retry_after: u64,
    },
    /// The request is handled; its answer's body comes in pieces.
    Slow {
        /// How long each piece is, at least 1.
        bytes: usize,
        /// How long it is until the next.
        pause: Duration,
    },
    /// The request is handled; the connection is closed after so many bytes of the answer's body.
    Cut {
        /// How many bytes of the body are sent. The status and the headers always are.
        after: usize,
    },
    /// The request is handled, and answered with this status as if it were not.
    ThenStatus(u16),
    /// The request is handled, and the connection closed in place of an answer.
    ThenDrop,
}

/// A fault that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Played {
    /// The name of the request that it happened to.
    pub name: String,
    /// What happened.
    pub fault: Fault,
}

/// The faults that a [`FakeService`](super::FakeService) has before it. Clones share them.
///
/// A request takes the oldest scripted fault of its name (or of [`ANY`]); where there is none, what
/// happens [`always`](Self::always); where there is none, the draw of [`seeded`](Self::seeded).
/// [`Fault::Pass`] counts as one. Requests that come at the same time take theirs in the order in
/// which they were read whole.
///
/// ```
/// use openclaw_core::testing::fake_service::{ANY, Fault, Faults};
///
/// let faults = Faults::new();
/// faults.script("/orders", [Fault::Drop, Fault::Pass]);
/// faults.always(ANY, Fault::Status(503));
/// assert_eq!(faults.take("/orders"), Some(Fault::Drop));
/// assert_eq!(faults.take("/orders"), None); // the gap
/// assert_eq!(faults.take("/orders"), Some(Fault::Status(503)));
/// assert_eq!(faults.played().len(), 2);
/// ```
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<Plan>>);

#[derive(Default)]
struct Plan {
    script: VecDeque<(String, Fault)>,
    always: Vec<(String, Fault)>,
    chance: Option<Chance>,
    played: Vec<Played>,
}

struct Chance {
    entropy: SeededEntropy,
    one_in: u64,
    faults: Vec<Fault>,
}

impl Faults {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// What happens to the next requests of this name, one each, after what is scripted already.
    pub fn script(&self, name: &str, faults: impl IntoIterator<Item = Fault>) {
        let faults = faults.into_iter().map(|fault| (name.to_owned(), fault));
        self.plan().script.extend(faults);
    }

    /// What happens to the next request of this name.
    pub fn once(&self, name: &str, fault: Fault) {
        self.script(name, [fault]);
    }

    /// What happens to each request of this name until [`clear`](Self::clear): an outage.
    pub fn always(&self, name: &str, fault: Fault) {
        let mut plan = self.plan();
        plan.always.retain(|(other, _)| other != name);
        plan.always.push((name.to_owned(), fault));
    }

    /// Lets one of these faults, drawn by `seed`, happen to about one in `one_in` requests.
    /// The same seed and the same requests give the same faults.
    pub fn seeded(&self, seed: u64, one_in: u64, faults: impl IntoIterator<Item = Fault>) {
        let faults = faults.into_iter().collect();
        self.plan().chance = Some(Chance { entropy: SeededEntropy::new(seed), one_in, faults });
    }

    /// Ends all that is still before the service. What happened stays counted.
    pub fn clear(&self) {
        let mut plan = self.plan();
        plan.script.clear();
        plan.always.clear();
        plan.chance = None;
    }

    /// What happened, oldest first.
    pub fn played(&self) -> Vec<Played> {
        self.plan().played.clone()
    }

    /// How many scripted faults no request took yet.
    pub fn pending(&self) -> usize {
        self.plan().script.len()
    }

    /// Takes what happens to a request of this name, and counts it. For a fake that is no HTTP
    /// service; [`FakeService`](super::FakeService) does it by itself.
    pub fn take(&self, name: &str) -> Option<Fault> {
        let mut plan = self.plan();
        let fault = plan.next(name).filter(|fault| *fault != Fault::Pass)?;
        plan.played.push(Played { name: name.to_owned(), fault: fault.clone() });
        Some(fault)
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plan {
    fn next(&mut self, name: &str) -> Option<Fault> {
        let meant = |other: &str| other == name || other == ANY;
        if let Some(place) = self.script.iter().position(|(other, _)| meant(other)) {
            return self.script.remove(place).map(|(_, fault)| fault);
        }
        if let Some((_, fault)) = self.always.iter().find(|(other, _)| meant(other)) {
            return Some(fault.clone());
        }
        let chance = self.chance.as_ref()?;
        let hit = chance.entropy.below(chance.one_in) == 0;
        let drawn = chance.entropy.below(chance.faults.len() as u64);
        let fault = usize::try_from(drawn).ok().and_then(|drawn| chance.faults.get(drawn));
        fault.filter(|_| hit).cloned()
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.plan();
        f.debug_struct("Faults")
            .field("script", &plan.script)
            .field("always", &plan.always)
            .field("played", &plan.played.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_faults() {
        let draw = |seed| {
            let faults = Faults::new();
            faults.seeded(seed, 3, [Fault::Drop, Fault::Status(500)]);
            (0..300).map(|_| faults.take("/")).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let hit = draw(1).iter().flatten().count();
        assert!((60..140).contains(&hit), "{hit} of 300 at one in three");
    }

    #[test]
    fn names_keep_their_order_apart_from_one_another() {
        let faults = Faults::new();
        faults.once("a", Fault::Drop);
        faults.once("b", Fault::Hold);
        faults.once(ANY, Fault::ThenDrop);
        faults.once("a", Fault::Status(500));
        assert_eq!(faults.take("b"), Some(Fault::Hold));
        assert_eq!(faults.take("a"), Some(Fault::Drop));
        assert_eq!(faults.take("a"), Some(Fault::ThenDrop));
        assert_eq!(faults.pending(), 1);
        faults.clear();
        assert_eq!(faults.take("a"), None);
        assert_eq!(faults.played().len(), 3);
    }
}
