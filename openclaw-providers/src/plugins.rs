//! The providers as plugins.

use openclaw_core::plugin::Registry;

/// Adds the providers that this crate was compiled with.
///
/// | plugin | feature | configuration |
/// |---|---|---|
/// | `openai` | `openai` | [`OpenAiConfig`](crate::openai::OpenAiConfig) |
///
/// They send by the gateway's own HTTP client, if the application gave it one.
#[must_use]
pub fn register(registry: Registry) -> Registry {
    #[cfg(feature = "openai")]
    let registry = registry.plugin("openai", openai);
    registry
}

#[cfg(feature = "openai")]
async fn openai(
    config: crate::openai::OpenAiConfig,
    cx: openclaw_core::plugin::PluginContext,
) -> openclaw_core::Result<openclaw_core::plugin::Parts> {
    let mut provider = crate::openai::OpenAi::from_config(&config)?;
    if let Some(http) = cx.http() {
        provider = provider.http(std::sync::Arc::clone(http));
    }
    Ok(openclaw_core::plugin::Parts::new().provider(provider))
}
