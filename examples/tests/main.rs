//! The examples do what they say.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics has failed"
)]

mod boxed;
#[path = "../custom_channel.rs"]
#[allow(dead_code, reason = "its `main` is not called")]
mod custom_channel;
#[path = "../custom_provider.rs"]
#[allow(dead_code, reason = "its `main` is not called")]
mod custom_provider;
#[path = "../custom_tool.rs"]
#[allow(dead_code, reason = "its `main` is not called")]
mod custom_tool;
mod gateway;
#[path = "../hello.rs"]
#[allow(dead_code, reason = "its `main` is not called")]
mod hello;
#[path = "../remembering_bot.rs"]
#[allow(dead_code, reason = "its `main` is not called")]
mod remembering_bot;
#[path = "../semantic_search.rs"]
#[allow(dead_code, reason = "its `main` is not called")]
mod semantic_search;
#[path = "../structured_output.rs"]
#[allow(dead_code, reason = "its `main` is not called")]
mod structured_output;
mod telegram_bot;

use std::{io::Cursor, path::PathBuf, process::Command, sync::Arc};

use openclaw_channels::terminal::Terminal;
use openclaw_core::{
    serde_json::json,
    testing::{Loopback, Scripted, Step},
};
use openclaw_memory::sqlite::Sqlite;
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;

async fn store(folder: &TempDir) -> Sqlite {
    Sqlite::open(folder.path().join("test.db")).await.unwrap()
}

/// A terminal into which `input` is piped, and what it prints.
fn terminal(input: &str) -> (Terminal, tokio::io::DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    (Terminal::piped(Cursor::new(input.as_bytes().to_vec()), theirs), ours)
}

#[tokio::test]
async fn hello_answers_what_is_piped_in_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (terminal, mut printed) = terminal("hi\n");
    let model = Scripted::steps([
        Step::new().call("now", json!({ "zone": "Asia/Ho_Chi_Minh" })),
        Step::text("Good evening."),
    ]);
    let gateway = hello::app(model, terminal, store(&folder).await).start().await.unwrap();
    gateway.idle().await;
    gateway.shutdown().await.unwrap();
    let mut text = String::new();
    printed.read_to_string(&mut text).await.unwrap();
    assert!(text.contains("Good evening."), "{text}");
}

#[tokio::test]
async fn the_remembering_bot_knows_after_new_what_was_said_before() {
    let folder = tempfile::tempdir().unwrap();
    let model = Scripted::from_fn(|_| Ok("Noted."));
    let (terminal, _printed) =
        terminal("The spare key is under the blue flower pot.\n/new\nWhere is the spare key?\n");
    let store = store(&folder).await;
    let memory = remembering_bot::memory(&store).await.unwrap();
    let app = remembering_bot::app(model.clone(), terminal, store, memory);
    let gateway = app.start().await.unwrap();
    gateway.idle().await;
    gateway.shutdown().await.unwrap();
    let last = format!("{:?}", model.requests().last().unwrap().messages);
    assert!(last.contains("from your memory") && last.contains("blue flower pot"), "{last}");
}

#[tokio::test]
async fn a_folder_is_searched_by_meaning_and_again() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("car.md", "The automobile is in the garage."),
        ("tea.md", "# Tea\n\nGreen tea is brewed at eighty degrees."),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    for _ in 0..2 {
        let path = folder.path().to_owned();
        let found = semantic_search::search(path, "how hot is the tea", |_| ()).await.unwrap();
        assert_eq!(found[0].fact.session.as_deref(), Some("tea.md"));
    }
}

#[tokio::test]
async fn a_provider_of_ones_own_answers() {
    let folder = tempfile::tempdir().unwrap();
    let user = Loopback::new();
    let gateway = custom_provider::app(user.clone(), store(&folder).await).start().await.unwrap();
    assert_eq!(user.say("I am sad.").await.unwrap(), "Why do you say that you are sad?");
    assert_eq!(user.say("...").await.unwrap(), "Please go on.");
    gateway.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_tool_of_ones_own_asks_only_for_what_the_owner_did_not_name() {
    let folder = tempfile::tempdir().unwrap();
    let (user, shop) = (Loopback::new(), Arc::<custom_tool::Shop>::default());
    let refund = |euros| json!({ "order": "4711", "euros": euros });
    let model = Scripted::steps([
        Step::new().call("order_status", json!({ "order": "4711" })),
        Step::new().call("refund", refund(20)),
        Step::text("Paid back 20."),
        Step::new().call("refund", refund(30)),
        Step::text("Then not."),
    ]);
    let gateway = custom_tool::app(Arc::clone(&shop), model, user.clone(), store(&folder).await)
        .start()
        .await
        .unwrap();
    let said = user.say("Look at order 4711 and pay back 20 of it.").await.unwrap();
    assert_eq!(said, "Paid back 20.");
    assert_eq!(shop.refunded()["4711"], 20);

    let ask = user.say("Anything else?").await.unwrap();
    assert!(ask.contains("It spends money") && ask.contains("euros = 30"), "{ask}");
    let id = ask.split("`/approve ").nth(1).unwrap().split(' ').next().unwrap();
    let me = user.person("me");
    me.send(&format!("/approve {id} no"));
    while user.next_message(me.conversation()).await.text() != "Then not." {}
    assert_eq!(shop.refunded()["4711"], 20);
    gateway.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_channel_of_ones_own_hears_and_answers_once() {
    let folder = tempfile::tempdir().unwrap();
    let mail = folder.path().join("mail");
    let channel = custom_channel::Folder::open(&mail).unwrap();
    std::fs::write(mail.join("inbox/1.txt"), "Hello?\n").unwrap();
    let model =
        Scripted::from_fn(|request| Ok(format!("{} message(s) so far", request.messages.len())));
    let gateway = custom_channel::app(channel, model, store(&folder).await).start().await.unwrap();
    let replies = || -> Vec<PathBuf> {
        let files = std::fs::read_dir(mail.join("outbox")).unwrap();
        files.map(|file| file.unwrap().path()).filter(|p| p.extension().unwrap() == "txt").collect()
    };
    while replies().is_empty() || mail.join("inbox/1.txt").exists() {
        tokio::task::yield_now().await;
    }
    // The platform delivers it again: known, and answered once.
    std::fs::write(mail.join("inbox/1.txt"), "Hello?\n").unwrap();
    while mail.join("inbox/1.txt").exists() {
        tokio::task::yield_now().await;
    }
    gateway.shutdown().await.unwrap();
    let replies = replies();
    assert_eq!(replies.len(), 1, "{replies:?}");
    assert_eq!(std::fs::read_to_string(&replies[0]).unwrap(), "1 message(s) so far");
}

#[tokio::test]
async fn an_answer_fits_a_type_or_is_repaired() {
    let model = Scripted::replies([
        "Pizza on Friday!",
        r#"{ "title": "Pizza with Ada", "day": "Friday", "hour": 19 }"#,
    ]);
    let gateway = structured_output::app(model.clone()).start().await.unwrap();
    let found = structured_output::read(&gateway.handle(), "Pizza with Ada, Friday at 7 pm").await;
    let expected = structured_output::Appointment {
        title: "Pizza with Ada".into(),
        day: "Friday".into(),
        hour: 19,
    };
    assert_eq!(found.unwrap(), expected);
    assert!(model.requests()[0].response_format.is_some());
    gateway.shutdown().await.unwrap();
}

/// Cargo builds the examples with the tests; they stand beside the test's own folder.
fn example(name: &str) -> Command {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("examples");
    path.push(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(path.exists(), "{} is missing: `cargo build --examples`", path.display());
    Command::new(path)
}

#[test]
fn the_demo_keeps_every_promise_under_kill_9() {
    let output = example("demo").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    assert_eq!(text.matches("kill -9").count(), 4, "{text}");
    assert_eq!(text.matches("[ok]").count(), 7, "{text}");
}

#[test]
fn an_example_without_a_provider_says_what_to_do() {
    let output = example("hello")
        .env_remove("OPENAI_API_KEY")
        .env_remove("OPENAI_BASE_URL")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("OPENAI_API_KEY"), "{errors}");
}
