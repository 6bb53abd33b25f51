//! Every method and event that we have, against the published schema of the protocol.

use std::{collections::HashMap, sync::LazyLock};

use jsonschema::Validator;
use openclaw_core::server::{ServerConfig, methods};
use serde_json::{Value, json};

use super::kit::{Doors, TOKEN};

/// A method: the definitions of its parameters and its result, where the schema has one, and
/// parameters that are right.
struct Of {
    method: &'static str,
    params: Option<&'static str>,
    result: Option<&'static str>,
    right: fn() -> Value,
}

macro_rules! of {
    ($method:literal, $params:expr, $result:expr, $right:tt) => {
        Of { method: $method, params: $params, result: $result, right: || json!($right) }
    };
}

/// Where the schema has no definition of a result, the recorded exchanges say its shape.
const METHODS: &[Of] = &[
    of!("agent", Some("AgentParams"), None, {"message": "hi", "idempotencyKey": "k1"}),
    of!("agent.identity.get", Some("AgentIdentityParams"), Some("AgentIdentityResult"), {}),
    of!("agent.wait", Some("AgentWaitParams"), None, {"runId": "k0", "timeoutMs": 60000}),
    of!("agents.list", Some("AgentsListParams"), Some("AgentsListResult"), {}),
    of!("approval.get", Some("ApprovalGetParams"), Some("ApprovalGetResult"), {"id": "abcdefg"}),
    of!("approval.resolve", Some("ApprovalResolveParams"), Some("ApprovalResolveResult"),
        {"id": "abcdefg", "kind": "exec", "decision": "deny"}),
    of!("channels.pairing.approve", Some("ChannelsPairingApproveParams"),
        Some("ChannelsPairingApproveResult"),
        {"channel": "loopback", "accountId": "default", "requestId": "x"}),
    of!(
        "channels.pairing.list",
        Some("ChannelsPairingListParams"),
        Some("ChannelsPairingListResult"),
        {}
    ),
    of!("channels.start", Some("ChannelsStartParams"), None, {"channel": "loopback"}),
    of!("channels.status", Some("ChannelsStatusParams"), Some("ChannelsStatusResult"), {}),
    of!("channels.stop", Some("ChannelsStopParams"), None, {"channel": "loopback"}),
    of!("chat.abort", Some("ChatAbortParams"), None, {"sessionKey": "main"}),
    of!("chat.history", Some("ChatHistoryParams"), None, {"sessionKey": "main", "limit": 10}),
    of!("chat.inject", Some("ChatInjectParams"), None, {"sessionKey": "main", "message": "x"}),
    of!("chat.metadata", Some("ChatMetadataParams"), None, {}),
    of!("chat.send", Some("ChatSendParams"), None,
        {"sessionKey": "main", "message": "hi", "idempotencyKey": "k2"}),
    // Clients send what they send for the history.
    of!("chat.startup", Some("ChatHistoryParams"), None, {"sessionKey": "main", "limit": 10}),
    of!("commands.list", Some("CommandsListParams"), Some("CommandsListResult"), {}),
    of!("config.get", Some("ConfigGetParams"), None, {}),
    of!("config.schema", Some("ConfigSchemaParams"), Some("ConfigSchemaResponse"), {}),
    of!("device.pair.approve", Some("DevicePairApproveParams"), None, {"requestId": "x"}),
    of!("device.pair.list", Some("DevicePairListParams"), None, {}),
    of!("device.pair.reject", Some("DevicePairRejectParams"), None, {"requestId": "x"}),
    of!("device.pair.remove", Some("DevicePairRemoveParams"), None, {"deviceId": DEVICE}),
    of!("device.pair.rename", Some("DevicePairRenameParams"), None, {"deviceId": DEVICE, "label": "x"}),
    of!("device.token.revoke", Some("DeviceTokenRevokeParams"), None,
        {"deviceId": DEVICE, "role": "operator"}),
    of!("device.token.rotate", Some("DeviceTokenRotateParams"), Some("DeviceTokenRotateResult"),
        {"deviceId": DEVICE, "role": "operator"}),
    of!("exec.approval.get", Some("ExecApprovalGetParams"), None, {"id": "abcdefg"}),
    of!("exec.approval.list", None, None, {}),
    of!("exec.approval.resolve", Some("ExecApprovalResolveParams"), None,
        {"id": "abcdefg", "decision": "deny"}),
    of!("exec.approval.waitDecision", None, None, {"id": "abcdefg"}),
    of!("gateway.identity.get", None, None, {}),
    of!("health", None, None, {}),
    of!("logs.tail", Some("LogsTailParams"), Some("LogsTailResult"), {"limit": 10}),
    of!("message.action", Some("MessageActionParams"), None,
        {"channel": "loopback", "action": "react", "idempotencyKey": "k5",
         "params": {"to": "x", "messageId": "1", "emoji": "👍"}}),
    of!("models.list", Some("ModelsListParams"), Some("ModelsListResult"), {}),
    of!("node.describe", Some("NodeDescribeParams"), None, {"nodeId": "x"}),
    of!("node.list", Some("NodeListParams"), None, {}),
    of!("node.pair.approve", Some("NodePairApproveParams"), None, {"requestId": "x"}),
    of!("node.pair.list", Some("NodePairListParams"), None, {}),
    of!("node.pair.reject", Some("NodePairRejectParams"), None, {"requestId": "x"}),
    of!("node.pair.remove", Some("NodePairRemoveParams"), None, {"nodeId": "x"}),
    of!("send", Some("SendParams"), None, {"to": "x", "message": "hi", "idempotencyKey": "k3"}),
    of!("sessions.abort", Some("SessionsAbortParams"), None, {"key": "main"}),
    of!("sessions.compact", Some("SessionsCompactParams"), None, {"key": "other"}),
    of!("sessions.create", Some("SessionsCreateParams"), Some("SessionsCreateResult"), {}),
    of!("sessions.delete", Some("SessionsDeleteParams"), None, {"key": "other"}),
    of!("sessions.describe", Some("SessionsDescribeParams"), None, {"key": "main"}),
    of!("sessions.get", None, None, {"key": "main"}),
    of!("sessions.list", Some("SessionsListParams"), None, {"limit": 5}),
    of!("sessions.messages.subscribe", Some("SessionsMessagesSubscribeParams"), None, {"key": "main"}),
    of!("sessions.messages.unsubscribe", Some("SessionsMessagesUnsubscribeParams"), None, {"key": "main"}),
    of!("sessions.patch", Some("SessionsPatchParams"), None, {"key": "main", "label": "shop"}),
    of!("sessions.preview", Some("SessionsPreviewParams"), None, {"keys": ["main"]}),
    of!("sessions.reset", Some("SessionsResetParams"), None, {"key": "main"}),
    of!("sessions.resolve", Some("SessionsResolveParams"), Some("SessionsResolveResult"), {"key": "main"}),
    of!("sessions.send", Some("SessionsSendParams"), None,
        {"key": "main", "message": "hi", "idempotencyKey": "k4"}),
    of!("sessions.subscribe", None, None, {}),
    of!("sessions.usage", Some("SessionsUsageParams"), None, {"limit": 5}),
    of!("status", None, None, {}),
    of!("system-presence", None, None, {}),
    of!("tools.catalog", Some("ToolsCatalogParams"), Some("ToolsCatalogResult"), {}),
    of!("tools.effective", Some("ToolsEffectiveParams"), Some("ToolsEffectiveResult"),
        {"sessionKey": "main"}),
    of!("tools.invoke", Some("ToolsInvokeParams"), Some("ToolsInvokeResult"), {"name": "nothing"}),
    of!("usage.cost", None, None, {"days": 7}),
];

const DEVICE: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// An event, and the definition of its payload. Those without one are as recorded.
const EVENTS: &[(&str, Option<&str>)] = &[
    ("agent", Some("AgentEvent")),
    ("chat", Some("ChatEvent")),
    ("connect.challenge", None),
    ("device.pair.requested", Some("DevicePairRequestedEvent")),
    ("device.pair.resolved", Some("DevicePairResolvedEvent")),
    ("exec.approval.requested", None),
    ("exec.approval.resolved", None),
    ("presence", None),
    ("sessions.changed", None),
    ("shutdown", Some("ShutdownEvent")),
    ("tick", Some("TickEvent")),
];

/// The frames themselves, and what is inside of others.
const FRAMES: [&str; 6] =
    ["RequestFrame", "ResponseFrame", "EventFrame", "ConnectParams", "HelloOk", "PresenceEntry"];

static SCHEMA: LazyLock<HashMap<String, Validator>> = LazyLock::new(|| {
    let text = include_str!("protocol.schema.json");
    let mut whole: Value = serde_json::from_str(text).unwrap();
    without_surrogates(&mut whole);
    let definitions = whole["definitions"].as_object().unwrap();
    let compile = |(name, schema): (&String, &Value)| {
        (name.clone(), jsonschema::draft7::new(schema).unwrap())
    };
    definitions.iter().map(compile).collect()
});

/// Takes out patterns that speak of halves of characters: no text of ours can hold one.
fn without_surrogates(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.retain(|name, value| name != "pattern" || !value.to_string().contains("uD800"));
            map.values_mut().for_each(without_surrogates);
        }
        Value::Array(list) => list.iter_mut().for_each(without_surrogates),
        _ => {}
    }
}

/// Panics unless `value` is what the schema calls `name`.
pub(super) fn fits(name: &str, value: &Value) {
    let validator = SCHEMA.get(name).unwrap_or_else(|| panic!("no definition {name}"));
    let faults: Vec<String> = validator
        .iter_errors(value)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect();
    assert!(faults.is_empty(), "no {name}: {faults:?} in {value}");
}

fn is(name: &str, value: &Value) -> bool {
    SCHEMA[name].is_valid(value)
}

/// Panics unless what the gateway sent is a frame that fits, with what is inside of it.
pub(super) fn check_sent(frame: &Value) {
    match frame["type"].as_str() {
        Some("event") => {
            fits("EventFrame", frame);
            let name = frame["event"].as_str().unwrap();
            let of = EVENTS.iter().find(|(event, _)| *event == name);
            let (_, definition) = of.unwrap_or_else(|| panic!("the event {name} is in no table"));
            if let Some(definition) = definition {
                let mut payload = frame["payload"].clone();
                if name == "agent" {
                    // The schema knows nothing of them; the recorded exchanges have them, and clients
                    // tell sessions apart by them.
                    for recorded in ["sessionKey", "agentId"] {
                        let found = payload.as_object_mut().unwrap().remove(recorded);
                        assert!(found.is_some_and(|found| found.is_string()), "{recorded}");
                    }
                }
                fits(definition, &payload);
            }
        }
        Some("res") => {
            fits("ResponseFrame", frame);
            if frame["payload"]["type"] == "hello-ok" {
                fits("HelloOk", &frame["payload"]);
            }
        }
        other => panic!("the gateway sent a {other:?}"),
    }
}

#[test]
fn the_tables_hold_every_method_and_frame() {
    let ours: Vec<&str> = methods().iter().map(|method| method.name).collect();
    let table: Vec<&str> = METHODS.iter().map(|of| of.method).collect();
    assert_eq!(ours, table);
    assert!(FRAMES.iter().all(|name| SCHEMA.contains_key(*name)));
}

#[tokio::test]
async fn what_is_accepted_and_sent_fits_and_a_mutation_does_not() {
    let doors = Doors::open(ServerConfig::token(TOKEN)).await;
    let mut client = doors.client(&["operator.admin"]).await;
    // Something to tell of.
    let said = json!({"sessionKey": "main", "message": "hello", "idempotencyKey": "k0"});
    client.request("chat.send", said).await;
    for of in METHODS {
        let right = (of.right)();
        if let Some(params) = of.params {
            fits(params, &right);
            let mut wrong = right.clone();
            wrong["unheardOf"] = json!(1);
            assert!(!is(params, &wrong), "{}", of.method);
            let answer = client.request(of.method, wrong).await;
            assert_eq!(answer["error"]["code"], "INVALID_REQUEST", "{}: {answer}", of.method);
            for name in right.as_object().unwrap().keys() {
                let mut wrong = right.clone();
                wrong[name] = json!({ "not": ["this"] });
                if !is(params, &wrong) {
                    let answer = client.request(of.method, wrong).await;
                    assert_eq!(answer["ok"], false, "{} took a wrong {name}", of.method);
                }
                let mut without = right.clone();
                without.as_object_mut().unwrap().remove(name);
                if !is(params, &without) {
                    let answer = client.request(of.method, without).await;
                    assert_eq!(answer["ok"], false, "{} needs no {name}", of.method);
                }
            }
        }
        let answer = client.request(of.method, right).await;
        if let (Some(result), true) = (of.result, answer["ok"] == true) {
            fits(result, &answer["payload"]);
        }
    }
    let presence = client.request("system-presence", json!({})).await;
    presence["payload"].as_array().unwrap().iter().for_each(|one| fits("PresenceEntry", one));
}
