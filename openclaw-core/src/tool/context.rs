//! What a tool is given with a call, and nothing else: a tool has no authority of its own.

use std::{
    any::{Any, TypeId, type_name},
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::ToolMemory;
use crate::{
    access::Principal,
    egress::ToolHttp,
    error::{Error, ErrorKind, Result},
    http_client::HttpClient,
    id::{CallId, SessionKey},
    label::Label,
    message::Call,
    sandbox::ToolSandbox,
    secret::Secret,
    time::{Cancel, Clock, Timestamp},
};

/// Values of the application, one of each type.
pub(crate) type State = Arc<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>;

/// Where a tool's progress goes.
pub(crate) type Progress = Arc<dyn Fn(CallId, &str) + Send + Sync>;

/// What the gateway gives to every call of a turn.
#[derive(Clone)]
pub(crate) struct ToolEnvironment {
    pub(crate) session: SessionKey,
    pub(crate) principal: Principal,
    pub(crate) context: Label,
    pub(crate) attributes: Arc<BTreeMap<String, String>>,
    pub(crate) state: State,
    pub(crate) means: Means,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) progress: Progress,
}

/// What a call may act with.
#[derive(Clone, Default)]
pub(crate) struct Means {
    pub(crate) http: ToolHttp,
    pub(crate) sandbox: Option<ToolSandbox>,
    pub(crate) memory: Option<ToolMemory>,
    /// Those that the tool declares.
    pub(crate) secrets: Arc<BTreeMap<String, Secret>>,
}

/// All that a tool is given: the input, who asks, where, and the means that it may use.
///
/// Made only from a [`Permit`](crate::policy::Permit). Clones are of the same
/// call, so that a layer can make it again.
#[derive(Clone)]
pub struct ToolContext(Arc<Inner>);

struct Inner {
    call: Call,
    key: String,
    environment: ToolEnvironment,
    cancel: Cancel,
    deadline: Instant,
}

impl ToolContext {
    /// Called by the permit alone, after it checked that it is about this very call.
    pub(crate) fn new(
        call: Call,
        key: String,
        mut environment: ToolEnvironment,
        cancel: Cancel,
        timeout: Duration,
    ) -> Self {
        let deadline = Instant::now() + timeout;
        let sandbox = environment.means.sandbox.take();
        environment.means.sandbox = sandbox.map(|it| it.until(cancel.clone(), deadline));
        Self(Arc::new(Inner { call, key, environment, cancel, deadline }))
    }

    /// The arguments.
    pub fn input(&self) -> &Value {
        &self.0.call.arguments
    }

    /// The arguments as a type.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] that tells the model what did not fit.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        let parsed = match T::deserialize(self.input()) {
            // A tool without input is asked with an empty object.
            Err(e) if self.input().as_object().is_some_and(Map::is_empty) => {
                T::deserialize(&Value::Null).map_err(|_| e)
            }
            parsed => parsed,
        };
        parsed.map_err(|e| {
            let text = format!("the arguments of {:?} do not fit its schema: {e}", self.tool());
            Error::new(ErrorKind::InvalidInput, text.clone()).with_public(text)
        })
    }

    /// The tool's name.
    pub fn tool(&self) -> &str {
        &self.0.call.tool
    }

    /// Which call it is.
    pub fn call(&self) -> CallId {
        self.0.call.id
    }

    /// The idempotency key of this call: the same when it is made again after a crash.
    pub fn key(&self) -> &str {
        &self.0.key
    }

    /// The session that asks.
    pub fn session(&self) -> &SessionKey {
        &self.0.environment.session
    }

    /// The person or program whose turn it is.
    pub fn principal(&self) -> &Principal {
        &self.0.environment.principal
    }

    /// The join of all that the model had read when it asked for this call.
    pub fn label(&self) -> &Label {
        &self.0.environment.context
    }

    /// An attribute of the request, as given to [`Ask::attribute`](crate::gateway::Ask::attribute).
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.0.environment.attributes.get(name).map(String::as_str)
    }

    /// A value that the application gave with
    /// [`GatewayBuilder::state`](crate::gateway::GatewayBuilder::state).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if none of this type was given.
    pub fn state<T: Send + Sync + 'static>(&self) -> Result<Arc<T>> {
        self.0
            .environment
            .state
            .get(&TypeId::of::<T>())
            .and_then(|value| Arc::clone(value).downcast().ok())
            .ok_or_else(|| {
                Error::config(format!(
                    "tool {:?} needs state of type {}: add it with `Gateway::builder().state(..)`",
                    self.tool(),
                    type_name::<T>()
                ))
            })
    }

    /// The HTTP client of the gateway, behind its [`EgressPolicy`](crate::egress::EgressPolicy).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if the application gave none, or one that cannot be held to the policy;
    /// [`ErrorKind::Denied`] if the tool is [sealed](super::Confinement::Sealed).
    pub fn http(&self) -> Result<&dyn HttpClient> {
        self.0.environment.means.http.client()
    }

    /// The box of the session, of the kind that the tool's spec asks for. It is made when it is first used.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if the tool does not declare that it runs in a box.
    pub fn sandbox(&self) -> Result<&ToolSandbox> {
        self.0.environment.means.sandbox.as_ref().ok_or_else(|| {
            Error::config(format!(
                "tool {:?} has no box: declare one with `ToolSpec::confinement`, and give the gateway a sandbox with `Gateway::builder().sandbox(..)`",
                self.tool()
            ))
        })
    }

    /// What the agent remembers of whoever's turn it is.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if the gateway has no memory.
    pub fn memory(&self) -> Result<&ToolMemory> {
        self.0
            .environment
            .means
            .memory
            .as_ref()
            .ok_or_else(|| Error::config("no memory: add one with `Gateway::builder().memory(..)`"))
    }

    /// A secret that the tool declared with [`ToolSpec::secret`](super::ToolSpec::secret).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if it did not.
    pub fn secret(&self, name: &str) -> Result<&Secret> {
        self.0.environment.means.secrets.get(name).ok_or_else(|| {
            Error::config(format!(
                "tool {:?} does not declare the secret {name:?}: say `ToolSpec::secret({name:?})`",
                self.tool()
            ))
        })
    }

    /// Wall-clock time.
    pub fn now(&self) -> Timestamp {
        self.0.environment.clock.now()
    }

    /// Cancelled when the result is no longer wanted; end soon after.
    pub fn cancel(&self) -> &Cancel {
        &self.0.cancel
    }

    /// How long the call may still take.
    pub fn time_left(&self) -> Duration {
        self.0.deadline.saturating_duration_since(Instant::now())
    }

    /// Tells whoever watches how far the call is. Not durable, never shown to the model.
    pub fn progress(&self, text: &str) {
        (self.0.environment.progress)(self.0.call.id, text);
    }
}

impl std::fmt::Debug for ToolContext {
    /// Leaves out the arguments: they may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ToolContext")
            .field("tool", &self.0.call.tool)
            .field("call", &self.0.call.id)
            .field("session", &self.0.environment.session)
            .finish_non_exhaustive()
    }
}
