//! A channel without a platform.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use crate::{
    channel::{
        Accepted, Capabilities, Channel, ChannelContext, Delivery, Extras, FetchMedia, Lookup,
        Probe, Refusal, Webhook,
    },
    error::{Error, ErrorKind, Result},
    id::{AccountId, Conversation, EventKey, MessageId, OutboundKey, hex},
    message::{Action, Button, Content, Inbound, InboundKind, Receipt, Sender, Sent, plain_text},
    time::{Entropy, SystemEntropy},
};

/// The header with a webhook's signature.
const SIGNATURE: &str = "x-loopback-signature";
/// How many events go in by one commit at most.
const BATCH: usize = 64;

/// A channel whose platform is this value: people speak by calling methods, and what an agent says is
/// read the same way. For tests, examples, and applications that test their bot.
///
/// Clones share the platform, which outlives the gateway that listens to it: what was said and not
/// yet accepted is heard by the next one.
///
/// Waiting methods wait as long as it takes; put a timeout around them where nothing may come.
#[derive(Clone)]
pub struct Loopback(Arc<Inner>);

struct Inner {
    account: AccountId,
    capabilities: Capabilities,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    run: String,
    ids: u64,
    /// What was said and not yet acknowledged.
    unheard: VecDeque<Inbound>,
    /// What was acknowledged last, and how many events were.
    heard: Option<Inbound>,
    acknowledged: usize,
    refused: HashMap<EventKey, Refusal>,
    sent: Vec<Shown>,
    receipts: HashMap<OutboundKey, Receipt>,
    /// How many of `sent` were given out by `next_message`, by conversation.
    read: HashMap<Conversation, usize>,
    reactions: HashMap<(Conversation, MessageId), String>,
    typing: HashMap<Conversation, usize>,
    media: HashMap<String, Bytes>,
    faults: Faults,
}

#[derive(Default)]
struct Faults {
    failures: usize,
    unknown: usize,
    unknown_yet_sent: usize,
    lost: usize,
    doubled: usize,
    held: bool,
    cut: bool,
    revoked: bool,
}

/// A message of the account, as the platform shows it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Shown {
    /// The platform's id of it.
    pub id: MessageId,
    /// Where it stands.
    pub conversation: Conversation,
    /// What it says, after its edits.
    pub content: Vec<Content>,
    /// The message that it answers.
    pub reply_to: Option<MessageId>,
    /// True once it was edited.
    pub edited: bool,
    /// True once it was deleted; then [`Loopback::messages`] leaves it out.
    pub deleted: bool,
}

impl Shown {
    /// Its texts.
    pub fn text(&self) -> String {
        plain_text(&self.content)
    }
}

impl Default for Loopback {
    fn default() -> Self {
        Self::new()
    }
}

impl Loopback {
    /// The account `loopback:default`: keyed, with all but edits.
    pub fn new() -> Self {
        // Two parts without colons.
        Self::account("loopback:default").unwrap_or_else(|error| unreachable!("{error}"))
    }

    /// An account of another name, as in `loopback:support`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if it is not an account's name.
    pub fn account(account: &str) -> Result<Self> {
        let mut capabilities =
            Capabilities::text_only(Delivery::Keyed { window: Duration::from_secs(86_400) });
        capabilities.delete = true;
        capabilities.react = true;
        capabilities.typing = true;
        capabilities.buttons = true;
        capabilities.media = true;
        capabilities.location = true;
        capabilities.contact = true;
        capabilities.mention = true;
        capabilities.local = true;
        let mut run = [0; 4];
        SystemEntropy.fill(&mut run)?;
        Ok(Self::make(account.parse()?, capabilities, hex(&run, run.len())))
    }

    fn make(account: AccountId, capabilities: Capabilities, run: String) -> Self {
        let state = Mutex::new(State { run, ..State::default() });
        Self(Arc::new(Inner { account, capabilities, state, changed: watch::Sender::new(()) }))
    }

    /// The same account on a fresh platform with other capabilities. For building, before it is used.
    #[must_use]
    pub fn with(self, change: impl FnOnce(&mut Capabilities)) -> Self {
        let mut capabilities = self.0.capabilities.clone();
        change(&mut capabilities);
        let run = self.state().run.clone();
        Self::make(self.0.account.clone(), capabilities, run)
    }

    /// Fixes what ids begin with, which is random otherwise so that a later platform on the same
    /// store does not repeat them.
    #[must_use]
    pub fn with_ids(self, prefix: impl Into<String>) -> Self {
        Self::make(self.0.account.clone(), self.0.capabilities.clone(), prefix.into())
    }

    /// Somebody who uses the platform; in their direct conversation with the account.
    pub fn person(&self, id: &str) -> Person {
        Person {
            platform: self.clone(),
            sender: Sender { id: id.into(), name: None },
            conversation: Conversation::direct(self.0.account.clone(), id),
        }
    }

    /// Somebody in any conversation of the account.
    pub fn speaker(&self, sender: Sender, conversation: Conversation) -> Person {
        Person { platform: self.clone(), sender, conversation }
    }

    /// [`Person::say`] of the person `me`.
    ///
    /// # Errors
    /// See [`Person::say`].
    pub async fn say(&self, text: &str) -> Result<String> {
        self.person("me").say(text).await
    }

    /// Lets any event arrive, after those before it.
    pub fn send(&self, inbound: Inbound) {
        self.update(|state| {
            if state.faults.lost > 0 {
                state.faults.lost -= 1;
                return;
            }
            if state.faults.doubled > 0 {
                state.faults.doubled -= 1;
                state.unheard.push_back(inbound.clone());
            }
            state.unheard.push_back(inbound);
        });
    }

    /// The next message of the account in `conversation` that no call has returned yet. Cancel safe.
    pub async fn next_message(&self, conversation: &Conversation) -> Shown {
        self.wait(|state| state.take_next(conversation)).await
    }

    /// What the platform shows of the account's messages, in the order of sending.
    pub fn messages(&self) -> Vec<Shown> {
        self.state().sent.iter().filter(|shown| !shown.deleted).cloned().collect()
    }

    /// The account's reaction to a message.
    pub fn reaction(&self, conversation: &Conversation, message: &MessageId) -> Option<String> {
        self.state().reactions.get(&(conversation.clone(), message.clone())).cloned()
    }

    /// How often the account was shown to be typing in `conversation`.
    pub fn typing(&self, conversation: &Conversation) -> usize {
        self.state().typing.get(conversation).copied().unwrap_or(0)
    }

    /// How many events arrived that were not accepted yet.
    pub fn unheard(&self) -> usize {
        self.state().unheard.len()
    }

    /// How many events were accepted or refused.
    pub fn acknowledged(&self) -> usize {
        self.state().acknowledged
    }

    /// Waits until everything that arrived was accepted.
    pub async fn heard(&self) {
        self.wait(|state| state.unheard.is_empty().then_some(())).await;
    }

    /// Puts media on the platform, for [`MediaSource::Remote`](crate::message::MediaSource::Remote).
    pub fn upload(&self, handle: &str, bytes: impl Into<Bytes>) {
        self.state().media.insert(handle.to_owned(), bytes.into());
    }

    /// Makes the next `count` actions fail with a transient error, without effect.
    pub fn fail_next(&self, count: usize) {
        self.update(|state| state.faults.failures = count);
    }

    /// Leaves it unknown how the next `count` actions ended; `happened` is how they did.
    pub fn unknown_next(&self, count: usize, happened: bool) {
        self.update(|state| match happened {
            true => state.faults.unknown_yet_sent = count,
            false => state.faults.unknown = count,
        });
    }

    /// Loses the next `count` events on their way to the account.
    pub fn lose_next(&self, count: usize) {
        self.update(|state| state.faults.lost = count);
    }

    /// Delivers each of the next `count` events twice.
    pub fn double_next(&self, count: usize) {
        self.update(|state| state.faults.doubled = count);
    }

    /// Delivers the event that was accepted last again.
    pub fn redeliver(&self) {
        self.update(|state| {
            let again = state.heard.clone();
            state.unheard.extend(again);
        });
    }

    /// Makes actions wait until [`release`](Self::release).
    pub fn hold(&self) {
        self.update(|state| state.faults.held = true);
    }

    /// Lets actions go on.
    pub fn release(&self) {
        self.update(|state| state.faults.held = false);
    }

    /// Breaks the link once: `run` returns a transient error.
    pub fn cut(&self) {
        self.update(|state| state.faults.cut = true);
    }

    /// Makes the account's credentials worthless: a probe fails from now on.
    pub fn revoke(&self) {
        self.update(|state| state.faults.revoked = true);
    }

    /// The signature of a webhook's body: a hash of a secret that the platform shares with the account, and
    /// the body.
    fn signature(&self, body: &[u8]) -> String {
        let secret = format!("webhooks of {}, {}", self.0.account, self.state().run);
        let mut hasher = Sha256::new();
        hasher.update(Sha256::digest(secret));
        hasher.update(body);
        hex(&hasher.finalize(), 32)
    }

    /// Takes in what a webhook holds, whoever signed it.
    pub(super) async fn take_webhook(
        &self,
        cx: &ChannelContext,
        body: &[u8],
    ) -> http::Response<Bytes> {
        let status = match serde_json::from_slice::<Vec<Inbound>>(body) {
            Err(_) => http::StatusCode::BAD_REQUEST,
            Ok(batch) => match cx.ingress().accept(batch).await {
                Ok(_) => http::StatusCode::OK,
                Err(_) => http::StatusCode::SERVICE_UNAVAILABLE,
            },
        };
        answer(status)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let value = change(&mut self.state());
        self.0.changed.send_replace(());
        value
    }

    async fn wait<T>(&self, mut ready: impl FnMut(&mut State) -> Option<T>) -> T {
        let mut changes = self.0.changed.subscribe();
        loop {
            if let Some(value) = ready(&mut self.state()) {
                return value;
            }
            // The sender lives as long as `self`.
            let _ = changes.changed().await;
        }
    }

    /// Takes what arrived away from the platform, as no channel may before it is accepted.
    pub(super) async fn take_unheard(&self) -> Vec<Inbound> {
        self.wait(|state| (!state.unheard.is_empty()).then(|| state.take_all())).await
    }

    /// Hears until something stops it; never returns `Ok`.
    async fn hear(&self, cx: &ChannelContext) -> Result<()> {
        loop {
            let batch = self
                .wait(|state| {
                    if std::mem::take(&mut state.faults.cut) {
                        return Some(Err(Error::new(ErrorKind::Unavailable, "the link was cut")));
                    }
                    let batch: Vec<Inbound> = state.unheard.iter().take(BATCH).cloned().collect();
                    (!batch.is_empty()).then_some(Ok(batch))
                })
                .await?;
            let keys: Vec<EventKey> = batch.iter().map(|inbound| inbound.key.clone()).collect();
            let accepted = cx.ingress().accept(batch).await?;
            // Acknowledged only now: what was not accepted is still there for the next run.
            self.update(|state| {
                for (key, accepted) in keys.into_iter().zip(accepted) {
                    state.heard = state.unheard.pop_front();
                    state.acknowledged += 1;
                    if let Accepted::Refused(reason) = accepted {
                        state.refused.insert(key, reason);
                    }
                }
            });
        }
    }

    /// What the channel lacks of what an action needs.
    fn check(&self, to: &Conversation, action: &Action) -> Result<()> {
        let has = &self.0.capabilities;
        if to.account != self.0.account {
            let expected = format!("expected a conversation of {}", self.0.account);
            return Err(Error::new(ErrorKind::InvalidInput, expected).with("conversation", to));
        }
        let (able, content) = match action {
            Action::Send { content, .. } => (true, content.as_slice()),
            Action::Edit { content, .. } => (has.edit, content.as_slice()),
            Action::Delete { .. } => (has.delete, [].as_slice()),
            Action::React { .. } => (has.react, [].as_slice()),
            Action::Typing => (has.typing, [].as_slice()),
        };
        let shown = content.iter().all(|part| match part {
            Content::Buttons { .. } => has.buttons,
            Content::Media(_) => has.media,
            Content::Location { .. } => has.location,
            Content::Contact { .. } => has.contact,
            Content::Mention { .. } => has.mention,
            Content::Text { .. } => true,
        });
        if !able || !shown {
            return Err(Error::new(ErrorKind::Unsupported, "beyond the channel's capabilities"));
        }
        let length = has.max_text.unit.count(&plain_text(content));
        if length > has.max_text.units {
            let limit = format!("text of {length} units: expected at most {}", has.max_text.units);
            return Err(Error::new(ErrorKind::InvalidInput, limit));
        }
        Ok(())
    }
}

#[async_trait]
impl Channel for Loopback {
    fn id(&self) -> &AccountId {
        &self.0.account
    }

    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    async fn run(&self, cx: &ChannelContext) -> Result<()> {
        tokio::select! {
            biased;
            () = cx.cancel().cancelled() => Ok(()),
            broken = self.hear(cx) => broken,
        }
    }

    async fn perform(
        &self,
        _: &ChannelContext,
        to: &Conversation,
        action: &Action,
    ) -> Result<Sent> {
        self.check(to, action)?;
        self.wait(|state| (!state.faults.held).then_some(())).await;
        let keyed = matches!(self.0.capabilities.delivery, Delivery::Keyed { .. });
        self.update(|state| {
            let unknown = || Error::new(ErrorKind::Timeout, "the platform did not answer");
            if state.faults.failures > 0 {
                state.faults.failures -= 1;
                return Err(Error::new(ErrorKind::Unavailable, "the platform fails"));
            }
            if state.faults.unknown > 0 {
                state.faults.unknown -= 1;
                return Ok(Sent::Unknown(unknown()));
            }
            let receipt = state.apply(to, action, keyed)?;
            if state.faults.unknown_yet_sent > 0 {
                state.faults.unknown_yet_sent -= 1;
                return Ok(Sent::Unknown(unknown()));
            }
            Ok(Sent::Yes(receipt))
        })
    }

    fn extras(&self) -> Extras<'_> {
        let extras = Extras::default().fetch_media(self).webhook(self).probe(self);
        match self.0.capabilities.delivery {
            Delivery::Searchable { .. } => extras.lookup(self),
            _ => extras,
        }
    }
}

#[async_trait]
impl Lookup for Loopback {
    async fn lookup(
        &self,
        _: &ChannelContext,
        _: &Conversation,
        key: &OutboundKey,
    ) -> Result<Option<Receipt>> {
        Ok(self.state().receipts.get(key).cloned())
    }
}

#[async_trait]
impl FetchMedia for Loopback {
    async fn fetch_media(&self, _: &ChannelContext, handle: &str, max_bytes: u64) -> Result<Bytes> {
        let bytes = self.state().media.get(handle).cloned();
        let bytes = bytes.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "no such media: expected what `upload` was given")
                .with("handle", handle)
        })?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length <= max_bytes) {
            Ok(bytes)
        } else {
            Err(Error::new(ErrorKind::Exhausted, "the media is longer than allowed"))
        }
    }
}

fn answer(status: http::StatusCode) -> http::Response<Bytes> {
    let mut response = http::Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

#[async_trait]
impl Webhook for Loopback {
    async fn handle(
        &self,
        cx: &ChannelContext,
        request: http::Request<Bytes>,
    ) -> http::Response<Bytes> {
        let given = request.headers().get(SIGNATURE).map_or(&[][..], http::HeaderValue::as_bytes);
        // Hashes of both, so that the time tells nothing of how much is right.
        let right = self.signature(request.body());
        if Sha256::digest(given) != Sha256::digest(right) {
            return answer(http::StatusCode::UNAUTHORIZED);
        }
        self.take_webhook(cx, request.body()).await
    }
}

#[async_trait]
impl Probe for Loopback {
    async fn probe(&self, _: &ChannelContext) -> Result<String> {
        if self.state().faults.revoked {
            let text = "the platform does not take the account's credentials: they were revoked";
            return Err(Error::new(ErrorKind::Unauthenticated, text));
        }
        Ok(self.0.account.to_string())
    }
}

impl State {
    fn take_all(&mut self) -> Vec<Inbound> {
        self.acknowledged += self.unheard.len();
        self.unheard.drain(..).collect()
    }

    fn next_id(&mut self) -> String {
        self.ids += 1;
        format!("{}-{}", self.run, self.ids)
    }

    fn apply(&mut self, to: &Conversation, action: &Action, keyed: bool) -> Result<Receipt> {
        match action {
            Action::Send { key, content, reply_to } => {
                if let Some(receipt) = self.receipts.get(key).filter(|_| keyed) {
                    return Ok(receipt.clone());
                }
                let id = MessageId::from(self.next_id());
                let receipt = Receipt::message(id.clone());
                self.receipts.insert(key.clone(), receipt.clone());
                self.sent.push(Shown {
                    id,
                    conversation: to.clone(),
                    content: content.clone(),
                    reply_to: reply_to.clone(),
                    edited: false,
                    deleted: false,
                });
                return Ok(receipt);
            }
            Action::Edit { message, content } => {
                let shown = self.own(to, message)?;
                shown.content.clone_from(content);
                shown.edited = true;
            }
            Action::Delete { message } => self.own(to, message)?.deleted = true,
            Action::React { message, emoji } => {
                let of = (to.clone(), message.clone());
                if emoji.is_empty() {
                    self.reactions.remove(&of);
                } else {
                    self.reactions.insert(of, emoji.clone());
                }
            }
            Action::Typing => *self.typing.entry(to.clone()).or_default() += 1,
        }
        Ok(Receipt::default())
    }

    fn own(&mut self, to: &Conversation, id: &MessageId) -> Result<&mut Shown> {
        let mut shown = self.sent.iter_mut();
        shown
            .find(|shown| shown.id == *id && shown.conversation == *to && !shown.deleted)
            .ok_or_else(|| {
                Error::new(ErrorKind::NotFound, "no such message of ours").with("message", id)
            })
    }

    fn take_next(&mut self, conversation: &Conversation) -> Option<Shown> {
        let read = self.read.entry(conversation.clone()).or_default();
        let mut sent = self.sent.iter().filter(|shown| shown.conversation == *conversation);
        let shown = sent.nth(*read)?.clone();
        *read += 1;
        Some(shown)
    }

    fn skip(&mut self, conversation: &Conversation) {
        let sent = self.sent.iter().filter(|shown| shown.conversation == *conversation).count();
        self.read.insert(conversation.clone(), sent);
    }
}

/// Somebody on a [`Loopback`], in one of its conversations.
#[derive(Clone)]
pub struct Person {
    platform: Loopback,
    sender: Sender,
    conversation: Conversation,
}

impl Person {
    /// The same person, in a group.
    #[must_use]
    pub fn in_group(mut self, group: &str) -> Self {
        self.conversation = Conversation::group(self.platform.0.account.clone(), group);
        self
    }

    /// Where they speak.
    pub fn conversation(&self) -> &Conversation {
        &self.conversation
    }

    /// Says something, addressed to the account, and waits for the account's next message there.
    /// Earlier messages that nobody took with [`Loopback::next_message`] are passed over.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] if the gateway does not let it in.
    pub async fn say(&self, text: &str) -> Result<String> {
        self.platform.update(|state| state.skip(&self.conversation));
        let key = self.send(text);
        self.platform
            .wait(|state| {
                if let Some(refusal) = state.refused.get(&key) {
                    let refused = format!("the gateway refused the message: {refusal:?}");
                    return Some(Err(Error::new(ErrorKind::Denied, refused)));
                }
                state.take_next(&self.conversation).map(|shown| Ok(shown.text()))
            })
            .await
    }

    /// Says something, addressed to the account, and returns at once.
    pub fn send(&self, text: &str) -> EventKey {
        self.send_content([text])
    }

    /// Sends any content, addressed to the account, and returns at once.
    pub fn send_content(&self, content: impl IntoIterator<Item = impl Into<Content>>) -> EventKey {
        let inbound = self.message(content);
        let key = inbound.key.clone();
        self.platform.send(inbound);
        key
    }

    /// The request by which the platform would deliver by a webhook that they say this, for
    /// [`Handle::webhook`](crate::Handle::webhook). Nothing is sent.
    pub fn webhook(&self, text: &str) -> http::Request<Bytes> {
        let body = serde_json::json!([self.message([text])]).to_string();
        let mut request = http::Request::new(Bytes::from(body));
        *request.method_mut() = http::Method::POST;
        // Hexadecimal digits.
        if let Ok(signature) = self.platform.signature(request.body()).parse() {
            request.headers_mut().insert(SIGNATURE, signature);
        }
        request
    }

    fn message(&self, content: impl IntoIterator<Item = impl Into<Content>>) -> Inbound {
        let id = self.platform.update(State::next_id);
        let key = EventKey::message(&self.conversation.to_string(), &id);
        let inbound =
            Inbound::message(key, self.conversation.clone(), self.sender.clone(), content);
        inbound.with_message(id).mentioning_us()
    }

    /// Presses the last button of this label that is shown in the conversation.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none; it lists those there are.
    pub fn press(&self, label: &str) -> Result<EventKey> {
        let shown = self.platform.messages();
        let here = shown.iter().rev().filter(|shown| shown.conversation == self.conversation);
        let buttons: Vec<&Button> = here
            .flat_map(|shown| &shown.content)
            .filter_map(|part| match part {
                Content::Buttons { rows } => Some(rows.iter().flatten()),
                _ => None,
            })
            .flatten()
            .collect();
        let Some(button) = buttons.iter().find(|button| button.label == label) else {
            let labels: Vec<&str> = buttons.iter().map(|button| button.label.as_str()).collect();
            let message = format!("no button {label:?}: expected one of {labels:?}");
            return Err(Error::new(ErrorKind::NotFound, message));
        };
        let key = EventKey::event(&self.platform.update(State::next_id));
        let pressed = InboundKind::Button { token: button.token.clone() };
        let content: [Content; 0] = [];
        let inbound =
            Inbound::message(key.clone(), self.conversation.clone(), self.sender.clone(), content);
        self.platform.send(inbound.of_kind(pressed).mentioning_us());
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::channel::{RecordingIngress, context};

    fn text(key: &str, text: &str) -> Action {
        Action::Send { key: key.into(), content: vec![text.into()], reply_to: None }
    }

    /// Runs the platform before `door` and answers each event with its own text, twice over.
    async fn echoed<T>(
        platform: &Loopback,
        door: &RecordingIngress,
        app: impl Future<Output = T>,
    ) -> T {
        let cx = context(door, platform.id(), None);
        let echo = async {
            for count in 1.. {
                let accepted = door.wait_accepted(count).await;
                let heard = &accepted[count - 1];
                let answer = text(heard.key.as_str(), &plain_text(&heard.content));
                let _ = platform.perform(&cx, &heard.conversation, &answer).await.unwrap();
            }
        };
        tokio::select! {
            value = app => value,
            () = echo => unreachable!(),
            result = platform.run(&cx) => panic!("run ended: {result:?}"),
        }
    }

    #[tokio::test]
    async fn people_get_the_answers_of_their_own_conversation() {
        let (platform, door) = (Loopback::new(), RecordingIngress::new());
        echoed(&platform, &door, async {
            assert_eq!(platform.say("one").await.unwrap(), "one");
            let (ada, bob) = (platform.person("ada"), platform.person("bob").in_group("room"));
            let both = tokio::join!(ada.say("a"), bob.say("b"));
            assert_eq!((both.0.unwrap(), both.1.unwrap()), ("a".into(), "b".into()));
            ada.send("later");
            assert_eq!(platform.next_message(ada.conversation()).await.text(), "later");
        })
        .await;
        platform.heard().await;
        assert_eq!(platform.messages().len(), 4);
    }

    #[tokio::test]
    async fn a_refusal_is_the_answer_to_what_was_said() {
        let (platform, door) = (Loopback::new(), RecordingIngress::new());
        door.refuse(Some(Refusal::NotAllowed));
        let error = echoed(&platform, &door, platform.say("hi")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
    }

    #[tokio::test]
    async fn a_button_is_pressed_by_its_label() {
        let (platform, door) = (Loopback::new(), RecordingIngress::new());
        let (cx, me) = (context(&door, platform.id(), None), platform.person("me"));
        let button = Button { label: "Yes".into(), token: "t1".into() };
        let content = vec![Content::Buttons { rows: vec![vec![button]] }];
        let ask = Action::Send { key: "k".into(), content, reply_to: None };
        let _ = platform.perform(&cx, me.conversation(), &ask).await.unwrap();
        assert!(me.press("No").unwrap_err().to_string().contains("Yes"));
        me.press("Yes").unwrap();
        tokio::select! {
            heard = door.wait_accepted(1) => {
                assert_eq!(heard[0].kind, InboundKind::Button { token: "t1".into() });
            }
            result = platform.run(&cx) => panic!("run ended: {result:?}"),
        }
    }

    #[tokio::test]
    async fn faults_do_what_they_say() {
        let (platform, door) = (Loopback::new(), RecordingIngress::new());
        let (cx, me) = (context(&door, platform.id(), None), platform.person("me"));
        let to = me.conversation();
        platform.fail_next(1);
        assert!(platform.perform(&cx, to, &text("1", "a")).await.unwrap_err().is_transient());
        platform.unknown_next(1, false);
        assert!(matches!(platform.perform(&cx, to, &text("1", "a")).await, Ok(Sent::Unknown(_))));
        assert!(platform.messages().is_empty());
        platform.unknown_next(1, true);
        assert!(matches!(platform.perform(&cx, to, &text("1", "a")).await, Ok(Sent::Unknown(_))));
        assert_eq!(platform.messages().len(), 1);

        platform.hold();
        let second = text("2", "b");
        let mut held = platform.perform(&cx, to, &second);
        assert!(futures_util::FutureExt::now_or_never(&mut held).is_none());
        platform.release();
        assert!(matches!(held.await, Ok(Sent::Yes(_))));

        platform.lose_next(1);
        me.send("lost");
        platform.double_next(1);
        me.send("doubled");
        assert_eq!(platform.unheard(), 2);
        platform.cut();
        assert!(platform.run(&cx).await.unwrap_err().is_transient());
        let outside = Conversation::direct("loopback:other".parse().unwrap(), "me");
        assert!(platform.perform(&cx, &outside, &text("3", "c")).await.is_err());
    }

    #[tokio::test]
    async fn media_is_fetched_by_its_handle() {
        let (platform, door) = (Loopback::new(), RecordingIngress::new());
        platform.upload("h", "1234");
        let cx = context(&door, platform.id(), None);
        assert_eq!(platform.fetch_media(&cx, "h", 4).await.unwrap(), "1234");
        let kinds = [
            platform.fetch_media(&cx, "h", 3).await.unwrap_err().kind(),
            platform.fetch_media(&cx, "g", 3).await.unwrap_err().kind(),
        ];
        assert_eq!(kinds, [ErrorKind::Exhausted, ErrorKind::NotFound]);
    }
}
