//! What all parts of a running gateway share, and what starts the runs of its sessions.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::{
    sync::{Notify, Semaphore},
    task::JoinHandle,
};
use tokio_util::task::TaskTracker;

use super::{
    cache::SessionCache, directory::Directory, door::Door, ingress::Ingress, listen::Listener,
    load::Loaded, plan::Plan, waiters::Waiters, webhooks::Unread,
};
use crate::{
    blobs::Blobs,
    channel::{ChannelContext, ChannelState},
    delivery::Delivery,
    error::{Error, ErrorKind, Result},
    event::{EventKind, Events},
    fault::{Act, Faults},
    id::{AccountId, Conversation, NodeId, OutboundKey, SessionKey, TurnId},
    message::{Action, Content},
    sandbox::{OpenBoxes, patiently},
    session::{self, Began},
    store::{AcceptLimits, InputId, NewOutbound, RecordKey, RecordStore, RecordWrite, Store},
    time::{Cancel, Sources, Timestamp},
    turn::Session,
};

/// How many pending inputs the store holds at most; more are not accepted.
pub const MAX_PENDING: u64 = 200_000;
/// How many pending inputs a session holds at most; the oldest beyond it become dead letters.
pub const MAX_SESSION_PENDING: u64 = 4_096;
/// From how many pending messages on a session answers them together.
pub const COLLECT_ABOVE: usize = 256;
/// How long a lease lasts without a heartbeat.
pub const LEASE_TTL: Duration = Duration::from_secs(30);
/// How many sessions are brought back at once after a start.
const RECOVERING_AT_ONCE: usize = 32;
/// The longest pause before a run that failed begins again.
const MAX_RUN_BACKOFF: Duration = Duration::from_secs(60);

pub(crate) const LIMITS: AcceptLimits =
    AcceptLimits { total: MAX_PENDING, session: MAX_SESSION_PENDING };

pub(crate) struct Hub {
    pub(crate) store: Arc<dyn Store>,
    /// Where files are kept, if anywhere.
    pub(crate) blobs: Option<Arc<dyn Blobs>>,
    pub(crate) sources: Sources,
    pub(crate) events: Events,
    pub(crate) faults: Faults,
    pub(crate) node: NodeId,
    pub(crate) directory: Directory,
    pub(crate) delivery: Delivery,
    /// Cancelled when no new work may begin.
    pub(crate) draining: Cancel,
    /// Cancelled when running work is to be dropped.
    pub(crate) stopping: Cancel,
    pub(crate) tasks: TaskTracker,
    plan: RwLock<Arc<Plan>>,
    /// The plugins of the plan. Held by a reload from its beginning to its end.
    pub(crate) loaded: Arc<tokio::sync::Mutex<Vec<Loaded>>>,
    /// The channels that listen, or have heard all that they ever will.
    pub(crate) listeners: Mutex<BTreeMap<AccountId, Listener>>,
    runs: Mutex<HashMap<SessionKey, Arc<Wake>>>,
    sessions: Mutex<SessionCache>,
    pub(crate) waiters: Waiters,
    /// Webhooks that no channel saw.
    pub(crate) unread: Unread,
    /// The boxes that tools have used.
    pub(crate) boxes: OpenBoxes,
    /// Records of which nobody knows whether they were written.
    doubtful: Mutex<BTreeSet<RecordKey>>,
    recovering: Semaphore,
    /// Held by the one turn that is worked on again after two crashes.
    pub(crate) suspects: Arc<tokio::sync::Mutex<()>>,
    listening: AtomicUsize,
    changed: Notify,
    door: Weak<Self>,
}

/// Tells a run that there is something to look at.
#[derive(Default)]
pub(crate) struct Wake {
    notify: Notify,
}

impl Wake {
    /// Completes at the first wake-up since the last time. Cancel safe.
    pub(crate) async fn woken(&self) {
        self.notify.notified().await;
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is inside is never left half changed by a panic: each lock holds for one map operation.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    #[expect(clippy::too_many_arguments, reason = "called once, by the builder")]
    pub(crate) fn new(
        store: Arc<dyn Store>,
        sources: Sources,
        faults: Faults,
        node: NodeId,
        directory: Directory,
        plan: Plan,
        loaded: Vec<Loaded>,
        stopping: Cancel,
        door: &Weak<Self>,
    ) -> Self {
        Self {
            blobs: store.blobs(),
            store,
            sources,
            events: Events::default(),
            faults,
            node,
            directory,
            delivery: Delivery::new(),
            draining: stopping.child(),
            stopping,
            tasks: TaskTracker::new(),
            plan: RwLock::new(Arc::new(plan)),
            loaded: Arc::new(tokio::sync::Mutex::new(loaded)),
            listeners: Mutex::default(),
            runs: Mutex::default(),
            sessions: Mutex::new(SessionCache::new()),
            waiters: Waiters::default(),
            unread: Unread::default(),
            boxes: OpenBoxes::default(),
            doubtful: Mutex::default(),
            recovering: Semaphore::new(RECOVERING_AT_ONCE),
            suspects: Arc::default(),
            listening: AtomicUsize::new(0),
            changed: Notify::new(),
            door: Weak::clone(door),
        }
    }

    /// What the channel of `account` is given with a call.
    pub(crate) fn channel_context(&self, account: &AccountId) -> ChannelContext {
        let records = Arc::clone(&self.store) as Arc<dyn RecordStore>;
        ChannelContext {
            ingress: Ingress::new(Arc::new(Door(Weak::clone(&self.door)))),
            http: self.plan().http.clone(),
            clock: Arc::clone(&self.sources.clock),
            cancel: self.draining.child(),
            events: self.events.clone(),
            blobs: self.blobs.clone(),
            state: ChannelState::new(records, account.clone(), self.faults.clone()),
        }
    }

    /// A channel begins to listen.
    pub(crate) fn listening(&self) {
        self.listening.fetch_add(1, Ordering::SeqCst);
    }

    /// A channel has ended for good.
    pub(crate) fn ended_listening(&self) {
        self.listening.fetch_sub(1, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    /// A lane or a run has come to rest.
    pub(crate) fn rested(&self) {
        self.changed.notify_waiters();
    }

    /// Waits until no channel listens, no session is at work and nothing is being sent.
    pub(crate) async fn until_idle(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Before looking, so that no change is missed.
            changed.as_mut().enable();
            let ended = self.listening.load(Ordering::SeqCst) == 0;
            if ended && lock(&self.runs).is_empty() && self.delivery.is_idle() {
                return;
            }
            tokio::select! {
                biased;
                () = changed => {}
                () = self.stopping.cancelled() => return,
            }
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.sources.clock.now()
    }

    pub(crate) fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.plan.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another plan in place of the present one. Turns that have begun keep theirs.
    pub(crate) fn replace_plan(&self, plan: Plan) {
        *self.plan.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(plan);
    }

    /// Spawns a task that the gateway waits for when it shuts down, and drops when it must stop.
    pub(crate) fn spawn<F>(&self, task: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stopping = self.stopping.clone();
        // Boxed: the block below would hold it twice, as what it captured and as what it waits for.
        let task = Box::pin(task);
        self.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = stopping.cancelled() => {}
                () = task => {}
            }
        })
    }

    /// Wakes the session's run, and starts one if there is none.
    pub(crate) fn wake(self: &Arc<Self>, key: &SessionKey) {
        self.start_run(key, false);
    }

    /// Starts the run of a session that a former process may have been working on.
    pub(crate) fn recover(self: &Arc<Self>, key: &SessionKey) {
        self.start_run(key, true);
    }

    fn start_run(self: &Arc<Self>, key: &SessionKey, recovering: bool) {
        let wake = {
            let mut runs = lock(&self.runs);
            if let Some(wake) = runs.get(key) {
                wake.notify.notify_one();
                return;
            }
            let wake = Arc::new(Wake::default());
            runs.insert(key.clone(), Arc::clone(&wake));
            wake
        };
        let began = if recovering { Began::AfterCrash } else { Began::Fresh };
        let (hub, key) = (Arc::clone(self), key.clone());
        // Not dropped when the gateway stops: the run ends itself then, between two commits.
        self.tasks.spawn(async move { hub.supervise(key, wake, began).await });
    }

    /// Runs a session until it has nothing to do; a run that fails or panics begins again.
    async fn supervise(self: Arc<Self>, key: SessionKey, wake: Arc<Wake>, mut began: Began) {
        let mut failures = 0_u32;
        loop {
            let permit = match began {
                Began::Fresh => None,
                _ => self.recovering.acquire().await.ok(),
            };
            let run = session::run(&self, &key, &wake, began, permit);
            let result = AssertUnwindSafe(run).catch_unwind().await;
            let error = match result {
                Ok(Ok(rest)) => {
                    let mut runs = lock(&self.runs);
                    // A wake-up since the run last looked left its mark on the notify.
                    if wake.notify.notified().now_or_never().is_none() {
                        runs.remove(&key);
                        drop(runs);
                        self.rested();
                        if let Some(at) = rest.wake_at {
                            self.wake_later(&key, at);
                        }
                        return;
                    }
                    (failures, began) = (0, Began::Fresh);
                    continue;
                }
                Ok(Err(error)) => error,
                Err(_) => Error::internal("the session's run panicked"),
            };
            lock(&self.sessions).take(&key);
            if error.kind() == ErrorKind::InvalidData {
                // Its log cannot be understood: work on it could only make things worse.
                tracing::error!(session = %key, error = ?error, "session is quarantined");
                let text = format!("Session {key} cannot be read and is set aside: {error}");
                self.tell_quarantined(&key, text.clone()).await;
                lock(&self.runs).remove(&key);
                self.rested();
                self.waiters.lost_all(&key, ErrorKind::InvalidData, &text);
                return;
            }
            if self.stopping.is_cancelled() {
                lock(&self.runs).remove(&key);
                return;
            }
            failures += 1;
            began = Began::after(&error);
            self.waiters.look_again(&key);
            let pause = Duration::from_millis(100 << failures.min(10)).min(MAX_RUN_BACKOFF);
            tracing::warn!(session = %key, error = ?error, ?pause, "session's run failed");
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Wakes a session at a moment of wall-clock time.
    pub(crate) fn wake_later(self: &Arc<Self>, key: &SessionKey, at: Timestamp) {
        let (hub, key) = (Arc::downgrade(self), key.clone());
        let pause = at.since(self.now());
        self.spawn(async move {
            tokio::time::sleep(pause).await;
            if let Some(hub) = hub.upgrade() {
                hub.wake(&key);
            }
        });
    }

    /// A session as it was left, and the revision of its log that it was folded from.
    pub(crate) fn cached_session(&self, key: &SessionKey) -> Option<(Session, u64)> {
        lock(&self.sessions).take(key)
    }

    pub(crate) fn cache_session(&self, key: SessionKey, session: Session, revision: u64) {
        lock(&self.sessions).put(key, session, revision);
    }

    pub(crate) fn emit(&self, session: &SessionKey, turn: Option<TurnId>, kind: EventKind) {
        self.events.emit(session, turn, kind);
    }

    /// Writes records and what leaves outside of any session.
    pub(crate) async fn write(
        &self,
        records: Vec<RecordWrite>,
        outbox: Vec<NewOutbound>,
    ) -> Result<()> {
        let lanes: Vec<Conversation> = outbox.iter().map(|row| row.conversation.clone()).collect();
        let act = if records.is_empty() { Act::WriteNotice } else { Act::WriteRecords };
        let written = self.faults.around(act, self.store.write(records.clone(), outbox)).await;
        self.written(written, &records, lanes)
    }

    /// Takes note of a write, whether or not it is known to have happened.
    pub(crate) fn written(
        &self,
        result: Result<()>,
        records: &[RecordWrite],
        lanes: Vec<Conversation>,
    ) -> Result<()> {
        // One that failed may have happened all the same.
        self.delivery.wake(lanes);
        match result {
            Ok(()) => self.directory.absorb(records),
            Err(error) => {
                lock(&self.doubtful).extend(records.iter().map(|write| write.key.clone()));
                Err(error)
            }
        }
    }

    /// Reads afresh the records of which nobody knows whether they were written.
    pub(crate) async fn refresh(&self) -> Result<()> {
        loop {
            let Some(key) = lock(&self.doubtful).first().cloned() else { return Ok(()) };
            let value = self.store.record(&key).await?.map(|record| record.value);
            self.directory.absorb(&[RecordWrite { key: key.clone(), expect: None, value }])?;
            lock(&self.doubtful).remove(&key);
        }
    }

    /// Tells the owner something that concerns no conversation of theirs. `about` makes it one notice
    /// however often it is told.
    pub(crate) async fn tell_owner(&self, about: &str, text: String) {
        let Some(place) = self.plan().owner_conversation() else { return };
        let key = OutboundKey::digest(&format!("owner\0{about}"));
        let row = self.outbound(&place, key, None, Content::text(text));
        if let Err(error) = self.write(Vec::new(), vec![row]).await {
            tracing::error!(error = ?error, about, "the owner could not be told");
        }
    }

    /// Who speaks in a session that cannot be read is told, and the owner, each once.
    async fn tell_quarantined(&self, key: &SessionKey, text: String) {
        let owner = self.plan().owner_conversation();
        if owner.as_ref() != Some(key.conversation()) {
            let notice = OutboundKey::digest(&format!("quarantine\0{key}"));
            let here = "I cannot read our conversation any more, so I cannot answer here. What you write is kept.";
            let row = self.outbound(key.conversation(), notice, None, Content::text(here));
            if let Err(error) = self.write(Vec::new(), vec![row]).await {
                tracing::error!(session = %key, error = ?error, "nobody could be told of the quarantine");
            }
        }
        self.tell_owner(&format!("quarantine/{key}"), text).await;
    }

    /// Tells the owner what the store finds wrong with itself.
    pub(crate) fn watch_store(self: &Arc<Self>) {
        let hub = Arc::clone(self);
        self.spawn(async move {
            let problems = hub.store.damage().await;
            let Some(first) = problems.first() else { return };
            let more = match problems.len() - 1 {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            let text =
                format!("My database is damaged: {first}{more}. Stop me and restore a backup.");
            let about = OutboundKey::digest(&problems.join("\0"));
            hub.tell_owner(&format!("damage/{about}"), text).await;
        });
    }

    /// A message that no turn causes.
    pub(crate) fn outbound(
        &self,
        to: &Conversation,
        key: OutboundKey,
        session: Option<&SessionKey>,
        content: Content,
    ) -> NewOutbound {
        NewOutbound {
            key: key.clone(),
            conversation: to.clone(),
            session: session.cloned(),
            action: Action::Send { key: key.clone(), content: vec![content], reply_to: None },
            group: key,
            edits: None,
            at: self.now(),
        }
    }

    /// The key of what a control caused.
    pub(crate) fn control_key(session: &SessionKey, input: InputId) -> OutboundKey {
        OutboundKey::digest(&format!("control\0{session}\0{}", input.0))
    }

    /// Ends what dead processes left in the sandbox. Without its engine, calls will fail, and say so.
    pub(crate) async fn reap_abandoned(&self) {
        let Some(sandbox) = self.plan().sandbox.clone() else { return };
        match patiently(sandbox.reap_abandoned()).await {
            Ok(0) => {}
            Ok(boxes) => tracing::info!(boxes, "ended boxes that a dead process left"),
            Err(error) => tracing::warn!(error = ?error, "the sandbox cannot be used"),
        }
    }

    /// Wakes all sessions that a former process left unfinished.
    pub(crate) async fn recover_all(self: &Arc<Self>) -> Result<usize> {
        let (mut after, mut count) = (None::<SessionKey>, 0);
        loop {
            let page = self.store.unfinished(after.as_ref(), 512).await?;
            let Some(last) = page.last() else { return Ok(count) };
            after = Some(last.session.clone());
            count += page.len();
            for row in &page {
                if row.pending > 0 || row.open {
                    self.recover(&row.session);
                }
                if let (true, Some(at)) = (row.pending == 0, row.wake_at) {
                    self.wake_later(&row.session, at);
                }
            }
        }
    }
}
