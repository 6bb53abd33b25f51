//! Who gets in, by which credential, and for what: the whole table.

use openclaw_core::{
    Error, ErrorKind, Gateway,
    protocol::{Scope, Scopes},
    server::{Auth, Lockout, ServerConfig, methods, serve},
    store::InMemory,
    testing::{Scripted, Step},
};
use serde_json::{Value, json};

use super::kit::{Client, Doors, TOKEN};

const WRONG: &str = "wrong";

fn proxy() -> ServerConfig {
    let auth =
        Auth::TrustedProxy { user_header: "x-remote-user".into(), allow_users: vec!["ada".into()] };
    ServerConfig::new(auth).trusted_proxy("127.0.0.1/32".parse().unwrap())
}

/// Each mode, whether by this connection's credential somebody is let in, and with which header.
#[tokio::test]
async fn h16_to_h20_every_mode_by_every_credential_and_scope() {
    let user = Some(("x-remote-user", "ada"));
    let forwarded = Some(("x-forwarded-for", "198.51.100.9"));
    type Mode = (&'static str, fn() -> ServerConfig);
    let modes: [Mode; 4] = [
        ("token", || ServerConfig::token(TOKEN)),
        ("password", || ServerConfig::password(TOKEN)),
        ("proxy", proxy),
        ("none", || ServerConfig::new(Auth::None)),
    ];
    let credentials = [
        ("nothing", json!({})),
        ("blank", json!({"token": "", "password": "", "deviceToken": ""})),
        ("wrong token", json!({ "token": WRONG })),
        ("wrong password", json!({ "password": WRONG })),
        ("wrong device token", json!({ "deviceToken": WRONG })),
        ("bootstrap", json!({ "bootstrapToken": TOKEN })),
        ("runtime", json!({"approvalRuntimeToken": TOKEN, "agentRuntimeIdentityToken": TOKEN})),
        ("token", json!({ "token": TOKEN })),
        ("password", json!({ "password": TOKEN })),
    ];
    let clients = [("cli", "cli"), ("gateway-client", "backend"), ("openclaw-control-ui", "ui")];
    for (mode, config) in modes {
        let lockout = {
            let mut rule = Lockout::default();
            rule.attempts = u32::MAX;
            rule
        };
        let doors = Doors::open(config().lockout(lockout)).await;
        for (what, credential) in &credentials {
            for header in [None, user, Some(("x-remote-user", "eve")), forwarded] {
                for (id, kind) in clients {
                    let mut client = doors.socket_with(header).await;
                    let mut params = client.params(credential.clone(), &["operator.read"]);
                    params["client"]["id"] = json!(id);
                    params["client"]["mode"] = json!(kind);
                    let answer = client.request("connect", params).await;
                    let by_secret = matches!(*what, "token" | "password");
                    let here = header.is_none();
                    // Alone where nobody is asked, being here is enough; and then nothing may be between.
                    let let_in = match mode {
                        "token" | "password" => {
                            by_secret && (id != "openclaw-control-ui" || header != forwarded)
                        }
                        "proxy" => header == user,
                        _ => header != forwarded,
                    };
                    let given = match mode {
                        "token" | "password" => header != forwarded,
                        _ => true,
                    };
                    let case = format!("{mode}, {what}, {header:?}, {id}: {answer}");
                    assert_eq!(answer["ok"], let_in, "{case}");
                    if let_in {
                        let scopes = &answer["payload"]["auth"]["scopes"];
                        let expected = if given { json!(["operator.read"]) } else { json!([]) };
                        assert_eq!(*scopes, expected, "{case}");
                    }
                    let _ = here;
                }
            }
        }
    }
}

#[tokio::test]
async fn scopes_are_what_was_granted_and_asked_for() {
    let grant = Scopes::of([Scope::Write, Scope::Pairing]);
    let doors = Doors::open(ServerConfig::token(TOKEN).grant(grant)).await;
    let all: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
    for bits in 0..1_usize << all.len() {
        let asked: Vec<&str> = all
            .iter()
            .enumerate()
            .filter(|(at, _)| bits >> at & 1 == 1)
            .map(|(_, name)| *name)
            .collect();
        let mut client = doors.socket().await;
        let hello = client.connect(json!({ "token": TOKEN }), &asked).await;
        let given = hello["payload"]["auth"]["scopes"].as_array().unwrap();
        let expected: Vec<Value> = asked
            .iter()
            .filter(|name| {
                let known =
                    ["operator.read", "operator.write", "operator.talk", "operator.pairing"];
                known.contains(name)
            })
            .map(|name| json!(name))
            .collect();
        assert_eq!(given.len(), expected.len(), "{asked:?} -> {given:?}");
        assert!(expected.iter().all(|name| given.contains(name)), "{asked:?} -> {given:?}");
    }
}

/// Each method, with no scope, each wrong one, and the right one.
#[tokio::test]
async fn every_method_asks_for_what_its_entry_says() {
    use openclaw_core::server::Need;
    let doors = Doors::open(ServerConfig::token(TOKEN)).await;
    for scope in Scope::ALL.map(Some).into_iter().chain([None]) {
        let held = Scopes::of(scope);
        let asked = held.names();
        for method in methods() {
            let mut client = doors.client(&asked).await;
            let answer = client.request(method.name, json!({ "no such field": 1 })).await;
            let refused = answer["error"]["code"] == "FORBIDDEN";
            match method.need {
                Need::Scope(needed) => {
                    assert_eq!(!refused, held.allows(needed), "{} with {scope:?}", method.name);
                }
                Need::Operator => assert!(!refused, "{}", method.name),
                Need::Node => assert_eq!(answer["error"]["message"], "unauthorized role: operator"),
                other => panic!("{other:?} is not tested"),
            }
        }
    }
}

/// Each method, of a socket that has not said who it is, and of one that said it wrongly.
#[tokio::test]
async fn no_method_is_for_somebody_unknown() {
    let mut rule = Lockout::default();
    rule.attempts = u32::MAX;
    let doors = Doors::open(ServerConfig::token(TOKEN).lockout(rule)).await;
    for method in methods() {
        let mut nobody = doors.socket().await;
        let answer = nobody.request(method.name, json!({})).await;
        assert_eq!(answer["ok"], false, "{}: {answer}", method.name);
        let closed = nobody.closed().await;
        assert_eq!(closed.reason, "invalid handshake: first request must be connect");
        let mut guesser = doors.socket().await;
        assert_eq!(guess(&mut guesser).await, "AUTH_TOKEN_MISMATCH");
        assert_eq!(guesser.closed().await.code, 1008);
    }
}

#[tokio::test]
async fn a_client_that_keeps_asking_for_what_it_may_not_is_parted_from() {
    let doors = Doors::open(ServerConfig::token(TOKEN)).await;
    let mut client = doors.client(&[]).await;
    for _ in 0..10 {
        client.request("health", json!({})).await;
    }
    client.begin("health", json!({})).await;
    let closed = client.closed().await;
    assert_eq!((closed.code, closed.reason.as_str()), (1008, "repeated unauthorized calls"));
}

async fn guess(client: &mut Client) -> Value {
    client.connect(json!({ "token": WRONG }), &[]).await["error"]["details"]["code"].clone()
}

#[tokio::test]
async fn h25_those_who_guess_are_locked_out_also_after_a_restart() {
    let store = InMemory::new();
    let open = async |store: InMemory| {
        let model = Scripted::from_fn(|_| Ok(Step::text("x")));
        let gateway =
            Gateway::builder().provider(model).store(store).ephemeral().start().await.unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let config = ServerConfig::token(TOKEN).trusted_proxy("127.0.0.1/32".parse().unwrap());
        let serving = serve(listener, gateway.handle(), config).await.unwrap();
        Doors { gateway, serving }
    };
    let doors = open(store.clone()).await;
    let eve = ("x-forwarded-for", "198.51.100.66");
    let ada = ("x-forwarded-for", "198.51.100.77");
    for _ in 0..10 {
        assert_eq!(guess(&mut doors.socket_by(eve).await).await, "AUTH_TOKEN_MISMATCH");
        // That somebody else gets in clears nothing.
        let mut other = doors.socket_by(ada).await;
        assert_eq!(other.connect(json!({ "token": TOKEN }), &[]).await["ok"], true);
    }
    let locked = async |doors: &Doors| {
        // Nor does another spelling of where she is, and the right token comes too late.
        for header in [
            eve,
            ("x-forwarded-for", "203.0.113.1, 198.51.100.66"),
            ("x-forwarded-for", "::ffff:198.51.100.66"),
        ] {
            let mut client = doors.socket_by(header).await;
            let answer = client.connect(json!({ "token": TOKEN }), &[]).await;
            assert_eq!(answer["error"]["details"]["code"], "AUTH_RATE_LIMITED", "{header:?}");
            assert!(answer["error"]["retryAfterMs"].as_u64().unwrap() > 0);
        }
        let mut client = doors.socket_by(ada).await;
        assert_eq!(client.connect(json!({ "token": TOKEN }), &[]).await["ok"], true);
    };
    locked(&doors).await;
    // The write goes on beside; it is done when the gateway has stopped.
    doors.serving.stop().await;
    doors.gateway.shutdown().await.unwrap();
    let doors = open(store).await;
    locked(&doors).await;
}

#[tokio::test]
async fn h24_no_secret_is_in_the_store_in_answers_in_the_log_or_in_debug_texts() {
    use openclaw_core::{protocol::DeviceKey, store::RecordStore as _};
    let log = Log::default();
    let written = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE);
    let writer = log.clone();
    let written = written.with_writer(move || writer.clone()).finish();
    let logged = tracing::subscriber::set_default(written);
    let store = InMemory::new();
    // Something to log.
    let away = || Step::error(Error::new(ErrorKind::Unavailable, "the model is away"));
    let model = Scripted::from_fn(move |_| Ok(away()));
    let gateway =
        Gateway::builder().provider(model).store(store.clone()).ephemeral().start().await.unwrap();
    let config = ServerConfig::token(TOKEN).key(DeviceKey::from_seed(&[7; 32]));
    assert!(!format!("{config:?}").contains(TOKEN));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let serving = serve(listener, gateway.handle(), config).await.unwrap();
    let doors = Doors { gateway, serving };
    let mut client = doors.socket().await;
    let (key, params) = super::devices::proven(&client, 1, &["operator.admin"]);
    let hello = client.request("connect", params).await;
    let token = hello["payload"]["auth"]["deviceToken"].as_str().unwrap().to_owned();
    for method in ["device.pair.list", "system-presence", "status", "health", "node.list"] {
        let answer = client.request(method, json!({})).await.to_string();
        assert!(!answer.contains(&token) && !answer.contains(TOKEN), "{method}");
    }
    let mut wrong = doors.socket().await;
    let typo = format!("{TOKEN}x");
    let answer = wrong.connect(json!({"token": typo, "unknown": TOKEN}), &[]).await.to_string();
    assert!(!answer.contains(TOKEN), "{answer}");
    for space in ["device", "device-request", "lockout"] {
        for record in store.records(space, "", None, 100).await.unwrap() {
            assert!(!record.value.contains(&token) && !record.value.contains(TOKEN), "{record:?}");
        }
    }
    assert!(!store.records("device", "", None, 1).await.unwrap().is_empty());
    let guess = format!("Authorization: Bearer {TOKEN}x");
    let path = "/tools/invoke";
    let refused = super::http_client::post_with(doors.address(), path, &[&guess], &json!({})).await;
    assert!(refused.status == 401 && !format!("{refused:?}").contains(TOKEN), "{refused:?}");
    let said = json!({"sessionKey": "main", "message": "hello", "idempotencyKey": "k"});
    client.request("chat.send", said).await;
    client.request("agent.wait", json!({ "runId": "k" })).await;
    drop((key, logged));
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("the model is away"), "{log}");
    assert!(!log.contains(&token) && !log.contains(TOKEN), "{log}");
}

/// All that is logged.
#[derive(Clone, Default)]
struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(unix)]
#[test]
fn the_key_file_is_the_owners_alone() {
    use openclaw_core::server::read_key;
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.key");
    let key = read_key(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(read_key(&path).unwrap().id(), key.id());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let error = read_key(&path).unwrap_err().to_string();
    assert!(error.contains("600"), "{error}");
    let seed = std::fs::read_to_string(&path).unwrap();
    assert!(!error.contains(seed.trim()));
}
