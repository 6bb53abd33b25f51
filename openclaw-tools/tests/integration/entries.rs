//! Entries of a configuration that ask for a box. No engine is needed to tell whether they are in order.

use openclaw_core::{
    Gateway, Result,
    plugin::Registry,
    serde_json::{Value, json},
    testing::Scripted,
};

/// A gateway with this entry, and a sandbox whose engine nobody has started.
async fn started(entry: Value) -> Result<()> {
    let image = format!("sha256:{}", "1".repeat(64));
    let docker = json!({ "socket": "/nonexistent/docker.sock", "images": { "base": image } });
    let config = json!({
        "ephemeral": true,
        "plugins": [{ "plugin": "docker", "config": docker }, entry]
    });
    let registry = openclaw_tools::register(Registry::new());
    let builder = Gateway::builder().provider(Scripted::replies(["Hi."]));
    builder.config_str(&registry, &config.to_string()).start().await?.shutdown().await
}

#[tokio::test]
async fn an_entry_loads_as_it_is_written() {
    for plugin in ["code", "shell", "files"] {
        let entry = json!({
            "plugin": plugin, "enabled": true, "sandbox": "docker", "limits": { "memory": "512mb" }
        });
        started(entry).await.unwrap();
    }
    let all = json!({
        "plugin": "code", "sandbox": "docker",
        "limits": {
            "memory": "2gb", "cpus": 1, "pids": 64, "disk": "1gb", "time": "30s", "output": "256kb"
        }
    });
    started(all).await.unwrap();
}

#[tokio::test]
async fn an_entry_that_cannot_be_held_to_is_refused_in_words() {
    let entry = |plugin: &str, limits: Value| json!({ "plugin": plugin, "enabled": true, "sandbox": "docker", "limits": limits });
    let small = json!({
        "memory": "512mb", "cpus": 1, "pids": 64, "disk": "1gb", "time": "30s", "output": "256kb"
    });
    let table = [
        // Files are in memory here.
        (entry("code", small), "disk: this sandbox keeps files in memory"),
        (entry("code", json!({ "memory": "plenty" })), "512mb"),
        (entry("code", json!({ "cpus": 0 })), "cpus: expected"),
        (entry("code", json!({ "privileged": true })), "privileged"),
        (entry("now", json!({ "memory": "512mb" })), "can only run in this process"),
        (
            entry("browser-automation", json!({ "memory": "512mb" })),
            "no plugin \"browser-automation\"",
        ),
    ];
    for (entry, expected) in table {
        let error = started(entry.clone()).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{entry}: {error}");
    }
}
