//! What outlives a session.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    access::Principal,
    error::Result,
    id::AgentId,
    label::{Confidentiality, Integrity, Label},
    time::Timestamp,
};

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

/// What a fact is.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FactKind {
    /// Something that a person or the agent said, word for word.
    Turn,
    /// What was drawn from turns; [`Fact::of`] names them, and it is found in their place.
    Fact,
    /// Something that a tool or the application noted.
    #[default]
    Note,
    /// A piece of a file.
    Chunk,
}

impl FactKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Turn, Self::Fact, Self::Note, Self::Chunk];
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
    /// What it is.
    #[serde(default)]
    pub kind: FactKind,
    /// The conversation that it belongs to. What stands beside it there helps to find it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Its place in the conversation; rises with time.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub place: u64,
    /// The ids of the turns that it was drawn from: who looks for it finds them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub of: Vec<String>,
    /// From when on it is true; from when it was said if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Timestamp>,
    /// Until when it is true, that moment excluded; until it is replaced if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<Timestamp>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(place: &u64) -> bool {
    *place == 0
}

impl Fact {
    /// A note.
    pub fn new(
        id: impl Into<String>,
        text: impl Into<String>,
        label: Label,
        at: Timestamp,
    ) -> Self {
        Self {
            id: id.into(),
            text: text.into(),
            label,
            at,
            kind: FactKind::Note,
            session: None,
            place: 0,
            of: Vec::new(),
            valid_from: None,
            valid_to: None,
        }
    }

    /// Says what it is.
    #[must_use]
    pub fn kind(mut self, kind: FactKind) -> Self {
        self.kind = kind;
        self
    }

    /// Says which conversation it belongs to, and where in it.
    #[must_use]
    pub fn in_session(mut self, session: impl Into<String>, place: u64) -> Self {
        self.session = Some(session.into());
        self.place = place;
        self
    }

    /// Names the turns that it was drawn from.
    #[must_use]
    pub fn of<I: Into<String>>(mut self, turns: impl IntoIterator<Item = I>) -> Self {
        self.of = turns.into_iter().map(Into::into).collect();
        self
    }

    /// Says from when on it is true.
    #[must_use]
    pub fn valid_from(mut self, from: Timestamp) -> Self {
        self.valid_from = Some(from);
        self
    }

    /// Says until when it is true, that moment excluded.
    #[must_use]
    pub fn valid_to(mut self, to: Timestamp) -> Self {
        self.valid_to = Some(to);
        self
    }

    /// When it began to be true.
    pub fn begins(&self) -> Timestamp {
        self.valid_from.unwrap_or(self.at)
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
    /// What was true at this moment; what is true now if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// Only these kinds; all if it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<FactKind>,
    /// Nothing more confidential than this.
    #[serde(default = "secret")]
    pub most: Confidentiality,
    /// Nothing less trusted than this.
    #[serde(default)]
    pub least: Integrity,
    /// Nothing that was said before this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Nothing that was said at this moment or after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

fn secret() -> Confidentiality {
    Confidentiality::Secret
}

/// What stands in a log in place of what was forgotten.
pub const FORGOTTEN: &str = "[forgotten]";

/// The most that one recall returns.
pub const MAX_RECALL: usize = 200;

impl Query {
    /// The best `limit` for `text`, of all that is true now.
    pub fn new(text: impl Into<String>, limit: usize) -> Self {
        Self {
            text: text.into(),
            limit: limit.clamp(1, MAX_RECALL),
            as_of: None,
            kinds: Vec::new(),
            most: Confidentiality::Secret,
            least: Integrity::Untrusted,
            since: None,
            until: None,
        }
    }

    /// Looks among what was true at a moment.
    #[must_use]
    pub fn as_of(mut self, moment: Timestamp) -> Self {
        self.as_of = Some(moment);
        self
    }

    /// Looks only for these kinds.
    #[must_use]
    pub fn kinds(mut self, kinds: impl IntoIterator<Item = FactKind>) -> Self {
        self.kinds = kinds.into_iter().collect();
        self
    }

    /// Leaves out what is more confidential than `most`.
    #[must_use]
    pub fn most(mut self, most: Confidentiality) -> Self {
        self.most = most;
        self
    }

    /// Leaves out what is less trusted than `least`.
    #[must_use]
    pub fn least(mut self, least: Integrity) -> Self {
        self.least = least;
        self
    }

    /// Leaves out what was said before a moment.
    #[must_use]
    pub fn since(mut self, moment: Timestamp) -> Self {
        self.since = Some(moment);
        self
    }

    /// Leaves out what was said at a moment or after it.
    #[must_use]
    pub fn until(mut self, moment: Timestamp) -> Self {
        self.until = Some(moment);
        self
    }

    /// True if a fact passes all filters but the one on what is true when.
    pub fn admits(&self, fact: &Fact) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&fact.kind))
            && fact.label.confidentiality <= self.most
            && fact.label.integrity >= self.least
            && self.since.is_none_or(|since| fact.at >= since)
            && self.until.is_none_or(|until| fact.at < until)
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
    /// What the score is made of.
    #[serde(default)]
    pub why: Explain,
}

impl Recalled {
    /// A result.
    pub fn new(fact: Fact, score: f32) -> Self {
        Self { fact, score, why: Explain::default() }
    }
}

/// What a score is made of; each part as it counts in the sum.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Explain {
    /// By the words that it shares with the query.
    pub words: f32,
    /// By its meaning, as an embedder sees it.
    pub meaning: f32,
    /// By what stands beside it in its conversation.
    pub context: f32,
    /// By its age.
    pub recency: f32,
    /// The fact through which it was found, if that fits better than its own text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<String>,
    /// True if it says nearly the same as one before it, and so was put behind.
    #[serde(default)]
    pub repeats: bool,
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
/// - [`remember`](Self::remember) is all or nothing, durable when it returns, an upsert by id. What an id
///   meant before is superseded, not lost: it is what a query [as of](Query::as_of) then finds.
///   Remembering the same text under the same id again changes nothing but label and time.
/// - [`recall`](Self::recall) returns at most `limit`, best first, with the labels that were stored. The
///   query's filters hold inside the search: what they leave out takes no place of what fits.
/// - [`list`](Self::list) is ordered by id, and has of each id what it means now.
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
