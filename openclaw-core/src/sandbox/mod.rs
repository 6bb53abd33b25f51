//! Isolated places in which tools run what is not the application's own code.
//!
//! A [`Sandbox`] gives boxes: a [`Lease`] names one, and it is there from the first use on. A tool
//! reaches the box of its session by [`ToolContext::sandbox`](crate::tool::ToolContext::sandbox), runs
//! [`Command`]s in it and moves files in and out. What a box may take of its host is said as data, by a
//! [`SandboxSpec`], which can say nothing that would open it: there is no word for a privilege, a
//! device, a folder of the host or the host's network.

mod command;
mod lease;
mod limits;
mod path;
mod tool;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub use command::{Command, CommandEvent, CommandStream, Ended, Exit, Output};
pub use lease::{Lease, Network, SandboxSpec};
pub use limits::{DEFAULT_OUTPUT, DEFAULT_TIME, Limits, MAX_OUTPUT, MAX_TIME};
pub use path::{MAX_PATH_BYTES, SandboxPath};
pub use tool::ToolSandbox;

pub(crate) use tool::{OpenBoxes, patiently};

use crate::error::{Error, Result};

/// Makes boxes and runs commands in them.
///
/// A box is made when its [`Lease`] is first used, with an empty folder for work, in which commands
/// start and to which paths are relative.
///
/// # Contract
///
/// - **Apart.** A box sees nothing of the host, of this process or of another box: no file, process,
///   environment or network. The same lease is the same box; what was written stays until it is reaped.
/// - **No network**, unless the spec says so and [`SandboxCapabilities::network`] is true; then public
///   addresses alone.
/// - **Limits.** Each limit of the spec holds, or the call is refused with
///   [`InvalidConfig`](crate::ErrorKind::InvalidConfig): none is ignored. What the spec does not say is as in
///   [`SandboxCapabilities::limits`].
/// - **Command.** The program gets its arguments as they stand; no shell reads them. Its environment is
///   what the command says and what [`SandboxCapabilities::environment`] names, nothing of this process.
///   Standard input ends after the given bytes. A program or folder that is not there is
///   [`NotFound`](crate::ErrorKind::NotFound).
/// - **Output** is given as it comes, up to [`Command::output`] bytes of both streams together. More is
///   left out and said to be; the command goes on.
/// - **End.** The stream ends when the first process has. What it started may go on in the box, until the
///   box is reaped. At its deadline, or when its stream is dropped, the command and everything that it
///   started ends, whatever it does against that. The rest of the box may go with it, its files too.
/// - **Files** are regular ones. A link that leads out of the box is refused with
///   [`Denied`](crate::ErrorKind::Denied); folders on the way are made; a file is replaced as one.
/// - **Reaping** ends a box and all in it, and removes what it held. Reaping what is not there is no error.
/// - **Crashes.** What a dead process left runs on until [`reap_abandoned`](Self::reap_abandoned); boxes of
///   living ones stay.
/// - **No fallback.** Without its engine a call fails. Nothing is ever run on the host.
/// - **Concurrency.** Calls for different boxes do not wait for one another; several commands may run in
///   one box.
/// - **Cancel safety.** A future that is dropped before it returned leaves what it was about to do done
///   or not; a command that it started ends at its deadline at the latest.
#[async_trait]
pub trait Sandbox: Send + Sync + 'static {
    /// What it guarantees. The same at every call.
    fn capabilities(&self) -> &SandboxCapabilities;

    /// Starts a command in the box of `lease`; returns once it runs.
    ///
    /// # Errors
    /// It was not started. What the command then does is in the stream.
    async fn run(&self, lease: &Lease, command: &Command) -> Result<CommandStream>;

    /// Writes a file into the box.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) if a link leads out, [`Exhausted`](crate::ErrorKind::Exhausted) if
    /// the box is full, or the sandbox's own failure; the file is then as it was.
    async fn write(&self, lease: &Lease, path: &SandboxPath, bytes: Bytes) -> Result<()>;

    /// Reads a file of the box.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no regular file,
    /// [`Denied`](crate::ErrorKind::Denied) if a link leads out, [`Exhausted`](crate::ErrorKind::Exhausted) if it
    /// is longer than `max_bytes`, or the sandbox's own failure.
    async fn read(&self, lease: &Lease, path: &SandboxPath, max_bytes: u64) -> Result<Bytes>;

    /// Ends the box and all that runs in it, for good; the next use of the lease makes an empty one.
    ///
    /// # Errors
    /// It could not be ended, or nobody knows.
    async fn reap(&self, lease: &Lease) -> Result<()>;

    /// Ends what processes left that are dead; returns how many boxes.
    ///
    /// # Errors
    /// The engine could not be asked.
    async fn reap_abandoned(&self) -> Result<u64>;
}

/// What a sandbox is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SandboxKind {
    /// Containers of a Docker engine.
    Docker,
}

/// What a sandbox guarantees, as data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SandboxCapabilities {
    /// What it is.
    pub kind: SandboxKind,
    /// What a box may take where its spec says nothing. A limit that is missing here is one that it
    /// cannot enforce.
    pub limits: Limits,
    /// The images that a spec may name.
    pub images: Vec<String>,
    /// It can let a box reach public addresses, and only those.
    pub network: bool,
    /// The names of the environment variables that it sets itself. A command cannot set them.
    pub environment: Vec<String>,
    /// Files are kept in memory and count against it, so that a limit on disk must be less.
    #[serde(default)]
    pub files_in_memory: bool,
}

impl SandboxCapabilities {
    /// One image without a name, no network, no environment, and limits on time and output alone.
    pub fn new(kind: SandboxKind) -> Self {
        Self {
            kind,
            limits: Limits::default().time(DEFAULT_TIME).output(DEFAULT_OUTPUT),
            images: Vec::new(),
            network: false,
            environment: Vec::new(),
            files_in_memory: false,
        }
    }

    /// Refuses a spec that this sandbox cannot hold to.
    ///
    /// # Errors
    /// [`InvalidConfig`](crate::ErrorKind::InvalidConfig) that lists all of it.
    pub fn check(&self, spec: &SandboxSpec) -> Result<()> {
        let mut faults = spec.limits.faults();
        for limit in spec.limits.beyond(&self.limits) {
            faults.push(format!(
                "this sandbox cannot enforce a limit on {limit}; take it out, or use one that can"
            ));
        }
        let memory = spec.limits.memory.or(self.limits.memory);
        if let (true, Some(disk), Some(memory)) = (self.files_in_memory, spec.limits.disk, memory)
            && disk >= memory
        {
            faults.push(format!(
                "disk: this sandbox keeps files in memory, where they count against it: expected less than the {memory} bytes of memory, found {disk}"
            ));
        }
        if let Some(image) = spec.image.as_ref().filter(|image| !self.images.contains(image)) {
            let known = if self.images.is_empty() { "none".into() } else { self.images.join(", ") };
            faults.push(format!("there is no image {image:?}, known are: {known}"));
        }
        if spec.network != Network::None && !self.network {
            faults.push("this sandbox has no network to give".into());
        }
        if faults.is_empty() { Ok(()) } else { Err(Error::config(faults.join("; "))) }
    }
}

/// What [`GatewayBuilder::sandbox`](crate::GatewayBuilder::sandbox) takes: a sandbox, or a shared one.
pub trait IntoSandbox {
    /// The shared sandbox.
    fn into_sandbox(self) -> Arc<dyn Sandbox>;
}

impl<T: Sandbox> IntoSandbox for T {
    fn into_sandbox(self) -> Arc<dyn Sandbox> {
        Arc::new(self)
    }
}

impl<T: Sandbox> IntoSandbox for Arc<T> {
    fn into_sandbox(self) -> Arc<dyn Sandbox> {
        self
    }
}

impl IntoSandbox for Arc<dyn Sandbox> {
    fn into_sandbox(self) -> Arc<dyn Sandbox> {
        self
    }
}
