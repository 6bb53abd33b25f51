//! Methods beside conversations: notes, messages on channels, listening, the log, the configuration.

use openclaw_core::{
    Gateway,
    provider::{ChatMessage, Usage},
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

#[tokio::test]
async fn a_conversation_is_called_by_a_name_until_it_is_deleted() {
    let doors = Doors::open(ServerConfig::token(TOKEN)).await;
    let mut client = doors.client(ADMIN).await;
    let said = json!({"sessionKey": "main", "message": "hello", "idempotencyKey": "k"});
    client.request("chat.send", said).await;
    client.request("agent.wait", json!({ "runId": "k" })).await;
    let name = async |client: &mut super::kit::Client| {
        let list = client.request("sessions.list", json!({})).await;
        list["payload"]["sessions"][0]["label"].clone()
    };
    let named = client.request("sessions.patch", json!({"key": "main", "label": "Shop"})).await;
    assert_eq!(named["payload"]["entry"]["label"], "Shop", "{named}");
    assert_eq!(name(&mut client).await, "Shop");
    let same = client.request("sessions.patch", json!({ "key": "main" })).await;
    assert_eq!(same["payload"]["entry"]["label"], "Shop");
    let described = client.request("sessions.describe", json!({ "key": "main" })).await;
    assert_eq!(described["payload"]["session"]["label"], "Shop");
    for bad in [json!({"key": "main", "label": " "}), json!({"key": "main", "model": "x"})] {
        assert_eq!(client.request("sessions.patch", bad.clone()).await["ok"], false, "{bad}");
    }
    let none = json!({ "key": "main", "label": null });
    assert!(client.request("sessions.patch", none).await["payload"]["entry"]["label"].is_null());
    client.request("sessions.patch", json!({"key": "main", "label": "Shop"})).await;
    client.request("sessions.delete", json!({ "key": "main" })).await;
    assert!(name(&mut client).await.is_null());
}

#[tokio::test]
async fn whoever_waits_for_an_answer_to_an_ask_gets_it() {
    use openclaw_core::{
        agent::Agent,
        policy::Permission,
        tool::{ToolSpec, tool_fn},
    };
    #[derive(serde::Deserialize, schemars::JsonSchema)]
    struct To {
        #[expect(dead_code, reason = "the policy asks because of it")]
        to: String,
    }
    let model =
        Scripted::steps([Step::new().call("pay", json!({"to": "eve"})), Step::text("Paid.")]);
    let pay = tool_fn(ToolSpec::new("pay", "Pays"), async |_, _: To| Ok("paid"));
    let agent = Agent::new("main").permission("pay", Permission::Ask);
    let builder = Gateway::builder().provider(model).tool(pay).agent(agent);
    let gateway = builder.ephemeral().start().await.unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let serving = serve(listener, gateway.handle(), ServerConfig::token(TOKEN)).await.unwrap();
    let doors = Doors { gateway, serving };
    let mut client = doors.client(ADMIN).await;
    let hook = json!({"sessionKey": "main", "message": "pay", "idempotencyKey": "k"});
    client.begin("chat.send", hook).await;
    let asked = client.event("exec.approval.requested").await;
    let id = asked["payload"]["id"].clone();
    let wait = json!({ "id": id, "timeoutMs": 0 });
    assert!(
        client.request("exec.approval.waitDecision", wait).await["payload"]["decision"].is_null()
    );
    let mut waiter = doors.client(ADMIN).await;
    let waiting = waiter.begin("exec.approval.waitDecision", json!({ "id": id })).await;
    let answer = json!({ "id": id, "decision": "allow-once" });
    assert_eq!(client.request("exec.approval.resolve", answer).await["ok"], true);
    loop {
        let frame = waiter.frame().await.unwrap();
        if frame["id"] == waiting {
            assert_eq!(frame["payload"]["decision"], "allow-once", "{frame}");
            break;
        }
    }
    let gone = client.request("exec.approval.waitDecision", json!({ "id": "nothing" })).await;
    assert_eq!(gone["error"]["code"], "APPROVAL_NOT_FOUND");
}

#[tokio::test]
async fn a_session_is_summed_up_and_its_cost_told() {
    let model = Scripted::from_fn(|request| {
        let sums_up = format!("{request:?}").contains("Sum up the conversation");
        let mut usage = Usage::new(100, 20);
        // Summing up has no known price.
        usage.cost_micro_usd = (!sums_up).then_some(1_500_000);
        Ok(Step::text(if sums_up { "Ada has a boat." } else { "I see." }).usage(usage))
    });
    let doors = Doors::with(model, ServerConfig::token(TOKEN)).await;
    let mut client = doors.client(ADMIN).await;
    let compact = async |client: &mut super::kit::Client| {
        client.request("sessions.compact", json!({"key": "main"})).await["payload"].clone()
    };
    let nothing = compact(&mut client).await;
    assert_eq!((&nothing["ok"], &nothing["compacted"]), (&json!(true), &json!(false)));
    for (key, text) in [("a", "I am Ada."), ("b", "I have a boat.")] {
        let said = json!({"sessionKey": "main", "message": text, "idempotencyKey": key});
        client.request("chat.send", said).await;
        client.request("agent.wait", json!({ "runId": key })).await;
    }
    assert_eq!(compact(&mut client).await["compacted"], true);
    let again = compact(&mut client).await;
    assert_eq!(again["compacted"], false);
    assert_eq!(again["reason"], "There is nothing to sum up.");

    let startup = client.request("chat.startup", json!({"sessionKey": "main"})).await;
    let history = client.request("chat.history", json!({"sessionKey": "main"})).await;
    let (startup, history) = (&startup["payload"], &history["payload"]);
    assert_eq!(startup["messages"], history["messages"]);
    // People are shown all that was said.
    assert_eq!(startup["messages"][0]["content"][0]["text"], "I am Ada.");
    assert_eq!(startup["agentsList"]["defaultId"], "main");
    assert_eq!(startup["metadata"]["sessionKey"], "agent:main:main");
    assert_eq!(history["agentsList"], json!(null));

    let cost = client.request("usage.cost", json!({"days": 2})).await["payload"].clone();
    assert_eq!(cost["days"], 2);
    let expected = json!({
        "input": 300, "output": 60, "cacheRead": 0, "cacheWrite": 0, "totalTokens": 360,
        "totalCost": 3.0, "missingCostEntries": 1,
    });
    assert_eq!(cost["totals"], expected);
    let days: u64 = cost["daily"]
        .as_array()
        .unwrap()
        .iter()
        .map(|day| day["totalTokens"].as_u64().unwrap())
        .sum();
    assert_eq!(days, 360);
    for none in [json!({"startDate": "2020-01-01", "endDate": "2020-12-31"})] {
        let cost = client.request("usage.cost", none).await["payload"].clone();
        assert_eq!((&cost["daily"], &cost["totals"]["totalTokens"]), (&json!([]), &json!(0)));
    }
    for wrong in [
        json!({"days": 0}),
        json!({"startDate": "2020-13-01", "endDate": "2020-12-31"}),
        json!({"range": "7d"}),
    ] {
        assert_eq!(client.request("usage.cost", wrong).await["ok"], false);
    }
}
