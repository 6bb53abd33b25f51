//! Calls of a tool without a gateway.

use std::{
    any::Any,
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;

use super::TestClock;
use crate::{
    access::Principal,
    egress::ToolHttp,
    http_client::HttpClient,
    id::{AccountId, AgentId, CallId, Conversation, Seq, SessionKey},
    label::{Confidentiality, Label},
    memory::{Memory, Scope},
    message::Call,
    policy::CallHash,
    sandbox::{IntoSandbox, Lease, OpenBoxes, Sandbox, SandboxSpec, ToolSandbox},
    secret::Secret,
    time::{Cancel, Clock},
    tool::{Means, ToolContext, ToolEnvironment, ToolMemory},
    turn::DEFAULT_TOOL_TIMEOUT,
};

/// The context of a call of `tool` with `arguments`, by the owner, without application state.
///
/// ```
/// use openclaw_core::{schemars, testing::tool_context, tool::{Tool as _, ToolSpec, tool_fn}};
/// use serde_json::json;
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Sum { a: i64, b: i64 }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> openclaw_core::Result<()> {
/// let tool = tool_fn(ToolSpec::read_only("add", "Adds two numbers"), async |_, sum: Sum| {
///     Ok((sum.a + sum.b).to_string())
/// });
/// let output = tool.call(tool_context("add", json!({ "a": 2, "b": 3 }))).await?;
/// assert_eq!(output, "5".into());
/// # Ok(()) }
/// ```
pub fn tool_context(tool: &str, arguments: Value) -> ToolContext {
    TestCall::new(tool, arguments).context()
}

/// A call of a tool, as a test wants it. Only code that is built for tests can make one: elsewhere a
/// context comes from a permit alone.
///
/// ```
/// use openclaw_core::testing::TestCall;
/// use serde_json::json;
///
/// struct Shop { name: &'static str }
///
/// let call = TestCall::new("refund", json!({ "order": "17" }))
///     .state(Shop { name: "Corner shop" })
///     .attribute("shop", "berlin");
/// let cx = call.context();
/// assert_eq!(cx.state::<Shop>()?.name, "Corner shop");
/// assert_eq!(cx.attribute("shop"), Some("berlin"));
/// # Ok::<(), openclaw_core::Error>(())
/// ```
#[derive(Clone)]
pub struct TestCall {
    call: Call,
    key: Option<String>,
    session: SessionKey,
    principal: Principal,
    label: Label,
    attributes: BTreeMap<String, String>,
    state: HashMap<std::any::TypeId, Arc<dyn Any + Send + Sync>>,
    http: Option<Arc<dyn HttpClient>>,
    sandbox: Option<(Arc<dyn Sandbox>, SandboxSpec)>,
    memory: Option<Arc<dyn Memory>>,
    secrets: BTreeMap<String, Secret>,
    clock: Arc<dyn Clock>,
    cancel: Cancel,
    timeout: Duration,
    progress: Arc<Mutex<Vec<String>>>,
}

impl TestCall {
    /// A call of `tool` with `arguments`, by the owner in a direct conversation.
    #[allow(clippy::expect_used, reason = "the account's parts are valid literals")]
    pub fn new(tool: &str, arguments: Value) -> Self {
        let account = AccountId::new("test", "default").expect("two parts without a colon");
        let place = Conversation::direct(account, "owner");
        let id = CallId { seq: Seq(1), index: 0 };
        Self {
            call: Call { id, tool: tool.to_owned(), arguments },
            key: None,
            session: SessionKey::new(AgentId::new("main"), place),
            principal: Principal::Owner,
            label: Label::user("owner"),
            attributes: BTreeMap::new(),
            state: HashMap::new(),
            http: None,
            sandbox: None,
            memory: None,
            secrets: BTreeMap::new(),
            clock: Arc::new(TestClock::new()),
            cancel: Cancel::new(),
            timeout: DEFAULT_TOOL_TIMEOUT,
            progress: Arc::default(),
        }
    }

    /// The `number`th call of the session: another call id, and so another key.
    #[must_use]
    pub fn number(mut self, number: u32) -> Self {
        self.call.id = CallId { seq: Seq(1), index: number };
        self
    }

    /// Sets the idempotency key, which else follows from session, call id, tool and arguments.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets the session.
    #[must_use]
    pub fn session(mut self, session: SessionKey) -> Self {
        self.session = session;
        self
    }

    /// Sets whose turn it is.
    #[must_use]
    pub fn principal(mut self, principal: Principal) -> Self {
        self.principal = principal;
        self
    }

    /// Sets the label of what the model had read.
    #[must_use]
    pub fn label(mut self, label: Label) -> Self {
        self.label = label;
        self
    }

    /// Adds an attribute of the request.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.insert(name.into(), value.into());
        self
    }

    /// Adds a value of the application's.
    #[must_use]
    pub fn state<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.state.insert(std::any::TypeId::of::<T>(), Arc::new(value));
        self
    }

    /// Gives a box of this kind, of the session.
    #[must_use]
    pub fn sandbox(mut self, sandbox: impl IntoSandbox, spec: SandboxSpec) -> Self {
        self.sandbox = Some((sandbox.into_sandbox(), spec));
        self
    }

    /// Gives a memory; what is recalled may be as confidential as it is.
    #[must_use]
    pub fn memory(mut self, memory: Arc<dyn Memory>) -> Self {
        self.memory = Some(memory);
        self
    }

    /// Gives a secret.
    #[must_use]
    pub fn secret(mut self, name: impl Into<String>, secret: impl Into<Secret>) -> Self {
        self.secrets.insert(name.into(), secret.into());
        self
    }

    /// Sets the HTTP client, which no policy stands before.
    #[must_use]
    pub fn http(mut self, client: Arc<dyn HttpClient>) -> Self {
        self.http = Some(client);
        self
    }

    /// Sets the wall clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets what stops the call.
    #[must_use]
    pub fn cancel(mut self, cancel: Cancel) -> Self {
        self.cancel = cancel;
        self
    }

    /// Sets how long the call may take, from when its context is made.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The call's context. Asking again gives another context of the same call, with the same key.
    pub fn context(&self) -> ToolContext {
        let key = self
            .key
            .clone()
            .unwrap_or_else(|| CallHash::of(&self.session, &self.call).as_str().to_owned());
        let progress = Arc::clone(&self.progress);
        let sandbox = self.sandbox.as_ref().map(|(sandbox, spec)| {
            let lease = Lease::new(self.session.as_str(), spec.clone());
            ToolSandbox::new(Arc::clone(sandbox), lease, OpenBoxes::default())
        });
        let memory = self.memory.as_ref().map(|memory| {
            ToolMemory::new(
                Arc::clone(memory),
                Scope::of(self.session.agent().clone(), &self.principal),
                Arc::clone(&self.clock),
                self.label.clone(),
                Confidentiality::Secret,
            )
        });
        let environment = ToolEnvironment {
            session: self.session.clone(),
            principal: self.principal.clone(),
            context: self.label.clone(),
            attributes: Arc::new(self.attributes.clone()),
            state: Arc::new(self.state.clone()),
            means: Means {
                http: self.http.clone().map_or(ToolHttp::Missing, ToolHttp::Client),
                sandbox,
                memory,
                secrets: Arc::new(self.secrets.clone()),
            },
            clock: Arc::clone(&self.clock),
            progress: Arc::new(move |_, text| {
                progress.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
            }),
        };
        ToolContext::new(self.call.clone(), key, environment, self.cancel.clone(), self.timeout)
    }

    /// What the tool said about its progress so far.
    pub fn progress(&self) -> Vec<String> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
