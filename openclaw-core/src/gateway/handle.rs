//! The application's ends of a gateway.

use std::{sync::Arc, time::Duration};

use super::{
    Ask,
    directory::{Directory, PairingRequest},
    door::accept_request,
    hub::Hub,
};
use crate::{
    access::Principal,
    error::{Error, ErrorKind, Result},
    event::{Events, Subscription},
    fault::Act,
    id::{AccountId, AgentId, ApprovalId, EventKey, PeerId, Seq, SessionKey, UserId},
    message::{Content, Inbound, Sender},
    session::LogView,
    store::{DeadLetter, OutboundRow, SessionHead},
    time::Timestamp,
    turn::{AskedCall, Session, decode},
};

/// How long [`Gateway::shutdown`] lets running turns go on.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

/// A running gateway. Dropping it stops all work at once, as a crash would: nothing that was accepted
/// is lost, and the next start takes it up. [`shutdown`](Self::shutdown) is kinder.
#[must_use = "a gateway stops when it is dropped"]
pub struct Gateway {
    pub(crate) hub: Arc<Hub>,
}

/// A part of the application that talks to a gateway. Cheap to clone; does not keep the gateway alive
/// beyond [`Gateway`]'s end.
#[derive(Clone)]
pub struct Handle {
    pub(crate) hub: Arc<Hub>,
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
        self.hub.boxes.reap().await;
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
        Ask::new(&self.hub, peer.into(), text.into())
    }

    /// What happens from now on.
    pub fn subscribe(&self) -> Subscription {
        self.hub.events.subscribe()
    }

    /// The stream of events, to be subscribed to later.
    pub fn events(&self) -> Events {
        self.hub.events.clone()
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

    /// Erases what was said in a session: its history ends, as by `/new`, and of all entries before only their
    /// envelopes stay in the log. What is still to be sent is sent. Returns false if nothing was ever said there. A
    /// [memory](crate::memory) that took it in keeps it until it is told to forget.
    ///
    /// May be called again after a crash or an error, as often as one likes. Not cancel safe: the history may have
    /// ended and its entries still be there.
    ///
    /// # Errors
    /// The store failed, or the gateway shuts down.
    pub async fn erase(&self, session: &SessionKey) -> Result<bool> {
        let store = self.hub.store.as_ref();
        if store.head(session).await?.seq == Seq::ZERO {
            return Ok(false);
        }
        self.renew(session).await?;
        let head = store.head(session).await?;
        // The new history begins after the checkpoint; all before it goes.
        let erased = store.erase(session, Seq::ZERO.next(), head.checkpoint);
        self.hub.faults.around(Act::Erase, erased).await?;
        Ok(true)
    }

    /// Ends a session's history, and what is done in it.
    ///
    /// # Errors
    /// The store failed, or the gateway shuts down.
    pub(crate) async fn renew(&self, session: &SessionKey) -> Result<()> {
        self.tell(session, "/new").await.map(drop)
    }

    /// Makes a summary of what was said in a session but for the last of it. What people are told of it.
    ///
    /// # Errors
    /// The store failed, or the gateway shuts down.
    #[cfg(feature = "server")]
    pub(crate) async fn compact(&self, session: &SessionKey) -> Result<String> {
        self.tell(session, "/compact").await
    }

    /// Says a command in a session in the owner's name; what came of it.
    async fn tell(&self, session: &SessionKey, command: &str) -> Result<String> {
        let ask = self.ask(session.conversation().peer.clone(), command);
        let reply = ask.in_session(session.clone()).principal(Principal::Owner).reply().await?;
        Ok(reply.text)
    }

    /// Inputs that were given up, newest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>> {
        self.hub.store.dead_letters(limit).await
    }

    /// Messages that were given up, or of which nobody knows whether they were sent; newest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn undelivered(&self, limit: usize) -> Result<Vec<OutboundRow>> {
        self.hub.store.undelivered(limit).await
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

    /// The asks of all sessions that wait for an answer.
    ///
    /// # Errors
    /// The store failed, or the log of a session that asks cannot be read.
    pub async fn open_approvals(&self) -> Result<Vec<Approval>> {
        self.hub.refresh().await?;
        let mut open = Vec::new();
        for session in self.hub.directory.asking() {
            open.extend(self.approvals(&session).await?);
        }
        Ok(open)
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

impl Handle {
    /// Wall-clock time, as the gateway has it.
    pub fn now(&self) -> Timestamp {
        self.hub.now()
    }
}
