//! Clients that others wrote, against the daemon.
//!
//! `OPENCLAW_PEER_OPENCLAW_NODE` is a `node_modules` with npm's `openclaw-node`. Without it the test says that it
//! was skipped, and adds the line to the file that `OPENCLAW_SKIPS` names.

use std::{io::Write as _, path::PathBuf, process::Stdio};

use openclaw_core::serde_json::{Value, from_slice, json};

use super::world::World;

const TOKEN: &str = "canary-gateway-token-1234567890abcdef";

/// What the variable names, or a skip that is told.
fn peer(test: &str, variable: &str) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) {
        return Some(path.into());
    }
    let line = format!("SKIPPED: {test}: {variable} is not set");
    eprintln!("{line}");
    if let Some(path) = std::env::var_os("OPENCLAW_SKIPS") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
    None
}

#[tokio::test]
async fn openclaw_node_talks_to_the_daemon() {
    const TEST: &str = "openclaw_node_talks_to_the_daemon";
    let Some(modules) = peer(TEST, "OPENCLAW_PEER_OPENCLAW_NODE") else { return };
    let world = World::new().await;
    let mut config = world.config();
    config["server"] = json!({
        "listen": "127.0.0.1:0",
        "auth": {"mode": "token", "token": {"env": "GATEWAY_TOKEN"}},
        "key_file": world.folder.path().join("gateway.key"),
    });
    world.write(&config);
    let mut command = world.gateway(&["--logs", "json"]);
    command.env("GATEWAY_TOKEN", TOKEN);
    let daemon = world.spawn(command).await;
    let ready: Value = from_slice(daemon.said.lines().last().unwrap().as_bytes()).unwrap();
    let address = ready["fields"]["listen"].as_str().unwrap().to_owned();

    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gateway/openclaw_node.mjs");
    let output = tokio::process::Command::new("node")
        .args(["--experimental-websocket", script])
        .arg(modules.join("openclaw-node/dist/index.mjs"))
        .arg(format!("ws://{address}"))
        .arg(TOKEN)
        .arg(world.folder.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}\n{}", daemon.said);
    let saw: Value = from_slice(&output.stdout).unwrap();
    let expected = json!({
        "protocol": 4,
        "scopes": ["operator.admin", "operator.read", "operator.write"],
        "gotDeviceToken": true,
        "health": true,
        "chat": "answer 1, so",
        "chatKinds": ["agent_start", "text", "agent_end", "done"],
        "chatSync": "answer 2, so",
        "history": ["user: hello", "assistant: answer 1, so", "user: again", "assistant: answer 2, so"],
        "sessions": ["agent:main:node"],
        "agents": ["main"],
        "described": "agent:main:node",
        "channels": ["telegram"],
        "started": "started",
        "waited": "timeout",
        "aborted": ["slow-1"],
        "afterwards": "aborted",
        "heard": true,
        "reset": true,
        "deleted": true,
        "unknown": "unknown method: nonsense.method",
        "invalid": "invalid agent params: must have required property 'idempotencyKey'",
        "byDeviceToken": ["operator.admin", "operator.read", "operator.write"],
        "stranger": "WebSocket closed before handshake completed",
    });
    assert_eq!(saw, expected, "{errors}");
    daemon.signal("TERM");
    let (ended, log) = daemon.end().await;
    assert!(ended, "{log}");
    assert!(!log.contains(TOKEN), "{log}");
}
