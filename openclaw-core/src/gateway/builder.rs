//! Composing a gateway.

use std::{
    any::{Any, TypeId},
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    Binding, Directory, Gateway, Hub,
    handle::API_ACCOUNT,
    plan::{AgentPlan, Plan, ToolPlan},
};
use crate::{
    access::Access,
    agent::{Agent, DEFAULT_AGENT},
    channel::Channel,
    delivery::{Delivery, OnUnknown, Preview},
    error::{Error, Result},
    event::Events,
    fault::Faults,
    hook::Hook,
    http_client::HttpClient,
    id::{AccountId, AgentId, NodeId, ProviderId, UserId},
    layer::{Layer, wrap},
    provider::{Provider, ToolDefinition},
    store::{InMemory, Store},
    time::{Cancel, Clock, Entropy, Sources},
    tool::{IntoTool, Tool},
};

/// What [`GatewayBuilder::channel`] takes: a channel, or a shared one.
pub trait IntoChannel {
    /// The shared channel.
    fn into_channel(self) -> Arc<dyn Channel>;
}

impl<T: Channel> IntoChannel for T {
    fn into_channel(self) -> Arc<dyn Channel> {
        Arc::new(self)
    }
}

impl<T: Channel> IntoChannel for Arc<T> {
    fn into_channel(self) -> Arc<dyn Channel> {
        self
    }
}

impl IntoChannel for Arc<dyn Channel> {
    fn into_channel(self) -> Arc<dyn Channel> {
        self
    }
}

/// What [`GatewayBuilder::provider`] takes: a provider, or a shared one.
pub trait IntoProvider {
    /// The shared provider.
    fn into_provider(self) -> Arc<dyn Provider>;
}

impl<T: Provider> IntoProvider for T {
    fn into_provider(self) -> Arc<dyn Provider> {
        Arc::new(self)
    }
}

impl<T: Provider> IntoProvider for Arc<T> {
    fn into_provider(self) -> Arc<dyn Provider> {
        self
    }
}

impl IntoProvider for Arc<dyn Provider> {
    fn into_provider(self) -> Arc<dyn Provider> {
        self
    }
}

/// What [`GatewayBuilder::store`] takes: a store, or a shared one.
pub trait IntoStore {
    /// The shared store.
    fn into_store(self) -> Arc<dyn Store>;
}

impl<T: Store> IntoStore for T {
    fn into_store(self) -> Arc<dyn Store> {
        Arc::new(self)
    }
}

impl<T: Store> IntoStore for Arc<T> {
    fn into_store(self) -> Arc<dyn Store> {
        self
    }
}

impl IntoStore for Arc<dyn Store> {
    fn into_store(self) -> Arc<dyn Store> {
        self
    }
}

/// Composes a gateway from parts. Nothing happens before [`start`](Self::start).
#[must_use = "a builder does nothing until it is started"]
#[derive(Default)]
pub struct GatewayBuilder {
    providers: Vec<Arc<dyn Provider>>,
    provider_layers: Vec<Arc<dyn Layer<dyn Provider>>>,
    tools: Vec<Arc<dyn Tool>>,
    tool_layers: Vec<Arc<dyn Layer<dyn Tool>>>,
    channels: Vec<Arc<dyn Channel>>,
    agents: Vec<Agent>,
    default_agent: Option<AgentId>,
    bindings: Vec<Binding>,
    access: HashMap<AccountId, Access>,
    previews: HashMap<AccountId, Preview>,
    owners: Vec<(String, UserId)>,
    hooks: Vec<Arc<dyn Hook>>,
    store: Option<Arc<dyn Store>>,
    ephemeral: bool,
    http: Option<Arc<dyn HttpClient>>,
    sources: Sources,
    faults: Faults,
    cancel: Cancel,
    on_unknown: OnUnknown,
    node: Option<NodeId>,
    state: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
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
        self.tools.push(tool.into_tool());
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
        self.access.insert(account, access);
        self
    }

    /// Shows replies on an account while they grow, by edits of one message. Needs a channel that can
    /// [edit](crate::channel::Capabilities::edit). Where there are hooks, nothing is shown before they
    /// saw the whole reply.
    pub fn preview(mut self, account: AccountId, preview: Preview) -> Self {
        self.previews.insert(account, preview);
        self
    }

    /// Says who the owner is on a channel, by the platform's immutable id. The first one is told what
    /// concerns the owner.
    pub fn owner(mut self, channel: impl Into<String>, user: impl Into<UserId>) -> Self {
        self.owners.push((channel.into(), user.into()));
        self
    }

    /// Adds an agent. Without any there is one, named [`DEFAULT_AGENT`], that may use all tools.
    pub fn agent(mut self, agent: Agent) -> Self {
        self.agents.push(agent);
        self
    }

    /// Says which agent answers where no binding fits; by default the first one.
    pub fn default_agent(mut self, agent: impl Into<AgentId>) -> Self {
        self.default_agent = Some(agent.into());
        self
    }

    /// Binds an agent to places.
    pub fn bind(mut self, binding: Binding) -> Self {
        self.bindings.push(binding);
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

    /// The HTTP client that channels and tools are given.
    pub fn http(mut self, client: impl HttpClient) -> Self {
        self.http = Some(Arc::new(client));
        self
    }

    /// A value that tools can get by its type.
    pub fn state<T: Send + Sync + 'static>(mut self, value: Arc<T>) -> Self {
        self.state.insert(TypeId::of::<T>(), value);
        self
    }

    /// Where wall-clock time comes from.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.sources.clock = Arc::new(clock);
        self
    }

    /// Where unpredictable bytes come from.
    pub fn entropy(mut self, entropy: impl Entropy) -> Self {
        self.sources.entropy = Arc::new(entropy);
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
        self.cancel = cancel.child();
        self
    }

    /// What to do with a message of which nobody can know whether it was sent.
    pub fn on_unknown(mut self, choice: OnUnknown) -> Self {
        self.on_unknown = choice;
        self
    }

    /// Names this process towards the store; unique among live processes on one store. By default a
    /// random name.
    pub fn node(mut self, node: impl Into<NodeId>) -> Self {
        self.node = Some(node.into());
        self
    }

    /// Starts the gateway: takes up what a former process left, then listens.
    ///
    /// # Errors
    /// [`InvalidConfig`](crate::ErrorKind::InvalidConfig) that lists all that is missing or wrong, or
    /// the store's own failure.
    pub async fn start(mut self) -> Result<Gateway> {
        let (plan, store) = self.plan()?;
        let node = match self.node {
            Some(node) => node,
            None => {
                let mut bytes = [0; 8];
                self.sources.entropy.fill(&mut bytes)?;
                NodeId::from(crate::id::hex(&bytes, 8))
            }
        };
        let directory = Directory::load(store.as_ref()).await?;
        let delivery = Delivery::new(self.on_unknown);
        let channels: Vec<Arc<dyn Channel>> = plan.channels.values().map(Arc::clone).collect();
        let hub = Arc::new_cyclic(|door| {
            let events = Events::default();
            Hub::new(
                store,
                self.sources,
                events,
                self.faults,
                node,
                directory,
                delivery,
                plan,
                &self.cancel,
                door,
            )
        });
        hub.delivery.connect(Arc::downgrade(&hub));
        hub.keep_leases();
        let recovered = hub.recover_all().await?;
        if recovered > 0 {
            tracing::info!(sessions = recovered, "taking up what an earlier run left");
        }
        for channel in channels {
            hub.listen(channel);
        }
        Ok(Gateway { hub })
    }

    /// Puts the parts together, or says all that is wrong with them.
    fn plan(&mut self) -> Result<(Plan, Arc<dyn Store>)> {
        let mut faults = Vec::new();
        let store = self.chosen_store(&mut faults);
        let providers = self.layered_providers(&mut faults);
        let tools = self.layered_tools(&mut faults);
        let channels = self.known_channels(&mut faults);
        let mut agents = std::mem::take(&mut self.agents);
        if agents.is_empty() {
            agents.push(Agent::new(DEFAULT_AGENT));
        }
        let default_agent = self
            .default_agent
            .take()
            .or_else(|| agents.first().map(|agent| agent.id.clone()))
            .unwrap_or_else(|| AgentId::new(DEFAULT_AGENT));
        let mut planned = BTreeMap::new();
        for agent in agents {
            let id = agent.id.clone();
            if let Some(plan) = agent_plan(agent, &providers, &tools, &mut faults)
                && planned.insert(id.clone(), Arc::new(plan)).is_some()
            {
                faults.push(format!("two agents are named {id}"));
            }
        }
        let named = self.bindings.iter().filter_map(|binding| binding.agent.as_ref());
        for agent in named.chain([&default_agent]) {
            if !planned.contains_key(agent) && !providers.is_empty() {
                faults.push(format!("there is no agent {agent}: add it with `.agent(..)`"));
            }
        }
        for account in self.access.keys() {
            if !channels.contains_key(account) && account.as_str() != API_ACCOUNT {
                faults.push(format!("access is set for {account}, but there is no such channel"));
            }
        }
        for account in self.previews.keys() {
            if !channels.get(account).is_some_and(|channel| channel.capabilities().edit) {
                faults
                    .push(format!("a preview is set for {account}, but no such channel can edit"));
            }
        }
        match (faults.is_empty(), store) {
            (true, Some(store)) => Ok((
                Plan {
                    agents: planned,
                    default_agent,
                    bindings: std::mem::take(&mut self.bindings),
                    channels,
                    access: std::mem::take(&mut self.access),
                    previews: std::mem::take(&mut self.previews),
                    owners: std::mem::take(&mut self.owners),
                    hooks: std::mem::take(&mut self.hooks),
                    http: self.http.take(),
                    state: Arc::new(std::mem::take(&mut self.state)),
                },
                store,
            )),
            _ => {
                Err(Error::config(format!("the gateway cannot start:\n- {}", faults.join("\n- "))))
            }
        }
    }

    fn chosen_store(&mut self, faults: &mut Vec<String>) -> Option<Arc<dyn Store>> {
        match (self.store.take(), self.ephemeral) {
            (Some(store), ephemeral) if ephemeral || !store.is_ephemeral() => return Some(store),
            (None, true) => return Some(Arc::new(InMemory::new())),
            (Some(_), _) => faults.push(
                "the store forgets all when the process ends: say `.ephemeral()` if that is meant"
                    .into(),
            ),
            (None, false) => faults.push(
                "there is no store: add one with `.store(..)`, or say `.ephemeral()` to forget all when the process ends".into(),
            ),
        }
        None
    }

    fn layered_providers(
        &mut self,
        faults: &mut Vec<String>,
    ) -> Vec<(ProviderId, Arc<dyn Provider>)> {
        let mut providers: Vec<(ProviderId, Arc<dyn Provider>)> = Vec::new();
        for provider in std::mem::take(&mut self.providers) {
            let id = provider.id().clone();
            if providers.iter().any(|(known, _)| *known == id) {
                faults.push(format!("two providers are named {id}"));
            }
            providers.push((id, wrap(provider, &self.provider_layers)));
        }
        if providers.is_empty() {
            faults.push("there is no provider: add one with `.provider(..)`".into());
        }
        providers
    }

    fn layered_tools(&mut self, faults: &mut Vec<String>) -> BTreeMap<String, Arc<ToolPlan>> {
        let mut tools = BTreeMap::new();
        for tool in std::mem::take(&mut self.tools) {
            // A layer may declare less time than the tool does, so the outermost is asked.
            let tool = wrap(tool, &self.tool_layers);
            let spec = tool.spec();
            let name = spec.name.clone();
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
                faults.push(format!(
                    "tool {name:?}: a name has 1 to 64 letters, digits, `_` and `-`"
                ));
            }
            if !spec.input_schema.is_object() {
                faults.push(format!("tool {name:?}: its input schema must be a JSON object"));
            }
            let plan = ToolPlan { tool, spec };
            if tools.insert(name.clone(), Arc::new(plan)).is_some() {
                faults.push(format!("two tools are named {name:?}"));
            }
        }
        tools
    }

    fn known_channels(&mut self, faults: &mut Vec<String>) -> HashMap<AccountId, Arc<dyn Channel>> {
        let mut channels = HashMap::new();
        for channel in std::mem::take(&mut self.channels) {
            let id = channel.id().clone();
            if id.as_str() == API_ACCOUNT {
                faults.push(format!(
                    "{id} is the application's own account; name the channel otherwise"
                ));
            }
            if channels.insert(id.clone(), channel).is_some() {
                faults.push(format!("two channels are named {id}"));
            }
        }
        channels
    }
}

fn agent_plan(
    agent: Agent,
    providers: &[(ProviderId, Arc<dyn Provider>)],
    tools: &BTreeMap<String, Arc<ToolPlan>>,
    faults: &mut Vec<String>,
) -> Option<AgentPlan> {
    let provider = match &agent.provider {
        None => providers.first(),
        Some(id) => {
            let found = providers.iter().find(|(known, _)| known == id);
            if found.is_none() {
                let known: Vec<&str> = providers.iter().map(|(id, _)| id.as_str()).collect();
                faults.push(format!(
                    "agent {} wants provider {id}, known are: {}",
                    agent.id,
                    known.join(", ")
                ));
            }
            found
        }
    };
    for pattern in agent.tools.iter().flatten().chain(agent.permissions.keys()) {
        if !pattern.ends_with('*') && !tools.contains_key(pattern) {
            let known: Vec<&str> = tools.keys().map(String::as_str).collect();
            faults.push(format!(
                "agent {} names tool {pattern:?}, known are: {}",
                agent.id,
                known.join(", ")
            ));
        }
    }
    let (_, provider) = provider?;
    let tools: BTreeMap<String, Arc<ToolPlan>> = tools
        .iter()
        .filter(|(name, _)| agent.may_use(name))
        .map(|(name, plan)| (name.clone(), Arc::clone(plan)))
        .collect();
    let definitions = tools
        .values()
        .map(|plan| ToolDefinition {
            name: plan.spec.name.clone(),
            description: plan.spec.description.clone(),
            input_schema: plan.spec.input_schema.clone(),
        })
        .collect();
    Some(AgentPlan { agent, provider: Arc::clone(provider), tools, definitions })
}
