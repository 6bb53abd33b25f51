//! Asking an agent from within the application.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::mpsc::UnboundedReceiver;

use super::{
    Answered, Hub, Plan,
    answers::{Found, find},
    door::{Admitted, accept_request},
    waiters::Told,
};
use crate::{
    access::Principal,
    error::{Error, ErrorKind, Result},
    event::{Event, EventKind, Next, Subscription},
    id::{
        AccountId, AgentId, Conversation, EventKey, MessageId, PeerId, SessionKey, TurnId, UserId,
    },
    message::{Content, Inbound, Sender},
    provider::{ResponseFormat, Usage},
    turn::Outcome,
};

/// The account under which the application itself asks.
pub const API_ACCOUNT: &str = "api:default";

/// A question of the application, to be sent.
#[must_use = "an ask is sent by `.await`ing `reply()` or `stream()`"]
pub struct Ask {
    pub(super) hub: Arc<Hub>,
    peer: PeerId,
    content: Vec<Content>,
    /// What is shown with it and is not the asker's own word.
    quoted: Vec<Content>,
    key: Option<EventKey>,
    principal: Option<Principal>,
    agent: Option<AgentId>,
    session: Option<SessionKey>,
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
    pub(super) fn new(hub: &Arc<Hub>, peer: PeerId, text: Content) -> Self {
        Self {
            hub: Arc::clone(hub),
            peer,
            content: vec![text],
            quoted: Vec::new(),
            key: None,
            principal: None,
            agent: None,
            session: None,
            attributes: BTreeMap::new(),
            format: None,
        }
    }

    /// Makes it the same ask of this peer when it is made again, also after a restart or for another
    /// agent: then it is answered once, and every asker gets that answer. Without a key each ask is new. What a command such as `/status`
    /// said is not kept for those who ask again.
    pub fn key(mut self, key: impl AsRef<str>) -> Self {
        self.key = Some(EventKey::event(key.as_ref()));
        self
    }

    /// Says in whose name it is asked. Say [`Principal::Owner`] only of what the owner themselves wrote.
    pub fn principal(mut self, principal: Principal) -> Self {
        self.principal = Some(principal);
        self
    }

    /// Says which agent answers; by default the bindings do. An ask for an agent that there is not is
    /// refused with [`ErrorKind::NotFound`].
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

    /// Asks in this session, whichever conversation it is of. What is answered goes there too.
    pub(crate) fn in_session(mut self, session: SessionKey) -> Self {
        self.agent = Some(session.agent().clone());
        self.session = Some(session);
        self
    }

    /// Shows this with it, which is not the asker's own word.
    #[cfg(feature = "server")]
    pub(crate) fn quoting(mut self, quoted: Vec<Content>) -> Self {
        self.quoted = quoted;
        self
    }

    /// Says this, in place of what it said.
    #[cfg(feature = "server")]
    pub(crate) fn saying(mut self, content: Vec<Content>) -> Self {
        self.content = content;
        self
    }

    /// Asks for an answer of this form, and takes what comes.
    #[cfg(feature = "server")]
    pub(crate) fn in_form(mut self, format: Option<ResponseFormat>) -> Self {
        self.format = format;
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
            quoted: self.quoted.clone(),
            key: self.key.clone(),
            principal: self.principal.clone(),
            agent: self.agent.clone(),
            session: self.session.clone(),
            attributes: self.attributes.clone(),
            format: self.format.clone(),
        }
    }

    /// Sends it and waits for the answer. Dropping the future does not cancel the turn: ask again with
    /// the same [`key`](Self::key) to get the answer.
    ///
    /// # Errors
    /// It was not accepted, or was given up before a turn took it, as the oldest messages of an overrun
    /// session are. A turn that took it, but failed, is a [`Reply`] whose outcome says so.
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
        Ok(ReplyStream { events, sent })
    }

    async fn sent(self) -> Result<SentAsk> {
        let hub = self.hub;
        let place = match self.session {
            Some(session) => session.conversation().clone(),
            None => Conversation::direct(API_ACCOUNT.parse()?, self.peer.as_str()),
        };
        let account: AccountId = place.account.clone();
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
        let agent = match self.agent {
            // Another one would have other tools and permissions.
            Some(agent) if !plan.agents.contains_key(&agent) => {
                return Err(no_such_agent(&agent, &plan));
            }
            Some(agent) => agent,
            None => plan.agent_at(&place, &self.attributes, hub.directory.route(&place)),
        };
        let session = SessionKey::new(agent, place.clone());
        let mut inbound =
            Inbound::message(key.clone(), place, Sender { id: user, name: None }, self.content);
        inbound.message = Some(MessageId::new(key.as_str()));
        inbound.quoted = self.quoted;
        inbound.attributes = self.attributes;
        let told = hub.waiters.wait(&session, &key);
        let admitted =
            accept_request(&hub, session.clone(), principal, inbound, self.format).await?;
        let (session, told, unsure) = match admitted {
            Admitted::Added => (session, told, false),
            Admitted::Known(asked) => {
                let told = hub.waiters.wait(&asked, &key);
                (asked, told, true)
            }
            Admitted::Refused(why) => {
                let why = format!("the ask was refused: {why:?}");
                return Err(Error::new(ErrorKind::Denied, why));
            }
        };
        Ok(SentAsk { hub, session, key, told, unsure, state: State::Pending })
    }
}

fn no_such_agent(agent: &AgentId, plan: &Plan) -> Error {
    let known: Vec<&str> = plan.agents.keys().map(AgentId::as_str).collect();
    let known = known.join(", ");
    Error::new(ErrorKind::NotFound, format!("there is no agent {agent}; the agents are {known}"))
}

/// An ask that was accepted.
struct SentAsk {
    hub: Arc<Hub>,
    session: SessionKey,
    key: EventKey,
    told: UnboundedReceiver<Told>,
    /// True while what is stored must be looked at: what is told may not be all.
    unsure: bool,
    state: State,
}

/// Where an ask stands.
enum State {
    Pending,
    Begun(TurnId),
    Over(Result<Answered>),
}

impl SentAsk {
    async fn wait(mut self) -> Result<Reply> {
        loop {
            match self.state {
                State::Over(answered) => {
                    return answered.map(|answered| reply(self.session, answered));
                }
                _ => self.progress().await,
            }
        }
    }

    /// Waits for news. Cancel safe.
    async fn progress(&mut self) {
        if self.unsure {
            let found = find(&self.hub, &self.session, &self.key).await;
            self.unsure = false;
            self.state = match found {
                Ok(Found::Pending) => State::Pending,
                Ok(Found::Begun(turn)) => State::Begun(turn),
                Ok(Found::Answered(answered)) => State::Over(Ok(answered)),
                Ok(Found::Dead(why)) => State::Over(Err(given_up(&why))),
                Ok(Found::Unknown) => State::Over(Err(not_kept(&self.key))),
                Err(error) => State::Over(Err(error)),
            };
            return;
        }
        let stopping = self.hub.stopping.clone();
        let told = tokio::select! {
            biased;
            told = self.told.recv() => told,
            () = stopping.cancelled() => {
                self.state = State::Over(Err(stopped()));
                return;
            }
        };
        match told {
            Some(told) => self.hear(told),
            None => {
                // The session's run began again; what it had done is stored.
                self.told = self.hub.waiters.wait(&self.session, &self.key);
                self.unsure = true;
            }
        }
    }

    fn hear(&mut self, told: Told) {
        self.state = match told {
            Told::Begun(turn) => State::Begun(turn),
            Told::Answered(answered) => State::Over(Ok(answered)),
            Told::Lost(kind, why) => State::Over(Err(Error::new(kind, why))),
        };
    }

    /// Hears what was told until now.
    fn catch_up(&mut self) {
        while let Ok(told) = self.told.try_recv() {
            self.hear(told);
        }
    }

    /// The turn that works on it, or did.
    fn turn(&self) -> Option<TurnId> {
        match &self.state {
            State::Begun(turn) => Some(*turn),
            State::Over(Ok(answered)) => Some(answered.turn),
            _ => None,
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

fn given_up(why: &str) -> Error {
    Error::new(ErrorKind::Exhausted, format!("the ask was given up and is a dead letter: {why}"))
}

fn not_kept(key: &EventKey) -> Error {
    let key = key.as_str();
    Error::new(
        ErrorKind::NotFound,
        format!(
            "the ask {key} was taken before and its answer is not kept: it was a command, or was \
             erased; use another key"
        ),
    )
}

/// An answer while it grows.
pub struct ReplyStream {
    events: Subscription,
    sent: SentAsk,
}

impl ReplyStream {
    /// The next event of the turn that answers the ask, `None` once that is over or there will be none;
    /// then [`finish`](Self::finish) has the whole answer. Events that came too fast, or before the
    /// stream was asked for, are missed, the answer never is. Cancel safe.
    pub async fn next(&mut self) -> Option<Arc<Event>> {
        loop {
            let next = if self.sent.unsure {
                self.sent.progress().await;
                continue;
            } else if let State::Over(_) = self.sent.state {
                // All that happened in the turn was told before its end.
                self.events.try_next()
            } else {
                tokio::select! {
                    biased;
                    () = self.sent.progress() => continue,
                    next = self.events.next() => next,
                }
            };
            let event = match next? {
                Next::Event(event) => event,
                Next::Missed(_) => continue,
            };
            // A turn tells that it began before it tells anything else.
            self.sent.catch_up();
            if event.session != self.sent.session
                || event.turn.is_none()
                || event.turn != self.sent.turn()
            {
                continue;
            }
            if let EventKind::TurnEnded { .. } = event.kind {
                return None;
            }
            return Some(event);
        }
    }

    /// The whole answer; waits for it.
    ///
    /// # Errors
    /// As of [`Ask::reply`], or the gateway stopped first.
    pub async fn finish(self) -> Result<Reply> {
        self.sent.wait().await
    }
}
