//! The daemon without a file: what the environment names.

use openclaw_core::{
    bytes::Bytes,
    http::Request,
    serde_json::json,
    testing::fake_service::{FakeService, json_answer},
};

use super::world::{KEY, MODEL, World};

#[tokio::test]
async fn a_bot_and_a_provider_are_enough() {
    let world = World::new().await;
    let (models, owner) = (format!("{}/v1", world.models.url()), world.owner.id().to_string());
    let (token, telegram) = (world.bot.token(), world.telegram.url());
    let variables = [
        ("OPENAI_API_KEY", KEY),
        ("OPENAI_BASE_URL", models.as_str()),
        ("OPENAI_MODEL", MODEL),
        ("TELEGRAM_BOT_TOKEN", token.expose()),
        ("TELEGRAM_BASE_URL", telegram.as_str()),
        ("TELEGRAM_OWNER", owner.as_str()),
    ];
    let daemon = world.spawn(world.without_file(&variables, &["--listen", "127.0.0.1:0"])).await;
    assert!(daemon.said.contains("the environment"), "{}", daemon.said);
    world.chat.say("hello").unwrap();
    assert_eq!(world.chat.next_message().await.text, "answer 1, so");
    assert_eq!(world.asked.lock().unwrap()[0]["model"], MODEL);
    daemon.signal("TERM");
    let (ended, log) = daemon.end().await;
    assert!(ended && !log.contains(KEY) && !log.contains(token.expose()), "{log}");
    assert!(world.folder.path().join("openclaw.db").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_read_as_the_services_own_programs_read_them() {
    let world = World::new().await;
    let service = FakeService::start(|request: Request<Bytes>| async move {
        json_answer(
            200,
            &match request.uri().path() {
                "/api/tags" => json!({"models": [{"name": "small:1b", "model": "small:1b"}]}),
                "/v1/models" => json!({"data": [{"id": "claude-1", "type": "model"}]}),
                _ => json!({}),
            },
        )
    });
    let service = service.await.unwrap();
    let port = service.port();
    for host in [
        format!(":{port}"),
        format!("127.0.0.1:{port}"),
        format!("0.0.0.0:{port}"),
        format!("http://localhost:{port}/"),
    ] {
        let variables = [("OLLAMA_HOST", host.as_str()), ("OLLAMA_API_KEY", KEY)];
        let output = world.without_file(&variables, &["--check"]).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{host}: {said}");
        assert!(said.contains("provider ollama: it lists 1 models"), "{host}: {said}");
    }
    let asked = service.received();
    let bearer = format!("Bearer {KEY}");
    assert!(asked.iter().all(|one| one.header("authorization") == Some(&bearer)));
    let url = service.url();
    let variables = [("ANTHROPIC_BASE_URL", url.as_str()), ("ANTHROPIC_API_KEY", KEY)];
    let output = world.without_file(&variables, &["--check"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("provider anthropic: it lists 1 models"), "{said}");
    assert_eq!(service.received().last().unwrap().header("x-api-key"), Some(KEY));
}

#[tokio::test]
async fn without_a_provider_it_says_what_to_set() {
    let world = World::new().await;
    let output = world.without_file(&[("OLLAMA_MODEL", MODEL)], &[]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    for name in ["--config", "OPENAI_API_KEY", "ANTHROPIC_BASE_URL", "OLLAMA_HOST"] {
        assert!(said.contains(name), "{said}");
    }
}
