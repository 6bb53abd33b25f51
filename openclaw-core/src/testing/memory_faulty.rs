//! Memories with one fault each, that show that the suite finds it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;

use super::memory::{MemoryDouble, MemoryFixture};
use crate::{
    error::{Error, ErrorKind, Result},
    label::Label,
    memory::{Fact, Forget, Memory, Page, Query, Recalled, Scope},
};

/// What is wrong with a [`FaultyMemory`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemoryFault {
    /// Nothing; the reference.
    None,
    /// Recalls nothing.
    RecallsNothing,
    /// Loses the last fact of a batch.
    LosesLast,
    /// Keeps both facts of one id.
    Duplicates,
    /// Gives every fact the same label.
    DropsLabels,
    /// Recalls more than asked for.
    IgnoresLimit,
    /// Recalls the worst first.
    WorstFirst,
    /// All parts of an agent are one.
    LeaksParts,
    /// All agents are one.
    LeaksAgents,
    /// Lists in another order.
    Unordered,
    /// Says that it forgot, and did not.
    ForgetsNothing,
    /// Forgetting what is not there is an error.
    FailsSecondTime,
    /// Forgets all scopes.
    ForgetsOthers,
    /// What was forgotten cannot be told again.
    Tombstones,
    /// Fails on a quotation mark.
    ChokesOnQuotes,
    /// An empty batch is an error.
    RefusesNothing,
    /// Refuses to be told by two at once.
    OneAtATime,
    /// Holds nothing after a restart.
    Forgetful,
    /// Knows only what is true now.
    NoHistory,
    /// Filters what it found, not what it looks among.
    FiltersAfterwards,
    /// Takes no notice of kinds.
    IgnoresKinds,
}

impl MemoryFault {
    /// All faults.
    pub const ALL: [Self; 20] = [
        Self::RecallsNothing,
        Self::LosesLast,
        Self::Duplicates,
        Self::DropsLabels,
        Self::IgnoresLimit,
        Self::WorstFirst,
        Self::LeaksParts,
        Self::LeaksAgents,
        Self::Unordered,
        Self::ForgetsNothing,
        Self::FailsSecondTime,
        Self::ForgetsOthers,
        Self::Tombstones,
        Self::ChokesOnQuotes,
        Self::RefusesNothing,
        Self::OneAtATime,
        Self::Forgetful,
        Self::NoHistory,
        Self::FiltersAfterwards,
        Self::IgnoresKinds,
    ];
}

/// A [`MemoryDouble`] with one fault, or none. As a fixture it opens empty ones, which survive.
#[derive(Clone, Debug)]
pub struct FaultyMemory {
    fault: MemoryFault,
    inner: MemoryDouble,
    /// What was forgotten.
    graves: MemoryDouble,
    busy: Arc<AtomicBool>,
}

impl FaultyMemory {
    /// An empty memory with `fault`.
    pub fn new(fault: MemoryFault) -> Self {
        Self {
            fault,
            inner: MemoryDouble::new(),
            graves: MemoryDouble::new(),
            busy: Arc::default(),
        }
    }

    fn has(&self, fault: MemoryFault) -> bool {
        self.fault == fault
    }

    /// The scope as the fault sees it.
    fn scope(&self, scope: &Scope) -> Scope {
        match self.fault {
            MemoryFault::LeaksParts => Scope::agent(scope.agent.clone()),
            MemoryFault::LeaksAgents => Scope { agent: "any".into(), part: scope.part.clone() },
            _ => scope.clone(),
        }
    }

    async fn all(&self, scope: &Scope) -> Result<Vec<Fact>> {
        self.inner.list(scope, &Page { after: None, limit: usize::MAX }).await
    }

    async fn store(&self, scope: &Scope, mut facts: Vec<Fact>) -> Result<()> {
        if self.has(MemoryFault::LosesLast) && facts.len() > 1 {
            facts.pop();
        }
        if self.has(MemoryFault::DropsLabels) {
            facts.iter_mut().for_each(|fact| fact.label = Label::default());
        }
        if self.has(MemoryFault::Duplicates) {
            for old in self.all(scope).await? {
                if facts.iter().any(|fact| fact.id == old.id) {
                    let copy = Fact { id: format!("{} (old)", old.id), ..old };
                    facts.push(copy);
                }
            }
        }
        if self.has(MemoryFault::Tombstones) {
            let dead = self.graves.list(scope, &Page { after: None, limit: usize::MAX }).await?;
            facts.retain(|fact| dead.iter().all(|dead| dead.id != fact.id));
        }
        self.inner.remember(scope, facts).await
    }
}

#[async_trait]
impl Memory for FaultyMemory {
    async fn remember(&self, scope: &Scope, facts: Vec<Fact>) -> Result<()> {
        if self.has(MemoryFault::RefusesNothing) && facts.is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, "no facts"));
        }
        if self.has(MemoryFault::OneAtATime) && self.busy.swap(true, Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Conflict, "the memory is busy"));
        }
        tokio::task::yield_now().await;
        let stored = self.store(&self.scope(scope), facts).await;
        self.busy.store(false, Ordering::SeqCst);
        stored
    }

    async fn recall(&self, scope: &Scope, query: &Query) -> Result<Vec<Recalled>> {
        let mut query = query.clone();
        match self.fault {
            MemoryFault::RecallsNothing => return Ok(Vec::new()),
            MemoryFault::IgnoresLimit => query.limit = usize::MAX,
            MemoryFault::NoHistory => query.as_of = None,
            MemoryFault::IgnoresKinds => query.kinds.clear(),
            MemoryFault::FiltersAfterwards => {
                let all = Query { as_of: query.as_of, ..Query::new(&*query.text, query.limit) };
                let mut found = self.inner.recall(scope, &all).await?;
                found.retain(|found| query.admits(&found.fact));
                return Ok(found);
            }
            MemoryFault::ChokesOnQuotes if query.text.contains('"') => {
                return Err(Error::new(ErrorKind::Internal, "syntax error near \""));
            }
            _ => {}
        }
        let mut found = self.inner.recall(&self.scope(scope), &query).await?;
        if self.has(MemoryFault::WorstFirst) {
            found.reverse();
        }
        Ok(found)
    }

    async fn list(&self, scope: &Scope, page: &Page) -> Result<Vec<Fact>> {
        let scope = self.scope(scope);
        if self.has(MemoryFault::Unordered) {
            let mut all = self.all(&scope).await?;
            all.sort_by_key(|fact| fact.id.to_lowercase());
            let from = match &page.after {
                Some(after) => all.iter().position(|fact| fact.id == *after).map_or(0, |at| at + 1),
                None => 0,
            };
            return Ok(all.into_iter().skip(from).take(page.limit).collect());
        }
        self.inner.list(&scope, page).await
    }

    async fn forget(&self, scope: &Scope, what: &Forget) -> Result<u64> {
        let scope = self.scope(scope);
        let dead: Vec<Fact> = self
            .all(&scope)
            .await?
            .into_iter()
            .filter(|fact| match what {
                Forget::Ids(ids) => ids.contains(&fact.id),
                _ => true,
            })
            .collect();
        let count = u64::try_from(dead.len()).unwrap_or(u64::MAX);
        self.graves.remember(&scope, dead).await?;
        match self.fault {
            MemoryFault::ForgetsNothing => Ok(count),
            MemoryFault::FailsSecondTime if count == 0 => {
                Err(Error::new(ErrorKind::NotFound, "nothing to forget"))
            }
            MemoryFault::ForgetsOthers if *what == Forget::All => {
                self.inner.forget(&Scope::agent(scope.agent.clone()), what).await?;
                self.inner.forget(&scope, what).await
            }
            _ => self.inner.forget(&scope, what).await,
        }
    }
}

/// Fixtures of memories that survive a restart, unless that is the fault.
#[async_trait]
impl MemoryFixture for MemoryFault {
    async fn open(&self) -> Result<Arc<dyn Memory>> {
        Ok(Arc::new(FaultyMemory::new(*self)))
    }

    async fn reopen(&self, memory: Arc<dyn Memory>) -> Result<Option<Arc<dyn Memory>>> {
        // The memory's storage is itself, so opening it again is going on with it.
        Ok(Some(if *self == Self::Forgetful { self.open().await? } else { memory }))
    }
}
