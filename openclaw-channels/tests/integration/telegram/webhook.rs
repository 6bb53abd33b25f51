//! Updates by webhook: what is let in, and what is not.

use std::time::Duration;

use openclaw_channels::telegram::{MAX_WEBHOOK_BYTES, SECRET_HEADER, Telegram};
use openclaw_core::{
    ErrorKind,
    bytes::Bytes,
    channel::{Channel as _, ChannelContext},
    http::{Method, Request, StatusCode},
    testing::{channel::RecordingIngress, fake_service::Fault},
};

use super::{Hooked, SECRET, beside, client, door, polling, telegram};

const UPDATE: &str = r#"{"update_id":7,"message":{"message_id":1,"date":1,"text":"hi",
    "from":{"id":5,"first_name":"Ada"},"chat":{"id":5,"type":"private","first_name":"Ada"}}}"#;

struct Stage {
    channel: Telegram,
    door: RecordingIngress,
    cx: ChannelContext,
    _telegram: openclaw_channels::testing::telegram::Emulator,
}

impl Stage {
    async fn new() -> Self {
        let (telegram, bot) = telegram().await;
        let channel = polling(&telegram, &bot).webhook("https://a.example/hook", SECRET).unwrap();
        let (door, cx) = door(&channel);
        Self { channel, door, cx, _telegram: telegram }
    }

    async fn handle(&self, request: Request<Bytes>) -> StatusCode {
        self.channel.extras().webhook.unwrap().handle(&self.cx, request).await.status()
    }

    async fn with_secrets(&self, secrets: &[&str], body: impl Into<Bytes>) -> StatusCode {
        let mut request = Request::post("/hook");
        for secret in secrets {
            request = request.header(SECRET_HEADER, *secret);
        }
        self.handle(request.body(body.into()).unwrap()).await
    }
}

#[tokio::test]
async fn only_the_one_secret_opens() {
    let stage = Stage::new().await;
    let longer = format!("{SECRET}x");
    let upper = SECRET.to_uppercase();
    let changed = SECRET.replacen('s', "t", 1);
    let bad: [&[&str]; 9] = [
        &[],
        &[""],
        &[" "],
        &[&SECRET[..SECRET.len() - 1]],
        &[&longer],
        &[&upper],
        &[&changed],
        &[SECRET, SECRET],
        &["a-secret-of-another-account!"],
    ];
    for secrets in bad {
        // Nothing is read before: not even that it cannot be read.
        for body in [UPDATE, "{"] {
            let status = stage.with_secrets(secrets, body).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{secrets:?}");
        }
    }
    assert_eq!(stage.channel.counters().refused, 18);
    assert_eq!((stage.channel.counters().malformed, stage.door.offered().len()), (0, 0));
    assert_eq!(stage.with_secrets(&[SECRET], UPDATE).await, StatusCode::OK);
    assert_eq!(stage.door.accepted().len(), 1);
    // Again, by Telegram or by somebody who listened: it is the same event.
    assert_eq!(stage.with_secrets(&[SECRET], UPDATE).await, StatusCode::OK);
    assert_eq!((stage.door.accepted().len(), stage.door.offered().len()), (1, 2));
    assert_eq!(stage.channel.counters().duplicates, 1);
}

#[tokio::test]
async fn what_is_no_update_is_answered_so_that_it_does_not_come_for_ever() {
    let stage = Stage::new().await;
    let bodies: [&[u8]; 8] = [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{\"update_id\":\"x\"}",
        b"{\"message\":{}}",
        b"{\"update_id\":8,\"message\":{\"text\":\"\xff\xfe\"}}",
        b"{\"update_id\":9,\"message\":{\"text\":7}}",
    ];
    for body in bodies {
        let status = stage.with_secrets(&[SECRET], Bytes::from_static(body)).await;
        assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(body));
    }
    assert_eq!(stage.channel.counters().malformed, 8);
    for kind in ["poll_answer", "from_the_future"] {
        let update = format!(r#"{{"update_id":10,"{kind}":{{"a":1}}}}"#);
        assert_eq!(stage.with_secrets(&[SECRET], update).await, StatusCode::OK);
    }
    assert_eq!(stage.channel.counters().unknown, 2);
    let deep = format!("{{\"update_id\":11,\"message\":{}", "[".repeat(100_000));
    assert_eq!(stage.with_secrets(&[SECRET], deep).await, StatusCode::OK);
    let long = Bytes::from(vec![b' '; MAX_WEBHOOK_BYTES + 1]);
    assert_eq!(stage.with_secrets(&[SECRET], long).await, StatusCode::PAYLOAD_TOO_LARGE);
    let huge = Bytes::from(vec![b'{'; 100 << 20]);
    assert_eq!(stage.with_secrets(&["wrong"], huge.clone()).await, StatusCode::UNAUTHORIZED);
    assert_eq!(stage.with_secrets(&[SECRET], huge).await, StatusCode::PAYLOAD_TOO_LARGE);
    let get = Request::builder().method(Method::GET).header(SECRET_HEADER, SECRET);
    let status = stage.handle(get.body(Bytes::from(UPDATE)).unwrap()).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(stage.door.offered().len(), 0);
    let counted = stage.channel.extras().counted.unwrap().counts();
    for (what, count) in
        [("malformed", 9), ("unknown", 2), ("refused", 1), ("not_posted", 1), ("too_long", 2)]
    {
        assert!(counted.contains(&(what, count)), "{what}: {counted:?}");
    }
}

#[tokio::test]
async fn the_head_alone_is_reason_enough_to_refuse() {
    let stage = Stage::new().await;
    let webhook = stage.channel.extras().webhook.unwrap();
    let head = |secrets: &[&str]| {
        let mut headers = openclaw_core::http::HeaderMap::new();
        for secret in secrets {
            headers.append(SECRET_HEADER, secret.parse().unwrap());
        }
        headers
    };
    assert_eq!(webhook.refuse(&Method::POST, &head(&[SECRET])), None);
    let refused = |method, secrets: &[&str]| webhook.refuse(&method, &head(secrets)).unwrap();
    assert_eq!(refused(Method::GET, &[SECRET]), StatusCode::METHOD_NOT_ALLOWED);
    for secrets in [&[][..], &[SECRET, SECRET], &["a-secret-of-another-account!"]] {
        assert_eq!(refused(Method::POST, secrets), StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn what_was_not_accepted_is_asked_for_again() {
    let stage = Stage::new().await;
    stage.door.fail_next(1);
    assert_eq!(stage.with_secrets(&[SECRET], UPDATE).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(stage.with_secrets(&[SECRET], UPDATE).await, StatusCode::OK);
    assert_eq!(stage.door.accepted().len(), 1);
}

#[tokio::test]
async fn who_the_bot_is_must_be_known_first() {
    let (telegram, bot) = telegram().await;
    let channel = polling(&telegram, &bot).webhook("https://a.example/hook", SECRET).unwrap();
    let (door, cx) = door(&channel);
    telegram.faults().once("getMe", Fault::Status(502));
    let stage = Stage { channel, door, cx, _telegram: telegram };
    assert_eq!(stage.with_secrets(&[SECRET], UPDATE).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(stage.with_secrets(&[SECRET], UPDATE).await, StatusCode::OK);
}

#[tokio::test]
async fn without_a_good_secret_there_is_no_webhook() {
    let bot = || Telegram::new("1:a").unwrap();
    for secret in ["", "short", "0123456789abcde\u{e9}", "with spaces in it and more"] {
        let error = bot().webhook("https://a.example", secret).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(secret.is_empty() || !error.to_string().contains(secret), "{error}");
    }
    for url in ["", "a.example", "ftp://a.example", "https://u:p@a.example", "https://a.example/#x"]
    {
        let error = bot().webhook(url, SECRET).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{url}");
    }
    assert!(bot().extras().webhook.is_none());
}

#[tokio::test]
async fn telegram_sends_to_https_and_four_ports_alone() {
    let bot = || Telegram::new("1:a").unwrap();
    for url in ["http://a.example/hook", "http://127.0.0.1/hook", "https://a.example:9000/hook"] {
        let error = bot().webhook(url, SECRET).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{url}");
    }
    for port in ["", ":443", ":80", ":88", ":8443"] {
        bot().webhook(&format!("https://a.example{port}/hook"), SECRET).unwrap();
    }
    // A server of one's own on this machine.
    let own = || bot().base_url("http://127.0.0.1:8081").unwrap();
    own().webhook("http://127.0.0.1:9000/hook", SECRET).unwrap();
    own().webhook("https://a.example:9000/hook", SECRET).unwrap();
    assert!(own().webhook("http://a.example/hook", SECRET).is_err());
}

#[tokio::test]
async fn a_webhook_that_somebody_takes_is_set_again_until_the_token_is_revoked() {
    let (telegram, bot) = telegram().await;
    telegram.set_webhook_pause(Duration::from_millis(1));
    let mut hooked = Hooked::new(&telegram, &bot).await;
    hooked.inner = hooked.inner.look_after_webhook_every(Duration::from_millis(5));
    let ours = format!("{}/hook", hooked.server.url());
    let chat = telegram.user("Ada").chat(&bot);
    let (door, cx) = door(&hooked.inner);
    let revoked = async {
        bot.webhook_set().await;
        // Another program takes the updates.
        let set = telegram.service().count("setWebhook");
        let url = format!("{}/bot{}/setWebhook", telegram.url(), bot.token().expose());
        let request = Request::post(url).header("content-type", "application/json");
        let body = r#"{"url": "http://127.0.0.1:9/theirs"}"#;
        client().send(request.body(Bytes::from(body)).unwrap()).await.unwrap();
        telegram.service().wait_for("setWebhook", set + 2).await;
        assert_eq!(bot.webhook_set().await, ours);
        chat.say("hello").unwrap();
        door.wait_accepted(1).await;
        // What cannot be delivered is noticed, and comes later.
        hooked.server.faults().always("/hook", Fault::Status(500));
        chat.say("later").unwrap();
        bot.webhook_failed().await;
        let asked = telegram.service().count("getWebhookInfo");
        telegram.service().wait_for("getWebhookInfo", asked + 2).await;
        assert!(hooked.inner.counters().undelivered > 0);
        hooked.server.faults().clear();
        door.wait_accepted(2).await;
        bot.revoke_token();
        std::future::pending::<()>().await
    };
    let ended = tokio::select! {
        ended = hooked.run(&cx) => ended,
        () = revoked => unreachable!(),
    };
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Unauthenticated);
}

#[tokio::test]
async fn telegram_is_told_where_and_with_which_secret() {
    let (telegram, bot) = telegram().await;
    telegram.set_webhook_pause(Duration::from_millis(1));
    let hooked = Hooked::new(&telegram, &bot).await;
    let chat = telegram.user("Ada").chat(&bot);
    chat.say("before it runs").unwrap();
    let (door, cx) = door(&hooked.inner);
    beside(&hooked, &cx, async {
        assert_eq!(bot.webhook_set().await, format!("{}/hook", hooked.server.url()));
        // The server is away for a while.
        hooked.server.faults().script("/hook", [Fault::Status(502), Fault::Drop, Fault::ThenDrop]);
        chat.say("while it runs").unwrap();
        door.wait_accepted(2).await;
        bot.confirmed().await;
    })
    .await;
    let accepted = door.accepted();
    let heard: Vec<&str> = accepted.iter().filter_map(|one| one.content[0].as_text()).collect();
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert_eq!(hooked.inner.counters().refused, 0);
    // It stays when the bot stops: what comes meanwhile waits at Telegram.
    assert!(bot.webhook().is_some());
}
