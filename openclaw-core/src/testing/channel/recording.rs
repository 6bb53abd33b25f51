//! A door that writes down what came in by it.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::{
    channel::{Accepted, ChannelContext, ChannelState, Refusal},
    error::{Error, ErrorKind, Result},
    event::{EventKind, Events},
    fault::Faults,
    gateway::{Accept, Ingress},
    http_client::HttpClient,
    id::{AccountId, EventKey, SessionKey, TurnId},
    message::Inbound,
    store::{InMemory, Store as _},
    time::{Cancel, SystemClock},
};

/// Stands in for a gateway before a channel under test: accepts, dedupes by
/// [`EventKey`](crate::EventKey) and account, and keeps what it accepted. Clones share their state.
///
/// The gate is open at first. While it is shut, [`Ingress::accept`] waits; what waits when the future
/// is dropped was not accepted.
#[derive(Clone, Default)]
pub struct RecordingIngress(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    changed: watch::Sender<()>,
    events: Events,
}

impl Default for Inner {
    fn default() -> Self {
        Self { state: Mutex::default(), changed: watch::Sender::new(()), events: Events::default() }
    }
}

#[derive(Default)]
struct State {
    offered: Vec<Inbound>,
    accepted: Vec<Inbound>,
    seen: HashSet<(String, EventKey)>,
    shut: bool,
    failures: usize,
    refuse: Option<Refusal>,
}

/// A context for calls of the channel of `account`: its events go to `recording`, its clock is the
/// system's, files and state are kept in memory, and it is never cancelled but by
/// [`ChannelContext::cancel`].
pub fn context(
    recording: &RecordingIngress,
    account: &AccountId,
    http: Option<Arc<dyn HttpClient>>,
) -> ChannelContext {
    let store = InMemory::new();
    ChannelContext {
        ingress: Ingress::new(Arc::new(recording.clone())),
        http,
        clock: Arc::new(SystemClock),
        cancel: Cancel::new(),
        events: recording.0.events.clone(),
        blobs: store.blobs(),
        state: ChannelState::new(Arc::new(store), account.clone(), Faults::default()),
    }
}

impl RecordingIngress {
    /// Nothing accepted yet, the gate open.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was accepted as new, in the order of acceptance.
    pub fn accepted(&self) -> Vec<Inbound> {
        self.read(|state| state.accepted.clone())
    }

    /// Every event that was passed in, also while the gate was shut and also again.
    pub fn offered(&self) -> Vec<Inbound> {
        self.read(|state| state.offered.clone())
    }

    /// Makes [`Ingress::accept`] wait until [`open`](Self::open).
    pub fn shut(&self) {
        self.update(|state| state.shut = true);
    }

    /// Lets what waits go on.
    pub fn open(&self) {
        self.update(|state| state.shut = false);
    }

    /// Makes the next `count` calls fail with a transient error and accept nothing.
    pub fn fail_next(&self, count: usize) {
        self.update(|state| state.failures = count);
    }

    /// Refuses every event from now on for this reason; `None` accepts again.
    pub fn refuse(&self, reason: Option<Refusal>) {
        self.update(|state| state.refuse = reason);
    }

    /// Says to the context's subscribers that something happened in `session`.
    pub fn emit(&self, session: &SessionKey, turn: Option<TurnId>, kind: EventKind) {
        self.0.events.emit(session, turn, kind);
    }

    /// Waits until at least `count` events were accepted, and returns all that were.
    pub async fn wait_accepted(&self, count: usize) -> Vec<Inbound> {
        self.wait(|state| (state.accepted.len() >= count).then(|| state.accepted.clone())).await
    }

    /// Waits until at least `count` events were passed in, and returns all that were.
    pub async fn wait_offered(&self, count: usize) -> Vec<Inbound> {
        self.wait(|state| (state.offered.len() >= count).then(|| state.offered.clone())).await
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

    fn read<T>(&self, of: impl FnOnce(&State) -> T) -> T {
        of(&self.state())
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.0.changed.send_replace(());
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Accept for RecordingIngress {
    async fn accept(&self, batch: Vec<Inbound>) -> Result<Vec<Accepted>> {
        self.update(|state| state.offered.extend(batch.iter().cloned()));
        self.wait(|state| (!state.shut).then_some(())).await;
        let answers = {
            let mut state = self.state();
            if state.failures > 0 {
                state.failures -= 1;
                return Err(Error::new(ErrorKind::Unavailable, "the test's ingress fails"));
            }
            batch.into_iter().map(|inbound| state.take(inbound)).collect()
        };
        self.0.changed.send_replace(());
        Ok(answers)
    }
}

impl State {
    fn take(&mut self, inbound: Inbound) -> Accepted {
        if let Some(reason) = self.refuse {
            return Accepted::Refused(reason);
        }
        let key = (inbound.conversation.account.to_string(), inbound.key.clone());
        if !self.seen.insert(key) {
            return Accepted::Duplicate;
        }
        self.accepted.push(inbound);
        Accepted::New
    }
}
