//! The official clients, PyPI's `anthropic`, `openai` and `ollama`, against the very services that our
//! providers are tested on: what those say is then not our own fiction.
//!
//! `OPENCLAW_PEER_CLIENTS` is a Python that has them.

use std::path::Path;

use openclaw_core::serde_json::{self, Value, json};
use tokio::process::Command;

use super::{
    emulators,
    peers::peer,
    server::{Act, Received, Server},
};

/// What a client has to say of a service.
async fn told(test: &str, client: &str, service: fn(&Received) -> Vec<Act>) -> Option<Value> {
    let python = peer(test, "OPENCLAW_PEER_CLIENTS")?;
    let server = Server::answering(service).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients.py");
    let output = Command::new(python)
        .arg(script)
        .args([client, &server.url])
        .env_remove("HTTP_PROXY")
        .env_remove("http_proxy")
        .output()
        .await
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{client} failed: {errors}\n{:#?}", server.received());
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_anthropic_client_talks_to_our_service() {
    let service = emulators::anthropic::service;
    let test = "the_anthropic_client_talks_to_our_service";
    let Some(told) = told(test, "anthropic", service).await else { return };
    assert_eq!(
        told,
        json!({
            "models": ["claude-haiku-4-5", "claude-opus-4-6"],
            "text": "Hello, Ada.",
            "stop": "end_turn",
            "cached": 20,
            "blocks": ["thinking", "tool_use", "tool_use"],
            "calls": [{"a": 1}, {}],
            "answer": "Hello, Ada.",
            "faults": {
                "busy": ["OverloadedError", "overloaded_error", "2"],
                "key": "authentication_error",
            },
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_openai_client_talks_to_our_service() {
    let service = emulators::openai::service;
    let test = "the_openai_client_talks_to_our_service";
    let Some(told) = told(test, "openai", service).await else { return };
    assert_eq!(
        told,
        json!({
            "models": ["gpt-5-mini", "text-embedding-3-small"],
            "chat": "Hello, Ada.",
            "chat_tokens": 13,
            "items": ["reasoning", "function_call", "function_call"],
            "calls": [{"a": 1}, {}],
            "reasoning": 16,
            "answer": "Hello, Ada.",
            "vectors": [8, 8],
            "fault": "invalid_api_key",
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ollama_client_talks_to_our_service() {
    let service = emulators::ollama::service;
    let test = "the_ollama_client_talks_to_our_service";
    let Some(told) = told(test, "ollama", service).await else { return };
    let layer = "pulling 6a0746a1ec1a";
    assert_eq!(
        told,
        json!({
            "models": ["qwen3:8b", "nomic-embed-text:latest"],
            "can": ["completion", "tools", "thinking"],
            "context": 40_960,
            "text": "Hello, Ada.",
            "thoughts": "I need the sum.",
            "calls": [{"a": 1}, {}],
            "end": ["stop", 26, 8],
            "pull": ["pulling manifest", layer, layer, "success"],
            "vectors": [12, 12],
            "faults": ["model 'absent' not found", "pull model manifest: file does not exist"],
        })
    );
}
