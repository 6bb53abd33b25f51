use std::sync::Arc;

use openclaw_core::{
    Retry,
    bytes::Bytes,
    http::Method,
    message::{Content, Media, MediaSource},
    provider::{ChatMessage, ResponseFormat, ToolCall, ToolChoice, ToolDefinition},
    schemars,
    serde_json::{from_value, json},
};

use super::*;

fn body(request: &CompletionRequest) -> Value {
    json!(chat::body(request, Some("m"), MaxTokensField::default()).unwrap())
}

fn variables(set: &[(&str, &str)]) -> Result<OpenAi> {
    OpenAi::from_variables(|name| {
        Ok(set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    })
}

#[test]
fn the_environment_gives_a_key_or_an_address() {
    let provider = variables(&[("OPENAI_API_KEY", "sk-1"), ("OPENAI_MODEL", "gpt-4o")]).unwrap();
    assert_eq!(provider.service.base, DEFAULT_BASE_URL);
    assert_eq!(provider.default_model().unwrap().as_str(), "gpt-4o");
    let local = variables(&[("OPENAI_BASE_URL", "http://127.0.0.1:1/v1/")]).unwrap();
    assert!(local.service.key.is_none());
    assert_eq!(local.service.base, "http://127.0.0.1:1/v1");
    let error = variables(&[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(error.to_string().contains("OPENAI_API_KEY"), "{error}");
}

#[test]
fn addresses_that_would_leak_or_fail_are_refused_without_being_repeated() {
    for url in ["", "127.0.0.1:80", "ftp://h/", "https://u:s3cret@h/v1", "https://h/v1?key=s3cret"]
    {
        let error = OpenAi::keyless(url).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{url}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}

#[test]
fn a_key_goes_in_clear_to_this_machine_alone() {
    let ask = |provider: &OpenAi| provider.service.request(Method::GET, "/models", Bytes::new());
    for url in ["http://127.0.0.1:1/v1", "http://[::1]:1", "http://localhost:1", "https://h/v1"] {
        let request = ask(&OpenAi::new("sk-1").base_url(url).unwrap()).unwrap();
        let sent = &request.headers()["authorization"];
        assert_eq!(sent, "Bearer sk-1");
        assert!(sent.is_sensitive());
    }
    let far = OpenAi::new("sk-1").base_url("http://10.0.0.1/v1").unwrap();
    assert_eq!(ask(&far).unwrap_err().kind(), ErrorKind::InvalidConfig);
    assert!(ask(&far.allow_plain_http()).is_ok());
    assert!(ask(&OpenAi::keyless("http://10.0.0.1/v1").unwrap()).is_ok());
}

#[test]
fn the_key_is_in_no_text() {
    let provider = OpenAi::new("sk-secret").header("x-team", "sk-secret").unwrap();
    assert!(!format!("{provider:?}").contains("sk-secret"));
    assert_eq!(provider.service.without_key("bad key sk-secret!"), "bad key ***!");
    let error = provider.service.request(Method::GET, "/a b", Bytes::new()).unwrap_err();
    assert!(!error.to_string().contains("sk-secret"));
    let error =
        OpenAi::new("sk\nsecret").service.request(Method::GET, "/", Bytes::new()).unwrap_err();
    assert!(!error.to_string().contains("secret"), "{error}");
    assert_eq!(error.retry(), Retry::Never);
}

#[test]
fn a_configuration_is_strict_and_has_a_schema() {
    assert!(from_value::<OpenAiConfig>(json!({"modell": "x"})).is_err());
    assert!(from_value::<OpenAiConfig>(json!({"api_key": "sk-1"})).is_err());
    let config: OpenAiConfig = from_value(json!({
        "base_url": "http://127.0.0.1:1/v1",
        "model": "m",
        "headers": {"x-title": "shop"},
        "prices": {"m": {"input": 1, "cached_input": 1, "output": 1}},
    }))
    .unwrap();
    let provider = OpenAi::from_config(&config).unwrap();
    assert!(provider.service.price("m").is_some());
    let bad = OpenAiConfig { headers: [("authorization".into(), "x".into())].into(), ..config };
    assert!(OpenAi::from_config(&bad).unwrap_err().to_string().contains("authorization"));
    let schema = serde_json::to_value(schemars::schema_for!(OpenAiConfig)).unwrap();
    assert_eq!(schema["additionalProperties"], json!(false));
    assert!(schema["properties"]["api_key"].is_object());
}

#[test]
fn a_conversation_with_everything_is_written_as_the_api_wants_it() {
    let picture = Content::Media(Media {
        mime: "image/png".into(),
        source: MediaSource::Inline { base64: "aGk=".into() },
        name: None,
        bytes: None,
    });
    let call = |id: &str, arguments: &str| ToolCall {
        id: id.into(),
        name: "look".into(),
        arguments: arguments.into(),
    };
    let mut request = CompletionRequest::new(
        "m",
        vec![
            ChatMessage::User { content: vec!["What is".into(), "this?".into()] },
            ChatMessage::User { content: vec!["And this?".into(), picture.clone()] },
            ChatMessage::Assistant {
                text: String::new(),
                calls: vec![call("a", r#"{"x":1}"#), call("b", "{broken"), call("c", "")],
                state: None,
            },
            ChatMessage::Tool { call: "a".into(), failed: false, content: vec![picture] },
            ChatMessage::Tool { call: "b".into(), failed: true, content: vec!["no".into()] },
            ChatMessage::assistant("A cat."),
        ],
    );
    request.system = "Be brief.".into();
    request.max_output_tokens = Some(9);
    request.temperature = Some(0.7);
    request.tools = Arc::from([ToolDefinition {
        name: "look".into(),
        description: "Looks".into(),
        input_schema: json!({"type": "object"}),
    }]);
    request.tool_choice = ToolChoice::Tool("look".into());
    request.response_format =
        Some(ResponseFormat::JsonSchema { name: "f".into(), schema: json!({"type": "object"}) });
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}});
    let function = |arguments: &str| json!({"name": "look", "arguments": arguments});
    assert_eq!(
        body(&request),
        json!({
            "model": "m",
            "stream": true,
            "stream_options": {"include_usage": true},
            "max_completion_tokens": 9,
            "temperature": 0.7,
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "What is\nthis?"},
                {"role": "user", "content": [{"type": "text", "text": "And this?"}, image]},
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "a", "type": "function", "function": function(r#"{"x":1}"#)},
                    {"id": "b", "type": "function", "function": function(r#"{"not_json":"{broken"}"#)},
                    {"id": "c", "type": "function", "function": function("{}")},
                ]},
                {"role": "tool", "tool_call_id": "a", "content": "(a picture, see the next user message)"},
                {"role": "tool", "tool_call_id": "b", "content": "Error: no"},
                {"role": "user", "content": [{"type": "text", "text": "Result of a:"}, image]},
                {"role": "assistant", "content": "A cat."},
            ],
            "tools": [{"type": "function", "function":
                {"name": "look", "description": "Looks", "parameters": {"type": "object"}}}],
            "tool_choice": {"type": "function", "function": {"name": "look"}},
            "response_format": {"type": "json_schema", "json_schema":
                {"name": "f", "schema": {"type": "object"}, "strict": false}},
        })
    );
    let old = json!(chat::body(&request, Some("m"), MaxTokensField::MaxTokens).unwrap());
    assert_eq!((old.get("max_tokens"), old.get("max_completion_tokens")), (Some(&json!(9)), None));
}

#[test]
fn media_that_cannot_be_sent_is_an_error_that_says_so() {
    let ask = |mime: &str, source: MediaSource| {
        let media = Media { mime: mime.into(), source, name: None, bytes: None };
        let content = vec![Content::Media(media)];
        let request = CompletionRequest::new("m", vec![ChatMessage::User { content }]);
        chat::body(&request, Some("m"), MaxTokensField::default()).unwrap_err()
    };
    let remote = ask("image/png", MediaSource::Remote { handle: "h".into() });
    assert_eq!(remote.kind(), ErrorKind::Unsupported);
    assert!(remote.to_string().contains("inline"), "{remote}");
    let sound = ask("audio/ogg", MediaSource::Inline { base64: String::new() });
    assert!(sound.to_string().contains("audio/ogg"), "{sound}");
}

#[test]
fn a_response_is_asked_for_as_the_api_wants_it() {
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
                text: "Let me see.".into(),
                calls: vec![call("a", r#"{"x":1}"#), call("b", "{broken")],
                state: None,
            },
            ChatMessage::Tool { call: "a".into(), failed: true, content: vec![picture()] },
            ChatMessage::Tool { call: "b".into(), failed: false, content: vec!["no".into()] },
        ],
    );
    request.system = "Be brief.".into();
    request.max_output_tokens = Some(9);
    request.temperature = Some(0.7);
    request.tools = Arc::from([ToolDefinition {
        name: "look".into(),
        description: "Looks".into(),
        input_schema: json!({"type": "object"}),
    }]);
    request.tool_choice = ToolChoice::Tool("look".into());
    request.response_format =
        Some(ResponseFormat::JsonSchema { name: "f".into(), schema: json!({"type": "object"}) });
    let image = json!({"type": "input_image", "image_url": "data:image/png;base64,aGk="});
    let called = |id: &str, arguments: &str| json!({"type": "function_call", "call_id": id, "name": "look", "arguments": arguments});
    let written = responses::body(&request, Some("m"), &"openai".into()).unwrap();
    assert_eq!(
        Value::from(written),
        json!({
            "model": "m",
            "stream": true,
            "store": false,
            "include": ["reasoning.encrypted_content"],
            "instructions": "Be brief.",
            "max_output_tokens": 9,
            "temperature": 0.7,
            "input": [
                {"type": "message", "role": "user", "content": [
                    {"type": "input_text", "text": "And this?"}, image]},
                {"type": "message", "role": "assistant", "content": "Let me see."},
                called("a", r#"{"x":1}"#),
                called("b", r#"{"not_json":"{broken"}"#),
                {"type": "function_call_output", "call_id": "a",
                    "output": [{"type": "input_text", "text": "Error:"}, image]},
                {"type": "function_call_output", "call_id": "b", "output": "no"},
            ],
            "tools": [{"type": "function", "name": "look", "description": "Looks",
                "parameters": {"type": "object"}, "strict": false}],
            "tool_choice": {"type": "function", "name": "look"},
            "text": {"format": {"type": "json_schema", "name": "f",
                "schema": {"type": "object"}, "strict": false}},
        })
    );
}

#[test]
fn the_choice_of_a_model_is_the_agents_the_providers_or_the_services() {
    let asked = |provider: &OpenAi, model: &str| {
        let request = CompletionRequest::new(model, Vec::new());
        provider.service.model_of(&request).map(str::to_owned)
    };
    let named = OpenAi::new("sk-1").model("gpt-5-mini");
    assert_eq!(asked(&named, "default").unwrap(), "gpt-5-mini");
    assert_eq!(asked(&named, "gpt-5").unwrap(), "gpt-5");
    assert_eq!(asked(&OpenAi::new("sk-1"), "default").unwrap(), DEFAULT_MODEL);
    let local = OpenAi::keyless("http://127.0.0.1:1/v1").unwrap();
    assert_eq!(asked(&local, "default"), None);
}

#[test]
fn strict_is_said_only_of_schemas_that_the_service_takes() {
    #[derive(schemars::JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema is used")]
    struct Closed {
        name: String,
        place: Place,
        tags: Vec<Place>,
    }
    #[derive(schemars::JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema is used")]
    struct Place {
        city: String,
        sure: bool,
    }
    #[derive(schemars::JsonSchema)]
    #[expect(dead_code, reason = "only its schema is used")]
    struct Open {
        name: String,
    }
    let strict = |schema: Value| {
        let mut request = CompletionRequest::new("m", Vec::new());
        request.response_format = Some(ResponseFormat::JsonSchema { name: "f".into(), schema });
        body(&request)["response_format"]["json_schema"]["strict"].clone()
    };
    assert_eq!(strict(schemars::schema_for!(Closed).into()), true);
    assert_eq!(strict(schemars::schema_for!(Open).into()), false);
    let object = |properties: Value, required: Value| {
        json!({"type": "object", "properties": properties, "required": required,
            "additionalProperties": false})
    };
    let inner = object(json!({"x": {"type": "string"}}), json!([]));
    for (schema, expected) in [
        (object(json!({"a": {"type": "string"}}), json!(["a"])), true),
        // Not all are required, here or further in.
        (object(json!({"a": {"type": "string"}}), json!([])), false),
        (object(json!({"a": {"type": "array", "items": inner}}), json!(["a"])), false),
        (object(json!({"a": {"anyOf": [inner, {"type": "null"}]}}), json!(["a"])), false),
        // Keywords and formats that the service does not know.
        (object(json!({"a": {"type": "integer", "format": "uint8"}}), json!(["a"])), false),
        (object(json!({"a": {"type": "string", "format": "date"}}), json!(["a"])), true),
        (object(json!({"a": {"oneOf": [{"type": "string"}]}}), json!(["a"])), false),
        (object(json!({"a": {"type": "string", "default": "b"}}), json!(["a"])), false),
        (json!({"type": "array", "items": {"type": "string"}}), false),
    ] {
        assert_eq!(strict(schema.clone()), expected, "{schema}");
    }
}
