//! Loaded by name from JSON, and held to the suites.

use std::sync::Arc;

use openclaw_core::{
    Conversation, Gateway, MessageId, Result, async_trait,
    channel::Channel,
    plugin::{Parts, PluginContext, PluginEntry, Registry},
    serde_json::{self, json},
    store::Store,
    testing::{
        Suite,
        channel::{self, Message, Platform},
        provider::{self, ProviderFixture},
        store::{self, StoreFixture},
        tool::{self, ToolFixture},
    },
};
use strangers_plugins::{Wall, register};

#[tokio::test]
async fn all_are_loaded_by_name_from_json() {
    let wall = Wall::new().unwrap();
    let registry = register(Registry::new(), wall.clone());
    let text = r#"{
        "store": {"plugin": "shelf"},
        "ephemeral": true,
        "plugins": [
            {"plugin": "parrot", "config": {"line": "Pieces of eight!"}},
            {"plugin": "dice"},
            {"plugin": "wall"}
        ]
    }"#;
    let gateway = Gateway::builder().config_str(&registry, text).start().await.unwrap();
    let here = wall.place(0);
    wall.say(&here, "Hello");
    while wall.shown(&here).is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(wall.shown(&here)[0].1, "Pieces of eight!");
    gateway.shutdown().await.unwrap();

    let wrong = text.replace("parrot", "parot");
    let error = Gateway::builder().config_str(&registry, &wrong).start().await.unwrap_err();
    assert!(error.to_string().contains("parrot"), "{error}");
}

/// The parts of one entry of a configuration.
async fn load(registry: &Registry, entry: &str) -> Parts {
    let entry: PluginEntry = serde_json::from_str(entry).unwrap();
    registry.load(&entry, PluginContext::new(entry.plugin.as_str())).await.unwrap()
}

fn registry() -> Registry {
    register(Registry::new(), Wall::new().unwrap())
}

/// All cases pass but those that are skipped, and these are.
async fn keeps_its_contract(suite: Suite, skipped: &[&str]) {
    let report = suite.run().await;
    assert_eq!(report.failed().count(), 0, "{report}");
    let found: Vec<&str> = report.skipped().map(|(case, _)| case).collect();
    assert_eq!(found, skipped, "{report}");
}

#[tokio::test]
async fn the_provider_keeps_its_contract() {
    let parts = load(&registry(), r#"{"plugin": "parrot", "config": {"line": "Hello"}}"#).await;
    let parrot = parts.providers()[0].clone();
    let fixture = ProviderFixture::new("polly", move || parrot.clone()).expecting("Hello");
    // A parrot calls no tools, keeps no state, never falls silent and never refuses.
    let skipped = [
        "tool_calls_are_whole",
        "state_names_who_wants_it_back",
        "cancelling_ends_the_stream",
        "dropping_closes_the_request",
        "a_refusal_fails_before_the_stream",
    ];
    keeps_its_contract(provider::suite("parrot", fixture.with_usage()), &skipped).await;
}

#[tokio::test]
async fn the_tool_keeps_its_contract() {
    let parts = load(&registry(), r#"{"plugin": "dice"}"#).await;
    let dice = parts.tools()[0].clone();
    let fixture = ToolFixture::new(move || dice.clone());
    let fixture = fixture.good(json!({ "dice": 2 })).bad(json!({ "dice": 0 }));
    // Dice fall at once, change nothing and know no secrets.
    let skipped = [
        "a_cancelled_call_ends_soon",
        "one_key_acts_once",
        "reading_changes_nothing",
        "errors_keep_secrets",
    ];
    keeps_its_contract(tool::suite("dice", fixture), &skipped).await;
}

struct Shelves;

#[async_trait]
impl StoreFixture for Shelves {
    async fn open(&self) -> Result<Arc<dyn Store>> {
        let parts = load(&registry(), r#"{"plugin": "shelf"}"#).await;
        Ok(parts.stores()[0].clone())
    }
}

#[tokio::test]
async fn the_store_keeps_its_contract() {
    // It says that it is ephemeral.
    let skipped = ["everything_survives_reopening", "epochs_rise_over_reopening"];
    keeps_its_contract(store::suite("shelf", || Shelves), &skipped).await;
}

/// The other side of the wall, and the channel to it that was loaded.
struct Street {
    wall: Wall,
    channel: Arc<dyn Channel>,
}

impl Street {
    async fn new() -> Self {
        let wall = Wall::new().unwrap();
        let registry = register(Registry::new(), wall.clone());
        let parts = load(&registry, r#"{"plugin": "wall"}"#).await;
        Self { wall, channel: parts.channels()[0].clone() }
    }
}

#[async_trait]
impl Platform for Street {
    fn channel(&self) -> Arc<dyn Channel> {
        self.channel.clone()
    }

    fn conversation(&self, index: usize) -> Option<Conversation> {
        Some(self.wall.place(index))
    }

    async fn say(&self, to: &Conversation, text: &str) {
        self.wall.say(to, text);
    }

    async fn acknowledged(&self) -> Option<usize> {
        Some(self.wall.acknowledged())
    }

    async fn redeliver(&self) -> bool {
        self.wall.redeliver();
        true
    }

    async fn cut(&self) -> bool {
        self.wall.cut();
        true
    }

    async fn refuse_next(&self) -> bool {
        self.wall.refuse_next();
        true
    }

    async fn lose_next_answer(&self) -> bool {
        self.wall.lose_next_answer();
        true
    }

    async fn shown(&self, to: &Conversation) -> Vec<Message> {
        let shown = self.wall.shown(to).into_iter();
        shown.map(|(id, text)| Message { id: Some(MessageId::new(id)), text }).collect()
    }

    async fn reaction(&self, _: &Conversation, _: &MessageId) -> Option<String> {
        None
    }

    async fn typing(&self, _: &Conversation) -> usize {
        0
    }

    async fn press(&self, _: &Conversation, _: &str) {}
}

#[tokio::test]
async fn the_channel_keeps_its_contract() {
    // Nothing written is ever changed; there are no buttons, webhooks, files and credentials.
    let skipped = [
        "lookup_finds_what_was_sent",
        "edits_in_place",
        "deletes",
        "reacts",
        "types_without_a_message",
        "a_pressed_button_gives_its_token",
        "a_webhook_is_taken_in",
        "a_forged_webhook_is_refused_unread",
        "a_webhook_is_answered_only_when_it_was_accepted",
        "a_webhook_that_comes_again_keeps_its_key",
        "fetches_media_whole_or_not_at_all",
        "a_probe_tells_good_credentials_from_bad",
    ];
    keeps_its_contract(channel::suite("wall", Street::new), &skipped).await;
}
