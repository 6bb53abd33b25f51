//! The turn that is open: what was asked, how far it is, and what it may do next.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use super::{
    calls::{self, CallState, CallStep, Phase},
    entry::{AskedCall, Outcome},
    limits::Limits,
    size::value_size,
};
use crate::{
    access::Principal,
    error::{Error, ErrorKind, Result},
    id::{CallId, EventKey, MessageId, OutboundKey, Seq, TurnId},
    label::Integrity,
    message::{Call, Message},
    policy::{CallHash, Task},
    provider::{ProviderState, ResponseFormat, Usage},
    store::InputId,
    time::Timestamp,
    tool::Effect,
};

/// How often work on a turn may end in a crash without progress before it is given up.
pub const MAX_ATTEMPTS: u32 = 3;
/// How often the same call may have the same result before it is no longer made.
pub(super) const MAX_REPEATS: u32 = 3;
/// How often it may be asked for in all before the turn ends.
const MAX_REPEATS_ASKED: u32 = 6;

/// What may be done now.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Step {
    /// No turn is open.
    Idle,
    /// Ask the model.
    CallModel,
    /// Decide about these calls.
    Decide(Vec<CallId>),
    /// Begin these calls.
    Start(Vec<CallId>),
    /// These calls had begun when the process died.
    Recover(Vec<CallId>),
    /// Calls are running.
    Wait,
    /// Only people's answers are waited for.
    Park,
    /// Nothing is left to do but to end the turn.
    End(Outcome),
}

/// A turn that is open.
#[derive(Clone, Debug)]
pub struct Turn {
    pub(super) id: TurnId,
    pub(super) principal: Principal,
    pub(super) started_at: Timestamp,
    pub(super) limits: Limits,
    pub(super) inputs: Vec<InputId>,
    pub(super) attributes: Arc<BTreeMap<String, String>>,
    pub(super) format: Option<ResponseFormat>,
    pub(super) keys: Vec<EventKey>,
    pub(super) answers: Option<MessageId>,
    pub(super) task: Task,
    pub(super) calls: Vec<CallState>,
    pub(super) asks: Vec<AskedCall>,
    pub(super) steps: u32,
    pub(super) usage: Usage,
    /// True if what it used has an unknown cost.
    pub(super) unpriced: bool,
    /// The place of its first message in the history.
    pub(super) first: usize,
    pub(super) attempts: u32,
    pub(super) waited: Duration,
    pub(super) parked_since: Option<Timestamp>,
    pub(super) ending: Option<Outcome>,
    pub(super) reply: Option<String>,
    pub(super) preview: Option<OutboundKey>,
    pub(super) repeats: HashMap<[u8; 32], Repeats>,
    /// What providers must be handed back, by the place of the reply.
    pub(super) states: BTreeMap<Seq, ProviderState>,
}

/// How often a call had the result that it had last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Repeats {
    pub(super) result: [u8; 32],
    pub(super) same: u32,
    /// How often it was asked for and not made, because it had the same result too often.
    pub(super) blocked: u32,
}

impl Turn {
    /// Which turn.
    pub fn id(&self) -> TurnId {
        self.id
    }

    /// Whose turn it is.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The inputs that it answers.
    pub fn inputs(&self) -> &[InputId] {
        &self.inputs
    }

    /// The events that it answers.
    pub fn keys(&self) -> &[EventKey] {
        &self.keys
    }

    /// The platform's id of the newest message that it answers, where there is one.
    pub fn answers(&self) -> Option<&MessageId> {
        self.answers.as_ref()
    }

    /// What the request carries for tools.
    pub fn attributes(&self) -> &Arc<BTreeMap<String, String>> {
        &self.attributes
    }

    /// The form that the answer must have.
    pub fn format(&self) -> Option<&ResponseFormat> {
        self.format.as_ref()
    }

    /// What its principal said in it.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// What it used so far.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// The text of the model's last reply.
    pub fn reply(&self) -> Option<&str> {
        self.reply.as_deref()
    }

    /// The message that shows the reply while it grows.
    pub fn preview(&self) -> Option<&OutboundKey> {
        self.preview.as_ref()
    }

    /// A call of the last reply.
    pub fn call(&self, id: CallId) -> Option<&Call> {
        self.state(id).map(|state| &state.call)
    }

    /// Where a call of the last reply stands.
    pub fn phase(&self, id: CallId) -> Option<&Phase> {
        self.state(id).map(|state| &state.phase)
    }

    /// The effect of a call, as it was decided.
    pub fn effect(&self, id: CallId) -> Option<Effect> {
        self.state(id).map(|state| state.effect)
    }

    /// The leave that the owner gave to a call.
    pub fn leave(&self, id: CallId) -> Option<&CallHash> {
        self.state(id).and_then(|state| match &state.phase {
            Phase::Granted { hash } => Some(hash),
            _ => state.leave.as_ref(),
        })
    }

    /// What the provider must be handed back with the reply that made this call.
    pub fn state_of(&self, call: CallId) -> Option<&ProviderState> {
        self.states.get(&call.seq)
    }

    /// About how many bytes what providers must be handed back takes.
    pub(crate) fn state_bytes(&self) -> usize {
        self.states.values().map(|state| value_size(&state.data)).sum()
    }

    /// The calls in a phase, in order.
    pub fn calls_in(&self, phase: &Phase) -> Vec<CallId> {
        self.calls.iter().filter(|c| c.phase == *phase).map(|c| c.call.id).collect()
    }

    /// When its time is over; waiting for people is not counted.
    pub fn deadline(&self) -> Timestamp {
        self.started_at.after(Duration::from_secs(self.limits.seconds)).after(self.waited)
    }

    /// How often work on it ended in a crash since it last came further.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// True if it was asked to stop.
    pub fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// True if something else than a question to the user is open.
    pub fn holds_calls(&self) -> bool {
        self.calls.iter().any(|call| !matches!(call.phase, Phase::Finished | Phase::AsksUser))
    }

    fn state(&self, id: CallId) -> Option<&CallState> {
        self.calls.iter().find(|state| state.call.id == id)
    }

    pub(super) fn state_mut(&mut self, id: CallId) -> Result<&mut CallState> {
        self.calls
            .iter_mut()
            .find(|state| state.call.id == id)
            .ok_or_else(|| misfit(&format!("there is no {id} in the open turn")))
    }

    fn limit_reached(&self) -> Option<Outcome> {
        let cost = self.usage.cost_micro_usd.unwrap_or(0);
        if self.steps >= self.limits.steps {
            Some(Outcome::TooManySteps)
        } else if self.limits.tokens.is_some_and(|most| self.usage.total_tokens() >= most) {
            Some(Outcome::TooManyTokens)
        } else if self.limits.cost_micro_usd.is_some_and(|most| cost >= most) {
            Some(Outcome::TooExpensive)
        } else if self.limits.cost_micro_usd.is_some() && self.unpriced {
            Some(Outcome::UnknownCost)
        } else {
            None
        }
    }

    fn is_looping(&self) -> bool {
        self.repeats.values().any(|one| one.same + one.blocked >= MAX_REPEATS_ASKED)
    }

    pub(super) fn step(&self) -> Step {
        let running = self.calls.iter().any(|call| call.phase == Phase::Started);
        if let Some(outcome) = &self.ending {
            return if running { Step::Wait } else { Step::End(outcome.clone()) };
        }
        if self.attempts >= MAX_ATTEMPTS {
            return Step::End(Outcome::Poisoned);
        }
        match calls::step(&self.calls) {
            CallStep::Decide(ids) => Step::Decide(ids),
            CallStep::Start(ids) => Step::Start(ids),
            CallStep::Recover(ids) => Step::Recover(ids),
            CallStep::Wait => Step::Wait,
            CallStep::Park => Step::Park,
            CallStep::Done if self.reply.is_some() && self.calls.is_empty() => {
                Step::End(Outcome::Replied)
            }
            CallStep::Done if self.is_looping() => Step::End(Outcome::Loop),
            CallStep::Done => self.limit_reached().map_or(Step::CallModel, Step::End),
        }
    }

    /// Takes note of the events, and of what the principal said in their own words.
    pub(super) fn hear(&mut self, messages: &[Message]) {
        for message in messages {
            let Message::User { from, parts, key, message, .. } = message else { continue };
            self.keys.extend(key.clone());
            if message.is_some() {
                self.answers.clone_from(message);
            }
            for part in parts {
                let own = *from == self.principal && part.label.integrity >= Integrity::User;
                if let (true, Some(text)) = (own, part.content.as_text()) {
                    self.task.said(text, part.label.clone());
                }
            }
        }
    }
}

/// An entry that cannot stand where it stands.
pub(super) fn misfit(why: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("the entry does not fit the session's state: {why}"))
}
