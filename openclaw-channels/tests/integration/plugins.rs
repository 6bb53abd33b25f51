//! The channels by their names.

use openclaw_core::plugin::{PluginContext, PluginEntry, Registry};

#[tokio::test]
async fn the_terminal_is_loaded_by_its_name() {
    let registry = openclaw_channels::register(Registry::new());
    let cx = || PluginContext::new("terminal");
    let entry = PluginEntry::new("terminal").with("prompt", "you: ");
    let parts = registry.load(&entry, cx()).await.unwrap();
    assert!(format!("{parts:?}").contains("channels: 1"), "{parts:?}");
    let error = registry.load(&PluginEntry::new("terminal").with("promt", ""), cx()).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("did you mean \"prompt\"?"), "{error}");
}
