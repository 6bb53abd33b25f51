//! Loading the plugins that configurations name, and taking over what else they say.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use super::{
    GatewayBuilder,
    compose::Stated,
    equip::{AddedTool, Confined},
};
use crate::{
    channel::Channel,
    id::AccountId,
    plugin::{
        Config, Factory, FallbackEntry, Parts, Place, PluginContext, PluginEntry, ProviderLayer,
        Registry, Segment, ToolLayer,
    },
    store::Store,
    time::{Cancel, Sources},
};

/// A plugin of a running gateway.
pub(crate) struct Loaded {
    entry: PluginEntry,
    factory: Arc<dyn Factory>,
    /// It stands in the configuration as its store.
    is_store: bool,
    parts: Parts,
    pub(super) life: Arc<Life>,
}

/// Stops what a plugin started when nothing needs the plugin any more.
pub(crate) struct Life(Cancel);

impl Drop for Life {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// What a running gateway is made of, when it reloads.
pub(super) struct Former<'a> {
    pub(super) store: &'a Arc<dyn Store>,
    pub(super) loaded: &'a [Loaded],
    /// The channels that are in order.
    pub(super) channels: Vec<Arc<dyn Channel>>,
}

impl Former<'_> {
    /// The plugin of an equal entry, to go on as they are. Not those of which a channel has failed.
    fn find(
        &self,
        entry: &PluginEntry,
        factory: &Arc<dyn Factory>,
        is_store: bool,
    ) -> Option<&Loaded> {
        let in_order = |channel: &Arc<dyn Channel>| {
            self.channels.iter().any(|listening| Arc::ptr_eq(listening, channel))
        };
        let same = |loaded: &&Loaded| {
            let same_plugin = Arc::ptr_eq(&loaded.factory, factory) || is_store;
            loaded.is_store == is_store && loaded.entry == *entry && same_plugin
        };
        let found = self.loaded.iter().find(same)?;
        found.parts.channels.iter().all(in_order).then_some(found)
    }
}

/// A plugin's parts, what made them, and for how long they live.
type Made = (Arc<dyn Factory>, Parts, Arc<Life>);

/// What configurations come to, and what is wrong with them.
pub(super) struct Loading<'a> {
    sources: &'a Sources,
    cancel: &'a Cancel,
    former: Option<&'a Former<'a>>,
    pub(super) faults: Vec<String>,
    /// Nothing was left out; then what is missing is missing.
    pub(super) complete: bool,
    /// There would be a store, but it could not be loaded.
    pub(super) store_failed: bool,
    pub(super) loaded: Vec<Loaded>,
    pub(super) stores: Vec<Arc<dyn Store>>,
    pub(super) provider_layers: Vec<ProviderLayer>,
    pub(super) tool_layers: Vec<ToolLayer>,
    pub(super) fallbacks: Vec<Stated<FallbackEntry>>,
}

impl<'a> Loading<'a> {
    pub(super) fn new(
        sources: &'a Sources,
        cancel: &'a Cancel,
        former: Option<&'a Former<'a>>,
    ) -> Self {
        Self {
            sources,
            cancel,
            former,
            faults: Vec::new(),
            complete: true,
            store_failed: false,
            loaded: Vec::new(),
            stores: Vec::new(),
            provider_layers: Vec::new(),
            tool_layers: Vec::new(),
            fallbacks: Vec::new(),
        }
    }

    /// Adds to the builder what its configurations say.
    pub(super) async fn load(&mut self, builder: &mut GatewayBuilder) {
        for (registry, config) in std::mem::take(&mut builder.configs) {
            self.faults.extend(registry.faults());
            match config {
                Ok(config) => self.load_one(builder, &registry, config).await,
                Err(faults) => {
                    (self.complete, self.store_failed) = (false, true);
                    self.faults.extend(faults);
                }
            }
        }
    }

    async fn load_one(
        &mut self,
        builder: &mut GatewayBuilder,
        registry: &Registry,
        mut config: Config,
    ) {
        if let Some(entry) = config.store.take().filter(|entry| entry.enabled) {
            let path = [key("store")];
            self.plugin(builder, registry, &config, &path, entry, true).await;
        }
        for (index, entry) in std::mem::take(&mut config.plugins).into_iter().enumerate() {
            if entry.enabled {
                let path = [key("plugins"), Segment::Index(index)];
                self.plugin(builder, registry, &config, &path, entry, false).await;
            }
        }
        self.settings(builder, config);
    }

    async fn plugin(
        &mut self,
        builder: &mut GatewayBuilder,
        registry: &Registry,
        config: &Config,
        path: &[Segment],
        entry: PluginEntry,
        is_store: bool,
    ) {
        match self.parts(builder, registry, &entry, is_store).await {
            Ok((factory, parts, life)) => {
                if is_store && parts.stores.is_empty() {
                    let place = config.place(path);
                    self.faults.push(format!("{place}plugin {:?} has no store", entry.plugin));
                    self.store_failed = true;
                }
                let confined = confinement(config, path, &entry);
                self.add(builder, &parts, confined.as_ref());
                self.loaded.push(Loaded { entry, factory, is_store, parts, life });
            }
            Err((inner, why)) => {
                let path: Vec<Segment> = path.iter().cloned().chain(inner).collect();
                self.faults.push(format!("{}{why}", config.place(&path)));
                self.complete = false;
                self.store_failed |= is_store;
            }
        }
    }

    /// The parts of an entry, made or taken over; or what is wrong, and where in the entry.
    async fn parts(
        &self,
        builder: &GatewayBuilder,
        registry: &Registry,
        entry: &PluginEntry,
        is_store: bool,
    ) -> Result<Made, (Vec<Segment>, String)> {
        let factory = registry.factory(entry).map_err(|why| (Vec::new(), why))?;
        if let Some(former) = self.former {
            if let Some(found) = former.find(entry, &factory, is_store) {
                return Ok((factory, found.parts.clone(), Arc::clone(&found.life)));
            }
            if is_store {
                let why = "the store cannot be changed by a reload: stop the gateway and start it with the other store";
                return Err((Vec::new(), why.into()));
            }
        }
        let http = builder.http.as_ref();
        let life = Arc::new(Life(self.cancel.child()));
        let cx = PluginContext::of_gateway(&entry.plugin, self.sources, http, &life.0);
        let name = &entry.plugin;
        let load = factory.load(entry.config.clone(), cx).map_err(|misfit| {
            let path = [key("config")].into_iter().chain(misfit.path).collect();
            (path, format!("plugin {name:?}: {}", misfit.why))
        })?;
        let parts =
            load.await.map_err(|error| (Vec::new(), format!("plugin {name:?}: {error}")))?;
        if let Some(why) = entry.unmet_confinement(&parts) {
            return Err((Vec::new(), why));
        }
        Ok((factory, parts, life))
    }

    fn add(&mut self, builder: &mut GatewayBuilder, parts: &Parts, confined: Option<&Confined>) {
        builder.channels.extend(parts.channels.iter().map(Arc::clone));
        builder.providers.extend(parts.providers.iter().map(Arc::clone));
        let tools = parts.tools.iter().map(Arc::clone);
        builder.tools.extend(tools.map(|tool| AddedTool { tool, confined: confined.cloned() }));
        builder.memories.extend(parts.memories.iter().map(Arc::clone));
        builder.sandboxes.extend(parts.sandboxes.iter().map(Arc::clone));
        builder.hooks.extend(parts.hooks.iter().map(Arc::clone));
        self.stores.extend(parts.stores.iter().map(Arc::clone));
    }

    /// What is said without plugins.
    fn settings(&mut self, builder: &mut GatewayBuilder, mut config: Config) {
        for (name, alias) in std::mem::take(&mut config.models) {
            let place = config.place(&[key("models"), key(name.as_str())]);
            builder.models.push((name, Stated { value: alias, place }));
        }
        for (index, agent) in std::mem::take(&mut config.agents).into_iter().enumerate() {
            let place = config.place(&[key("agents"), Segment::Index(index)]);
            builder.agents.push(Stated { value: agent, place });
        }
        for (index, binding) in std::mem::take(&mut config.bindings).into_iter().enumerate() {
            let place = config.place(&[key("bindings"), Segment::Index(index)]);
            if binding.agent.is_none() {
                self.faults.push(format!("{place}the binding names no agent: add \"agent\""));
            }
            builder.bindings.push(Stated { value: binding, place });
        }
        for (account, access) in std::mem::take(&mut config.access) {
            let place = config.place(&[key("access"), key(account.as_str())]);
            self.of_account("access", &mut builder.access, account, access, place);
        }
        for (account, preview) in std::mem::take(&mut config.previews) {
            let place = config.place(&[key("previews"), key(account.as_str())]);
            self.of_account("a preview", &mut builder.previews, account, preview, place);
        }
        for (index, chain) in std::mem::take(&mut config.fallbacks).into_iter().enumerate() {
            let place = config.place(&[key("fallbacks"), Segment::Index(index)]);
            self.fallbacks.push(Stated { value: chain, place });
        }
        self.once(
            builder.default_agent.is_some(),
            &config,
            config.default_agent.is_some(),
            "default_agent",
        );
        self.once(builder.egress.is_some(), &config, config.egress.is_some(), "egress");
        builder.egress = builder.egress.take().or(config.egress.take());
        for (name, secret) in std::mem::take(&mut config.secrets) {
            let place = config.place(&[key("secrets"), key(&name)]);
            match secret.resolve() {
                Err(error) => self.faults.push(format!("{place}secret {name:?}: {error}")),
                Ok(_) if builder.secrets.contains_key(&name) => {
                    self.faults.push(format!("{place}the secret {name:?} is given twice"));
                }
                Ok(secret) => {
                    builder.secrets.insert(name, secret);
                }
            }
        }
        self.once(builder.on_unknown.is_some(), &config, config.on_unknown.is_some(), "on_unknown");
        self.once(builder.node.is_some(), &config, config.node.is_some(), "node");
        if let Some(agent) = config.default_agent.take() {
            let place = config.place(&[key("default_agent")]);
            builder.default_agent = Some(Stated { value: agent, place });
        }
        builder.on_unknown = builder.on_unknown.or(config.on_unknown);
        builder.node = builder.node.take().or(config.node);
        builder.ephemeral |= config.ephemeral;
        builder.owners.extend(config.owners.into_iter().map(|owner| (owner.channel, owner.user)));
        self.provider_layers.extend(config.provider_layers);
        self.tool_layers.extend(config.tool_layers);
    }

    /// What an account has one of.
    fn of_account<T>(
        &mut self,
        what: &str,
        known: &mut HashMap<AccountId, Stated<T>>,
        account: AccountId,
        value: T,
        place: Place,
    ) {
        match known.entry(account) {
            Entry::Occupied(known) => {
                self.faults.push(format!("{place}{what} is set twice for {}", known.key()));
            }
            Entry::Vacant(free) => {
                free.insert(Stated { value, place });
            }
        }
    }

    /// What can be said once only.
    fn once(&mut self, said: bool, config: &Config, again: bool, name: &str) {
        if said && again {
            let place = config.place(&[key(name)]);
            self.faults.push(format!("{place}{name} is said twice: here, and before or in code"));
        }
    }
}

fn key(name: &str) -> Segment {
    Segment::Key(name.into())
}

/// How an entry wants its plugin's tools confined.
fn confinement(config: &Config, path: &[Segment], entry: &PluginEntry) -> Option<Confined> {
    (entry.sandbox.is_some() || entry.limits.is_some()).then(|| Confined {
        place: config.place(path).to_string().into(),
        kind: entry.sandbox,
        limits: entry.limits.clone().unwrap_or_default(),
    })
}
