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

use crate::{
    access::Principal,
    error::{Error, ErrorKind, Result},
    http_client::HttpClient,
    id::{CallId, SessionKey},
    label::Label,
    message::Call,
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
    pub(crate) http: Option<Arc<dyn HttpClient>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) progress: Progress,
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
        environment: ToolEnvironment,
        cancel: Cancel,
        timeout: Duration,
    ) -> Self {
        let deadline = Instant::now() + timeout;
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

    /// The HTTP client of the gateway.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if the application gave none.
    pub fn http(&self) -> Result<&dyn HttpClient> {
        self.0.environment.http.as_deref().ok_or_else(|| {
            Error::config("no HTTP client: add one with `Gateway::builder().http(..)`")
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
