//! How a sandbox is made.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use openclaw_core::{
    Error, ErrorKind, Result,
    sandbox::{
        DEFAULT_OUTPUT, DEFAULT_TIME, Limits, SandboxCapabilities, SandboxKind, SandboxSpec,
    },
};

use super::{
    DEFAULT_AGE, DEFAULT_DISK, DEFAULT_IDLE, DEFAULT_MEMORY, DEFAULT_PIDS, DEFAULT_SOCKET,
    DockerSandbox, Inner, MAX_WARM,
    doctor::Examination,
    engine::{Engine, is_fixed},
    exec,
    leases::Leases,
    random,
};

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
    pub(super) fn new() -> Self {
        Self {
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
        capabilities.environment = exec::ENVIRONMENT.map(|(name, _)| name.to_owned()).into();
        capabilities.check(&SandboxSpec::new().limits(self.limits.clone()))?;
        let engine = Engine::new(self.socket, self.gvisor, self.images);
        let under_gvisor = match engine.connected().await {
            Ok(connected) => connected.runtime.is_some(),
            Err(error) if error.kind() == ErrorKind::InvalidConfig => return Err(error),
            // Where it is only preferred, calls tell later.
            Err(_) => self.gvisor == Gvisor::Require,
        };
        if under_gvisor {
            capabilities.limits.pids = None;
            capabilities.check(&SandboxSpec::new().limits(self.limits.clone()))?;
        }
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
