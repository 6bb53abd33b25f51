use openclaw_core::{
    message::{Content, Media, MediaSource},
    provider::{ChatMessage, ResponseFormat, ToolCall, ToolChoice, ToolDefinition},
    schemars,
    serde_json::{self, from_value, json},
};

use super::*;

fn options() -> wire::Options {
    wire::Options {
        max_tokens: DEFAULT_MAX_TOKENS,
        thinking: None,
        effort: None,
        prompt_cache: false,
    }
}

fn body(request: &CompletionRequest, options: wire::Options) -> Value {
    wire::body(request, "m", &"anthropic".into(), options).unwrap().into()
}

fn variables(set: &[(&str, &str)]) -> Result<Anthropic> {
    Anthropic::from_variables(|name| {
        Ok(set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    })
}

#[test]
fn the_environment_gives_a_key_or_an_address() {
    let provider =
        variables(&[("ANTHROPIC_API_KEY", "sk-1"), ("ANTHROPIC_MODEL", "claude-haiku-4-5")]);
    let provider = provider.unwrap();
    assert_eq!(provider.service.base, DEFAULT_BASE_URL);
    assert_eq!(provider.default_model().unwrap().as_str(), "claude-haiku-4-5");
    assert!(provider.service.price("claude-haiku-4-5-20251001").is_some());
    let local = variables(&[("ANTHROPIC_BASE_URL", "http://127.0.0.1:1")]).unwrap();
    assert!(local.service.key.is_none());
    assert!(local.service.price("claude-haiku-4-5").is_none(), "no list price elsewhere");
    assert!(variables(&[]).unwrap_err().to_string().contains("ANTHROPIC_API_KEY"));
    assert!(!format!("{provider:?}").contains("sk-1"));
}

#[test]
fn a_configuration_is_strict_and_has_a_schema() {
    assert!(from_value::<AnthropicConfig>(json!({"modell": "x"})).is_err());
    assert!(from_value::<AnthropicConfig>(json!({"api_key": "sk-1"})).is_err());
    let config: AnthropicConfig = from_value(json!({
        "base_url": "http://127.0.0.1:1",
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "effort": "low",
        "prompt_cache": false,
    }))
    .unwrap();
    let provider = Anthropic::from_config(&config).unwrap();
    assert_eq!(provider.options.effort, Some(Effort::Low));
    assert!(!provider.options.prompt_cache);
    let small = Thinking::Enabled { budget_tokens: 1_000 };
    for (config, word) in [
        (AnthropicConfig { thinking: Some(small), ..config.clone() }, "budget_tokens"),
        (AnthropicConfig { max_tokens: 0, ..config.clone() }, "max_tokens"),
        (AnthropicConfig { idle_timeout_s: 0, ..config.clone() }, "idle_timeout_s"),
        (
            AnthropicConfig { headers: [("x-api-key".into(), "x".into())].into(), ..config },
            "x-api-key",
        ),
    ] {
        let error = Anthropic::from_config(&config).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().contains(word), "{error}");
    }
    let schema = serde_json::to_value(schemars::schema_for!(AnthropicConfig)).unwrap();
    assert_eq!(schema["additionalProperties"], json!(false));
}

fn picture() -> Content {
    Content::Media(Media {
        mime: "image/png".into(),
        source: MediaSource::Inline { base64: "aGk=".into() },
        name: None,
        bytes: None,
    })
}

fn call(id: &str, arguments: &str) -> ToolCall {
    ToolCall { id: id.into(), name: "look".into(), arguments: arguments.into() }
}

#[test]
fn a_conversation_with_everything_is_written_as_the_api_wants_it() {
    let mut request = CompletionRequest::new(
        "m",
        vec![
            ChatMessage::User { content: vec!["And this?".into(), picture(), "".into()] },
            ChatMessage::Assistant {
                text: String::new(),
                calls: vec![call("a", r#"{"x":1}"#), call("b", "{broken"), call("c", "")],
                state: None,
            },
            ChatMessage::Tool { call: "a".into(), failed: false, content: vec![picture()] },
            ChatMessage::Tool { call: "b".into(), failed: true, content: vec!["no".into()] },
            ChatMessage::Tool { call: "c".into(), failed: false, content: vec!["".into()] },
            ChatMessage::user("And?"),
            ChatMessage::assistant("A cat."),
        ],
    );
    request.system = "Be brief.".into();
    request.max_output_tokens = Some(9);
    request.temperature = Some(0.7);
    request.tools = std::sync::Arc::from([ToolDefinition {
        name: "look".into(),
        description: "Looks".into(),
        input_schema: json!({"type": "object"}),
    }]);
    request.tool_choice = ToolChoice::Tool("look".into());
    request.response_format =
        Some(ResponseFormat::JsonSchema { name: "f".into(), schema: json!({"type": "object"}) });
    let image = json!({"type": "image", "source":
        {"type": "base64", "media_type": "image/png", "data": "aGk="}});
    let used = |id: &str, input: Value| json!({"type": "tool_use", "id": id, "name": "look", "input": input});
    assert_eq!(
        body(&request, wire::Options { effort: Some(Effort::High), ..options() }),
        json!({
            "model": "m",
            "max_tokens": 9,
            "stream": true,
            "temperature": 0.7,
            "system": [{"type": "text", "text": "Be brief."}],
            "tools": [{"name": "look", "description": "Looks", "input_schema": {"type": "object"}}],
            "tool_choice": {"type": "tool", "name": "look"},
            "output_config": {"effort": "high", "format": {"type": "json_schema",
                "schema": {"type": "object", "additionalProperties": false}}},
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "And this?"}, image]},
                {"role": "assistant", "content": [
                    used("a", json!({"x": 1})),
                    used("b", json!({"not_json": "{broken"})),
                    used("c", json!({})),
                ]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "a", "content": [image]},
                    {"type": "tool_result", "tool_use_id": "b", "is_error": true,
                        "content": [{"type": "text", "text": "no"}]},
                    {"type": "tool_result", "tool_use_id": "c", "content": []},
                    {"type": "text", "text": "And?"},
                ]},
                {"role": "assistant", "content": [{"type": "text", "text": "A cat."}]},
            ],
        })
    );
    for (choice, kind) in
        [(ToolChoice::Auto, "auto"), (ToolChoice::None, "none"), (ToolChoice::Required, "any")]
    {
        request.tool_choice = choice;
        assert_eq!(body(&request, options())["tool_choice"], json!({ "type": kind }));
    }
}

#[test]
fn marks_for_the_cache_move_on_with_the_conversation() {
    let conversation = |count: usize| {
        let mut request = CompletionRequest::new("m", Vec::new());
        request.system = "Be brief.".into();
        request.tools = ["a", "b"]
            .map(|name| ToolDefinition {
                name: name.into(),
                description: String::new(),
                input_schema: json!({}),
            })
            .into_iter()
            .collect();
        for turn in 0..count {
            request.messages.push(ChatMessage::user(format!("question {turn}")));
            if turn + 1 < count {
                request.messages.push(ChatMessage::assistant("answer"));
            }
        }
        body(&request, wire::Options { prompt_cache: true, ..options() })
    };
    let marked = |body: &Value| -> Vec<usize> {
        let messages = body["messages"].as_array().unwrap();
        let with = messages.iter().enumerate().filter(|(_, m)| {
            m["content"].as_array().unwrap().last().unwrap().get("cache_control").is_some()
        });
        with.map(|(index, _)| index).collect()
    };
    let (before, after) = (conversation(2), conversation(3));
    for body in [&before, &after] {
        assert_eq!(body.to_string().matches("cache_control").count(), 4);
        assert_eq!(body["tools"][1]["cache_control"], json!({"type": "ephemeral"}));
        assert_eq!(body["system"][0]["cache_control"], json!({"type": "ephemeral"}));
    }
    assert_eq!((marked(&before), marked(&after)), (vec![0, 2], vec![2, 4]));
    assert!(!conversation(1)["messages"].to_string().is_empty());
}

#[test]
fn thinking_keeps_to_what_the_api_allows() {
    let enabled = |budget_tokens| Some(Thinking::Enabled { budget_tokens });
    let ask = |thinking, limit: Option<u32>, choice: ToolChoice| {
        let mut request = CompletionRequest::new("m", vec![ChatMessage::user("Hi")]);
        request.max_output_tokens = limit;
        request.tool_choice = choice;
        request.temperature = Some(0.5);
        body(&request, wire::Options { thinking, ..options() })
    };
    let auto = || ToolChoice::Auto;
    let body = ask(enabled(2_000), None, auto());
    assert_eq!(body["thinking"], json!({"type": "enabled", "budget_tokens": 2_000}));
    assert_eq!(body.get("temperature"), None);
    // Never more than the request may write, and nothing where that is too little.
    assert_eq!(ask(enabled(9_000), Some(2_000), auto())["thinking"]["budget_tokens"], 1_999);
    let body = ask(enabled(2_000), Some(1_024), auto());
    assert_eq!((body.get("thinking"), &body["temperature"]), (None, &json!(0.5)));
    for thinking in [enabled(2_000), Some(Thinking::Adaptive)] {
        assert_eq!(ask(thinking, None, ToolChoice::Required).get("thinking"), None);
    }
    assert_eq!(
        ask(Some(Thinking::Adaptive), None, auto())["thinking"],
        json!({"type": "adaptive"})
    );
    let body = ask(Some(Thinking::Disabled), None, auto());
    assert_eq!(
        (&body["thinking"]["type"], &body["temperature"]),
        (&json!("disabled"), &json!(0.5))
    );
}
