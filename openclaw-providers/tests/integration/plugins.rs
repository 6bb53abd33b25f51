//! The providers by their names.

use openclaw_core::{
    Gateway,
    event::{EventKind, Next},
    plugin::{Config, PluginContext, PluginEntry, Registry},
    serde_json::json,
};

use super::server::{Act, Server, answer, event, events};

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

#[tokio::test]
async fn prices_and_a_chains_kinds_are_configured_and_the_cost_is_told() {
    let no = json!({"error": {"message": "not here", "code": "unsupported_country"}}).to_string();
    let denied = Server::start(vec![answer("403 Forbidden", "", &no)]).await;
    let choice = |delta, finish| {
        event(json!({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}))
    };
    let pieces = [
        choice(json!({"content": "Hello."}), json!(null)),
        choice(json!({}), json!("stop")),
        event(json!({"choices": [], "usage": {"prompt_tokens": 1000, "completion_tokens": 20}})),
        event("[DONE]"),
    ];
    let mut script = vec![events()];
    script.extend(pieces.map(Act::Send));
    let able = Server::start(vec![script]).await;
    let price = json!({"input": 1_000_000, "cached_input": 500_000, "cache_write": null,
        "output": 2_000_000});
    let config = json!({
        "ephemeral": true,
        "plugins": [
            {"plugin": "openai", "config": {"id": "here", "base_url": denied.url, "model": "m"}},
            {"plugin": "openai", "config": {"id": "there", "base_url": able.url, "prices": {"m": price}}},
        ],
        // Not by itself: what one service denies, others usually do, too.
        "fallbacks": [{"id": "chain", "first": "here", "then": [{"provider": "there", "model": "m"}],
            "on": ["denied"]}],
    });
    let registry = openclaw_providers::register(Registry::new());
    let config = Config::parse(&config.to_string()).unwrap();
    let gateway = Gateway::builder().config(&registry, config).start().await.unwrap();
    let mut told = gateway.handle().subscribe();
    assert_eq!(gateway.handle().ask("ann", "Hi").reply().await.unwrap().text, "Hello.");
    let usage = loop {
        match told.next().await.unwrap() {
            Next::Event(event) => {
                if let EventKind::TurnEnded { usage, .. } = &event.kind {
                    break *usage;
                }
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((usage.input_tokens, usage.output_tokens), (1000, 20));
    assert_eq!(usage.cost_micro_usd, Some(1000 + 40));
    gateway.shutdown().await.unwrap();
}
