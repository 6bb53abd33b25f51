//! The application's ends of a gateway.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    directory::{Directory, PairingRequest},
    door::accept_request,
    hub::{Answered, Hub},
};
use crate::{
    access::Principal,
    channel::Accepted,
    error::{Error, ErrorKind, Result},
    event::{Event, EventKind, Events, Next, Subscription},
    id::{
        AccountId, AgentId, ApprovalId, Conversation, EventKey, MessageId, PeerId, Seq, SessionKey,
        TurnId, UserId,
    },
    message::{Content, Inbound, Sender},
    provider::{ResponseFormat, Usage},
    session::LogView,
    store::{DeadLetter, SessionHead},
    time::Timestamp,
    turn::{AskedCall, Entry, Outcome, Session, decode},
};

/// The account under which the application itself asks.
pub const API_ACCOUNT: &str = "api:default";
/// How long [`Gateway::shutdown`] lets running turns go on.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

/// A running gateway. Dropping it stops all work at once, as a crash would: nothing that was accepted
/// is lost, and the next start takes it up. [`shutdown`](Self::shutdown) is kinder.
#[must_use = "a gateway stops when it is dropped"]
pub struct Gateway {
    pub(super) hub: Arc<Hub>,
}

/// A part of the application that talks to a gateway. Cheap to clone; does not keep the gateway alive
/// beyond [`Gateway`]'s end.
#[derive(Clone)]
pub struct Handle {
    pub(super) hub: Arc<Hub>,
}

impl Gateway {
    /// Begins to compose a gateway.
    pub fn builder() -> super::GatewayBuilder {
        super::GatewayBuilder::new()
    }

    /// An end for other parts of the application.
    pub fn handle(&self) -> Handle {
        Handle { hub: Arc::clone(&self.hub) }
    }

    /// Waits until every channel that can end has ended, as a terminal whose input is closed, and no
    /// session is at work; or until the gateway is shut down.
    pub async fn idle(&self) {
        self.hub.until_idle().await;
    }

    /// Accepts nothing more, lets running turns and deliveries go on for [`SHUTDOWN_GRACE`], then stops
    /// them. What is not done then is taken up by the next start.
    ///
    /// # Errors
    /// None at present; what could not be done is in the store.
    pub async fn shutdown(self) -> Result<()> {
        self.shutdown_within(SHUTDOWN_GRACE).await
    }

    /// As [`shutdown`](Self::shutdown), with another grace time.
    ///
    /// # Errors
    /// See [`shutdown`](Self::shutdown).
    pub async fn shutdown_within(self, grace: Duration) -> Result<()> {
        self.hub.draining.cancel();
        // Whether all came to rest or not, what remains is stopped now.
        let _ = tokio::time::timeout(grace, self.hub.until_idle()).await;
        self.hub.stopping.cancel();
        self.hub.tasks.close();
        let _ = tokio::time::timeout(Duration::from_secs(5), self.hub.tasks.wait()).await;
        Ok(())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.hub.draining.cancel();
        self.hub.stopping.cancel();
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gateway")
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handle")
    }
}

/// An ask that waits for the owner's answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Approval {
    /// The session that asks.
    pub session: SessionKey,
    /// The ask, with the whole call.
    pub ask: AskedCall,
}

impl Handle {
    /// Asks the agent something, in the conversation with `peer` on the account `api:default`. The
    /// same `peer` is the same conversation, also after a restart.
    ///
    /// The asker counts as an unknown peer unless [`Ask::principal`] says otherwise.
    pub fn ask(&self, peer: impl Into<PeerId>, text: impl Into<Content>) -> Ask {
        Ask {
            hub: Arc::clone(&self.hub),
            peer: peer.into(),
            content: vec![text.into()],
            key: None,
            principal: None,
            agent: None,
            attributes: BTreeMap::new(),
            format: None,
        }
    }

    /// What happens from now on.
    pub fn subscribe(&self) -> Subscription {
        self.hub.events.subscribe()
    }

    /// The stream of events, to be subscribed to later.
    pub fn events(&self) -> Events {
        self.hub.events.clone()
    }

    /// Passes a webhook's request to the channel of `account`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such account, or it takes no webhooks.
    pub async fn webhook(
        &self,
        account: &AccountId,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>> {
        let plan = self.hub.plan();
        let channel = plan.channels.get(account);
        let webhook = channel.and_then(|channel| channel.extras().webhook).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("{account} is no account that takes webhooks"))
        })?;
        Ok(webhook.handle(&self.hub.channel_context(account), request).await)
    }

    /// The sessions that exist, in order of their keys, from after the given one.
    ///
    /// # Errors
    /// The store failed.
    pub async fn sessions(
        &self,
        after: Option<&SessionKey>,
        limit: usize,
    ) -> Result<Vec<(SessionKey, SessionHead)>> {
        self.hub.store.sessions(after, limit).await
    }

    /// A session's log from after `after`, for debugging.
    ///
    /// # Errors
    /// The store failed.
    pub async fn log(&self, session: &SessionKey, after: Seq, limit: usize) -> Result<LogView> {
        LogView::read(self.hub.store.as_ref(), session, after, limit).await
    }

    /// Inputs that were given up, newest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>> {
        self.hub.store.dead_letters(limit).await
    }

    /// Who waits to be let in.
    pub fn pairings(&self) -> Vec<PairingRequest> {
        self.hub.directory.pairings(self.hub.now())
    }

    /// Lets in whoever was given `code`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such code or its time is over.
    pub async fn approve_pairing(&self, code: &str) -> Result<PairingRequest> {
        let found = self.hub.directory.approve_pairing(code, self.hub.now())?;
        let (request, records) = found.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "there is no such pairing code, or its time is over")
        })?;
        let key = crate::id::OutboundKey::digest(&format!("paired\0{}\0{code}", request.account));
        let text = Content::text("You are let in. Write to me whenever you like.");
        let row = self.hub.outbound(&request.conversation, key, None, text);
        self.hub.write(records, vec![row]).await?;
        Ok(request)
    }

    /// Takes somebody's leave to write back.
    ///
    /// # Errors
    /// The store failed.
    pub async fn unpair(&self, account: &AccountId, user: &UserId) -> Result<()> {
        self.hub.write(vec![Directory::unpair(account, user)], Vec::new()).await
    }

    /// The asks of a session that wait for an answer.
    ///
    /// # Errors
    /// The store failed, or the session's log cannot be read.
    pub async fn approvals(&self, session: &SessionKey) -> Result<Vec<Approval>> {
        let folded = fold(&self.hub, session).await?;
        let approval =
            |open: crate::turn::OpenAsk| Approval { session: session.clone(), ask: open.ask };
        Ok(folded.asks().into_iter().map(approval).collect())
    }

    /// Answers an ask in the owner's name: the application vouches that it was the owner.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if it is not open.
    pub async fn answer(&self, approval: &ApprovalId, allow: bool) -> Result<()> {
        self.hub.refresh().await?;
        let asking = self.hub.directory.session_of(self.hub.store.as_ref(), approval).await?;
        let session = asking.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("there is no open approval {approval}"))
        })?;
        let word = if allow { "yes" } else { "no" };
        let inbound = Inbound::message(
            EventKey::event(&format!("answer:{approval}:{word}")),
            session.conversation().clone(),
            Sender { id: "owner".into(), name: None },
            [format!("/approve {approval} {word}")],
        );
        accept_request(&self.hub, session, Principal::Owner, inbound, None).await.map(|_| ())
    }

    /// Whether new work is accepted.
    pub fn is_ready(&self) -> bool {
        !self.hub.draining.is_cancelled()
    }

    /// Accepts nothing more; running turns and deliveries go on. [`Gateway::shutdown`] ends them.
    pub fn drain(&self) {
        self.hub.draining.cancel();
    }

    /// The names of the agents.
    pub fn agents(&self) -> Vec<AgentId> {
        self.hub.plan().agents.keys().cloned().collect()
    }
}

/// The session as its log says.
async fn fold(hub: &Hub, key: &SessionKey) -> Result<Session> {
    let head = hub.store.head(key).await?;
    let mut session = Session::new();
    for row in hub.store.read(key, head.checkpoint, usize::MAX).await? {
        match decode(&row)? {
            Some(entry) => session.apply(row.seq, row.at, &entry)?,
            None => session.skip(row.seq)?,
        }
    }
    Ok(session)
}

/// A question of the application, to be sent.
#[must_use = "an ask is sent by `.await`ing `reply()` or `stream()`"]
pub struct Ask {
    pub(super) hub: Arc<Hub>,
    peer: PeerId,
    content: Vec<Content>,
    key: Option<EventKey>,
    principal: Option<Principal>,
    agent: Option<AgentId>,
    attributes: BTreeMap<String, String>,
    pub(super) format: Option<ResponseFormat>,
}

/// An answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Reply {
    /// The text, as it would have been sent; empty if a hook withheld it.
    pub text: String,
    /// How the turn ended.
    pub outcome: Outcome,
    /// What the turn used.
    pub usage: Usage,
    /// Where it was answered.
    pub session: SessionKey,
    /// In which turn.
    pub turn: TurnId,
}

impl Ask {
    /// Makes it the same ask when it is made again, also after a restart: then it is answered once, and
    /// every asker gets that answer. Without a key each ask is new.
    pub fn key(mut self, key: impl AsRef<str>) -> Self {
        self.key = Some(EventKey::event(key.as_ref()));
        self
    }

    /// Says in whose name it is asked. Say [`Principal::Owner`] only of what the owner themselves wrote.
    pub fn principal(mut self, principal: Principal) -> Self {
        self.principal = Some(principal);
        self
    }

    /// Says which agent answers; by default the bindings do.
    pub fn agent(mut self, agent: impl Into<AgentId>) -> Self {
        self.agent = Some(agent.into());
        self
    }

    /// Adds a value for tools, read by [`ToolContext::attribute`](crate::tool::ToolContext::attribute).
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.insert(name.into(), value.into());
        self
    }

    /// Adds more content, such as a picture.
    pub fn content(mut self, content: impl Into<Content>) -> Self {
        self.content.push(content.into());
        self
    }

    pub(super) fn retold(mut self, text: String, key: EventKey) -> Self {
        self.content = vec![Content::text(text)];
        self.key = Some(key);
        self
    }

    pub(super) fn copy(&self) -> Self {
        Self {
            hub: Arc::clone(&self.hub),
            peer: self.peer.clone(),
            content: self.content.clone(),
            key: self.key.clone(),
            principal: self.principal.clone(),
            agent: self.agent.clone(),
            attributes: self.attributes.clone(),
            format: self.format.clone(),
        }
    }

    /// Sends it and waits for the answer. Dropping the future does not cancel the turn: ask again with
    /// the same [`key`](Self::key) to get the answer.
    ///
    /// # Errors
    /// It was not accepted. A turn that was, but failed, is a [`Reply`] whose outcome says so.
    pub async fn reply(self) -> Result<Reply> {
        self.sent().await?.wait().await
    }

    /// Sends it; the answer is read while it grows.
    ///
    /// # Errors
    /// It was not accepted.
    pub async fn stream(self) -> Result<ReplyStream> {
        let events = self.hub.events.subscribe();
        let sent = self.sent().await?;
        Ok(ReplyStream { events, sent: Some(sent), turn: None })
    }

    async fn sent(self) -> Result<SentAsk> {
        let hub = self.hub;
        let account: AccountId = API_ACCOUNT.parse()?;
        let place = Conversation::direct(account.clone(), self.peer.as_str());
        let key = match self.key {
            Some(key) => key,
            None => {
                let mut bytes = [0; 16];
                hub.sources.entropy.fill(&mut bytes)?;
                EventKey::event(&crate::id::hex(&bytes, 16))
            }
        };
        let user = UserId::new(self.peer.as_str());
        let principal =
            self.principal.unwrap_or_else(|| Principal::Peer { account, user: user.clone() });
        let plan = hub.plan();
        let agent = plan.agent_at(
            &place,
            &self.attributes,
            self.agent.or_else(|| hub.directory.route(&place)),
        );
        let session = SessionKey::new(agent, place.clone());
        let mut inbound =
            Inbound::message(key.clone(), place, Sender { id: user, name: None }, self.content);
        inbound.message = Some(MessageId::new(key.as_str()));
        inbound.attributes = self.attributes;
        let waiter = hub.wait_for(&session, &key);
        match accept_request(&hub, session.clone(), principal, inbound, self.format).await? {
            Accepted::New => {}
            Accepted::Duplicate => hub.wake(&session),
            Accepted::Refused(why) => {
                return Err(Error::new(ErrorKind::Denied, format!("the ask was refused: {why:?}")));
            }
        }
        Ok(SentAsk { hub, session, key, waiter })
    }
}

/// An ask that was accepted.
struct SentAsk {
    hub: Arc<Hub>,
    session: SessionKey,
    key: EventKey,
    waiter: tokio::sync::oneshot::Receiver<Answered>,
}

impl SentAsk {
    async fn wait(mut self) -> Result<Reply> {
        loop {
            // It may have been answered before we began to wait.
            let found = answer_in_log(&self.hub, &self.session, &self.key).await?;
            let answered = match found {
                Some(answered) => Some(answered),
                None => tokio::select! {
                    biased;
                    answered = &mut self.waiter => answered.ok(),
                    () = self.hub.stopping.cancelled() => return Err(stopped()),
                },
            };
            match answered {
                Some(answered) => return Ok(self::reply(self.session, answered)),
                None if self.hub.stopping.is_cancelled() => return Err(stopped()),
                // The session's run began again; what it had done is in the log.
                None => self.waiter = self.hub.wait_for(&self.session, &self.key),
            }
        }
    }
}

fn reply(session: SessionKey, answered: Answered) -> Reply {
    let Answered { turn, outcome, reply, usage } = answered;
    Reply { text: reply.unwrap_or_default(), outcome, usage, session, turn }
}

fn stopped() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the gateway stopped; ask again with the same key for the answer",
    )
}

/// The answer to an event, if its turn has ended.
async fn answer_in_log(hub: &Hub, key: &SessionKey, event: &EventKey) -> Result<Option<Answered>> {
    let head = hub.store.head(key).await?;
    let mut session = Session::new();
    let mut turn: Option<TurnId> = None;
    let mut reply = None;
    let mut last = (Usage::default(), false);
    for row in hub.store.read(key, head.checkpoint, usize::MAX).await? {
        let Some(entry) = decode(&row)? else {
            session.skip(row.seq)?;
            continue;
        };
        if let (Entry::Ended { outcome }, true) = (&entry, last.1) {
            let (Some(turn), usage) = (turn, last.0) else { continue };
            let reply = outcome.notice().or_else(|| reply.take());
            return Ok(Some(Answered { turn, outcome: outcome.clone(), reply, usage }));
        }
        session.apply(row.seq, row.at, &entry)?;
        if let Some(open) = session.turn() {
            turn = Some(open.id());
            reply = open.reply().map(str::to_owned);
            last = (*open.usage(), open.keys().contains(event));
        }
    }
    Ok(None)
}

/// An answer while it grows.
pub struct ReplyStream {
    events: Subscription,
    sent: Option<SentAsk>,
    turn: Option<TurnId>,
}

impl ReplyStream {
    /// The next event of the session that was asked, `None` once the turn has ended; then
    /// [`finish`](Self::finish) has the whole answer. Events that came too fast are missed, the answer
    /// never is. Cancel safe.
    pub async fn next(&mut self) -> Option<Arc<Event>> {
        let session = self.sent.as_ref()?.session.clone();
        loop {
            let event = match self.events.next().await? {
                Next::Event(event) => event,
                Next::Missed(_) => continue,
            };
            if event.session != session {
                continue;
            }
            if let (EventKind::TurnEnded { .. }, Some(turn)) = (&event.kind, event.turn) {
                self.turn = Some(turn);
                return None;
            }
            return Some(event);
        }
    }

    /// The whole answer; waits for it.
    ///
    /// # Errors
    /// The gateway stopped first.
    pub async fn finish(mut self) -> Result<Reply> {
        match self.sent.take() {
            Some(sent) => sent.wait().await,
            None => Err(Error::internal("the stream was finished before")),
        }
    }
}

impl Handle {
    /// Wall-clock time, as the gateway has it.
    pub fn now(&self) -> Timestamp {
        self.hub.now()
    }
}
