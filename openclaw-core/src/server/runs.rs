//! What clients asked agents: by the key that makes a request the same when it comes again.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use crate::{
    gateway::Reply,
    id::{EventKey, SessionKey, TurnId},
    protocol::{DeviceId, WireError},
    time::Timestamp,
};

/// How many runs that are over are kept in mind, for those who ask what became of them.
const MAX_DONE: usize = 1_000;

/// A request to an agent. Its id is the client's idempotency key.
pub(super) struct Run {
    pub(super) id: String,
    pub(super) session: SessionKey,
    pub(super) key: EventKey,
    /// The device that asked, so that its revocation ends what it began.
    pub(super) device: Option<DeviceId>,
    pub(super) began: Timestamp,
    done: watch::Sender<Option<Arc<Done>>>,
}

/// How a run ended.
pub(super) struct Done {
    pub(super) at: Timestamp,
    pub(super) reply: Result<Reply, WireError>,
}

impl Run {
    /// Waits for its end. Cancel safe.
    pub(super) async fn done(&self) -> Option<Arc<Done>> {
        let mut done = self.done.subscribe();
        done.wait_for(Option::is_some).await.ok()?.clone()
    }
}

#[derive(Default)]
struct State {
    by_id: HashMap<String, Arc<Run>>,
    by_key: HashMap<(SessionKey, EventKey), Arc<Run>>,
    over: VecDeque<Arc<Run>>,
}

/// How long the last answer waits for the events before it.
const TOLD_WITHIN: Duration = Duration::from_millis(500);

#[derive(Default)]
pub(super) struct Runs {
    state: Mutex<State>,
    /// The last turn of each session whose end clients were told of.
    told: watch::Sender<HashMap<SessionKey, TurnId>>,
}

impl Runs {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run of this request; false if it was begun before, by this or another connection.
    pub(super) fn begin(
        &self,
        id: &str,
        session: &SessionKey,
        device: Option<DeviceId>,
        began: Timestamp,
    ) -> Result<(Arc<Run>, bool), WireError> {
        let mut state = self.state();
        if let Some(run) = state.by_id.get(id) {
            if run.session != *session {
                return Err(WireError::invalid("the idempotency key was used in another session"));
            }
            return Ok((Arc::clone(run), false));
        }
        let key = EventKey::event(id);
        let run = Arc::new(Run {
            id: id.to_owned(),
            session: session.clone(),
            key: key.clone(),
            device,
            began,
            done: watch::Sender::new(None),
        });
        state.by_id.insert(id.to_owned(), Arc::clone(&run));
        state.by_key.insert((session.clone(), key), Arc::clone(&run));
        Ok((run, true))
    }

    /// The run is over.
    pub(super) fn end(&self, run: &Arc<Run>, at: Timestamp, reply: Result<Reply, WireError>) {
        run.done.send_replace(Some(Arc::new(Done { at, reply })));
        let mut state = self.state();
        state.over.push_back(Arc::clone(run));
        if state.over.len() > MAX_DONE
            && let Some(old) = state.over.pop_front()
        {
            state.forget(&old);
        }
    }

    /// It was not accepted: it can come again.
    pub(super) fn forget(&self, run: &Run) {
        self.state().forget(run);
    }

    pub(super) fn get(&self, id: &str) -> Option<Arc<Run>> {
        self.state().by_id.get(id).cloned()
    }

    /// Clients were told of the end of this turn.
    pub(super) fn told(&self, session: &SessionKey, turn: TurnId) {
        self.told.send_modify(|told| {
            if told.len() >= MAX_DONE {
                told.clear();
            }
            told.insert(session.clone(), turn);
        });
    }

    /// Waits until clients were told of the end of this turn, so that its events come before its answer;
    /// not for ever, as one that ended before these doors opened is told of by nobody.
    pub(super) async fn until_told(&self, session: &SessionKey, turn: TurnId) {
        let mut told = self.told.subscribe();
        let ended = told.wait_for(|told| told.get(session).is_some_and(|last| *last >= turn));
        let _ = tokio::time::timeout(TOLD_WITHIN, ended).await;
    }

    /// The run that one of these events belongs to.
    pub(super) fn of(&self, session: &SessionKey, keys: &[EventKey]) -> Option<Arc<Run>> {
        let state = self.state();
        keys.iter().find_map(|key| state.by_key.get(&(session.clone(), key.clone())).cloned())
    }

    /// Those that are not over and that `choose` names.
    pub(super) fn open(&self, choose: impl Fn(&Run) -> bool) -> Vec<Arc<Run>> {
        let state = self.state();
        let open = state.by_id.values().filter(|run| run.done.borrow().is_none());
        open.filter(|run| choose(run)).cloned().collect()
    }
}

impl State {
    fn forget(&mut self, run: &Run) {
        self.by_id.remove(&run.id);
        self.by_key.remove(&(run.session.clone(), run.key.clone()));
    }
}
