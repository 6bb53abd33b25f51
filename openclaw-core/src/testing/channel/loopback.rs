//! The loopback channel as a platform of the suite.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Faulty, Message, Platform};
use crate::{
    channel::Channel,
    id::{Conversation, MessageId},
    message::Sender,
    testing::Loopback,
};

#[async_trait]
impl Platform for Loopback {
    fn channel(&self) -> Arc<dyn Channel> {
        Arc::new(self.clone())
    }

    fn conversation(&self, index: usize) -> Option<Conversation> {
        let account = self.id().clone();
        let place = format!("place{index}");
        Some(if index.is_multiple_of(2) {
            Conversation::direct(account, place)
        } else {
            Conversation::group(account, place)
        })
    }

    async fn say(&self, to: &Conversation, text: &str) {
        let sender = Sender { id: "ada".into(), name: None };
        self.speaker(sender, to.clone()).send(text);
    }

    async fn acknowledged(&self) -> Option<usize> {
        Some(Loopback::acknowledged(self))
    }

    async fn redeliver(&self) -> bool {
        Loopback::redeliver(self);
        true
    }

    async fn cut(&self) -> bool {
        Loopback::cut(self);
        true
    }

    async fn refuse_next(&self) -> bool {
        self.fail_next(1);
        true
    }

    async fn lose_next_answer(&self) -> bool {
        self.unknown_next(1, true);
        true
    }

    async fn shown(&self, to: &Conversation) -> Vec<Message> {
        let shown = self.messages().into_iter().filter(|shown| shown.conversation == *to);
        shown.map(|shown| Message { text: shown.text(), id: Some(shown.id) }).collect()
    }

    async fn reaction(&self, to: &Conversation, message: &MessageId) -> Option<String> {
        Loopback::reaction(self, to, message)
    }

    async fn typing(&self, to: &Conversation) -> usize {
        Loopback::typing(self, to)
    }

    async fn press(&self, to: &Conversation, label: &str) {
        let sender = Sender { id: "ada".into(), name: None };
        // No button there: then no press comes, which is what the case looks for.
        let _ = self.speaker(sender, to.clone()).press(label);
    }

    async fn webhook(&self, to: &Conversation, text: &str) -> Option<http::Request<Bytes>> {
        let sender = Sender { id: "ada".into(), name: None };
        Some(self.speaker(sender, to.clone()).webhook(text))
    }

    async fn forged_webhooks(&self, to: &Conversation) -> Vec<http::Request<Bytes>> {
        let sender = Sender { id: "ada".into(), name: None };
        let person = self.speaker(sender, to.clone());
        let with = |change: fn(&mut http::HeaderValue)| {
            let mut request = person.webhook("forged");
            request.headers_mut().values_mut().for_each(change);
            request
        };
        let mut no_signature = person.webhook("forged");
        no_signature.headers_mut().clear();
        let other_body = person.webhook("signed").map(|_| person.webhook("forged").into_body());
        vec![
            with(|value| *value = http::HeaderValue::from_static("")),
            with(|value| *value = http::HeaderValue::from_static("00")),
            with(|value| *value = http::HeaderValue::from_static(WRONG)),
            no_signature,
            other_body,
        ]
    }

    async fn upload(&self, bytes: Bytes) -> Option<String> {
        Loopback::upload(self, "upload", bytes);
        Some("upload".to_owned())
    }

    async fn revoke(&self) -> bool {
        Loopback::revoke(self);
        true
    }
}

/// A signature of the right form, of nothing.
const WRONG: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The same platform with a faulty channel before it.
#[async_trait]
impl Platform for Faulty {
    fn channel(&self) -> Arc<dyn Channel> {
        Arc::new(self.clone())
    }

    fn conversation(&self, index: usize) -> Option<Conversation> {
        self.platform().conversation(index)
    }

    async fn say(&self, to: &Conversation, text: &str) {
        Platform::say(self.platform(), to, text).await;
    }

    async fn acknowledged(&self) -> Option<usize> {
        Some(self.platform().acknowledged())
    }

    async fn redeliver(&self) -> bool {
        Platform::redeliver(self.platform()).await
    }

    async fn cut(&self) -> bool {
        Platform::cut(self.platform()).await
    }

    async fn refuse_next(&self) -> bool {
        self.platform().refuse_next().await
    }

    async fn lose_next_answer(&self) -> bool {
        self.platform().lose_next_answer().await
    }

    async fn shown(&self, to: &Conversation) -> Vec<Message> {
        self.platform().shown(to).await
    }

    async fn reaction(&self, to: &Conversation, message: &MessageId) -> Option<String> {
        Platform::reaction(self.platform(), to, message).await
    }

    async fn typing(&self, to: &Conversation) -> usize {
        Platform::typing(self.platform(), to).await
    }

    async fn press(&self, to: &Conversation, label: &str) {
        self.platform().press(to, label).await;
    }

    async fn webhook(&self, to: &Conversation, text: &str) -> Option<http::Request<Bytes>> {
        Platform::webhook(self.platform(), to, text).await
    }

    async fn forged_webhooks(&self, to: &Conversation) -> Vec<http::Request<Bytes>> {
        self.platform().forged_webhooks(to).await
    }

    async fn upload(&self, bytes: Bytes) -> Option<String> {
        Platform::upload(self.platform(), bytes).await
    }

    async fn revoke(&self) -> bool {
        Platform::revoke(self.platform()).await
    }
}
