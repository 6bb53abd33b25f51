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

mod builder;
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
        Command, CommandStream, Lease, Sandbox, SandboxCapabilities, SandboxPath, SandboxSpec,
    },
};
use tokio::time::Instant;

pub use self::{
    builder::{DockerBuilder, Gvisor},
    config::DockerConfig,
};
use self::{
    container::Shape,
    doctor::Examination,
    engine::{Connected, Engine},
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
/// How long making a box and starting a command in it may take, the wait for boxes of others that are made
/// before it included; each answer of the engine has a shorter time of its own.
const READY: Duration = Duration::from_secs(180);
/// How often boxes are looked at that may have been idle for too long.
const SWEEP: Duration = Duration::from_secs(5);

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
        DockerBuilder::new()
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
        let (inner, lease, command) = (Arc::clone(self), lease.clone(), command.clone());
        // In a task of its own: were it dropped half-way, nobody would end the command at its deadline.
        let begun = tokio::spawn(async move { inner.begin(&lease, &command).await });
        begun.await.unwrap_or_else(|error| Err(Error::internal(error.to_string())))
    }

    async fn begin(self: &Arc<Self>, lease: &Lease, command: &Command) -> Result<CommandStream> {
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
