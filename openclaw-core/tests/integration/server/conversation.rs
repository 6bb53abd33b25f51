//! Talking to agents by the protocol.

use openclaw_core::{
    server::ServerConfig,
    testing::{Scripted, Step},
};
use serde_json::{Value, json};

use super::kit::{Client, Doors, TOKEN};

const SPEAK: &[&str] = &["operator.read", "operator.write"];

fn config() -> ServerConfig {
    ServerConfig::token(TOKEN)
}

/// All frames up to the second answer to `id`.
async fn until_done(client: &mut Client, id: &str) -> Vec<Value> {
    let mut frames = Vec::new();
    loop {
        let frame = client.frame().await.expect("a frame");
        let done =
            frame["type"] == "res" && frame["id"] == id && frame["payload"]["status"] != "accepted";
        frames.push(frame);
        if done {
            return frames;
        }
    }
}

/// The shape of the recorded turn: accepted, its events with rising numbers, the final answer.
#[tokio::test]
async fn an_agent_is_asked_in_two_phases_and_tells_its_turn_between() {
    let doors = Doors::with(Scripted::replies(["Hi there."]), config()).await;
    let mut client = doors.client(SPEAK).await;
    let id = client.begin("agent", json!({"message": "hello", "idempotencyKey": "run-1"})).await;
    let frames = until_done(&mut client, &id).await;
    let accepted = frames.iter().find(|frame| frame["payload"]["status"] == "accepted").unwrap();
    let accepted = &accepted["payload"];
    assert_eq!((&accepted["status"], &accepted["runId"]), (&json!("accepted"), &json!("run-1")));
    assert_eq!(accepted["sessionKey"], "agent:main:explicit:run-1");

    let events: Vec<&Value> = frames.iter().filter(|frame| frame["type"] == "event").collect();
    let numbers: Vec<u64> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert!(numbers.iter().zip(1..).all(|(found, expected)| *found == expected), "{numbers:?}");
    let of_runs = events.iter().filter(|event| event["event"] != "presence");
    assert!(of_runs.into_iter().all(|event| event["payload"]["runId"] == "run-1"));
    let of = |name: &'static str| events.iter().filter(move |event| event["event"] == name);
    let phases: Vec<&str> = of("agent")
        .filter(|event| event["payload"]["stream"] == "lifecycle")
        .map(|event| event["payload"]["data"]["phase"].as_str().unwrap())
        .collect();
    assert_eq!(phases, ["start", "end"]);
    let said: String =
        of("agent").filter_map(|event| event["payload"]["data"]["delta"].as_str()).collect();
    assert_eq!(said, "Hi there.");
    let last = of("chat").next_back().unwrap();
    assert_eq!(last["payload"]["state"], "final");
    assert_eq!(last["payload"]["message"]["content"][0]["text"], "Hi there.");

    let done = &frames.last().unwrap()["payload"];
    assert_eq!((&done["status"], &done["summary"]), (&json!("ok"), &json!("completed")));
    assert_eq!(done["result"]["payloads"], json!([{"text": "Hi there.", "mediaUrl": null}]));
}

#[tokio::test]
async fn the_same_key_is_the_same_run_also_by_another_socket() {
    let model = Scripted::replies(["One."]);
    let doors = Doors::with(model.clone(), config()).await;
    for _ in 0..3 {
        let mut client = doors.client(SPEAK).await;
        let said = json!({"message": "hello", "idempotencyKey": "once", "sessionKey": "main"});
        let id = client.begin("agent", said).await;
        let frames = until_done(&mut client, &id).await;
        let done = &frames.last().unwrap()["payload"];
        assert_eq!(done["result"]["payloads"][0]["text"], "One.");
    }
    assert_eq!(model.requests().len(), 1);
    let mut client = doors.client(SPEAK).await;
    let elsewhere = json!({"message": "x", "idempotencyKey": "once", "sessionKey": "other"});
    let refused = client.request("agent", elsewhere).await;
    assert_eq!(refused["error"]["code"], "INVALID_REQUEST");
}

#[tokio::test]
async fn what_was_said_is_in_the_history_and_the_list_until_it_is_deleted() {
    let doors = Doors::with(Scripted::replies(["One.", "Two."]), config()).await;
    let mut client = doors.client(&["operator.admin"]).await;
    for (key, said) in [("a", "first"), ("b", "second")] {
        let ack = json!({"sessionKey": "main", "message": said, "idempotencyKey": key});
        assert_eq!(client.request("chat.send", ack).await["payload"]["status"], "started");
        let wait = client.request("agent.wait", json!({ "runId": key })).await;
        assert_eq!(wait["payload"]["status"], "ok", "{wait}");
    }
    let history = client.request("chat.history", json!({ "sessionKey": "agent:main:main" })).await;
    let said: Vec<(&str, &str)> = history["payload"]["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["role"].as_str().unwrap(), one["content"][0]["text"].as_str().unwrap()))
        .collect();
    assert_eq!(
        said,
        [("user", "first"), ("assistant", "One."), ("user", "second"), ("assistant", "Two.")]
    );
    let last = json!({ "sessionKey": "main", "limit": 1 });
    let last = client.request("chat.history", last).await;
    assert_eq!(last["payload"]["messages"][0]["content"][0]["text"], "Two.");
    let list = client.request("sessions.list", json!({})).await;
    assert_eq!(list["payload"]["sessions"][0]["key"], "agent:main:main");
    let preview = client.request("sessions.preview", json!({ "keys": ["main", "nothing"] })).await;
    let previews = &preview["payload"]["previews"];
    assert_eq!((&previews[0]["status"], &previews[1]["status"]), (&json!("ok"), &json!("missing")));

    let deleted = client.request("sessions.delete", json!({ "key": "main" })).await;
    assert_eq!(deleted["payload"]["deleted"], true, "{deleted}");
    let history = client.request("chat.history", json!({ "sessionKey": "main" })).await;
    assert_eq!(history["payload"]["messages"], json!([]));
}

#[tokio::test]
async fn a_run_is_aborted() {
    let model = Scripted::steps([Step::new().say("Once upon").stall()]);
    let doors = Doors::with(model, config()).await;
    let mut client = doors.client(SPEAK).await;
    let said = json!({"sessionKey": "main", "message": "a tale", "idempotencyKey": "tale"});
    let id = client.begin("agent", said).await;
    loop {
        let event = client.event("chat").await;
        if event["payload"]["state"] == "delta" {
            break;
        }
    }
    let aborted = client.request("chat.abort", json!({ "sessionKey": "main" })).await;
    assert_eq!(aborted["payload"]["aborted"], true);
    assert_eq!(aborted["payload"]["runIds"], json!(["tale"]));
    let wait = client.request("agent.wait", json!({ "runId": "tale" })).await;
    assert_eq!(wait["payload"]["stopReason"], "aborted");
    let _ = id;
    let nothing = client.request("chat.abort", json!({ "sessionKey": "main" })).await;
    assert_eq!(nothing["payload"]["aborted"], false);
}

#[tokio::test]
async fn text_is_no_way_around_scopes() {
    let doors = Doors::open(config()).await;
    let mut client = doors.client(SPEAK).await;
    for (text, lacking) in [
        ("/approve abcdefg yes", "operator.approvals"),
        (" /Approve@x abcdefg", "operator.approvals"),
        ("/pair ABCDEFGH", "operator.pairing"),
        ("/agent main", "operator.admin"),
    ] {
        let said = json!({"sessionKey": "main", "message": text, "idempotencyKey": text});
        let refused = client.request("chat.send", said).await;
        assert_eq!(refused["error"]["details"]["missingScope"], lacking, "{text}");
    }
}

#[tokio::test]
async fn those_who_may_not_read_hear_nothing() {
    let doors = Doors::open(config()).await;
    let mut mute = doors.client(&["operator.pairing"]).await;
    let mut client = doors.client(SPEAK).await;
    let id = client.begin("agent", json!({"message": "secret", "idempotencyKey": "s"})).await;
    until_done(&mut client, &id).await;
    for method in ["chat.history", "sessions.list", "health", "agents.list"] {
        let id = mute.begin(method, json!({ "sessionKey": "main" })).await;
        let refused = mute.frame().await.unwrap();
        assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!(id), &json!("FORBIDDEN")));
    }
    doors.gateway.handle().drain();
    assert_eq!(mute.frame().await.unwrap()["event"], "shutdown");
}
