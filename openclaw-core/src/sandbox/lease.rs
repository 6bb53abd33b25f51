//! Which box, and of what kind.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Limits;

/// What a box is like. It can say nothing that would open the box.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SandboxSpec {
    /// The image, by a name that the sandbox knows; its default one if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What it may take.
    #[serde(default)]
    pub limits: Limits,
    /// What it may reach.
    #[serde(default)]
    pub network: Network,
}

impl SandboxSpec {
    /// The sandbox's default image and limits, without network.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the image.
    #[must_use]
    pub fn image(mut self, name: impl Into<String>) -> Self {
        self.image = Some(name.into());
        self
    }

    /// Sets the limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets what it may reach.
    #[must_use]
    pub fn network(mut self, network: Network) -> Self {
        self.network = network;
        self
    }
}

/// What a box may reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Network {
    /// Nothing.
    #[default]
    None,
    /// Public addresses; nothing of the host, its networks or its cloud.
    Public,
}

/// The name of a box. The same owner and the same spec are the same box; another spec is another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Lease {
    /// 32 hexadecimal digits, fit for a label or a name.
    pub id: String,
    /// What the box is like.
    pub spec: SandboxSpec,
}

impl Lease {
    /// The box of `owner`, any text, that is as `spec` says.
    pub fn new(owner: &str, spec: SandboxSpec) -> Self {
        // Total: the spec has neither maps with other keys than text nor foreign types.
        let what = serde_json::to_string(&spec).unwrap_or_default();
        let mut hasher = Sha256::new();
        for field in [owner, &what] {
            hasher.update(u64::try_from(field.len()).unwrap_or(u64::MAX).to_be_bytes());
            hasher.update(field.as_bytes());
        }
        Self { id: crate::id::hex(&hasher.finalize(), 16), spec }
    }
}
