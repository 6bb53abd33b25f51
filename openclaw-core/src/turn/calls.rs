//! The tool calls of one reply, and which of them may begin.

use crate::{
    id::{ApprovalId, CallId},
    message::Call,
    policy::CallHash,
    time::Timestamp,
    tool::Effect,
};

/// Where a call stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// The model asked for it.
    New,
    /// It may begin.
    Allowed,
    /// The owner is asked.
    Asked {
        /// Which ask.
        approval: ApprovalId,
        /// Until when.
        expires: Timestamp,
    },
    /// The owner gave leave to the call with this hash.
    Granted {
        /// The hash that leave was given to.
        hash: CallHash,
    },
    /// It has begun.
    Started,
    /// It had begun when the process died.
    Interrupted,
    /// It waits for the user's next message.
    AsksUser,
    /// It has a result.
    Finished,
}

/// A call of the model's last reply.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CallState {
    pub(super) call: Call,
    pub(super) effect: Effect,
    pub(super) phase: Phase,
    /// The leave that it began with, kept for a run after a crash.
    pub(super) leave: Option<CallHash>,
    /// True if no reply in the history asked for it: the call of an ask that was detached.
    pub(super) alone: bool,
}

impl CallState {
    pub(super) fn new(call: Call) -> Self {
        // The effect is known once it is decided; until then the most dangerous is assumed.
        Self { call, effect: Effect::Irreversible, phase: Phase::New, leave: None, alone: false }
    }

    fn is_open(&self) -> bool {
        self.phase != Phase::Finished
    }
}

/// What may be done about the calls of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CallStep {
    Decide(Vec<CallId>),
    Start(Vec<CallId>),
    Recover(Vec<CallId>),
    /// Calls are running.
    Wait,
    /// Only asks are open.
    Park,
    /// All have results.
    Done,
}

/// Reads run together; every other call runs alone, after all that the model put before it. What
/// waits for leave holds back what stands behind it, never what stands before.
pub(super) fn step(calls: &[CallState]) -> CallStep {
    let with = |phase: &Phase| -> Vec<CallId> {
        calls.iter().filter(|c| c.phase == *phase).map(|c| c.call.id).collect()
    };
    let new = with(&Phase::New);
    if !new.is_empty() {
        return CallStep::Decide(new);
    }
    let interrupted = with(&Phase::Interrupted);
    if !interrupted.is_empty() {
        return CallStep::Recover(interrupted);
    }
    let mut startable = Vec::new();
    let mut open_before = false;
    for call in calls.iter().filter(|call| call.is_open()) {
        let read = call.effect.is_read();
        match call.phase {
            Phase::Allowed | Phase::Granted { .. } if read => startable.push(call.call.id),
            Phase::Allowed | Phase::Granted { .. } => {
                if !open_before {
                    startable.push(call.call.id);
                }
                break;
            }
            Phase::Started if read => {}
            _ => break,
        }
        open_before = true;
    }
    if !startable.is_empty() {
        CallStep::Start(startable)
    } else if calls.iter().any(|call| call.phase == Phase::Started) {
        CallStep::Wait
    } else if calls.iter().any(CallState::is_open) {
        CallStep::Park
    } else {
        CallStep::Done
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::id::Seq;

    fn calls(states: &[(Effect, Phase)]) -> Vec<CallState> {
        states
            .iter()
            .zip(0..)
            .map(|((effect, phase), index)| {
                let id = CallId { seq: Seq(1), index };
                let call = Call { id, tool: "t".into(), arguments: json!({}) };
                let mut state = CallState::new(call);
                (state.effect, state.phase) = (*effect, phase.clone());
                state
            })
            .collect()
    }

    fn start(indexes: &[u32]) -> CallStep {
        CallStep::Start(indexes.iter().map(|&index| CallId { seq: Seq(1), index }).collect())
    }

    fn asked() -> Phase {
        Phase::Asked { approval: ApprovalId::new("a"), expires: Timestamp(1) }
    }

    #[test]
    fn reads_together_effects_alone_and_in_order() {
        use Effect::{Irreversible as Act, ReadOnly as Read};
        use Phase::{Allowed, Finished, Started};
        let table: Vec<(Vec<(Effect, Phase)>, CallStep)> = vec![
            (vec![(Read, Allowed), (Read, Allowed)], start(&[0, 1])),
            (vec![(Read, Allowed), (Act, Allowed), (Read, Allowed)], start(&[0])),
            (vec![(Read, Started), (Act, Allowed)], CallStep::Wait),
            (vec![(Read, Finished), (Act, Allowed), (Act, Allowed)], start(&[1])),
            (vec![(Act, Started), (Read, Allowed)], CallStep::Wait),
            (vec![(Read, Allowed), (Act, asked()), (Act, Allowed)], start(&[0])),
            (vec![(Read, Finished), (Act, asked()), (Act, Allowed)], CallStep::Park),
            (vec![(Act, Finished), (Act, Finished)], CallStep::Done),
        ];
        for (states, expected) in table {
            assert_eq!(step(&calls(&states)), expected, "{states:?}");
        }
    }
}
