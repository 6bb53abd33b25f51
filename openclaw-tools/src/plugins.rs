//! The tools as plugins.

use openclaw_core::{
    Result,
    plugin::{NoConfig, Parts, PluginContext, Registry},
    schemars,
};

use crate::{AskUser, Now, SendMessage};

/// Adds the tools of this crate.
///
/// | plugin | configuration |
/// |---|---|
/// | `now` | [`NowConfig`] |
/// | `ask_user` | none |
/// | `send_message` | none |
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
    registry
        .plugin("now", now)
        .plugin("ask_user", async |_: NoConfig, _: PluginContext| Ok(Parts::new().tool(AskUser)))
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
