//! The tools as plugins.

use openclaw_core::{
    Result,
    plugin::{NoConfig, Parts, PluginContext, Registry},
    schemars,
};

#[cfg(feature = "boxed")]
use crate::boxed::BoxConfig;
use crate::{AskUser, MemoryForget, MemorySave, MemorySearch, Now, SendMessage};

/// Adds the tools of this crate.
///
/// | plugin | feature | configuration |
/// |---|---|---|
/// | `now` | | [`NowConfig`] |
/// | `ask_user` | | none |
/// | `memory_search`, `memory_save`, `memory_forget` | | none |
/// | `send_message` | | none |
/// | `shell`, `code`, `files` | `boxed` | [`BoxConfig`](crate::boxed::BoxConfig) |
/// | `process` | `boxed` | [`ProcessConfig`](crate::boxed::ProcessConfig) |
/// | `docker`, a sandbox | `docker` | [`DockerConfig`](crate::sandbox::docker::DockerConfig) |
///
/// ```
/// use openclaw_core::{Gateway, Result, plugin::Registry, testing::Scripted};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<()> {
/// let registry = openclaw_tools::register(Registry::new());
/// let text = r#"{
///     "ephemeral": true,
///     "plugins": [{"plugin": "now", "config": {"zone": "Europe/Berlin"}}, {"plugin": "ask_user"}]
/// }"#;
/// let model = Scripted::replies(["Good evening."]);
/// let gateway =
///     Gateway::builder().provider(model.clone()).config_str(&registry, text).start().await?;
/// gateway.handle().ask("ada", "Hi").reply().await?;
/// assert_eq!(model.requests()[0].tools.len(), 2);
/// # gateway.shutdown().await }
/// ```
#[must_use]
pub fn register(registry: Registry) -> Registry {
    #[cfg(feature = "docker")]
    let registry = registry.plugin("docker", docker);
    #[cfg(feature = "boxed")]
    let registry = registry
        .plugin("shell", async |config: BoxConfig, _: PluginContext| {
            Ok(Parts::new().tool(crate::boxed::Shell::new().sandbox(config.spec())))
        })
        .plugin("code", async |config: BoxConfig, _: PluginContext| {
            Ok(Parts::new().tool(crate::boxed::Code::new().sandbox(config.spec())))
        })
        .plugin("files", async |config: BoxConfig, _: PluginContext| {
            Ok(Parts::new().tool(crate::boxed::Files::new().sandbox(config.spec())))
        })
        .plugin("process", async |config: crate::boxed::ProcessConfig, _: PluginContext| {
            Ok(Parts::new().tool(crate::boxed::Process::load(config).await?))
        });
    registry
        .plugin("now", now)
        .plugin("ask_user", async |_: NoConfig, _: PluginContext| Ok(Parts::new().tool(AskUser)))
        .plugin("memory_search", async |_: NoConfig, _: PluginContext| {
            Ok(Parts::new().tool(MemorySearch))
        })
        .plugin("memory_save", async |_: NoConfig, _: PluginContext| {
            Ok(Parts::new().tool(MemorySave))
        })
        .plugin("memory_forget", async |_: NoConfig, _: PluginContext| {
            Ok(Parts::new().tool(MemoryForget))
        })
        .plugin("send_message", async |_: NoConfig, _: PluginContext| {
            Ok(Parts::new().tool(SendMessage))
        })
}

/// How [`Now`] is configured.
#[derive(Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct NowConfig {
    /// The zone in which it tells the time unless the call names another, such as Europe/Berlin; UTC if left out.
    #[serde(default)]
    pub zone: Option<String>,
}

async fn now(config: NowConfig, _: PluginContext) -> Result<Parts> {
    let tool = match config.zone {
        None => Now::new(),
        Some(zone) => Now::in_zone(&zone)?,
    };
    Ok(Parts::new().tool(tool))
}

#[cfg(feature = "docker")]
async fn docker(config: crate::sandbox::docker::DockerConfig, _: PluginContext) -> Result<Parts> {
    Ok(Parts::new().sandbox(config.builder()?.start().await?))
}
