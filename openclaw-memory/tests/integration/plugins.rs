//! The store by its name.

use openclaw_core::{ErrorKind, Gateway, access::Principal, plugin::Registry, testing::Scripted};
use serde_json::json;

fn app(path: &std::path::Path) -> openclaw_core::GatewayBuilder {
    let registry = openclaw_memory::register(Registry::new());
    let config = json!({"store": {"plugin": "sqlite", "config": {"path": path, "readers": 1}}});
    let builder = Gateway::builder()
        .provider(Scripted::from_fn(|request| Ok(format!("{} messages", request.messages.len()))));
    builder.config_str(&registry, &config.to_string())
}

#[tokio::test]
async fn a_gateway_from_json_remembers_over_a_restart_and_keeps_its_file_at_a_reload() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("claw.db");
    let gateway = app(&path).start().await.unwrap();
    let ask = async |handle: openclaw_core::Handle| {
        handle.ask("ada", "Hello").reply().await.unwrap().text
    };
    assert_eq!(ask(gateway.handle()).await, "1 messages");
    gateway.handle().reload(app(&path)).await.unwrap();
    assert_eq!(ask(gateway.handle()).await, "3 messages");
    let other = folder.path().join("other.db");
    let error = gateway.handle().reload(app(&other)).await.unwrap_err();
    assert!(error.to_string().contains("the store cannot be changed"), "{error}");
    assert!(!other.exists(), "it was not even opened");
    gateway.shutdown().await.unwrap();

    // The file is closed soon after the last that uses it is gone.
    let gateway = loop {
        match app(&path).start().await {
            Ok(gateway) => break gateway,
            Err(error) => assert!(error.to_string().contains("open"), "{error}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!(ask(gateway.handle()).await, "5 messages");
    gateway.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_store_is_named_with_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("claw.db");
    std::fs::write(&path, "no database, but somebody's text").unwrap();
    let error = app(&path).start().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(error.to_string().contains("line 1, column"), "{error}");
    assert!(error.to_string().contains("claw.db"), "{error}");
}

#[tokio::test]
async fn a_memory_from_json_finds_by_meaning_and_by_words_alone_where_it_says_so() {
    let say = async |memory: serde_json::Value| {
        let folder = tempfile::tempdir().unwrap();
        let registry = openclaw_memory::register(Registry::new());
        let path = folder.path().join("claw.db");
        let config =
            json!({"store": {"plugin": "sqlite", "config": {"path": path, "memory": memory}}});
        let model = Scripted::from_fn(|_| Ok("Noted."));
        let builder = Gateway::builder().provider(model.clone());
        let gateway = builder.config_str(&registry, &config.to_string()).start().await?;
        let handle = gateway.handle();
        // Alike in meaning, and no word in common.
        for text in ["I bought a new car yesterday.", "Bread is baked in the oven."] {
            handle.ask("monday", text).principal(Principal::Owner).reply().await.unwrap();
        }
        gateway.idle().await;
        let mut shown = String::new();
        // The vectors are made beside.
        for attempt in 0..200 {
            let peer = format!("friday{attempt}");
            let asked = handle.ask(peer, "automobile purchase").principal(Principal::Owner);
            asked.reply().await.unwrap();
            shown = format!("{:?}", model.requests().last().unwrap().messages);
            if shown.contains("new car") || memory["embedder"] == "none" {
                break;
            }
        }
        gateway.shutdown().await.unwrap();
        Ok::<String, openclaw_core::Error>(shown)
    };
    for with in [json!({}), json!({"embedder": "builtin", "weight": 0.5})] {
        assert!(say(with.clone()).await.unwrap().contains("new car"), "{with}");
    }
    assert!(!say(json!({"embedder": "none"})).await.unwrap().contains("new car"));
    let error = say(json!({"embedder": {"onnx": {"folder": "/nowhere"}}})).await.unwrap_err();
    assert!(error.to_string().contains("/nowhere"), "{error}");
    let error = say(json!({"embedder": "bulitin"})).await.unwrap_err();
    assert!(error.to_string().contains("builtin"), "{error}");
}
