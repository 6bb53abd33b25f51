//! OpenAI's API, as its clients use it.

use std::sync::Arc;

use openclaw_core::{
    Error, ErrorKind, Gateway,
    agent::Agent,
    message::{Content, MediaSource},
    provider::{ChatMessage, ResponseFormat, ToolChoice, Usage},
    server::{ServerConfig, serve},
    testing::{HashEmbedder, Scripted, Step},
};
use serde_json::{Value, json};

use super::{
    http_client::{get, post, post_with},
    kit::{Doors, TOKEN},
};

const CHAT: &str = "/v1/chat/completions";

fn config() -> ServerConfig {
    ServerConfig::token(TOKEN)
}

fn hello() -> Value {
    json!({"model": "openclaw", "messages": [{"role": "user", "content": "hello"}]})
}

/// What the model was told by people, request by request.
fn heard(model: &Scripted) -> Vec<String> {
    let said = |messages: &[ChatMessage]| {
        let texts = messages.iter().filter_map(|message| match message {
            ChatMessage::User { content } => {
                let texts: Vec<&str> = content.iter().filter_map(Content::as_text).collect();
                Some(texts.join("\n"))
            }
            _ => None,
        });
        texts.collect::<Vec<_>>().join("\n")
    };
    model.requests().iter().map(|request| said(&request.messages)).collect()
}

#[tokio::test]
async fn an_agent_answers_as_a_model_does() {
    let usage = Usage::new(12, 3);
    let model = Scripted::steps([Step::text("Hi there.").usage(usage)]);
    let doors = Doors::with(model, config()).await;
    let answer = post(doors.address(), CHAT, &hello()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let value = answer.json();
    assert_eq!(
        (&value["object"], &value["model"]),
        (&json!("chat.completion"), &json!("openclaw"))
    );
    let choice = &value["choices"][0];
    assert_eq!(choice["message"]["content"], "Hi there.");
    assert_eq!(
        (&choice["message"]["role"], &choice["finish_reason"]),
        (&json!("assistant"), &json!("stop"))
    );
    assert_eq!(value["usage"]["prompt_tokens"], 12);
    assert_eq!(value["usage"]["completion_tokens"], 3);
}

#[tokio::test]
async fn an_answer_comes_bit_by_bit() {
    let doors = Doors::with(Scripted::replies(["Good morning to you."]), config()).await;
    let mut asked = hello();
    asked["stream"] = json!(true);
    asked["stream_options"] = json!({"include_usage": true});
    let answer = post(doors.address(), CHAT, &asked).await;
    assert!(answer.head.to_ascii_lowercase().contains("content-type: text/event-stream"));
    assert!(answer.body.ends_with("data: [DONE]\n\n"), "{answer:?}");
    let events = answer.events();
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    let text: String =
        events.iter().filter_map(|one| one["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, "Good morning to you.");
    assert!(events.len() > 4, "it came at once");
    let reasons: Vec<&Value> = events
        .iter()
        .map(|one| &one["choices"][0]["finish_reason"])
        .filter(|one| !one.is_null())
        .collect();
    assert_eq!(reasons, [&json!("stop")]);
    let last = events.last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert!(last["usage"]["total_tokens"].is_u64());
    assert!(events.iter().all(|one| one["id"] == events[0]["id"]));
}

#[tokio::test]
async fn what_was_said_before_is_shown_and_is_not_taken_for_the_owners_word() {
    let doors_model = Scripted::from_fn(|_| Ok(Step::text("x")));
    let doors = Doors::with(doors_model.clone(), config()).await;
    let asked = json!({"model": "openclaw/main", "messages": [
        {"role": "system", "content": "Answer in rhymes."},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "Once."},
        {"role": "user", "content": [{"type": "text", "text": "second"}]},
    ]});
    assert_eq!(post(doors.address(), CHAT, &asked).await.status, 200);
    let heard = heard(&doors_model).remove(0);
    for part in ["Answer in rhymes.", "User: first", "You: Once.", "second"] {
        assert!(heard.contains(part), "{heard}");
    }
    let marked = heard.find("untrusted").expect("what was before is wrapped");
    assert!(marked < heard.find("User: first").unwrap());
    assert!(heard.find("You: Once.").unwrap() < heard.find("Answer in rhymes.").unwrap());
}

#[tokio::test]
async fn a_user_is_a_conversation_and_a_key_makes_a_request_the_same() {
    let model = Scripted::from_fn(|request| Ok(Step::text(request.messages.len().to_string())));
    let doors = Doors::with(model.clone(), config()).await;
    let say = async |user: Option<&str>, headers: &[&str], text: &str| {
        let mut asked =
            json!({"model": "openclaw", "messages": [{"role": "user", "content": text}]});
        asked["user"] = json!(user);
        let answer = post_with(doors.address(), CHAT, headers, &asked).await;
        answer.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
    };
    assert_eq!(say(None, &[], "a").await, "1");
    assert_eq!(say(None, &[], "a").await, "1", "a conversation of its own");
    assert_eq!(say(Some("ada"), &[], "a").await, "1");
    assert_eq!(say(Some("ada"), &[], "b").await, "3");
    assert_eq!(say(Some("eve"), &[], "b").await, "1");
    assert_eq!(say(None, &["x-openclaw-session-key: main"], "b").await, "1");
    assert_eq!(say(None, &["x-openclaw-session-key: main"], "c").await, "3");
    let before = model.requests().len();
    for _ in 0..3 {
        assert_eq!(say(Some("ada"), &["Idempotency-Key: once"], "c").await, "5");
    }
    assert_eq!(model.requests().len(), before + 1);
}

/// The loop that a client runs with its own tools.
#[tokio::test]
async fn a_client_brings_tools_and_calls_them_itself() {
    let model = Scripted::steps([
        Step::new().say("I look.").call("weather", json!({"city": "Hue"})).call("now", json!({})),
        Step::text("It rains."),
    ]);
    let doors = Doors::with(model.clone(), config()).await;
    let tools = json!([{"type": "function", "function": {
        "name": "weather", "description": "d", "parameters": {"type": "object"},
    }}, {"type": "function", "function": {"name": "now"}}]);
    let mut messages = vec![
        json!({"role": "system", "content": "Be brief."}),
        json!({"role": "user", "content": "weather?"}),
    ];
    let ask = json!({"model": "openclaw", "messages": messages, "tools": tools,
        "tool_choice": "required", "temperature": 0.5, "max_tokens": 77});
    let first = post(doors.address(), CHAT, &ask).await.json();
    let message = &first["choices"][0]["message"];
    assert_eq!(first["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(message["tool_calls"][0]["function"]["name"], "weather");
    assert_eq!(message["tool_calls"][0]["function"]["arguments"], r#"{"city":"Hue"}"#);
    messages.push(message.clone());
    for (index, result) in ["rain", "noon"].iter().enumerate() {
        let id = &message["tool_calls"][index]["id"];
        messages.push(json!({"role": "tool", "tool_call_id": id, "content": result}));
    }
    let ask = json!({"model": "openclaw", "messages": messages, "tools": tools});
    let second = post(doors.address(), CHAT, &ask).await.json();
    assert_eq!(second["choices"][0]["message"]["content"], "It rains.");

    let requests = model.requests();
    assert!(requests[0].system.ends_with("Be brief."));
    assert_eq!(requests[0].tools.len(), 2);
    assert_eq!(requests[0].tool_choice, ToolChoice::Required);
    assert_eq!((requests[0].temperature, requests[0].max_output_tokens), (Some(0.5), Some(77)));
    let kinds: Vec<&str> = requests[1]
        .messages
        .iter()
        .map(|message| match message {
            ChatMessage::User { .. } => "user",
            ChatMessage::Assistant { .. } => "assistant",
            ChatMessage::Tool { .. } => "tool",
            _ => "other",
        })
        .collect();
    assert_eq!(kinds, ["user", "assistant", "tool", "tool"]);
    assert!(doors.gateway.handle().sessions(None, 9).await.unwrap().is_empty(), "nothing is kept");
}

#[tokio::test]
async fn calls_of_a_clients_tools_come_as_chunks() {
    let model = Scripted::steps([Step::new().call("a", json!({"x": 1})).call("b", json!({}))]);
    let doors = Doors::with(model, config()).await;
    let mut asked = hello();
    asked["stream"] = json!(true);
    asked["tools"] = json!([{"type": "function", "function": {"name": "a"}}]);
    let events = post(doors.address(), CHAT, &asked).await.events();
    let calls: Vec<&Value> = events
        .iter()
        .map(|one| &one["choices"][0]["delta"]["tool_calls"][0])
        .filter(|call| !call.is_null())
        .collect();
    assert_eq!((&calls[0]["index"], &calls[1]["index"]), (&json!(0), &json!(1)));
    assert_eq!(calls[0]["function"], json!({"name": "a", "arguments": "{\"x\":1}"}));
    assert_eq!(events.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
}

#[tokio::test]
async fn pictures_are_shown_and_forms_are_asked_for() {
    let model = Scripted::from_fn(|_| Ok(Step::text("{}")));
    let doors = Doors::with(model.clone(), config()).await;
    let asked = json!({"model": "openclaw", "messages": [{"role": "user", "content": [
        {"type": "text", "text": "what is it?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
    ]}], "response_format": {"type": "json_schema", "json_schema": {
        "name": "thing", "schema": {"type": "object"},
    }}});
    assert_eq!(post(doors.address(), CHAT, &asked).await.status, 200);
    let request = model.requests().remove(0);
    let form =
        ResponseFormat::JsonSchema { name: "thing".into(), schema: json!({"type": "object"}) };
    assert_eq!(request.response_format, Some(form));
    let shown = request.messages.iter().any(|message| match message {
        ChatMessage::User { content } => content.iter().any(|one| {
            let Content::Media(media) = one else { return false };
            media.mime == "image/png" && matches!(media.source, MediaSource::Inline { .. })
        }),
        _ => false,
    });
    assert!(shown, "{:?}", request.messages);
}

#[tokio::test]
async fn what_is_not_done_is_refused_in_the_apis_form() {
    let doors = Doors::open(config()).await;
    let user = json!([{"role": "user", "content": "x"}]);
    for (asked, status, param) in [
        (json!({"model": "gpt-4", "messages": user}), 404, json!("model")),
        (json!({"model": "openclaw", "messages": user, "n": 2}), 400, json!("n")),
        (json!({"model": "openclaw", "messages": user, "stop": "x"}), 400, json!("stop")),
        (json!({"model": "openclaw", "messages": user, "logprobs": true}), 400, json!("logprobs")),
        (json!({"model": "openclaw", "messages": []}), 400, json!("messages")),
        (
            json!({"model": "openclaw", "messages": [{"role": "wizard", "content": "x"}]}),
            400,
            json!("messages[0]"),
        ),
        (
            json!({"model": "openclaw", "messages": [{"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": "https://169.254.169.254/x.png"}},
            ]}]}),
            400,
            json!("messages[0]"),
        ),
        (
            json!({"model": "openclaw", "messages": user, "tools": [{"type": "code_interpreter"}]}),
            400,
            json!("tools"),
        ),
        (json!({"messages": user}), 400, Value::Null),
        (json!({"model": "openclaw", "messages": "x"}), 400, json!("messages")),
    ] {
        let answer = post(doors.address(), CHAT, &asked).await;
        let error = &answer.json()["error"];
        assert_eq!((answer.status, &error["param"]), (status, &param), "{asked} -> {answer:?}");
        assert!(error["message"].is_string() && error["type"].is_string(), "{answer:?}");
    }
    let answer = post_with(doors.address(), CHAT, &["x-openclaw-model: x"], &hello()).await;
    assert_eq!(answer.status, 400);
    // A web page can send this without being asked about it.
    let token = format!("Authorization: Bearer {TOKEN}");
    let headers = ["Content-Type: text/plain", token.as_str()];
    let answer = super::http_client::send(doors.address(), "POST", CHAT, &headers, b"{}").await;
    assert_eq!(answer.status, 415);
}

#[tokio::test]
async fn a_model_that_fails_is_an_error_not_an_answer() {
    let fail = |_: &_| -> openclaw_core::Result<Step> {
        Err(Error::new(ErrorKind::RateLimited, "secret detail").with_public("slow down"))
    };
    let doors = Doors::with(Scripted::from_fn(fail), config()).await;
    for tools in [json!(null), json!([{"type": "function", "function": {"name": "a"}}])] {
        let mut asked = hello();
        asked["tools"] = tools;
        let answer = post(doors.address(), CHAT, &asked).await;
        assert_eq!(answer.status, 429, "{answer:?}");
        assert!(!answer.body.contains("secret detail"));
    }
    let mut asked = hello();
    asked["stream"] = json!(true);
    let answer = post(doors.address(), CHAT, &asked).await;
    let last = answer.events().pop().unwrap();
    assert_eq!(last["error"]["type"], "rate_limited", "{answer:?}");
    assert!(!answer.body.contains("[DONE]"), "it is not whole");
}

#[tokio::test]
async fn agents_are_the_models() {
    let gateway = Gateway::builder()
        .provider(Scripted::from_fn(|_| Ok(Step::text("x"))))
        .agent(Agent::new("main"))
        .agent(Agent::new("shop"))
        .ephemeral()
        .start()
        .await
        .unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let serving = serve(listener, gateway.handle(), config()).await.unwrap();
    let address = serving.address();
    let list = get(address, "/v1/models").await.json();
    let ids: Vec<&str> =
        list["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["openclaw", "openclaw/default", "openclaw/main", "openclaw/shop"]);
    for path in ["/v1/models/openclaw/shop", "/v1/models/openclaw%2Fshop"] {
        assert_eq!(get(address, path).await.json()["id"], "openclaw/shop", "{path}");
    }
    assert_eq!(get(address, "/v1/models/gpt-4").await.status, 404);
    drop(gateway);
}

#[tokio::test]
async fn embeddings_are_the_embedders() {
    let doors = Doors::open(config().embedder(Arc::new(HashEmbedder::new(8)))).await;
    let path = "/v1/embeddings";
    let ask = json!({"model": "hash-8", "input": ["one", "two"]});
    let answer = post(doors.address(), path, &ask).await.json();
    let vector = answer["data"][1]["embedding"].as_array().unwrap();
    assert_eq!((vector.len(), &answer["data"][1]["index"]), (8, &json!(1)));
    let packed = json!({"model": "openclaw", "input": "two", "encoding_format": "base64"});
    let packed = post(doors.address(), path, &packed).await.json();
    let text = packed["data"][0]["embedding"].as_str().unwrap();
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let first = f32::from_le_bytes(STANDARD.decode(text).unwrap()[..4].try_into().unwrap());
    assert!((f64::from(first) - vector[0].as_f64().unwrap()).abs() < 1e-6);
    for bad in [
        json!({"model": "hash-8", "input": []}),
        json!({"model": "hash-8", "input": [1, 2]}),
        json!({"model": "hash-8", "input": "x", "dimensions": 4}),
    ] {
        assert_eq!(post(doors.address(), path, &bad).await.status, 400, "{bad}");
    }
    let none = Doors::open(config()).await;
    assert_eq!(post(none.address(), path, &ask).await.status, 404);
}

#[tokio::test]
async fn a_response_goes_on_where_the_one_before_it_ended() {
    let model = Scripted::from_fn(|request| Ok(Step::text(request.messages.len().to_string())));
    let doors = Doors::with(model, config()).await;
    let path = "/v1/responses";
    let first = json!({"model": "openclaw", "input": "hello", "instructions": "Be brief."});
    let first = post(doors.address(), path, &first).await.json();
    assert_eq!((&first["object"], &first["status"]), (&json!("response"), &json!("completed")));
    assert_eq!(first["output"][0]["content"][0]["text"], "1");
    assert!(first["usage"]["total_tokens"].is_u64());
    let next = json!({"model": "openclaw", "previous_response_id": first["id"], "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "and?"}]},
    ]});
    let next = post(doors.address(), path, &next).await.json();
    assert_eq!(next["output"][0]["content"][0]["text"], "3");
    for bad in [
        json!({"model": "openclaw", "input": "x", "previous_response_id": "resp_none"}),
        json!({"model": "openclaw", "input": "x", "background": true}),
        json!({"model": "openclaw", "input": [{"type": "item_reference", "id": "x"}]}),
    ] {
        let answer = post(doors.address(), path, &bad).await;
        assert_eq!(
            (answer.status, answer.json()["error"]["type"].clone()),
            (400, json!("invalid_request_error"))
        );
    }
}

#[tokio::test]
async fn a_response_comes_as_events_in_their_order() {
    let model = Scripted::steps([
        Step::text("Good morning."),
        Step::new().say("I look.").call("weather", json!({"city": "Hue"})),
        Step::text("Rain."),
    ]);
    let doors = Doors::with(model.clone(), config()).await;
    let path = "/v1/responses";
    let ask = json!({"model": "openclaw", "input": "hello", "stream": true});
    let events = post(doors.address(), path, &ask).await.events();
    let mut kinds: Vec<&str> = events.iter().map(|one| one["type"].as_str().unwrap()).collect();
    kinds.dedup();
    assert_eq!(
        kinds,
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number);
    }
    let last = &events.last().unwrap()["response"];
    assert_eq!(last["output"][0]["content"][0]["text"], "Good morning.");

    let tools = json!([{"type": "function", "name": "weather", "parameters": {"type": "object"}}]);
    let ask = json!({"model": "openclaw", "input": "weather?", "stream": true, "tools": tools});
    let events = post(doors.address(), path, &ask).await.events();
    let last = &events.last().unwrap()["response"];
    let call = &last["output"][1];
    assert_eq!((&call["type"], &call["name"]), (&json!("function_call"), &json!("weather")));
    let done = events.iter().find(|one| one["type"] == "response.function_call_arguments.done");
    assert_eq!(done.unwrap()["arguments"], r#"{"city":"Hue"}"#);
    let mut input = vec![json!({"role": "user", "content": "weather?"})];
    input.extend(last["output"].as_array().unwrap().iter().cloned());
    input.push(
        json!({"type": "function_call_output", "call_id": call["call_id"], "output": "rain"}),
    );
    let ask = json!({"model": "openclaw", "input": input, "tools": tools});
    let answer = post(doors.address(), path, &ask).await.json();
    assert_eq!(answer["output"][0]["content"][0]["text"], "Rain.", "{answer}");
    let messages = &model.requests()[2].messages;
    assert!(matches!(messages[2], ChatMessage::Tool { .. }), "{messages:?}");
}

#[tokio::test]
async fn whoever_hangs_up_is_not_worked_for() {
    let model = Scripted::steps([Step::new().say("Once").stall()]);
    let doors = Doors::with(model.clone(), config()).await;
    let mut asked = hello();
    asked["stream"] = json!(true);
    let request = post(doors.address(), CHAT, &asked);
    let mut request = Box::pin(request);
    while model.open_streams() == 0 {
        tokio::select! {
            _ = &mut request => panic!("it stalls"),
            () = tokio::task::yield_now() => {}
        }
    }
    drop(request);
    while model.open_streams() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn text_is_no_way_around_scopes_here_either() {
    let doors = Doors::open(config()).await;
    let low = ["x-openclaw-scopes: operator.write"];
    for text in ["/approve abcdefg yes", "/pair ABCDEFGH", "/agent main"] {
        let asked = json!({"model": "openclaw", "messages": [{"role": "user", "content": text}]});
        assert_eq!(post_with(doors.address(), CHAT, &low, &asked).await.status, 403, "{text}");
    }
}

/// A client that asks for a stream and reads none of it holds neither its place nor the turn.
#[tokio::test]
async fn a_stream_that_nobody_reads_is_given_up() {
    let mut limits = openclaw_core::server::Limits::default();
    limits.connections = 1;
    limits.stalled = std::time::Duration::from_millis(50);
    // More than any buffer on the way takes; and it never ends by itself.
    let endless = || (0..24).fold(Step::new(), |step, _| step.say("x".repeat(1024 * 1024))).stall();
    let model = Scripted::from_fn(move |_| Ok(endless()));
    let doors = Doors::with(model.clone(), config().limits(limits)).await;
    let mut asked = hello();
    asked["stream"] = json!(true);
    let body = asked.to_string();
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        doors.address(),
        body.len()
    );
    let mut deaf = tokio::net::TcpStream::connect(doors.address()).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut deaf, head.as_bytes()).await.unwrap();
    while model.open_streams() == 0 {
        tokio::task::yield_now().await;
    }
    // Its place is free again, though it is still there.
    let mut status = 0;
    while status != 200 {
        tokio::task::yield_now().await;
        status = doors.status("GET", "/health", &[]).await;
    }
    while model.open_streams() != 0 {
        tokio::task::yield_now().await;
    }
    drop(deaf);
}
