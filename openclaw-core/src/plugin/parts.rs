//! What a plugin is made of.

use std::{fmt, sync::Arc};

use crate::{
    channel::Channel,
    gateway::{IntoChannel, IntoProvider, IntoStore},
    hook::Hook,
    memory::{IntoMemory, Memory},
    provider::Provider,
    sandbox::{IntoSandbox, Sandbox},
    store::Store,
    tool::{Confinement, IntoTool, Tool},
};

/// The parts that a plugin adds to a gateway: any number of each kind, so that what belongs together
/// (a service's channel and its tools) is one plugin with one configuration.
///
/// | kind | what the gateway does with it | as in |
/// |---|---|---|
/// | [`channel`](Self::channel) | listens on it, and delivers to it | [`GatewayBuilder::channel`](crate::GatewayBuilder::channel) |
/// | [`provider`](Self::provider) | agents think with it | [`GatewayBuilder::provider`](crate::GatewayBuilder::provider) |
/// | [`tool`](Self::tool) | agents act with it | [`GatewayBuilder::tool`](crate::GatewayBuilder::tool) |
/// | [`store`](Self::store) | keeps everything durable in it; a gateway has one | [`GatewayBuilder::store`](crate::GatewayBuilder::store) |
/// | [`memory`](Self::memory) | keeps in it what is said and what tools remember; a gateway has one | [`GatewayBuilder::memory`](crate::GatewayBuilder::memory) |
/// | [`sandbox`](Self::sandbox) | runs in it what tools run; a gateway has one | [`GatewayBuilder::sandbox`](crate::GatewayBuilder::sandbox) |
/// | [`hook`](Self::hook) | asks it, in the order of the entries | [`GatewayBuilder::hook`](crate::GatewayBuilder::hook) |
#[derive(Clone, Default)]
#[must_use]
pub struct Parts {
    pub(crate) channels: Vec<Arc<dyn Channel>>,
    pub(crate) providers: Vec<Arc<dyn Provider>>,
    pub(crate) tools: Vec<Arc<dyn Tool>>,
    pub(crate) stores: Vec<Arc<dyn Store>>,
    pub(crate) memories: Vec<Arc<dyn Memory>>,
    pub(crate) sandboxes: Vec<Arc<dyn Sandbox>>,
    pub(crate) hooks: Vec<Arc<dyn Hook>>,
}

impl Parts {
    /// Without any part.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a channel.
    pub fn channel(mut self, channel: impl IntoChannel) -> Self {
        self.channels.push(channel.into_channel());
        self
    }

    /// Adds a provider.
    pub fn provider(mut self, provider: impl IntoProvider) -> Self {
        self.providers.push(provider.into_provider());
        self
    }

    /// Adds a tool.
    pub fn tool(mut self, tool: impl IntoTool) -> Self {
        self.tools.push(tool.into_tool());
        self
    }

    /// Adds a store.
    pub fn store(mut self, store: impl IntoStore) -> Self {
        self.stores.push(store.into_store());
        self
    }

    /// Adds a memory.
    pub fn memory(mut self, memory: impl IntoMemory) -> Self {
        self.memories.push(memory.into_memory());
        self
    }

    /// Adds a sandbox.
    pub fn sandbox(mut self, sandbox: impl IntoSandbox) -> Self {
        self.sandboxes.push(sandbox.into_sandbox());
        self
    }

    /// Adds a hook.
    pub fn hook(mut self, hook: impl Hook) -> Self {
        self.hooks.push(Arc::new(hook));
        self
    }

    /// The channels, in the order in which they were added; as are the others.
    pub fn channels(&self) -> &[Arc<dyn Channel>] {
        &self.channels
    }

    /// The providers.
    pub fn providers(&self) -> &[Arc<dyn Provider>] {
        &self.providers
    }

    /// The tools.
    pub fn tools(&self) -> &[Arc<dyn Tool>] {
        &self.tools
    }

    /// The stores.
    pub fn stores(&self) -> &[Arc<dyn Store>] {
        &self.stores
    }

    /// The hooks.
    pub fn hooks(&self) -> &[Arc<dyn Hook>] {
        &self.hooks
    }
}

impl Parts {
    /// True if all of it are tools that run in a box.
    pub(crate) fn is_confined(&self) -> bool {
        let Self { channels, providers, tools, stores, memories, sandboxes, hooks } = self;
        let others = channels.len() + providers.len() + stores.len();
        others + memories.len() + sandboxes.len() + hooks.len() == 0
            && tools.iter().all(|tool| tool.spec().confinement != Confinement::InProcess)
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("channels", &self.channels.len())
            .field("providers", &self.providers.len())
            .field("tools", &self.tools.len())
            .field("stores", &self.stores.len())
            .field("memories", &self.memories.len())
            .field("sandboxes", &self.sandboxes.len())
            .field("hooks", &self.hooks.len())
            .finish()
    }
}
