//! The bot keeps to the rates that Telegram publishes, or to those that it is told.

use openclaw_channels::{
    telegram::{Config, Telegram},
    testing::telegram::{Chat, Emulator, Limits},
};
use openclaw_core::{
    Conversation,
    access::Access,
    message::{Content, Media, MediaSource, plain_text},
    provider::ChatMessage,
    schemars,
    testing::{Scripted, Step},
    tool::{Capability, Outgoing, ToolOutput, ToolSpec, tool_fn_with},
};
use serde::Deserialize;
use serde_json::json;

use super::{
    Paused,
    gateway::{account, app, echo},
};

#[derive(Deserialize, schemars::JsonSchema)]
struct Nothing {}

fn picture(number: usize) -> Content {
    Content::Media(Media {
        mime: "application/pdf".into(),
        source: MediaSource::Inline { base64: "ZHJhd24=".into() },
        name: Some(format!("{number}.pdf")),
        bytes: None,
    })
}

/// Waits until the bot has said so much there.
async fn said(chat: &Chat, bot: i64, count: usize) {
    let said =
        chat.until(|all| (all.iter().filter(|one| one.from == bot).count() >= count).then_some(()));
    said.await;
}

#[tokio::test(start_paused = true)]
async fn a_flood_stays_within_what_is_published() {
    const PEOPLE: usize = 50;
    const TOPICS: usize = 22;
    // With the limits that Telegram names; beyond them it answers 429.
    let telegram = Emulator::start().await.unwrap();
    let bot = telegram.bot("our_bot");
    let ada = telegram.user("Ada");
    let channel = Telegram::new(bot.token()).unwrap().http(telegram.client());
    // Ten files at once, as one album.
    let draw = ToolSpec::read_only("draw", "Draws").capability(Capability::Communicate);
    let album = ada.chat(&bot);
    let to = Conversation::direct(account(), album.id().to_string());
    let draw = tool_fn_with(draw, to, async |to: Conversation, _, _: Nothing| {
        let mut output = ToolOutput::text("drawn");
        output.outgoing.push(Outgoing { to, content: (0..10).map(picture).collect() });
        Ok(output)
    });
    let model = Scripted::from_fn(|request| {
        Ok(match request.messages.last() {
            Some(ChatMessage::User { content }) => match plain_text(content) {
                said if said.contains("draw") => Step::new().call("draw", json!({})),
                said if said.contains("long") => Step::text("word ".repeat(2_000)),
                _ => Step::text("Hello."),
            },
            _ => Step::text("Here they are."),
        })
    });
    let people: Vec<Chat> = (0..PEOPLE).map(|_| telegram.user("Bob").chat(&bot)).collect();
    for chat in &people {
        chat.say("hi").unwrap();
    }
    let forum = telegram.forum("Team", &ada);
    forum.add(&bot);
    let room = forum.chat(&ada);
    for number in 0..TOPICS {
        let topic = forum.topic(&format!("Topic {number}"));
        room.topic(topic).say("@our_bot hi").unwrap();
    }
    let book = telegram.user("Dan").chat(&bot);
    album.say("draw").unwrap();
    book.say("long").unwrap();
    let access = Access::open().group(forum.id().to_string());
    let gateway = app(&channel, model, &ada, access).tool(draw).clock(Paused::new());
    let gateway = gateway.start().await.unwrap();
    for chat in &people {
        said(chat, bot.id(), 1).await;
    }
    said(&album, bot.id(), 11).await;
    said(&book, bot.id(), 3).await;
    let topics = room.until(|all| {
        (all.iter().filter(|one| one.text == "Hello.").count() == TOPICS).then_some(())
    });
    topics.await;
    // None was refused: each was sent once.
    let service = telegram.service();
    assert_eq!(service.count("sendMediaGroup"), 1);
    assert_eq!(service.count("sendMessage"), PEOPLE + TOPICS + 1 + 3);
    gateway.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn configured_rates_take_the_place_of_the_published_ones() {
    let telegram = Emulator::start().await.unwrap();
    telegram.set_limits(Limits::NONE);
    let bot = telegram.bot("our_bot");
    let ada = telegram.user("Ada");
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, bot.token().expose()).unwrap();
    let config: Config = serde_json::from_value(json!({
        "token": {"file": token},
        "base_url": telegram.url(),
        "limits": {"rates": {"account": {"per_minute": 1, "burst": 2}}},
    }))
    .unwrap();
    let channel = Telegram::from_config(&config).unwrap().http(telegram.client());
    let people: Vec<Chat> = (0..4).map(|_| telegram.user("Bob").chat(&bot)).collect();
    for chat in &people {
        chat.say("hi").unwrap();
    }
    let began = tokio::time::Instant::now();
    let gateway = app(&channel, echo(), &ada, Access::open()).clock(Paused::new());
    let gateway = gateway.start().await.unwrap();
    for chat in &people {
        said(chat, bot.id(), 1).await;
    }
    // Two at once, then one a minute: of this clock, which nothing but waiting moves.
    assert_eq!(began.elapsed().as_secs() / 60, 2, "{:?}", began.elapsed());
    gateway.shutdown().await.unwrap();
}
