//! What the builder takes for a part: the part itself, or a shared one.

use std::sync::Arc;

use crate::{channel::Channel, provider::Provider, store::Store};

/// What [`GatewayBuilder::channel`](super::GatewayBuilder::channel) takes: a channel, or a shared one.
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

/// What [`GatewayBuilder::provider`](super::GatewayBuilder::provider) takes: a provider, or a shared one.
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

/// What [`GatewayBuilder::store`](super::GatewayBuilder::store) takes: a store, or a shared one.
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
