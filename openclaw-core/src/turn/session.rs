//! What the entries of a log add up to.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use sha2::{Digest as _, Sha256};

use super::{
    calls::{CallState, Phase},
    entry::{Answer, AskedCall, Cause, Entry, Outcome},
    open::{MAX_REPEATS, Repeats, Step, Turn, misfit},
    size::message_size,
};
use crate::{
    error::{Error, ErrorKind, Result},
    id::{ApprovalId, CallId, Seq, SessionId, TurnId},
    label::Label,
    message::{Call, Content, Message, Part},
    policy::{Task, Verdict, canonical},
    provider::Usage,
    store::InputId,
    time::Timestamp,
};

/// A session: its history, and the turn that is open.
#[derive(Clone, Debug, Default)]
pub struct Session {
    id: Option<SessionId>,
    nonce: String,
    seq: Seq,
    checkpoint: Seq,
    history: Vec<Arc<Message>>,
    history_bytes: usize,
    context: Option<Label>,
    turn: Option<Turn>,
    detached: BTreeMap<ApprovalId, AskedCall>,
    usage: Usage,
    turns: u64,
}

/// An ask that nobody answered yet.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenAsk {
    /// The ask.
    pub ask: AskedCall,
    /// True if its turn went on without it.
    pub detached: bool,
}

fn call_digest(call: &Call) -> [u8; 32] {
    let mut text = format!("{}\0", call.tool);
    canonical(&call.arguments, &mut text);
    Sha256::digest(text).into()
}

fn result_digest(parts: &[Part]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        // What has no JSON form cannot have been stored, so it cannot repeat either.
        hasher.update(serde_json::to_vec(&part.content).unwrap_or_default());
    }
    hasher.finalize().into()
}

impl Session {
    /// A session without a log.
    pub fn new() -> Self {
        Self::default()
    }

    /// The current history's name; `None` before the first entry.
    pub fn id(&self) -> Option<&SessionId> {
        self.id.as_ref()
    }

    /// The secret of the boundaries around untrusted text.
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// The last entry.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// The entry before the one that a fold can start at.
    pub fn checkpoint(&self) -> Seq {
        self.checkpoint
    }

    /// What was said, oldest first. Every call in it that is not of the open turn has a result.
    pub fn history(&self) -> &[Arc<Message>] {
        &self.history
    }

    /// About how much memory the history takes, in bytes.
    pub(crate) fn history_bytes(&self) -> usize {
        self.history_bytes
    }

    /// The join of the labels of all that the history ever held, since `/new`.
    pub fn context(&self) -> Label {
        self.context.clone().unwrap_or_else(Label::neutral)
    }

    /// Where in the history the open turn begins; its end if none is open. Once a part of the turn was
    /// summed up, that is behind the summary.
    pub fn turn_begins(&self) -> usize {
        self.turn.as_ref().map_or(self.history.len(), |turn| turn.first)
    }

    /// The open turn.
    pub fn turn(&self) -> Option<&Turn> {
        self.turn.as_ref()
    }

    /// What all turns used, since `/new`.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// How many turns ended, since `/new`.
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// The asks that wait for an answer.
    pub fn asks(&self) -> Vec<OpenAsk> {
        let turn = self.turn.iter().flat_map(|turn| &turn.asks);
        turn.map(|ask| OpenAsk { ask: ask.clone(), detached: false })
            .chain(self.detached.values().map(|ask| OpenAsk { ask: ask.clone(), detached: true }))
            .collect()
    }

    /// When the session must be looked at although nothing arrives: an ask expires. While a turn is open,
    /// one that an earlier turn went on without waits for its end.
    pub fn wake_at(&self) -> Option<Timestamp> {
        let expires = |ask: &AskedCall| ask.expires;
        match &self.turn {
            Some(turn) => turn.asks.iter().map(expires).min(),
            None => self.detached.values().map(expires).min(),
        }
    }

    /// What may be done now.
    pub fn step(&self) -> Step {
        self.turn.as_ref().map_or(Step::Idle, Turn::step)
    }

    /// An entry that can stand for all before it.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] while a turn is open, or before there is a history.
    pub fn to_checkpoint(&self) -> Result<Entry> {
        match (&self.id, &self.turn) {
            (Some(id), None) => Ok(Entry::Checkpoint {
                session: id.clone(),
                nonce: self.nonce.clone(),
                history: self.history.iter().map(|message| Message::clone(message)).collect(),
                context: self.context(),
                asks: self.detached.values().cloned().collect(),
                usage: self.usage,
                turns: self.turns,
            }),
            _ => Err(Error::new(ErrorKind::Conflict, "a checkpoint stands between two turns")),
        }
    }

    /// Passes over an entry whose payload was erased.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidData`] if it is not the next one.
    pub fn skip(&mut self, seq: Seq) -> Result<()> {
        self.advance(seq)
    }

    fn advance(&mut self, seq: Seq) -> Result<()> {
        let starts = self.id.is_none() && self.seq == Seq::ZERO;
        if seq != self.seq.next() && !starts {
            return Err(misfit(&format!("{seq} follows {}", self.seq)));
        }
        self.seq = seq;
        Ok(())
    }

    /// Adds the next entry.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidData`] if it does not fit what came before; the session must then be
    /// folded afresh.
    pub fn apply(&mut self, seq: Seq, at: Timestamp, entry: &Entry) -> Result<()> {
        if self.id.is_none() && !entry.is_checkpoint() {
            return Err(misfit("a log begins with `opened` or `checkpoint`"));
        }
        self.advance(seq)?;
        match entry {
            Entry::Opened { session, nonce } => {
                self.idle()?;
                // Asks of an earlier history are withdrawn with it.
                *self = Self {
                    id: Some(session.clone()),
                    nonce: nonce.clone(),
                    seq,
                    checkpoint: Seq(seq.0.saturating_sub(1)),
                    ..Self::default()
                };
            }
            Entry::Checkpoint { session, nonce, history, context, asks, usage, turns } => {
                self.idle()?;
                *self = Self {
                    id: Some(session.clone()),
                    nonce: nonce.clone(),
                    seq,
                    checkpoint: Seq(seq.0.saturating_sub(1)),
                    history: Vec::new(),
                    history_bytes: 0,
                    context: Some(context.clone()),
                    turn: None,
                    detached: asks.iter().map(|ask| (ask.approval.clone(), ask.clone())).collect(),
                    usage: *usage,
                    turns: *turns,
                };
                history.iter().for_each(|message| self.push(message.clone()));
            }
            Entry::Started { .. } => {
                self.idle()?;
                self.started(seq, at, entry);
            }
            Entry::Joined { messages, inputs } => self.joined(messages, inputs)?,
            Entry::Noted { message } => {
                self.idle()?;
                self.push(message.clone());
            }
            Entry::Resumed => {
                let turn = self.open()?;
                turn.attempts += 1;
                for call in &mut turn.calls {
                    if call.phase == Phase::Started {
                        call.phase = Phase::Interrupted;
                    }
                }
            }
            Entry::Suspended => self.open()?.attempts = 0,
            Entry::Replied { text, calls, label, usage, cut, state } => {
                self.replied(seq, text, calls, label, usage, *cut)?;
                if let Some(state) = state {
                    self.open()?.states.insert(seq, state.clone());
                }
            }
            Entry::ModelFailed { error, text } => {
                let turn = self.open()?;
                turn.ending = Some(Outcome::ModelFailed { error: *error, text: text.clone() });
            }
            Entry::Decided { decisions } => {
                for decision in decisions {
                    let turn = self.open()?;
                    turn.attempts = 0;
                    let state = turn.state_mut(decision.call)?;
                    state.effect = decision.effect;
                    match (&decision.verdict, &decision.ask) {
                        (Verdict::Allow, _) => state.phase = Phase::Allowed,
                        (Verdict::Ask { .. }, Some(ask)) => {
                            state.phase = Phase::Asked {
                                approval: ask.approval.clone(),
                                expires: ask.expires,
                            };
                            turn.asks.push(ask.clone());
                        }
                        (Verdict::Ask { reason }, None) | (Verdict::Deny { reason }, _) => {
                            let text = format!(
                                "Refused by policy ({}). Do not try it in another way; tell the user.",
                                reason.rule
                            );
                            self.finish(decision.call, true, vec![notice(text)])?;
                        }
                    }
                }
                self.park_clock(at);
            }
            Entry::Answered { approval, answer } => {
                self.answered(approval, answer)?;
                self.park_clock(at);
            }
            Entry::Previewed { key } => self.open()?.preview = Some(key.clone()),
            Entry::ToolStarted { call } => {
                let state = self.open()?.state_mut(*call)?;
                if let Phase::Granted { hash } = &state.phase {
                    state.leave = Some(hash.clone());
                }
                state.phase = Phase::Started;
            }
            Entry::ToolFinished { call, failed, parts, asks_user } => {
                if *asks_user {
                    self.open()?.state_mut(*call)?.phase = Phase::AsksUser;
                } else {
                    self.finish(*call, *failed, parts.clone())?;
                }
                self.open()?.attempts = 0;
                self.park_clock(at);
            }
            Entry::Detached => {
                self.detach()?;
                self.park_clock(at);
            }
            Entry::CancelRequested { superseded, .. } => {
                let turn = self.open()?;
                turn.ending =
                    Some(if *superseded { Outcome::Superseded } else { Outcome::Cancelled });
            }
            Entry::TimedOut => self.open()?.ending = Some(Outcome::TooLong),
            Entry::Compacted { dropped, kept, summary, usage } => {
                self.compacted(*dropped, kept, summary)?;
                self.used(usage);
            }
            Entry::Ended { outcome } => self.ended(outcome)?,
        }
        Ok(())
    }

    fn compacted(&mut self, dropped: usize, kept: &[usize], summary: &Part) -> Result<()> {
        let old = self.history.get(..dropped);
        let old = old.ok_or_else(|| misfit("more was dropped than there was"))?;
        let kept: Option<Vec<_>> = kept.iter().map(|&place| old.get(place).cloned()).collect();
        let kept = kept.ok_or_else(|| misfit("what was not dropped cannot be kept"))?;
        if let Some(turn) = &mut self.turn {
            // Behind the summary, and behind nothing else if a part of the turn was dropped.
            turn.first = turn.first.saturating_sub(dropped) + 1;
            // Signed thoughts hold for the very conversation that they came of.
            turn.states.clear();
        }
        let summary = Message::Note { parts: vec![summary.clone()] };
        self.context = Some(self.context().join(&summary.label()));
        self.history.splice(..dropped, std::iter::once(Arc::new(summary)).chain(kept));
        self.history_bytes = self.history.iter().map(|message| message_size(message)).sum();
        Ok(())
    }

    /// Counts what the model used.
    fn used(&mut self, usage: &Usage) {
        self.usage.add(usage);
        if let Some(turn) = &mut self.turn {
            turn.usage.add(usage);
            turn.unpriced |= usage.cost_micro_usd.is_none() && usage.total_tokens() > 0;
        }
    }

    fn idle(&self) -> Result<()> {
        if self.turn.is_some() { Err(misfit("a turn is open")) } else { Ok(()) }
    }

    fn open(&mut self) -> Result<&mut Turn> {
        self.turn.as_mut().ok_or_else(|| misfit("no turn is open"))
    }

    fn push(&mut self, mut message: Message) {
        let context = self.context().join(&message.label());
        message.share_sources(&context);
        self.context = Some(context);
        self.history_bytes += message_size(&message);
        self.history.push(Arc::new(message));
    }

    fn started(&mut self, seq: Seq, at: Timestamp, entry: &Entry) {
        let Entry::Started { cause, principal, messages, inputs, limits, attributes, format } =
            entry
        else {
            return;
        };
        let mut turn = Turn {
            id: TurnId(seq),
            principal: principal.clone(),
            started_at: at,
            limits: *limits,
            inputs: inputs.clone(),
            attributes: Arc::new(attributes.clone()),
            format: format.clone(),
            keys: Vec::new(),
            answers: None,
            task: Task::new(),
            calls: Vec::new(),
            asks: Vec::new(),
            steps: 0,
            usage: Usage::default(),
            unpriced: false,
            first: self.history.len(),
            attempts: 0,
            waited: Duration::ZERO,
            parked_since: None,
            ending: None,
            reply: None,
            preview: None,
            repeats: HashMap::new(),
            states: BTreeMap::new(),
        };
        turn.hear(messages);
        for message in messages {
            self.push(message.clone());
        }
        if let Cause::Approval { approval, answer } = cause
            && let Some(ask) = self.detached.remove(approval)
        {
            let said = match answer {
                Answer::Allowed { .. } => "was given; the call is made now",
                Answer::Refused { .. } => "was refused; the call is not made",
                Answer::Expired => "did not come in time; the call is not made",
            };
            let text =
                format!("The owner's leave {approval} for the call of {:?} {said}.", ask.call.tool);
            self.push(Message::Note { parts: vec![notice(text)] });
            if let Answer::Allowed { .. } = answer {
                let mut state = CallState::new(ask.call.clone());
                state.effect = ask.effect;
                state.phase = Phase::Granted { hash: ask.hash };
                state.alone = true;
                turn.calls.push(state);
            }
        }
        self.turn = Some(turn);
    }

    fn joined(&mut self, messages: &[Message], inputs: &[InputId]) -> Result<()> {
        let turn = self.open()?;
        let waiting: Vec<CallId> = turn.calls_in(&Phase::AsksUser);
        for call in waiting {
            self.finish(call, false, vec![notice("The user answers with the next message.")])?;
        }
        let turn = self.open()?;
        if turn.calls.iter().any(|call| call.phase != Phase::Finished) {
            return Err(misfit("a message cannot join while calls are open"));
        }
        turn.inputs.extend_from_slice(inputs);
        turn.attempts = 0;
        turn.calls.clear();
        turn.reply = None;
        turn.hear(messages);
        for message in messages {
            self.push(message.clone());
        }
        Ok(())
    }

    fn replied(
        &mut self,
        seq: Seq,
        text: &str,
        calls: &[(String, serde_json::Value)],
        label: &Label,
        usage: &Usage,
        cut: bool,
    ) -> Result<()> {
        self.used(usage);
        let turn = self.open()?;
        turn.steps += 1;
        turn.attempts = 0;
        turn.reply = Some(if cut { format!("{text} …") } else { text.to_owned() });
        let calls: Vec<Call> = calls
            .iter()
            .zip(0..)
            .map(|((tool, arguments), index)| Call {
                id: CallId { seq, index },
                tool: tool.clone(),
                arguments: arguments.clone(),
            })
            .collect();
        turn.calls = calls.iter().cloned().map(CallState::new).collect();
        let mut blocked = Vec::new();
        for call in &calls {
            let repeats = turn.repeats.entry(call_digest(call)).or_default();
            if repeats.same >= MAX_REPEATS {
                repeats.blocked += 1;
                blocked.push(call.id);
            }
        }
        self.push(Message::Assistant { text: text.to_owned(), calls, label: label.clone() });
        for call in blocked {
            self.close(call, true, vec![notice(
                "Not made: this same call had the same result several times. Do something else, or tell the user what stands in the way.",
            )])?;
        }
        Ok(())
    }

    /// Gives a call its result, and counts whether it is the same as last time.
    fn finish(&mut self, id: CallId, failed: bool, parts: Vec<Part>) -> Result<()> {
        let result = result_digest(&parts);
        let turn = self.open()?;
        let call = call_digest(&turn.state_mut(id)?.call);
        let repeats = turn.repeats.entry(call).or_default();
        let same = if repeats.result == result { repeats.same + 1 } else { 1 };
        *repeats = Repeats { result, same, blocked: 0 };
        self.close(id, failed, parts)
    }

    /// Gives a call its result.
    fn close(&mut self, id: CallId, failed: bool, parts: Vec<Part>) -> Result<()> {
        let turn = self.open()?;
        turn.asks.retain(|ask| ask.call.id != id);
        let state = turn.state_mut(id)?;
        if state.phase == Phase::Finished {
            return Err(misfit(&format!("{id} has a result already")));
        }
        state.phase = Phase::Finished;
        let alone = state.alone;
        self.push(if alone {
            Message::Note { parts }
        } else {
            Message::Tool { call: id, failed, parts }
        });
        Ok(())
    }

    fn answered(&mut self, approval: &ApprovalId, answer: &Answer) -> Result<()> {
        // A detached ask is answered by the turn that the answer starts, or withdrawn.
        if self.detached.contains_key(approval) && !matches!(answer, Answer::Allowed { .. }) {
            self.detached.remove(approval);
            return Ok(());
        }
        let turn = self.open()?;
        turn.attempts = 0;
        let Some(position) = turn.asks.iter().position(|ask| ask.approval == *approval) else {
            return Err(misfit(&format!("there is no open ask {approval}")));
        };
        let ask = turn.asks.remove(position);
        match answer {
            Answer::Allowed { .. } => {
                turn.state_mut(ask.call.id)?.phase = Phase::Granted { hash: ask.hash };
                Ok(())
            }
            Answer::Refused { .. } => self.finish(
                ask.call.id,
                true,
                vec![notice("The owner refused this call. Do not try it again.")],
            ),
            Answer::Expired => {
                self.finish(ask.call.id, true, vec![notice("Not approved in time.")])
            }
        }
    }

    fn detach(&mut self) -> Result<()> {
        let turn = self.open()?;
        let asks = std::mem::take(&mut turn.asks);
        let open: Vec<CallId> = turn
            .calls
            .iter()
            .filter(|call| !matches!(call.phase, Phase::Finished | Phase::AsksUser))
            .map(|call| call.call.id)
            .collect();
        for call in open {
            let text = match asks.iter().find(|ask| ask.call.id == call) {
                Some(ask) => format!(
                    "Waiting for approval {}. It is made once the owner gives leave; do not repeat it.",
                    ask.approval
                ),
                None => "Not made: it stood behind a call that waits for somebody. Ask for it again if it is still wanted.".to_owned(),
            };
            self.finish(call, true, vec![notice(text)])?;
        }
        self.detached.extend(asks.into_iter().map(|ask| (ask.approval.clone(), ask)));
        Ok(())
    }

    fn ended(&mut self, outcome: &Outcome) -> Result<()> {
        let open: Vec<(CallId, Phase)> = self
            .open()?
            .calls
            .iter()
            .filter(|call| call.phase != Phase::Finished)
            .map(|call| (call.call.id, call.phase.clone()))
            .collect();
        for (call, phase) in open {
            let text = match phase {
                Phase::Started | Phase::Interrupted => {
                    "The turn ended while this ran: its outcome is unknown."
                }
                _ => "Not made: the turn ended first.",
            };
            self.finish(call, true, vec![notice(text)])?;
        }
        if let Some(text) = outcome.notice() {
            self.push(Message::Assistant { text, calls: Vec::new(), label: Label::system() });
        }
        self.turn = None;
        self.turns += 1;
        Ok(())
    }

    /// Starts or stops counting the time that the turn waits for people.
    fn park_clock(&mut self, at: Timestamp) {
        let Some(turn) = &mut self.turn else { return };
        let parked = turn.step() == Step::Park;
        match (parked, turn.parked_since) {
            (true, None) => turn.parked_since = Some(at),
            (false, Some(since)) => {
                turn.waited += at.since(since);
                turn.parked_since = None;
            }
            _ => {}
        }
    }
}

fn notice(text: impl Into<String>) -> Part {
    Part { content: Content::text(text), label: Label::system() }
}
