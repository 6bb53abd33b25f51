//! Spans on their way to a collector.

use std::{collections::BTreeMap, sync::Arc};

use openclaw_core::{
    Error, ErrorKind, Gateway, Handle,
    access::Principal,
    agent::Agent,
    bytes::Bytes,
    http::Request,
    layer::TraceLayer,
    plugin::TelemetryEntry,
    provider::Usage,
    secret::SecretRef,
    telemetry::Telemetry,
    testing::{
        Scripted,
        fake_service::{Answer, FakeService, Fault, LoopbackClient, answer},
        scripted::Step,
    },
    tool::{ToolSpec, tool_fn},
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value::Value as Any,
    trace::v1::Span,
};
use prost::Message as _;
use serde_json::json;
use tracing_subscriber::layer::SubscriberExt as _;

async fn collector() -> FakeService {
    FakeService::start(|_: Request<Bytes>| async {
        let answered: Answer = answer(200, "application/x-protobuf", "");
        answered
    })
    .await
    .unwrap()
}

/// Sets a subscriber for this thread, which all tasks of the test run on.
fn sending(entry: &TelemetryEntry) -> (Telemetry, tracing::subscriber::DefaultGuard) {
    let telemetry = Telemetry::start(entry, Arc::new(LoopbackClient::new())).unwrap();
    let subscriber = tracing_subscriber::registry().with(telemetry.layer());
    (telemetry, tracing::subscriber::set_default(subscriber))
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Looked {
    what: String,
}

async fn gateway(script: Scripted) -> Gateway {
    let look = tool_fn(ToolSpec::read_only("look", "Looks"), async |_, input: Looked| {
        tracing::error!("logged-canary {}", input.what);
        Ok(format!("result-canary of {}", input.what))
    });
    Gateway::builder()
        .provider(script.with_id("acme"))
        .agent(Agent::new("main").model("small").persona("persona-canary"))
        .tool(look)
        .layer_providers(TraceLayer)
        .layer_tools(TraceLayer)
        .ephemeral()
        .start()
        .await
        .unwrap()
}

async fn ask(handle: &Handle, text: &str) {
    handle.ask("ada-canary", text).principal(Principal::Owner).reply().await.unwrap();
}

type Attributes = BTreeMap<String, String>;

fn attributes(span: &Span) -> Attributes {
    let text = |value: &Any| match value {
        Any::StringValue(text) => text.clone(),
        Any::IntValue(number) => number.to_string(),
        Any::BoolValue(yes) => yes.to_string(),
        other => format!("{other:?}"),
    };
    let value = |one: &opentelemetry_proto::tonic::common::v1::KeyValue| {
        (one.key.clone(), text(one.value.as_ref().unwrap().value.as_ref().unwrap()))
    };
    span.attributes.iter().map(value).collect()
}

/// All that was sent: the spans, the service's name, and the bytes.
fn sent(collector: &FakeService) -> (Vec<Span>, Vec<u8>) {
    let (mut spans, mut bytes) = (Vec::new(), Vec::new());
    for request in collector.received() {
        assert_eq!(request.name, "/v1/traces");
        assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
        bytes.extend_from_slice(&request.body);
        let request = ExportTraceServiceRequest::decode(request.body.as_ref()).unwrap();
        for resource in request.resource_spans {
            let name = &resource.resource.as_ref().unwrap().attributes[0];
            assert_eq!(name.key, "service.name");
            spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
    }
    (spans, bytes)
}

fn expected(expected: &[(&str, &str)]) -> Attributes {
    expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn a_turn_and_what_it_did_are_told_without_their_content() {
    let collector = collector().await;
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), "key-of-the-collector").unwrap();
    let entry = TelemetryEntry::new(format!("{}/v1/traces", collector.url()))
        .header("x-key", SecretRef::File(key.path().to_owned()))
        .service("shop");
    let (telemetry, guard) = sending(&entry);
    let leaky = Error::new(ErrorKind::Unavailable, "error-canary").with_public("public-canary");
    let gateway = gateway(Scripted::steps([
        Step::text("thought-canary")
            .call("look", json!({ "what": "argument-canary" }))
            .usage(Usage::new(100, 10)),
        Step::text("reply-canary").usage(Usage::new(200, 20)),
        Step::error(leaky),
    ]))
    .await;
    ask(&gateway.handle(), "question-canary").await;
    ask(&gateway.handle(), "another-canary").await;
    gateway.shutdown().await.unwrap();
    drop(guard);
    telemetry.stop().await;

    let (spans, bytes) = sent(&collector);
    assert!(
        collector.received().iter().all(|one| one.header("x-key") == Some("key-of-the-collector"))
    );
    let named =
        |name: &str| -> Vec<&Span> { spans.iter().filter(|one| one.name == name).collect() };
    let (turns, chats, calls) =
        (named("invoke_agent main"), named("chat small"), named("execute_tool look"));
    assert_eq!((turns.len(), chats.len(), calls.len(), spans.len()), (2, 3, 1, 6));
    let (first, second) = (turns[0], turns[1]);
    assert!(first.parent_span_id.is_empty() && second.parent_span_id.is_empty());
    assert_ne!(first.trace_id, second.trace_id);
    for (child, parent) in
        [(chats[0], first), (calls[0], first), (chats[1], first), (chats[2], second)]
    {
        assert_eq!(child.parent_span_id, parent.span_id, "{}", child.name);
        assert_eq!(child.trace_id, parent.trace_id);
    }

    let mut turn = attributes(first);
    assert!(turn.remove("gen_ai.conversation.id").is_some_and(|id| !id.is_empty()));
    let of_turn = expected(&[
        ("gen_ai.operation.name", "invoke_agent"),
        ("gen_ai.agent.name", "main"),
        ("gen_ai.provider.name", "acme"),
        ("gen_ai.request.model", "small"),
        ("gen_ai.usage.input_tokens", "300"),
        ("gen_ai.usage.cache_read.input_tokens", "0"),
        ("gen_ai.usage.output_tokens", "30"),
    ]);
    assert_eq!(turn, of_turn);
    let chat = attributes(chats[0]);
    for (name, value) in [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.request.model", "small"),
        ("gen_ai.response.finish_reasons", "tool_calls"),
        ("gen_ai.usage.input_tokens", "100"),
    ] {
        assert_eq!(chat.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert_eq!(attributes(calls[0])["gen_ai.tool.name"], "look");
    assert_eq!(attributes(second)["error.type"], "model_failed");
    assert_eq!(attributes(chats[2])["error.type"], "unavailable");

    // Not a word of what was said, done, logged or shown, nor who asked.
    let told = String::from_utf8_lossy(&bytes);
    assert!(!told.contains("canary"), "{told}");
    assert!(!told.contains("key-of-the-collector"));
    assert!(spans.iter().all(|span| span.events.is_empty()));
}

#[tokio::test]
async fn a_collector_that_is_away_holds_up_nothing() {
    let collector = collector().await;
    collector.faults().always("/v1/traces", Fault::Drop);
    let entry = TelemetryEntry::new(format!("{}/v1/traces", collector.url()));
    let (telemetry, guard) = sending(&entry);
    let gateway = gateway(Scripted::replies(["Yes."])).await;
    ask(&gateway.handle(), "Are you there?").await;
    gateway.shutdown().await.unwrap();
    drop(guard);
    telemetry.stop().await;
}
