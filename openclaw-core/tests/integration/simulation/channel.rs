//! A messaging service with people on it, and the channel to it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use openclaw_core::{
    AccountId, Conversation, Error, ErrorKind, EventKey, MessageId, OutboundKey, Result, Retry,
    async_trait,
    channel::{
        Accepted, Capabilities, Channel, ChannelContext, Delivery, Extras, Lookup, TextLimit,
        TextUnit,
    },
    message::{Action, Content, Inbound, InboundKind, Receipt, Sender, Sent, plain_text},
};
use tokio::{sync::Notify, time::Instant};

use super::world::{Bug, Life, World};

/// What the owner does about the asks that they see.
pub(super) const OWNER: &str = "owner";

/// A message that people see.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) conversation: Conversation,
    pub(super) key: OutboundKey,
    pub(super) id: String,
    pub(super) text: String,
}

#[derive(Clone)]
struct Said {
    inbound: Inbound,
    at: Instant,
    acked: bool,
}

/// What somebody said, for the oracle.
#[derive(Clone)]
pub(super) struct Uttered {
    pub(super) place: Conversation,
    pub(super) key: EventKey,
    /// Whether it is a word to the gateway itself.
    pub(super) command: bool,
}

#[derive(Default)]
struct State {
    said: BTreeMap<Conversation, VecDeque<Said>>,
    /// All that was said, in order.
    all: Vec<Uttered>,
    refused: BTreeSet<String>,
    /// What was refused first, and accepted later.
    late: BTreeSet<String>,
    seen: Vec<Seen>,
    in_flight: BTreeSet<Conversation>,
    ids: u64,
}

/// The service. It outlives the process that listens to it.
pub(super) struct Platform {
    pub(super) account: AccountId,
    pub(super) capabilities: Capabilities,
    world: Arc<World>,
    state: Mutex<State>,
    changed: Notify,
}

impl Platform {
    pub(super) fn new(world: &Arc<World>, account: &str, delivery: Delivery) -> Arc<Self> {
        let mut capabilities = Capabilities::text_only(delivery);
        capabilities.edit = true;
        capabilities.typing = true;
        capabilities.buttons = true;
        if world.chance(3) {
            // What is longer comes in pieces.
            capabilities.max_text = TextLimit { units: 200, unit: TextUnit::Chars };
        }
        Arc::new(Self {
            account: account.parse().unwrap(),
            capabilities,
            world: Arc::clone(world),
            state: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// Somebody says something after `pause`. The message's id.
    pub(super) fn say(
        &self,
        place: &Conversation,
        who: &str,
        text: &str,
        pause: Duration,
    ) -> MessageId {
        self.push(place, who, InboundKind::Message, text, pause)
    }

    /// Somebody says something, or does something about what was said.
    pub(super) fn push(
        &self,
        place: &Conversation,
        who: &str,
        kind: InboundKind,
        text: &str,
        pause: Duration,
    ) -> MessageId {
        let mut state = self.state.lock().unwrap();
        state.ids += 1;
        let (chat, id) = (place.to_string(), format!("in{}", state.ids));
        let key = match &kind {
            InboundKind::Edit { of } => EventKey::edit(&chat, of.as_str(), &id),
            InboundKind::Delete { .. } | InboundKind::Reaction { .. } => {
                EventKey::event(&format!("{chat} {id}"))
            }
            _ => EventKey::message(&chat, &id),
        };
        let sender = Sender { id: who.into(), name: None };
        let command = text.starts_with('/') || matches!(kind, InboundKind::Button { .. });
        let content = if text.is_empty() { vec![] } else { vec![text] };
        let inbound = Inbound::message(key.clone(), place.clone(), sender, content).of_kind(kind);
        state.all.push(Uttered { place: place.clone(), key, command });
        let at = Instant::now() + pause;
        let queue = state.said.entry(place.clone()).or_default();
        // What was said later is heard later.
        let at = queue.back().map_or(at, |last| last.at.max(at));
        queue.push_back(Said { inbound, at, acked: false });
        drop(state);
        self.changed.notify_one();
        MessageId::new(id)
    }

    /// True if everything that was said was taken.
    pub(super) fn is_heard(&self) -> bool {
        let state = self.state.lock().unwrap();
        state.said.values().flatten().all(|said| said.acked)
    }

    pub(super) fn all_said(&self) -> Vec<Uttered> {
        self.state.lock().unwrap().all.clone()
    }

    pub(super) fn is_refused(&self, key: &EventKey) -> bool {
        self.state.lock().unwrap().refused.contains(key.as_str())
    }

    pub(super) fn is_late(&self, key: &EventKey) -> bool {
        self.state.lock().unwrap().late.contains(key.as_str())
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    /// What is delivered next: in order within a conversation, in any order between them, and now and
    /// then once more.
    fn deliver(&self) -> Result<Vec<Inbound>, Option<Instant>> {
        let state = self.state.lock().unwrap();
        let now = Instant::now();
        let mut batch = Vec::new();
        let mut next: Option<Instant> = None;
        let mut places: Vec<&VecDeque<Said>> = state.said.values().collect();
        if !places.is_empty() {
            let turn = self.world.dice.below(places.len() as u64);
            places.rotate_left(usize::try_from(turn).unwrap());
        }
        for queue in places {
            let due: Vec<&Said> =
                queue.iter().filter(|said| !said.acked && said.at <= now).collect();
            if let Some(later) = queue.iter().find(|said| said.at > now) {
                next = Some(next.map_or(later.at, |at| at.min(later.at)));
            }
            if due.is_empty() || (!batch.is_empty() && self.world.chance(2)) {
                continue;
            }
            if self.world.fault(6)
                && let Some(old) = queue.iter().rev().find(|said| said.acked)
            {
                batch.push(old.inbound.clone());
            }
            let most = usize::try_from(1 + self.world.dice.below(3)).unwrap();
            batch.extend(due.into_iter().take(most).map(|said| said.inbound.clone()));
        }
        if batch.is_empty() { Err(next) } else { Ok(batch) }
    }

    fn acknowledge(&self, batch: &[EventKey], accepted: &[Accepted]) {
        let mut state = self.state.lock().unwrap();
        for said in state.said.values_mut().flatten() {
            said.acked |= batch.contains(&said.inbound.key);
        }
        for (key, accepted) in batch.iter().zip(accepted) {
            let key = key.as_str().to_owned();
            match accepted {
                Accepted::Refused(_) => {
                    state.refused.insert(key);
                }
                // Whoever was refused may be let in before it is delivered once more.
                _ => {
                    if state.refused.remove(&key) {
                        state.late.insert(key);
                    }
                }
            }
        }
    }

    /// Refuses a message, or a change of one, for good.
    fn refuse(&self, action: &Action) -> Error {
        let state = self.state.lock().unwrap();
        let denied = match action {
            Action::Send { key, content, .. } => Some((key.clone(), plain_text(content))),
            Action::Edit { message, content } => {
                let seen = state.seen.iter().find(|seen| seen.id == message.as_str());
                seen.map(|seen| (seen.key.clone(), plain_text(content)))
            }
            _ => None,
        };
        self.world.happened.lock().unwrap().denied.extend(denied);
        Error::new(ErrorKind::Denied, "the service refuses")
    }

    /// Shows a message; the same key twice is one message if the service knows keys.
    fn show(&self, to: &Conversation, action: &Action) -> Result<Receipt> {
        let mut state = self.state.lock().unwrap();
        match action {
            Action::Send { key, content, .. } => {
                let known = state.seen.iter().find(|seen| seen.key == *key);
                if let (Delivery::Keyed { .. }, Some(seen)) = (self.capabilities.delivery, known) {
                    return Ok(Receipt::message(seen.id.as_str()));
                }
                state.ids += 1;
                let id = format!("out{}", state.ids);
                let text = plain_text(content);
                state.seen.push(Seen {
                    conversation: to.clone(),
                    key: key.clone(),
                    id: id.clone(),
                    text: text.clone(),
                });
                drop(state);
                self.world.log(format!("seen {to} {key} {text:?}"));
                self.react(to, &text, content);
                Ok(Receipt::message(id))
            }
            Action::Edit { message, content } => {
                let seen = state.seen.iter_mut().find(|seen| seen.id == message.as_str());
                let seen =
                    seen.ok_or_else(|| Error::new(ErrorKind::NotFound, "no such message to edit"))?;
                seen.text = plain_text(content);
                Ok(Receipt::message(message.as_str()))
            }
            _ => Ok(Receipt::default()),
        }
    }

    /// The owner answers some of the asks that they see, by word or by button.
    fn react(&self, to: &Conversation, text: &str, content: &[Content]) {
        for line in text.lines() {
            if let Some((_, rest)) = line.split_once("let you in with this code: ") {
                let code = rest.split('.').next().unwrap_or_default();
                if !self.world.chance(4) {
                    let owner = Conversation::direct(self.account.clone(), OWNER);
                    let pause = self.world.millis(20_000);
                    self.say(&owner, OWNER, &format!("/pair {code}"), pause);
                }
            }
            let Some(rest) = line.strip_prefix("To allow it: `/approve ") else { continue };
            let Some(id) = rest.split(' ').next() else { continue };
            let word = match self.world.dice.below(10) {
                0..=3 => "yes",
                4..=6 => "no",
                _ => continue,
            };
            let pause = self.world.millis(40_000);
            let buttons = content.iter().any(|one| matches!(one, Content::Buttons { .. }));
            if buttons && self.world.chance(2) {
                let token = format!("approve:{id}:{word}");
                self.push(to, OWNER, InboundKind::Button { token }, "", pause);
            } else {
                self.say(to, OWNER, &format!("/approve {id} {word}"), pause);
            }
        }
    }
}

/// The channel as one life of the process has it.
pub(super) struct SimChannel {
    pub(super) platform: Arc<Platform>,
    pub(super) life: Arc<Life>,
}

impl SimChannel {
    async fn hear(&self, cx: &ChannelContext) -> Result<()> {
        let world = &self.life.world;
        loop {
            self.life.step("hear").await;
            let batch = match self.platform.deliver() {
                Ok(batch) => batch,
                Err(next) => {
                    let next = next.unwrap_or_else(|| Instant::now() + Duration::from_secs(3_600));
                    tokio::select! {
                        biased;
                        () = self.platform.changed.notified() => {}
                        () = tokio::time::sleep_until(next) => {}
                    }
                    continue;
                }
            };
            let keys: Vec<EventKey> = batch.iter().map(|inbound| inbound.key.clone()).collect();
            if world.bug == Some(Bug::LostAck) {
                self.platform.acknowledge(&keys, &[]);
            }
            let accepting = cx.ingress().accept(batch);
            let result = if world.fault(10) {
                // The link breaks while it waits for the answer.
                let patience = world.millis(30);
                tokio::time::timeout(patience, accepting).await.unwrap_or_else(|_| {
                    Err(Error::new(ErrorKind::Timeout, "the link broke").with_retry(Retry::Backoff))
                })
            } else {
                accepting.await
            };
            self.life.step("acknowledge").await;
            match result {
                Ok(accepted) => self.platform.acknowledge(&keys, &accepted),
                Err(error) if world.chance(3) => return Err(error.with_retry(Retry::Backoff)),
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    async fn act(&self, to: &Conversation, action: &Action) -> Result<Sent> {
        let world = &self.life.world;
        let unknown = || Sent::Unknown(Error::new(ErrorKind::Timeout, "no answer"));
        self.life.step("perform").await;
        tokio::time::sleep(world.millis(50)).await;
        self.life.step("perform").await;
        if world.fault(12) {
            return Err(Error::new(ErrorKind::Unavailable, "the service fails"));
        }
        if world.fault(120) {
            return Err(self.platform.refuse(action));
        }
        if world.fault(15) {
            return Ok(unknown());
        }
        let receipt = self.platform.show(to, action)?;
        self.life.step("performed").await;
        if world.fault(12) {
            return Ok(unknown());
        }
        Ok(Sent::Yes(receipt))
    }
}

#[async_trait]
impl Channel for SimChannel {
    fn id(&self) -> &AccountId {
        &self.platform.account
    }

    fn capabilities(&self) -> &Capabilities {
        &self.platform.capabilities
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
        if matches!(action, Action::Typing) {
            return Ok(Sent::Yes(Receipt::default()));
        }
        if !self.platform.state.lock().unwrap().in_flight.insert(to.clone()) {
            self.life.world.violation(format!("two sends to {to} at once"));
        }
        // A life that ends in the middle leaves the place to the next one.
        let place = Place(&self.platform, to);
        let sent = tokio::select! {
            biased;
            sent = self.act(to, action) => sent,
            () = self.life.died() => {
                drop(place);
                std::future::pending().await
            }
        };
        sent
    }

    fn extras(&self) -> Extras<'_> {
        match self.platform.capabilities.delivery {
            Delivery::Searchable { .. } => Extras::default().lookup(self),
            _ => Extras::default(),
        }
    }
}

struct Place<'a>(&'a Platform, &'a Conversation);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap().in_flight.remove(self.1);
    }
}

#[async_trait]
impl Lookup for SimChannel {
    async fn lookup(
        &self,
        _: &ChannelContext,
        to: &Conversation,
        key: &OutboundKey,
    ) -> Result<Option<Receipt>> {
        self.life.before("lookup").await?;
        let state = self.platform.state.lock().unwrap();
        let seen = state.seen.iter().find(|seen| seen.key == *key && seen.conversation == *to);
        Ok(seen.map(|seen| Receipt::message(seen.id.as_str())))
    }
}
