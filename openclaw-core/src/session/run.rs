//! The loop: look at what came in, do what the turn says may be done, commit, again.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{OwnedMutexGuard, SemaphorePermit},
    task::JoinSet,
};

use super::{
    Input,
    commit::Pending,
    media::Files,
    model::Compacting,
    span::TurnSpan,
    tools::ToolEnd,
    waiting::{Waiting, put},
};
use crate::{
    access::Principal,
    agent::QueueMode,
    error::{Error, ErrorKind, Result},
    event::EventKind,
    gateway::{AgentPlan, Answered, COLLECT_ABOVE, Directory, Hub, LEASE_TTL, Plan, Wake},
    hook::{HookContext, filter_reply},
    id::{OutboundKey, Seq, SessionId, SessionKey},
    label::Label,
    message::{Content, Message},
    provider::ResponseFormat,
    store::{InputId, Lease, LeaseName},
    time::{Cancel, Timestamp},
    turn::{Answer, AskedCall, Cause, Entry, Outcome, Phase, Session, Step, decode},
};

/// From how many entries on after the last checkpoint another one is written.
const CHECKPOINT_EVERY: u64 = 256;
/// How many pending inputs are looked at together.
const INPUTS_AT_ONCE: usize = 512;

/// How a run came to rest.
pub(crate) struct Rest {
    /// When the session must be looked at again although nothing arrives.
    pub(crate) wake_at: Option<Timestamp>,
}

/// What went before a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Began {
    /// Nothing that concerns it.
    Fresh,
    /// Possibly a crash over what the session works on.
    AfterCrash,
    /// A failure of what everything rests on, for which no message is to blame.
    AfterFailure,
}

impl Began {
    /// What a run that comes after one that ended so is to know.
    pub(crate) fn after(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::Conflict | ErrorKind::Exhausted => Self::AfterFailure,
            _ if error.is_transient() => Self::AfterFailure,
            _ => Self::AfterCrash,
        }
    }
}

pub(super) struct Run<'a> {
    pub(super) hub: &'a Arc<Hub>,
    pub(super) key: &'a SessionKey,
    pub(super) wake: &'a Wake,
    pub(super) plan: Arc<Plan>,
    pub(super) agent: Arc<AgentPlan>,
    pub(super) session: Session,
    /// Cancelled when the open turn is to stop.
    pub(super) cancel: Cancel,
    pub(super) running: JoinSet<ToolEnd>,
    pub(super) lease: Lease,
    pub(super) committed: Seq,
    pub(super) pending: Pending,
    /// Messages that wait for their turn, oldest first.
    pub(super) waiting: VecDeque<Waiting>,
    /// The newest input that was put there.
    looked_to: InputId,
    /// Set when something may have come in since the inbox was last read.
    dirty: bool,
    /// Set when a control waits for the open turn to end.
    deferred: bool,
    /// What is to be summed up before anything else begins.
    pub(super) compacting: Option<Compacting>,
    /// Set when there was more in the inbox than is read at once.
    more: bool,
    /// True until there is a trace of the crash that this run comes after.
    recovering: bool,
    /// When it must be shown again that an answer is being written.
    pub(super) typing_until: Option<tokio::time::Instant>,
    /// The files that the model is shown.
    pub(super) files: Files,
    /// What of the memory is shown in a turn.
    pub(super) shown: Option<super::remember::Shown>,
    pub(super) span: TurnSpan,
    /// Held while this is the one turn that may be what crashes the process.
    pub(super) alone: Option<OwnedMutexGuard<()>>,
}

/// Works on a session until it has nothing to do.
pub(crate) async fn run(
    hub: &Arc<Hub>,
    key: &SessionKey,
    wake: &Wake,
    began: Began,
    loading: Option<SemaphorePermit<'_>>,
) -> Result<Rest> {
    hub.refresh().await?;
    let lease = hub.store.lease(&LeaseName::Session(key.clone()), &hub.node, LEASE_TTL).await?;
    let plan = hub.plan();
    let agent = plan.agent_of(key)?;
    let (session, revision) = load(hub, key).await?;
    let mut run = Run {
        hub,
        key,
        wake,
        plan,
        agent,
        committed: session.seq(),
        session,
        cancel: hub.stopping.child(),
        running: JoinSet::new(),
        lease,
        pending: Pending::default(),
        waiting: VecDeque::new(),
        looked_to: InputId::default(),
        dirty: true,
        deferred: false,
        compacting: None,
        more: false,
        recovering: began == Began::AfterCrash,
        typing_until: None,
        files: Files::default(),
        shown: None,
        span: TurnSpan::default(),
        alone: None,
    };
    if began == Began::AfterFailure && run.session.turn().is_some() {
        run.record(Entry::Suspended)?;
        run.record(Entry::Resumed)?;
        run.flush().await?;
    }
    drop(loading);
    let result = tokio::select! {
        biased;
        // First: what a shutdown cancels must not count as an answer.
        () = hub.stopping.cancelled() => {
            run.suspend().await;
            hub.store.release(&run.lease).await?;
            return Ok(Rest { wake_at: None });
        }
        result = run.work() => result,
    };
    if result.is_err() {
        // What still runs must end before the session is folded afresh.
        run.cancel.cancel();
        while run.running.join_next().await.is_some() {}
    }
    let rest = result?;
    let Run { session, lease, .. } = run;
    hub.cache_session(key.clone(), session, revision);
    hub.store.release(&lease).await?;
    Ok(rest)
}

/// The session as its log says, from memory if that is up to date.
async fn load(hub: &Hub, key: &SessionKey) -> Result<(Session, u64)> {
    let head = hub.store.head(key).await?;
    // Erased meanwhile, it must not know what the log no longer says.
    if let Some((session, revision)) = hub.cached_session(key)
        && session.seq() == head.seq
        && revision == head.revision
    {
        return Ok((session, revision));
    }
    let mut session = Session::new();
    let mut after = head.checkpoint;
    while after < head.seq {
        let rows = hub.store.read(key, after, 256).await?;
        let Some(last) = rows.last() else {
            return Err(Error::new(
                ErrorKind::InvalidData,
                format!("the log of {key} ends at {after}, its head says {}", head.seq),
            ));
        };
        after = last.seq;
        for row in &rows {
            match decode(row)? {
                Some(entry) => session.apply(row.seq, row.at, &entry)?,
                None => session.skip(row.seq)?,
            }
        }
    }
    Ok((session, head.revision))
}

impl Run<'_> {
    async fn work(&mut self) -> Result<Rest> {
        // Nobody worked on a turn that was parked when the process died.
        if self.recovering && !matches!(self.session.step(), Step::Idle | Step::Park) {
            self.resume().await?;
        }
        loop {
            self.look().await?;
            match self.session.step() {
                Step::Idle => {
                    if self.compacting.is_some() {
                        self.compact_now().await?;
                        continue;
                    }
                    if std::mem::take(&mut self.deferred) {
                        self.woken();
                        continue;
                    }
                    self.fetch_waiting().await;
                    if self.begin_next()? {
                        if self.recovering {
                            // A crash may come of this very message: leave a trace first.
                            self.resume().await?;
                        }
                        continue;
                    }
                    self.flush().await?;
                    if std::mem::take(&mut self.more) {
                        self.woken();
                    }
                    if !self.dirty {
                        return Ok(Rest { wake_at: self.session.wake_at() });
                    }
                }
                Step::CallModel => {
                    self.fetch_waiting().await;
                    self.join_waiting()?;
                    self.call_model().await?;
                }
                Step::Decide(calls) => self.decide(&calls)?,
                Step::Start(calls) => self.start(&calls).await?,
                Step::Recover(calls) => self.recover(&calls).await?,
                Step::Wait => self.wait().await?,
                Step::Park => {
                    self.fetch_waiting().await;
                    if self.unpark()? {
                        if self.recovering {
                            self.resume().await?;
                        }
                        continue;
                    }
                    self.flush().await?;
                    if !self.dirty {
                        return Ok(Rest { wake_at: self.session.wake_at() });
                    }
                }
                Step::End(outcome) => self.end(outcome).await?,
            }
        }
    }

    /// Leaves a durable trace that work on the turn begins again after a crash.
    ///
    /// Which of the turns that were worked on made the process crash cannot be known. After two crashes
    /// they are worked on one at a time, to the point where one is given up, so that a third crash
    /// counts for the guilty one alone.
    async fn resume(&mut self) -> Result<()> {
        if self.session.turn().is_some_and(|turn| turn.attempts() > 0) {
            self.alone = Some(Arc::clone(&self.hub.suspects).lock_owned().await);
        }
        self.record(Entry::Resumed)?;
        self.recovering = false;
        self.flush().await
    }

    /// Notes that the run ends by a shutdown, so that it does not count as a crash. If that cannot be
    /// written, it does.
    async fn suspend(&mut self) {
        // Running calls were told to stop and have their time to end. The results of those that come
        // to one are kept; the others are taken up by the next start.
        let in_doubt = !self.pending.is_empty() || self.committed != self.session.seq();
        while let Some(ended) = self.running.join_next().await {
            if let Ok(end) = ended
                && !in_doubt
                && self.is_final(&end)
                && let Err(error) = self.finished(end)
            {
                tracing::debug!(session = %self.key, error = ?error, "a result was not kept");
                return;
            }
        }
        if self.session.turn().is_none() || in_doubt {
            return;
        }
        let suspended = async {
            self.record(Entry::Suspended)?;
            self.flush().await
        };
        if let Err(error) = suspended.await {
            tracing::debug!(session = %self.key, error = ?error, "the shutdown could not be noted");
        }
    }

    /// Something waits for the open turn to end.
    pub(super) fn defer(&mut self) {
        self.deferred = true;
    }

    /// Something may have come in.
    pub(super) fn woken(&mut self) {
        self.dirty = true;
    }

    /// Reads on in the inbox if something may have come in, and does what controls say.
    pub(super) async fn look(&mut self) -> Result<()> {
        self.expire_asks()?;
        if !self.dirty {
            return Ok(());
        }
        self.dirty = false;
        // What is handled but not committed would be read again.
        if !self.pending.consumed.is_empty() || !self.pending.dead.is_empty() {
            self.flush().await?;
        }
        let enough = self.waiting.len() >= INPUTS_AT_ONCE;
        let after = if enough { InputId(u64::MAX) } else { self.looked_to };
        let rows = self.hub.store.inputs(self.key, after, INPUTS_AT_ONCE).await?;
        self.more = enough || rows.len() >= INPUTS_AT_ONCE;
        for row in rows {
            if !row.control {
                self.looked_to = row.id;
            }
            if self.session.turn().is_some_and(|turn| turn.inputs().contains(&row.id)) {
                continue;
            }
            match Input::decode(&row.payload) {
                Ok(Input::Control { command, principal, from }) => {
                    self.control(&row, command, &principal, &from)?;
                }
                Ok(input) => put(&mut self.waiting, row, input),
                Err(error) => {
                    tracing::error!(session = %self.key, error = ?error, "an input cannot be read");
                    self.pending.dead.push((row.id, error.to_string()));
                    self.pending.unreadable.push(row.key);
                }
            }
        }
        if self.agent.agent.queue == QueueMode::Interrupt
            && let Some(turn) = self.session.turn()
            && !turn.is_ending()
        {
            let by = turn.principal().clone();
            let replaced =
                self.waiting.iter().any(|one| one.principal() == Some(&by) && !one.is_passive());
            if replaced {
                self.record(Entry::CancelRequested { by, superseded: true })?;
                self.cancel.cancel();
            }
        }
        Ok(())
    }

    /// Takes the present plan, and forgets that something was to stop.
    pub(super) fn afresh(&mut self) -> Result<()> {
        self.plan = self.hub.plan();
        self.agent = self.plan.agent_of(self.key)?;
        self.cancel = self.hub.stopping.child();
        Ok(())
    }

    /// Begins the next turn, if something waits for one.
    fn begin_next(&mut self) -> Result<bool> {
        // A turn keeps the plan that it begins with.
        self.afresh()?;
        self.open()?;
        // What starts no turn by itself goes into the history with the next one.
        let passive_only = self.waiting.iter().all(Waiting::is_passive);
        if passive_only {
            while let Some(one) = self.waiting.pop_front() {
                self.record(Entry::Noted { message: one.message() })?;
                self.pending.consumed.extend(one.rows());
            }
            return Ok(false);
        }
        let mode = match self.agent.agent.queue {
            _ if self.waiting.len() > COLLECT_ABOVE => QueueMode::Collect,
            mode => mode,
        };
        let (mut messages, mut inputs) = (Vec::new(), Vec::new());
        let mut request: Option<Request> = None;
        while let Some(one) = self.waiting.front() {
            let belongs = match (&request, Request::of(one)) {
                (_, None) | (None, _) => true,
                (Some(request), Some(other)) => mode != QueueMode::Followup && *request == other,
            };
            if !belongs {
                break;
            }
            let Some(one) = self.waiting.pop_front() else { break };
            request = request.or_else(|| Request::of(&one));
            inputs.extend(one.rows());
            messages.push(one.message());
        }
        let Some(Request { principal, attributes, format }) = request else {
            return Err(Error::internal("a turn that nobody wants"));
        };
        self.record(Entry::Started {
            cause: Cause::Messages,
            principal,
            messages,
            inputs,
            limits: self.agent.agent.limits,
            attributes,
            format,
        })?;
        // It begins here.
        let _ = self.span();
        let keys = self.session.turn().map(|turn| turn.keys().to_vec()).unwrap_or_default();
        self.emit(EventKind::TurnStarted { keys });
        Ok(true)
    }

    /// Begins a turn that carries out, or reports, the owner's answer to a detached ask.
    pub(super) fn begin_answered(&mut self, ask: AskedCall, answer: Answer) -> Result<()> {
        let AskedCall { approval, principal, attributes, .. } = ask;
        self.cancel = self.hub.stopping.child();
        self.record(Entry::Started {
            cause: Cause::Approval { approval, answer },
            principal,
            messages: Vec::new(),
            inputs: Vec::new(),
            limits: self.agent.agent.limits,
            attributes,
            format: None,
        })?;
        self.emit(EventKind::TurnStarted { keys: Vec::new() });
        Ok(())
    }

    /// Begins the first history, if there is none.
    pub(super) fn open(&mut self) -> Result<()> {
        if self.session.id().is_none() { self.open_new() } else { Ok(()) }
    }

    /// Begins another history.
    pub(super) fn open_new(&mut self) -> Result<()> {
        let mut bytes = [0; 16];
        self.hub.sources.entropy.fill(&mut bytes)?;
        let nonce = crate::id::hex(&bytes, 16);
        // The history's name must not tell the nonce.
        let name = OutboundKey::digest(&format!("history\0{}\0{}", self.key, self.session.seq()));
        self.record(Entry::Opened { session: SessionId::new(name.as_str()), nonce })
    }

    /// The waiting messages that may join the turn now: of its principal, with the same values for tools
    /// and the same form of the answer.
    fn take_joining(&mut self) -> (Vec<Message>, Vec<InputId>) {
        let mut taken = (Vec::new(), Vec::new());
        let Some(turn) = self.session.turn() else { return taken };
        let request = Request {
            principal: turn.principal().clone(),
            attributes: turn.attributes().as_ref().clone(),
            format: turn.format().cloned(),
        };
        while let Some(one) = self.waiting.front() {
            if Request::of(one).is_some_and(|other| other != request) {
                break;
            }
            let Some(one) = self.waiting.pop_front() else { break };
            taken.0.push(one.message());
            taken.1.extend(one.rows());
        }
        taken
    }

    /// Before a model call: what was said meanwhile steers it.
    fn join_waiting(&mut self) -> Result<()> {
        if self.agent.agent.queue != QueueMode::Steer || self.waiting.len() > COLLECT_ABOVE {
            return Ok(());
        }
        let (messages, inputs) = self.take_joining();
        if messages.is_empty() { Ok(()) } else { self.record(Entry::Joined { messages, inputs }) }
    }

    /// While only people's answers are waited for, a message goes before: the asks are detached.
    fn unpark(&mut self) -> Result<bool> {
        let (messages, inputs) = self.take_joining();
        if messages.is_empty() && self.waiting.is_empty() {
            return Ok(false);
        }
        if self.session.turn().is_some_and(|turn| turn.holds_calls()) {
            self.record(Entry::Detached)?;
        }
        if messages.is_empty() {
            // Another request waits for this turn to end, and cannot wait for an answer.
            let turn = self.session.turn();
            let questions = turn.map(|turn| turn.calls_in(&Phase::AsksUser)).unwrap_or_default();
            for call in questions {
                let text = "Not answered yet: another request goes first.";
                self.finish(call, false, vec![Content::text(text)], &Label::system(), false)?;
            }
            return Ok(true);
        }
        self.record(Entry::Joined { messages, inputs })?;
        Ok(true)
    }

    /// Waits until a call ends, something comes in, or the turn's time is over.
    async fn wait(&mut self) -> Result<()> {
        self.flush().await?;
        let wake = self.wake;
        let time = self.time_left();
        tokio::select! {
            biased;
            ended = self.running.join_next(), if !self.hub.stopping.is_cancelled() => match ended {
                Some(Ok(end)) => self.finished(end)?,
                Some(Err(error)) => return Err(Error::internal(format!("a call's task failed: {error}"))),
                None => return Err(Error::internal("calls count as running, but none runs")),
            },
            () = wake.woken() => self.woken(),
            () = tokio::time::sleep(time) => self.time_out()?,
            () = sleep_until(self.typing_until) => self.show_typing(),
        }
        Ok(())
    }

    /// How long the open turn may still take.
    pub(super) fn time_left(&self) -> Duration {
        match (self.session.turn(), &self.compacting) {
            // A turn that is ending only waits for its calls, and those have deadlines of their own.
            (Some(turn), _) if !turn.is_ending() => turn.deadline().since(self.hub.now()),
            (None, Some(compacting)) => compacting.until.since(self.hub.now()),
            _ => Duration::from_secs(3600),
        }
    }

    pub(super) fn time_out(&mut self) -> Result<()> {
        match self.session.turn() {
            Some(turn) if turn.is_ending() => {}
            Some(_) => {
                self.cancel.cancel();
                self.record(Entry::TimedOut)?;
            }
            None => self.cancel.cancel(),
        }
        Ok(())
    }

    /// Ends the turn: its end, its reply and the inputs that it answers are one commit.
    async fn end(&mut self, outcome: Outcome) -> Result<()> {
        let turn = self.session.turn().ok_or_else(|| Error::internal("there is no turn to end"))?;
        let (id, usage, principal) = (turn.id(), *turn.usage(), turn.principal().clone());
        let (turn_keys, preview) = (turn.keys().to_vec(), turn.preview().cloned());
        let answers = self.answers();
        let inputs = turn.inputs().to_vec();
        let approvals: Vec<_> = self.session.asks();
        let reply = match &outcome {
            Outcome::Replied => {
                let text = turn.reply().unwrap_or_default().to_owned();
                let label = self.session.context();
                let cx = HookContext::new(self.key, &principal, &label);
                filter_reply(&self.plan.hooks, cx, text).await
            }
            other => other.notice(),
        };
        for open in approvals.into_iter().filter(|open| !open.detached) {
            self.write(Directory::close_approval(&open.ask.approval));
        }
        self.hub.delivery.grown(self.key.conversation());
        self.record(Entry::Ended { outcome: outcome.clone() })?;
        if let Some(text) = &reply {
            self.reply(text, preview, answers);
        }
        if outcome == Outcome::Poisoned {
            let reason = "work on it ended in a crash three times";
            self.pending.dead.extend(inputs.into_iter().map(|id| (id, reason.to_owned())));
            self.tell_owner_poisoned(id.0);
        } else {
            self.pending.consumed.extend(inputs);
        }
        if self.session.seq().0 - self.session.checkpoint().0 > CHECKPOINT_EVERY {
            let checkpoint = self.session.to_checkpoint()?;
            self.record(checkpoint)?;
        }
        self.recovering = false;
        self.flush().await?;
        self.end_span(&outcome, &usage);
        let ended = EventKind::TurnEnded { outcome: outcome.clone(), reply: reply.clone(), usage };
        // First: whoever hears that the turn is over has all of its events.
        self.hub.emit(self.key, Some(id), ended);
        let answered = Answered { turn: id, outcome, reply, usage };
        self.hub.waiters.answered(self.key, turn_keys.iter(), &answered);
        if self.plan.memory.is_some() {
            self.remember().await;
        }
        Ok(())
    }

    pub(super) fn emit(&self, kind: EventKind) {
        self.hub.emit(self.key, self.session.turn().map(|turn| turn.id()), kind);
    }
}

/// What messages that are answered together have in common.
#[derive(PartialEq)]
struct Request {
    principal: Principal,
    attributes: BTreeMap<String, String>,
    format: Option<ResponseFormat>,
}

impl Request {
    /// What an input wants; `None` if it goes along with whatever comes.
    fn of(one: &Waiting) -> Option<Self> {
        match &one.input {
            Input::Message { inbound, principal, format, .. } if !one.is_passive() => Some(Self {
                principal: principal.clone(),
                attributes: inbound.attributes.clone(),
                format: format.clone(),
            }),
            _ => None,
        }
    }
}

/// Completes at a moment; never without one.
pub(super) async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
