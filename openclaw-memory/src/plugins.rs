//! The stores as plugins.

use openclaw_core::plugin::Registry;

/// Adds the stores that this crate was compiled with.
///
/// | plugin | feature | configuration |
/// |---|---|---|
/// | `sqlite` | `sqlite` | [`SqliteConfig`](crate::sqlite::SqliteConfig) |
#[must_use]
pub fn register(registry: Registry) -> Registry {
    #[cfg(feature = "sqlite")]
    let registry = registry.plugin("sqlite", sqlite);
    registry
}

#[cfg(feature = "sqlite")]
async fn sqlite(
    config: crate::sqlite::SqliteConfig,
    cx: openclaw_core::plugin::PluginContext,
) -> openclaw_core::Result<openclaw_core::plugin::Parts> {
    let store = config.builder().clock(std::sync::Arc::clone(cx.clock())).open().await?;
    let mut parts = openclaw_core::plugin::Parts::new().store(store.clone());
    if let Some(memory) = &config.memory {
        parts = parts.memory(memory.builder(&store).await?.open().await?);
    }
    Ok(parts)
}
