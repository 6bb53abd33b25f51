//! Putting a gateway's parts together, or saying all that is wrong with them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    Binding, GatewayBuilder,
    ask::API_ACCOUNT,
    load::{Former, Loaded, Loading},
    models::Models,
    plan::{AgentPlan, Plan, ToolPlan},
    wanted::{Chain, Providers, Wanted},
};
use crate::{
    access::Access,
    agent::{Agent, DEFAULT_AGENT},
    channel::Channel,
    delivery::Preview,
    egress::ToolHttp,
    error::Error,
    id::{AccountId, AgentId, NodeId, ProviderId},
    layer::{Fallback, Layer, Ledger, wrap},
    plugin::{FallbackEntry, Place, ProviderLayer},
    provider::{Provider, ToolDefinition},
    store::{InMemory, Store},
    time::{Cancel, Sources},
};

/// Something that was said in code, or somewhere in a file.
pub(super) struct Stated<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

impl<T> Stated<T> {
    pub(super) fn in_code(value: T) -> Self {
        Self { value, place: Place::default() }
    }
}

/// What a builder came to.
pub(super) struct Composed {
    pub(super) plan: Plan,
    pub(super) store: Arc<dyn Store>,
    pub(super) node: Option<NodeId>,
    pub(super) loaded: Vec<Loaded>,
    pub(super) wanted: Wanted,
}

/// Loads plugins and puts all parts together, or says all that is wrong. `former` is what a running
/// gateway is made of.
pub(super) async fn compose(
    mut builder: GatewayBuilder,
    sources: &Sources,
    cancel: &Cancel,
    former: Option<&Former<'_>>,
) -> std::result::Result<Composed, Vec<String>> {
    let mut loading = Loading::new(sources, cancel, former);
    loading.load(&mut builder).await;
    let (models, wanted) = (Models::default(), Wanted::default());
    let composing = Composing { loading, sources, former, models, wanted };
    composing.finish(builder)
}

pub(super) struct Composing<'a> {
    pub(super) loading: Loading<'a>,
    sources: &'a Sources,
    former: Option<&'a Former<'a>>,
    models: Models,
    wanted: Wanted,
}

impl Composing<'_> {
    pub(super) fn fault(&mut self, fault: impl Into<String>) {
        self.loading.faults.push(fault.into());
    }

    /// As [`fault`](Self::fault), unless it may come of a plugin that was not loaded.
    pub(super) fn missing(&mut self, fault: impl Into<String>) {
        if self.loading.complete {
            self.fault(fault);
        }
    }

    fn finish(mut self, mut builder: GatewayBuilder) -> std::result::Result<Composed, Vec<String>> {
        let store = self.chosen_store(&mut builder);
        for (name, alias) in std::mem::take(&mut builder.models) {
            let fault = self.models.add(name, alias);
            self.loading.faults.extend(fault);
        }
        let providers = self.layered_providers(&mut builder, store.as_ref());
        let sandbox = self.only(std::mem::take(&mut builder.sandboxes), "sandbox");
        let memory = self.only(std::mem::take(&mut builder.memories), "memory");
        let tools = self.layered_tools(&mut builder, sandbox.as_ref());
        let channels = self.known_channels(&mut builder);
        let mut stated = std::mem::take(&mut builder.agents);
        if stated.is_empty() {
            stated.push(Stated::in_code(Agent::new(DEFAULT_AGENT)));
        }
        let names: Vec<AgentId> = stated.iter().map(|agent| agent.value.id.clone()).collect();
        let default_agent = builder.default_agent.take().unwrap_or_else(|| {
            Stated::in_code(names.first().cloned().unwrap_or_else(|| DEFAULT_AGENT.into()))
        });
        let mut agents = BTreeMap::new();
        for (index, agent) in stated.into_iter().enumerate() {
            let id = agent.value.id.clone();
            if names.iter().take(index).any(|name| *name == id) {
                self.fault(format!("{}two agents are named {id}", agent.place));
            }
            if let Some(plan) = self.agent_plan(agent, &providers, &tools) {
                agents.insert(id, Arc::new(plan));
            }
        }
        let bound = builder.bindings.iter().filter_map(|binding| {
            binding.value.agent.as_ref().map(|agent| (agent, &binding.place))
        });
        for (agent, place) in bound.chain([(&default_agent.value, &default_agent.place)]) {
            if !names.contains(agent) {
                self.fault(format!(
                    "{place}there is no agent {agent}, known are: {}",
                    listed(names.iter().map(AgentId::as_str))
                ));
            }
        }
        let access = self.known_access(std::mem::take(&mut builder.access), &channels);
        let previews = self.known_previews(std::mem::take(&mut builder.previews), &channels);
        let Some(store) = store.filter(|_| self.loading.faults.is_empty()) else {
            return Err(self.loading.faults);
        };
        let plan = Plan {
            agents,
            default_agent: default_agent.value,
            bindings: values(builder.bindings),
            channels,
            access,
            previews,
            owners: builder.owners,
            hooks: builder.hooks,
            on_unknown: builder.on_unknown.unwrap_or_default(),
            tool_http: ToolHttp::new(builder.http.as_ref(), builder.egress.unwrap_or_default()),
            http: builder.http,
            sandbox,
            memory,
            state: Arc::new(builder.state),
            _plugins: self.loading.loaded.iter().map(|loaded| Arc::clone(&loaded.life)).collect(),
        };
        let (loaded, wanted) = (self.loading.loaded, self.wanted);
        Ok(Composed { plan, store, node: builder.node, loaded, wanted })
    }

    fn chosen_store(&mut self, builder: &mut GatewayBuilder) -> Option<Arc<dyn Store>> {
        let mut stores = std::mem::take(&mut self.loading.stores);
        stores.extend(builder.store.take());
        if stores.len() > 1 {
            self.fault("there is more than one store: a gateway has one");
            return None;
        }
        if let Some(former) = self.former {
            let other = stores.pop().is_some_and(|store| !Arc::ptr_eq(&store, former.store));
            if other || builder.ephemeral && !former.store.is_ephemeral() {
                self.fault("the store cannot be changed by a reload: stop the gateway and start it with the other store");
            }
            return Some(Arc::clone(former.store));
        }
        match (stores.pop(), builder.ephemeral) {
            (Some(store), ephemeral) if ephemeral || !store.is_ephemeral() => return Some(store),
            (None, true) => return Some(Arc::new(InMemory::new())),
            (Some(_), _) => self.fault(
                "the store forgets all when the process ends: say `.ephemeral()`, or \"ephemeral\": true, if that is meant",
            ),
            (None, false) if self.loading.store_failed => {}
            (None, false) => self.fault(
                "there is no store: add one with `.store(..)` or \"store\", or say `.ephemeral()` or \"ephemeral\": true to forget all when the process ends",
            ),
        }
        None
    }

    fn layered_providers(
        &mut self,
        builder: &mut GatewayBuilder,
        store: Option<&Arc<dyn Store>>,
    ) -> Providers {
        let mut layers = std::mem::take(&mut builder.provider_layers);
        let entries = std::mem::take(&mut self.loading.provider_layers);
        if let Some(store) = store {
            let records = Arc::clone(store) as Arc<dyn crate::store::RecordStore>;
            let ledger = Ledger::new(records, Arc::clone(&self.sources.clock));
            let layer =
                |entry: &ProviderLayer| -> Arc<dyn Layer<dyn Provider>> { entry.layer(&ledger) };
            layers.extend(entries.iter().map(layer));
        }
        let mut providers = Providers::new();
        for provider in std::mem::take(&mut builder.providers) {
            let id = provider.id().clone();
            if providers.iter().any(|(known, _)| *known == id) {
                self.fault(format!("two providers are named {id}"));
            }
            providers.push((id, wrap(provider, &layers)));
        }
        self.wanted.providers = providers.clone();
        if providers.is_empty() {
            self.missing(
                "there is no provider: add one with `.provider(..)` or a plugin that has one",
            );
        }
        self.models.know_chains(&self.loading.fallbacks);
        let mut chains = Providers::new();
        for chain in std::mem::take(&mut self.loading.fallbacks) {
            if providers.iter().chain(&chains).any(|(known, _)| *known == chain.value.id) {
                self.fault(format!("{}two providers are named {}", chain.place, chain.value.id));
            }
            if let Some(fallback) = self.fallback(&chain, &providers) {
                chains.push((chain.value.id, Arc::new(fallback)));
            }
        }
        chains.extend(providers);
        self.check_models(&chains);
        self.wanted.models =
            self.models.iter().map(|(name, alias)| (name.clone(), alias.value.clone())).collect();
        chains
    }

    fn check_models(&mut self, providers: &Providers) {
        let unknown = self.models.iter().filter(|(_, alias)| {
            !providers.iter().any(|(known, _)| *known == alias.value.provider)
        });
        let faults: Vec<String> = unknown
            .map(|(name, Stated { value: alias, place })| {
                format!(
                    "{place}the model {name} is of provider {}, known are: {}",
                    alias.provider,
                    listed(providers.iter().map(|(id, _)| id.as_str()))
                )
            })
            .collect();
        for fault in faults {
            self.missing(fault);
        }
    }

    fn fallback(
        &mut self,
        chain: &Stated<FallbackEntry>,
        providers: &Providers,
    ) -> Option<Fallback> {
        let Stated { value: entry, place } = chain;
        let find = |id: &ProviderId| {
            let found = providers.iter().find(|(known, _)| known == id);
            found.map(|(_, provider)| Arc::clone(provider))
        };
        let mut links = Vec::new();
        for link in &entry.then {
            let resolved = match (&link.provider, &link.model) {
                (provider, Some(model)) => self
                    .models
                    .resolve(provider.as_ref(), model)
                    .map(|(provider, model)| (provider, Some(model))),
                (provider, None) => Ok((provider.clone(), None)),
            };
            match resolved {
                Ok((Some(provider), model)) => links.push((provider, model)),
                Ok((None, _)) => self.fault(format!(
                    "{place}a link of the chain {} names no provider: add \"provider\", or name one \
                     of the models: {}",
                    entry.id,
                    listed(self.models.names())
                )),
                Err(why) => self.fault(format!("{place}a link of the chain {} {why}", entry.id)),
            }
        }
        for id in [&entry.first].into_iter().chain(links.iter().map(|(provider, _)| provider)) {
            if find(id).is_none() {
                self.missing(format!(
                    "{place}the chain {} names provider {id}, known are: {}",
                    entry.id,
                    listed(providers.iter().map(|(id, _)| id.as_str()))
                ));
            }
        }
        self.wanted.chains.push(Chain {
            id: entry.id.clone(),
            first: entry.first.clone(),
            then: links.clone(),
        });
        let mut fallback = Fallback::new(entry.id.clone(), find(&entry.first)?);
        for (provider, model) in links {
            let provider = find(&provider)?;
            fallback = match model {
                Some(model) => fallback.then_model(provider, model),
                None => fallback.then(provider),
            };
        }
        if let Some(kinds) = &entry.on {
            fallback = fallback.on(kinds.iter().copied());
        }
        Some(fallback)
    }

    /// What there is at most one of.
    fn only<T>(&mut self, mut parts: Vec<T>, what: &str) -> Option<T> {
        if parts.len() > 1 {
            self.fault(format!("there is more than one {what}: a gateway has one"));
        }
        parts.pop()
    }

    fn known_channels(
        &mut self,
        builder: &mut GatewayBuilder,
    ) -> BTreeMap<AccountId, Arc<dyn Channel>> {
        let mut channels = BTreeMap::new();
        for channel in std::mem::take(&mut builder.channels) {
            let id = channel.id().clone();
            if id.as_str() == API_ACCOUNT {
                self.fault(format!(
                    "{id} is the application's own account; name the channel otherwise"
                ));
            }
            if channels.insert(id.clone(), channel).is_some() {
                self.fault(format!("two channels are named {id}"));
            }
        }
        self.loading.faults.extend(shared(&channels));
        channels
    }

    fn known_access(
        &mut self,
        access: HashMap<AccountId, Stated<Access>>,
        channels: &BTreeMap<AccountId, Arc<dyn Channel>>,
    ) -> HashMap<AccountId, Access> {
        for (account, access) in &access {
            if !channels.contains_key(account) && account.as_str() != API_ACCOUNT {
                self.missing(format!(
                    "{}access is set for {account}, but there is no such channel, known are: {}",
                    access.place,
                    listed(channels.keys().map(AccountId::as_str))
                ));
            }
            if account.as_str() == API_ACCOUNT && access.value.admits_or_refuses() {
                self.fault(format!(
                    "{}access for {account} can say peer_confidentiality and peer_audience alone: who asks there is let in by the application itself",
                    access.place
                ));
            }
        }
        access.into_iter().map(|(account, access)| (account, access.value)).collect()
    }

    fn known_previews(
        &mut self,
        previews: HashMap<AccountId, Stated<Preview>>,
        channels: &BTreeMap<AccountId, Arc<dyn Channel>>,
    ) -> HashMap<AccountId, Preview> {
        for (account, preview) in &previews {
            if !channels.get(account).is_some_and(|channel| channel.capabilities().edit) {
                self.missing(format!(
                    "{}a preview is set for {account}, but no such channel can edit",
                    preview.place
                ));
            }
        }
        previews.into_iter().map(|(account, preview)| (account, preview.value)).collect()
    }

    fn agent_plan(
        &mut self,
        stated: Stated<Agent>,
        providers: &Providers,
        tools: &BTreeMap<String, Arc<ToolPlan>>,
    ) -> Option<AgentPlan> {
        let Stated { value: mut agent, place } = stated;
        match self.models.resolve(agent.provider.as_ref(), &agent.model) {
            Ok((provider, model)) => (agent.provider, agent.model) = (provider, model),
            Err(why) => self.fault(format!("{place}agent {} {why}", agent.id)),
        }
        let provider = match &agent.provider {
            None => providers.first(),
            Some(id) => {
                let found = providers.iter().find(|(known, _)| known == id);
                if found.is_none() {
                    self.missing(format!(
                        "{place}agent {} wants provider {id}, known are: {}",
                        agent.id,
                        listed(providers.iter().map(|(id, _)| id.as_str()))
                    ));
                }
                found
            }
        };
        for pattern in agent.tools.iter().flatten().chain(agent.permissions.keys()) {
            if !pattern.ends_with('*') && !tools.contains_key(pattern) {
                self.missing(format!(
                    "{place}agent {} names tool {pattern:?}, known are: {}",
                    agent.id,
                    listed(tools.keys().map(String::as_str))
                ));
            }
        }
        let agent = self.with_persona(agent, &place);
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

    /// Reads the agent's persona, if it is in a folder.
    fn with_persona(&mut self, mut agent: Agent, place: &Place) -> Agent {
        let Some(folder) = agent.persona_folder.take() else { return agent };
        if !agent.persona.is_empty() {
            self.fault(format!(
                "{place}agent {} has both persona and persona_folder: give one of them",
                agent.id
            ));
            return agent;
        }
        match agent.clone().persona_from(folder) {
            Ok(with_persona) => with_persona,
            Err(error) => {
                self.fault(format!("{place}agent {}: {error}", agent.id));
                agent
            }
        }
    }
}

/// The error that faults are for who wanted to `start` or `reload`.
pub(super) fn refusal(what: &str, faults: &[String]) -> Error {
    Error::config(format!("the gateway cannot {what}:\n- {}", faults.join("\n- ")))
}

/// What two accounts have that one alone may have.
fn shared(channels: &BTreeMap<AccountId, Arc<dyn Channel>>) -> Vec<String> {
    let mut owners: HashMap<(&str, &str), &AccountId> = HashMap::new();
    let mut faults = Vec::new();
    for (account, channel) in channels {
        for one in channel.extras().exclusive {
            if let Some(other) = owners.insert((one.what, one.value.expose()), account) {
                faults.push(format!(
                    "{other} and {account} have the same {}: give each account its own",
                    one.what
                ));
            }
        }
    }
    faults
}

fn values(bindings: Vec<Stated<Binding>>) -> Vec<Binding> {
    bindings.into_iter().map(|binding| binding.value).collect()
}

pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
