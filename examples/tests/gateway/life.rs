//! It answers, is killed, goes on, reads its file again, stops.

use openclaw_core::{
    bytes::Bytes, http::Request, http_client::HttpClient as _, serde_json::json,
    testing::fake_service::LoopbackClient,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::world::{HOOK_SECRET, World};

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

/// The bytes of a webhook whose body is said to be of `length`.
fn hook(address: &str, length: usize) -> String {
    format!(
        "POST /webhooks/telegram/shop HTTP/1.1\r\nHost: {address}\r\n\
         X-Telegram-Bot-Api-Secret-Token: {HOOK_SECRET}\r\nContent-Length: {length}\r\n\r\n"
    )
}

#[tokio::test]
async fn bodies_that_are_huge_or_never_end_hold_nothing_up() {
    let world = World::new().await;
    let (daemon, address) = world.hooked().await;
    let resident = daemon.resident();
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(format!("{}{{", hook(&address, 100)).as_bytes()).await.unwrap();
        slow.push(stream);
    }
    let mut huge = TcpStream::connect(&address).await.unwrap();
    let length = 100_000_000;
    huge.write_all(hook(&address, length).as_bytes()).await.unwrap();
    // It may hang up before all was written.
    let block = [b' '; 65_536];
    for _ in 0..length / block.len() {
        if huge.write_all(&block).await.is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    let _ = huge.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(daemon.resident() < resident + 20_000);
    // In the meantime people are heard.
    world.chat.say("hello").unwrap();
    assert_eq!(world.chat.next_message().await.text, "answer 1, so");
    for mut stream in slow {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
}

#[tokio::test]
async fn updates_come_by_webhook() {
    let world = World::new().await;
    let (daemon, address) = world.hooked().await;
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
async fn no_body_of_somebody_without_the_secret_is_waited_for() {
    let world = World::new().await;
    let (daemon, address) = world.hooked().await;
    for (length, secret) in [(100, ""), (100_000_000, "another-accounts-secret")] {
        let head = hook(&address, length).replace(HOOK_SECRET, secret);
        let mut stream = TcpStream::connect(&address).await.unwrap();
        // The rest of the body never comes.
        stream.write_all(format!("{head}{{").as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 401");
    }
    drop(daemon);
}
