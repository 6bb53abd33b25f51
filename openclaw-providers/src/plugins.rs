//! The providers as plugins.

use openclaw_core::plugin::Registry;

/// Registers a provider that is made from a configuration.
#[cfg(any(feature = "openai", feature = "anthropic", feature = "ollama"))]
macro_rules! plugin {
    ($registry:expr, $name:literal, $provider:ty, $config:ty) => {
        $registry.plugin(
            $name,
            async |config: $config, cx: openclaw_core::plugin::PluginContext| {
                let mut provider = <$provider>::from_config(&config)?;
                if let Some(http) = cx.http() {
                    provider = provider.http(std::sync::Arc::clone(http));
                }
                Ok(openclaw_core::plugin::Parts::new().provider(provider))
            },
        )
    };
}

/// Adds the providers that this crate was compiled with.
///
/// | plugin | feature | configuration |
/// |---|---|---|
/// | `anthropic` | `anthropic` | `anthropic::AnthropicConfig` |
/// | `ollama` | `ollama` | `ollama::OllamaConfig` |
/// | `openai` | `openai` | `openai::OpenAiConfig` |
///
/// They send by the gateway's own HTTP client, if the application gave it one.
#[must_use]
pub fn register(registry: Registry) -> Registry {
    #[cfg(feature = "anthropic")]
    let registry = plugin!(
        registry,
        "anthropic",
        crate::anthropic::Anthropic,
        crate::anthropic::AnthropicConfig
    );
    #[cfg(feature = "ollama")]
    let registry = plugin!(registry, "ollama", crate::ollama::Ollama, crate::ollama::OllamaConfig);
    #[cfg(feature = "openai")]
    let registry = plugin!(registry, "openai", crate::openai::OpenAi, crate::openai::OpenAiConfig);
    registry
}
