//! A messenger of which this driver is the only user.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use openclaw_core::{
    AccountId, Conversation, EventKey,
    channel::{Capabilities, Channel, ChannelContext, Delivery},
    message::{Action, Inbound, Receipt, Sender, Sent},
};
use tokio::sync::{Notify, mpsc};

use openclaw_benches::{Result, figures::Times};

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Platform(Arc<Inner>);

struct Inner {
    account: AccountId,
    capabilities: Capabilities,
    context: OnceLock<ChannelContext>,
    ready: Notify,
    people: Mutex<HashMap<String, mpsc::UnboundedSender<()>>>,
}

impl Platform {
    pub(crate) fn new() -> Result<Self> {
        let mut capabilities =
            Capabilities::text_only(Delivery::Keyed { window: Duration::from_secs(86_400) });
        capabilities.local = true;
        Ok(Self(Arc::new(Inner {
            account: "bench:default".parse()?,
            capabilities,
            context: OnceLock::new(),
            ready: Notify::new(),
            people: Mutex::default(),
        })))
    }

    /// Says "hello" `count` times in one conversation, each time after the answer to the last.
    pub(crate) async fn turns(&self, person: &str, count: u32) -> Result<Times> {
        if self.0.context.get().is_none() {
            self.0.ready.notified().await;
        }
        let cx = self.0.context.get().ok_or("the gateway does not listen")?;
        let (sender, mut answers) = mpsc::unbounded_channel();
        self.0.people.lock().unwrap_or_else(PoisonError::into_inner).insert(person.into(), sender);
        let place = Conversation::direct(self.0.account.clone(), person);
        let mut times = Times::default();
        for number in 0..count {
            let key = EventKey::message(person, &number.to_string());
            let from = Sender { id: person.into(), name: None };
            let inbound = Inbound::message(key, place.clone(), from, ["hello"]);
            let began = Instant::now();
            let accepted = cx.accept(inbound).await?;
            if accepted != openclaw_core::channel::Accepted::New {
                return Err(format!("not accepted: {accepted:?}").into());
            }
            answers.recv().await.ok_or("no answer came")?;
            times.add(began.elapsed());
        }
        Ok(times)
    }

    /// As many people at once, each as in [`turns`](Self::turns).
    pub(crate) async fn load(&self, people: u32, each: u32) -> Result<()> {
        let tasks: Vec<_> = (0..people)
            .map(|number| {
                let platform = self.clone();
                tokio::spawn(
                    async move { platform.turns(&format!("{people}-{number}"), each).await },
                )
            })
            .collect();
        for task in tasks {
            task.await??;
        }
        Ok(())
    }
}

#[async_trait]
impl Channel for Platform {
    fn id(&self) -> &AccountId {
        &self.0.account
    }

    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    async fn run(&self, cx: &ChannelContext) -> openclaw_core::Result<()> {
        // Only the first run's context is kept: this driver has one gateway.
        let _ = self.0.context.set(cx.clone());
        self.0.ready.notify_waiters();
        cx.cancel().cancelled().await;
        Ok(())
    }

    async fn perform(
        &self,
        _cx: &ChannelContext,
        to: &Conversation,
        action: &Action,
    ) -> openclaw_core::Result<Sent> {
        if let Action::Send { key, .. } = action {
            let people = self.0.people.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(person) = people.get(to.peer.as_str()) {
                // Somebody who left is told nothing.
                let _ = person.send(());
            }
            return Ok(Sent::Yes(Receipt::message(key.as_str())));
        }
        Ok(Sent::Yes(Receipt::default()))
    }
}
