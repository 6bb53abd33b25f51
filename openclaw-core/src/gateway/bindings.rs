//! Which agent answers where.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{AccountId, AgentId, Conversation, PeerId, ThreadId};

/// Binds an agent to places. All that is set must fit; what is set decides which binding is the more
/// specific: thread, peer, attributes (role, guild, team), account, channel, none. Among equals the
/// first one counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Binding {
    /// The agent that answers.
    pub agent: Option<AgentId>,
    /// The channel, as in `telegram`.
    pub channel: Option<String>,
    /// The account, as in `telegram:support`.
    pub account: Option<AccountId>,
    /// The chat. Threads of it are bound with it.
    pub peer: Option<PeerId>,
    /// The thread.
    pub thread: Option<ThreadId>,
    /// Groupings above the conversation, as in `guild`, `team`, `role`.
    pub attributes: BTreeMap<String, String>,
}

impl Binding {
    /// Binds the agent to all places that no more specific binding names.
    pub fn to(agent: impl Into<AgentId>) -> Self {
        Self { agent: Some(agent.into()), ..Self::default() }
    }

    /// Only on this channel.
    #[must_use]
    pub fn channel(mut self, channel: impl Into<String>) -> Self {
        self.channel = Some(channel.into());
        self
    }

    /// Only on this account.
    #[must_use]
    pub fn account(mut self, account: AccountId) -> Self {
        self.account = Some(account);
        self
    }

    /// Only in this chat.
    #[must_use]
    pub fn peer(mut self, peer: impl Into<PeerId>) -> Self {
        self.peer = Some(peer.into());
        self
    }

    /// Only in this thread.
    #[must_use]
    pub fn thread(mut self, thread: impl Into<ThreadId>) -> Self {
        self.thread = Some(thread.into());
        self
    }

    /// Only where the event carries this attribute.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.insert(name.into(), value.into());
        self
    }

    fn fits(&self, place: &Conversation, attributes: &BTreeMap<String, String>) -> bool {
        self.channel.as_ref().is_none_or(|channel| channel == place.account.channel())
            && self.account.as_ref().is_none_or(|account| *account == place.account)
            && self.peer.as_ref().is_none_or(|peer| *peer == place.peer)
            && self.thread.as_ref().is_none_or(|thread| place.thread.as_ref() == Some(thread))
            && self.attributes.iter().all(|(name, value)| attributes.get(name) == Some(value))
    }

    fn specificity(&self) -> (bool, bool, usize, bool, bool) {
        (
            self.thread.is_some(),
            self.peer.is_some(),
            self.attributes.len(),
            self.account.is_some(),
            self.channel.is_some(),
        )
    }
}

/// The agent that answers at `place`, if a binding says so.
pub(crate) fn route<'a>(
    bindings: &'a [Binding],
    place: &Conversation,
    attributes: &BTreeMap<String, String>,
) -> Option<&'a AgentId> {
    let mut best: Option<&Binding> = None;
    for binding in bindings.iter().filter(|binding| binding.fits(place, attributes)) {
        if best.is_none_or(|best| binding.specificity() > best.specificity()) {
            best = Some(binding);
        }
    }
    best.and_then(|binding| binding.agent.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_binding_counts() {
        let support: AccountId = "telegram:support".parse().unwrap();
        let bindings = [
            Binding::to("all"),
            Binding::to("channel").channel("telegram"),
            Binding::to("account").account(support.clone()),
            Binding::to("guild").attribute("guild", "g"),
            Binding::to("peer").peer("42"),
            Binding::to("thread").peer("42").thread("7"),
            Binding::to("second").channel("telegram"),
        ];
        let none = BTreeMap::new();
        let guild = BTreeMap::from([("guild".to_owned(), "g".to_owned())]);
        let other: AccountId = "telegram:other".parse().unwrap();
        let web: AccountId = "web:a".parse().unwrap();
        let table = [
            (Conversation::group(support.clone(), "42").in_thread("7"), &none, "thread"),
            (Conversation::group(support.clone(), "42").in_thread("8"), &none, "peer"),
            (Conversation::group(support.clone(), "1"), &guild, "guild"),
            (Conversation::direct(support, "1"), &none, "account"),
            (Conversation::direct(other, "1"), &none, "channel"),
            (Conversation::direct(web, "1"), &none, "all"),
        ];
        for (place, attributes, agent) in table {
            assert_eq!(route(&bindings, &place, attributes).unwrap().as_str(), agent, "{place}");
        }
        assert_eq!(route(&[], &Conversation::direct("x:y".parse().unwrap(), "1"), &none), None);
    }
}
