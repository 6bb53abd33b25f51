//! Roles, and what a connection may do.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Role {
    /// It speaks for a person: a command line, a user interface, a program.
    Operator,
    /// It lends the gateway what its machine can do.
    Node,
}

impl Role {
    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Node => "node",
        }
    }

    /// The role of this name, if it is one.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "operator" => Some(Self::Operator),
            "node" => Some(Self::Node),
            _ => None,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that an operator may be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// Everything.
    Admin,
    /// To see what happens.
    Read,
    /// To speak to agents. Implies [`Read`](Self::Read).
    Write,
    /// To answer asks.
    Approvals,
    /// To let devices and people in.
    Pairing,
    /// To answer questions.
    Questions,
    /// To talk by voice. Implied by [`Write`](Self::Write).
    Talk,
    /// To see the credentials of voice services.
    TalkSecrets,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Admin,
        Self::Read,
        Self::Write,
        Self::Approvals,
        Self::Pairing,
        Self::Questions,
        Self::Talk,
        Self::TalkSecrets,
    ];

    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "operator.admin",
            Self::Read => "operator.read",
            Self::Write => "operator.write",
            Self::Approvals => "operator.approvals",
            Self::Pairing => "operator.pairing",
            Self::Questions => "operator.questions",
            Self::Talk => "operator.talk",
            Self::TalkSecrets => "operator.talk.secrets",
        }
    }

    /// The scope of exactly this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name)
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of scopes.
///
/// ```
/// use openclaw_core::protocol::{Scope, Scopes};
///
/// let grant = Scopes::of([Scope::Write, Scope::Pairing]);
/// let asked = ["operator.admin", "operator.read", "operator.*"];
/// let given = grant.intersect(asked);
/// assert!(given.allows(Scope::Read) && !given.allows(Scope::Write) && !given.allows(Scope::Admin));
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Scopes(u16);

impl Scopes {
    /// None.
    pub const NONE: Self = Self(0);

    /// Everything.
    pub fn all() -> Self {
        Self::of(Scope::ALL)
    }

    /// These.
    pub fn of(scopes: impl IntoIterator<Item = Scope>) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }

    /// Those of these names that are scopes; what is none counts for nothing.
    pub fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self::of(names.into_iter().filter_map(Scope::parse))
    }

    /// True if `scope` is among them or implied by one that is.
    pub fn allows(self, scope: Scope) -> bool {
        let has = |one: Scope| self.0 & one.bit() != 0;
        has(scope)
            || has(Scope::Admin)
            || (matches!(scope, Scope::Read | Scope::Talk) && has(Scope::Write))
    }

    /// True if all of `other` are allowed by these.
    pub fn covers(self, other: Self) -> bool {
        other.iter().all(|scope| self.allows(scope))
    }

    /// Of the scopes that were asked for, those that these allow.
    #[must_use]
    pub fn intersect<'a>(self, asked: impl IntoIterator<Item = &'a str>) -> Self {
        Self::of(Self::named(asked).iter().filter(|scope| self.allows(*scope)))
    }

    /// Those that both allow.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self::of(Scope::ALL.into_iter().filter(|scope| self.allows(*scope) && other.allows(*scope)))
    }

    /// One by one, in a fixed order.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.0 & scope.bit() != 0)
    }

    /// True if there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Their names, in a fixed order.
    pub fn names(self) -> Vec<&'static str> {
        self.iter().map(Scope::as_str).collect()
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Serialize for Scopes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Scope::as_str))
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        Ok(Self::named(names.iter().map(String::as_str)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_names_are_scopes_and_only_what_was_granted_is_given() {
        for name in
            ["", "*", "operator.*", "operator", "Operator.Read", "operator.read ", "operator.reаd"]
        {
            assert!(Scopes::all().intersect([name]).is_empty(), "{name:?}");
        }
        for grant in Scope::ALL {
            for asked in Scope::ALL {
                let given = Scopes::of([grant]).intersect([asked.as_str(), asked.as_str()]);
                let implied = grant == Scope::Admin
                    || grant == asked
                    || (grant == Scope::Write && matches!(asked, Scope::Read | Scope::Talk));
                assert_eq!(given, if implied { Scopes::of([asked]) } else { Scopes::NONE });
            }
        }
    }
}
