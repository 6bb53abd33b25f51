//! The handshake, by all ways through it, and what else a client could try before and in it.

use std::time::Duration;

use futures_util::SinkExt as _;
use openclaw_core::{
    Gateway,
    protocol::DeviceKey,
    server::{DEVICE_REQUEST_TTL, Lockout, ServerConfig, serve},
    testing::{Scripted, Step, TestClock},
};
use serde_json::{Value, json};
use tokio_websockets::Message;

use super::{
    http_client::{post_with, send},
    kit::{Client, Doors, TOKEN},
};

fn config() -> ServerConfig {
    let mut rule = Lockout::default();
    rule.attempts = u32::MAX;
    ServerConfig::token(TOKEN).key(DeviceKey::from_seed(&[9; 32])).lockout(rule)
}

/// Wherever a request names an address, nobody is connected to there.
#[tokio::test]
async fn h04_nothing_that_a_client_names_is_connected_to() {
    let trap = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let bait = trap.local_addr().unwrap();
    let doors = Doors::with(Scripted::from_fn(|_| Ok(Step::text("x"))), config()).await;
    let address = doors.address();
    let path = format!("/?gatewayUrl=ws://{bait}&url=http://{bait}/#ws://{bait}");
    let lines = [
        format!("Origin: http://{bait}"),
        format!("Referer: http://{bait}/"),
        format!("Forwarded: for=127.0.0.1;host={bait}"),
        format!("X-Forwarded-Host: {bait}"),
        format!("X-Original-URL: http://{bait}/"),
    ];
    for line in &lines {
        doors.upgrade(&[line]).await;
        send(address, "GET", &path, &[line], b"").await;
        send(address, "GET", &format!("http://{bait}/health"), &[line], b"").await;
    }
    let mut client = doors.socket().await;
    let mut params = client.params(json!({ "token": TOKEN }), &["operator.read", "operator.write"]);
    params["userAgent"] = json!(format!("http://{bait}/"));
    params["pathEnv"] = json!(format!("http://{bait}/"));
    params["client"]["displayName"] = json!(format!("ws://{bait}"));
    assert_eq!(client.request("connect", params).await["ok"], true);
    let said = format!("look at http://{bait}/ and ![x](http://{bait}/x.png)");
    let asked = json!({"message": said, "idempotencyKey": "k", "sessionKey": "main"});
    client.request("agent", asked).await;
    client.request("agent.wait", json!({ "runId": "k" })).await;
    for content in [
        json!(said),
        json!([{"type": "image_url", "image_url": {"url": format!("http://{bait}/x.png")}}]),
    ] {
        let messages = json!([{"role": "user", "content": content}]);
        let asked = json!({"model": "openclaw", "messages": messages, "user": bait.to_string()});
        post_with(address, "/v1/chat/completions", &[], &asked).await;
    }
    let came = trap.accept().map(drop).map_err(|error| error.kind());
    assert_eq!(came, Err(std::io::ErrorKind::WouldBlock));
}

/// All comparisons of secrets are of keyed hashes, in time that does not depend on them: what would tell
/// how much of a guess is right does not come into being.
#[test]
fn h13_secrets_are_compared_by_their_keyed_hashes_alone() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut looked = 0;
    for part in ["server", "server/methods", "server/openai", "protocol"] {
        for file in std::fs::read_dir(folder.join(part)).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_none_or(|kind| kind != "rs") {
                continue;
            }
            looked += 1;
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            for (number, line) in code.lines().enumerate() {
                let compares = ["==", "!=", ".eq(", "contains(", "starts_with(", "strip_prefix("];
                let bare = line.contains("expose()")
                    && compares.iter().any(|word| line.contains(word))
                    && !line.contains("ct_eq(");
                assert!(!bare, "{}:{}: {line}", path.display(), number + 1);
            }
        }
    }
    assert!(looked > 30, "only {looked} files were looked at");
}

#[tokio::test]
async fn h17_only_exact_names_are_scopes() {
    let doors = Doors::open(config()).await;
    let none = json!([]);
    for (asked, given) in [
        (json!([]), none.clone()),
        (Value::Null, none.clone()),
        (json!(["operator.read", "operator.read"]), json!(["operator.read"])),
        (json!(["*"]), none.clone()),
        (json!(["operator.*"]), none.clone()),
        (json!(["operator"]), none.clone()),
        (json!(["OPERATOR.ADMIN"]), none.clone()),
        (json!([" operator.admin"]), none.clone()),
        (json!(["operator.admin "]), none.clone()),
        (json!(["operator.admin\u{0}"]), none.clone()),
        (json!(["operator.admin\u{200b}"]), none.clone()),
        (json!(["\u{043e}perator.admin"]), none.clone()),
        (json!(["operator\u{ff0e}admin"]), none.clone()),
        (json!(["operator.read,operator.admin"]), none.clone()),
        (json!(["operator.ad\u{131}min"]), none),
    ] {
        let mut client = doors.socket().await;
        let mut params = client.params(json!({ "token": TOKEN }), &[]);
        params["scopes"] = asked.clone();
        let answer = client.request("connect", params).await;
        assert_eq!(answer["payload"]["auth"]["scopes"], given, "{asked} -> {answer}");
        let refused = client.request("sessions.reset", json!({ "key": "main" })).await;
        assert_eq!(refused["error"]["code"], "FORBIDDEN", "{asked}");
    }
    for bad in [json!([""]), json!("operator.admin"), json!([1]), json!({"0": "operator.admin"})] {
        let mut client = doors.socket().await;
        let mut params = client.params(json!({ "token": TOKEN }), &[]);
        params["scopes"] = bad.clone();
        assert_eq!(client.request("connect", params).await["ok"], false, "{bad}");
    }
    // The same by HTTP: a header only ever takes away.
    for header in ["*", "operator.*", "OPERATOR.ADMIN", "operator.admin;", "admin", ","] {
        let line = format!("x-openclaw-scopes: {header}");
        let asked = json!({"tool": "nothing"});
        let answer = post_with(doors.address(), "/tools/invoke", &[&line], &asked).await;
        assert_eq!(answer.status, 403, "{header}");
    }
}

/// Somebody from elsewhere, with the secret and a device that nobody knows.
async fn ask(doors: &Doors, seed: u8, scopes: &[&str]) -> Value {
    let far = ("x-forwarded-for", "198.51.100.7");
    let mut client = doors.socket_by(far).await;
    let (_, params) = super::devices::proven(&client, seed, scopes);
    client.request("connect", params).await
}

#[tokio::test]
async fn h23_a_request_to_be_let_in_is_unguessable_short_lived_and_answered_once() {
    let clock = TestClock::new();
    let gateway = Gateway::builder()
        .provider(Scripted::replies(["x"]))
        .clock(clock.clone())
        .ephemeral()
        .start()
        .await
        .unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let serving = serve(listener, gateway.handle(), config()).await.unwrap();
    let doors = Doors { gateway, serving };
    let mut owner = doors.client(&["operator.admin"]).await;
    let mut ids = std::collections::BTreeSet::new();
    for seed in 1..=20 {
        let refused = ask(&doors, seed, &["operator.read"]).await;
        let id = refused["error"]["details"]["requestId"].as_str().unwrap().to_owned();
        let digits = id.bytes().filter(u8::is_ascii_hexdigit).count();
        assert_eq!(digits, 32, "122 bits of chance: {id}");
        ids.insert(id);
    }
    assert_eq!(ids.len(), 20, "each has its own");
    let mut ids = ids.into_iter();
    // Whoever may let in by pairing alone gives nothing that they do not have.
    let refused = ask(&doors, 21, &["operator.admin"]).await;
    let high = refused["error"]["details"]["requestId"].clone();
    let mut limited = doors.client(&["operator.read", "operator.pairing"]).await;
    let refused = limited.request("device.pair.approve", json!({ "requestId": high })).await;
    assert_eq!(refused["error"]["details"]["missingScope"], "operator.admin");

    let once = json!({ "requestId": ids.next().unwrap() });
    assert_eq!(owner.request("device.pair.approve", once.clone()).await["ok"], true);
    assert_eq!(owner.request("device.pair.approve", once).await["ok"], false);
    clock.advance(DEVICE_REQUEST_TTL - Duration::from_millis(1));
    let late = json!({ "requestId": ids.next().unwrap() });
    assert_eq!(owner.request("device.pair.approve", late).await["ok"], true);
    clock.advance(Duration::from_millis(1));
    let over = json!({ "requestId": ids.next().unwrap() });
    assert_eq!(owner.request("device.pair.approve", over).await["ok"], false);
    let list = owner.request("device.pair.list", json!({})).await;
    assert_eq!(list["payload"]["pending"], json!([]));
    // Who tries ids is slowed down.
    let mut busy = 0;
    for guess in 0..40 {
        let guess = json!({ "requestId": format!("guess-{guess}") });
        let answer = owner.request("device.pair.approve", guess).await;
        busy += usize::from(answer["error"]["code"] == "UNAVAILABLE");
    }
    assert!(busy > 5, "{busy}");
}

/// What a client can do in the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    Ping,
    Request,
    Prove,
    NoCredential,
    WrongToken,
    WrongSignature,
    OtherNonce,
    OtherKey,
    Right,
}

impl Move {
    const ALL: [Self; 9] = [
        Self::Ping,
        Self::Request,
        Self::Prove,
        Self::NoCredential,
        Self::WrongToken,
        Self::WrongSignature,
        Self::OtherNonce,
        Self::OtherKey,
        Self::Right,
    ];
}

/// What the handshake may be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Challenged,
    Proven,
    Authenticated,
    Closed,
}

/// The handshake as it has to be: one way leads in.
fn model(state: State, step: Move) -> State {
    match (state, step) {
        (State::Authenticated | State::Closed, _) => state,
        (_, Move::Ping) => state,
        (State::Challenged, Move::Prove) => State::Proven,
        (State::Challenged, Move::Right) => State::Authenticated,
        _ => State::Closed,
    }
}

async fn play(doors: &Doors, moves: &[Move]) -> State {
    let mut client = doors.socket().await;
    let mut state = State::Challenged;
    for step in moves {
        let (_, right) = super::devices::proven(&client, 1, &["operator.read"]);
        let mut params = right.clone();
        let method = match step {
            Move::Ping => {
                client.socket.send(Message::ping("")).await.unwrap();
                continue;
            }
            Move::Request => "health",
            Move::Prove => {
                params = json!({
                    "protocol": 4, "publicKey": right["device"]["publicKey"], "nonce": "A".repeat(43),
                    "role": "operator", "scopes": ["operator.read"], "client": right["client"],
                });
                "connect.prove"
            }
            Move::NoCredential => {
                params["auth"] = json!({});
                "connect"
            }
            Move::WrongToken => {
                params["auth"]["token"] = json!("wrong");
                "connect"
            }
            Move::WrongSignature => {
                let text = right["device"]["signature"].as_str().unwrap();
                let other = if text.starts_with('A') { "B" } else { "A" };
                params["device"]["signature"] = json!(format!("{other}{}", &text[1..]));
                "connect"
            }
            Move::OtherNonce => {
                let other = doors.socket().await;
                params = super::devices::proven(&other, 1, &["operator.read"]).1;
                "connect"
            }
            Move::OtherKey => {
                let (_, other) = super::devices::proven(&client, 2, &["operator.read"]);
                params["device"]["publicKey"] = other["device"]["publicKey"].clone();
                params["device"]["id"] = other["device"]["id"].clone();
                "connect"
            }
            Move::Right => "connect",
        };
        let answer = client.request(method, params).await;
        state = match (step, answer["ok"] == true) {
            (Move::Prove, true) => State::Proven,
            (_, true) if answer["payload"]["type"] == "hello-ok" => State::Authenticated,
            (_, true) => panic!("{step:?} was answered before who it was: {answer}"),
            (_, false) => State::Closed,
        };
        if state == State::Closed {
            assert!(matches!(client.closed().await.code, 1002 | 1008), "{moves:?}");
        }
        if matches!(state, State::Closed | State::Authenticated) {
            break;
        }
    }
    state
}

/// Every way of up to three moves ends where the model says.
#[tokio::test]
async fn h27_no_way_leads_in_but_the_right_one() {
    let doors = Doors::open(config()).await;
    let mut ways: Vec<Vec<Move>> = vec![Vec::new()];
    let mut played = 0;
    while let Some(way) = ways.pop() {
        let expected = way.iter().fold(State::Challenged, |state, step| model(state, *step));
        if !way.is_empty() {
            assert_eq!(play(&doors, &way).await, expected, "{way:?}");
            played += 1;
        }
        if way.len() < 3 && matches!(expected, State::Challenged | State::Proven) {
            ways.extend(Move::ALL.map(|step| [way.as_slice(), &[step]].concat()));
        }
    }
    assert!(played > 40, "{played}");
}

/// A client that is told nothing more than what it is.
#[tokio::test]
async fn who_is_refused_learns_nothing_of_what_there_is() {
    let doors = Doors::open(config()).await;
    let mut client: Client = doors.socket().await;
    let answer = client.connect(json!({ "token": "wrong" }), &["operator.admin"]).await.to_string();
    for word in ["main", "scripted", "agents", "snapshot", "features"] {
        assert!(!answer.contains(word), "{answer}");
    }
}
