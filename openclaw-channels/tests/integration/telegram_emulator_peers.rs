//! The Telegram emulator under bots on libraries that others wrote for the real one.

use std::{path::Path, time::Duration};

use openclaw_channels::testing::telegram::{Bot, Emulator, Limits, Media, Rate};
use tokio::process::{Child, Command};

use crate::peers::{free_port, peer};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR----";
const SECRET: &str = "hook-Secret_1";

fn limits() -> Limits {
    let mut limits = Limits::NONE;
    limits.chat = Some(Rate::new(1, Duration::from_secs(1)));
    limits
}

fn script(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(name)
}

/// Where the bot is to get its updates.
#[derive(Clone, Copy)]
enum By {
    Polling,
    Webhook(u16),
}

impl By {
    fn arguments(self) -> Vec<String> {
        match self {
            Self::Polling => vec!["poll".into()],
            Self::Webhook(port) => vec![port.to_string(), SECRET.into()],
        }
    }
}

fn grammy(modules: &Path, telegram: &Emulator, bot: &Bot, by: By) -> Command {
    let mut command = Command::new("node");
    command
        .arg(script("grammy_bot.cjs"))
        .arg(modules)
        .arg(telegram.url())
        .args(by.arguments())
        .env("BOT_TOKEN", bot.token().expose())
        .kill_on_drop(true);
    command
}

fn ptb(python: &Path, telegram: &Emulator, bot: &Bot, by: By) -> Command {
    let mut command = Command::new(python);
    command
        .arg(script("ptb_bot.py"))
        .arg(telegram.url())
        .args(by.arguments())
        .env("BOT_TOKEN", bot.token().expose())
        .kill_on_drop(true);
    command
}

async fn telegram() -> (Emulator, Bot) {
    let telegram = Emulator::start().await.unwrap();
    telegram.set_limits(Limits::NONE);
    telegram.set_webhook_pause(Duration::from_millis(50));
    let bot = telegram.bot("peer_bot");
    (telegram, bot)
}

/// Everything that the bots can do, from the side of the people.
async fn story(telegram: &Emulator, bot: &Bot) {
    assert_eq!(bot.commands_set().await, [("start".to_owned(), "Begin".to_owned())]);
    let ann = telegram.user("Ann");
    let chat = ann.chat(bot);

    // HTML, a quote, a keyboard; the press, its answer, and an edit in MarkdownV2.
    let start = chat.say("/start").unwrap();
    let question = chat.next_message().await;
    assert_eq!((question.text.as_str(), question.reply_to), ("Ready?", Some(start)));
    assert_eq!((question.entities[0].kind.as_str(), question.entities[0].length), ("bold", 5));
    assert_eq!(question.button("Help").unwrap().url.as_deref(), Some("https://example.com"));
    let press = chat.press(question.id, "Yes").unwrap();
    let answer = press.answered().await;
    assert_eq!((answer.text.as_str(), answer.alert), ("Noted", true));
    let edited = chat.until(|all| all.iter().find(|m| m.edits == 1).cloned()).await;
    assert_eq!((edited.id, edited.text.as_str()), (question.id, "Said yes."));
    assert!(edited.keyboard.is_empty(), "an edit without a keyboard takes it away");

    // Files, down and up, by upload and by id.
    chat.send_media(Media::photo(PNG)).unwrap();
    let back = chat.next_message().await;
    let file = back.file.clone().unwrap();
    assert_eq!((file.name.as_deref(), &file.bytes[..]), (Some("back.png"), PNG));
    assert_eq!(back.text, format!("{} bytes", PNG.len()));
    chat.send_media(Media::voice(&b"OggS1"[..]).with("duration", 2)).unwrap();
    assert_eq!(&chat.next_message().await.file.unwrap().bytes[..], b"OggS1");
    chat.say("album").unwrap();
    let (one, two) = (chat.next_message().await, chat.next_message().await);
    assert_eq!((one.text.as_str(), two.text.as_str()), ("one", ""));
    assert!(one.album.is_some() && one.album == two.album);
    chat.send_location(10.5, 106.25).unwrap();
    assert_eq!(chat.next_message().await.json["venue"]["location"]["longitude"], 106.25);

    // Reactions both ways, typing, edits, deletion.
    let id = chat.say("react").unwrap();
    let reacted = |all: &[openclaw_channels::testing::telegram::Shown]| {
        all.iter().find(|m| m.id == id && !m.reactions.is_empty()).cloned()
    };
    assert_eq!(chat.until(reacted).await.reactions, [(bot.id(), "👍".to_owned())]);
    chat.react(question.id, &["🔥"]).unwrap();
    assert_eq!(chat.next_message().await.text, "reacted 🔥");
    chat.say("type").unwrap();
    chat.acted("typing", 1).await;
    chat.edit(id, "reread").unwrap();
    assert_eq!(chat.next_message().await.text, "edited to reread");
    let id = chat.say("forget").unwrap();
    chat.until(|all| all.iter().all(|m| m.id != id).then_some(())).await;
    assert!(chat.message_by_id(id).unwrap().deleted);

    // The library waits as long as it is told to.
    telegram.set_limits(limits());
    chat.say("burst").unwrap();
    for n in 1..=3 {
        assert_eq!(chat.next_message().await.text, format!("burst {n}"));
    }
    telegram.set_limits(Limits::NONE);

    // A group that becomes another.
    let group = telegram.group("Team", &ann);
    group.add(bot);
    let old = group.id();
    let new = group.migrate();
    chat.say(&format!("send to {old}")).unwrap();
    let expected = format!("400 Bad Request: group chat was upgraded to a supergroup chat {new}");
    assert_eq!(chat.next_message().await.text, expected);

    // Topics, in a forum where the bot sees only what is meant for it.
    let forum = telegram.forum("Forum", &ann);
    forum.add(bot);
    forum.promote(bot);
    let here = forum.chat(&ann);
    here.say("topic Orders").unwrap();
    let welcome = here.next_message().await;
    let thread = welcome.thread.unwrap();
    assert_eq!(
        (welcome.text.as_str(), thread),
        ("welcome", welcome.json["message_thread_id"].as_i64().unwrap())
    );
    here.topic(thread).say("ping").unwrap();
    let pong = here.topic(thread).next_message().await;
    assert_eq!((pong.text.as_str(), pong.thread), ("pong", Some(thread)));
    bot.confirmed().await;
}

async fn killed(child: &mut Child) {
    use std::os::unix::process::ExitStatusExt as _;
    assert_eq!(child.wait().await.unwrap().signal(), Some(9));
}

/// An update that kills the bot comes again.
async fn redelivery(telegram: &Emulator, bot: &Bot, command: impl Fn() -> Command) {
    let chat = telegram.user("Ben").chat(bot);
    let mut child = command().env("CRASH", "1").spawn().unwrap();
    bot.commands_set().await;
    chat.say("crash").unwrap();
    killed(&mut child).await;
    assert_eq!(bot.pending(), 1, "what killed the bot is not confirmed");
    let _child = command().spawn().unwrap();
    assert_eq!(chat.next_message().await.text, "survived");
    bot.confirmed().await;
    assert_eq!(chat.bot_messages().len(), 1);
}

#[tokio::test]
async fn grammy_talks_by_polling() {
    let Some(modules) = peer("grammy_talks_by_polling", "OPENCLAW_PEER_GRAMMY") else { return };
    let (telegram, bot) = telegram().await;
    let _child = grammy(&modules, &telegram, &bot, By::Polling).spawn().unwrap();
    story(&telegram, &bot).await;
    // A poll that waits is one request, not thousands.
    assert!(telegram.service().count("getUpdates") < 100);
}

#[tokio::test]
async fn grammy_talks_by_webhook() {
    let Some(modules) = peer("grammy_talks_by_webhook", "OPENCLAW_PEER_GRAMMY") else { return };
    let (telegram, bot) = telegram().await;
    let by = By::Webhook(free_port());
    let _child = grammy(&modules, &telegram, &bot, by).spawn().unwrap();
    bot.webhook_set().await;
    story(&telegram, &bot).await;
}

#[tokio::test]
async fn grammy_gets_again_what_killed_it_by_polling() {
    const TEST: &str = "grammy_gets_again_what_killed_it_by_polling";
    let Some(modules) = peer(TEST, "OPENCLAW_PEER_GRAMMY") else { return };
    let (telegram, bot) = telegram().await;
    redelivery(&telegram, &bot, || grammy(&modules, &telegram, &bot, By::Polling)).await;
}

#[tokio::test]
async fn grammy_gets_again_what_killed_it_by_webhook() {
    const TEST: &str = "grammy_gets_again_what_killed_it_by_webhook";
    let Some(modules) = peer(TEST, "OPENCLAW_PEER_GRAMMY") else { return };
    let (telegram, bot) = telegram().await;
    let by = By::Webhook(free_port());
    redelivery(&telegram, &bot, || grammy(&modules, &telegram, &bot, by)).await;
    assert_eq!(bot.webhook_failed().await, "Connection refused");
}

#[tokio::test]
async fn python_telegram_bot_talks_by_polling() {
    let Some(python) = peer("python_telegram_bot_talks_by_polling", "OPENCLAW_PEER_PTB") else {
        return;
    };
    let (telegram, bot) = telegram().await;
    let _child = ptb(&python, &telegram, &bot, By::Polling).spawn().unwrap();
    story(&telegram, &bot).await;
    assert!(telegram.service().count("getUpdates") < 100);
}

#[tokio::test]
async fn python_telegram_bot_talks_by_webhook() {
    let Some(python) = peer("python_telegram_bot_talks_by_webhook", "OPENCLAW_PEER_PTB") else {
        return;
    };
    let (telegram, bot) = telegram().await;
    let by = By::Webhook(free_port());
    let _child = ptb(&python, &telegram, &bot, by).spawn().unwrap();
    bot.webhook_set().await;
    story(&telegram, &bot).await;
}
