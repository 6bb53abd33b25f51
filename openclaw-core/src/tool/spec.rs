//! What a tool declares. The policy decides on it, so what is not said counts as the most dangerous.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    label::{Confidentiality, Integrity, Label},
    sandbox::SandboxSpec,
};

/// What a call does to the world; decides what happens after a crash and whether calls run together.
/// Ordered: most harmless first.
#[derive(
    Clone,
    Copy,
    Debug,
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
pub enum Effect {
    /// Computes from its input alone.
    Pure,
    /// Reads the world, changes nothing.
    ReadOnly,
    /// Changes the world; with the same key twice the same as once.
    Idempotent,
    /// Changes the world; can be taken back.
    Compensable,
    /// Changes the world for good.
    Irreversible,
}

impl Effect {
    /// True if a call whose outcome is unknown may be made again.
    pub fn is_repeatable(self) -> bool {
        self <= Self::Idempotent
    }

    /// True if calls may run side by side, in any order.
    pub fn is_read(self) -> bool {
        self <= Self::ReadOnly
    }
}

/// What kind of power a tool has.
#[derive(
    Clone,
    Copy,
    Debug,
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
pub enum Capability {
    /// Reads what anybody may read; its arguments leave the machine.
    ReadPublic,
    /// Reads what is the owner's.
    ReadPrivate,
    /// Writes what can be written back.
    WriteReversible,
    /// Writes for good.
    WriteIrreversible,
    /// Tells somebody something.
    Communicate,
    /// Runs code or commands.
    Execute,
    /// Spends money.
    Spend,
    /// Changes how the gateway or an agent works.
    Configure,
}

impl Capability {
    /// All of them, in order.
    pub const ALL: [Self; 8] = [
        Self::ReadPublic,
        Self::ReadPrivate,
        Self::WriteReversible,
        Self::WriteIrreversible,
        Self::Communicate,
        Self::Execute,
        Self::Spend,
        Self::Configure,
    ];
}

/// The type of a critical argument: what an exact match with the owner's own words means for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ValueKind {
    /// An e-mail address.
    Email,
    /// A phone number.
    Phone,
    /// A bank account by ISO 13616.
    Iban,
    /// A web address with its scheme.
    Url,
    /// A path of a file.
    Path,
    /// A name of a thing: an order number, a user or chat id, a handle.
    Id,
    /// An amount of money or a number.
    Amount,
    /// A calendar date.
    Date,
    /// Free text: never matched, so it always has the context's label.
    Text,
}

/// An argument on which the harm of a call depends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CriticalArg {
    /// The name of a property of the input; where its value is an array, each element counts.
    pub name: String,
    /// Its type.
    pub kind: ValueKind,
}

/// Which arguments are critical.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Critical {
    /// All, as free text: what is assumed of a tool that does not say.
    All,
    /// These.
    These(Vec<CriticalArg>),
}

/// Where a tool's code runs. A gateway without a sandbox refuses tools that need one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confinement {
    /// In this process, as the application's own code.
    InProcess,
    /// In a sandbox without network and without secrets.
    Sealed,
    /// In a sandbox that reaches a network or holds secrets.
    Connected,
}

/// What a tool declares about itself. The most dangerous is assumed of what is not said.
///
/// ```
/// use openclaw_core::tool::{Capability, Effect, ToolSpec, ValueKind};
///
/// let spec = ToolSpec::new("send_mail", "Sends an e-mail")
///     .capability(Capability::Communicate)
///     .critical("to", ValueKind::Email)
///     .accepts(openclaw_core::label::Confidentiality::Private);
/// assert_eq!(spec.effect, Effect::Irreversible);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ToolSpec {
    /// 1 to 64 letters, digits, `_` and `-`.
    pub name: String,
    /// For the model: what it does and when to use it.
    pub description: String,
    /// JSON Schema of the input; an object. [`TypedTool`](super::TypedTool) derives it.
    pub input_schema: Value,
    /// What a call does to the world.
    pub effect: Effect,
    /// What kind of power it has.
    pub capability: Capability,
    /// The arguments on which the harm depends.
    pub critical: Critical,
    /// The most confidential input that it may receive without asking.
    pub max_confidentiality: Confidentiality,
    /// The label of its results, before the label of what it was given is joined.
    pub output: Label,
    /// Where its code runs.
    pub confinement: Confinement,
    /// What its box is like, unless it runs in this process.
    #[serde(default)]
    pub sandbox: SandboxSpec,
    /// The names of the secrets that it is given.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub secrets: BTreeSet<String>,
    /// How long a call may take; [`DEFAULT_TOOL_TIMEOUT`](crate::turn::DEFAULT_TOOL_TIMEOUT) if `None`.
    pub timeout: Option<Duration>,
}

impl ToolSpec {
    /// The most dangerous tool: irreversible, all arguments critical, public input only, results
    /// untrusted and private.
    pub fn new(name: impl Into<String>, description: impl Into<String>) -> Self {
        let name = name.into();
        let source = format!("tool:{name}");
        Self {
            name,
            description: description.into(),
            input_schema: Value::Null,
            effect: Effect::Irreversible,
            capability: Capability::WriteIrreversible,
            critical: Critical::All,
            max_confidentiality: Confidentiality::Public,
            output: Label::untrusted(&source),
            confinement: Confinement::InProcess,
            sandbox: SandboxSpec::new(),
            secrets: BTreeSet::new(),
            timeout: None,
        }
    }

    /// A tool that reads the owner's data and changes nothing.
    pub fn read_only(name: impl Into<String>, description: impl Into<String>) -> Self {
        Self {
            effect: Effect::ReadOnly,
            capability: Capability::ReadPrivate,
            critical: Critical::These(Vec::new()),
            max_confidentiality: Confidentiality::Private,
            ..Self::new(name, description)
        }
    }

    /// Sets the effect.
    #[must_use]
    pub fn effect(mut self, effect: Effect) -> Self {
        self.effect = effect;
        self
    }

    /// Sets the capability.
    #[must_use]
    pub fn capability(mut self, capability: Capability) -> Self {
        self.capability = capability;
        self
    }

    /// Declares a critical argument; once one is declared, the other properties that the input schema
    /// names are not critical. Declared twice with different kinds, it may be either.
    #[must_use]
    pub fn critical(mut self, name: impl Into<String>, kind: ValueKind) -> Self {
        let arg = CriticalArg { name: name.into(), kind };
        match &mut self.critical {
            Critical::These(args) => args.push(arg),
            all @ Critical::All => *all = Critical::These(vec![arg]),
        }
        self
    }

    /// Sets the most confidential input that it may receive without asking.
    #[must_use]
    pub fn accepts(mut self, most: Confidentiality) -> Self {
        self.max_confidentiality = most;
        self
    }

    /// Declares how far its results can be trusted and who may see them. Results of
    /// [`Capability::Execute`] are untrusted whatever is declared.
    #[must_use]
    pub fn output(mut self, integrity: Integrity, confidentiality: Confidentiality) -> Self {
        self.output = Label::new(integrity, confidentiality, &format!("tool:{}", self.name));
        self
    }

    /// Sets where its code runs.
    #[must_use]
    pub fn confinement(mut self, confinement: Confinement) -> Self {
        self.confinement = confinement;
        self
    }

    /// Sets what its box is like; its image and limits, and whether it reaches a network.
    #[must_use]
    pub fn sandbox(mut self, sandbox: SandboxSpec) -> Self {
        self.sandbox = sandbox;
        self
    }

    /// Asks for a secret by its name, to be had by [`ToolContext::secret`](super::ToolContext::secret). The
    /// gateway does not start without it.
    #[must_use]
    pub fn secret(mut self, name: impl Into<String>) -> Self {
        self.secrets.insert(name.into());
        self
    }

    /// Sets how long a call may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets the schema of the input.
    #[must_use]
    pub fn input_schema(mut self, schema: Value) -> Self {
        self.input_schema = schema;
        self
    }
}
