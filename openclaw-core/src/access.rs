//! Who is who, and who may talk to an account.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    id::{AccountId, ConversationKind, PeerId, UserId},
    label::{Confidentiality, Integrity, Label},
};

/// An authenticated person or program.
///
/// Who is the owner is the host's word (`.owner("telegram", id)`, local channels), never a channel's
/// claim.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Principal {
    /// Who runs the gateway.
    Owner,
    /// Somebody on a channel who was let in.
    Peer {
        /// The account that heard them.
        account: AccountId,
        /// The platform's immutable id.
        user: UserId,
    },
    /// A program that the application vouches for.
    Service {
        /// Its name.
        name: String,
    },
    /// The gateway itself.
    Gateway,
}

impl Principal {
    /// True for the owner.
    pub fn is_owner(&self) -> bool {
        matches!(self, Self::Owner)
    }

    /// The label of what this principal says. `confidentiality` is the host's word for how
    /// confidential that is. Only the owner's words are trusted to say what the owner wants.
    pub(crate) fn label(&self, confidentiality: Confidentiality, source: &str) -> Label {
        let integrity = match self {
            Self::Owner => Integrity::User,
            Self::Gateway => Integrity::System,
            Self::Peer { .. } | Self::Service { .. } => Integrity::Untrusted,
        };
        Label::new(integrity, confidentiality, source)
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner => f.write_str("owner"),
            Self::Peer { account, user } => write!(f, "{account}/{user}"),
            Self::Service { name } => write!(f, "service {name}"),
            Self::Gateway => f.write_str("gateway"),
        }
    }
}

/// Who may write to an account in private.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DirectPolicy {
    /// A stranger gets a code, which the owner can let in.
    #[default]
    Pairing,
    /// Those on the list.
    Allowlist,
    /// Anybody.
    Open,
    /// Nobody.
    Disabled,
}

/// In which groups an account answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GroupPolicy {
    /// Those on the list; an empty list is none.
    #[default]
    Allowlist,
    /// All.
    Open,
    /// None.
    Disabled,
}

/// Who may talk to an account. The owner always may, except to what is disabled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Access {
    /// Who may write in private.
    pub direct: DirectPolicy,
    /// The platform's immutable ids of those who may write in private. Names are never compared.
    pub allow: Vec<UserId>,
    /// In which groups it answers.
    pub groups: GroupPolicy,
    /// The platform's ids of those groups.
    pub allow_groups: Vec<PeerId>,
    /// In groups it answers only to messages that address it.
    pub require_mention: bool,
    /// How confidential is what others than the owner say.
    pub peer_confidentiality: Confidentiality,
    /// The most confidential that the result of a tool may be without the owner's leave where others
    /// than the owner write in private: they read what is answered. A group may always see public
    /// results alone, the owner in private all.
    pub peer_audience: Confidentiality,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            direct: DirectPolicy::Pairing,
            allow: Vec::new(),
            groups: GroupPolicy::Allowlist,
            allow_groups: Vec::new(),
            require_mention: true,
            peer_confidentiality: Confidentiality::Private,
            peer_audience: Confidentiality::Public,
        }
    }
}

impl Access {
    /// Strangers get pairing codes; no groups.
    pub fn pairing() -> Self {
        Self::default()
    }

    /// Anybody may write in private; no groups.
    pub fn open() -> Self {
        Self { direct: DirectPolicy::Open, ..Self::default() }
    }

    /// These may write in private; no groups.
    pub fn allowlist(users: impl IntoIterator<Item = impl Into<UserId>>) -> Self {
        Self {
            direct: DirectPolicy::Allowlist,
            allow: users.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    /// Answers in this group too.
    #[must_use]
    pub fn group(mut self, group: impl Into<PeerId>) -> Self {
        self.allow_groups.push(group.into());
        self
    }

    /// Answers in every group that it is added to.
    #[must_use]
    pub fn any_group(mut self) -> Self {
        self.groups = GroupPolicy::Open;
        self
    }

    /// Answers in groups also to messages that do not address it.
    #[must_use]
    pub fn without_mention(mut self) -> Self {
        self.require_mention = false;
        self
    }

    /// Lets those who write in private see results of tools up to this confidentiality without the
    /// owner's leave; by default only public ones.
    #[must_use]
    pub fn showing(mut self, most: Confidentiality) -> Self {
        self.peer_audience = most;
        self
    }

    /// True if anything is said of who may talk to the account.
    pub(crate) fn admits_or_refuses(&self) -> bool {
        let rest = Self {
            peer_confidentiality: self.peer_confidentiality,
            peer_audience: self.peer_audience,
            ..Self::default()
        };
        *self != rest
    }

    /// What access control says of a message, before pairing is looked at.
    pub(crate) fn judge(
        &self,
        kind: ConversationKind,
        peer: &PeerId,
        user: &UserId,
        owner: bool,
        mentioned: bool,
    ) -> Judgement {
        match kind {
            ConversationKind::Direct => match self.direct {
                DirectPolicy::Disabled => Judgement::Disabled,
                _ if owner || self.allow.contains(user) => Judgement::Admit,
                DirectPolicy::Open => Judgement::Admit,
                DirectPolicy::Pairing => Judgement::Pair,
                DirectPolicy::Allowlist => Judgement::NotAllowed,
            },
            ConversationKind::Group => match self.groups {
                GroupPolicy::Disabled => Judgement::Disabled,
                GroupPolicy::Allowlist if !self.allow_groups.contains(peer) => {
                    Judgement::NotAllowed
                }
                _ if self.require_mention && !mentioned => Judgement::NotMentioned,
                _ => Judgement::Admit,
            },
        }
    }
}

/// What access control says of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    Admit,
    /// Let in if paired; else a code.
    Pair,
    NotAllowed,
    NotMentioned,
    Disabled,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_is_nobody_and_pairing_grants_nothing_in_groups() {
        let (peer, user) = (PeerId::new("g"), UserId::new("u"));
        let group = ConversationKind::Group;
        let access = Access::allowlist(Vec::<&str>::new());
        assert_eq!(
            access.judge(ConversationKind::Direct, &peer, &user, false, false),
            Judgement::NotAllowed
        );
        assert_eq!(Access::pairing().judge(group, &peer, &user, true, true), Judgement::NotAllowed);
        let access = Access::pairing().group("g");
        assert_eq!(access.judge(group, &peer, &user, false, false), Judgement::NotMentioned);
        assert_eq!(access.judge(group, &peer, &user, false, true), Judgement::Admit);
    }
}
