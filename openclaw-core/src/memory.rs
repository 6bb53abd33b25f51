//! What outlives a session.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{access::Principal, error::Result, id::AgentId, label::Label, time::Timestamp};

/// Whose memory it is. Nothing of one scope is ever seen in another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// The agent that remembers.
    pub agent: AgentId,
    /// A part of its memory, such as one person's; empty is the agent's common memory.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub part: String,
}

impl Scope {
    /// The agent's common memory.
    pub fn agent(agent: impl Into<AgentId>) -> Self {
        Self { agent: agent.into(), part: String::new() }
    }

    /// What the agent remembers of one person or program.
    pub fn of(agent: impl Into<AgentId>, principal: &Principal) -> Self {
        // JSON, since no separator is safe in names that platforms give.
        let part = serde_json::to_string(principal).unwrap_or_else(|_| principal.to_string());
        Self { agent: agent.into(), part }
    }
}

/// Something to remember.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Fact {
    /// The caller's id: remembering it again replaces it.
    pub id: String,
    /// The text.
    pub text: String,
    /// Where it came from and who may see it.
    pub label: Label,
    /// When it was said.
    pub at: Timestamp,
}

impl Fact {
    /// A fact.
    pub fn new(
        id: impl Into<String>,
        text: impl Into<String>,
        label: Label,
        at: Timestamp,
    ) -> Self {
        Self { id: id.into(), text: text.into(), label, at }
    }
}

/// A search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Query {
    /// What is looked for.
    pub text: String,
    /// How many at most; 1 to [`MAX_RECALL`].
    pub limit: usize,
}

/// The most that one recall returns.
pub const MAX_RECALL: usize = 200;

impl Query {
    /// The best `limit` for `text`.
    pub fn new(text: impl Into<String>, limit: usize) -> Self {
        Self { text: text.into(), limit: limit.clamp(1, MAX_RECALL) }
    }
}

/// A remembered fact that fits a query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Recalled {
    /// The fact, with the label that it was stored with.
    pub fact: Fact,
    /// How well it fits; comparable within one recall only.
    pub score: f32,
}

impl Recalled {
    /// A result.
    pub fn new(fact: Fact, score: f32) -> Self {
        Self { fact, score }
    }
}

/// A part of a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// After this id; from the first if `None`.
    #[serde(default)]
    pub after: Option<String>,
    /// How many at most.
    pub limit: usize,
}

/// What to forget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Forget {
    /// These facts.
    Ids(Vec<String>),
    /// All of the scope.
    All,
}

/// What outlives a session. Every call is confined to its [`Scope`].
///
/// # Contract
///
/// - [`remember`](Self::remember) is all or nothing, durable when it returns, an upsert by id.
/// - [`recall`](Self::recall) returns at most `limit`, best first, with the labels that were stored.
/// - [`list`](Self::list) is ordered by id.
/// - What was forgotten is never returned again. Forgetting twice is no error.
#[async_trait]
pub trait Memory: Send + Sync + 'static {
    /// Remembers `facts`.
    ///
    /// # Errors
    /// The storage failed; none was remembered.
    async fn remember(&self, scope: &Scope, facts: Vec<Fact>) -> Result<()>;

    /// What fits `query`.
    ///
    /// # Errors
    /// The storage failed.
    async fn recall(&self, scope: &Scope, query: &Query) -> Result<Vec<Recalled>>;

    /// All facts, a page at a time.
    ///
    /// # Errors
    /// The storage failed.
    async fn list(&self, scope: &Scope, page: &Page) -> Result<Vec<Fact>>;

    /// Forgets for good; returns how many.
    ///
    /// # Errors
    /// The storage failed.
    async fn forget(&self, scope: &Scope, what: &Forget) -> Result<u64>;
}

/// What [`GatewayBuilder::memory`](crate::GatewayBuilder::memory) takes: a memory, or a shared one.
pub trait IntoMemory {
    /// The shared memory.
    fn into_memory(self) -> Arc<dyn Memory>;
}

impl<T: Memory> IntoMemory for T {
    fn into_memory(self) -> Arc<dyn Memory> {
        Arc::new(self)
    }
}

impl<T: Memory> IntoMemory for Arc<T> {
    fn into_memory(self) -> Arc<dyn Memory> {
        self
    }
}

impl IntoMemory for Arc<dyn Memory> {
    fn into_memory(self) -> Arc<dyn Memory> {
        self
    }
}
