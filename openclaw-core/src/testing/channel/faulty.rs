//! Channels that break their contract, to test the test.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    channel::{
        Accepted, Capabilities, Channel, ChannelContext, Delivery, Extras, FetchMedia, Lookup,
        Probe, Webhook,
    },
    error::{Error, ErrorKind, Result},
    gateway::{Accept, Ingress},
    id::{AccountId, Conversation, EventKey, OutboundKey},
    message::{Action, Content, Inbound, InboundKind, Receipt, Sent, plain_text},
    testing::Loopback,
    time::Cancel,
};

/// How a [`Faulty`] channel breaks the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the names say it")]
pub enum Fault {
    ReversesOrder,
    LosesAnEvent,
    AcknowledgesEarly,
    AcknowledgesFailures,
    ForgetsWhenDropped,
    NewKeyOnRedelivery,
    OneKeyForEqualTexts,
    IgnoresCancel,
    BrokenLinkIsTheEnd,
    SendsTwice,
    SendsNothing,
    RetriesItself,
    ErrsThoughSent,
    IgnoresKeys,
    LookupFindsNothing,
    LookupFindsAnything,
    EditSendsAnew,
    DeletesNothing,
    ReactsNever,
    TypingSends,
    PressGivesLabel,
    MixesConversations,
    CutsLongText,
    TakesForgedWebhooks,
    CutsMedia,
    FetchesOtherMedia,
    ProbesNothing,
    NamesNobody,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 28] = [
        Self::ReversesOrder,
        Self::LosesAnEvent,
        Self::AcknowledgesEarly,
        Self::AcknowledgesFailures,
        Self::ForgetsWhenDropped,
        Self::NewKeyOnRedelivery,
        Self::OneKeyForEqualTexts,
        Self::IgnoresCancel,
        Self::BrokenLinkIsTheEnd,
        Self::SendsTwice,
        Self::SendsNothing,
        Self::RetriesItself,
        Self::ErrsThoughSent,
        Self::IgnoresKeys,
        Self::LookupFindsNothing,
        Self::LookupFindsAnything,
        Self::EditSendsAnew,
        Self::DeletesNothing,
        Self::ReactsNever,
        Self::TypingSends,
        Self::PressGivesLabel,
        Self::MixesConversations,
        Self::CutsLongText,
        Self::TakesForgedWebhooks,
        Self::CutsMedia,
        Self::FetchesOtherMedia,
        Self::ProbesNothing,
        Self::NamesNobody,
    ];
}

/// A [`Loopback`] with one [`Fault`]. Clones share their state.
#[derive(Clone)]
pub struct Faulty(Arc<Inner>);

struct Inner {
    platform: Loopback,
    fault: Fault,
    count: AtomicUsize,
    last: Mutex<Option<Conversation>>,
}

impl Faulty {
    /// `platform`, broken in this way.
    pub fn new(platform: Loopback, fault: Fault) -> Self {
        Self(Arc::new(Inner {
            platform,
            fault,
            count: AtomicUsize::new(0),
            last: Mutex::new(None),
        }))
    }

    /// What is behind the channel.
    pub fn platform(&self) -> &Loopback {
        &self.0.platform
    }

    fn count(&self) -> usize {
        self.0.count.fetch_add(1, Ordering::Relaxed)
    }

    /// The same context, with the fault at its door.
    fn with_door(&self, cx: &ChannelContext) -> ChannelContext {
        let mut cx = cx.clone();
        let inner = cx.ingress.clone();
        cx.ingress = Ingress::new(Arc::new(Door { faulty: self.clone(), inner }));
        cx
    }

    fn renamed(&self, action: &Action) -> Action {
        let mut action = action.clone();
        if let Action::Send { key, .. } = &mut action {
            *key = format!("{key}-{}", self.count()).into();
        }
        action
    }
}

#[async_trait]
impl Channel for Faulty {
    fn id(&self) -> &AccountId {
        self.0.platform.id()
    }

    fn capabilities(&self) -> &Capabilities {
        self.0.platform.capabilities()
    }

    async fn run(&self, cx: &ChannelContext) -> Result<()> {
        let mut cx = self.with_door(cx);
        match self.0.fault {
            Fault::IgnoresCancel => {
                cx.cancel = Cancel::new();
                self.0.platform.run(&cx).await
            }
            Fault::BrokenLinkIsTheEnd => self.0.platform.run(&cx).await.or(Ok(())),
            Fault::ForgetsWhenDropped => loop {
                let batch = tokio::select! {
                    () = cx.cancel.cancelled() => return Ok(()),
                    batch = self.0.platform.take_unheard() => batch,
                };
                cx.ingress.accept(batch).await?;
            },
            _ => self.0.platform.run(&cx).await,
        }
    }

    async fn perform(
        &self,
        cx: &ChannelContext,
        to: &Conversation,
        action: &Action,
    ) -> Result<Sent> {
        let platform = &self.0.platform;
        let send = |text: &str| Action::Send {
            key: format!("double-{}", self.count()).into(),
            content: vec![text.into()],
            reply_to: None,
        };
        match (self.0.fault, action) {
            (Fault::SendsTwice, Action::Send { .. }) => {
                let _ = platform.perform(cx, to, &self.renamed(action)).await?;
                platform.perform(cx, to, action).await
            }
            (Fault::SendsNothing, Action::Send { .. }) => Ok(Sent::Yes(Receipt::message("1"))),
            (Fault::RetriesItself, _) => match platform.perform(cx, to, action).await {
                Err(error) if error.is_transient() => platform.perform(cx, to, action).await,
                result => result,
            },
            (Fault::ErrsThoughSent, _) => match platform.perform(cx, to, action).await? {
                Sent::Unknown(error) => Err(error),
                sent => Ok(sent),
            },
            (Fault::IgnoresKeys, _) => platform.perform(cx, to, &self.renamed(action)).await,
            (Fault::EditSendsAnew, Action::Edit { content, .. }) => {
                platform.perform(cx, to, &send(&plain_text(content))).await
            }
            (Fault::DeletesNothing, Action::Delete { .. })
            | (Fault::ReactsNever, Action::React { .. }) => Ok(Sent::Yes(Receipt::default())),
            (Fault::TypingSends, Action::Typing) => platform.perform(cx, to, &send("…")).await,
            (Fault::MixesConversations, _) => {
                let last = || self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
                *last() = Some(to.clone());
                tokio::task::yield_now().await;
                let to = last().clone().unwrap_or_else(|| to.clone());
                platform.perform(cx, &to, action).await
            }
            (Fault::CutsLongText, Action::Send { key, content, reply_to }) => {
                let text: String = plain_text(content).chars().take(100).collect();
                let content = vec![Content::from(text)];
                let cut = Action::Send { key: key.clone(), content, reply_to: reply_to.clone() };
                platform.perform(cx, to, &cut).await
            }
            _ => platform.perform(cx, to, action).await,
        }
    }

    fn extras(&self) -> Extras<'_> {
        let extras = self.0.platform.extras().fetch_media(self).webhook(self).probe(self);
        match self.0.platform.capabilities().delivery {
            Delivery::Searchable { .. } => extras.lookup(self),
            _ => extras,
        }
    }
}

#[async_trait]
impl Lookup for Faulty {
    async fn lookup(
        &self,
        cx: &ChannelContext,
        to: &Conversation,
        key: &OutboundKey,
    ) -> Result<Option<Receipt>> {
        match self.0.fault {
            Fault::LookupFindsNothing => Ok(None),
            Fault::LookupFindsAnything => Ok(Some(Receipt::message("1"))),
            _ => self.0.platform.lookup(cx, to, key).await,
        }
    }
}

#[async_trait]
impl Webhook for Faulty {
    async fn handle(
        &self,
        cx: &ChannelContext,
        request: http::Request<Bytes>,
    ) -> http::Response<Bytes> {
        let cx = self.with_door(cx);
        if self.0.fault == Fault::TakesForgedWebhooks {
            return self.0.platform.take_webhook(&cx, request.body()).await;
        }
        self.0.platform.handle(&cx, request).await
    }
}

#[async_trait]
impl FetchMedia for Faulty {
    async fn fetch_media(
        &self,
        cx: &ChannelContext,
        handle: &str,
        max_bytes: u64,
    ) -> Result<Bytes> {
        let platform = &self.0.platform;
        match self.0.fault {
            Fault::CutsMedia => {
                let mut bytes = platform.fetch_media(cx, handle, u64::MAX).await?;
                bytes.truncate(usize::try_from(max_bytes).unwrap_or(usize::MAX));
                Ok(bytes)
            }
            Fault::FetchesOtherMedia => {
                let bytes = platform.fetch_media(cx, handle, max_bytes).await?;
                Ok(String::from_utf8_lossy(&bytes).into_owned().into())
            }
            _ => platform.fetch_media(cx, handle, max_bytes).await,
        }
    }
}

#[async_trait]
impl Probe for Faulty {
    async fn probe(&self, cx: &ChannelContext) -> Result<String> {
        match self.0.fault {
            Fault::ProbesNothing => Ok("somebody".to_owned()),
            Fault::NamesNobody => self.0.platform.probe(cx).await.map(|_| String::new()),
            _ => self.0.platform.probe(cx).await,
        }
    }
}

/// Passes events on, with a fault.
struct Door {
    faulty: Faulty,
    inner: Ingress,
}

#[async_trait]
impl Accept for Door {
    async fn accept(&self, mut batch: Vec<Inbound>) -> Result<Vec<Accepted>> {
        let taken = vec![Accepted::New; batch.len()];
        match self.faulty.0.fault {
            Fault::ReversesOrder => batch.reverse(),
            Fault::LosesAnEvent => {
                batch.pop();
                self.inner.accept(batch).await?;
                return Ok(taken);
            }
            Fault::AcknowledgesEarly => {
                let inner = self.inner.clone();
                tokio::spawn(async move { inner.accept(batch).await });
                return Ok(taken);
            }
            Fault::AcknowledgesFailures => {
                return Ok(self.inner.accept(batch).await.unwrap_or(taken));
            }
            Fault::NewKeyOnRedelivery => {
                for inbound in &mut batch {
                    inbound.key = EventKey::event(&self.faulty.count().to_string());
                }
            }
            Fault::OneKeyForEqualTexts => {
                for inbound in &mut batch {
                    inbound.key = EventKey::event(&plain_text(&inbound.content));
                }
            }
            Fault::PressGivesLabel => {
                for inbound in &mut batch {
                    if let InboundKind::Button { token } = &mut inbound.kind {
                        "the label".clone_into(token);
                    }
                }
            }
            _ => {}
        }
        let answers = self.inner.accept(batch).await?;
        if answers.len() == taken.len() {
            Ok(answers)
        } else {
            Err(Error::new(ErrorKind::Internal, "an event got no answer"))
        }
    }
}
