//! A collector that the configuration names.

use openclaw_core::serde_json::json;
#[cfg(feature = "opentelemetry")]
use openclaw_core::testing::fake_service::{FakeService, answer};

use super::world::World;

#[cfg(feature = "opentelemetry")]
#[tokio::test]
async fn the_daemon_tells_a_collector_of_its_turns() {
    use openclaw_core::{bytes::Bytes, http::Request};

    let collector =
        FakeService::start(|_: Request<Bytes>| async { answer(200, "application/x-protobuf", "") });
    let collector = collector.await.unwrap();
    let world = World::new().await;
    let mut config = world.config();
    config["telemetry"] = json!({
        "endpoint": format!("{}/v1/traces", collector.url()), "headers": {"x-key": {"env": "COLLECTOR_KEY"}},
    });
    world.write(&config);
    let mut command = world.gateway(&[]);
    command.env("COLLECTOR_KEY", "collector-canary");
    let daemon = world.spawn(command).await;
    world.chat.say("a canary sings").unwrap();
    world.chat.next_message().await;
    daemon.signal("TERM");
    let (ended, log) = daemon.end().await;
    assert!(ended && !log.contains("collector-canary"), "{log}");
    let received = collector.received();
    assert!(received.iter().all(|one| one.header("x-key") == Some("collector-canary")));
    let told: Vec<u8> = received.iter().flat_map(|one| one.body.to_vec()).collect();
    let told = String::from_utf8_lossy(&told);
    assert!(told.contains("invoke_agent main") && told.contains("chat default"), "{told}\n{log}");
    assert!(!told.contains("canary"), "{told}");
    // Lines of the log are as without it.
    assert!(!log.contains("invoke_agent"), "{log}");
}

#[cfg(not(feature = "opentelemetry"))]
#[tokio::test]
async fn a_daemon_that_cannot_tell_a_collector_says_so() {
    let world = World::new().await;
    let mut config = world.config();
    config["telemetry"] = json!({"endpoint": "http://127.0.0.1:4318/v1/traces"});
    world.write(&config);
    for arguments in [&["--check"][..], &[]] {
        let output = world.gateway(arguments).output().unwrap();
        assert!(!output.status.success());
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("--features opentelemetry"), "{said}");
    }
}
