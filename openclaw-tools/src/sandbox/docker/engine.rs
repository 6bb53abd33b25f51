//! The engine: how it is reached, what it can do, what its failures mean.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use bollard::{API_DEFAULT_VERSION, Docker, errors::Error as ApiError, models::SystemInfo};
use openclaw_core::{Error, ErrorKind, Result};

use super::Gvisor;

/// The runtime's name in an engine that has gVisor.
pub(super) const RUNSC: &str = "runsc";
/// How long the engine may take for an answer.
const PATIENCE_SECONDS: u64 = 60;

/// Reaches an engine when it is needed, and again after it was gone.
pub(super) struct Engine {
    socket: String,
    gvisor: Gvisor,
    images: BTreeMap<String, String>,
    connected: Mutex<Option<Arc<Connected>>>,
}

/// An engine that was found fit.
pub(super) struct Connected {
    pub(super) docker: Docker,
    pub(super) runtime: Option<String>,
    pub(super) apparmor: bool,
    /// The engine's ids of the images, by the names that specs use.
    pub(super) images: BTreeMap<String, String>,
    /// Set when its boxes were found tight.
    pub(super) examined: tokio::sync::OnceCell<()>,
}

impl Engine {
    pub(super) fn new(socket: String, gvisor: Gvisor, images: BTreeMap<String, String>) -> Self {
        Self { socket, gvisor, images, connected: Mutex::default() }
    }

    /// The engine, which is examined the first time and each time after it was gone.
    ///
    /// # Errors
    /// It does not answer, or it cannot hold to what a box promises.
    pub(super) async fn connected(&self) -> Result<Arc<Connected>> {
        if let Some(connected) = self.slot().clone() {
            return Ok(connected);
        }
        let connected = Arc::new(self.connect().await?);
        *self.slot() = Some(Arc::clone(&connected));
        Ok(connected)
    }

    /// Forgets the engine after `error`, if that says that it is gone.
    pub(super) fn note<T>(&self, result: Result<T>) -> Result<T> {
        if result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unavailable) {
            *self.slot() = None;
        }
        result
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Arc<Connected>>> {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Result<Connected> {
        let socket = &self.socket;
        let docker = Docker::connect_with_unix(socket, PATIENCE_SECONDS, API_DEFAULT_VERSION)
            .map_err(fault)?
            .negotiate_version()
            .await
            .map_err(fault)?;
        let info = docker.info().await.map_err(fault)?;
        lacks(&info)?;
        let has_runsc = info.runtimes.as_ref().is_some_and(|them| them.contains_key(RUNSC));
        let runtime = match (self.gvisor, has_runsc) {
            (Gvisor::Require | Gvisor::Prefer, true) => Some(RUNSC.to_owned()),
            (Gvisor::Prefer | Gvisor::No, _) => None,
            (Gvisor::Require, false) => {
                return Err(Error::config(format!(
                    "gVisor is required, and the engine has no runtime {RUNSC:?}: add it to the engine's \"runtimes\", or do not require it"
                )));
            }
        };
        let mut images = BTreeMap::new();
        for (name, reference) in &self.images {
            images.insert(name.clone(), image(&docker, name, reference).await?);
        }
        let has = |what: &str| {
            let options = info.security_options.iter().flatten();
            options.into_iter().any(|option| option.split(',').any(|one| one == what))
        };
        if !has("name=seccomp") {
            return Err(Error::config(
                "the engine cannot filter system calls (seccomp); boxes are not made without",
            ));
        }
        Ok(Connected {
            docker,
            runtime,
            apparmor: has("name=apparmor"),
            images,
            examined: tokio::sync::OnceCell::new(),
        })
    }
}

/// Refuses an engine that cannot enforce what a box's limits say.
fn lacks(info: &SystemInfo) -> Result<()> {
    let table = [
        ("memory", info.memory_limit),
        ("swap", info.swap_limit),
        ("cpus", info.cpu_cfs_quota),
        ("pids", info.pids_limit),
    ];
    let missing: Vec<&str> =
        table.iter().filter(|(_, has)| *has == Some(false)).map(|(name, _)| *name).collect();
    if info.os_type.as_deref().is_some_and(|os| os != "linux") {
        return Err(Error::config("boxes are Linux containers; this engine runs others"));
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::config(format!(
        "this engine cannot enforce limits on {}: its host lacks the control groups for that",
        missing.join(", ")
    )))
}

/// The id of an image that is as it should be.
async fn image(docker: &Docker, name: &str, reference: &str) -> Result<String> {
    let found = docker.inspect_image(reference).await;
    let found = match found {
        Err(ApiError::DockerResponseServerError { status_code: 404, .. }) => {
            return Err(Error::config(format!(
                "the engine has no image {reference} (named {name:?}): build one with openclaw-tools/image/build, or pull it by its digest"
            )));
        }
        other => other.map_err(fault)?,
    };
    let config = found.config.unwrap_or_default();
    if config.volumes.is_some_and(|volumes| !volumes.is_empty()) {
        return Err(Error::config(format!(
            "image {name:?} declares volumes, which would be kept outside of its boxes: use one without"
        )));
    }
    found.id.ok_or_else(|| Error::internal("the engine told no id of an image"))
}

/// True for the two forms of a name that always is the same image.
pub(super) fn is_fixed(reference: &str) -> bool {
    let hex = |digest: &str| digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
    match reference.split_once("sha256:") {
        Some(("", digest)) => hex(digest),
        Some((name, digest)) => name.len() > 1 && name.ends_with('@') && hex(digest),
        None => false,
    }
}

/// What the engine's failure means.
#[allow(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
pub(super) fn fault(error: ApiError) -> Error {
    let kind = match &error {
        ApiError::DockerResponseServerError { status_code: 404, .. } => ErrorKind::NotFound,
        ApiError::DockerResponseServerError { status_code: 409, .. } => ErrorKind::Conflict,
        ApiError::DockerResponseServerError { message, .. } => {
            let text = format!("the sandbox's engine failed: {message}");
            return Error::new(ErrorKind::Unavailable, text)
                .with_public("the sandbox's engine failed; nothing was run on the host instead");
        }
        ApiError::RequestTimeoutError => ErrorKind::Timeout,
        _ => ErrorKind::Unavailable,
    };
    let text = "the sandbox's engine does not answer; nothing is run without it";
    match kind {
        ErrorKind::Unavailable | ErrorKind::Timeout => {
            Error::new(kind, format!("{text}: {error}")).with_public(text)
        }
        _ => Error::new(kind, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_named_so_that_it_cannot_change() {
        let digest = "a".repeat(64);
        assert!(is_fixed(&format!("sha256:{digest}")));
        assert!(is_fixed(&format!("debian@sha256:{digest}")));
        assert!(is_fixed(&format!("localhost:5000/a/b:1@sha256:{digest}")));
        for bad in ["debian", "debian:12", "sha256:abc", "@sha256:0", "", "latest"] {
            assert!(!is_fixed(bad), "{bad}");
        }
    }

    #[test]
    fn an_engine_that_cannot_enforce_a_limit_is_refused() {
        assert!(lacks(&SystemInfo::default()).is_ok());
        let info = SystemInfo { pids_limit: Some(false), ..SystemInfo::default() };
        assert!(lacks(&info).unwrap_err().to_string().contains("pids"));
        let info = SystemInfo { os_type: Some("windows".into()), ..SystemInfo::default() };
        assert!(lacks(&info).is_err());
    }
}
