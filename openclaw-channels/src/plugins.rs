//! The channels as plugins.

use openclaw_core::plugin::Registry;

/// Adds the channels that this crate was compiled with.
///
/// | plugin | feature | configuration |
/// |---|---|---|
/// | `telegram` | `telegram` | [`telegram::Config`](crate::telegram::Config) |
/// | `terminal` | `terminal` | [`terminal::Config`](crate::terminal::Config) |
#[must_use]
pub fn register(registry: Registry) -> Registry {
    #[cfg(feature = "telegram")]
    let registry = registry.plugin("telegram", telegram);
    #[cfg(feature = "terminal")]
    let registry = registry.plugin("terminal", terminal);
    registry
}

#[cfg(feature = "telegram")]
async fn telegram(
    config: crate::telegram::Config,
    _: openclaw_core::plugin::PluginContext,
) -> openclaw_core::Result<openclaw_core::plugin::Parts> {
    let telegram = crate::telegram::Telegram::from_config(&config)?;
    Ok(openclaw_core::plugin::Parts::new().channel(telegram))
}

#[cfg(feature = "terminal")]
async fn terminal(
    config: crate::terminal::Config,
    _: openclaw_core::plugin::PluginContext,
) -> openclaw_core::Result<openclaw_core::plugin::Parts> {
    let terminal = crate::terminal::Terminal::new().with_config(config);
    Ok(openclaw_core::plugin::Parts::new().channel(terminal))
}
