//! Loaded by name from JSON, and held to the suites.

use std::sync::Arc;

use openclaw_core::{
    Conversation, Gateway, MessageId, Result, async_trait,
    channel::Channel,
    plugin::Registry,
    serde_json::json,
    store::{InMemory, Store},
    testing::{
        channel::{self, Message, Platform},
        provider::{self, ProviderFixture},
        store::{self, StoreFixture},
        tool::{self, ToolFixture},
    },
};
use strangers_plugins::{Dice, Parrot, Wall, register};

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

#[tokio::test]
async fn the_provider_keeps_its_contract() {
    let fixture = ProviderFixture::new("polly", || Parrot::new("Hello")).expecting("Hello");
    provider::suite("parrot", fixture.with_usage()).assert().await;
}

#[tokio::test]
async fn the_tool_keeps_its_contract() {
    let fixture = ToolFixture::new(|| Dice).good(json!({ "dice": 2 })).bad(json!({ "dice": 0 }));
    tool::suite("dice", fixture).assert().await;
}

struct Shelf;

#[async_trait]
impl StoreFixture for Shelf {
    async fn open(&self) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(InMemory::new()))
    }
}

#[tokio::test]
async fn the_store_keeps_its_contract() {
    store::suite("shelf", || Shelf).assert().await;
}

/// The other side of the wall. What a wall cannot do is skipped.
struct Street(Wall);

#[async_trait]
impl Platform for Street {
    fn channel(&self) -> Arc<dyn Channel> {
        Arc::new(self.0.clone())
    }

    fn conversation(&self, index: usize) -> Option<Conversation> {
        Some(self.0.place(index))
    }

    async fn say(&self, to: &Conversation, text: &str) {
        self.0.say(to, text);
    }

    async fn acknowledged(&self) -> Option<usize> {
        Some(self.0.acknowledged())
    }

    async fn redeliver(&self) -> bool {
        self.0.redeliver();
        true
    }

    async fn cut(&self) -> bool {
        false
    }

    async fn refuse_next(&self) -> bool {
        false
    }

    async fn lose_next_answer(&self) -> bool {
        false
    }

    async fn shown(&self, to: &Conversation) -> Vec<Message> {
        let shown = self.0.shown(to).into_iter();
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
    channel::suite("wall", || async { Street(Wall::new().unwrap()) }).assert().await;
}
