//! No secret is in the log, in whichever form it is written.

use openclaw_core::serde_json::json;

use super::world::{KEY, World};

#[tokio::test]
async fn no_secret_is_in_the_log() {
    for form in ["readable", "json"] {
        let world = World::new().await;
        world.write(&world.config());
        let mut command = world.gateway(&["--logs", form]);
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
}

#[tokio::test]
async fn what_is_logged_on_purpose_has_no_secret_either() {
    const SECRET: &str = r#"quote"back\slash-4711"#;
    for form in ["readable", "json"] {
        let world = World::new().await;
        let mut config = world.config();
        config["secrets"] = json!({"shop": {"env": "SHOP_KEY"}});
        // The daemon says where its file is; nobody else would know that this is a secret.
        let folder = world.folder.path().join(SECRET);
        std::fs::create_dir(&folder).unwrap();
        let file = folder.join("openclaw.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let mut command = world.gateway(&["--logs", form, "--config", file.to_str().unwrap()]);
        command.env("SHOP_KEY", SECRET);
        let daemon = world.spawn(command).await;
        daemon.signal("TERM");
        let (ended, log) = daemon.end().await;
        assert!(ended && log.contains("/[redacted]/openclaw.json"), "{log}");
        assert!(!log.contains("slash-4711"), "{log}");
    }
}
