//! The box of a call.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::time::Instant;

use super::{
    Command, CommandStream, DEFAULT_OUTPUT, DEFAULT_TIME, Lease, Limits, Output, Sandbox,
    SandboxPath,
};
use crate::{
    error::{Error, ErrorKind, Result},
    time::Cancel,
};

/// How long a gateway waits for a box to be ended.
const REAP_PATIENCE: Duration = Duration::from_secs(10);

/// Waits for what ends boxes, and not for ever: an engine may hang.
pub(crate) async fn patiently<T>(reap: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(REAP_PATIENCE, reap).await.unwrap_or_else(|_| {
        let text = format!("the sandbox's engine did not answer within {REAP_PATIENCE:?}");
        Err(Error::new(ErrorKind::Timeout, text))
    })
}

/// The boxes that a gateway had made, and which it has ended again when it shuts down.
#[derive(Clone, Default)]
pub(crate) struct OpenBoxes(Arc<Mutex<BTreeMap<String, OpenBox>>>);

/// A box, and the sandbox that made it.
type OpenBox = (Arc<dyn Sandbox>, Lease);

impl OpenBoxes {
    fn add(&self, sandbox: &Arc<dyn Sandbox>, lease: &Lease) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.entry(lease.id.clone()).or_insert_with(|| (Arc::clone(sandbox), lease.clone()));
    }

    /// Ends all of them.
    pub(crate) async fn reap(&self) {
        let open = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let reaps = open.into_values().map(|(sandbox, lease)| async move {
            if let Err(error) = patiently(sandbox.reap(&lease)).await {
                tracing::warn!(lease = lease.id, error = ?error, "a box could not be ended");
            }
        });
        futures_util::future::join_all(reaps).await;
    }
}

/// The box of the session whose call it is. Tools of one session that want boxes of one kind share one.
///
/// Commands end with the call: when it is cancelled, at its deadline, and when the tool drops them.
#[derive(Clone)]
pub struct ToolSandbox {
    sandbox: Arc<dyn Sandbox>,
    lease: Lease,
    open: OpenBoxes,
    cancel: Cancel,
    deadline: Instant,
}

impl ToolSandbox {
    pub(crate) fn new(sandbox: Arc<dyn Sandbox>, lease: Lease, open: OpenBoxes) -> Self {
        let deadline = Instant::now() + DEFAULT_TIME;
        Self { sandbox, lease, open, cancel: Cancel::new(), deadline }
    }

    /// The same box, for a call that ends then.
    pub(crate) fn until(mut self, cancel: Cancel, deadline: Instant) -> Self {
        (self.cancel, self.deadline) = (cancel, deadline);
        self
    }

    /// The box.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// What the box may take, as far as it was said or follows from the sandbox.
    pub fn limits(&self) -> Limits {
        self.lease.spec.limits.or(&self.sandbox.capabilities().limits)
    }

    /// Starts a command. It runs for no longer and gives no more output than the command, the limits and
    /// the call allow.
    ///
    /// # Errors
    /// As [`Sandbox::run`]; [`ErrorKind::InvalidInput`] if no box runs such a command,
    /// [`ErrorKind::Cancelled`] or [`ErrorKind::Timeout`] if the call is over.
    pub async fn run(&self, mut command: Command) -> Result<CommandStream> {
        let limits = self.limits();
        let left = self.deadline.saturating_duration_since(Instant::now());
        command.time = command.time.min(limits.time.unwrap_or(DEFAULT_TIME)).min(left);
        command.output = command.output.min(limits.output.unwrap_or(DEFAULT_OUTPUT));
        if left == Duration::ZERO {
            return Err(Error::new(ErrorKind::Timeout, "the call has no time left for a command"));
        }
        command.check(self.sandbox.capabilities())?;
        let started = self.with(self.sandbox.run(&self.lease, &command)).await?;
        let cancel = self.cancel.clone();
        Ok(CommandStream::new(stream::unfold(Some(started), move |running| {
            let cancel = cancel.clone();
            async move {
                let mut running = running?;
                tokio::select! {
                    biased;
                    () = cancel.cancelled() => Some((Err(cancelled()), None)),
                    event = running.next() => event.map(|event| (event, Some(running))),
                }
            }
        })))
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// As [`run`](Self::run). A command that fails is no error: see [`Output::ended`].
    pub async fn output(&self, command: Command) -> Result<Output> {
        self.run(command).await?.collect().await
    }

    /// Writes a file into the box.
    ///
    /// # Errors
    /// As [`Sandbox::write`]; [`ErrorKind::Cancelled`] if the call is over.
    pub async fn write(&self, path: &SandboxPath, bytes: impl Into<Bytes> + Send) -> Result<()> {
        self.with(self.sandbox.write(&self.lease, path, bytes.into())).await
    }

    /// Reads a file of the box.
    ///
    /// # Errors
    /// As [`Sandbox::read`]; [`ErrorKind::Cancelled`] if the call is over.
    pub async fn read(&self, path: &SandboxPath, max_bytes: u64) -> Result<Bytes> {
        self.with(self.sandbox.read(&self.lease, path, max_bytes)).await
    }

    /// Does something with the box, unless the call is over.
    async fn with<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.open.add(&self.sandbox, &self.lease);
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(cancelled()),
            done = work => done,
        }
    }

    /// Ends the box.
    pub(crate) async fn reap(&self) -> Result<()> {
        patiently(self.sandbox.reap(&self.lease)).await
    }
}

fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the call was cancelled while its box was at work")
}

impl fmt::Debug for ToolSandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ToolSandbox").field(&self.lease.id).finish()
    }
}
