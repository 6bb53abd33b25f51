//! What the bot says and does.

use openclaw_channels::{
    telegram::{Limits, Telegram},
    testing::telegram::{Bot, Chat, Emulator},
};
use openclaw_core::{
    Conversation, Error, ErrorKind, Retry,
    bytes::Bytes,
    channel::{Channel, ChannelContext, FetchMedia as _, Probe as _},
    message::{Action, Button, Content, Media, MediaSource, Sent},
    testing::fake_service::Fault,
};
use serde_json::json;

use super::{done, door, polling, refused, say, telegram};

struct Stage {
    telegram: Emulator,
    bot: Bot,
    channel: Telegram,
    cx: ChannelContext,
    chat: Chat,
    to: Conversation,
}

impl Stage {
    async fn new() -> Self {
        let (telegram, bot) = telegram().await;
        let channel = polling(&telegram, &bot);
        let chat = telegram.user("Ada").chat(&bot);
        chat.say("/start").unwrap();
        let (_, cx) = door(&channel);
        let to = Conversation::direct(channel.id().clone(), chat.id().to_string());
        Self { telegram, bot, channel, cx, chat, to }
    }

    async fn send(&self, content: Vec<Content>) -> Vec<i64> {
        let action = Action::Send { key: "k".into(), content, reply_to: None };
        let receipt = done(&self.channel, &self.cx, &self.to, &action).await;
        receipt.messages.iter().map(|id| id.as_str().parse().unwrap()).collect()
    }

    async fn refused(&self, action: &Action) -> Error {
        refused(&self.channel, &self.cx, &self.to, action).await
    }

    fn fault(&self, method: &str, fault: Fault) {
        self.telegram.faults().once(method, fault);
    }
}

/// How a PNG begins.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

fn media(mime: &str, bytes: &[u8], name: Option<&str>) -> Content {
    use std::fmt::Write as _;
    // Base64 by hand for a handful of bytes is not worth a crate.
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut base64 = String::new();
    for chunk in bytes.chunks(3) {
        let n = (u32::from(chunk[0]) << 16)
            | (u32::from(*chunk.get(1).unwrap_or(&0)) << 8)
            | u32::from(*chunk.get(2).unwrap_or(&0));
        for place in 0..4 {
            let digit = char::from(ALPHABET[(n >> (18 - 6 * place) & 63) as usize]);
            let shown = if place <= chunk.len() { digit } else { '=' };
            write!(base64, "{shown}").unwrap();
        }
    }
    Content::Media(Media {
        mime: mime.into(),
        source: MediaSource::Inline { base64 },
        name: name.map(Into::into),
        bytes: None,
    })
}

fn buttons(token: &str) -> Content {
    let button = |label: &str, token: &str| Button { label: label.into(), token: token.into() };
    Content::Buttons { rows: vec![vec![button("Yes", token), button("No", "n")], vec![]] }
}

#[tokio::test]
async fn text_buttons_and_mentions_are_one_message() {
    let stage = Stage::new().await;
    let mention = Content::Mention { user: stage.chat.id().to_string().into(), text: "Ada".into() };
    let ids = stage.send(vec!["**Well**, ".into(), mention, "?".into(), buttons("y")]).await;
    let shown = stage.chat.message_by_id(ids[0]).unwrap();
    assert_eq!(shown.text, "Well, Ada?");
    let kinds: Vec<&str> = shown.entities.iter().map(|entity| entity.kind.as_str()).collect();
    assert_eq!(kinds, ["bold", "text_mention"]);
    assert_eq!(shown.keyboard.len(), 1);
    assert_eq!(shown.keyboard[0][0].data.as_deref(), Some("y"));
    // Buttons alone.
    let ids = stage.send(vec![buttons("y")]).await;
    assert_eq!(stage.chat.message_by_id(ids[0]).unwrap().keyboard[0].len(), 2);
    let error = stage
        .refused(&Action::Send {
            key: "k".into(),
            content: vec![buttons(&"t".repeat(65))],
            reply_to: None,
        })
        .await;
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("\"Yes\" has 65 bytes"), "{error}");
    assert_eq!(stage.chat.bot_messages().len(), 2);
}

#[tokio::test]
async fn links_are_previewed_only_if_asked_for() {
    let stage = Stage::new().await;
    let asked = |stage: &Stage| {
        let sent = stage.telegram.service().received();
        let last = sent.iter().rev().find(|request| request.name == "sendMessage").unwrap();
        last.json()["link_preview_options"].clone()
    };
    stage.send(vec!["https://a.example".into()]).await;
    assert_eq!(asked(&stage), json!({ "is_disabled": true }));
    let channel = stage.channel.clone().link_previews();
    done(&channel, &stage.cx, &stage.to, &say("https://a.example")).await;
    assert_eq!(asked(&stage), json!(null));
}

#[tokio::test]
async fn files_are_shown_by_their_kind() {
    let stage = Stage::new().await;
    for (mime, kind, name) in [
        ("image/png", "photo", Some("a.png")),
        ("image/gif", "animation", None),
        ("video/mp4", "video", None),
        ("audio/ogg", "voice", None),
        ("audio/mpeg", "audio", None),
        ("application/pdf", "document", Some("a \"b\".pdf")),
    ] {
        let bytes = [PNG, b"some bytes"].concat();
        let ids = stage.send(vec![media(mime, &bytes, name), "a **caption**".into()]).await;
        let shown = stage.chat.message_by_id(ids[0]).unwrap();
        let file = shown.file.unwrap();
        assert_eq!((file.kind.as_str(), &*file.bytes), (kind, &bytes[..]), "{mime}");
        assert_eq!((shown.text.as_str(), shown.entities[0].kind.as_str()), ("a caption", "bold"));
    }
    // What says that it is a picture and is none is sent all the same.
    let ids = stage.send(vec![media("image/png", b"no picture", None)]).await;
    assert_eq!(stage.chat.message_by_id(ids[0]).unwrap().file.unwrap().kind, "document");
    // With buttons, and by the handle of one that came.
    let ids = stage.send(vec![media("image/png", PNG, None), buttons("y")]).await;
    assert_eq!(stage.chat.message_by_id(ids[0]).unwrap().keyboard[0].len(), 2);
    let photo = openclaw_channels::testing::telegram::Media::photo(&b"theirs"[..]);
    let id = stage.chat.send_media(photo).unwrap();
    let json = stage.chat.message_by_id(id).unwrap().json;
    let handle = json["photo"][0]["file_id"].as_str().unwrap().to_owned();
    let source = MediaSource::Remote { handle: handle.clone() };
    let theirs = Media { mime: "image/jpeg".into(), source, name: None, bytes: None };
    let ids = stage.send(vec![Content::Media(theirs)]).await;
    assert_eq!(&*stage.chat.message_by_id(ids[0]).unwrap().file.unwrap().bytes, b"theirs");
    // And fetched by it.
    let fetched = stage.channel.fetch_media(&stage.cx, &handle, 100).await.unwrap();
    assert_eq!(fetched, Bytes::from_static(b"theirs"));
    let error = stage.channel.fetch_media(&stage.cx, &handle, 3).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted);
}

#[tokio::test]
async fn nothing_is_sent_that_telegram_would_have_to_fetch() {
    let stage = Stage::new().await;
    for handle in ["https://a.example/x.png", "../x", "a b", ""] {
        let source = MediaSource::Remote { handle: handle.into() };
        let media = Media { mime: "image/png".into(), source, name: None, bytes: None };
        let content = vec![Content::Media(media)];
        let error = stage.refused(&Action::Send { key: "k".into(), content, reply_to: None }).await;
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{handle}");
    }
    let mut limits = Limits::default();
    limits.upload_bytes = 3;
    let channel = stage.channel.clone().limits(limits);
    let content = vec![media("image/png", b"long", None)];
    let action = Action::Send { key: "k".into(), content, reply_to: None };
    let error = refused(&channel, &stage.cx, &stage.to, &action).await;
    assert_eq!(error.kind(), ErrorKind::Exhausted);
    assert_eq!(stage.telegram.service().count("sendPhoto"), 0);
}

#[tokio::test]
async fn a_caption_has_as_many_units_as_telegram_shows() {
    use openclaw_channels::telegram::MAX_CAPTION_UNITS;

    let stage = Stage::new().await;
    let limit = stage.channel.capabilities().max_caption.unwrap();
    assert_eq!(limit.units, MAX_CAPTION_UNITS);
    // Each 👋 is two units.
    let longest = "👋".repeat(MAX_CAPTION_UNITS / 2);
    let ids = stage.send(vec![media("image/png", PNG, None), longest.as_str().into()]).await;
    assert_eq!(stage.chat.message_by_id(ids[0]).unwrap().text, longest);
    let pieces = openclaw_core::delivery::split(&format!("{longest}x"), limit);
    assert_eq!(pieces, [longest, "x".to_owned()]);
    // One unit more than fits is refused and not cut off.
    let longer = "x".repeat(MAX_CAPTION_UNITS + 1);
    let content = vec![media("image/png", PNG, None), longer.as_str().into()];
    let error = stage.refused(&Action::Send { key: "k".into(), content, reply_to: None }).await;
    assert_eq!(error.kind(), ErrorKind::Exhausted);
}

#[tokio::test]
async fn albums_are_one_call_with_a_caption() {
    let stage = Stage::new().await;
    let png = |bytes: &[u8]| media("image/png", &[PNG, bytes].concat(), None);
    let ids = stage.send(vec![png(b"1"), png(b"2"), "*both*".into()]).await;
    assert_eq!((ids.len(), stage.telegram.service().count("sendMediaGroup")), (2, 1));
    let shown: Vec<_> = ids.iter().map(|id| stage.chat.message_by_id(*id).unwrap()).collect();
    assert!(shown[0].album.is_some() && shown[0].album == shown[1].album);
    assert_eq!((shown[0].text.as_str(), shown[1].text.as_str()), ("both", ""));
    // What does not go together goes as documents.
    let pdf = media("application/pdf", b"3", Some("a.pdf"));
    let ids = stage.send(vec![png(b"1"), pdf]).await;
    let kinds: Vec<String> =
        ids.iter().map(|id| stage.chat.message_by_id(*id).unwrap().file.unwrap().kind).collect();
    assert_eq!(kinds, ["document", "document"]);
}

#[tokio::test]
async fn places_and_cards_are_sent() {
    let stage = Stage::new().await;
    let place = |name: Option<&str>| Content::Location {
        latitude: 10.5,
        longitude: 106.25,
        name: name.map(Into::into),
    };
    let ids = stage.send(vec![place(None)]).await;
    let json = stage.chat.message_by_id(ids[0]).unwrap().json;
    assert_eq!(json["location"]["latitude"], 10.5);
    let ids = stage.send(vec![place(Some("Café"))]).await;
    assert_eq!(stage.chat.message_by_id(ids[0]).unwrap().json["venue"]["title"], "Café");
    let ids =
        stage.send(vec![Content::Contact { name: "Bob".into(), phone: "+44 1".into() }]).await;
    assert_eq!(stage.chat.message_by_id(ids[0]).unwrap().json["contact"]["first_name"], "Bob");
}

#[tokio::test]
async fn messages_are_answered_changed_and_taken_away() {
    let stage = Stage::new().await;
    let id = stage.chat.say("question").unwrap();
    let answer = |to: i64| Action::Send {
        key: "k".into(),
        content: vec!["answer".into()],
        reply_to: Some(to.to_string().into()),
    };
    let receipt = done(&stage.channel, &stage.cx, &stage.to, &answer(id)).await;
    let message = receipt.messages[0].clone();
    let sent: i64 = message.as_str().parse().unwrap();
    assert_eq!(stage.chat.message_by_id(sent).unwrap().reply_to, Some(id));
    // One that is gone is no reason not to answer.
    stage.chat.delete(id).unwrap();
    done(&stage.channel, &stage.cx, &stage.to, &answer(id)).await;
    let edit = |content| Action::Edit { message: message.clone(), content };
    for _ in 0..2 {
        // The second time it is not modified.
        done(&stage.channel, &stage.cx, &stage.to, &edit(vec!["**new**".into(), buttons("y")]))
            .await;
    }
    let shown = stage.chat.message_by_id(sent).unwrap();
    assert_eq!((shown.text.as_str(), shown.edits, shown.keyboard.len()), ("new", 1, 1));
    done(&stage.channel, &stage.cx, &stage.to, &edit(vec!["done".into()])).await;
    assert!(stage.chat.message_by_id(sent).unwrap().keyboard.is_empty());
    for _ in 0..2 {
        done(&stage.channel, &stage.cx, &stage.to, &Action::Delete { message: message.clone() })
            .await;
    }
    assert!(stage.chat.message_by_id(sent).unwrap().deleted);
    let error = stage.refused(&edit(vec!["late".into()])).await;
    assert!(!error.is_transient(), "{error:?}");
    let error = stage.refused(&Action::Delete { message: "x".into() }).await;
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    // The caption of a file.
    let ids = stage.send(vec![media("image/png", b"x", None), "old".into()]).await;
    let edit = Action::Edit { message: ids[0].to_string().into(), content: vec!["*new*".into()] };
    done(&stage.channel, &stage.cx, &stage.to, &edit).await;
    assert_eq!(stage.chat.message_by_id(ids[0]).unwrap().text, "new");
}

#[tokio::test]
async fn topics_are_written_to() {
    let (telegram, bot) = telegram().await;
    let channel = polling(&telegram, &bot);
    let ada = telegram.user("Ada");
    let forum = telegram.forum("Team", &ada);
    forum.add(&bot);
    let topic = forum.topic("Plans");
    let (_, cx) = door(&channel);
    let whole = Conversation::group(channel.id().clone(), forum.id().to_string());
    let place = whole.clone().in_thread(topic.to_string());
    done(&channel, &cx, &place, &say("in the topic")).await;
    done(&channel, &cx, &whole, &say("in the general one")).await;
    done(&channel, &cx, &place, &Action::Typing).await;
    let chat = forum.chat(&ada);
    let texts: Vec<(Option<i64>, String)> =
        chat.bot_messages().into_iter().map(|one| (one.thread, one.text)).collect();
    assert_eq!(texts, [(Some(topic), "in the topic".into()), (None, "in the general one".into())]);
    assert_eq!(chat.topic(topic).actions("typing"), 1);
    let gone = whole.in_thread("999");
    let error = refused(&channel, &cx, &gone, &say("x")).await;
    assert_eq!(
        (error.kind(), error.public_text()),
        (ErrorKind::NotFound, "the topic does not exist any more")
    );
}

#[tokio::test]
async fn what_is_known_of_a_failure_is_said() {
    let stage = Stage::new().await;
    // Not sent, for certain.
    stage.fault("sendMessage", Fault::RateLimited { retry_after: 7 });
    let error = stage.refused(&say("a")).await;
    assert_eq!(error.retry(), Retry::After(std::time::Duration::from_secs(7)));
    for action in [
        Action::Edit { message: "1".into(), content: vec!["a".into()] },
        Action::Typing,
        Action::React { message: "1".into(), emoji: "👍".into() },
    ] {
        let method = match action {
            Action::Edit { .. } => "editMessageText",
            Action::Typing => "sendChatAction",
            _ => "setMessageReaction",
        };
        stage.fault(method, Fault::RateLimited { retry_after: 7 });
        let error = stage.refused(&action).await;
        assert_eq!(error.retry(), Retry::After(std::time::Duration::from_secs(7)), "{method}");
    }
    stage.chat.block();
    let error = stage.refused(&say("b")).await;
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Denied, false));
    assert_eq!(error.public_text(), "they have blocked the bot");
    stage.chat.unblock();
    // Nobody knows.
    for fault in [
        Fault::ThenDrop,
        Fault::Drop,
        Fault::ThenStatus(502),
        Fault::Status(500),
        Fault::Cut { after: 5 },
    ] {
        stage.fault("sendMessage", fault.clone());
        let sent = stage.channel.perform(&stage.cx, &stage.to, &say("c")).await.unwrap();
        let Sent::Unknown(error) = sent else { panic!("{fault:?}: {sent:?}") };
        assert!(error.is_transient(), "{fault:?}: {error:?}");
    }
    // A connection that is never made sends nothing.
    let nowhere = openclaw_core::testing::fake_service::FakeService::start(|_| async {
        openclaw_core::testing::fake_service::answer(200, "text/plain", "")
    });
    let port = nowhere.await.unwrap().port();
    let away = stage.channel.clone().base_url(&format!("http://127.0.0.1:{port}")).unwrap();
    let error = refused(&away, &stage.cx, &stage.to, &say("d")).await;
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Unavailable, true));
}

#[tokio::test]
async fn who_the_bot_is_can_be_asked() {
    let stage = Stage::new().await;
    let probe = stage.channel.probe(&stage.cx).await.unwrap();
    assert_eq!(probe, format!("@our_bot ({})", stage.bot.id()));
    stage.bot.revoke_token();
    let error = stage.channel.probe(&stage.cx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert!(error.to_string().contains("@BotFather"), "{error}");
}

#[tokio::test]
async fn a_group_that_moved_is_followed() {
    let (telegram, bot) = telegram().await;
    let channel = polling(&telegram, &bot);
    let ada = telegram.user("Ada");
    let group = telegram.group("Team", &ada);
    group.add(&bot);
    let (_, cx) = door(&channel);
    let to = Conversation::group(channel.id().clone(), group.id().to_string());
    done(&channel, &cx, &to, &say("before")).await;
    let old = group.id();
    let new = group.migrate();
    done(&channel, &cx, &to, &say("after")).await;
    assert_eq!(cx.state().get(&format!("moved/to/{old}")).await.unwrap(), Some(new.to_string()));
    // Another process knows it at once.
    let asked = telegram.service().count("sendMessage");
    done(&polling(&telegram, &bot), &cx, &to, &say("later")).await;
    assert_eq!(telegram.service().count("sendMessage"), asked + 1);
    let texts: Vec<String> =
        group.chat(&ada).bot_messages().into_iter().map(|one| one.text).collect();
    assert!(texts.ends_with(&["after".into(), "later".into()]), "{texts:?}");
}

#[tokio::test]
async fn the_token_is_in_no_error() {
    use openclaw_core::{
        Result, async_trait, http,
        http_client::{Body, HttpClient},
    };

    /// Says all that it knows when it fails.
    struct Chatty;

    #[async_trait]
    impl HttpClient for Chatty {
        async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Body>> {
            Err(Error::new(ErrorKind::Unavailable, format!("{} failed", request.uri())))
        }
    }

    let channel = Telegram::new("1:very-secret").unwrap().http(std::sync::Arc::new(Chatty));
    let (_, cx) = door(&channel);
    let error = channel.run(&cx).await.unwrap_err();
    assert!(error.to_string().contains("/bot***/getMe failed"), "{error}");
    let to = Conversation::direct(channel.id().clone(), "5");
    let sent = channel.perform(&cx, &to, &say("a")).await;
    let fetched = channel.fetch_media(&cx, "f", 9).await;
    for text in [format!("{error:?}"), format!("{sent:?} {fetched:?} {channel:?}")] {
        assert!(!text.contains("very-secret"), "{text}");
    }
    let far = Telegram::new("1:very-secret").unwrap().base_url("http://a.example").unwrap();
    let error = far.run(&cx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
}
