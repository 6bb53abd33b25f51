//! Which calls may run: a decision outside of the model, on where values came from.
//!
//! [`decide`] is a pure total function. It is the only maker of a [`Permit`], and a permit the only
//! way to a [`ToolContext`](crate::tool::ToolContext), so a call that was not decided does not compile.

mod arguments;
mod decide;
pub(crate) mod envelope;
mod explain;
mod invisible;
mod permit;
#[cfg(test)]
mod tests;
mod values;

use serde::{Deserialize, Serialize};

pub use decide::decide;
pub(crate) use decide::redeem;
pub use explain::explain;
pub(crate) use permit::canonical;
pub use permit::{CallHash, Permit};
pub use values::Task;

use crate::{
    access::Principal,
    id::SessionKey,
    label::{Confidentiality, Label},
    message::Call,
    tool::ToolSpec,
};

/// What an agent's permissions say about a tool. They only ever tighten what the rules say.
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
pub enum Permission {
    /// As the rules say.
    #[default]
    Rules,
    /// At least ask, even where the rules allow.
    Ask,
    /// Never.
    Deny,
}

/// All that a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// What the tool declares.
    pub spec: &'a ToolSpec,
    /// Where the call was asked for.
    pub session: &'a SessionKey,
    /// The call.
    pub call: &'a Call,
    /// The join of all that the model had read when it asked for the call.
    pub context: &'a Label,
    /// What the principal said in this task, in their own words.
    pub task: &'a Task,
    /// Whose turn it is.
    pub principal: &'a Principal,
    /// The most confidential that those who read the conversation may see.
    pub audience: Confidentiality,
    /// What the agent's permissions say about the tool.
    pub permission: Permission,
}

/// Whether a call may run.
#[derive(Debug)]
#[must_use]
pub enum Decision {
    /// It may, and this is the leave to run it.
    Allow(Permit),
    /// Only with the owner's leave.
    Ask(Reason),
    /// It may not.
    Deny(Reason),
}

impl Decision {
    /// The decision as data, to be logged: it carries no authority.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Allow(_) => Verdict::Allow,
            Self::Ask(reason) => Verdict::Ask { reason: reason.clone() },
            Self::Deny(reason) => Verdict::Deny { reason: reason.clone() },
        }
    }
}

/// What was decided, as data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It may run.
    Allow,
    /// Only with the owner's leave.
    Ask {
        /// Why.
        reason: Reason,
    },
    /// It may not run.
    Deny {
        /// Why.
        reason: Reason,
    },
}

impl Verdict {
    /// Why the call may not simply run.
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Allow => None,
            Self::Ask { reason } | Self::Deny { reason } => Some(reason),
        }
    }
}

/// Why a call was not simply allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The first rule that spoke.
    pub rule: Rule,
    /// The other rules that ask as well: leave overrules them all, so whoever gives it has to know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Rule>,
    /// Of an ask: every value of the call, and where each came from. A refusal needs nobody's
    /// judgement, so it lists none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub provenance: Vec<Provenance>,
}

/// Where a value of a call came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The argument's name; an element of a critical array has its index behind it, as in `to[0]`.
    pub argument: String,
    /// Its value as JSON text, whole.
    pub value: String,
    /// Its label.
    pub label: Label,
    /// The rules that ask because of this value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<Rule>,
}

/// The rules, in the order in which they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Rule {
    /// The declaration is that of another tool than the call names.
    WrongTool,
    /// The agent may not use the tool.
    NotPermitted,
    /// Changing how the gateway works from a context that anybody may have written to.
    ConfigureFromUntrusted,
    /// Changing how the gateway works, by somebody who is not the owner.
    ConfigureByOther,
    /// The input is more confidential than the tool may receive.
    TooConfidential,
    /// The result may be more confidential than those who read the conversation may see.
    AudienceTooWide,
    /// A consequential call with a critical value that the owner did not give.
    CriticalFromUntrusted,
    /// Reading an address that the owner did not give while private data is in the context: the
    /// address can carry it out.
    ReadCarriesOut,
    /// Running code outside of a sealed sandbox.
    ExecuteUnsealed,
    /// The agent's permissions say so.
    PermissionAsks,
}

impl Rule {
    /// All of them, in order.
    pub const ALL: [Self; 10] = [
        Self::WrongTool,
        Self::NotPermitted,
        Self::ConfigureFromUntrusted,
        Self::ConfigureByOther,
        Self::TooConfidential,
        Self::AudienceTooWide,
        Self::CriticalFromUntrusted,
        Self::ReadCarriesOut,
        Self::ExecuteUnsealed,
        Self::PermissionAsks,
    ];
}
