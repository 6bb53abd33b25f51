//! The contract of channels, by polling and by webhook.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use openclaw_channels::{
    telegram::SECRET_HEADER,
    testing::telegram::{Bot, Chat, Emulator, Group, Media, User},
};
use openclaw_core::{
    Conversation, MessageId, Result,
    bytes::Bytes,
    channel::Channel,
    http::{Request, Response},
    http_client::{Body, HttpClient},
    testing::{
        channel::{Message, Platform, RecordingIngress, context, suite},
        fake_service::{Fault, LoopbackClient},
    },
};

use serde_json::json;

use super::{Hooked, SECRET, beside, polling, telegram};

/// Lets a run end before it confirms what it heard.
struct Hesitant(LoopbackClient);

#[async_trait]
impl HttpClient for Hesitant {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>> {
        if request.body().windows(8).any(|word| word == b"\"offset\"") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.0.send(request).await
    }
}

struct Fixture {
    telegram: Emulator,
    bot: Bot,
    channel: Arc<dyn Channel>,
    /// The server of a webhook.
    hooked: Option<Hooked>,
    user: User,
    group: Group,
    said: AtomicUsize,
}

impl Fixture {
    async fn polling() -> Self {
        let (telegram, bot) = telegram().await;
        let channel = polling(&telegram, &bot).http(Arc::new(Hesitant(LoopbackClient::new())));
        Self::new(telegram, bot, Arc::new(channel), None).await
    }

    async fn webhook() -> Self {
        let (telegram, bot) = telegram().await;
        telegram.set_webhook_pause(Duration::from_millis(1));
        let hooked = Hooked::new(&telegram, &bot).await;
        let new = Self::new(telegram, bot, Arc::new(hooked.clone()), Some(hooked)).await;
        // What is delivered comes again, once.
        new.bot.repeat_next(1);
        new
    }

    async fn new(
        telegram: Emulator,
        bot: Bot,
        channel: Arc<dyn Channel>,
        hooked: Option<Hooked>,
    ) -> Self {
        let user = telegram.user("Ada");
        let group = telegram.supergroup("Team", &user);
        group.add(&bot);
        bot.set_privacy(false);
        // A bot cannot begin a private chat. What is heard of that is no part of a case.
        user.chat(&bot).say("/start").unwrap();
        let cx = context(&RecordingIngress::new(), channel.id(), None);
        beside(channel.as_ref(), &cx, bot.confirmed()).await;
        let said = AtomicUsize::new(0);
        Self { telegram, bot, channel, hooked, user, group, said }
    }

    fn chat(&self, place: &Conversation) -> Chat {
        let private = self.user.chat(&self.bot);
        if place.peer.as_str() == private.id().to_string() {
            private
        } else {
            self.group.chat(&self.user)
        }
    }

    /// What Telegram posts to a webhook for a text of the user, under this secret.
    fn posted(&self, to: &Conversation, text: &str, secret: &str) -> Request<Bytes> {
        let number = self.said.fetch_add(1, Ordering::SeqCst) + 1_000;
        let chat = self.chat(to).id();
        let kind = if chat < 0 { "supergroup" } else { "private" };
        let update = json!({"update_id": number, "message": {
            "message_id": number, "date": 1, "text": text,
            "from": {"id": self.user.id(), "is_bot": false, "first_name": "Ada"},
            "chat": {"id": chat, "type": kind, "title": "Team"},
        }});
        let request = Request::post("/hook").header(SECRET_HEADER, secret);
        request.body(update.to_string().into()).unwrap()
    }
}

#[async_trait]
impl Platform for Fixture {
    fn channel(&self) -> Arc<dyn Channel> {
        self.channel.clone()
    }

    fn conversation(&self, index: usize) -> Option<Conversation> {
        let account = self.channel.id().clone();
        match index {
            0 => Some(Conversation::direct(account, self.user.chat(&self.bot).id().to_string())),
            1 => Some(Conversation::group(account, self.group.id().to_string())),
            _ => None,
        }
    }

    async fn say(&self, to: &Conversation, text: &str) {
        self.chat(to).say(text).unwrap();
        self.said.fetch_add(1, Ordering::SeqCst);
    }

    async fn acknowledged(&self) -> Option<usize> {
        Some(self.said.load(Ordering::SeqCst).saturating_sub(self.bot.pending()))
    }

    async fn redeliver(&self) -> bool {
        // By polling: the run that heard it ended before it said so.
        true
    }

    async fn cut(&self) -> bool {
        self.telegram.faults().once("getUpdates", Fault::Drop);
        self.hooked.is_none()
    }

    async fn refuse_next(&self) -> bool {
        self.telegram.faults().once("sendMessage", Fault::Status(403));
        true
    }

    async fn lose_next_answer(&self) -> bool {
        self.telegram.faults().once("sendMessage", Fault::ThenDrop);
        true
    }

    async fn shown(&self, to: &Conversation) -> Vec<Message> {
        let shown = self.chat(to).bot_messages().into_iter();
        shown.map(|one| Message { id: Some(one.id.to_string().into()), text: one.text }).collect()
    }

    async fn reaction(&self, to: &Conversation, message: &MessageId) -> Option<String> {
        let shown = self.chat(to).message_by_id(message.as_str().parse().unwrap())?;
        shown.reactions.into_iter().find(|(who, _)| *who == self.bot.id()).map(|(_, emoji)| emoji)
    }

    async fn typing(&self, to: &Conversation) -> usize {
        self.chat(to).actions("typing")
    }

    async fn press(&self, to: &Conversation, label: &str) {
        let chat = self.chat(to);
        let asks = chat.bot_messages().into_iter().find(|one| !one.keyboard.is_empty()).unwrap();
        chat.press(asks.id, label).unwrap();
    }

    async fn webhook(&self, to: &Conversation, text: &str) -> Option<Request<Bytes>> {
        self.hooked.as_ref().map(|_| self.posted(to, text, SECRET))
    }

    async fn forged_webhooks(&self, to: &Conversation) -> Vec<Request<Bytes>> {
        let upper = SECRET.to_uppercase();
        let secrets = ["", "a-secret-of-another-account", &SECRET[1..], &upper];
        secrets.map(|secret| self.posted(to, "forged", secret)).into()
    }

    async fn upload(&self, bytes: Bytes) -> Option<String> {
        let chat = self.user.chat(&self.bot);
        let id = chat.send_media(Media::document("file", bytes)).unwrap();
        let sent = chat.message_by_id(id)?;
        Some(sent.json["document"]["file_id"].as_str()?.to_owned())
    }

    async fn revoke(&self) -> bool {
        self.bot.revoke_token();
        true
    }
}

/// Telegram takes no keys and cannot be asked for what was sent.
const SKIPPED: [&str; 2] = ["one_key_is_one_message", "lookup_finds_what_was_sent"];

#[tokio::test]
async fn polling_conforms() {
    let report = suite("telegram by polling", Fixture::polling).run().await;
    assert_eq!(report.failed().count(), 0, "{report}");
    let (webhooks, skipped): (Vec<&str>, Vec<&str>) =
        report.skipped().map(|(case, _)| case).partition(|case| case.contains("webhook"));
    assert_eq!(skipped, SKIPPED);
    assert_eq!(webhooks.len(), 4);
}

#[tokio::test]
async fn a_webhook_conforms() {
    let report = suite("telegram by webhook", Fixture::webhook).run().await;
    assert_eq!(report.failed().count(), 0, "{report}");
    let skipped: Vec<&str> = report.skipped().map(|(case, _)| case).collect();
    assert_eq!(skipped, ["a_broken_link_is_a_transient_error", SKIPPED[0], SKIPPED[1]]);
}
