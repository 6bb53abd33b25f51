//! It answers, is killed, goes on, reads its file again, stops.

use openclaw_core::{
    bytes::Bytes, http::Request, http_client::HttpClient as _, serde_json::json,
    testing::fake_service::LoopbackClient,
};

use super::world::{KEY, World};

#[tokio::test]
async fn a_conversation_goes_on_over_kill_9_and_a_new_file() {
    let world = World::new().await;
    world.write(&world.config());
    let mut daemon = world.start(&[]).await;
    world.chat.say("one").unwrap();
    assert_eq!(world.chat.next_message().await.text, "answer 1, so");
    daemon.child.kill().unwrap();
    world.chat.say("said to nobody").unwrap();
    let mut daemon = world.start(&["--logs", "json"]).await;
    // Killed before it was written down that the first answer is there: it comes again.
    let mut next = world.chat.next_message().await.text;
    let repeated = usize::from(next == "answer 1, so");
    if repeated == 1 {
        next = world.chat.next_message().await.text;
    }
    assert_eq!(next, "answer 2, so");
    let mut config = world.config();
    config["agents"][0]["persona"] = "You are kind.".into();
    world.write(&config);
    daemon.signal("HUP");
    daemon.until("read again").await;
    world.chat.say("and now?").unwrap();
    assert_eq!(world.chat.next_message().await.text, "answer 3, dear");
    // A file that cannot be used changes nothing.
    world.write(&json!({"plugins": [{"plugin": "telegrm"}]}));
    daemon.signal("HUP");
    let line = daemon.until("nothing was changed").await;
    assert!(line.contains("did you mean"), "{line}");
    world.chat.say("still there?").unwrap();
    assert_eq!(world.chat.next_message().await.text, "answer 4, dear");
    daemon.signal("TERM");
    let (success, log) = daemon.end().await;
    assert!(success && log.contains("stopped"), "{log}");
    assert_eq!(world.chat.bot_messages().len(), 4 + repeated);
}

#[tokio::test]
async fn updates_come_by_webhook() {
    let world = World::new().await;
    let mut config = world.config();
    // Where Telegram is to come must be known before anything listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/webhooks/telegram/shop");
    config["plugins"][1]["config"]["mode"] =
        json!({"webhook": {"url": url, "secret": {"env": "HOOK_SECRET"}}});
    world.write(&config);
    let address = format!("127.0.0.1:{port}");
    let mut command = world.gateway(&["--listen", &address]);
    command.env("HOOK_SECRET", "0123456789abcdef0123");
    let daemon = world.spawn(command).await;
    world.bot.webhook_set().await;
    world.chat.say("hello").unwrap();
    assert_eq!(world.chat.next_message().await.text, "answer 1, so");
    let client = LoopbackClient::new();
    let get = |path: &str, method: &str| {
        let request = Request::builder().method(method).uri(format!("http://{address}{path}"));
        request.body(Bytes::from_static(b"{}")).unwrap()
    };
    for (path, method, status) in [
        ("/health", "GET", 200),
        ("/ready", "GET", 200),
        ("/webhooks/telegram/other", "POST", 404),
        ("/webhooks/nothing/shop", "POST", 404),
        // Without the secret.
        ("/webhooks/telegram/shop", "POST", 401),
    ] {
        assert_eq!(client.send(get(path, method)).await.unwrap().status(), status, "{path}");
    }
    drop(daemon);
}

#[tokio::test]
async fn no_secret_is_in_the_log() {
    let world = World::new().await;
    world.write(&world.config());
    let mut command = world.gateway(&[]);
    // The service refuses this key and repeats it.
    command.env("MODEL_KEY", "sk-wrong-canary").env("RUST_LOG", "trace");
    let daemon = world.spawn(command).await;
    world.chat.say("hello").unwrap();
    let told = world.chat.next_message().await.text;
    daemon.signal("TERM");
    let (_, log) = daemon.end().await;
    let token = world.bot.token();
    for secret in ["sk-wrong-canary", KEY, token.expose()] {
        assert!(!log.contains(secret) && !told.contains(secret), "{told}\n{log}");
    }
    assert!(log.len() > 1_000);
}
