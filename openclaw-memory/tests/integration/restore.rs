//! A gateway whose file is damaged goes on from a backup that was made while it worked.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use openclaw_core::{
    ErrorKind, Gateway, GatewayBuilder, Result,
    agent::Agent,
    policy::Permission,
    provider::CompletionRequest,
    testing::{Loopback, Scripted, scripted::Step},
    tool::{Tool, ToolContext, ToolSpec, tool_fn_with},
};
use openclaw_memory::sqlite::Sqlite;
use serde_json::json;

use crate::common::folder;

/// Acts for good.
fn pay(count: &Arc<AtomicUsize>) -> impl Tool + use<> {
    #[derive(serde::Deserialize, openclaw_core::schemars::JsonSchema)]
    #[serde(crate = "serde")]
    #[schemars(crate = "openclaw_core::schemars")]
    struct Order {
        number: String,
    }
    async fn run(count: Arc<AtomicUsize>, _: ToolContext, order: Order) -> Result<String> {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(format!("paid {}", order.number))
    }
    tool_fn_with(ToolSpec::new("pay", "Pays an order"), Arc::clone(count), run)
}

fn said(request: &CompletionRequest) -> String {
    serde_json::to_string(&request.messages).unwrap()
}

fn gateway(
    store: &Sqlite,
    chat: &Loopback,
    script: &Scripted,
    count: &Arc<AtomicUsize>,
) -> GatewayBuilder {
    Gateway::builder()
        .provider(script.clone())
        .store(store.clone())
        .channel(chat.clone())
        .tool(pay(count))
        .agent(Agent::new("main").permission("pay", Permission::Ask))
}

#[tokio::test]
async fn a_gateway_goes_on_from_a_backup() {
    let (_folder, path) = folder();
    let copy = path.with_file_name("copy.db");
    let (chat, count) = (Loopback::new(), Arc::new(AtomicUsize::new(0)));
    let (ann, bob, cid) = (chat.person("ann"), chat.person("bob"), chat.person("cid"));

    let store = Sqlite::open(&path).await.unwrap();
    let script = Scripted::from_fn(|request: &CompletionRequest| {
        let text = said(request);
        Ok(match () {
            () if text.contains("a riddle") => Step::new().stall(),
            () if text.contains("settle it") => Step::new().call("pay", json!({ "number": "77" })),
            () => Step::text("a good name"),
        })
    });
    let first = gateway(&store, &chat, &script, &count).start().await.unwrap();
    // One conversation has a history, one waits for leave, in one the model is at work.
    assert_eq!(ann.say("my cat is called Mango").await.unwrap(), "a good name");
    assert!(bob.say("settle it").await.unwrap().contains("77"));
    cid.send("a riddle");
    while script.requests().len() < 3 {
        tokio::task::yield_now().await;
    }
    store.backup(&copy).await.unwrap();
    drop(first);
    store.close().await.unwrap();

    // Half of the file is lost: it is refused, and left as it is.
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    let damaged = std::fs::read(&path).unwrap();
    let error = Sqlite::open(&path).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), damaged);

    std::fs::remove_file(&path).unwrap();
    std::fs::rename(&copy, &path).unwrap();
    let store = Sqlite::open(&path).await.unwrap();
    let script = Scripted::from_fn(|request: &CompletionRequest| {
        let text = said(request);
        Ok(Step::text(match () {
            () if text.contains("a riddle") => "the answer",
            () if text.contains("paid 77") => "it is paid",
            () if text.contains("Mango") => "Mango, of course",
            () => "who?",
        }))
    });
    let second = gateway(&store, &chat, &script, &count).start().await.unwrap();
    assert_eq!(chat.next_message(cid.conversation()).await.text(), "the answer");
    assert_eq!(ann.say("what is it called?").await.unwrap(), "Mango, of course");
    let label = chat.messages().iter().find_map(|shown| {
        let text = format!("{:?}", shown.content);
        let at = text.find("label: \"Allow ")?;
        Some(text[at + 8..].split('"').next()?.to_owned())
    });
    bob.press(&label.expect("the ask has its buttons")).unwrap();
    let mut told = Vec::new();
    while told.last().is_none_or(|text| text != "it is paid") {
        told.push(chat.next_message(bob.conversation()).await.text());
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
    second.shutdown().await.unwrap();
    assert!(store.doctor().await.unwrap().is_sound());
}
