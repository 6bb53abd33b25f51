//! Boxes that are containers of a Docker engine.
//!
//! A box has no network, no capabilities, no way to gain privileges, a root that cannot be written to, a
//! user that is not root, namespaces of its own, a list of the system calls that it may make, and limits on
//! memory, processors, processes, files, time and output. Nothing can be configured that would open it.
//!
//! - **Images** are named by id or digest, never by a tag, and are never pulled or built here. They need
//!   `/bin/sh`, `env` and Python 3. `openclaw-tools/image/build` makes one without a registry.
//! - **Files** are in memory, so they count against it: a box's `disk` must be less than its `memory`.
//! - **Life.** A box ends with the process that made it, however that ends: its first process holds an input
//!   open that closes then. It ends as a whole when a command's time is over, when it was idle for long, and
//!   at its greatest age; its files go with it.
//! - **Without an engine** every call fails, and says so. There is no other way to run anything.
//!
//! ```no_run
//! use openclaw_core::{Gateway, Result, testing::Scripted};
//! use openclaw_tools::sandbox::docker::DockerSandbox;
//!
//! # async fn start() -> Result<()> {
//! // As `openclaw-tools/image/build` printed it.
//! let id = "sha256:e6a6b0850fe3d89a639ae12386b1fc1e7f6b3d0ace8bb6fe415616fc844e6b99";
//! let sandbox = DockerSandbox::builder().image("base", id).start().await?;
//! let gateway = Gateway::builder().provider(Scripted::replies(["Hi."])).sandbox(sandbox);
//! # Ok(()) }
//! ```

mod config;
mod container;
pub mod doctor;
mod engine;
mod exec;
mod files;
mod held;
mod leases;
mod reaper;
mod seccomp;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use bytes::Bytes;
use openclaw_core::{
    Error, ErrorKind, Result, async_trait,
    sandbox::{
        Command, CommandStream, DEFAULT_OUTPUT, DEFAULT_TIME, Lease, Limits, Sandbox,
        SandboxCapabilities, SandboxKind, SandboxPath, SandboxSpec,
    },
};
use tokio::time::Instant;

pub use self::config::DockerConfig;
use self::{
    container::Shape,
    doctor::Examination,
    engine::{Connected, Engine, is_fixed},
    held::Held,
    leases::{Leases, name_of},
};

/// Where an engine listens unless another place is said.
pub const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
/// The memory of a box where nothing else is said, in bytes.
pub const DEFAULT_MEMORY: u64 = 512 * 1024 * 1024;
/// What a box's files may hold where nothing else is said, in bytes; at most half of its memory.
pub const DEFAULT_DISK: u64 = 256 * 1024 * 1024;
/// How many processes and threads a box has where nothing else is said.
pub const DEFAULT_PIDS: u32 = 128;
/// How long a box is kept that nobody uses.
pub const DEFAULT_IDLE: Duration = Duration::from_secs(60 * 60);
/// How long a box is kept at most.
pub const DEFAULT_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// The most boxes of one kind that can wait for a lease.
pub const MAX_WARM: usize = 64;
/// How long making a box and starting a command in it may take.
const READY: Duration = Duration::from_secs(60);
/// How often boxes are looked at that may have been idle for too long.
const SWEEP: Duration = Duration::from_secs(5);

/// Whether boxes run under gVisor (the runtime `runsc`), a kernel of its own between a box and the host's.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    serde::Serialize,
    serde::Deserialize,
    openclaw_core::schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[schemars(crate = "openclaw_core::schemars")]
pub enum Gvisor {
    /// They do; an engine without it is refused. A box's own processes cannot be limited then.
    Require,
    /// They do where the engine has it.
    Prefer,
    /// They run under the engine's default runtime.
    #[default]
    No,
}

/// Makes a [`DockerSandbox`].
#[derive(Clone, Debug)]
#[must_use]
pub struct DockerBuilder {
    socket: String,
    images: BTreeMap<String, String>,
    first: Option<String>,
    gvisor: Gvisor,
    limits: Limits,
    warm: usize,
    idle: Duration,
    age: Duration,
    examination: Examination,
    namespace: String,
}

impl DockerBuilder {
    /// Where the engine listens: the path of a UNIX socket. [`DEFAULT_SOCKET`] if it is not said.
    pub fn socket(mut self, path: impl Into<String>) -> Self {
        self.socket = path.into();
        self
    }

    /// Allows an image, under a name for specs, by its id (`sha256:…`) or its digest (`name@sha256:…`). The
    /// first one is what a box has that names none.
    pub fn image(mut self, name: impl Into<String>, reference: impl Into<String>) -> Self {
        let name = name.into();
        self.first.get_or_insert_with(|| name.clone());
        self.images.insert(name, reference.into());
        self
    }

    /// Whether boxes run under gVisor.
    pub fn gvisor(mut self, gvisor: Gvisor) -> Self {
        self.gvisor = gvisor;
        self
    }

    /// What a box may take where its spec does not say.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits.or(&self.limits);
        self
    }

    /// How many boxes of each kind are made in advance, from the first use of their kind on; 1 if it is not
    /// said, at most [`MAX_WARM`].
    pub fn warm(mut self, boxes: usize) -> Self {
        self.warm = boxes;
        self
    }

    /// How long a box is kept that nobody uses; [`DEFAULT_IDLE`] if it is not said.
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// How long a box is kept at most; [`DEFAULT_AGE`] if it is not said.
    pub fn age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }

    /// Whose boxes these are, where several applications share an engine: what a dead process left is looked
    /// for among them alone. `default` if it is not said.
    pub fn namespace(mut self, name: impl Into<String>) -> Self {
        self.namespace = name.into();
        self
    }

    /// How much is tried in a box before the first one is used, and each time that the engine comes back;
    /// [`Examination::Quick`] if it is not said.
    pub fn examine(mut self, examination: Examination) -> Self {
        self.examination = examination;
        self
    }

    /// The sandbox. An engine that answers is examined; one that does not is waited for: until it is there,
    /// and found fit, calls fail.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if no image was allowed, one is named by a tag or is not in the engine,
    /// a number is out of range, gVisor is required and missing, the engine cannot enforce the limits, or a
    /// try showed that boxes are open.
    pub async fn start(self) -> Result<DockerSandbox> {
        let Some(first) = self.first.clone() else {
            return Err(Error::config("no image: allow at least one with `.image(name, id)`"));
        };
        if let Some((name, reference)) = self.images.iter().find(|(_, it)| !is_fixed(it)) {
            return Err(Error::config(format!(
                "image {name:?} is {reference:?}, which may be another image tomorrow: name it by its id (sha256:…) or its digest (name@sha256:…)"
            )));
        }
        if self.warm > MAX_WARM || self.idle.is_zero() || self.age < Duration::from_secs(1) {
            return Err(Error::config(format!(
                "warm: at most {MAX_WARM}; idle: more than nothing; age: at least 1s"
            )));
        }
        let memory = self.limits.memory.unwrap_or(DEFAULT_MEMORY);
        let defaults = Limits::default()
            .memory(memory)
            .cpus(1.0)
            .pids(DEFAULT_PIDS)
            .disk(DEFAULT_DISK.min(memory / 2))
            .time(DEFAULT_TIME)
            .output(DEFAULT_OUTPUT);
        let mut capabilities = SandboxCapabilities::new(SandboxKind::Docker);
        capabilities.limits = self.limits.or(&defaults);
        capabilities.images = self.images.keys().cloned().collect();
        capabilities.files_in_memory = true;
        if self.gvisor == Gvisor::Require {
            if self.limits.pids.is_some() {
                return Err(Error::config("pids: gVisor does not limit a box's processes"));
            }
            capabilities.limits.pids = None;
        }
        capabilities.environment = exec::ENVIRONMENT.map(|(name, _)| name.to_owned()).into();
        capabilities.check(&SandboxSpec::new().limits(self.limits.clone()))?;
        let engine = Engine::new(self.socket, self.gvisor, self.images);
        let inner = Inner {
            engine,
            capabilities,
            first,
            leases: Arc::new(Leases::new(random()?, self.namespace, self.warm)),
            idle: self.idle,
            age: self.age,
            examination: self.examination,
            sweeping: OnceLock::new(),
        };
        let sandbox = DockerSandbox(Arc::new(inner));
        sandbox.0.shape(&sandbox.0.offline(), &SandboxSpec::new())?;
        match sandbox.0.examined().await {
            Err(error) if error.kind() == ErrorKind::InvalidConfig => return Err(error),
            Err(error) => tracing::warn!(%error, "no box can be made until the engine answers"),
            Ok(_) => {}
        }
        Ok(sandbox)
    }
}

/// A [`Sandbox`] of containers. Clones are the same sandbox.
#[derive(Clone)]
pub struct DockerSandbox(Arc<Inner>);

struct Inner {
    engine: Engine,
    capabilities: SandboxCapabilities,
    first: String,
    leases: Arc<Leases>,
    idle: Duration,
    age: Duration,
    examination: Examination,
    sweeping: OnceLock<()>,
}

impl DockerSandbox {
    /// A sandbox with nothing allowed yet.
    pub fn builder() -> DockerBuilder {
        DockerBuilder {
            socket: DEFAULT_SOCKET.to_owned(),
            images: BTreeMap::new(),
            first: None,
            gvisor: Gvisor::No,
            limits: Limits::default(),
            warm: 1,
            idle: DEFAULT_IDLE,
            age: DEFAULT_AGE,
            examination: Examination::Quick,
            namespace: "default".to_owned(),
        }
    }

    /// Makes boxes in advance, as many as are to wait, of the kind that `spec` says.
    ///
    /// # Errors
    /// As a call for such a box.
    pub async fn warm_up(&self, spec: &SandboxSpec) -> Result<()> {
        self.0.capabilities.check(spec)?;
        let connected = self.0.examined().await?;
        self.0.leases.refill(&connected, &self.0.dressed(&connected, spec)?);
        self.0.sweep();
        Ok(())
    }

    /// How many boxes wait for a lease.
    pub fn waiting(&self) -> usize {
        self.0.leases.waiting()
    }
}

impl Inner {
    /// What the images are as long as no engine was asked.
    fn offline(&self) -> BTreeMap<String, String> {
        self.capabilities.images.iter().map(|name| (name.clone(), String::new())).collect()
    }

    fn shape(&self, images: &BTreeMap<String, String>, spec: &SandboxSpec) -> Result<Shape> {
        let limits = spec.limits.or(&self.capabilities.limits);
        let name = spec.image.as_ref().unwrap_or(&self.first);
        let Some(image) = images.get(name) else {
            return Err(Error::config(format!("there is no image {name:?}")));
        };
        Shape::new(image.clone(), &limits, &spec.limits, self.age)
    }

    /// The shape on this engine.
    fn dressed(&self, connected: &Connected, spec: &SandboxSpec) -> Result<Shape> {
        if connected.runtime.is_some() && spec.limits.pids.is_some() {
            return Err(Error::config("pids: gVisor does not limit a box's processes"));
        }
        let shape = self.shape(&connected.images, spec)?;
        Ok(Shape { runtime: connected.runtime.clone(), apparmor: connected.apparmor, ..shape })
    }

    /// The engine, whose boxes were found tight.
    async fn examined(self: &Arc<Self>) -> Result<Arc<Connected>> {
        let connected = self.engine.note(self.engine.connected().await)?;
        if self.examination != Examination::No {
            let examine = async {
                let sandbox = DockerSandbox(Arc::clone(self));
                let report = doctor::examine(&sandbox, self.examination).await?;
                report.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
                report.require_sound()
            };
            connected.examined.get_or_try_init(|| examine).await?;
        }
        Ok(connected)
    }

    /// The runtime of boxes, if it is not the engine's default one.
    async fn runtime(&self) -> Result<Option<String>> {
        Ok(self.engine.connected().await?.runtime.clone())
    }

    async fn shape_of(&self, spec: &SandboxSpec) -> Result<Shape> {
        let connected = self.engine.connected().await?;
        self.dressed(&connected, spec)
    }

    /// The box of a lease, whether the engine was examined or not.
    async fn open(self: &Arc<Self>, lease: &Lease) -> Result<Arc<Held>> {
        self.capabilities.check(&lease.spec)?;
        self.sweep();
        let got = async {
            let connected = self.engine.connected().await?;
            let shape = self.dressed(&connected, &lease.spec)?;
            self.leases.get(lease, &connected, &shape).await
        };
        self.engine.note(got.await)
    }

    /// Starts a command, whether the engine was examined or not.
    async fn run(self: &Arc<Self>, lease: &Lease, command: &Command) -> Result<CommandStream> {
        let no = random()?;
        let argv = exec::argv(command, &no);
        let begun = self.within(lease, |held| {
            let argv = argv.clone();
            async move {
                let busy = held.busy();
                exec::start(&held, argv).await.map(|started| (busy, started))
            }
        });
        let (busy, started) = tokio::time::timeout(READY, begun).await.map_err(|_| {
            Error::new(ErrorKind::Timeout, format!("no box was ready within {READY:?}"))
        })??;
        let deadline = Instant::now() + command.time;
        let (inner, id) = (Arc::downgrade(self), lease.id.clone());
        Ok(exec::attend(busy, started, command, no, deadline, move |held| {
            if let Some(inner) = inner.upgrade() {
                inner.leases.forget(&id, &held);
            }
        }))
    }

    /// Ends the box of a lease.
    async fn reap(&self, lease: &Lease) -> Result<()> {
        let mine = self.leases.take(&lease.id);
        let connected = self.engine.connected().await?;
        let ended = async {
            if let Some(held) = mine {
                held.end().await?;
            }
            // Another process may have made it.
            held::remove(&connected.docker, &name_of(lease)).await.map_err(engine::fault)
        };
        self.engine.note(ended.await)
    }

    /// Does something in the box of a lease; if the box turns out to have ended before, in a new one.
    async fn within<T, Fut: Future<Output = Result<T>>>(
        self: &Arc<Self>,
        lease: &Lease,
        work: impl Fn(Arc<Held>) -> Fut,
    ) -> Result<T> {
        let held = self.open(lease).await?;
        match self.engine.note(work(Arc::clone(&held)).await) {
            Err(error) if has_ended(&held, &error).await => {
                self.leases.forget(&lease.id, &held);
                held.end().await?;
                work(self.open(lease).await?).await
            }
            done => done,
        }
    }

    /// Starts to look for boxes that have been idle for too long.
    fn sweep(self: &Arc<Self>) {
        self.sweeping.get_or_init(|| {
            let inner: Weak<Self> = Arc::downgrade(self);
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(SWEEP).await;
                    let Some(inner) = inner.upgrade() else { return };
                    inner.leases.sweep(inner.idle, inner.age).await;
                }
            });
        });
    }
}

/// Whether something failed because its box is not there any more.
async fn has_ended(held: &Held, error: &Error) -> bool {
    let may_be =
        matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Conflict | ErrorKind::Unavailable);
    if held.is_ended() || !may_be {
        return false;
    }
    match held.docker.inspect_container(&held.id, None).await {
        Ok(seen) => seen.state.and_then(|state| state.running) != Some(true),
        Err(error) => engine::fault(error).kind() == ErrorKind::NotFound,
    }
}

/// 16 random hexadecimal digits.
fn random() -> Result<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::internal(format!("no randomness: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[async_trait]
impl Sandbox for DockerSandbox {
    fn capabilities(&self) -> &SandboxCapabilities {
        &self.0.capabilities
    }

    async fn run(&self, lease: &Lease, command: &Command) -> Result<CommandStream> {
        command.check(&self.0.capabilities)?;
        self.0.capabilities.check(&lease.spec)?;
        self.0.examined().await?;
        self.0.run(lease, command).await
    }

    async fn write(&self, lease: &Lease, path: &SandboxPath, bytes: Bytes) -> Result<()> {
        self.0.capabilities.check(&lease.spec)?;
        self.0.examined().await?;
        let written = self.0.within(lease, |held| {
            let bytes = bytes.clone();
            async move {
                let _busy = held.busy();
                files::write(&held, path, bytes).await
            }
        });
        written.await
    }

    async fn read(&self, lease: &Lease, path: &SandboxPath, max_bytes: u64) -> Result<Bytes> {
        self.0.capabilities.check(&lease.spec)?;
        self.0.examined().await?;
        let read = self.0.within(lease, |held| async move {
            let _busy = held.busy();
            files::read(&held, path, max_bytes).await
        });
        read.await
    }

    async fn reap(&self, lease: &Lease) -> Result<()> {
        self.0.reap(lease).await
    }

    async fn reap_abandoned(&self) -> Result<u64> {
        let connected = self.0.engine.connected().await?;
        let leases = &self.0.leases;
        let reaped =
            reaper::reap_abandoned(&connected.docker, &leases.owner, &leases.namespace).await;
        self.0.engine.note(reaped)
    }
}

impl fmt::Debug for DockerSandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DockerSandbox")
            .field("images", &self.0.capabilities.images)
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}
