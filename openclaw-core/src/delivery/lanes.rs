//! Lanes: one conversation's outgoing rows, in order, one in flight.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::Duration,
};

use tokio::sync::Notify;

use super::pace::Pacer;
use crate::{
    channel::{Channel, ChannelContext, Delivery as Semantics},
    error::{Error, ErrorKind, Result, Retry},
    event::EventKind,
    fault::Act,
    gateway::{Hub, LIMITS},
    id::{AccountId, Conversation, EventKey, MessageId, OutboundKey, SessionKey},
    message::{Action, Content, Receipt, Sent},
    session::Input,
    store::{NewInput, OutboundId, OutboundRow, OutboundState, Settlement},
    time::{Cancel, Timestamp},
};

/// How long delivery of a message is tried.
pub const DELIVERY_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// The first pause after a failure; it doubles with each.
pub const FIRST_BACKOFF: Duration = Duration::from_millis(500);
/// The longest pause between two tries.
pub const MAX_BACKOFF: Duration = Duration::from_secs(300);
/// The longest pause, whatever a service asks for.
const MAX_PAUSE: Duration = Duration::from_secs(3_600);
/// How many rows of a lane are read at once.
const ROWS_AT_ONCE: usize = 16;

/// What to do with a message of which nobody can know whether it was sent.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum OnUnknown {
    /// Send it again; it may be seen twice. Each time is logged.
    #[default]
    AtLeastOnce,
    /// Leave it; it may never be seen. The owner is told.
    AtMostOnce,
}

#[derive(Clone)]
pub(crate) struct Delivery(Arc<Inner>);

struct Inner {
    hub: OnceLock<Weak<Hub>>,
    lanes: Mutex<HashMap<Conversation, Arc<Notify>>>,
    /// Rows that a former process may have sent without recording it.
    old: Mutex<HashSet<OutboundId>>,
    /// The accounts of which it is known what a former process may have sent.
    ready: Mutex<HashSet<AccountId>>,
    pacer: Pacer,
    /// The newest text of a reply that grows; never stored.
    growing: Mutex<HashMap<Conversation, (OutboundKey, String)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What became of a row, for its lane.
enum Done {
    /// It is settled; the next one may go.
    Settled,
    /// It is given up, and the rest of its message with it.
    GivenUp,
    /// It must wait, and all behind it with it.
    Later(Duration),
}

impl Delivery {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            hub: OnceLock::new(),
            lanes: Mutex::default(),
            old: Mutex::default(),
            ready: Mutex::default(),
            pacer: Pacer::default(),
            growing: Mutex::default(),
        }))
    }

    /// Connects it to its hub; before that it delivers nothing.
    pub(crate) fn connect(&self, hub: Weak<Hub>) {
        // The builder does this once.
        let _ = self.0.hub.set(hub);
    }

    pub(crate) fn is_idle(&self) -> bool {
        lock(&self.0.lanes).is_empty()
    }

    fn hub(&self) -> Option<Arc<Hub>> {
        self.0.hub.get().and_then(Weak::upgrade)
    }

    /// Takes up what a former process left.
    pub(crate) async fn recover(&self, account: &AccountId) -> Result<()> {
        let Some(hub) = self.hub() else { return Ok(()) };
        let lanes = hub.store.lanes(account).await?;
        for lane in &lanes {
            let mut after = OutboundId::default();
            loop {
                let rows = hub.store.lane(lane, after, 512).await?;
                let Some(last) = rows.last() else { break };
                after = last.id;
                lock(&self.0.old).extend(rows.iter().map(|row| row.id));
            }
        }
        lock(&self.0.ready).insert(account.clone());
        // Others may have come in the meantime.
        self.wake(hub.store.lanes(account).await?);
        Ok(())
    }

    /// Something may have to be sent there.
    pub(crate) fn wake(&self, lanes: impl IntoIterator<Item = Conversation>) {
        let Some(hub) = self.hub() else { return };
        for lane in lanes {
            let notify = {
                let mut open = lock(&self.0.lanes);
                if let Some(notify) = open.get(&lane) {
                    notify.notify_one();
                    continue;
                }
                let notify = Arc::new(Notify::new());
                open.insert(lane.clone(), Arc::clone(&notify));
                notify
            };
            let (delivery, weak) = (self.clone(), Arc::downgrade(&hub));
            // Not dropped when the gateway stops: the lane ends itself then, between two actions.
            let stopping = hub.stopping.clone();
            hub.tasks
                .spawn(async move { delivery.run_lane(&weak, lane, &notify, &stopping).await });
        }
    }

    /// Shows more of a reply that grows, as an edit of the message `key`. Only the newest text counts;
    /// whether it is shown does not matter.
    pub(crate) fn grow(&self, to: &Conversation, key: OutboundKey, text: String) {
        lock(&self.0.growing).insert(to.clone(), (key, text));
        self.wake([to.clone()]);
    }

    /// Nothing more is shown of it: the whole reply is about to be committed.
    pub(crate) fn grown(&self, to: &Conversation) {
        lock(&self.0.growing).remove(to);
    }

    /// Performs what is never stored, such as typing; whether it worked does not matter.
    pub(crate) fn hint(&self, to: &Conversation, action: Action) {
        let Some(hub) = self.hub() else { return };
        let plan = hub.plan();
        let Some(channel) = plan.channels.get(&to.account).map(Arc::clone) else { return };
        let (cx, to, faults) = (hub.channel_context(&to.account), to.clone(), hub.faults.clone());
        // Not dropped when the gateway stops: an action that has begun ends.
        hub.tasks.spawn(async move {
            let shown = channel.perform(&cx, &to, &action);
            let shown = faults.around(Act::ShowTyping, shown);
            if let Err(error) = shown.await {
                tracing::debug!(conversation = %to, error = ?error, "a hint was not shown");
            }
        });
    }

    async fn run_lane(
        &self,
        hub: &Weak<Hub>,
        lane: Conversation,
        notify: &Notify,
        stopping: &Cancel,
    ) {
        let mut failures = 0_u32;
        loop {
            let Some(hub) = hub.upgrade().filter(|_| !stopping.is_cancelled()) else { return };
            let pause = match self.drain_lane(&hub, &lane).await {
                Ok(Some(pause)) => Some(pause),
                Ok(None) => {
                    failures = 0;
                    None
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(conversation = %lane, error = ?error, "the outbox cannot be used");
                    Some(backoff(failures))
                }
            };
            drop(hub);
            match pause {
                // Nothing that arrives meanwhile may overtake what waits.
                Some(pause) => tokio::select! {
                    biased;
                    () = stopping.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                },
                None => {
                    let mut lanes = lock(&self.0.lanes);
                    use futures_util::FutureExt as _;
                    if notify.notified().now_or_never().is_none() {
                        lanes.remove(&lane);
                        drop(lanes);
                        if let Some(hub) = self.hub() {
                            hub.rested();
                        }
                        return;
                    }
                }
            }
        }
    }

    /// Delivers what the lane holds; how long to wait if its head must.
    async fn drain_lane(&self, hub: &Arc<Hub>, lane: &Conversation) -> Result<Option<Duration>> {
        loop {
            // A reload may have put another channel in its place.
            let plan = hub.plan();
            let Some(channel) = plan.channels.get(&lane.account).map(Arc::clone) else {
                tracing::warn!(account = %lane.account, "no such channel; its messages wait");
                return Ok(None);
            };
            if !lock(&self.0.ready).contains(&lane.account) {
                // It wakes all lanes once it is known what was sent before.
                return Ok(None);
            }
            let cx = hub.channel_context(&lane.account);
            let rows = hub.store.lane(lane, OutboundId::default(), ROWS_AT_ONCE).await?;
            // What is committed after this wakes the lane again.
            let mut drained = rows.len() < ROWS_AT_ONCE;
            for row in rows {
                if hub.stopping.is_cancelled() {
                    return Ok(None);
                }
                let done = self.deliver(hub, channel.as_ref(), &cx, &row).await;
                if done.is_err() {
                    // It may have been sent, and its receipt not stored.
                    lock(&self.0.old).insert(row.id);
                }
                match done? {
                    Done::Later(pause) => return Ok(Some(pause)),
                    Done::Settled => {}
                    Done::GivenUp => {
                        // What was read of its message is out of date.
                        drained = false;
                        break;
                    }
                }
            }
            if hub.stopping.is_cancelled() {
                return Ok(None);
            }
            if drained {
                let growing = lock(&self.0.growing).remove(lane);
                let Some((key, text)) = growing else { return Ok(None) };
                self.show_growing(hub, channel.as_ref(), &cx, lane, &key, text).await?;
            }
        }
    }

    async fn show_growing(
        &self,
        hub: &Hub,
        channel: &dyn Channel,
        cx: &ChannelContext,
        lane: &Conversation,
        key: &OutboundKey,
        text: String,
    ) -> Result<()> {
        let Some(message) = message_of(hub, key).await? else { return Ok(()) };
        self.pace(hub, lane, channel, 1).await;
        if hub.stopping.is_cancelled() {
            return Ok(());
        }
        let action = Action::Edit { message, content: vec![Content::text(text)] };
        let shown = hub.faults.around(Act::ShowGrowing, channel.perform(cx, lane, &action));
        if let Err(error) = shown.await {
            tracing::debug!(conversation = %lane, error = ?error, "a growing reply was not shown");
        }
        Ok(())
    }

    async fn deliver(
        &self,
        hub: &Arc<Hub>,
        channel: &dyn Channel,
        cx: &ChannelContext,
        row: &OutboundRow,
    ) -> Result<Done> {
        let now = hub.now();
        // No pause is that long: the clock was set back since, and it is due.
        let early = |at: &Timestamp| *at > now && at.since(now) <= MAX_PAUSE;
        if let Some(at) = row.not_before.filter(early) {
            return Ok(Done::Later(at.since(now)));
        }
        if now.since(row.new.at) > DELIVERY_TTL {
            let error = Error::new(ErrorKind::Timeout, "it could not be delivered for a day");
            return self.give_up(hub, row, &error).await;
        }
        let old = lock(&self.0.old).remove(&row.id);
        let sending = matches!(row.state, OutboundState::Sending { .. });
        if old || sending {
            match self.resolve_old(hub, channel, cx, row, sending).await? {
                Some(done) => return Ok(done),
                None => {
                    tracing::info!(key = %row.new.key, "sending again what an earlier run may have sent")
                }
            }
        }
        let action = self.resolve_edit(hub, row).await?;
        self.pace(hub, &row.new.conversation, channel, messages_of(&action)).await;
        if hub.stopping.is_cancelled() {
            return Ok(Done::Later(Duration::ZERO));
        }
        if channel.capabilities().delivery == Semantics::Blind && !is_repeatable(&action) {
            hub.faults.around(Act::Claim, hub.store.claim(row.id, hub.now())).await?;
        }
        let performed = channel.perform(cx, &row.new.conversation, &action);
        match hub.faults.around(Act::Perform, performed).await {
            Ok(Sent::Yes(receipt)) => self.sent(hub, row, receipt).await,
            Ok(Sent::Unknown(error)) if is_repeatable(&action) => {
                self.again(hub, row, &error).await
            }
            Ok(Sent::Unknown(error)) => self.unknown(hub, channel, cx, row, error).await,
            Err(error) => self.failed(hub, row, error).await,
        }
    }

    /// What an earlier process may have sent: settled if that is known now, `None` to send it.
    async fn resolve_old(
        &self,
        hub: &Arc<Hub>,
        channel: &dyn Channel,
        cx: &ChannelContext,
        row: &OutboundRow,
        sending: bool,
    ) -> Result<Option<Done>> {
        if is_repeatable(&self.resolve_edit(hub, row).await?) {
            return Ok(None);
        }
        let age = hub.now().since(row.new.at);
        match channel.capabilities().delivery {
            Semantics::Keyed { window } if age <= window => Ok(None),
            Semantics::Searchable { window } if age <= window => {
                self.look_up(hub, channel, cx, row).await
            }
            // On a blind channel a row is claimed before it is sent, so what is only pending was not.
            Semantics::Blind if !sending => Ok(None),
            _ => self.settle_unknown(hub, row).await,
        }
    }

    async fn look_up(
        &self,
        hub: &Arc<Hub>,
        channel: &dyn Channel,
        cx: &ChannelContext,
        row: &OutboundRow,
    ) -> Result<Option<Done>> {
        let Some(lookup) = channel.extras().lookup else {
            return self.settle_unknown(hub, row).await;
        };
        let found = lookup.lookup(cx, &row.new.conversation, &row.new.key);
        match hub.faults.around(Act::LookUp, found).await {
            Ok(Some(receipt)) => self.sent(hub, row, receipt).await.map(Some),
            Ok(None) => Ok(None),
            Err(error) => {
                tracing::warn!(key = %row.new.key, error = ?error, "what was sent cannot be looked up");
                // It stays old: it is looked up again before it is sent.
                lock(&self.0.old).insert(row.id);
                Ok(Some(Done::Later(pause_of(&error, row.attempts + 1))))
            }
        }
    }

    /// Nobody can know: by the owner's choice it is sent again (`None`) or left.
    async fn settle_unknown(&self, hub: &Arc<Hub>, row: &OutboundRow) -> Result<Option<Done>> {
        let error = ErrorKind::Unavailable;
        self.emit(hub, row, EventKind::DeliveryFailed { key: row.new.key.clone(), error });
        tracing::warn!(key = %row.new.key, conversation = %row.new.conversation, "nobody knows whether this was sent");
        if hub.plan().on_unknown == OnUnknown::AtLeastOnce {
            return Ok(None);
        }
        let text = format!(
            "Nobody can know whether a message to {} was sent. It is not sent again.",
            row.new.conversation
        );
        // Before it is settled: a crash in between would leave it untold for good, and told twice it
        // is one notice.
        hub.tell_owner(&format!("unknown/{}", row.new.key), text).await;
        let settled = hub.store.settle(row.id, Settlement::Unknown);
        hub.faults.around(Act::SettleUnknown, settled).await?;
        Ok(Some(Done::Settled))
    }

    async fn unknown(
        &self,
        hub: &Arc<Hub>,
        channel: &dyn Channel,
        cx: &ChannelContext,
        row: &OutboundRow,
        error: Error,
    ) -> Result<Done> {
        tracing::warn!(key = %row.new.key, error = ?error, "a send was cut off");
        let settled = match channel.capabilities().delivery {
            Semantics::Keyed { .. } => None,
            Semantics::Searchable { .. } => self.look_up(hub, channel, cx, row).await?,
            Semantics::Blind => self.settle_unknown(hub, row).await?,
        };
        match settled {
            Some(done) => Ok(done),
            None => self.again(hub, row, &error).await,
        }
    }

    async fn failed(&self, hub: &Arc<Hub>, row: &OutboundRow, error: Error) -> Result<Done> {
        if error.is_transient() {
            tracing::info!(key = %row.new.key, error = ?error, attempt = row.attempts + 1, "not sent; it is tried again");
            return self.again(hub, row, &error).await;
        }
        self.give_up(hub, row, &error).await
    }

    async fn again(&self, hub: &Arc<Hub>, row: &OutboundRow, error: &Error) -> Result<Done> {
        let pause = pause_of(error, row.attempts + 1);
        let settled = hub.store.settle(row.id, Settlement::Retry { at: hub.now().after(pause) });
        hub.faults.around(Act::SettleRetry, settled).await?;
        Ok(Done::Later(pause))
    }

    async fn sent(&self, hub: &Arc<Hub>, row: &OutboundRow, receipt: Receipt) -> Result<Done> {
        let settled = hub.store.settle(row.id, Settlement::Sent(receipt));
        hub.faults.around(Act::SettleSent, settled).await?;
        self.emit(hub, row, EventKind::Delivered { key: row.new.key.clone() });
        Ok(Done::Settled)
    }

    /// Gives a row and the rest of its message up; its session and the owner are told.
    async fn give_up(&self, hub: &Arc<Hub>, row: &OutboundRow, error: &Error) -> Result<Done> {
        tracing::error!(key = %row.new.key, conversation = %row.new.conversation, error = ?error, "a message is given up");
        let key = &row.new.key;
        if let Some(session) = &row.new.session {
            let text = format!(
                "A message to {} could not be delivered: {}.",
                row.new.conversation,
                error.public_text()
            );
            let input = NewInput {
                session: session.clone(),
                heard: row.new.conversation.clone(),
                key: EventKey::event(&format!("delivery:{key}")),
                control: false,
                at: hub.now(),
                payload: Input::Note { text }.encode()?,
            };
            let noted = hub.store.accept(vec![input], LIMITS);
            let noted = hub.faults.around(Act::AcceptNote, noted).await;
            // One that failed may have happened all the same.
            hub.wake(session);
            noted?;
        }
        if hub.plan().owner_conversation().as_ref() != Some(&row.new.conversation) {
            let text =
                format!("A message to {} could not be delivered: {error}", row.new.conversation);
            hub.tell_owner(&format!("delivery/{key}"), text).await;
        }
        // Last: who is settled is not looked at again, and a crash would leave others untold.
        let settled = hub.store.settle(row.id, Settlement::Failed(error.kind()));
        hub.faults.around(Act::SettleFailed, settled).await?;
        self.emit(hub, row, EventKind::DeliveryFailed { key: key.clone(), error: error.kind() });
        Ok(Done::GivenUp)
    }

    /// The action, with the id of the message that it edits; if that was never sent, it is said anew.
    async fn resolve_edit(&self, hub: &Hub, row: &OutboundRow) -> Result<Action> {
        let (Some(sent), Action::Edit { content, .. }) = (&row.new.edits, &row.new.action) else {
            return Ok(row.new.action.clone());
        };
        let content = content.clone();
        Ok(match message_of(hub, sent).await? {
            Some(message) => Action::Edit { message, content },
            None => Action::Send { key: row.new.key.clone(), content, reply_to: None },
        })
    }

    /// Waits until the account may send so many messages there, or until the gateway stops.
    async fn pace(&self, hub: &Hub, to: &Conversation, channel: &dyn Channel, messages: u32) {
        tokio::select! {
            biased;
            () = hub.stopping.cancelled() => {}
            () = self.0.pacer.pace(to, &channel.capabilities().rates, messages) => {}
        }
    }

    fn emit(&self, hub: &Hub, row: &OutboundRow, kind: EventKind) {
        if let Some(session) = &row.new.session {
            hub.emit(session, None, kind);
        } else {
            // What no session caused is shown under the place that it goes to.
            let place = row.new.conversation.clone();
            hub.emit(&SessionKey::new("gateway".into(), place), None, kind);
        }
    }
}

/// The platform's id of what was sent under `key`, if it was.
async fn message_of(hub: &Hub, key: &OutboundKey) -> Result<Option<MessageId>> {
    let row = hub.store.outbound(key).await?;
    Ok(row.and_then(|row| match row.state {
        OutboundState::Sent { receipt } => receipt.messages.into_iter().next(),
        _ => None,
    }))
}

/// How many messages an action is: each medium of an album is one.
fn messages_of(action: &Action) -> u32 {
    let Action::Send { content, .. } = action else { return 1 };
    let media = content.iter().filter(|one| matches!(one, Content::Media(_))).count();
    u32::try_from(media.max(1)).unwrap_or(u32::MAX)
}

/// True if doing it twice is like doing it once, so that it does not matter whether it was done.
fn is_repeatable(action: &Action) -> bool {
    !matches!(action, Action::Send { .. })
}

fn backoff(attempt: u32) -> Duration {
    FIRST_BACKOFF.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(MAX_BACKOFF)
}

fn pause_of(error: &Error, attempt: u32) -> Duration {
    match error.retry() {
        Retry::After(pause) => pause.min(MAX_PAUSE),
        Retry::Never | Retry::Backoff => backoff(attempt),
    }
}
