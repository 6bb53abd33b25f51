//! What signals do.

use std::{io::Write as _, process::Command};

use openclaw_core::{
    bytes::Bytes, http::Request, http_client::HttpClient as _, serde_json::json,
    testing::fake_service::LoopbackClient,
};

use super::world::{HOOK_SECRET, World};

const MODELS: &str = "/v1/chat/completions";

#[tokio::test]
async fn what_runs_is_let_to_its_end_and_nothing_more_comes_in() {
    let world = World::new().await;
    let (mut daemon, address) = world.hooked().await;
    world.chat.say("wait for it").unwrap();
    world.models.wait_for(MODELS, 1).await;
    daemon.signal("TERM");
    daemon.until("stopping").await;
    let client = LoopbackClient::new();
    for (method, path) in
        [("GET", "/ready"), ("POST", "/webhooks/telegram/shop"), ("GET", "/health")]
    {
        let request = Request::builder().method(method).uri(format!("http://{address}{path}"));
        let request = request.header("x-telegram-bot-api-secret-token", HOOK_SECRET);
        let answer = client.send(request.body(Bytes::from_static(b"{}")).unwrap()).await.unwrap();
        assert_eq!(answer.status(), if path == "/health" { 200 } else { 503 }, "{path}");
    }
    assert!(world.chat.bot_messages().is_empty());
    world.gate.add_permits(1);
    assert_eq!(world.chat.next_message().await.text, "answer 1, so");
    let (ended, log) = daemon.end().await;
    assert!(ended && log.contains("stopped"), "{log}");
    // Its answer was noted: the next one does not say it again.
    let (daemon, _) = world.hooked().await;
    world.chat.say("and now?").unwrap();
    assert_eq!(world.chat.next_message().await.text, "answer 2, so");
    drop(daemon);
}

#[tokio::test]
async fn a_reload_takes_a_new_bot_and_a_new_model_but_no_other_door() {
    let world = World::new().await;
    let second = world.telegram.bot("desk_bot");
    let mut config = world.config();
    config["server"] = json!({
        "listen": "127.0.0.1:0",
        "auth": {"mode": "token", "token": {"env": "DOOR_TOKEN"}},
    });
    world.write(&config);
    let mut command = world.gateway(&[]);
    command.env("DOOR_TOKEN", "a-token-of-these-doors").env("DESK_TOKEN", second.token().expose());
    let mut daemon = world.spawn(command).await;
    let before = config.clone();
    config["server"]["hosts"] = json!(["claw.example"]);
    world.write(&config);
    daemon.signal("HUP");
    let line = daemon.until("nothing was changed").await;
    assert!(line.contains("server") && line.contains("cannot be changed by a reload"), "{line}");
    config = before;
    config["plugins"][0]["config"]["model"] = "large-1".into();
    let mut desk = config["plugins"][1].clone();
    desk["config"]["account"] = "desk".into();
    desk["config"]["token"] = json!({"env": "DESK_TOKEN"});
    config["plugins"].as_array_mut().unwrap().push(desk);
    world.write(&config);
    daemon.signal("HUP");
    daemon.until("read again").await;
    let theirs = world.owner.chat(&second);
    theirs.say("hello").unwrap();
    assert_eq!(theirs.next_message().await.text, "answer 1, so");
    assert_eq!(world.asked.lock().unwrap().last().unwrap()["model"], "large-1");
    world.chat.say("and you?").unwrap();
    assert_eq!(world.chat.next_message().await.text, "answer 1, so");
    daemon.signal("TERM");
    let (ended, log) = daemon.end().await;
    assert!(ended, "{log}");
}

#[tokio::test]
async fn a_signal_before_it_is_ready_is_not_its_end() {
    let world = World::new().await;
    let file = world.folder.path().join("openclaw.json");
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    let mut daemon = world.launch(world.gateway(&[]));
    // This is open when the daemon reads at the other end; until it is closed, it goes on reading.
    let pipe = file.clone();
    let open = move || std::fs::OpenOptions::new().write(true).open(pipe).unwrap();
    let mut pipe = tokio::task::spawn_blocking(open).await.unwrap();
    daemon.signal("HUP");
    let text = world.config().to_string();
    let next = world.folder.path().join("next.json");
    std::fs::write(&next, &text).unwrap();
    std::fs::rename(&next, &file).unwrap();
    pipe.write_all(text.as_bytes()).unwrap();
    drop(pipe);
    daemon.until("ready").await;
    daemon.until("read again").await;
}
