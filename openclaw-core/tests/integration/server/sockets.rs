//! The first exchange of a socket.

use openclaw_core::server::{ServerConfig, methods};
use serde_json::json;

use super::kit::{Closed, Doors, TOKEN};

#[tokio::test]
async fn greets_a_client_and_answers_it() {
    let doors = Doors::open(ServerConfig::token(TOKEN)).await;
    let mut client = doors.socket().await;
    assert_eq!(client.challenge["event"], "connect.challenge");
    let asked = ["operator.read", "operator.read", "operator.*", "operator.write"];
    let hello = client.connect(json!({ "token": TOKEN }), &asked).await;
    let payload = &hello["payload"];
    assert_eq!((&payload["type"], &payload["protocol"]), (&json!("hello-ok"), &json!(4)));
    assert_eq!(payload["auth"]["scopes"], json!(["operator.read", "operator.write"]));
    let names: Vec<_> = methods().iter().map(|method| json!(method.name)).collect();
    assert_eq!(payload["features"]["methods"], json!(names));
    assert!(names.is_sorted_by(|a, b| a.as_str() < b.as_str()), "they are looked for by halving");
    let health = client.request("health", json!({})).await;
    assert_eq!((&health["ok"], &health["payload"]["ok"]), (&json!(true), &json!(true)));
    let unknown = client.request("nonsense.method", json!({})).await;
    assert_eq!(unknown["error"]["code"], "INVALID_REQUEST");
    assert_eq!(unknown["error"]["message"], "unknown method: nonsense.method");
}

#[tokio::test]
async fn a_wrong_token_is_told_so_and_closed() {
    let doors = Doors::open(ServerConfig::token(TOKEN)).await;
    for (auth, code) in [
        (json!({"token": "wrong"}), "AUTH_TOKEN_MISMATCH"),
        (json!({"password": "wrong"}), "AUTH_TOKEN_MISMATCH"),
        (json!({"token": ""}), "AUTH_TOKEN_MISSING"),
        (json!({}), "AUTH_TOKEN_MISSING"),
    ] {
        let mut client = doors.socket().await;
        let answer = client.connect(auth, &["operator.read"]).await;
        assert_eq!(answer["ok"], false);
        assert_eq!(answer["error"]["details"]["code"], code);
        assert_eq!(client.closed().await.code, 1008);
    }
    let mut client = doors.socket().await;
    let answer = client.connect(json!({ "password": TOKEN }), &["operator.read"]).await;
    assert_eq!(answer["ok"], true, "clients send it in either field");
}

#[tokio::test]
async fn h15_other_versions_and_unknown_fields_are_refused() {
    let doors = Doors::open(ServerConfig::token(TOKEN)).await;
    let mut client = doors.socket().await;
    let mut params = client.params(json!({ "token": TOKEN }), &[]);
    params["maxProtocol"] = json!(3);
    params["minProtocol"] = json!(3);
    let answer = client.request("connect", params).await;
    assert_eq!(answer["error"]["details"]["code"], "PROTOCOL_MISMATCH");
    assert_eq!(client.closed().await.code, 1002);

    let mut client = doors.socket().await;
    let mut params = client.params(json!({ "token": TOKEN }), &[]);
    params["extra"] = json!(1);
    let answer = client.request("connect", params).await;
    assert_eq!(answer["error"]["code"], "INVALID_REQUEST");
    assert_eq!(client.closed().await.code, 1008);

    let mut client = doors.socket().await;
    let answer = client.request("health", json!({})).await;
    assert_eq!(answer["error"]["code"], "INVALID_REQUEST");
    let reason = "invalid handshake: first request must be connect".to_owned();
    assert_eq!(client.closed().await, Closed { code: 1008, reason });
}
