//! The first exchange: challenge, `connect`, `hello-ok`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    frame::StateVersion,
    mutual::GatewayIdentity,
    scope::{Role, Scopes},
};
use crate::secret::Secret;

/// What the gateway says first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Challenge {
    /// What a device signs; for this connection alone.
    pub nonce: String,
    /// The gateway's clock, in milliseconds since 1970-01-01T00:00:00Z.
    pub ts: i64,
    /// What the gateway can do beyond the protocol.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// The gateway's key, if it can [prove](super::PROVE) that it has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayIdentity>,
}

/// What a client says of itself, how it proves who it is, and what it wants to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConnectParams {
    /// The lowest version that it speaks.
    pub min_protocol: u32,
    /// The highest.
    pub max_protocol: u32,
    /// Which program it is.
    pub client: ClientInfo,
    /// What it can show.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caps: Vec<String>,
    /// What a node can do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
    /// What the node's system allows it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub permissions: BTreeMap<String, bool>,
    /// Of nodes that drive a screen; kept as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub computer_use: Option<Value>,
    /// Of nodes that run workers; kept as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_runs: Option<Value>,
    /// What it knows of the model catalogue; not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_catalog: Option<Value>,
    /// A node's search path for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_env: Option<String>,
    /// `operator` unless it says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// What it wants to be allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// Its key, and the proof that it has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<ConnectDevice>,
    /// What it knows that others do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<ConnectAuth>,
    /// The language of its user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// Its own name for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
}

impl ConnectParams {
    /// What it wants to be; `None` if there is no such role.
    pub fn role(&self) -> Option<Role> {
        self.role.as_deref().map_or(Some(Role::Operator), Role::parse)
    }

    /// The scopes that it asked for, as it wrote them.
    pub fn asked(&self) -> &[String] {
        self.scopes.as_deref().unwrap_or_default()
    }
}

/// Which program a client is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientInfo {
    /// Its kind; one of a closed set.
    pub id: String,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Its version.
    pub version: String,
    /// The build of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_id: Option<String>,
    /// What it runs on.
    pub platform: String,
    /// What kind of machine that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_family: Option<String>,
    /// The machine's model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_identifier: Option<String>,
    /// Where its user is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// What it is used for.
    pub mode: ClientMode,
    /// Tells one running copy from another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
}

/// The names of client programs that the protocol knows.
pub const CLIENT_IDS: [&str; 17] = [
    "webchat-ui",
    "openclaw-control-ui",
    "openclaw-browser-copilot",
    "openclaw-tui",
    "webchat",
    "cli",
    "gateway-client",
    "openclaw-macos",
    "openclaw-linux",
    "openclaw-ios",
    "openclaw-watchos",
    "openclaw-android",
    "node-host",
    "openclaw-worker",
    "test",
    "fingerprint",
    "openclaw-probe",
];

/// What a client is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names say it")]
pub enum ClientMode {
    Webchat,
    Cli,
    Ui,
    Backend,
    Node,
    Worker,
    Probe,
    Test,
}

impl ClientMode {
    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Webchat => "webchat",
            Self::Cli => "cli",
            Self::Ui => "ui",
            Self::Backend => "backend",
            Self::Node => "node",
            Self::Worker => "worker",
            Self::Probe => "probe",
            Self::Test => "test",
        }
    }
}

/// A device's key, and its signature of the challenge.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConnectDevice {
    /// SHA-256 of the key, in lower-case hexadecimal.
    pub id: String,
    /// The Ed25519 key, 32 bytes in base64url without padding.
    pub public_key: String,
    /// Of [`device_payload`](super::device_payload), in base64url without padding.
    pub signature: String,
    /// When, by the device's clock, in milliseconds since 1970-01-01T00:00:00Z.
    pub signed_at: i64,
    /// The challenge's.
    pub nonce: String,
}

/// What a client knows that others do not. `Debug` shows none of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConnectAuth {
    /// The gateway's token, or a device's.
    #[serde(default, with = "secret", skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    /// The token of a first start. There are none here, so it lets nobody in.
    #[serde(default, with = "secret", skip_serializing_if = "Option::is_none")]
    pub bootstrap_token: Option<Secret>,
    /// The token that the device was given.
    #[serde(default, with = "secret", skip_serializing_if = "Option::is_none")]
    pub device_token: Option<Secret>,
    /// The gateway's password.
    #[serde(default, with = "secret", skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// Of OpenClaw's own processes. There are none here, so it lets nobody in.
    #[serde(default, with = "secret", skip_serializing_if = "Option::is_none")]
    pub approval_runtime_token: Option<Secret>,
    /// Of OpenClaw's own processes. There are none here, so it lets nobody in.
    #[serde(default, with = "secret", skip_serializing_if = "Option::is_none")]
    pub agent_runtime_identity_token: Option<Secret>,
}

impl ConnectAuth {
    /// The token that a device's signature covers; empty if there is none.
    pub fn signed_token(&self) -> &str {
        let first = self.token.as_ref().or(self.device_token.as_ref());
        first.or(self.bootstrap_token.as_ref()).map_or("", Secret::expose)
    }
}

mod secret {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::secret::Secret;

    pub(super) fn serialize<S: Serializer>(
        secret: &Option<Secret>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match secret {
            Some(secret) => serializer.serialize_str(secret.expose()),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Secret>, D::Error> {
        // `null` is no token: the field is to be left out.
        String::deserialize(deserializer).map(|text| Some(Secret::from(text)))
    }
}

/// The answer to a `connect` that was let in.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename = "hello-ok", rename_all = "camelCase")]
pub struct HelloOk {
    /// The version that is spoken from now on.
    pub protocol: u32,
    /// Which gateway this is.
    pub server: ServerInfo,
    /// What it can do.
    pub features: Features,
    /// How things stand.
    pub snapshot: Value,
    /// What the connection may do.
    pub auth: HelloAuth,
    /// Its limits.
    pub policy: Policy,
}

/// Which gateway it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerInfo {
    /// Its version.
    pub version: String,
    /// The build of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_id: Option<String>,
    /// Tells one start of it from the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// The connection's name, for logs.
    pub conn_id: String,
}

/// What a gateway can do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Features {
    /// The methods that there are.
    pub methods: Vec<String>,
    /// The events that there are.
    pub events: Vec<String>,
    /// What it can do beyond the protocol.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
}

/// What a connection may do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HelloAuth {
    /// As what.
    pub role: Role,
    /// Of what it asked for, what it was given.
    pub scopes: Scopes,
    /// A token for this device: to be kept, and sent instead of the shared one.
    #[serde(default, with = "secret", skip_serializing_if = "Option::is_none")]
    pub device_token: Option<Secret>,
    /// Since when that token is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_at_ms: Option<i64>,
}

/// The limits of a connection.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// The largest frame, in bytes.
    pub max_payload: usize,
    /// How much may wait to be sent to the client, in bytes.
    pub max_buffered_bytes: usize,
    /// How often it hears a `tick`.
    pub tick_interval_ms: u64,
}

/// What a gateway had to say at a moment: part of [`HelloOk::snapshot`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Who is connected.
    pub presence: Vec<Value>,
    /// Whether all is well.
    pub health: Value,
    /// How often these have changed.
    pub state_version: StateVersion,
    /// How long the gateway runs, in milliseconds.
    pub uptime_ms: u64,
}
