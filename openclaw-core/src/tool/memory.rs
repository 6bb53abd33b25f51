//! What a tool may remember, and of whom.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    error::Result,
    label::{Confidentiality, Label},
    memory::{Fact, Forget, Memory, Page, Query, Recalled, Scope},
    time::Clock,
};

/// The memory of the agent about whoever's turn it is; in a group, about the group. A tool can reach no other.
///
/// - What is remembered has the label of the call: all that the model had read, what the tool declares of
///   its results, and what was recalled before in this call. A tool cannot give a better one.
/// - What is recalled or listed counts as read: the result of the call has its labels too.
/// - Facts that are more confidential than the tool declares its results to be stay unseen, since the
///   policy let the call run on that word.
#[derive(Clone)]
pub struct ToolMemory {
    memory: Arc<dyn Memory>,
    scope: Scope,
    clock: Arc<dyn Clock>,
    most: Confidentiality,
    read: Arc<Mutex<Label>>,
}

impl ToolMemory {
    /// `label` is the call's own; `most` the most confidential that its result may be.
    pub(crate) fn new(
        memory: Arc<dyn Memory>,
        scope: Scope,
        clock: Arc<dyn Clock>,
        label: Label,
        most: Confidentiality,
    ) -> Self {
        Self { memory, scope, clock, most, read: Arc::new(Mutex::new(label)) }
    }

    /// The label of the call with all that was recalled so far.
    pub(crate) fn label(&self) -> Label {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whose memory it is.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Remembers `text` under an id of the tool's choice, in place of what had it.
    ///
    /// # Errors
    /// As [`Memory::remember`].
    pub async fn remember(
        &self,
        id: impl Into<String> + Send,
        text: impl Into<String> + Send,
    ) -> Result<()> {
        let fact = Fact::new(id, text, self.label(), self.clock.now());
        self.memory.remember(&self.scope, vec![fact]).await
    }

    /// What fits `query`, best first.
    ///
    /// # Errors
    /// As [`Memory::recall`].
    pub async fn recall(&self, query: &Query) -> Result<Vec<Recalled>> {
        let mut query = query.clone();
        query.most = query.most.min(self.most);
        let mut found = self.memory.recall(&self.scope, &query).await?;
        found.retain(|found| self.see(&found.fact));
        Ok(found)
    }

    /// All facts, a page at a time.
    ///
    /// # Errors
    /// As [`Memory::list`].
    pub async fn list(&self, page: &Page) -> Result<Vec<Fact>> {
        let mut facts = self.memory.list(&self.scope, page).await?;
        facts.retain(|fact| self.see(fact));
        Ok(facts)
    }

    /// Forgets for good; returns how many.
    ///
    /// # Errors
    /// As [`Memory::forget`].
    pub async fn forget(&self, what: &Forget) -> Result<u64> {
        self.memory.forget(&self.scope, what).await
    }

    /// Counts a fact as read, unless it must not be.
    fn see(&self, fact: &Fact) -> bool {
        let shown = fact.label.confidentiality <= self.most;
        if shown {
            let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            *read = read.join(&fact.label);
        }
        shown
    }
}

impl fmt::Debug for ToolMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolMemory").field("scope", &self.scope).finish_non_exhaustive()
    }
}
