//! The store by its name.

use openclaw_core::{ErrorKind, Gateway, plugin::Registry, testing::Scripted};
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
