//! Composing a gateway.

use std::{
    any::{Any, TypeId},
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    Binding, Directory, Gateway, Hub, IntoChannel, IntoProvider, IntoStore,
    compose::{Composed, Stated, compose, refusal},
    equip::AddedTool,
};
use crate::{
    access::Access,
    agent::Agent,
    channel::Channel,
    delivery::{OnUnknown, Preview},
    egress::EgressPolicy,
    error::Result,
    fault::Faults,
    hook::Hook,
    http_client::HttpClient,
    id::{AccountId, AgentId, ModelId, NodeId, ProviderId, UserId},
    layer::Layer,
    memory::{IntoMemory, Memory},
    plugin::{Config, ModelAlias, Registry},
    provider::Provider,
    sandbox::{IntoSandbox, Sandbox},
    secret::Secret,
    store::Store,
    time::{Cancel, Clock, Entropy, Sources},
    tool::{IntoTool, Tool},
};

/// Composes a gateway from parts. Nothing happens before [`start`](Self::start).
#[must_use = "a builder does nothing until it is started"]
#[derive(Default)]
pub struct GatewayBuilder {
    pub(super) providers: Vec<Arc<dyn Provider>>,
    pub(super) provider_layers: Vec<Arc<dyn Layer<dyn Provider>>>,
    pub(super) tools: Vec<AddedTool>,
    pub(super) tool_layers: Vec<Arc<dyn Layer<dyn Tool>>>,
    pub(super) channels: Vec<Arc<dyn Channel>>,
    pub(super) models: Vec<(ModelId, Stated<ModelAlias>)>,
    pub(super) agents: Vec<Stated<Agent>>,
    pub(super) default_agent: Option<Stated<AgentId>>,
    pub(super) bindings: Vec<Stated<Binding>>,
    pub(super) access: HashMap<AccountId, Stated<Access>>,
    pub(super) previews: HashMap<AccountId, Stated<Preview>>,
    pub(super) owners: Vec<(String, UserId)>,
    pub(super) hooks: Vec<Arc<dyn Hook>>,
    pub(super) store: Option<Arc<dyn Store>>,
    pub(super) ephemeral: bool,
    pub(super) http: Option<Arc<dyn HttpClient>>,
    pub(super) egress: Option<EgressPolicy>,
    pub(super) sandboxes: Vec<Arc<dyn Sandbox>>,
    pub(super) memories: Vec<Arc<dyn Memory>>,
    pub(super) secrets: BTreeMap<String, Secret>,
    pub(super) clock: Option<Arc<dyn Clock>>,
    pub(super) entropy: Option<Arc<dyn Entropy>>,
    pub(super) cancel: Option<Cancel>,
    pub(super) on_unknown: Option<OnUnknown>,
    pub(super) node: Option<NodeId>,
    pub(super) state: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
    pub(super) faults: Faults,
    /// Each with the plugins that it names; what is wrong with its text is said at the start.
    pub(super) configs: Vec<(Registry, Result<Config, Vec<String>>)>,
}

impl GatewayBuilder {
    /// Without any part.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a provider; the first one is what agents think with unless they say otherwise.
    pub fn provider(mut self, provider: impl IntoProvider) -> Self {
        self.providers.push(provider.into_provider());
        self
    }

    /// Wraps all providers; the layer that is added first is the outermost.
    pub fn layer_providers(mut self, layer: impl Layer<dyn Provider>) -> Self {
        self.provider_layers.push(Arc::new(layer));
        self
    }

    /// Adds a tool.
    pub fn tool(mut self, tool: impl IntoTool) -> Self {
        self.tools.push(AddedTool::in_code(tool.into_tool()));
        self
    }

    /// Wraps all tools; the layer that is added first is the outermost.
    pub fn layer_tools(mut self, layer: impl Layer<dyn Tool>) -> Self {
        self.tool_layers.push(Arc::new(layer));
        self
    }

    /// Adds a channel. Whoever speaks on a channel that is [`local`](crate::channel::Capabilities)
    /// is the owner.
    pub fn channel(mut self, channel: impl IntoChannel) -> Self {
        self.channels.push(channel.into_channel());
        self
    }

    /// Says who may talk to an account; by default strangers get pairing codes and groups no answer.
    pub fn access(mut self, account: AccountId, access: Access) -> Self {
        self.access.insert(account, Stated::in_code(access));
        self
    }

    /// Shows replies on an account while they grow, by edits of one message. Needs a channel that can
    /// [edit](crate::channel::Capabilities::edit). Where there are hooks, nothing is shown before they
    /// saw the whole reply.
    pub fn preview(mut self, account: AccountId, preview: Preview) -> Self {
        self.previews.insert(account, Stated::in_code(preview));
        self
    }

    /// Says who the owner is on a channel, by the platform's immutable id. The first one is told what
    /// concerns the owner.
    pub fn owner(mut self, channel: impl Into<String>, user: impl Into<UserId>) -> Self {
        self.owners.push((channel.into(), user.into()));
        self
    }

    /// Gives a model of a provider a name of your own, which agents and fallbacks can name.
    ///
    /// ```
    /// # use openclaw_core::{Gateway, Result, agent::Agent, testing::Scripted};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<()> {
    /// let gateway = Gateway::builder()
    ///     .ephemeral()
    ///     .provider(Scripted::from_fn(|request| Ok(request.model.to_string())))
    ///     .model("fast", "scripted", "claude-haiku-4-5")
    ///     .agent(Agent::new("main").model("fast"))
    ///     .start()
    ///     .await?;
    /// assert_eq!(gateway.handle().ask("ada", "Who?").reply().await?.text, "claude-haiku-4-5");
    /// # gateway.shutdown().await }
    /// ```
    pub fn model(
        mut self,
        name: impl Into<ModelId>,
        provider: impl Into<ProviderId>,
        model: impl Into<ModelId>,
    ) -> Self {
        let alias = ModelAlias { provider: provider.into(), model: model.into() };
        self.models.push((name.into(), Stated::in_code(alias)));
        self
    }

    /// Adds an agent. Without any there is one, named [`DEFAULT_AGENT`](crate::agent::DEFAULT_AGENT), that may use all tools.
    pub fn agent(mut self, agent: Agent) -> Self {
        self.agents.push(Stated::in_code(agent));
        self
    }

    /// Says which agent answers where no binding fits; by default the first one.
    pub fn default_agent(mut self, agent: impl Into<AgentId>) -> Self {
        self.default_agent = Some(Stated::in_code(agent.into()));
        self
    }

    /// Binds an agent to places.
    pub fn bind(mut self, binding: Binding) -> Self {
        self.bindings.push(Stated::in_code(binding));
        self
    }

    /// Adds a hook; hooks are asked in the order in which they were added.
    pub fn hook(mut self, hook: impl Hook) -> Self {
        self.hooks.push(Arc::new(hook));
        self
    }

    /// Keeps everything durable in `store`.
    pub fn store(mut self, store: impl IntoStore) -> Self {
        self.store = Some(store.into_store());
        self
    }

    /// Keeps everything in memory: what was accepted is lost with the process. For tests and trials.
    pub fn ephemeral(mut self) -> Self {
        self.ephemeral = true;
        self
    }

    /// The HTTP client that channels and plugins are given as it is, and tools behind the
    /// [egress policy](Self::egress).
    pub fn http(mut self, client: impl HttpClient) -> Self {
        self.http = Some(Arc::new(client));
        self
    }

    /// Says what tools may reach by HTTP; by default every public address and nothing else. The client
    /// must be one that can be [held to it](HttpClient::guarded).
    pub fn egress(mut self, policy: EgressPolicy) -> Self {
        self.egress = Some(policy);
        self
    }

    /// Runs what tools run in boxes of `sandbox`; a gateway has one. Tools that need one are refused
    /// without.
    pub fn sandbox(mut self, sandbox: impl IntoSandbox) -> Self {
        self.sandboxes.push(sandbox.into_sandbox());
        self
    }

    /// Keeps in `memory` what is said, word for word, and what tools remember; shows agents in each turn
    /// what of it fits, as [`Agent::recall_tokens`] says. A gateway has one.
    pub fn memory(mut self, memory: impl IntoMemory) -> Self {
        self.memories.push(memory.into_memory());
        self
    }

    /// A secret that tools can [ask for](crate::tool::ToolSpec::secret) by its name.
    pub fn secret(mut self, name: impl Into<String>, secret: impl Into<Secret>) -> Self {
        self.secrets.insert(name.into(), secret.into());
        self
    }

    /// A value that tools can get by its type.
    pub fn state<T: Send + Sync + 'static>(mut self, value: Arc<T>) -> Self {
        self.state.insert(TypeId::of::<T>(), value);
        self
    }

    /// Where wall-clock time comes from.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Where unpredictable bytes come from.
    pub fn entropy(mut self, entropy: impl Entropy) -> Self {
        self.entropy = Some(Arc::new(entropy));
        self
    }

    /// Calls `hook` before and after each commit and each effect on the world outside, so that a test
    /// can end the process there. See [`FaultPoint`](crate::testing::FaultPoint).
    #[cfg(feature = "testing")]
    pub fn faults(
        mut self,
        hook: impl Fn(crate::testing::FaultPoint) + Send + Sync + 'static,
    ) -> Self {
        self.faults = Faults::new(Arc::new(hook));
        self
    }

    /// Stops the gateway when cancelled, as dropping it does.
    pub fn cancel(mut self, cancel: &Cancel) -> Self {
        self.cancel = Some(cancel.child());
        self
    }

    /// What to do with a message of which nobody can know whether it was sent.
    pub fn on_unknown(mut self, choice: OnUnknown) -> Self {
        self.on_unknown = Some(choice);
        self
    }

    /// Names this process towards the store; unique among live processes on one store. By default a
    /// random name.
    pub fn node(mut self, node: impl Into<NodeId>) -> Self {
        self.node = Some(node.into());
        self
    }

    /// Adds what a configuration says, with the plugins of `registry`, as if it were said here in code;
    /// parts that are added in code come before the configuration's. Plugins are loaded by
    /// [`start`](Self::start), which also says what is wrong.
    pub fn config(mut self, registry: &Registry, config: Config) -> Self {
        self.configs.push((registry.clone(), Ok(config)));
        self
    }

    /// As [`config`](Self::config), from JSON text.
    pub fn config_str(mut self, registry: &Registry, text: &str) -> Self {
        self.configs.push((registry.clone(), Config::parse_named(None, text)));
        self
    }

    /// Starts the gateway: takes up what a former process left, then listens.
    ///
    /// # Errors
    /// [`InvalidConfig`](crate::ErrorKind::InvalidConfig) that lists all that is missing or wrong, or
    /// the store's own failure.
    pub async fn start(mut self) -> Result<Gateway> {
        let system = Sources::default();
        let sources = Sources {
            clock: self.clock.take().unwrap_or(system.clock),
            entropy: self.entropy.take().unwrap_or(system.entropy),
        };
        let stopping = self.cancel.take().unwrap_or_default();
        let faults = std::mem::take(&mut self.faults);
        let composed = compose(self, &sources, &stopping, None).await;
        let composed = composed.map_err(|faults| refusal("start", &faults))?;
        let Composed { plan, store, node, loaded, .. } = composed;
        let node = match node {
            Some(node) => node,
            None => {
                let mut bytes = [0; 8];
                sources.entropy.fill(&mut bytes)?;
                NodeId::from(crate::id::hex(&bytes, 8))
            }
        };
        let directory = Directory::load(store.as_ref()).await?;
        let channels: Vec<Arc<dyn Channel>> = plan.channels.values().map(Arc::clone).collect();
        let hub = Arc::new_cyclic(|door| {
            Hub::new(store, sources, faults, node, directory, plan, loaded, stopping, door)
        });
        hub.delivery.connect(Arc::downgrade(&hub));
        hub.keep_leases();
        hub.watch_store();
        hub.reap_abandoned().await;
        let recovered = hub.recover_all().await?;
        if recovered > 0 {
            tracing::info!(sessions = recovered, "taking up what an earlier run left");
        }
        for channel in channels {
            hub.listen(channel);
        }
        hub.catch_up_memory();
        Ok(Gateway { hub })
    }
}
