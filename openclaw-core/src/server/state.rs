//! What all doors of a gateway share.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError, RwLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use super::{
    auth::Comparer,
    config::ServerConfig,
    connection::{Connection, Event, Farewell},
    decisions::Decisions,
    devices::Devices,
    events,
    lockout::Lockouts,
    methods,
    metrics::Metrics,
    rates::Rates,
    runs::Runs,
};
use crate::{
    error::Result,
    gateway::Handle,
    id::hex,
    protocol::{DeviceKey, Scope, close},
    time::Timestamp,
};

pub(super) struct Server {
    pub(super) handle: Handle,
    pub(super) config: ServerConfig,
    pub(super) key: DeviceKey,
    pub(super) comparer: Comparer,
    pub(super) lockouts: Lockouts,
    pub(super) devices: Devices,
    pub(super) runs: Runs,
    pub(super) rates: Rates,
    pub(super) decisions: Decisions,
    pub(super) metrics: Metrics,
    pub(super) started: Timestamp,
    pub(super) boot_id: String,
    pub(super) connections: RwLock<HashMap<u64, Arc<Connection>>>,
    /// Somebody came or went.
    pub(super) moved: Arc<Notify>,
    waiting: Mutex<Waiting>,
    last: AtomicU64,
}

/// Above how many connections nobody is told of each that comes and goes.
const MAX_TOLD: usize = 100;
/// How long those who come and go are gathered before others are told.
const TOLD_EVERY: Duration = Duration::from_millis(500);

/// The sockets that have not said who they are.
#[derive(Default)]
struct Waiting {
    all: usize,
    of: HashMap<Option<IpAddr>, usize>,
}

/// A place among the sockets that have not said who they are; given back when it is dropped.
pub(super) struct Place {
    server: Arc<Server>,
    address: Option<IpAddr>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.server.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.all = waiting.all.saturating_sub(1);
        if let Some(count) = waiting.of.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                waiting.of.remove(&self.address);
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Whoever waits for it sees that nobody is left.
        self.moved.notify_one();
    }
}

impl Server {
    pub(super) async fn start(handle: Handle, config: ServerConfig) -> Result<Arc<Self>> {
        config.check()?;
        let sources = &handle.hub.sources;
        let key = match &config.key {
            Some(key) => key.clone(),
            None => {
                if !handle.hub.store.is_ephemeral() {
                    tracing::warn!(
                        "the gateway's doors have no key of their own, so every device has to be let \
                         in again after each start; give them one"
                    );
                }
                DeviceKey::generate(sources.entropy.as_ref())?
            }
        };
        if matches!(config.auth, super::Auth::None) {
            tracing::warn!(
                "the gateway's doors ask for no credential: every program and every user of this \
                 machine is let in as the owner"
            );
        }
        let started = sources.clock.now();
        let lockouts = Lockouts::load(config.lockout, &handle.hub, started).await?;
        let devices = Devices::load(&handle.hub).await?;
        let mut boot = [0; 16];
        sources.entropy.fill(&mut boot)?;
        let server = Arc::new(Self {
            comparer: Comparer::new(
                Comparer::new(key.seed()).digest("openclaw token digests, version 1"),
            ),
            key,
            lockouts,
            devices,
            runs: Runs::default(),
            rates: Rates::default(),
            decisions: Decisions::default(),
            metrics: Metrics::new(),
            started,
            boot_id: uuid(boot),
            connections: RwLock::default(),
            moved: Arc::default(),
            waiting: Mutex::default(),
            last: AtomicU64::new(0),
            config,
            handle,
        });
        Self::follow(&server);
        Ok(server)
    }

    /// Tells clients what happens, for as long as there are doors and a gateway.
    fn follow(server: &Arc<Self>) {
        let hub = Arc::clone(&server.handle.hub);
        let weak: Weak<Self> = Arc::downgrade(server);
        hub.spawn(events::follow(Weak::clone(&weak), hub.events.subscribe()));
        hub.spawn(Self::tell_presence(Weak::clone(&weak), Arc::clone(&server.moved)));
        let draining = hub.draining.clone();
        hub.spawn(async move {
            draining.cancelled().await;
            if let Some(server) = weak.upgrade() {
                server.tell(&Event::new("shutdown", &serde_json::json!({ "reason": "stopping" })));
            }
        });
    }

    /// Tells those who may read who is connected, when that changes.
    async fn tell_presence(server: Weak<Self>, moved: Arc<Notify>) {
        loop {
            moved.notified().await;
            tokio::time::sleep(TOLD_EVERY).await;
            let Some(server) = server.upgrade() else { return };
            if server.is_watched() && server.count() <= MAX_TOLD {
                let payload =
                    serde_json::json!({ "presence": methods::status::everybody(&server) });
                let event = Event::new("presence", &payload);
                server.tell_some(&event, |one| one.caller.may(Scope::Read));
            }
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.handle.hub.now()
    }

    /// A number that no other connection has.
    pub(super) fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed)
    }

    /// An unpredictable name.
    pub(super) fn fresh(&self) -> Result<String> {
        let mut bytes = [0; 16];
        self.handle.hub.sources.entropy.fill(&mut bytes)?;
        Ok(uuid(bytes))
    }

    /// A place for a socket that has not said who it is; `None` if there are too many.
    pub(super) fn place(self: &Arc<Self>, address: Option<IpAddr>) -> Option<Place> {
        let limits = &self.config.limits;
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.all >= limits.unauthenticated {
            return None;
        }
        let count = waiting.of.entry(address).or_default();
        if *count >= limits.unauthenticated_per_address {
            return None;
        }
        *count += 1;
        waiting.all += 1;
        Some(Place { server: Arc::clone(self), address })
    }

    /// Writes down new lockouts, beside what is going on.
    pub(super) fn keep_lockouts(self: &Arc<Self>) {
        let server = Arc::clone(self);
        self.handle.hub.spawn(async move {
            if let Err(error) = server.lockouts.keep(&server.handle.hub).await {
                tracing::warn!(%error, "a restart would forget who is locked out");
            }
        });
    }

    /// How many sockets have not said who they are.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).all
    }

    /// True if there is anybody to tell.
    pub(super) fn is_watched(&self) -> bool {
        !self.connections.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// How many connections there are.
    pub(super) fn count(&self) -> usize {
        self.connections.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Looks at each connection, the oldest first.
    pub(super) fn each_arc(&self, mut look: impl FnMut(&Arc<Connection>)) {
        let connections = self.connections.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Arc<Connection>> = connections.values().cloned().collect();
        drop(connections);
        all.sort_by_key(|one| one.number);
        all.iter().for_each(&mut look);
    }

    /// Does something to each connection.
    pub(super) fn each(&self, act: impl Fn(&Connection)) {
        let connections = self.connections.read().unwrap_or_else(PoisonError::into_inner);
        connections.values().for_each(|one| act(one));
    }

    /// Parts from those connections that `choose` names: what let them in is no longer valid.
    pub(super) fn part_from(&self, choose: impl Fn(&Connection) -> bool) {
        self.each(|one| {
            if choose(one) {
                one.close(Farewell::new(close::REVOKED, "gateway auth changed"));
            }
        });
    }

    /// Tells every connection.
    pub(super) fn tell(&self, event: &Event) {
        self.tell_some(event, |_| true);
    }

    /// Tells those connections that `choose` names.
    pub(super) fn tell_some(&self, event: &Event, choose: impl Fn(&Connection) -> bool) {
        let connections = self.connections.read().unwrap_or_else(PoisonError::into_inner);
        connections.values().filter(|one| choose(one)).for_each(|one| one.send(event));
    }
}

/// Sixteen unpredictable bytes as a UUID of version 4.
fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex(&bytes, 16);
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}
