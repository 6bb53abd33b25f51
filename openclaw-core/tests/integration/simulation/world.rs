//! What a simulated world has in common: its seed, its time, its faults, and what happened in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use openclaw_core::{
    Error, ErrorKind, EventKey, OutboundKey, Result, SessionKey,
    label::Label,
    store::{Batch, NewOutbound},
    testing::SeededEntropy,
    time::{Clock, Timestamp},
    tool::Capability,
};
use tokio::{sync::Notify, time::Instant};

/// A fault that the world should not have: the oracle must find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    /// The channel tells the platform that it took an event before it was accepted.
    LostAck,
    /// The store forgets now and then that something was sent.
    DoubleSend,
    /// The store loses the results of calls.
    OrphanCall,
    /// The store reads labels back as if everything were trusted.
    LabelLoss,
    /// The store consumes an input more than it is told to.
    LostInput,
    /// The store takes an event for new because it comes for another session.
    KeysBySession,
}

/// A tool call that had its effect.
#[derive(Clone, Debug)]
pub(super) struct Effect {
    pub(super) session: SessionKey,
    pub(super) call: String,
    pub(super) key: String,
    pub(super) capability: Capability,
    pub(super) repeatable: bool,
    pub(super) context: Label,
    pub(super) arguments: serde_json::Value,
}

/// What happened, for the oracle.
#[derive(Default)]
pub(super) struct Happened {
    pub(super) trace: Vec<String>,
    pub(super) violations: Vec<String>,
    pub(super) effects: Vec<Effect>,
    pub(super) accepted: BTreeSet<String>,
    pub(super) commits: Vec<(SessionKey, Batch)>,
    pub(super) outbox: Vec<NewOutbound>,
    /// How often it was logged that nobody knows whether this was sent.
    pub(super) unknown: BTreeMap<OutboundKey, usize>,
    /// What a platform refused for good: the message, and the text that it was to have.
    pub(super) denied: BTreeSet<(OutboundKey, String)>,
}

pub(super) struct World {
    pub(super) dice: SeededEntropy,
    pub(super) bug: Option<Bug>,
    pub(super) happened: Mutex<Happened>,
    born: Instant,
    skew: AtomicI64,
    storm: AtomicBool,
    /// Writes that failed before they were done.
    failed: AtomicU64,
}

impl World {
    pub(super) fn new(seed: u64, bug: Option<Bug>) -> Arc<Self> {
        Arc::new(Self {
            dice: SeededEntropy::new(seed ^ 0x5EED),
            bug,
            happened: Mutex::default(),
            born: Instant::now(),
            skew: AtomicI64::new(0),
            storm: AtomicBool::new(true),
            failed: AtomicU64::new(0),
        })
    }

    /// True once in `n` times, while faults happen.
    pub(super) fn fault(&self, n: u64) -> bool {
        self.storm.load(Ordering::SeqCst) && self.dice.below(n) == 0
    }

    /// True once in `n` times.
    pub(super) fn chance(&self, n: u64) -> bool {
        self.dice.below(n) == 0
    }

    pub(super) fn millis(&self, most: u64) -> Duration {
        Duration::from_millis(self.dice.below(most.max(1)))
    }

    /// From now on nothing fails.
    pub(super) fn calm(&self) {
        self.storm.store(false, Ordering::SeqCst);
    }

    pub(super) fn is_calm(&self) -> bool {
        !self.storm.load(Ordering::SeqCst)
    }

    /// Moves the wall clock, and only that.
    pub(super) fn skew(&self, millis: i64) {
        self.skew.fetch_add(millis, Ordering::SeqCst);
    }

    pub(super) fn log(&self, line: impl fmt::Display) {
        let at = self.born.elapsed().as_millis();
        self.happened.lock().unwrap().trace.push(format!("{at} {line}"));
    }

    pub(super) fn violation(&self, text: impl Into<String>) {
        let text = text.into();
        self.log(format!("VIOLATION {text}"));
        self.happened.lock().unwrap().violations.push(text);
    }

    pub(super) fn accepted(&self, key: &EventKey) {
        self.happened.lock().unwrap().accepted.insert(key.as_str().to_owned());
    }
}

/// The world's wall clock: it goes with `tokio::time` and jumps now and then.
#[derive(Clone)]
pub(super) struct WorldClock(pub(super) Arc<World>);

impl Clock for WorldClock {
    fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.0.born.elapsed().as_millis()).unwrap();
        Timestamp(1_780_315_200_000 + elapsed + self.0.skew.load(Ordering::SeqCst))
    }
}

/// One life of the process. When it has died, nothing that belongs to it has any effect: whatever it
/// was about to do hangs for ever.
pub(super) struct Life {
    pub(super) world: Arc<World>,
    dead: AtomicBool,
    died: Notify,
    /// How many more steps it lives; 0 is for ever.
    steps: AtomicU64,
}

impl Life {
    pub(super) fn new(world: &Arc<World>, steps: u64) -> Arc<Self> {
        Arc::new(Self {
            world: Arc::clone(world),
            dead: AtomicBool::new(false),
            died: Notify::new(),
            steps: AtomicU64::new(steps),
        })
    }

    pub(super) async fn died(&self) {
        let died = self.died.notified();
        if !self.dead.load(Ordering::SeqCst) {
            died.await;
        }
    }

    pub(super) fn end(&self) {
        self.dead.store(true, Ordering::SeqCst);
        self.died.notify_waiters();
    }

    /// A step of the process; its last one is never left.
    pub(super) async fn step(&self, what: &str) {
        if !self.dead.load(Ordering::SeqCst) && !self.world.is_calm() {
            let left = self.steps.load(Ordering::SeqCst);
            if left == 1 {
                self.world.log(format!("crash at {what}"));
                self.end();
            }
            self.steps.store(left.saturating_sub(1), Ordering::SeqCst);
        }
        if self.dead.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }

    /// The end of it, whatever steps are left; in calm times nothing is.
    pub(super) async fn crash(&self, what: &str) {
        if !self.dead.load(Ordering::SeqCst) && !self.world.is_calm() {
            self.world.log(format!("crash at {what}"));
            self.end();
        }
        self.step(what).await;
    }

    /// Something outside is asked: that may take time, fail, or be the end.
    pub(super) async fn before(&self, what: &str) -> Result<()> {
        self.step(what).await;
        if self.world.fault(4) {
            let most = if self.world.chance(30) { 3_000 } else { 20 };
            tokio::time::sleep(self.world.millis(most)).await;
            self.step(what).await;
        }
        if self.world.fault(40) {
            // Where something is written, the disk is full each other time.
            let writes = matches!(what, "accept" | "commit" | "settle" | "write");
            let full = writes && self.world.failed.fetch_add(1, Ordering::SeqCst) % 2 == 1;
            let kind = if full { ErrorKind::Exhausted } else { ErrorKind::Unavailable };
            return Err(
                Error::new(kind, format!("{what} fails")).with_retry(openclaw_core::Retry::Backoff)
            );
        }
        Ok(())
    }

    /// It has happened; whoever asked may not hear of it.
    pub(super) async fn after(&self, what: &str) -> Result<()> {
        self.step(what).await;
        if self.world.fault(40) {
            let kind =
                if self.world.chance(2) { ErrorKind::Conflict } else { ErrorKind::Unavailable };
            return Err(Error::new(kind, format!("the answer of {what} is lost"))
                .with_retry(openclaw_core::Retry::Backoff));
        }
        Ok(())
    }
}
