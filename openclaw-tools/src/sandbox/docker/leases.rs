//! Which box belongs to which lease, and the boxes that wait for one.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bollard::{
    errors::Error as ApiError, models::ContainerStateStatusEnum as Status,
    query_parameters::RenameContainerOptionsBuilder,
};
use openclaw_core::{Error, ErrorKind, Result, sandbox::Lease};
use tokio::{
    sync::{OnceCell, Semaphore},
    time::Instant,
};

use super::{
    container::Shape,
    engine::{Connected, fault},
    held::{Held, remove},
    reaper::STARTING,
};

/// How many boxes are made at once: more do not make an engine faster.
const AT_ONCE: usize = 4;
/// How often something is tried again that another process got in the way of.
const TRIES: usize = 4;

type Slot = Arc<OnceCell<Arc<Held>>>;

/// The boxes of this process.
pub(super) struct Leases {
    /// Names this process towards others on the engine.
    pub(super) owner: String,
    /// Which boxes on the engine it looks after.
    pub(super) namespace: String,
    /// How many boxes of each shape wait.
    warm: usize,
    slots: Mutex<HashMap<String, Slot>>,
    waiting: Mutex<Vec<(Shape, Arc<Held>)>>,
    making: Semaphore,
    count: AtomicU64,
}

/// The container's name of a lease. It is what makes the box findable for other processes, and the
/// engine gives a name only once.
pub(super) fn name_of(lease: &Lease) -> String {
    format!("openclaw-{}", lease.id)
}

impl Leases {
    pub(super) fn new(owner: String, namespace: String, warm: usize) -> Self {
        Self {
            owner,
            namespace,
            warm,
            slots: Mutex::default(),
            waiting: Mutex::default(),
            making: Semaphore::new(AT_ONCE),
            count: AtomicU64::new(0),
        }
    }

    /// The box of a lease, which is made if it is not there.
    pub(super) async fn get(
        self: &Arc<Self>,
        lease: &Lease,
        connected: &Arc<Connected>,
        shape: &Shape,
    ) -> Result<Arc<Held>> {
        for _ in 0..TRIES {
            let slot = Arc::clone(lock(&self.slots).entry(lease.id.clone()).or_default());
            let claim = || self.claim(name_of(lease), connected, shape);
            let held = slot.get_or_try_init(claim).await;
            match held {
                Ok(held) if held.is_ended() => self.forget(&lease.id, held),
                Ok(held) => return Ok(Arc::clone(held)),
                Err(error) => {
                    let mut slots = lock(&self.slots);
                    if slots.get(&lease.id).is_some_and(|it| it.get().is_none()) {
                        slots.remove(&lease.id);
                    }
                    return Err(error);
                }
            }
        }
        Err(Error::new(ErrorKind::Unavailable, "the box ends as soon as it is made"))
    }

    /// Takes a box out that has ended.
    pub(super) fn forget(&self, lease: &str, held: &Arc<Held>) {
        let mut slots = lock(&self.slots);
        if slots.get(lease).and_then(|slot| slot.get()).is_some_and(|it| Arc::ptr_eq(it, held)) {
            slots.remove(lease);
        }
    }

    /// Takes a box out that is to end.
    pub(super) fn take(&self, lease: &str) -> Option<Arc<Held>> {
        lock(&self.slots).remove(lease).and_then(|slot| slot.get().cloned())
    }

    /// Gives a name to a waiting box or a new one, or finds the box that has the name.
    async fn claim(
        self: &Arc<Self>,
        name: String,
        connected: &Arc<Connected>,
        shape: &Shape,
    ) -> Result<Arc<Held>> {
        for _ in 0..TRIES {
            let claimed = match self.waiting_box(shape) {
                Some(held) => {
                    let options = RenameContainerOptionsBuilder::new().name(&name).build();
                    match connected.docker.rename_container(&held.id, options).await {
                        // It has ended while it waited.
                        Err(ApiError::DockerResponseServerError { status_code: 404, .. }) => {
                            continue;
                        }
                        Err(error) => {
                            lock(&self.waiting).push((shape.clone(), held));
                            Err(error)
                        }
                        Ok(()) => Ok(held),
                    }
                }
                None => self.make(connected, shape, name.clone()).await,
            };
            match claimed {
                Ok(held) => {
                    self.refill(connected, shape);
                    return Ok(held);
                }
                Err(ApiError::DockerResponseServerError { status_code: 409, .. }) => {
                    if let Some(held) = existing(connected, &name).await? {
                        return Ok(held);
                    }
                }
                Err(error) => return Err(fault(error)),
            }
        }
        Err(Error::new(ErrorKind::Unavailable, format!("the engine does not let go of {name}")))
    }

    fn waiting_box(&self, shape: &Shape) -> Option<Arc<Held>> {
        let mut waiting = lock(&self.waiting);
        let at = waiting.iter().position(|(other, held)| other == shape && !held.is_ended())?;
        Some(waiting.swap_remove(at).1)
    }

    /// Makes a box in a task of its own: who waits for it may be dropped.
    async fn make(
        self: &Arc<Self>,
        connected: &Arc<Connected>,
        shape: &Shape,
        name: String,
    ) -> Result<Arc<Held>, ApiError> {
        let (leases, docker, shape) = (Arc::clone(self), connected.docker.clone(), shape.clone());
        let made = tokio::spawn(async move {
            let _one = leases.making.acquire().await;
            Held::make(docker, &shape, (&leases.owner, &leases.namespace), &name)
                .await
                .map(Arc::new)
        });
        made.await.unwrap_or(Err(ApiError::RequestTimeoutError))
    }

    /// Makes as many boxes of this shape as are to wait.
    pub(super) fn refill(self: &Arc<Self>, connected: &Arc<Connected>, shape: &Shape) {
        let of_shape = lock(&self.waiting).iter().filter(|(other, _)| other == shape).count();
        for _ in of_shape..self.warm {
            let (leases, connected) = (Arc::clone(self), Arc::clone(connected));
            let shape = shape.clone();
            tokio::spawn(async move {
                let number = leases.count.fetch_add(1, Ordering::Relaxed);
                let name = format!("openclaw-warm-{}-{number}", leases.owner);
                match leases.make(&connected, &shape, name).await {
                    Ok(held) => {
                        let mut waiting = lock(&leases.waiting);
                        let has = waiting.iter().filter(|(other, _)| *other == shape).count();
                        // Dropped, it ends.
                        if has < leases.warm {
                            waiting.push((shape, held));
                        }
                    }
                    Err(error) => tracing::debug!(%error, "no box could be made in advance"),
                }
            });
        }
    }

    /// How many boxes wait.
    pub(super) fn waiting(&self) -> usize {
        lock(&self.waiting).len()
    }

    /// Ends what has not been used for `idle`, or is older than `age`.
    pub(super) async fn sweep(&self, idle: Duration, age: Duration) {
        let now = Instant::now();
        let is_over = |held: &Held| {
            held.idle_since().is_some_and(|since| now.saturating_duration_since(since) >= idle)
                || now.saturating_duration_since(held.born) >= age
        };
        let mut over: Vec<Arc<Held>> = Vec::new();
        lock(&self.slots).retain(|_, slot| match slot.get() {
            Some(held) if held.is_ended() => false,
            Some(held) if is_over(held) => {
                over.push(Arc::clone(held));
                false
            }
            _ => true,
        });
        lock(&self.waiting).retain(|(_, held)| {
            let ends = is_over(held);
            if ends {
                over.push(Arc::clone(held));
            }
            !ends
        });
        for held in over {
            if let Err(error) = held.end().await {
                tracing::debug!(?error, "a box could not be ended");
            }
        }
    }
}

/// The running container of this name; one that does not run is removed.
async fn existing(connected: &Connected, name: &str) -> Result<Option<Arc<Held>>> {
    let docker = &connected.docker;
    let patience = Instant::now() + STARTING;
    loop {
        let found = match docker.inspect_container(name, None).await {
            Err(ApiError::DockerResponseServerError { status_code: 404, .. }) => return Ok(None),
            other => other.map_err(fault)?,
        };
        let (id, state) = (found.id.unwrap_or_default(), found.state.unwrap_or_default());
        if state.running == Some(true) {
            return Ok(Some(Arc::new(Held::of_another(
                docker.clone(),
                id,
                connected.runtime.is_some(),
            ))));
        }
        // Somebody may be about to start it.
        if state.status != Some(Status::CREATED) || Instant::now() >= patience {
            remove(docker, &id).await.map_err(fault)?;
            return Ok(None);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
