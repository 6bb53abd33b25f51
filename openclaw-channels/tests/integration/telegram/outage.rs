//! An hour without Telegram.

use std::{sync::Arc, time::Duration};

use openclaw_core::{
    access::Access,
    provider::ChatMessage,
    schemars,
    testing::{
        Scripted, Step,
        fake_service::{ANY, Fault},
    },
    tool::{ToolSpec, tool_fn_with},
};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Notify;

use super::{
    Paused,
    gateway::{Stage, app},
};

#[derive(Deserialize, schemars::JsonSchema)]
struct Nothing {}

#[tokio::test(start_paused = true)]
async fn an_hour_of_outage_loses_nothing_and_keeps_no_service_busy() {
    let mut stage = Stage::new().await;
    stage.channel = stage.channel.http(stage.telegram.client());
    let script = Scripted::from_fn(|request| {
        Ok(match request.messages.last() {
            Some(ChatMessage::User { content }) => {
                match openclaw_core::message::plain_text(content).contains("wait") {
                    true => Step::new().call("wait", json!({})),
                    false => Step::text("at once"),
                }
            }
            _ => Step::text("after the wait"),
        })
    });
    let over = Arc::new(Notify::new());
    let wait = ToolSpec::read_only("wait", "Waits");
    let wait = tool_fn_with(wait, Arc::clone(&over), async |over: Arc<Notify>, _, _: Nothing| {
        over.notified().await;
        Ok("it is over")
    });
    let gateway = app(&stage.channel, script.clone(), &stage.ada, Access::open()).tool(wait);
    let gateway = gateway.clock(Paused::new()).start().await.unwrap();
    stage.chat.say("wait for it").unwrap();
    while script.requests().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // From now on nothing comes or goes; a reply is ready, and a message waits at Telegram.
    stage.telegram.faults().always(ANY, Fault::Drop);
    over.notify_one();
    let service = stage.telegram.service();
    let calls =
        |methods: &[&str]| methods.iter().map(|method| service.count(method)).sum::<usize>();
    let hearing = ["getMe", "setMyCommands", "deleteWebhook", "getUpdates"];
    let before = calls(&hearing);
    // The question for updates that was open has ended by then.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let bob = stage.telegram.user("Bob").chat(&stage.bot);
    bob.say("hello?").unwrap();
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    let asked = calls(&hearing);
    let (asked, sent) = (asked - before, service.count("sendMessage"));
    assert!((55..=70).contains(&asked), "{asked} calls to hear");
    assert!((10..=25).contains(&sent), "{sent} calls to send");
    assert!(service.count("sendChatAction") < 10);
    stage.telegram.faults().clear();
    assert_eq!(stage.chat.next_message().await.text, "after the wait");
    assert_eq!(bob.next_message().await.text, "at once");
    // Nothing more comes of it.
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!((stage.chat.bot_messages().len(), bob.bot_messages().len()), (1, 1));
    gateway.shutdown().await.unwrap();
}
