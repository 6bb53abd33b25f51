//! Updates by long polling.

use std::time::Duration;

use openclaw_channels::{telegram::UPDATES_AT_ONCE, testing::telegram::Media};
use openclaw_core::{
    Conversation, ErrorKind,
    channel::{Channel as _, Refusal},
    gateway::COMMANDS,
    message::InboundKind,
    testing::fake_service::Fault,
};

use super::{beside, done, door, polling, say, telegram};

#[tokio::test]
async fn the_commands_are_shown_to_people() {
    let (telegram, bot) = telegram().await;
    let channel = polling(&telegram, &bot);
    let (_, cx) = door(&channel);
    let commands = beside(&channel, &cx, bot.commands_set()).await;
    let expected: Vec<(String, String)> =
        COMMANDS.iter().map(|(name, purpose)| ((*name).into(), (*purpose).into())).collect();
    assert_eq!(commands, expected);
}

#[tokio::test]
async fn a_backlog_is_taken_batch_by_batch() {
    let (telegram, bot) = telegram().await;
    let channel = polling(&telegram, &bot);
    let chat = telegram.user("Ada").chat(&bot);
    const WAITING: usize = 100_000;
    for number in 0..WAITING {
        chat.say(&number.to_string()).unwrap();
    }
    let (door, cx) = door(&channel);
    let accepted = beside(&channel, &cx, async {
        let accepted = door.wait_accepted(WAITING).await;
        bot.confirmed().await;
        accepted
    });
    let accepted = accepted.await;
    let texts: Vec<&str> = accepted.iter().filter_map(|one| one.content[0].as_text()).collect();
    let expected: Vec<String> = (0..WAITING).map(|number| number.to_string()).collect();
    assert!(texts == expected, "{} of {WAITING} were taken, or in another order", texts.len());
    let (polls, batches) = (telegram.service().count("getUpdates"), WAITING / UPDATES_AT_ONCE);
    assert!((batches..batches + 10).contains(&polls), "{polls}");
}

#[tokio::test]
async fn what_cannot_be_read_holds_nothing_up() {
    let (telegram, bot) = telegram().await;
    let channel = polling(&telegram, &bot);
    let chat = telegram.user("Ada").chat(&bot);
    chat.say("before").unwrap();
    chat.send_plain(serde_json::json!({ "text": { "not": "a text" } })).unwrap();
    chat.say("after").unwrap();
    let (door, cx) = door(&channel);
    let accepted = beside(&channel, &cx, async {
        let accepted = door.wait_accepted(2).await;
        bot.confirmed().await;
        accepted
    });
    let texts: Vec<String> =
        accepted.await.iter().map(|one| openclaw_core::message::plain_text(&one.content)).collect();
    assert_eq!(texts, ["before", "after"]);
    assert_eq!(channel.counters().malformed, 1);
}

#[tokio::test]
async fn an_outage_is_sat_out_by_the_errors_advice() {
    let (telegram, bot) = telegram().await;
    let channel = polling(&telegram, &bot);
    let (_, cx) = door(&channel);
    // A question for updates is answered at once, so that an answer can be cut off.
    telegram.user("Ada").chat(&bot).say("hi").unwrap();
    for fault in [
        Fault::Drop,
        Fault::Status(502),
        Fault::Status(500),
        Fault::Cut { after: 3 },
        Fault::RateLimited { retry_after: 3 },
    ] {
        for method in ["getMe", "deleteWebhook", "getUpdates"] {
            telegram.faults().once(method, fault.clone());
            // It knows who it is after the first time.
            let channel = polling(&telegram, &bot);
            let error = channel.run(&cx).await.unwrap_err();
            assert!(error.is_transient(), "{method} {fault:?}: {error:?}");
        }
    }
    // Without its commands it works.
    telegram.faults().once("setMyCommands", Fault::Status(500));
    telegram.faults().once("getUpdates", Fault::Drop);
    assert!(channel.run(&cx).await.unwrap_err().is_transient());
}

#[tokio::test]
async fn empty_answers_do_not_make_it_busy() {
    use openclaw_channels::telegram::Telegram;
    use openclaw_core::testing::fake_service::{FakeService, json_answer};

    // A server that cannot hold a question open.
    let server = FakeService::start(|request: openclaw_core::http::Request<_>| async move {
        let result = match request.uri().path().rsplit('/').next() {
            Some("getUpdates") => serde_json::json!([]),
            Some("getMe") => serde_json::json!({ "id": 1, "is_bot": true, "first_name": "B" }),
            _ => true.into(),
        };
        json_answer(200, &serde_json::json!({ "ok": true, "result": result }))
    });
    let server = server.await.unwrap();
    let channel = Telegram::new("1:a").unwrap().base_url(&server.url()).unwrap();
    let channel = channel.http(super::client());
    let (_, cx) = door(&channel);
    let three = server.wait_for("/bot1:a/getUpdates", 3);
    let began = tokio::time::Instant::now();
    beside(&channel, &cx, three).await;
    // Two pauses at least; how long they really are is the machine's affair.
    assert!(began.elapsed() >= Duration::from_millis(900));
}

#[tokio::test]
async fn a_revoked_token_ends_it_and_says_what_to_do() {
    let (telegram, bot) = telegram().await;
    let channel = polling(&telegram, &bot);
    let (_, cx) = door(&channel);
    let revoke = async {
        telegram.service().wait_for("getUpdates", 1).await;
        bot.revoke_token();
        std::future::pending::<()>().await
    };
    let ended = tokio::select! {
        ended = channel.run(&cx) => ended,
        () = revoke => unreachable!(),
    };
    let error = ended.unwrap_err();
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Unauthenticated, false));
    assert!(error.to_string().contains("/token"), "{error}");
}

#[tokio::test]
async fn two_that_poll_with_one_token_say_so_and_a_webhook_gives_way() {
    let (telegram, bot) = telegram().await;
    let (one, two) = (polling(&telegram, &bot), polling(&telegram, &bot));
    let (_, cx) = door(&one);
    let second = async {
        telegram.service().wait_for("getUpdates", 1).await;
        two.run(&cx).await
    };
    let error = tokio::select! {
        ended = one.run(&cx) => ended.unwrap_err(),
        ended = second => ended.unwrap_err(),
    };
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Conflict, true));
    assert!(error.to_string().contains("another program"), "{error}");
    // A webhook of an earlier configuration is taken away.
    let hooked =
        polling(&telegram, &bot).webhook("http://127.0.0.1:9/hook", super::SECRET).unwrap();
    beside(&hooked, &cx, bot.webhook_set()).await;
    let before = telegram.service().count("getUpdates");
    beside(&one, &cx, telegram.service().wait_for("getUpdates", before + 1)).await;
    assert_eq!(bot.webhook(), None);
}

#[tokio::test]
async fn presses_are_answered_after_they_were_accepted() {
    use openclaw_core::message::{Action, Button, Content};

    let (telegram, bot) = telegram().await;
    let channel = polling(&telegram, &bot);
    let chat = telegram.user("Ada").chat(&bot);
    chat.say("hi").unwrap();
    let (door, cx) = door(&channel);
    let to = Conversation::direct(channel.id().clone(), chat.id().to_string());
    let rows = vec![vec![Button { label: "Go".into(), token: "t".into() }]];
    let content = vec!["Well?".into(), Content::Buttons { rows }];
    let ask = Action::Send { key: "k".into(), content, reply_to: None };
    let receipt = done(&channel, &cx, &to, &ask).await;
    let id = receipt.messages[0].as_str().parse().unwrap();
    beside(&channel, &cx, async {
        door.wait_accepted(1).await;
        door.shut();
        let press = chat.press(id, "Go").unwrap();
        door.wait_offered(2).await;
        assert_eq!(press.answer(), None);
        door.open();
        assert_eq!(press.answered().await.text, "");
        // Who may not press is told.
        door.refuse(Some(Refusal::NotAllowed));
        let press = chat.press(id, "Go").unwrap();
        assert_eq!(press.answered().await.text, "You cannot press this.");
    })
    .await;
    let pressed = door.accepted().pop().unwrap();
    assert_eq!(pressed.kind, InboundKind::Button { token: "t".into() });
    assert_eq!(pressed.conversation, to);
}

#[tokio::test]
async fn an_album_that_names_the_bot_names_it_whole() {
    let (telegram, bot) = telegram().await;
    let channel = polling(&telegram, &bot);
    let ada = telegram.user("Ada");
    let group = telegram.supergroup("Team", &ada);
    group.add(&bot);
    bot.set_privacy(false);
    let chat = group.chat(&ada);
    let photo = |bytes: &'static [u8]| Media::photo(bytes);
    chat.send_album([photo(b"1"), photo(b"2").caption("@our_bot look"), photo(b"3")]).unwrap();
    chat.send_album([photo(b"4"), photo(b"5")]).unwrap();
    let (door, cx) = door(&channel);
    let accepted = beside(&channel, &cx, door.wait_accepted(5)).await;
    let mentioned: Vec<bool> = accepted.iter().map(|one| one.mentioned).collect();
    assert_eq!(mentioned, [true, true, true, false, false]);
}

#[tokio::test]
async fn recordings_places_and_albums_are_heard() {
    use openclaw_core::message::Content;

    let (telegram, bot) = telegram().await;
    let channel = polling(&telegram, &bot);
    let chat = telegram.user("Ada").chat(&bot);
    chat.send_media(Media::voice(&b"spoken"[..])).unwrap();
    chat.send_location(10.5, 106.25).unwrap();
    let photo = |bytes: &'static [u8]| Media::photo(bytes);
    chat.send_album([photo(b"1").caption("*both*"), photo(b"2")]).unwrap();
    let (door, cx) = door(&channel);
    let heard = beside(&channel, &cx, door.wait_accepted(4)).await;
    let media = |content: &[Content]| {
        content.iter().find_map(|one| match one {
            Content::Media(media) => Some(media.clone()),
            _ => None,
        })
    };
    let voice = media(&heard[0].content).unwrap();
    assert!(voice.mime.starts_with("audio/"), "{voice:?}");
    let openclaw_core::message::MediaSource::Remote { handle } = voice.source else { panic!() };
    use openclaw_core::channel::FetchMedia as _;
    assert_eq!(&*channel.fetch_media(&cx, &handle, 100).await.unwrap(), b"spoken");
    let place = heard[1].content.iter().any(|one| {
        matches!(one, Content::Location { latitude, longitude, .. }
            if (*latitude, *longitude) == (10.5, 106.25))
    });
    assert!(place, "{:?}", heard[1].content);
    for one in &heard[2..] {
        assert_eq!(media(&one.content).unwrap().mime, "image/jpeg");
    }
    assert!(openclaw_core::message::plain_text(&heard[2].content).contains("both"));
    assert_ne!(heard[2].key, heard[3].key);
}

#[tokio::test]
async fn a_group_that_moved_keeps_its_id_here() {
    let (telegram, bot) = telegram().await;
    let channel = polling(&telegram, &bot);
    let ada = telegram.user("Ada");
    let group = telegram.group("Team", &ada);
    group.add(&bot);
    bot.set_privacy(false);
    let old = group.id();
    group.chat(&ada).say("before").unwrap();
    let (door, cx) = door(&channel);
    beside(&channel, &cx, async {
        door.wait_accepted(1).await;
        group.migrate();
        group.chat(&ada).say("after").unwrap();
        door.wait_accepted(2).await;
    })
    .await;
    let places: Vec<Conversation> =
        door.accepted().into_iter().map(|one| one.conversation).collect();
    let place = Conversation::group(channel.id().clone(), old.to_string());
    assert_eq!(places, [place.clone(), place.clone()]);
    done(&channel, &cx, &place, &say("hello")).await;
    assert_eq!(group.chat(&ada).bot_messages().pop().unwrap().text, "hello");
}
