//! What OpenClaw's own gateway and its clients said to one another, said to ours.

use std::collections::BTreeMap;

use openclaw_core::{
    server::ServerConfig,
    testing::{Scripted, Step},
};
use serde_json::{Map, Value, json};

use super::kit::{Doors, TOKEN};

/// What the recorded frames have and ours do not: where our product has nothing to say. Each is the
/// beginning of a place.
const WITHOUT: &[(&str, &[&str])] = &[
    ("event connect.challenge", &[]),
    (
        "answer connect",
        &[
            "/payload/server/buildId",
            "/payload/auth/method",
            "/payload/auth/recoveryScope",
            "/payload/pluginSurfaceUrls",
            "/payload/policy/allowedSessionVisibilities",
            "/payload/policy/attachments",
            "/payload/policy/hasMultipleSessionSharingIdentities",
            "/payload/snapshot/health/",
            "/payload/snapshot/presence/[]/",
            "/payload/snapshot/appliedConfigHash",
            "/payload/snapshot/authMode",
            "/payload/snapshot/configPath",
            "/payload/snapshot/sessionDefaults",
            "/payload/snapshot/stateDir",
            "/payload/snapshot/updateSchedule",
        ],
    ),
    (
        "answer health",
        &[
            "/payload/configReload",
            "/payload/channels",
            "/payload/channelLabels",
            "/payload/sessions",
            "/payload/modelRuntime",
            "/payload/eventLoop",
        ],
    ),
    ("answer models.list", &[]),
    ("refusal connect", &["/error/details/authReason", "/error/details/canRetryWithDeviceToken"]),
    ("refusal no.such", &[]),
    ("answer agent accepted", &[]),
    ("event agent lifecycle start", &["/payload/sessionId"]),
    ("event agent assistant", &["/payload/data/itemId"]),
    ("event agent usage", &[]),
    (
        "event agent lifecycle end",
        &[
            "/payload/sessionId",
            "/payload/data/livenessState",
            "/payload/data/executionSettled",
            "/payload/data/terminalReply",
        ],
    ),
    ("event chat delta", &[]),
    ("event chat final", &[]),
    ("answer agent", &["/payload/result/meta/", "/payload/result/sourceReplyDeliveryState"]),
];

/// Places and the kinds of what is there.
fn shape(value: &Value, place: &str, found: &mut BTreeMap<String, &'static str>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(list) => {
            list.iter().for_each(|one| shape(one, &format!("{place}/[]"), found));
            "array"
        }
        Value::Object(map) => {
            map.iter().for_each(|(name, one)| shape(one, &format!("{place}/{name}"), found));
            "object"
        }
    };
    found.insert(if place.is_empty() { "/".to_owned() } else { place.to_owned() }, kind);
}

/// The name of a frame among the recorded ones, if it is an event.
fn name(frame: &Value) -> Option<String> {
    let payload = &frame["payload"];
    Some(match frame["event"].as_str()? {
        "agent" => match payload["stream"].as_str()? {
            "lifecycle" => {
                format!("event agent lifecycle {}", payload["data"]["phase"].as_str()?)
            }
            stream => format!("event agent {stream}"),
        },
        "chat" => format!("event chat {}", payload["state"].as_str()?),
        other => format!("event {other}"),
    })
}

/// What ours said, by the names of the recorded frames.
async fn said() -> BTreeMap<String, Value> {
    let doors =
        Doors::with(Scripted::from_fn(|_| Ok(Step::text("Hi there."))), ServerConfig::token(TOKEN))
            .await;
    let mut said = BTreeMap::new();
    let mut wrong = doors.socket().await;
    said.insert("event connect.challenge".to_owned(), wrong.challenge.clone());
    let refused = wrong.connect(json!({ "token": "wrong" }), &["operator.read"]).await;
    said.insert("refusal connect".to_owned(), refused);

    let mut client = doors.socket().await;
    // As the recorded command line says it.
    let hello = json!({
        "minProtocol": 4, "maxProtocol": 4,
        "client": {"id": "cli", "version": "2026.9.6", "platform": "linux", "deviceFamily": "Linux",
            "mode": "cli", "instanceId": "9a9105ce-a5a6-4ffe-a8d3-8701525ec220"},
        "caps": [], "auth": {"token": TOKEN}, "role": "operator",
        "scopes": ["operator.read", "operator.write"],
    });
    said.insert("answer connect".to_owned(), client.request("connect", hello).await);
    for method in ["health", "models.list"] {
        said.insert(format!("answer {method}"), client.request(method, json!({})).await);
    }
    said.insert("refusal no.such".to_owned(), client.request("no.such", json!({})).await);
    let id = client.begin("agent", json!({"message": "hello", "idempotencyKey": "r-1"})).await;
    loop {
        let frame = client.frame().await.unwrap();
        if let Some(name) = name(&frame) {
            said.entry(name).or_insert(frame);
            continue;
        }
        assert_eq!(frame["id"], id);
        if frame["payload"]["status"] == "accepted" {
            said.insert("answer agent accepted".to_owned(), frame);
            continue;
        }
        said.insert("answer agent".to_owned(), frame);
        return said;
    }
}

#[tokio::test]
async fn what_is_answered_has_the_recorded_shapes() {
    let recorded: Value = serde_json::from_str(include_str!("recorded.json")).unwrap();
    let recorded: &Map<String, Value> = recorded["frames"].as_object().unwrap();
    let said = said().await;
    for (name, without) in WITHOUT {
        let theirs = recorded[*name].as_object().unwrap();
        let frame = said.get(*name).unwrap_or_else(|| panic!("{name} was not said"));
        let mut ours = BTreeMap::new();
        shape(frame, "", &mut ours);
        for (place, kinds) in theirs {
            let kinds = kinds.as_str().unwrap();
            match ours.get(place) {
                Some(kind) => assert!(
                    kinds.split('|').any(|one| one == *kind),
                    "{name}: {place} is a {kind}, recorded as {kinds}: {frame}"
                ),
                None => assert!(
                    without.iter().any(|start| place.starts_with(start)),
                    "{name}: nothing at {place}: {frame}"
                ),
            }
        }
        for start in *without {
            let missing = |place: &String| place.starts_with(start) && !ours.contains_key(place);
            assert!(theirs.keys().any(missing), "{name}: {start} need not be excused");
        }
    }
}
