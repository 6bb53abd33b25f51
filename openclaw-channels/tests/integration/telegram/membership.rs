//! A bot that is thrown out of a group and taken back.

use openclaw_core::{access::Access, testing::fake_service::Fault};

use super::gateway::{Stage, app, echo};

#[tokio::test]
async fn thrown_out_with_messages_waiting_and_taken_back() {
    let stage = Stage::new().await;
    let group = stage.telegram.supergroup("Team", &stage.ada);
    group.add(&stage.bot);
    let access = Access::open().group(group.id().to_string());
    let gateway = app(&stage.channel, echo(), &stage.ada, access).start().await.unwrap();
    // A bot may write only to those who have written to it.
    stage.chat.say("hello").unwrap();
    assert_eq!(stage.chat.next_message().await.text, "re: hello");
    let chat = group.chat(&stage.ada);
    chat.say("@our_bot one").unwrap();
    assert_eq!(chat.next_message().await.text, "re: @our_bot one");
    // The next answer waits to be sent when it is thrown out.
    stage.telegram.faults().once("sendMessage", Fault::RateLimited { retry_after: 1 });
    let sent = stage.telegram.service().count("sendMessage");
    chat.say("@our_bot two").unwrap();
    stage.telegram.service().wait_for("sendMessage", sent + 1).await;
    group.kick(&stage.bot);
    let told = stage
        .chat
        .until(|all| all.iter().find(|one| one.text.contains("could not be delivered")).cloned());
    let told = told.await.text;
    assert!(told.contains(&group.id().to_string()) && told.contains("kicked"), "{told}");
    // People are heard elsewhere, and there again when it is back; what was given up does not come late.
    stage.chat.say("still there?").unwrap();
    stage.chat.until(|all| all.iter().find(|one| one.text == "re: still there?").cloned()).await;
    group.add(&stage.bot);
    chat.say("@our_bot three").unwrap();
    let answered = chat.until(|all| {
        all.iter().find(|one| one.from == stage.bot.id() && one.text.contains("three")).cloned()
    });
    answered.await;
    let texts: Vec<String> = chat.bot_messages().into_iter().map(|one| one.text).collect();
    assert!(!texts.iter().any(|text| text == "re: @our_bot two"), "{texts:?}");
    gateway.shutdown().await.unwrap();
}
