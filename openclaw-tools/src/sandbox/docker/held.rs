//! One box, as long as it is there.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    },
};

use bollard::{
    Docker,
    errors::Error as ApiError,
    query_parameters::{
        AttachContainerOptionsBuilder, CreateContainerOptionsBuilder,
        RemoveContainerOptionsBuilder, StartContainerOptions, WaitContainerOptions,
    },
};
use futures_util::StreamExt as _;
use openclaw_core::Result;
use tokio::{io::AsyncWrite, time::Instant};

use super::{container::Shape, engine::fault};

/// A container that runs.
pub(super) struct Held {
    pub(super) docker: Docker,
    pub(super) id: String,
    /// The keeper's input, if this process made the box: closing it ends the box.
    open: Mutex<Option<Pin<Box<dyn AsyncWrite + Send>>>>,
    ended: AtomicBool,
    /// How many commands are at work.
    busy: AtomicUsize,
    used: Mutex<Instant>,
    pub(super) born: Instant,
    /// It has a kernel of its own, and the engine may not tell that a command has ended with that.
    gvisor: bool,
    /// The first moment, by the engine's clock in nanoseconds, from which on a lack of memory was not told.
    pub(super) untold: AtomicI64,
}

impl Held {
    /// Makes a box. Dropped before it is done, it leaves nothing that runs.
    pub(super) async fn make(
        docker: Docker,
        shape: &Shape,
        (owner, namespace): (&str, &str),
        name: &str,
    ) -> Result<Self, ApiError> {
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        let made =
            docker.create_container(Some(options), shape.container(owner, namespace)).await?;
        let begun = async {
            let options = AttachContainerOptionsBuilder::new().stdin(true).stream(true).build();
            let attached = docker.attach_container(&made.id, Some(options)).await?;
            docker.start_container(&made.id, None::<StartContainerOptions>).await?;
            Ok::<_, ApiError>(attached.input)
        };
        match begun.await {
            Ok(input) => Ok(Self::new(docker, made.id, Some(input), shape.runtime.is_some())),
            Err(error) => {
                // What it is about is the failure to start.
                let _ = remove(&docker, &made.id).await;
                Err(error)
            }
        }
    }

    /// A box that another process made.
    pub(super) fn of_another(docker: Docker, id: String, gvisor: bool) -> Self {
        Self::new(docker, id, None, gvisor)
    }

    fn new(
        docker: Docker,
        id: String,
        open: Option<Pin<Box<dyn AsyncWrite + Send>>>,
        gvisor: bool,
    ) -> Self {
        let now = Instant::now();
        Self {
            docker,
            id,
            open: Mutex::new(open),
            ended: AtomicBool::new(false),
            busy: AtomicUsize::new(0),
            used: Mutex::new(now),
            born: now,
            gvisor,
            untold: AtomicI64::new(0),
        }
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Waits until the box has ended, where a command in it might not tell.
    pub(super) async fn ends_untold(&self) {
        if self.gvisor {
            let end = self.docker.wait_container(&self.id, None::<WaitContainerOptions>);
            let mut end = std::pin::pin!(end);
            // An error is its exit code, or else the engine's, which the command meets, too.
            if let Some(Ok(_) | Err(ApiError::DockerContainerWaitError { .. })) = end.next().await {
                return;
            }
        }
        std::future::pending().await
    }

    /// Ends the box with all in it.
    pub(super) async fn end(&self) -> Result<()> {
        self.ended.store(true, Ordering::Release);
        let result = remove(&self.docker, &self.id).await.map_err(fault);
        drop(self.open.lock().unwrap_or_else(PoisonError::into_inner).take());
        result
    }

    /// Marks the box as used, for as long as the value lives.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::AcqRel);
        Busy(Arc::clone(self))
    }

    /// Since when nothing has been done in it; `None` while something is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let used = *self.used.lock().unwrap_or_else(PoisonError::into_inner);
        (self.busy.load(Ordering::Acquire) == 0).then_some(used)
    }
}

/// Something is at work in the box.
pub(super) struct Busy(pub(super) Arc<Held>);

impl Drop for Busy {
    fn drop(&mut self) {
        *self.0.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.busy.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Ends a container and removes it; no error if it is gone or going.
pub(super) async fn remove(docker: &Docker, id: &str) -> Result<(), ApiError> {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    match docker.remove_container(id, Some(options)).await {
        Err(ApiError::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
        // It is being removed: wait for that.
        Err(ApiError::DockerResponseServerError { status_code: 409, .. }) => gone(docker, id).await,
        other => other,
    }
}

/// Waits until a container that is being removed is gone.
async fn gone(docker: &Docker, id: &str) -> Result<(), ApiError> {
    for _ in 0..200 {
        match docker.inspect_container(id, None).await {
            Err(ApiError::DockerResponseServerError { status_code: 404, .. }) => return Ok(()),
            Err(error) => return Err(error),
            Ok(_) => tokio::time::sleep(std::time::Duration::from_millis(25)).await,
        }
    }
    Err(ApiError::RequestTimeoutError)
}
