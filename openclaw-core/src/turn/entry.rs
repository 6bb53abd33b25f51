//! The entries of a session's log. An entry *is* the event: what recovery reads is what happened.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Limits;
use crate::{
    access::Principal,
    error::ErrorKind,
    id::{ApprovalId, CallId, OutboundKey, SessionId},
    label::Label,
    message::{Call, Message, Part},
    policy::{CallHash, Verdict},
    provider::{ProviderState, ResponseFormat, Usage},
    store::InputId,
    time::Timestamp,
    tool::Effect,
};

/// Something that happened in a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Entry {
    /// A history begins: the first, or another after `/new`. A fold can start here.
    Opened {
        /// Names the history.
        session: SessionId,
        /// 32 hexadecimal digits that nobody outside can know; the boundaries around untrusted text
        /// come from it.
        nonce: String,
    },
    /// All that a fold needs of what came before, between two turns. A fold can start here.
    Checkpoint {
        /// Names the history.
        session: SessionId,
        /// As in [`Opened`](Self::Opened).
        nonce: String,
        /// The history.
        history: Vec<Message>,
        /// The join of the labels of all that the history ever held.
        context: Label,
        /// Asks that are still open.
        asks: Vec<AskedCall>,
        /// What all turns used.
        usage: Usage,
        /// How many turns there were.
        turns: u64,
    },
    /// A turn begins.
    Started {
        /// Why.
        cause: Cause,
        /// Whose turn it is.
        principal: Principal,
        /// What it answers.
        messages: Vec<Message>,
        /// The inputs that it answers; consumed when it ends.
        inputs: Vec<InputId>,
        /// How much it may take.
        limits: Limits,
        /// What the request carries for tools.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        attributes: BTreeMap<String, String>,
        /// The form that the answer must have.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        format: Option<ResponseFormat>,
    },
    /// Messages joined the turn.
    Joined {
        /// What was said.
        messages: Vec<Message>,
        /// The inputs; consumed when the turn ends.
        inputs: Vec<InputId>,
    },
    /// Something happened outside of any turn that the model should know in the next one.
    Noted {
        /// What.
        message: Message,
    },
    /// The run began again after a crash. Calls that had begun count as interrupted.
    Resumed,
    /// The run ended because the gateway was shut down or its store failed, not by a crash.
    Suspended,
    /// The model replied.
    Replied {
        /// The text.
        text: String,
        /// The calls, in order: tool's name and arguments. Their ids are this entry's place and their
        /// index.
        calls: Vec<(String, serde_json::Value)>,
        /// The join of all that the model had read.
        label: Label,
        /// What it used.
        usage: Usage,
        /// True if the text was cut by a limit on output.
        #[serde(default)]
        cut: bool,
        /// What the provider must be handed back with the calls until the turn ends.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<ProviderState>,
    },
    /// The model could not be asked, after all retries.
    ModelFailed {
        /// What kind of failure.
        error: ErrorKind,
        /// The public text.
        text: String,
    },
    /// The policy decided about calls.
    Decided {
        /// One for each.
        decisions: Vec<CallDecision>,
    },
    /// The owner answered an ask, or its time was over.
    Answered {
        /// Which ask.
        approval: ApprovalId,
        /// What.
        answer: Answer,
    },
    /// The reply is shown while it grows: this message is sent, and what comes later edits it.
    Previewed {
        /// The key of the message.
        key: OutboundKey,
    },
    /// A call begins.
    ToolStarted {
        /// Which.
        call: CallId,
    },
    /// A call ended, or was never made.
    ToolFinished {
        /// Which.
        call: CallId,
        /// True if it failed or was refused.
        failed: bool,
        /// The result.
        parts: Vec<Part>,
        /// The tool asks the user: the call stays open until the next message.
        #[serde(default)]
        asks_user: bool,
    },
    /// A message came while the turn only waited for people: the asks go on without it, and what stood
    /// behind them or behind a question is not made.
    Detached,
    /// Somebody wants the turn to stop.
    CancelRequested {
        /// Who.
        by: Principal,
        /// True if the next message replaces the turn.
        #[serde(default)]
        superseded: bool,
    },
    /// The turn's time is over.
    TimedOut,
    /// The oldest messages were replaced by a summary.
    Compacted {
        /// How many, those that are kept among them.
        dropped: usize,
        /// Those of them, by their places, that stay behind the summary: what the open turn is about.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        kept: Vec<usize>,
        /// The summary, with the join of the labels of what it stands for.
        summary: Part,
        /// What making it used.
        usage: Usage,
    },
    /// The turn is over.
    Ended {
        /// How.
        outcome: Outcome,
    },
}

/// Why a turn began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// Messages.
    Messages,
    /// The owner's answer to an ask that had been detached.
    Approval {
        /// Which ask.
        approval: ApprovalId,
        /// What.
        answer: Answer,
    },
}

/// What became of an ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// Leave was given.
    Allowed {
        /// By whom.
        by: Principal,
    },
    /// Leave was refused.
    Refused {
        /// By whom.
        by: Principal,
    },
    /// Nobody answered in time.
    Expired,
}

/// What was decided about a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallDecision {
    /// Which call.
    pub call: CallId,
    /// The effect that the tool declared then; recovery goes by it.
    pub effect: Effect,
    /// What was decided.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// The ask, if the verdict is to ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask: Option<AskedCall>,
}

/// An ask for the owner's leave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AskedCall {
    /// What to answer to.
    pub approval: ApprovalId,
    /// The whole call.
    pub call: Call,
    /// Its hash: the leave is for this call alone.
    pub hash: CallHash,
    /// The effect that the tool declared.
    pub effect: Effect,
    /// Until when it can be answered.
    pub expires: Timestamp,
    /// Whose turn asked.
    pub principal: Principal,
    /// What its request carried for tools.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

/// How a turn ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// The model replied.
    Replied,
    /// Somebody stopped it.
    Cancelled,
    /// A new message took its place.
    Superseded,
    /// The model could not be asked.
    ModelFailed {
        /// Why.
        error: ErrorKind,
        /// The public text.
        text: String,
    },
    /// The limit on model calls was reached.
    TooManySteps,
    /// The limit on tokens was reached.
    TooManyTokens,
    /// The limit on cost was reached.
    TooExpensive,
    /// There is a limit on cost, and what the turn cost so far is not known.
    UnknownCost,
    /// The limit on time was reached.
    TooLong,
    /// The model made the same call with the same result over and over.
    Loop,
    /// The process died over it too often.
    Poisoned,
}

impl Outcome {
    /// A word for figures and spans.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Replied => "replied",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
            Self::ModelFailed { .. } => "model_failed",
            Self::TooManySteps => "too_many_steps",
            Self::TooManyTokens => "too_many_tokens",
            Self::TooExpensive => "too_expensive",
            Self::UnknownCost => "unknown_cost",
            Self::TooLong => "too_long",
            Self::Loop => "loop",
            Self::Poisoned => "poisoned",
        }
    }

    /// What the user is told when there is no reply to send.
    pub fn notice(&self) -> Option<String> {
        Some(match self {
            Self::Replied | Self::Superseded => return None,
            Self::Cancelled => "Stopped.".to_owned(),
            Self::ModelFailed { text, .. } => format!("I could not ask the model: {text}."),
            Self::TooManySteps => {
                "I stopped: this took more steps than one turn may take. Say \"go on\" to continue."
                    .to_owned()
            }
            Self::TooManyTokens => {
                "I stopped: this took more tokens than one turn may take. Say \"go on\" to continue."
                    .to_owned()
            }
            Self::TooExpensive => {
                "I stopped: this cost more than one turn may cost. Say \"go on\" to continue."
                    .to_owned()
            }
            Self::UnknownCost => {
                "I stopped: a turn may cost only so much, and what this one costs is not known. The \
                 model's price must be set, or the limit taken away."
                    .to_owned()
            }
            Self::TooLong => {
                "I stopped: this took longer than one turn may take. Say \"go on\" to continue."
                    .to_owned()
            }
            Self::Loop => {
                "I stopped: I was making the same call with the same result over and over."
                    .to_owned()
            }
            Self::Poisoned => {
                "Working on this message failed three times. It is set aside; the owner is told."
                    .to_owned()
            }
        })
    }
}

impl Entry {
    /// The kind, as stored beside the payload.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Opened { .. } => "opened",
            Self::Checkpoint { .. } => "checkpoint",
            Self::Started { .. } => "started",
            Self::Joined { .. } => "joined",
            Self::Noted { .. } => "noted",
            Self::Resumed => "resumed",
            Self::Suspended => "suspended",
            Self::Replied { .. } => "replied",
            Self::ModelFailed { .. } => "model_failed",
            Self::Decided { .. } => "decided",
            Self::Answered { .. } => "answered",
            Self::Previewed { .. } => "previewed",
            Self::ToolStarted { .. } => "tool_started",
            Self::ToolFinished { .. } => "tool_finished",
            Self::Detached => "detached",
            Self::CancelRequested { .. } => "cancel_requested",
            Self::TimedOut => "timed_out",
            Self::Compacted { .. } => "compacted",
            Self::Ended { .. } => "ended",
        }
    }

    /// The join of the labels of what is in it.
    pub fn label(&self) -> Label {
        match self {
            Self::Checkpoint { context, .. } => context.clone(),
            Self::Started { messages, .. } | Self::Joined { messages, .. } => {
                messages.iter().fold(Label::neutral(), |all, message| all.join(&message.label()))
            }
            Self::Noted { message } => message.label(),
            Self::Replied { label, .. } => label.clone(),
            Self::ToolFinished { parts, .. } => {
                Label::join_all(parts.iter().map(|part| &part.label))
            }
            Self::Compacted { summary, .. } => summary.label.clone(),
            // An ask holds the whole call, whose values may be anybody's.
            Self::Decided { decisions } => {
                let reasons = decisions.iter().filter_map(|decision| decision.verdict.reason());
                let values = reasons.flat_map(|reason| &reason.provenance);
                Label::join_all(values.map(|value| &value.label))
            }
            _ => Label::neutral(),
        }
    }

    /// True if a fold can start here.
    pub fn is_checkpoint(&self) -> bool {
        matches!(self, Self::Opened { .. } | Self::Checkpoint { .. })
    }
}
