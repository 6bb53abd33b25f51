//! Putting other parts into a gateway that runs.

use std::sync::Arc;

use super::{
    GatewayBuilder, Handle, Hub,
    compose::{Composed, compose, refusal},
    hub::lock,
    load::Former,
    plan::Plan,
};
use crate::{
    channel::Channel,
    error::{Error, ErrorKind, Result},
    id::AccountId,
};

impl Handle {
    /// Replaces what the gateway is made of by what `builder` says: agents, tools, providers, layers,
    /// hooks, channels, access and bindings, all of it and as one. `builder` is complete, as for a
    /// start: what it does not say is gone.
    ///
    /// - If anything is wrong, nothing changes.
    /// - A turn that runs keeps what it began with; a turn that waits for an answer, and the next one
    ///   of each session, have the new parts. A session whose agent is gone goes on with the default
    ///   agent.
    /// - Channels that are gone stop listening, new ones begin. The very same channel (a shared one, or
    ///   one of a plugin that goes on) is not disturbed.
    /// - A plugin goes on as it is if its entry is equal and the [`Registry`](crate::plugin::Registry)
    ///   is the same or a clone of it; so secrets that it read are not read again. Plugins of which a
    ///   channel has failed for good are loaded anew.
    /// - What was to leave by an account that is gone waits until the account is there again.
    /// - The store, the clock, the entropy, the node's name and the cancellation belong to the running
    ///   process. A store that the builder names must be the one that is in use; none need be named.
    /// - **Cancel safety.** Dropping the future before the swap begins changes nothing; from then on the
    ///   swap is completed all the same.
    ///
    /// ```
    /// # use openclaw_core::{Gateway, GatewayBuilder, Result, agent::Agent, testing::Scripted};
    /// fn app(persona: &str) -> GatewayBuilder {
    ///     Gateway::builder()
    ///         .ephemeral()
    ///         .provider(Scripted::from_fn(|request| Ok(request.system.clone())))
    ///         .agent(Agent::new("main").persona(persona))
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<()> {
    /// let gateway = app("You are kind.").start().await?;
    /// let handle = gateway.handle();
    /// handle.reload(app("You are terse.")).await?;
    /// assert!(handle.ask("ada", "Who are you?").reply().await?.text.contains("terse"));
    /// # gateway.shutdown().await }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] that lists all that is wrong; [`ErrorKind::Unavailable`] if the
    /// gateway is shutting down.
    pub async fn reload(&self, builder: GatewayBuilder) -> Result<()> {
        let hub = &self.hub;
        let mut loaded = Arc::clone(&hub.loaded).lock_owned().await;
        if hub.draining.is_cancelled() {
            return Err(Error::new(ErrorKind::Unavailable, "the gateway is shutting down"));
        }
        refuse_fixed(hub, &builder)?;
        let former = Former { store: &hub.store, loaded: &loaded, channels: hub.in_order() };
        let composed = compose(builder, &hub.sources, &hub.stopping, Some(&former)).await;
        let composed = composed.map_err(|faults| refusal("reload", &faults))?;
        let Composed { plan, node, loaded: next, .. } = composed;
        if node.is_some_and(|node| node != hub.node) {
            return Err(Error::config("the node's name cannot be changed by a reload"));
        }
        let hub = Arc::clone(hub);
        // A task of its own, so that the swap is never left half done.
        let swap = self.hub.tasks.spawn(async move {
            hub.swap(plan).await;
            *loaded = next;
        });
        swap.await.map_err(|_| Error::internal("the reload was cut off"))
    }
}

/// What belongs to the process and not to its parts.
fn refuse_fixed(hub: &Hub, builder: &GatewayBuilder) -> Result<()> {
    let fixed = [
        (builder.clock.is_some(), "the clock"),
        (builder.entropy.is_some(), "the entropy"),
        (builder.cancel.is_some(), "the cancellation"),
        (builder.node.as_ref().is_some_and(|node| *node != hub.node), "the node's name"),
    ];
    match fixed.iter().find(|(said, _)| *said) {
        Some((_, what)) => Err(Error::config(format!("{what} cannot be changed by a reload"))),
        None => Ok(()),
    }
}

impl Hub {
    /// The channels that have not failed for good.
    fn in_order(&self) -> Vec<Arc<dyn Channel>> {
        lock(&self.listeners).values().map(|listener| Arc::clone(&listener.channel)).collect()
    }

    /// Puts another plan in place of the present one, and has its channels listen and no others.
    async fn swap(self: &Arc<Self>, plan: Plan) {
        let goes_on = |account: &AccountId, channel: &Arc<dyn Channel>| {
            let next = plan.channels.get(account);
            next.is_some_and(|next| Arc::ptr_eq(next, channel))
        };
        let mut gone: Vec<AccountId> = Vec::new();
        for (account, listener) in lock(&self.listeners).iter() {
            if !goes_on(account, &listener.channel) {
                gone.push(account.clone());
            }
        }
        // Nothing is heard by a channel that the plan does not know.
        futures_util::future::join_all(gone.iter().map(|account| self.dismiss(account))).await;
        let channels: Vec<Arc<dyn Channel>> = plan.channels.values().map(Arc::clone).collect();
        self.replace_plan(plan);
        for channel in channels {
            if !lock(&self.listeners).contains_key(channel.id()) {
                self.listen(channel);
            }
        }
        self.reap_abandoned().await;
        tracing::info!("the gateway has reloaded");
    }
}
