//! What the gateway is made of: the file's plugins, or what the environment names.

use std::{
    io::IsTerminal as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use openclaw_core::{
    Error, ErrorKind, Gateway, GatewayBuilder, Result,
    plugin::{Config, OwnerEntry, PluginEntry, ProviderLayer, Registry, TelemetryEntry, ToolLayer},
    secret::SecretRef,
    serde_json::{self, Value, json},
    server::{self, ServerEntry},
};
use openclaw_providers::{http::Reqwest, ollama};

use crate::{arguments::Arguments, logs::Redactions};

/// Every plugin of this workspace.
pub(crate) fn registry() -> Registry {
    let registry = openclaw_channels::register(Registry::new());
    let registry = openclaw_providers::register(registry);
    openclaw_tools::register(openclaw_memory::register(registry))
}

pub(crate) fn print_schema() -> Result<()> {
    let text = serde_json::to_string_pretty(&registry().schema());
    println!("{}", text.map_err(|error| Error::wrap(ErrorKind::Internal, error))?);
    Ok(())
}

/// Makes the same builder again and again, each time from the file as it is then.
pub(crate) struct Setup {
    file: Option<PathBuf>,
    registry: Registry,
    http: Reqwest,
    redactions: Arc<Redactions>,
}

/// What is set up at the start and stays.
#[derive(PartialEq)]
pub(crate) struct Kept {
    /// The doors.
    pub(crate) server: Option<ServerEntry>,
    /// The collector of spans.
    pub(crate) telemetry: Option<TelemetryEntry>,
}

impl Setup {
    pub(crate) fn new(arguments: &Arguments, redactions: Arc<Redactions>) -> Self {
        Self {
            file: arguments.config.clone(),
            registry: registry(),
            http: Reqwest::new(),
            redactions,
        }
    }

    /// Where the configuration comes from, for people.
    pub(crate) fn source(&self) -> String {
        match &self.file {
            Some(file) => file.display().to_string(),
            None => "the environment".to_owned(),
        }
    }

    fn read(&self) -> Result<Config> {
        match &self.file {
            Some(file) => Config::read(file),
            None => from_environment(|name| std::env::var(name).ok().filter(|v| !v.is_empty())),
        }
    }

    /// What the configuration has that a reload does not change.
    ///
    /// # Errors
    /// The file cannot be read as a configuration.
    pub(crate) fn kept(&self) -> Result<Kept> {
        let config = self.read()?;
        Ok(Kept { server: config.server, telemetry: config.telemetry })
    }

    /// The client that everything is sent by.
    #[cfg(feature = "opentelemetry")]
    pub(crate) fn http(&self) -> Reqwest {
        self.http.clone()
    }

    /// The configuration as it is now, for administrators. It refers to secrets and holds none.
    pub(crate) fn shown(&self) -> Option<server::Setup> {
        let config = serde_json::to_value(self.read().ok()?).ok()?;
        Some(server::Setup { path: self.source(), config, schema: self.registry.schema() })
    }

    /// # Errors
    /// The file cannot be read as a configuration, or the environment names no provider.
    pub(crate) fn builder(&self) -> Result<GatewayBuilder> {
        let mut config = self.read()?;
        self.redactions.add(secrets(&config));
        if config.telemetry.is_some() {
            trace(&mut config);
        }
        Ok(Gateway::builder().http(self.http.clone()).config(&self.registry, config))
    }
}

/// Makes spans of completions and calls, if that is not said already: a collector waits for them.
fn trace(config: &mut Config) {
    if !config.provider_layers.contains(&ProviderLayer::Trace) {
        config.provider_layers.push(ProviderLayer::Trace);
    }
    if !config.tool_layers.contains(&ToolLayer::Trace) {
        config.tool_layers.push(ToolLayer::Trace);
    }
}

/// The secrets that a configuration refers to, as far as they are there: what is missing is said by
/// who needs it.
fn secrets(config: &Config) -> Vec<openclaw_core::secret::Secret> {
    fn walk(value: &Value, found: &mut Vec<SecretRef>) {
        match value {
            Value::Object(map) => {
                if let Ok(reference) = serde_json::from_value::<SecretRef>(value.clone()) {
                    found.push(reference);
                }
                map.values().for_each(|value| walk(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| walk(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    for entry in config.plugins.iter().chain(&config.store) {
        entry.config.values().for_each(|value| walk(value, &mut found));
    }
    found.extend(config.secrets.values().cloned());
    found.extend(config.telemetry.iter().flat_map(|one| one.headers.values().cloned()));
    found.extend(config.server.iter().flat_map(|server| server.secrets().into_iter().cloned()));
    found.iter().filter_map(|reference| reference.resolve().ok()).collect()
}

/// What the environment names: a provider at least; a Telegram bot, and who its owner is; a terminal if
/// there is one; a database in this folder.
fn from_environment(get: impl Fn(&str) -> Option<String>) -> Result<Config> {
    let mut config = Config::default();
    for (plugin, variables) in PROVIDERS {
        let set =
            variables.iter().filter_map(|(variable, key)| Some((key, get(variable)?, variable)));
        let mut entry = PluginEntry::new(plugin);
        for (key, value, variable) in set {
            let value = match (*key, *variable) {
                ("api_key", variable) => json!({ "env": variable }),
                (_, "OLLAMA_HOST") => ollama::address(&value).into(),
                _ => value.into(),
            };
            entry = entry.with(*key, value);
        }
        // Which model there would be alone does not make a provider.
        if entry.config.keys().any(|key| key != "model") {
            config.plugins.push(entry);
        }
    }
    if config.plugins.is_empty() {
        return Err(Error::config(
            "no configuration: give one with --config FILE, or set OPENAI_API_KEY, \
             OPENAI_BASE_URL, ANTHROPIC_API_KEY, ANTHROPIC_BASE_URL, OLLAMA_HOST or OLLAMA_API_KEY",
        ));
    }
    if get("TELEGRAM_BOT_TOKEN").is_some() {
        let token = json!({"env": "TELEGRAM_BOT_TOKEN"});
        let mut entry = PluginEntry::new("telegram").with("token", token);
        if let Some(url) = get("TELEGRAM_BASE_URL") {
            entry = entry.with("base_url", url);
        }
        config.plugins.push(entry);
        if let Some(user) = get("TELEGRAM_OWNER") {
            config.owners.push(OwnerEntry { channel: "telegram".into(), user: user.into() });
        }
    }
    if std::io::stdin().is_terminal() {
        config.plugins.push(PluginEntry::new("terminal"));
    }
    for tool in ["now", "ask_user", "send_message"] {
        config.plugins.push(PluginEntry::new(tool));
    }
    let store = Path::new("openclaw.db");
    config.store = Some(PluginEntry::new("sqlite").with("path", store.display().to_string()));
    Ok(config)
}

/// The providers, and which variable says what of them; the first that is named is thought with.
const PROVIDERS: [(&str, &[(&str, &str)]); 3] = [
    (
        "openai",
        &[
            ("OPENAI_API_KEY", "api_key"),
            ("OPENAI_BASE_URL", "base_url"),
            ("OPENAI_MODEL", "model"),
        ],
    ),
    (
        "anthropic",
        &[
            ("ANTHROPIC_API_KEY", "api_key"),
            ("ANTHROPIC_BASE_URL", "base_url"),
            ("ANTHROPIC_MODEL", "model"),
        ],
    ),
    (
        "ollama",
        &[("OLLAMA_HOST", "base_url"), ("OLLAMA_API_KEY", "api_key"), ("OLLAMA_MODEL", "model")],
    ),
];
