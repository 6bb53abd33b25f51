//! Where a value came from and who may see it.
//!
//! A label is host data: it is given by the gateway, joined whenever values meet, and persisted with
//! them. Nothing that a model, a tool or a channel says can set one.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, LazyLock},
};

use serde::{Deserialize, Serialize};

/// How far a value can be trusted to say what the owner wants. Ordered: lowest first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Integrity {
    /// Anybody may have written it: web pages, files, tool output, strangers.
    #[default]
    Untrusted,
    /// The owner wrote it.
    User,
    /// The operator or this program wrote it.
    System,
}

/// Who may see a value. Ordered: most open first.
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
#[serde(rename_all = "lowercase")]
pub enum Confidentiality {
    /// Anybody.
    Public,
    /// The owner and whom the owner sends it to.
    #[default]
    Private,
    /// Nobody but the owner.
    Secret,
}

/// Integrity, confidentiality and sources of a value.
///
/// The default is what an unknown value has: `Untrusted` and `Private`.
///
/// ```
/// use openclaw_core::label::{Confidentiality, Integrity, Label};
///
/// let asked = Label::user("owner");
/// let page = Label::new(Integrity::Untrusted, Confidentiality::Public, "web:example.org");
/// let both = asked.join(&page);
/// assert_eq!(both.integrity, Integrity::Untrusted);
/// assert_eq!(both.sources().count(), 2);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Label {
    /// How far it can be trusted.
    pub integrity: Integrity,
    /// Who may see it.
    pub confidentiality: Confidentiality,
    #[serde(default, skip_serializing_if = "no_sources", with = "shared_set")]
    sources: Arc<BTreeSet<Box<str>>>,
}

/// Most sources that a label names; what comes after is summed up as [`MORE_SOURCES`].
pub const MAX_SOURCES: usize = 32;
/// Stands in a label for the sources that had no room.
pub const MORE_SOURCES: &str = "more";

static NO_SOURCES: LazyLock<Arc<BTreeSet<Box<str>>>> = LazyLock::new(Arc::default);

fn no_sources(sources: &Arc<BTreeSet<Box<str>>>) -> bool {
    sources.is_empty()
}

mod shared_set {
    use super::{Arc, BTreeSet, Deserialize, Serialize};

    pub(super) fn serialize<S: serde::Serializer>(
        set: &Arc<BTreeSet<Box<str>>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        set.as_ref().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<BTreeSet<Box<str>>>, D::Error> {
        BTreeSet::deserialize(deserializer).map(Arc::new)
    }
}

impl Default for Label {
    fn default() -> Self {
        Self {
            integrity: Integrity::default(),
            confidentiality: Confidentiality::default(),
            sources: Arc::clone(&NO_SOURCES),
        }
    }
}

impl Label {
    /// A label with one source.
    pub fn new(integrity: Integrity, confidentiality: Confidentiality, source: &str) -> Self {
        let sources = Arc::new(BTreeSet::from([Box::from(source)]));
        Self { integrity, confidentiality, sources }
    }

    /// The label of nothing at all: joining it changes nothing.
    pub fn neutral() -> Self {
        Self {
            integrity: Integrity::System,
            confidentiality: Confidentiality::Public,
            sources: Arc::clone(&NO_SOURCES),
        }
    }

    /// What the operator or this program wrote.
    pub fn system() -> Self {
        Self::neutral()
    }

    /// What the owner wrote, public until said otherwise.
    pub fn user(source: &str) -> Self {
        Self::new(Integrity::User, Confidentiality::Public, source)
    }

    /// What anybody may have written.
    pub fn untrusted(source: &str) -> Self {
        Self::new(Integrity::Untrusted, Confidentiality::Private, source)
    }

    /// The label of a value made of both: lowest integrity, highest confidentiality, all sources.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        let sources = if other.sources.is_subset(&self.sources) {
            Arc::clone(&self.sources)
        } else if self.sources.is_subset(&other.sources) {
            Arc::clone(&other.sources)
        } else {
            Arc::new(bounded(self.sources.union(&other.sources).cloned().collect()))
        };
        Self {
            integrity: self.integrity.min(other.integrity),
            confidentiality: self.confidentiality.max(other.confidentiality),
            sources,
        }
    }

    /// The join of many; [`neutral`](Self::neutral) of none.
    pub fn join_all<'a>(labels: impl IntoIterator<Item = &'a Self>) -> Self {
        labels.into_iter().fold(Self::neutral(), |all, one| all.join(one))
    }

    /// The same label, with the memory of `other`'s sources if they are the same.
    pub(crate) fn share(&mut self, other: &Self) {
        if self.sources == other.sources {
            self.sources = Arc::clone(&other.sources);
        }
    }

    /// The same label with a lower integrity; one that is higher changes nothing.
    #[must_use]
    pub fn with_integrity(mut self, integrity: Integrity) -> Self {
        self.integrity = self.integrity.min(integrity);
        self
    }

    /// The same label with another confidentiality.
    #[must_use]
    pub fn with_confidentiality(mut self, confidentiality: Confidentiality) -> Self {
        self.confidentiality = confidentiality;
        self
    }

    /// Where the value came from, for explanations; at most [`MAX_SOURCES`] and one more.
    pub fn sources(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().map(AsRef::as_ref)
    }
}

/// Keeps the first sources in order and says that there were more; so a union stays associative
/// in what it forgets: any label that overflowed says so.
fn bounded(mut sources: BTreeSet<Box<str>>) -> BTreeSet<Box<str>> {
    if sources.len() <= MAX_SOURCES {
        return sources;
    }
    sources.remove(MORE_SOURCES);
    let mut kept: BTreeSet<Box<str>> = sources.into_iter().take(MAX_SOURCES).collect();
    kept.insert(MORE_SOURCES.into());
    kept
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}+{:?}", self.integrity, self.confidentiality)?;
        for (index, source) in self.sources().enumerate() {
            write!(f, "{}{source}", if index == 0 { " from " } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels() -> impl Strategy<Value = Label> {
        let integrity =
            prop_oneof![Just(Integrity::Untrusted), Just(Integrity::User), Just(Integrity::System)];
        let confidentiality = prop_oneof![
            Just(Confidentiality::Public),
            Just(Confidentiality::Private),
            Just(Confidentiality::Secret)
        ];
        let sources = proptest::collection::btree_set("[a-z]{1,2}", 0..40);
        (integrity, confidentiality, sources).prop_map(|(integrity, confidentiality, sources)| {
            Label {
                integrity,
                confidentiality,
                sources: Arc::new(bounded(sources.into_iter().map(Into::into).collect())),
            }
        })
    }

    proptest! {
        #[test]
        fn join_is_a_semilattice(a in labels(), b in labels(), c in labels()) {
            prop_assert_eq!(a.join(&b), b.join(&a));
            prop_assert_eq!(a.join(&a), a.clone());
            prop_assert_eq!(a.join(&b).join(&c), a.join(&b.join(&c)));
            prop_assert_eq!(a.join(&Label::neutral()), a);
        }

        #[test]
        fn join_never_raises_trust_nor_opens_a_secret(a in labels(), b in labels()) {
            let both = a.join(&b);
            prop_assert!(both.integrity <= a.integrity && both.integrity <= b.integrity);
            prop_assert!(both.confidentiality >= a.confidentiality && both.confidentiality >= b.confidentiality);
        }

        #[test]
        fn survives_storage(a in labels()) {
            let text = serde_json::to_string(&a).unwrap();
            prop_assert_eq!(serde_json::from_str::<Label>(&text).unwrap(), a);
        }
    }

    #[test]
    fn the_unknown_is_untrusted_and_private() {
        let label = Label::default();
        assert_eq!(label.integrity, Integrity::Untrusted);
        assert_eq!(label.confidentiality, Confidentiality::Private);
    }
}
