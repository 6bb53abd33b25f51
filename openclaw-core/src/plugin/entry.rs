//! One plugin's entry in the configuration.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::parts::Parts;
use crate::sandbox::{Limits, SandboxKind};

/// The configuration of a plugin that has nothing to configure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

/// Which plugin to load, and how.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PluginEntry {
    /// The plugin's name.
    pub plugin: String,
    /// Whether it is loaded. What is not is not looked at any further.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub enabled: bool,
    /// The sandbox that it must run in. A plugin that cannot run in it is refused; it never runs
    /// weaker than its entry asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<SandboxKind>,
    /// How much its tools' boxes may take of their host. Refused where nothing enforces it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// The plugin's own configuration. Secrets stand in it as references, never as values.
    #[serde(default)]
    pub config: Map<String, Value>,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_yes(enabled: &bool) -> bool {
    *enabled
}

impl PluginEntry {
    /// The plugin of this name, with nothing configured.
    pub fn new(plugin: impl Into<String>) -> Self {
        Self {
            plugin: plugin.into(),
            enabled: true,
            sandbox: None,
            limits: None,
            config: Map::new(),
        }
    }

    /// Sets a value of its configuration.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.config.insert(key.into(), value.into());
        self
    }

    /// Why its parts do not run as confined as it asks for.
    pub(crate) fn unmet_confinement(&self, parts: &Parts) -> Option<String> {
        let asked = match (self.sandbox, &self.limits) {
            (Some(kind), _) => format!("the sandbox {kind:?}").to_lowercase(),
            (None, Some(_)) => "limits".into(),
            (None, None) => return None,
        };
        (!parts.is_confined()).then(|| {
            format!(
                "plugin {:?} asks for {asked}, but not all of it are tools that run in a sandbox: it can \
                 only run in this process, where nothing confines it. Take \"sandbox\" and \"limits\" \
                 out of its entry if that is acceptable",
                self.plugin
            )
        })
    }
}

impl fmt::Debug for PluginEntry {
    /// Leaves out the values of `config`: somebody may have put a secret there by mistake.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginEntry")
            .field("plugin", &self.plugin)
            .field("enabled", &self.enabled)
            .field("sandbox", &self.sandbox)
            .field("limits", &self.limits)
            .field("config", &self.config.keys().collect::<Vec<_>>())
            .finish()
    }
}
