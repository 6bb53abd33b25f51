//! What happens in a gateway, as it happens: for user interfaces, logs and tests.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::broadcast;

use crate::{
    error::ErrorKind,
    id::{ApprovalId, CallId, EventKey, OutboundKey, SessionKey, TurnId},
    provider::Usage,
};

/// How many events a subscriber may fall behind before it misses some.
pub const EVENT_BACKLOG: usize = 1024;

/// Something happened in a session. Events are hints for people and screens: they are not durable,
/// and a slow subscriber misses some. What must be known is in the session's log.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Event {
    /// Where.
    pub session: SessionKey,
    /// In which turn, if in one.
    pub turn: Option<TurnId>,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// A turn began.
    TurnStarted {
        /// The events that it works on; none if it carries out an answer to an ask.
        keys: Vec<EventKey>,
    },
    /// The model wrote more of its reply.
    TextDelta {
        /// What it wrote.
        text: String,
    },
    /// What was written since the turn began or the last tool call is void: the model call is made
    /// again.
    TextReset,
    /// A tool call began.
    ToolStarted {
        /// Which call.
        call: CallId,
        /// The tool's name.
        tool: String,
    },
    /// A tool reported how far it is.
    ToolProgress {
        /// Which call.
        call: CallId,
        /// The tool's words.
        text: String,
    },
    /// A tool call ended.
    ToolFinished {
        /// Which call.
        call: CallId,
        /// The tool's name.
        tool: String,
        /// False if it failed or was refused.
        ok: bool,
    },
    /// The owner's leave is asked.
    ApprovalAsked {
        /// What to answer to.
        approval: ApprovalId,
        /// The tool's name.
        tool: String,
    },
    /// The turn is over and what it said is durable.
    TurnEnded {
        /// How.
        outcome: crate::turn::Outcome,
        /// The reply, if there is one.
        reply: Option<String>,
        /// What the turn used.
        usage: Usage,
    },
    /// A message was delivered.
    Delivered {
        /// Its key.
        key: OutboundKey,
    },
    /// A message could not be delivered, or nobody knows whether it was.
    DeliveryFailed {
        /// Its key.
        key: OutboundKey,
        /// Why.
        error: ErrorKind,
    },
}

/// The gateway's stream of events. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Events(broadcast::Sender<Arc<Event>>);

impl Default for Events {
    fn default() -> Self {
        Self(broadcast::Sender::new(EVENT_BACKLOG))
    }
}

impl Events {
    pub(crate) fn emit(&self, session: &SessionKey, turn: Option<TurnId>, kind: EventKind) {
        if self.0.receiver_count() > 0 {
            // Fails only when the last subscriber has just gone.
            let _ = self.0.send(Arc::new(Event { session: session.clone(), turn, kind }));
        }
    }

    /// Subscribes to what happens from now on.
    pub fn subscribe(&self) -> Subscription {
        Subscription(self.0.subscribe())
    }
}

/// A subscriber's end of [`Events`].
#[derive(Debug)]
pub struct Subscription(broadcast::Receiver<Arc<Event>>);

/// The next event, or the news that some were missed.
#[derive(Clone, Debug)]
pub enum Next {
    /// The next event.
    Event(Arc<Event>),
    /// This many events came faster than they were taken, and are lost to this subscriber.
    Missed(u64),
}

impl Subscription {
    /// Waits for the next event; `None` once the gateway is gone. Cancel safe.
    pub async fn next(&mut self) -> Option<Next> {
        match self.0.recv().await {
            Ok(event) => Some(Next::Event(event)),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Next::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// The next event, if there is one already.
    pub(crate) fn try_next(&mut self) -> Option<Next> {
        match self.0.try_recv() {
            Ok(event) => Some(Next::Event(event)),
            Err(broadcast::error::TryRecvError::Lagged(missed)) => Some(Next::Missed(missed)),
            Err(_) => None,
        }
    }
}
