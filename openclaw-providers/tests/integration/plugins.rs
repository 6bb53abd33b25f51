//! The providers by their names.

use openclaw_core::{
    plugin::{PluginContext, PluginEntry, Registry},
    serde_json::json,
};

#[tokio::test]
async fn openai_is_loaded_by_its_name() {
    let registry = openclaw_providers::register(Registry::new());
    let cx = || PluginContext::new("openai");
    let entry = PluginEntry::new("openai").with("base_url", "http://127.0.0.1:9/v1");
    let parts = registry.load(&entry, cx()).await.unwrap();
    assert!(format!("{parts:?}").contains("providers: 1"), "{parts:?}");

    let entry = PluginEntry::new("openai").with("api_key", json!({"env": "OPENCLAW_TEST_UNSET"}));
    let error = registry.load(&entry, cx()).await.unwrap_err().to_string();
    assert!(error.contains("OPENCLAW_TEST_UNSET is not set"), "{error}");
    let entry = PluginEntry::new("openai").with("api_key", "sk-123");
    let error = registry.load(&entry, cx()).await.unwrap_err().to_string();
    assert!(error.contains("by reference") && !error.contains("sk-123"), "{error}");
}

#[tokio::test]
async fn all_providers_are_known_by_their_names_with_schemas() {
    let registry = openclaw_providers::register(Registry::new());
    assert_eq!(registry.names().collect::<Vec<_>>(), ["anthropic", "ollama", "openai"]);
    for (name, misfit) in [("anthropic", "thinking"), ("ollama", "options"), ("openai", "api")] {
        let parts = registry.load(&PluginEntry::new(name), PluginContext::new(name)).await.unwrap();
        assert!(format!("{parts:?}").contains("providers: 1"), "{parts:?}");
        let entry = PluginEntry::new(name).with(misfit, 7);
        let error = registry.load(&entry, PluginContext::new(name)).await.unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(misfit), "{error}");
        let schema = registry.schema().to_string();
        assert!(schema.contains(&format!("\"const\":\"{name}\"")), "{name} is in the schema");
    }
}
