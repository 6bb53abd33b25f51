//! Clients that others wrote, against the daemon.
//!
//! `OPENCLAW_PEER_OPENCLAW_NODE` is a `node_modules` with npm's `openclaw-node`, `OPENCLAW_PEER_OPENAI_NODE` one with
//! npm's `openai`, `OPENCLAW_PEER_CLIENTS` a Python with PyPI's. Without it a test says that it was skipped, and
//! adds the line to the file that `OPENCLAW_SKIPS` names.

use std::{
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use openclaw_core::serde_json::{Value, from_slice, json};

use super::world::{Daemon, World};

pub(super) const TOKEN: &str = "canary-gateway-token-1234567890abcdef";
pub(super) const HOOKS: &str = "canary-hooks-token-0987654321fedcba";

/// What the variable names, or a skip that is told.
pub(super) fn peer(test: &str, variable: &str) -> Option<PathBuf> {
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

/// The daemon with open doors, and where they are.
async fn open(world: &World) -> (Daemon, String) {
    open_as(world, |command| command).await
}

/// The same, started by what `wrap` makes of its command.
pub(super) async fn open_as(
    world: &World,
    wrap: impl FnOnce(Command) -> Command,
) -> (Daemon, String) {
    let mut config = world.config();
    config["server"] = json!({
        "listen": "127.0.0.1:0",
        "auth": {"mode": "token", "token": {"env": "GATEWAY_TOKEN"}},
        "key_file": world.folder.path().join("gateway.key"),
        "hooks": {"env": "HOOKS_TOKEN"},
    });
    world.write(&config);
    let mut command = world.gateway(&["--logs", "json"]);
    command.env("GATEWAY_TOKEN", TOKEN).env("HOOKS_TOKEN", HOOKS);
    let daemon = world.spawn(wrap(command)).await;
    let ready: Value = from_slice(daemon.said.lines().last().unwrap().as_bytes()).unwrap();
    let address = ready["fields"]["listen"].as_str().unwrap().to_owned();
    (daemon, address)
}

/// What a client prints at its end, and its other words.
async fn run(mut client: tokio::process::Command, daemon: &Daemon) -> (Value, String) {
    let output = client.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}\n{}", daemon.said);
    (from_slice(&output.stdout).unwrap(), errors)
}

async fn end(daemon: Daemon) {
    daemon.signal("TERM");
    let (ended, log) = daemon.end().await;
    assert!(ended, "{log}");
    assert!(!log.contains("canary"), "{log}");
}

#[tokio::test]
async fn openais_python_client_talks_to_the_daemon() {
    const TEST: &str = "openais_python_client_talks_to_the_daemon";
    let Some(python) = peer(TEST, "OPENCLAW_PEER_CLIENTS") else { return };
    let world = World::new().await;
    let (daemon, address) = open(&world).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gateway/openai_client.py");
    let mut client = tokio::process::Command::new(python);
    client.arg(script).arg(format!("http://{address}/v1")).arg(TOKEN);
    let (saw, errors) = run(client, &daemon).await;
    let expected = json!({
        "models": ["openclaw", "openclaw/default", "openclaw/main"],
        "model": "openclaw/main",
        "chat": "answer 1, so",
        "reason": "stop",
        "streamed": "answer 1, so",
        "usage": true,
        "remembered": "answer 2, so",
        "call": ["tool_calls", "weather", {"city": "Hue"}],
        "afterwards": "it says \"rain\"",
        "streamedCall": "weather",
        "response": "answer 1, so",
        "goneOn": "answer 2, so",
        "responseStreamed": ["answer 1, so", "completed"],
        "responseCall": ["function_call", "weather", {"city": "Hue"}],
        "responseAfterwards": "it says \"rain\"",
        "alike": true,
        "noModel": "NotFoundError",
        "noKey": "AuthenticationError",
        "noGood": "BadRequestError",
    });
    assert_eq!(saw, expected, "{errors}");
    end(daemon).await;
}

#[tokio::test]
async fn openais_node_client_talks_to_the_daemon() {
    const TEST: &str = "openais_node_client_talks_to_the_daemon";
    let Some(modules) = peer(TEST, "OPENCLAW_PEER_OPENAI_NODE") else { return };
    let world = World::new().await;
    let (daemon, address) = open(&world).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gateway/openai_client.mjs");
    let mut client = tokio::process::Command::new("node");
    client.arg(script).arg(modules.join("openai/index.mjs"));
    client.arg(format!("http://{address}/v1")).arg(TOKEN);
    let (saw, errors) = run(client, &daemon).await;
    let expected = json!({
        "models": ["openclaw", "openclaw/default", "openclaw/main"],
        "chat": "answer 1, so",
        "streamed": "answer 1, so",
        "afterwards": "it says \"rain\"",
        "called": [{"city": "Hue"}],
        "response": "answer 1, so",
        "events": ["response.created", "response.completed"],
        "vector": true,
        "noModel": ["NotFoundError", "model_not_found"],
    });
    assert_eq!(saw, expected, "{errors}");
    end(daemon).await;
}

#[tokio::test]
async fn openclaw_node_talks_to_the_daemon() {
    const TEST: &str = "openclaw_node_talks_to_the_daemon";
    let Some(modules) = peer(TEST, "OPENCLAW_PEER_OPENCLAW_NODE") else { return };
    let world = World::new().await;
    let (daemon, address) = open(&world).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gateway/openclaw_node.mjs");
    let mut client = tokio::process::Command::new("node");
    client.args(["--experimental-websocket", script]);
    client.arg(modules.join("openclaw-node/dist/index.mjs"));
    client.arg(format!("ws://{address}")).arg(TOKEN).arg(world.folder.path());
    let (saw, errors) = run(client, &daemon).await;
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
    end(daemon).await;
}
