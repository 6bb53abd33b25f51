//! Messages, Responses and Ollama's API against npm's `@copilotkit/aimock`, and what its journal says
//! that it was sent.

use std::{fs, process::Stdio};

use openclaw_core::{
    provider::{
        CallContext, ChatMessage, Completion, CompletionRequest, Embedder as _, FinishReason,
        Provider, ToolDefinition,
    },
    serde_json::{Value, json},
};
use openclaw_providers::{
    anthropic::Anthropic,
    ollama::Ollama,
    openai::{OpenAi, OpenAiApi},
};
use tokio::process::Command;

use super::peers::{Peer, ask, get_json, peer};

const KEY: &str = "sk-peer-test-key";

/// The server; `None` if it is not installed.
async fn started(test: &str) -> Option<(Peer, tempfile::TempDir)> {
    let program = peer(test, "OPENCLAW_PEER_AIMOCK")?;
    let folder = tempfile::tempdir().unwrap();
    let fixtures = folder.path().join("fixtures.json");
    let content = json!({"fixtures": [
        {"match": {"endpoint": "embedding"}, "response": {"embedding": [0.1, 0.2, 0.3]}},
        {"match": {"userMessage": "weather"},
         "response": {"toolCalls": [
            {"name": "get_weather", "arguments": "{\"city\":\"Hanoi\"}"},
            {"name": "get_time", "arguments": "{}"}]}},
        {"match": {}, "response": {"content": "Xin chào from the fallback"}}]});
    fs::write(&fixtures, content.to_string()).unwrap();
    let mut command = Command::new(program);
    command.args(["-h", "127.0.0.1", "-c", "3", "-f"]).arg(&fixtures).stdout(Stdio::null());
    Some((Peer::on_port(command, "-p").await, folder))
}

async fn complete(provider: &dyn Provider, request: &CompletionRequest) -> Completion {
    let stream = provider.stream(&CallContext::new(), request).await.unwrap();
    Completion::collect(stream, |_| {}).await.unwrap()
}

/// Text, calls and their results; what the server was sent.
async fn conversation(peer: &Peer, provider: &dyn Provider, model: &str) -> Value {
    let mut request = ask(model, "weather");
    request.system = "You know the weather.".into();
    request.max_output_tokens = Some(64);
    request.tools = ["get_weather", "get_time"]
        .map(|name| ToolDefinition {
            name: name.into(),
            description: "A tool".into(),
            input_schema: json!({"type": "object", "properties": {}}),
        })
        .into_iter()
        .collect();
    let done = complete(provider, &request).await;
    assert_eq!(done.reason, FinishReason::ToolCalls);
    let calls: Vec<_> = done.calls.iter().map(|c| (&*c.name, &*c.arguments)).collect();
    assert_eq!(calls, [("get_weather", r#"{"city":"Hanoi"}"#), ("get_time", "{}")]);

    request.messages = vec![
        ChatMessage::user("and now?"),
        ChatMessage::Assistant {
            text: String::new(),
            calls: done.calls.clone(),
            state: done.state,
        },
    ];
    request.messages.extend(done.calls.iter().zip(["rain", "noon"]).map(|(call, result)| {
        ChatMessage::Tool { call: call.id.clone(), failed: false, content: vec![result.into()] }
    }));
    let done = complete(provider, &request).await;
    assert_eq!((&*done.text, done.reason), ("Xin chào from the fallback", FinishReason::Stop));

    let journal = get_json(&format!("{}/__aimock/journal", peer.root)).await;
    assert!(!journal.to_string().contains(KEY), "the journal hides the key");
    journal
}

#[tokio::test]
async fn aimock_speaks_messages_with_us() {
    let Some((peer, _folder)) = started("aimock_speaks_messages_with_us").await else { return };
    let provider = Anthropic::new(KEY).base_url(&peer.root).unwrap();
    let journal = conversation(&peer, &provider, "claude-haiku-4-5").await.to_string();
    for sent in ["/v1/messages", "get_weather", "You know the weather.", "rain"] {
        assert!(journal.contains(sent), "{sent} in {journal}");
    }
}

#[tokio::test]
async fn aimock_speaks_responses_with_us() {
    let Some((peer, _folder)) = started("aimock_speaks_responses_with_us").await else { return };
    let provider =
        OpenAi::new(KEY).base_url(&format!("{}/v1", peer.root)).unwrap().api(OpenAiApi::Responses);
    let journal = conversation(&peer, &provider, "gpt-5-mini").await.to_string();
    for sent in ["/v1/responses", "get_weather", "You know the weather.", "rain"] {
        assert!(journal.contains(sent), "{sent} in {journal}");
    }
    let vectors = provider.embedder("text-embedding-3-small", 3);
    let made = vectors.embed(&CallContext::new(), &["a", "b"]).await.unwrap();
    assert_eq!(made.len(), 2);
}

#[tokio::test]
async fn aimock_speaks_ollamas_api_with_us() {
    let Some((peer, _folder)) = started("aimock_speaks_ollamas_api_with_us").await else { return };
    let provider = Ollama::new(&peer.root).unwrap();
    let journal = conversation(&peer, &provider, "qwen3:8b").await.to_string();
    for sent in ["/api/chat", "get_weather", "You know the weather.", "rain"] {
        assert!(journal.contains(sent), "{sent} in {journal}");
    }
    assert!(!provider.models().await.unwrap().is_empty());
}
