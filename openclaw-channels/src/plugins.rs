//! The channels as plugins.

use openclaw_core::plugin::Registry;

/// Adds the channels that this crate was compiled with.
///
/// | plugin | feature | configuration |
/// |---|---|---|
/// | `terminal` | `terminal` | [`terminal::Config`](crate::terminal::Config) |
#[must_use]
pub fn register(registry: Registry) -> Registry {
    #[cfg(feature = "terminal")]
    let registry = registry.plugin("terminal", terminal);
    registry
}

#[cfg(feature = "terminal")]
async fn terminal(
    config: crate::terminal::Config,
    _: openclaw_core::plugin::PluginContext,
) -> openclaw_core::Result<openclaw_core::plugin::Parts> {
    let terminal = crate::terminal::Terminal::new().with_config(config);
    Ok(openclaw_core::plugin::Parts::new().channel(terminal))
}
