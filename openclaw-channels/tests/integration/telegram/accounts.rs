//! Several accounts of one gateway.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use openclaw_channels::telegram::SECRET_HEADER;
use openclaw_core::{
    AccountId, ErrorKind, Gateway, Handle,
    access::Access,
    bytes::Bytes,
    http::Request,
    testing::fake_service::{FakeService, LoopbackClient, answer},
};

use super::{
    SECRET, client,
    gateway::{Stage, account, app, echo},
    polling,
};

const OTHER_SECRET: &str = "a-secret-of-the-other-account";

fn support() -> AccountId {
    "telegram:support".parse().unwrap()
}

#[tokio::test]
async fn two_that_poll_are_apart() {
    let stage = Stage::new().await;
    let second = stage.telegram.bot("second_bot");
    let other = polling(&stage.telegram, &second).account("support").unwrap();
    let gateway = app(&stage.channel, echo(), &stage.ada, Access::open())
        .channel(other)
        .access(support(), Access::open());
    let gateway = gateway.start().await.unwrap();
    let theirs = stage.ada.chat(&second);
    stage.chat.say("to the first").unwrap();
    theirs.say("to the second").unwrap();
    assert_eq!(stage.chat.next_message().await.text, "re: to the first");
    assert_eq!(theirs.next_message().await.text, "re: to the second");
    assert_eq!(gateway.handle().sessions(None, 10).await.unwrap().len(), 2);
    gateway.shutdown().await.unwrap();
}

/// Serves the webhooks of a gateway, each account at its own path.
async fn server() -> (FakeService, Arc<OnceLock<Handle>>) {
    let late = Arc::new(OnceLock::<Handle>::new());
    let handle = late.clone();
    let server = FakeService::start(move |request: Request<Bytes>| {
        let handle = handle.get().cloned();
        async move {
            let Some(handle) = handle else { return answer(503, "text/plain", "") };
            let to = if request.uri().path() == "/support" { support() } else { account() };
            let response = handle.webhook(&to, request).await.unwrap();
            answer(response.status().as_u16(), "text/plain", response.into_body())
        }
    });
    (server.await.unwrap(), late)
}

#[tokio::test]
async fn two_webhooks_are_apart_and_neither_takes_the_others_secret() {
    let mut stage = Stage::new().await;
    stage.telegram.set_webhook_pause(Duration::from_millis(1));
    let second = stage.telegram.bot("second_bot");
    let (server, late) = server().await;
    let url = |path: &str| format!("{}/{path}", server.url());
    stage.channel = stage.channel.webhook(&url("first"), SECRET).unwrap();
    let other = polling(&stage.telegram, &second).account("support").unwrap();
    let other = other.webhook(&url("support"), OTHER_SECRET).unwrap();
    let gateway = app(&stage.channel, echo(), &stage.ada, Access::open())
        .channel(other.clone())
        .access(support(), Access::open());
    let gateway = gateway.start().await.unwrap();
    assert!(late.set(gateway.handle()).is_ok());
    for (path, secret, status) in [
        ("first", OTHER_SECRET, 401),
        ("support", SECRET, 401),
        ("first", SECRET, 200),
        ("support", OTHER_SECRET, 200),
    ] {
        let request = Request::post(url(path)).header(SECRET_HEADER, secret);
        let request = request.body(Bytes::from_static(b"{}")).unwrap();
        assert_eq!(client().send(request).await.unwrap().status(), status, "{path}");
    }
    let theirs = stage.ada.chat(&second);
    stage.chat.say("to the first").unwrap();
    theirs.say("to the second").unwrap();
    assert_eq!(stage.chat.next_message().await.text, "re: to the first");
    assert_eq!(theirs.next_message().await.text, "re: to the second");
    // What each counted can be read of the gateway.
    let counts = gateway.handle().channel_counts();
    for account in [account(), support()] {
        assert!(counts[&account].contains(&("refused", 1)), "{counts:?}");
        assert!(counts[&account].contains(&("malformed", 1)), "{counts:?}");
    }
    gateway.shutdown().await.unwrap();
}

#[tokio::test]
async fn two_of_one_token_or_one_secret_do_not_start() {
    let stage = Stage::new().await;
    let second = stage.telegram.bot("second_bot");
    let hook = "http://127.0.0.1:9/hook";
    let first = || stage.channel.clone().webhook(hook, SECRET).unwrap();
    let same_bot = polling(&stage.telegram, &stage.bot).account("support").unwrap();
    let same_secret = polling(&stage.telegram, &second).account("support").unwrap();
    let same_secret = same_secret.webhook(hook, SECRET).unwrap();
    for (other, what) in
        [(same_bot, "the same bot token"), (same_secret, "the same webhook secret")]
    {
        let gateway = Gateway::builder().http(LoopbackClient::new()).provider(echo()).ephemeral();
        let error = gateway.channel(first()).channel(other).start().await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        let said = error.to_string();
        assert!(said.contains(what) && said.contains("telegram:support"), "{said}");
        assert!(!said.contains(SECRET) && !said.contains(stage.bot.token().expose()), "{said}");
    }
}
