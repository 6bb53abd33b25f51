//! Who asks.

use std::net::IpAddr;

use super::guard::Origin;
use crate::protocol::{DeviceId, Role, Scope, Scopes};

/// Who it is, by what they proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// Nobody has been asked.
    Unknown,
    /// Somebody on this machine, where nobody is asked.
    Anyone,
    /// One of those who know the shared secret.
    Shared,
    /// A device, by its token.
    Device(DeviceId),
    /// A person that a proxy vouches for.
    User(String),
}

/// Who sent a request, and what they may do.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) who: Who,
    pub(super) role: Role,
    pub(super) scopes: Scopes,
    pub(super) address: Option<IpAddr>,
}

impl Caller {
    pub(super) fn new(who: Who, role: Role, scopes: Scopes, origin: &Origin) -> Self {
        Self { who, role, scopes, address: origin.address }
    }

    /// Somebody of whom no credential was asked.
    pub(super) fn unknown(origin: &Origin) -> Self {
        Self::new(Who::Unknown, Role::Operator, Scopes::NONE, origin)
    }

    pub(super) fn may(&self, scope: Scope) -> bool {
        self.role == Role::Operator && self.scopes.allows(scope)
    }
}
