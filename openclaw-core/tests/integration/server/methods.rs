//! Methods beside conversations: notes, messages on channels, listening, the log, the configuration.

use openclaw_core::{
    Gateway,
    provider::ChatMessage,
    server::{LogTail, ServerConfig, Setup, serve},
    testing::{Loopback, Scripted, Step},
};
use serde_json::json;

use super::kit::{Doors, TOKEN};

const ADMIN: &[&str] = &["operator.admin"];

#[tokio::test]
async fn a_note_is_read_in_the_next_turn_and_begins_none() {
    let model = Scripted::from_fn(|_| Ok(Step::text("Good.")));
    let doors = Doors::with(model.clone(), ServerConfig::token(TOKEN)).await;
    let mut client = doors.client(ADMIN).await;
    let note = json!({"sessionKey": "main", "message": "The shop is closed.", "label": "shop"});
    assert_eq!(client.request("chat.inject", note).await["payload"]["ok"], true);
    let said = json!({"sessionKey": "main", "message": "Is it open?", "idempotencyKey": "k"});
    client.request("chat.send", said).await;
    client.request("agent.wait", json!({ "runId": "k" })).await;
    let requests = model.requests();
    assert_eq!(requests.len(), 1);
    let texts: Vec<String> =
        requests[0].messages.iter().map(|message: &ChatMessage| format!("{message:?}")).collect();
    assert!(texts[0].contains("[shop]") && texts[0].contains("The shop is closed."), "{texts:?}");
    assert!(texts[1].contains("Is it open?"), "{texts:?}");
}

#[tokio::test]
async fn messages_on_a_channel_are_changed_once_and_listening_is_switched() {
    let channel = Loopback::new();
    let gateway = Gateway::builder()
        .provider(Scripted::replies(["x"]))
        .channel(channel.clone())
        .ephemeral()
        .start()
        .await
        .unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let serving = serve(listener, gateway.handle(), ServerConfig::token(TOKEN)).await.unwrap();
    let doors = Doors { gateway, serving };
    let mut client = doors.client(ADMIN).await;
    for key in ["a", "a"] {
        let act = json!({"channel": "loopback", "action": "send", "idempotencyKey": key,
            "params": {"to": "ada", "message": "Hello."}});
        assert_eq!(client.request("message.action", act).await["payload"]["status"], "queued");
    }
    for bad in [
        json!({"channel": "loopback", "action": "edit", "idempotencyKey": "b", "params": {"to": "ada", "message": "x"}}),
        json!({"channel": "loopback", "action": "poll", "idempotencyKey": "b", "params": {"to": "ada"}}),
        json!({"channel": "nothing", "action": "send", "idempotencyKey": "b", "params": {"to": "ada", "message": "x"}}),
    ] {
        assert_eq!(client.request("message.action", bad.clone()).await["ok"], false, "{bad}");
    }
    let running = async |client: &mut super::kit::Client| {
        let status = client.request("channels.status", json!({})).await;
        status["payload"]["channelAccounts"]["loopback"][0]["running"].as_bool().unwrap()
    };
    assert!(running(&mut client).await);
    let which = json!({"channel": "loopback", "accountId": "default"});
    assert_eq!(client.request("channels.stop", which.clone()).await["payload"]["stopped"], true);
    assert!(!running(&mut client).await);
    assert_eq!(client.request("channels.start", which).await["payload"]["started"], true);
    assert!(running(&mut client).await);
}

#[tokio::test]
async fn the_log_and_the_configuration_are_shown_as_the_application_says() {
    let tail = LogTail::new("stderr");
    let config = ServerConfig::token(TOKEN).logs(tail.clone()).setup(|| {
        let config = json!({"server": {"auth": {"token": {"env": "TOKEN"}}}});
        Some(Setup { path: "openclaw.json".into(), config, schema: json!({"type": "object"}) })
    });
    let doors = Doors::open(config).await;
    let mut client = doors.client(&["operator.read"]).await;
    tail.push("ready");
    let shown = client.request("logs.tail", json!({})).await;
    assert_eq!(shown["payload"]["lines"], json!(["ready"]));
    tail.push("more");
    let next = json!({ "cursor": shown["payload"]["cursor"] });
    let shown = client.request("logs.tail", next).await;
    assert_eq!(shown["payload"]["lines"], json!(["more"]));
    let config = client.request("config.get", json!({})).await;
    assert_eq!(config["payload"]["config"]["server"]["auth"]["token"]["env"], "TOKEN");
    let schema = client.request("config.schema", json!({})).await;
    assert_eq!(schema["payload"]["schema"]["type"], "object");
    let bare = Doors::open(ServerConfig::token(TOKEN)).await;
    let mut client = bare.client(&["operator.read"]).await;
    assert_eq!(client.request("config.get", json!({})).await["payload"]["exists"], false);
    let key = client.request("gateway.identity.get", json!({})).await;
    assert_eq!(key["payload"]["deviceId"].as_str().unwrap().len(), 64);
}

#[tokio::test]
async fn those_who_may_read_hear_who_comes_and_goes() {
    let doors = Doors::open(ServerConfig::token(TOKEN)).await;
    let mut client = doors.client(&["operator.read"]).await;
    let other = doors.client(&["operator.write"]).await;
    loop {
        let event = client.event("presence").await;
        if event["payload"]["presence"].as_array().unwrap().len() == 3 {
            break;
        }
    }
    drop(other);
    loop {
        let event = client.event("presence").await;
        if event["payload"]["presence"].as_array().unwrap().len() == 2 {
            break;
        }
    }
}

#[tokio::test]
async fn what_conversations_used_is_added_up() {
    let doors = Doors::open(ServerConfig::token(TOKEN)).await;
    let mut client = doors.client(ADMIN).await;
    for key in ["a", "b"] {
        let said = json!({"sessionKey": key, "message": "hello", "idempotencyKey": key});
        client.request("agent", said).await;
        client.request("agent.wait", json!({ "runId": key })).await;
    }
    let all = client.request("sessions.usage", json!({})).await;
    let rows = all["payload"]["sessions"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    let sum: u64 = rows.iter().map(|row| row["usage"]["totalTokens"].as_u64().unwrap()).sum();
    assert!(sum > 0);
    assert_eq!(all["payload"]["totals"]["totalTokens"], sum);
    let one = client.request("sessions.usage", json!({ "key": "a" })).await;
    assert_eq!(one["payload"]["sessions"][0]["key"], "agent:main:a");
    let dated = client.request("sessions.usage", json!({ "startDate": "2026-01-01" })).await;
    assert_eq!(dated["ok"], false, "days are not told apart");
}

#[tokio::test]
async fn a_node_is_taken_out_again() {
    let doors = Doors::open(ServerConfig::token(TOKEN)).await;
    let mut node = doors.socket().await;
    let (key, mut params) = super::devices::proven_node(&node, 3);
    params["role"] = json!("node");
    assert_eq!(node.request("connect", params).await["ok"], true);
    let mut owner = doors.client(ADMIN).await;
    let which = json!({ "nodeId": key.id() });
    assert_eq!(owner.request("node.pair.remove", which.clone()).await["ok"], true);
    assert_eq!(node.closed().await.code, 4001);
    assert_eq!(owner.request("node.list", json!({})).await["payload"]["nodes"], json!([]));
    assert_eq!(owner.request("node.pair.remove", which).await["ok"], false);
}

#[tokio::test]
async fn files_come_with_messages() {
    let model = Scripted::from_fn(|_| Ok(Step::text("A picture.")));
    let doors = Doors::with(model.clone(), ServerConfig::token(TOKEN)).await;
    let mut client = doors.client(&["operator.read", "operator.write"]).await;
    let file = |mime: &str, content: &str| json!({"type": "image", "mimeType": mime, "fileName": "x.png", "content": content});
    let said = |key: &str, files| json!({"sessionKey": "main", "message": "what is it?", "idempotencyKey": key, "attachments": files});
    let sent =
        client.request("chat.send", said("k", json!([file("image/png", "iVBORw0KGgo=")]))).await;
    assert_eq!(sent["payload"]["status"], "started", "{sent}");
    client.request("agent.wait", json!({ "runId": "k" })).await;
    assert!(format!("{:?}", model.requests()[0].messages).contains("image/png"));
    for bad in [
        json!([file("image/png", "%%%")]),
        json!([file("", "iVBORw0KGgo=")]),
        json!(vec![file("image/png", "iVBORw0KGgo="); 9]),
    ] {
        let refused = client.request("chat.send", said("bad", bad.clone())).await;
        assert_eq!(refused["error"]["code"], "INVALID_REQUEST", "{bad}");
    }
}
