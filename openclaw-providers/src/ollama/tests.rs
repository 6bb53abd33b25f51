use openclaw_core::{
    message::{Content, Media, MediaSource},
    provider::{ChatMessage, ResponseFormat, ToolCall, ToolChoice, ToolDefinition},
    serde_json::from_value,
};

use super::*;

#[test]
fn the_host_is_read_as_ollamas_own_programs_read_it() {
    let cases = [
        ("127.0.0.1", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        (":8080", "http://127.0.0.1:8080"),
        ("gpu:11434/", "http://gpu:11434"),
        ("http://gpu", "http://gpu:11434"),
        ("https://ollama.com", "https://ollama.com"),
        ("https://example.org/ollama", "https://example.org/ollama"),
        ("[::1]:9", "http://[::1]:9"),
    ];
    for (host, url) in cases {
        assert_eq!(address(host), url, "{host}");
        let provider =
            Ollama::from_variables(|name| Ok((name == "OLLAMA_HOST").then(|| host.to_owned())));
        assert_eq!(provider.unwrap().service.base, url);
    }
    let nothing = Ollama::from_variables(|_| Ok(None)).unwrap();
    assert_eq!(nothing.service.base, DEFAULT_BASE_URL);
    let error = Ollama::from_variables(|name| {
        Ok((name == "OLLAMA_HOST").then(|| "ftp://u:s3cret@h".to_owned()))
    })
    .unwrap_err();
    assert!(error.to_string().contains("OLLAMA_HOST") && !error.to_string().contains("s3cret"));
}

#[test]
fn a_configuration_is_strict() {
    assert!(from_value::<OllamaConfig>(json!({"modell": "x"})).is_err());
    let config: OllamaConfig =
        from_value(json!({"think": "high", "options": {"num_ctx": 9}})).unwrap();
    assert_eq!(config.think, Some(Think::Level(ThinkLevel::High)));
    let provider = Ollama::from_config(&config).unwrap();
    assert_eq!(provider.settings.options["num_ctx"], 9);
}

#[test]
fn a_conversation_with_everything_is_written_as_the_api_wants_it() {
    let picture = || {
        Content::Media(Media {
            mime: "image/png".into(),
            source: MediaSource::Inline { base64: "aGk=".into() },
            name: None,
            bytes: None,
        })
    };
    let call = |id: &str, arguments: &str| ToolCall {
        id: id.into(),
        name: "look".into(),
        arguments: arguments.into(),
    };
    let mut request = CompletionRequest::new(
        "m",
        vec![
            ChatMessage::User { content: vec!["And this?".into(), picture()] },
            ChatMessage::Assistant {
                text: String::new(),
                calls: vec![call("a", r#"{"x":1}"#), call("b", "{broken")],
                state: None,
            },
            ChatMessage::Tool { call: "a".into(), failed: false, content: vec![picture()] },
            ChatMessage::Tool { call: "b".into(), failed: true, content: vec!["no".into()] },
        ],
    );
    request.system = "Be brief.".into();
    request.temperature = Some(0.7);
    request.tools = ["look", "listen"]
        .map(|name| ToolDefinition {
            name: name.into(),
            description: "Does".into(),
            input_schema: json!({"type": "object"}),
        })
        .into_iter()
        .collect();
    request.tool_choice = ToolChoice::Tool("look".into());
    let schema = json!({"type": "object"});
    request.response_format =
        Some(ResponseFormat::JsonSchema { name: "f".into(), schema: schema.clone() });
    let body = |request: &CompletionRequest| {
        wire::body(request, "m", &"ollama".into(), &wire::Settings::default()).unwrap()
    };
    let called = |id: &str, arguments: Value| {
        json!({"id": id, "type": "function",
            "function": {"name": "look", "arguments": arguments}})
    };
    assert_eq!(
        body(&request),
        json!({
            "model": "m",
            "stream": true,
            "options": {"temperature": 0.7},
            "format": schema,
            "tools": [{"type": "function", "function":
                {"name": "look", "description": "Does", "parameters": {"type": "object"}}}],
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "And this?", "images": ["aGk="]},
                {"role": "assistant", "content": "", "tool_calls": [
                    called("a", json!({"x": 1})),
                    called("b", json!({"not_json": "{broken"})),
                ]},
                {"role": "tool", "tool_call_id": "a", "tool_name": "look",
                    "content": "(pictures, see the next user message)"},
                {"role": "tool", "tool_call_id": "b", "tool_name": "look", "content": "Error: no"},
                {"role": "user", "content": "Pictures from look:", "images": ["aGk="]},
            ],
        })
    );
    request.tool_choice = ToolChoice::None;
    assert_eq!(body(&request).get("tools"), None);
    request.tool_choice = ToolChoice::Required;
    assert_eq!(body(&request)["tools"].as_array().unwrap().len(), 2);
}
