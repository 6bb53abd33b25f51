//! People of a tailnet, by the word of a daemon on this machine.
#![cfg(unix)]

use std::sync::{Arc, Mutex};

use openclaw_core::server::{ServerConfig, Tailscale};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixListener,
};

use super::{
    http_client::send,
    kit::{Doors, TOKEN},
};

/// A daemon that knows three machines; what it was asked.
fn daemon(path: &std::path::Path) -> Arc<Mutex<Vec<String>>> {
    let listener = UnixListener::bind(path).unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            assert!(head.to_ascii_lowercase().contains("host: local-tailscaled.sock"), "{head}");
            let line = head.lines().next().unwrap().to_owned();
            let who = |login: &str, tags: Value| json!({"Node": {"Name": "x", "Tags": tags}, "UserProfile": {"LoginName": login}});
            let body = if line.contains("addr=100.64.0.1 ") {
                who("ada@example.org", Value::Null)
            } else if line.contains("addr=100.64.0.2 ") {
                who("eve@example.org", Value::Null)
            } else {
                who("ada@example.org", json!(["tag:server"]))
            };
            kept.lock().unwrap().push(line);
            let body = body.to_string();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).await.unwrap();
        }
    });
    asked
}

#[tokio::test]
async fn people_of_the_tailnet_are_let_in_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("daemon.sock");
    let asked = daemon(&path);
    let config = |path: &std::path::Path| {
        ServerConfig::token(TOKEN)
            .trusted_proxy("127.0.0.1/32".parse().unwrap())
            .tailscale(Tailscale::new(["ada@example.org"]).socket(path))
    };
    let doors = Doors::open(config(&path)).await;
    let by = async |doors: &Doors, address: &str, auth: Value| {
        let mut client = doors.socket_by(("x-forwarded-for", address)).await;
        client.connect(auth, &["operator.read"]).await
    };
    let hello = by(&doors, "100.64.0.1", json!({})).await;
    assert_eq!(hello["payload"]["auth"]["scopes"], json!(["operator.read"]), "{hello}");
    for (address, auth) in [
        ("100.64.0.2", json!({})),
        ("100.64.0.3", json!({})),
        ("192.0.2.1", json!({})),
        // Who shows a credential is judged by it.
        ("100.64.0.1", json!({ "token": "wrong" })),
    ] {
        assert_eq!(by(&doors, address, auth).await["ok"], false, "{address}");
    }
    assert!(!asked.lock().unwrap().iter().any(|line| line.contains("192.0.2.1")));
    for (address, status) in [("100.64.0.1", 200), ("100.64.0.2", 401)] {
        let line = format!("X-Forwarded-For: {address}");
        // What it says of itself counts for nothing.
        let headers = [line.as_str(), "Tailscale-User-Login: ada@example.org"];
        assert_eq!(send(doors.address(), "GET", "/v1/models", &headers, b"").await.status, status);
    }
    // Without the daemon nobody is known.
    let alone = Doors::open(config(&folder.path().join("none.sock"))).await;
    assert_eq!(by(&alone, "100.64.0.1", json!({})).await["ok"], false);
    assert_eq!(by(&alone, "100.64.0.1", json!({ "token": TOKEN })).await["ok"], true);
}

#[tokio::test]
async fn nobody_is_let_in_by_no_name() {
    let gateway = openclaw_core::Gateway::builder()
        .provider(openclaw_core::testing::Scripted::replies(["x"]))
        .ephemeral()
        .start()
        .await
        .unwrap();
    let config = ServerConfig::token(TOKEN).tailscale(Tailscale::new([""]));
    assert!(openclaw_core::server::router(gateway.handle(), config).await.is_err());
}
