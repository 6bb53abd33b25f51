//! Our own client, and what a false gateway gets from it: nothing.

use futures_util::{SinkExt as _, StreamExt as _};
use openclaw_core::{
    ErrorKind,
    client::{ClientConfig, ClientEvent, gateway_id},
    protocol::{DeviceKey, Scope},
    server::ServerConfig,
    testing::{Scripted, Step},
};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_websockets::{ClientBuilder, Message, ServerBuilder, WebSocketStream};

use super::kit::{Doors, TOKEN};

fn gateway_key() -> DeviceKey {
    DeviceKey::from_seed(&[9; 32])
}

fn device() -> DeviceKey {
    DeviceKey::from_seed(&[1; 32])
}

async fn doors(model: Scripted) -> Doors {
    Doors::with(model, ServerConfig::token(TOKEN).key(gateway_key())).await
}

fn config(url: &str) -> ClientConfig {
    ClientConfig::new(url, device(), gateway_key().id())
        .token(TOKEN)
        .scopes([Scope::Read, Scope::Write])
}

#[tokio::test]
async fn asks_and_hears_the_answer_grow() {
    let doors = doors(Scripted::replies(["Good morning to you."])).await;
    let url = format!("ws://{}", doors.address());
    assert_eq!(gateway_id(&url).await.unwrap(), gateway_key().id());
    let client = config(&url).connect().await.unwrap();
    assert_eq!(client.request("health", json!({})).await.unwrap()["ok"], true);
    let mut answer = client.ask("main", "hello").await.unwrap();
    let mut grown = String::new();
    while let Some(piece) = answer.next().await {
        grown.push_str(&piece);
    }
    assert_eq!(grown, "Good morning to you.");
    assert_eq!(answer.finish().await.unwrap(), grown);
    let error = client.request("nonsense", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let error = client.request("sessions.delete", json!({ "key": "main" })).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn a_lost_connection_is_made_again_and_an_answer_is_not_lost() {
    let model = Scripted::steps([Step::new().say("It took ").stall(), Step::text("unused")]);
    let doors = doors(model.clone()).await;
    // A wire that can be cut.
    let wire = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", wire.local_addr().unwrap());
    let target = doors.address();
    let (cut, mut cuts) = tokio::sync::mpsc::channel::<()>(1);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = wire.accept().await {
            let mut far = TcpStream::connect(target).await.unwrap();
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                _ = cuts.recv() => {}
            }
        }
    });
    let client = config(&url).connect().await.unwrap();
    let mut events = client.events();
    let mut answer = client.ask("main", "a long tale").await.unwrap();
    let mut grown = String::new();
    while grown != "It took " {
        grown.push_str(&answer.next().await.unwrap());
    }
    cut.send(()).await.unwrap();
    loop {
        if let Some(ClientEvent::Connected(_)) = events.next().await {
            break;
        }
    }
    let finished = tokio::spawn(answer.finish());
    client.request("chat.abort", json!({ "sessionKey": "main" })).await.unwrap();
    // It was asked once, and its end is heard over the new connection.
    finished.await.unwrap().unwrap();
    assert_eq!(model.requests().len(), 1);
}

/// Somebody who answers in a gateway's place: their socket, once a client has come.
async fn imposter() -> (String, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (format!("ws://{}", listener.local_addr().unwrap()), listener)
}

async fn meet(listener: &TcpListener) -> WebSocketStream<TcpStream> {
    let (stream, _) = listener.accept().await.unwrap();
    ServerBuilder::new().accept(stream).await.unwrap().1
}

async fn heard<S>(socket: &mut WebSocketStream<S>) -> Option<String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    match socket.next().await {
        Some(Ok(message)) if message.is_text() => Some(message.as_text().unwrap().to_owned()),
        _ => None,
    }
}

#[tokio::test]
async fn h14_a_false_gateway_gets_neither_token_nor_signature() {
    let doors = doors(Scripted::replies(["x"])).await;
    let real = format!("ws://{}", doors.address());
    let uri = real.clone();
    let dial = async || ClientBuilder::new().uri(&uri).unwrap().connect().await.unwrap().0;

    // One that passes the real challenge on, but has no key to sign with.
    let (url, listener) = imposter().await;
    let client = tokio::spawn(config(&url).connect());
    let mut victim = meet(&listener).await;
    let mut gateway = dial().await;
    let challenge = heard(&mut gateway).await.unwrap();
    victim.send(Message::text(challenge)).await.unwrap();
    let asked = heard(&mut victim).await.unwrap();
    assert!(asked.contains("connect.prove") && !asked.contains(TOKEN), "{asked}");
    let forged = json!({"type": "res", "id": "connect.prove", "ok": true, "payload": {
        "publicKey": "", "signature": "",
    }});
    victim.send(Message::text(forged.to_string())).await.unwrap();
    assert_eq!(heard(&mut victim).await, None, "nothing more is told");
    assert_eq!(client.await.unwrap().unwrap_err().kind(), ErrorKind::Denied);

    // One that shows its own key.
    let (url, listener) = imposter().await;
    let client = tokio::spawn(config(&url).connect());
    let mut victim = meet(&listener).await;
    let own = json!({"type": "event", "event": "connect.challenge", "payload": {
        "nonce": "n", "ts": 1, "capabilities": ["mutual-auth-v1"],
        "gateway": {"publicKey": "2r3CB8Uy2SzrM7WZ11xZPi_oLre2cZcICxTfRCVmAlI"},
    }});
    victim.send(Message::text(own.to_string())).await.unwrap();
    assert_eq!(heard(&mut victim).await, None);
    let error = client.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("nothing secret was sent"), "{error}");

    // One that takes the offer of a proof out.
    let (url, listener) = imposter().await;
    let client = tokio::spawn(config(&url).connect());
    let mut victim = meet(&listener).await;
    let plain =
        json!({"type": "event", "event": "connect.challenge", "payload": {"nonce": "n", "ts": 1}});
    victim.send(Message::text(plain.to_string())).await.unwrap();
    assert_eq!(heard(&mut victim).await, None);
    assert_eq!(client.await.unwrap().unwrap_err().kind(), ErrorKind::Denied);
}

/// A device that trusts the false gateway's own key gives it a signature: worth nothing elsewhere.
#[tokio::test]
async fn h14_a_signature_for_one_gateway_is_worth_nothing_at_another() {
    let real = doors(Scripted::replies(["x"])).await;
    let false_key = DeviceKey::from_seed(&[66; 32]);
    let other =
        Doors::with(Scripted::replies(["x"]), ServerConfig::token(TOKEN).key(false_key.clone()))
            .await;
    // The relay speaks to the victim as `other` does, and passes `connect` on to the real one.
    let (url, listener) = imposter().await;
    let client =
        tokio::spawn(ClientConfig::new(&url, device(), false_key.id()).token(TOKEN).connect());
    let mut victim = meet(&listener).await;
    let dial = async |doors: &Doors| {
        let uri = format!("ws://{}", doors.address());
        ClientBuilder::new().uri(&uri).unwrap().connect().await.unwrap().0
    };
    let mut own = dial(&other).await;
    let mut gateway = dial(&real).await;
    let challenge = heard(&mut own).await.unwrap();
    heard(&mut gateway).await.unwrap();
    victim.send(Message::text(challenge)).await.unwrap();
    let prove = heard(&mut victim).await.unwrap();
    own.send(Message::text(prove.clone())).await.unwrap();
    victim.send(Message::text(heard(&mut own).await.unwrap())).await.unwrap();
    let connect = heard(&mut victim).await.unwrap();
    assert!(connect.contains("mutual-auth-v1."));
    for with_proof in [true, false] {
        let mut gateway = dial(&real).await;
        heard(&mut gateway).await.unwrap();
        if with_proof {
            gateway.send(Message::text(prove.clone())).await.unwrap();
            heard(&mut gateway).await.unwrap();
        }
        gateway.send(Message::text(connect.clone())).await.unwrap();
        let refused = heard(&mut gateway).await.unwrap();
        assert!(refused.contains(r#""ok":false"#) && refused.contains("DEVICE_AUTH_"), "{refused}");
    }
    client.abort();
}

/// Whoever asked for a proof is held to it.
#[tokio::test]
async fn h15_a_proof_cannot_be_taken_back() {
    let doors = doors(Scripted::replies(["x"])).await;
    let mut client = doors.socket().await;
    let (_, mut params) = super::devices::proven(&client, 1, &["operator.read"]);
    let asked = json!({
        "protocol": 4, "publicKey": params["device"]["publicKey"],
        "nonce": "A".repeat(43), "role": "operator",
        "scopes": ["operator.read"], "client": params["client"],
    });
    assert_eq!(client.request("connect.prove", asked).await["ok"], true);
    let refused = client.request("connect", params.clone()).await;
    assert_eq!(refused["error"]["details"]["code"], "DEVICE_AUTH_SIGNATURE_INVALID");
    params["device"].take();
}
