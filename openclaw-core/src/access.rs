//! Who is who.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{AccountId, UserId};

/// An authenticated person or program.
///
/// Who is the owner is the host's word (`.owner("telegram", id)`, local channels), never a channel's
/// claim.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
