//! The whole file.

use std::{collections::BTreeMap, io::Read as _, path::Path};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    diagnose,
    entry::PluginEntry,
    layers::{ProviderLayer, ToolLayer},
    source::{Place, Segment, Source},
};
use crate::{
    access::Access,
    agent::Agent,
    delivery::{OnUnknown, Preview},
    egress::EgressPolicy,
    error::{Error, ErrorKind, Result},
    gateway::Binding,
    id::{AccountId, AgentId, ModelId, NodeId, ProviderId, UserId},
    secret::SecretRef,
};

/// The longest configuration that is read from a file, in bytes.
pub const MAX_CONFIG_BYTES: u64 = 4 * 1024 * 1024;

/// A gateway as data: what [`GatewayBuilder`](crate::GatewayBuilder) says in code, where it can be
/// said without code.
///
/// Nothing is read but what [`read`](Self::read) is told to; paths within are relative to the
/// process's working directory.
///
/// ```
/// use openclaw_core::plugin::Config;
///
/// let config = Config::parse(r#"{"agents": [{"id": "main", "persona": "You are terse."}]}"#)?;
/// assert_eq!(config.agents[0].id.as_str(), "main");
///
/// let error = Config::parse("{\"agents\": [\n {\"id\": \"main\", \"persna\": \"\"}]}").unwrap_err();
/// assert!(error.to_string().contains("line 2"), "{error}");
/// assert!(error.to_string().contains(r#"did you mean "persona"?"#), "{error}");
/// # Ok::<(), openclaw_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "OpenClaw configuration")]
#[non_exhaustive]
pub struct Config {
    /// Where the file's own JSON Schema is; for editors.
    #[serde(rename = "$schema", skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The plugins to load, in order: the first provider is what agents think with unless they say
    /// otherwise, and hooks are asked in this order.
    pub plugins: Vec<PluginEntry>,
    /// The plugin that keeps everything durable. A reload cannot change it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<PluginEntry>,
    /// Keeps everything in memory: what was accepted is lost with the process.
    pub ephemeral: bool,
    /// Names of one's own for models, as in `fast`. Agents and fallbacks can name them.
    pub models: BTreeMap<ModelId, ModelAlias>,
    /// Who answers. Without any there is one agent, `main`, that may use all tools.
    pub agents: Vec<Agent>,
    /// The agent that answers where no binding fits; the first one if it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_agent: Option<AgentId>,
    /// Which agent answers where.
    pub bindings: Vec<Binding>,
    /// Who may talk to an account, as in `telegram:support`; by default strangers get pairing codes
    /// and groups no answer.
    pub access: BTreeMap<AccountId, Access>,
    /// On which accounts replies are shown while they grow; only where the channel can edit.
    pub previews: BTreeMap<AccountId, Preview>,
    /// Who the owner is on each channel. The first one is told what concerns the owner.
    pub owners: Vec<OwnerEntry>,
    /// What tools may reach by HTTP; every public address and nothing else if it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<EgressPolicy>,
    /// The secrets that tools ask for by name, each by reference.
    pub secrets: BTreeMap<String, SecretRef>,
    /// What to do with a message of which nobody can know whether it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_unknown: Option<OnUnknown>,
    /// Names this process towards the store; unique among live processes on one store. A random name
    /// if it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// Layers around every provider; the first one is the outermost.
    pub provider_layers: Vec<ProviderLayer>,
    /// Layers around every tool; the first one is the outermost.
    pub tool_layers: Vec<ToolLayer>,
    /// Chains of providers. The first chain is what agents think with unless they say otherwise.
    pub fallbacks: Vec<FallbackEntry>,
    /// The doors for clients. It is the program that opens them.
    #[cfg(feature = "server")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<crate::server::ServerEntry>,
    /// The collector that is told of turns, completions and tool calls, without their content. It is the program that
    /// tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub telemetry: Option<TelemetryEntry>,
    #[serde(skip)]
    source: Option<Source>,
}

/// A collector of spans that speaks OpenTelemetry's protocol over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TelemetryEntry {
    /// Where it takes spans, as in `http://127.0.0.1:4318/v1/traces`.
    pub endpoint: String,
    /// Headers for it, as one with a key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, SecretRef>,
    /// The name by which it knows this gateway; `openclaw` if it is not said.
    #[serde(default = "openclaw")]
    pub service: String,
}

fn openclaw() -> String {
    "openclaw".to_owned()
}

impl TelemetryEntry {
    /// A collector that takes spans there.
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self { endpoint: endpoint.into(), headers: BTreeMap::new(), service: openclaw() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: SecretRef) -> Self {
        self.headers.insert(name.into(), value);
        self
    }

    /// The name by which it knows this gateway.
    #[must_use]
    pub fn service(mut self, name: impl Into<String>) -> Self {
        self.service = name.into();
        self
    }
}

/// Who the owner is on a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnerEntry {
    /// The channel, as in `telegram`.
    pub channel: String,
    /// The platform's immutable id of the owner.
    pub user: UserId,
}

/// A provider that asks a chain of others, in order, until one answers; see
/// [`Fallback`](crate::layer::Fallback). The others have the layers, the chain has none of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FallbackEntry {
    /// The chain's own name, as agents name it.
    pub id: ProviderId,
    /// The provider that is asked first, for the agent's own model.
    pub first: ProviderId,
    /// Those that are asked then.
    pub then: Vec<FallbackLink>,
    /// The kinds of error at which it moves on, in place of those that it knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Vec<ErrorKind>>,
}

/// A model of a provider, for which a name stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelAlias {
    /// The provider, or a chain of them.
    pub provider: ProviderId,
    /// The model, by the provider's own name for it.
    pub model: ModelId,
}

/// A link of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FallbackLink {
    /// The provider; not needed where the model is one of [`Config::models`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderId>,
    /// The model that it is asked for; the agent's own if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelId>,
}

impl PartialEq for Config {
    /// Equal if they say the same, wherever they were read from.
    fn eq(&self, other: &Self) -> bool {
        serde_json::to_value(self).ok() == serde_json::to_value(other).ok()
    }
}

impl Config {
    /// Reads a configuration from JSON.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] that lists every fault with its line, its column and the nearest
    /// name that is known there.
    pub fn parse(text: &str) -> Result<Self> {
        Self::parse_named(None, text).map_err(|faults| refusal(&faults))
    }

    /// Reads a configuration from a file.
    ///
    /// # Errors
    /// As [`parse`](Self::parse); and if the file is not there, longer than [`MAX_CONFIG_BYTES`], or
    /// not UTF-8.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let unreadable = |error: std::io::Error| {
            Error::wrap(ErrorKind::InvalidConfig, error).with("file", path.display())
        };
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).map_err(unreadable)?;
        file.take(MAX_CONFIG_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > MAX_CONFIG_BYTES {
            return Err(Error::config(format!(
                "{} is longer than {MAX_CONFIG_BYTES} bytes; is it a configuration?",
                path.display()
            )));
        }
        let name = path.display().to_string();
        let text = utf8(&name, &bytes)?;
        Self::parse_named(Some(&name), text).map_err(|faults| refusal(&faults))
    }

    /// The configuration, or all that is wrong with it.
    pub(crate) fn parse_named(name: Option<&str>, text: &str) -> Result<Self, Vec<String>> {
        // Some editors begin a file with a byte order mark.
        let source = Source::new(name, text.strip_prefix('\u{feff}').unwrap_or(text));
        // Else serde would take a list for the values of the keys, in their order.
        let text = source.text().trim_start();
        if text.starts_with('[') {
            let place = source.place_of(text);
            return Err(vec![format!(
                "{place}found a list; a configuration is an object, as in {{}}"
            )]);
        }
        match serde_json::from_str::<Self>(source.text()) {
            Ok(config) => Ok(Self { source: Some(source), ..config }),
            Err(error) => Err(diagnose::faults(&source, &error)),
        }
    }

    /// Where in its file something stands, if it has one.
    pub(crate) fn place(&self, path: &[Segment]) -> Place {
        self.source.as_ref().map(|source| source.find(path)).unwrap_or_default()
    }
}

fn refusal(faults: &[String]) -> Error {
    Error::config(format!("the configuration cannot be used:\n- {}", faults.join("\n- ")))
}

fn utf8<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a str> {
    std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Error::config(format!(
            "{name}:{line}: byte {} of the file is not UTF-8; save it in that encoding",
            error.valid_up_to() + 1
        ))
    })
}
