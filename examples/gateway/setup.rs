//! What the gateway is made of: the file's plugins, or what the environment names.

use std::{
    io::IsTerminal as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use openclaw_core::{
    Error, ErrorKind, Gateway, GatewayBuilder, Result,
    plugin::{Config, PluginEntry, Registry},
    secret::SecretRef,
    serde_json::{self, Value, json},
};
use openclaw_providers::http::Reqwest;

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

    /// # Errors
    /// The file cannot be read as a configuration, or the environment names no provider.
    pub(crate) fn builder(&self) -> Result<GatewayBuilder> {
        let config = match &self.file {
            Some(file) => Config::read(file)?,
            None => from_environment(|name| std::env::var_os(name).is_some_and(|v| !v.is_empty()))?,
        };
        self.redactions.add(secrets(&config));
        Ok(Gateway::builder().http(self.http.clone()).config(&self.registry, config))
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
    found.iter().filter_map(|reference| reference.resolve().ok()).collect()
}

/// What the environment names: a provider at least; a terminal if there is one; a database in this
/// folder.
fn from_environment(is_set: impl Fn(&str) -> bool) -> Result<Config> {
    let mut config = Config::default();
    if is_set("OPENAI_API_KEY") || is_set("OPENAI_BASE_URL") {
        config.plugins.push(openai(&is_set));
    }
    if config.plugins.is_empty() {
        return Err(Error::config(
            "no configuration: give one with --config FILE, or set OPENAI_API_KEY or \
             OPENAI_BASE_URL",
        ));
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

fn openai(is_set: &impl Fn(&str) -> bool) -> PluginEntry {
    let mut entry = PluginEntry::new("openai");
    if is_set("OPENAI_API_KEY") {
        entry = entry.with("api_key", json!({"env": "OPENAI_API_KEY"}));
    }
    for (variable, key) in [("OPENAI_BASE_URL", "base_url"), ("OPENAI_MODEL", "model")] {
        if let Ok(value) = std::env::var(variable) {
            entry = entry.with(key, value);
        }
    }
    entry
}
