//! Those who wait for the turn that answers an event.

use std::{collections::HashMap, sync::Mutex};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::hub::lock;
use crate::{
    error::ErrorKind,
    id::{EventKey, SessionKey, TurnId},
    provider::Usage,
    turn::Outcome,
};

/// What became of an event in its turn.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) turn: TurnId,
    pub(crate) outcome: Outcome,
    pub(crate) reply: Option<String>,
    pub(crate) usage: Usage,
}

/// What a waiter is told. A waiter whose channel closes must look for itself.
#[derive(Clone, Debug)]
pub(super) enum Told {
    /// This turn works on the event.
    Begun(TurnId),
    /// Its turn is over. Nothing follows.
    Answered(Answered),
    /// There will be no answer, and why. Nothing follows.
    Lost(ErrorKind, String),
}

type Senders = Vec<UnboundedSender<Told>>;

/// The waiters of all sessions.
#[derive(Default)]
pub(crate) struct Waiters(Mutex<HashMap<SessionKey, HashMap<EventKey, Senders>>>);

impl Waiters {
    /// Waits for what becomes of an event. Whoever begins to wait before the event is accepted misses
    /// nothing.
    pub(super) fn wait(&self, session: &SessionKey, event: &EventKey) -> UnboundedReceiver<Told> {
        let (sender, receiver) = unbounded_channel();
        let mut all = lock(&self.0);
        let list = all.entry(session.clone()).or_default().entry(event.clone()).or_default();
        // Those who stopped waiting leave nothing behind.
        list.retain(|waiter| !waiter.is_closed());
        list.push(sender);
        receiver
    }

    pub(super) fn any(&self, session: &SessionKey) -> bool {
        lock(&self.0).contains_key(session)
    }

    /// A turn works on these events.
    pub(crate) fn begun<'a>(
        &self,
        session: &SessionKey,
        events: impl Iterator<Item = &'a EventKey>,
        turn: TurnId,
    ) {
        let all = lock(&self.0);
        let Some(waiting) = all.get(session) else { return };
        for waiter in events.filter_map(|event| waiting.get(event)).flatten() {
            // Whoever stopped waiting need not know.
            let _ = waiter.send(Told::Begun(turn));
        }
    }

    /// The turn that these events were worked on in is over.
    pub(crate) fn answered<'a>(
        &self,
        session: &SessionKey,
        events: impl Iterator<Item = &'a EventKey>,
        answer: &Answered,
    ) {
        for waiter in self.take(session, events) {
            // Whoever stopped waiting need not know.
            let _ = waiter.send(Told::Answered(answer.clone()));
        }
    }

    /// Has those who wait for these events look for themselves: they may have been given up.
    pub(crate) fn look_again_for<'a>(
        &self,
        session: &SessionKey,
        events: impl Iterator<Item = &'a EventKey>,
    ) {
        drop(self.take(session, events));
    }

    /// No event of the session gets an answer.
    pub(super) fn lost_all(&self, session: &SessionKey, kind: ErrorKind, why: &str) {
        let waiting = lock(&self.0).remove(session).unwrap_or_default();
        for waiter in waiting.into_values().flatten() {
            let _ = waiter.send(Told::Lost(kind, why.to_owned()));
        }
    }

    /// Has those who wait for a session look for themselves: what they wait for may have happened.
    pub(super) fn look_again(&self, session: &SessionKey) {
        lock(&self.0).remove(session);
    }

    fn take<'a>(
        &self,
        session: &SessionKey,
        events: impl Iterator<Item = &'a EventKey>,
    ) -> Senders {
        let mut all = lock(&self.0);
        let Some(waiting) = all.get_mut(session) else { return Senders::new() };
        let taken = events.filter_map(|event| waiting.remove(event)).flatten().collect();
        if waiting.is_empty() {
            all.remove(session);
        }
        taken
    }
}
