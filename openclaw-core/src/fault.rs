//! Points at which a test can stop the process.
//!
//! Everything that must survive a crash is done inside [`Faults::around`]: each commit and each effect
//! on the world outside. Built with the feature `testing`, a hook that the application injects is
//! called just before and just after. Built without, [`Faults`] has no size and does nothing.

#[cfg(feature = "testing")]
use std::{fmt, sync::Arc};

use crate::turn::{CallDecision, Entry};

/// What a crash can come before or after: a kind of commit, or an effect on the world outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Act {
    /// A message is taken in.
    AcceptMessage,
    /// A word to the gateway itself is taken in.
    AcceptControl,
    /// A session is told that its message was given up.
    AcceptNote,
    /// A commit holds the beginning of a history.
    Open,
    /// A commit holds a checkpoint.
    Checkpoint,
    /// A commit holds the beginning of a turn.
    Start,
    /// A commit holds messages that joined a turn.
    Join,
    /// A commit holds what goes into the history without a turn.
    Note,
    /// A commit holds that a turn was taken up after a crash.
    Resume,
    /// A commit holds that a turn was left by a shutdown.
    Suspend,
    /// A commit holds the first message of a growing reply.
    Preview,
    /// A commit holds what the model said.
    Reply,
    /// A commit holds that the model could not be asked.
    ModelFailure,
    /// A commit holds what was decided about calls.
    Decide,
    /// A commit holds an ask for the owner's leave.
    Ask,
    /// A commit holds the owner's answer.
    Answer,
    /// A commit holds that a call begins.
    ToolStart,
    /// A commit holds how a call ended.
    ToolEnd,
    /// A commit holds that asks go on without their turn.
    Detach,
    /// A commit holds that a turn is to stop.
    Cancel,
    /// A commit holds that a turn's time is over.
    TimeOut,
    /// A commit holds a summary of what was compacted.
    Compact,
    /// A commit holds the end of a turn, its reply and what it consumed.
    End,
    /// A commit holds inputs that are given up.
    DeadLetter,
    /// A commit holds what a word to the gateway did.
    Control,
    /// An outgoing row is marked as being sent.
    Claim,
    /// An outgoing row was sent.
    SettleSent,
    /// Nobody knows whether an outgoing row was sent.
    SettleUnknown,
    /// An outgoing row is to be tried again.
    SettleRetry,
    /// An outgoing row is given up.
    SettleFailed,
    /// Records are written that no session causes.
    WriteRecords,
    /// A notice is written that no session causes.
    WriteNotice,
    /// An account keeps a value.
    KeepState,
    /// A file is kept.
    KeepFile,
    /// The most that a completion can cost is booked.
    ReserveSpend,
    /// What was booked is replaced by what a completion did cost.
    SettleSpend,
    /// The memory takes in what was said.
    Remember,
    /// What was said in a session is erased.
    Erase,
    /// The model is called.
    CallModel,
    /// A tool is called.
    CallTool,
    /// A tool is asked what became of a call.
    Reconcile,
    /// A channel performs what the outbox holds.
    Perform,
    /// A channel shows that an answer is being written.
    ShowTyping,
    /// A channel shows how a reply grows.
    ShowGrowing,
    /// A channel looks up what it sent.
    LookUp,
}

impl Act {
    /// All of them.
    #[cfg(any(test, feature = "testing"))]
    pub const ALL: [Self; 45] = [
        Self::AcceptMessage,
        Self::AcceptControl,
        Self::AcceptNote,
        Self::Open,
        Self::Checkpoint,
        Self::Start,
        Self::Join,
        Self::Note,
        Self::Resume,
        Self::Suspend,
        Self::Preview,
        Self::Reply,
        Self::ModelFailure,
        Self::Decide,
        Self::Ask,
        Self::Answer,
        Self::ToolStart,
        Self::ToolEnd,
        Self::Detach,
        Self::Cancel,
        Self::TimeOut,
        Self::Compact,
        Self::End,
        Self::DeadLetter,
        Self::Control,
        Self::Claim,
        Self::SettleSent,
        Self::SettleUnknown,
        Self::SettleRetry,
        Self::SettleFailed,
        Self::WriteRecords,
        Self::WriteNotice,
        Self::KeepState,
        Self::KeepFile,
        Self::ReserveSpend,
        Self::SettleSpend,
        Self::Remember,
        Self::Erase,
        Self::CallModel,
        Self::CallTool,
        Self::Reconcile,
        Self::Perform,
        Self::ShowTyping,
        Self::ShowGrowing,
        Self::LookUp,
    ];

    /// What a commit that holds this entry does.
    pub(crate) fn of(entry: &Entry) -> Self {
        let asks = |decision: &CallDecision| decision.ask.is_some();
        match entry {
            Entry::Opened { .. } => Self::Open,
            Entry::Checkpoint { .. } => Self::Checkpoint,
            Entry::Started { .. } => Self::Start,
            Entry::Joined { .. } => Self::Join,
            Entry::Noted { .. } => Self::Note,
            Entry::Resumed => Self::Resume,
            Entry::Suspended => Self::Suspend,
            Entry::Previewed { .. } => Self::Preview,
            Entry::Replied { .. } => Self::Reply,
            Entry::ModelFailed { .. } => Self::ModelFailure,
            Entry::Decided { decisions } if decisions.iter().any(asks) => Self::Ask,
            Entry::Decided { .. } => Self::Decide,
            Entry::Answered { .. } => Self::Answer,
            Entry::ToolStarted { .. } => Self::ToolStart,
            Entry::ToolFinished { .. } => Self::ToolEnd,
            Entry::Detached => Self::Detach,
            Entry::CancelRequested { .. } => Self::Cancel,
            Entry::TimedOut => Self::TimeOut,
            Entry::Compacted { .. } => Self::Compact,
            Entry::Ended { .. } => Self::End,
        }
    }
}

/// A moment at which the process can be stopped.
#[cfg(feature = "testing")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultPoint {
    /// Nothing of the act has happened.
    Before(Act),
    /// The act has happened and nothing knows of it yet.
    After(Act),
}

#[cfg(feature = "testing")]
impl FaultPoint {
    /// All of them: before and after each [`Act`].
    pub fn all() -> impl Iterator<Item = Self> {
        Act::ALL.into_iter().flat_map(|act| [Self::Before(act), Self::After(act)])
    }
}

#[cfg(feature = "testing")]
impl fmt::Display for FaultPoint {
    /// `before Claim`, `after Claim`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Before(act) => write!(f, "before {act:?}"),
            Self::After(act) => write!(f, "after {act:?}"),
        }
    }
}

/// What is called at each [`FaultPoint`]. It may block the thread, end the process or panic.
#[cfg(feature = "testing")]
pub(crate) type Hook = Arc<dyn Fn(FaultPoint) + Send + Sync>;

/// The injected hook.
#[derive(Clone, Default)]
pub(crate) struct Faults {
    #[cfg(feature = "testing")]
    hook: Option<Hook>,
}

#[cfg(feature = "testing")]
impl Faults {
    pub(crate) fn new(hook: Hook) -> Self {
        Self { hook: Some(hook) }
    }

    fn hit(&self, point: FaultPoint) {
        if let Some(hook) = &self.hook {
            hook(point);
        }
    }

    /// Does `work`, which is `act`.
    pub(crate) async fn around<F: Future>(&self, act: Act, work: F) -> F::Output {
        self.hit(FaultPoint::Before(act));
        let output = work.await;
        self.hit(FaultPoint::After(act));
        output
    }

    /// Does `work`, which is all of `acts` at once.
    pub(crate) async fn around_all<F: Future>(
        &self,
        acts: impl FnOnce() -> Vec<Act>,
        work: F,
    ) -> F::Output {
        let acts = if self.hook.is_some() { acts() } else { Vec::new() };
        acts.iter().for_each(|act| self.hit(FaultPoint::Before(*act)));
        let output = work.await;
        acts.iter().for_each(|act| self.hit(FaultPoint::After(*act)));
        output
    }
}

#[cfg(not(feature = "testing"))]
impl Faults {
    /// Is `work`.
    pub(crate) fn around<F: Future>(&self, _: Act, work: F) -> F {
        work
    }

    /// Is `work`.
    pub(crate) fn around_all<F: Future>(&self, _: impl FnOnce() -> Vec<Act>, work: F) -> F {
        work
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, path::Path};

    use super::*;
    use crate::turn::Outcome;

    /// What commits, or acts on the world outside. All but what stands in [`EXEMPT`] is done inside
    /// `around`.
    const EFFECTS: [&str; 13] = [
        ".store.accept(",
        ".store.commit(",
        ".store.write(",
        ".store.claim(",
        ".store.settle(",
        "store.erase(",
        "memory.remember(",
        "blobs.put(",
        ".perform(",
        ".lookup(",
        ".reconcile(",
        "provider.stream(",
        "tool.call(",
    ];
    /// A completion for a client keeps nothing, and its charge has points of its own; a tool's memory is written to
    /// within the tool's call.
    const ELSEWHERE: [(&str, &str); 2] =
        [("openai/direct.rs", "provider.stream("), ("tool/memory.rs", "memory.remember(")];
    /// Folders of what implements or tests the traits; the effects are theirs to pass on.
    const EXEMPT: [&str; 2] = ["testing", "store"];

    /// The code of the crate, without comments, by file.
    fn sources() -> BTreeMap<String, String> {
        fn walk(folder: &Path, found: &mut BTreeMap<String, String>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    if !EXEMPT.contains(&path.file_name().unwrap().to_str().unwrap()) {
                        walk(&path, found);
                    }
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = fs::read_to_string(&path).unwrap();
                    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                    found.insert(path.display().to_string(), code.collect::<Vec<_>>().join("\n"));
                }
            }
        }
        let mut found = BTreeMap::new();
        walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        found.retain(|path, _| !path.ends_with("fault.rs"));
        found
    }

    /// The acts that the code names, outside of this file and in [`Act::of`].
    fn named() -> BTreeMap<String, usize> {
        let mut found = BTreeMap::new();
        let mut count = |text: &str, before: &str| {
            for (at, _) in text.match_indices(before) {
                let rest = &text[at + before.len()..];
                let end = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
                *found.entry(rest[..end].to_owned()).or_default() += 1;
            }
        };
        sources().values().for_each(|text| count(text, "Act::"));
        let own = include_str!("fault.rs");
        let of = own.split("fn of(").nth(1).unwrap().split("\n    }\n").next().unwrap();
        count(of, "=> Self::");
        // The function, not an act.
        found.remove("of");
        found
    }

    #[test]
    fn every_act_is_listed_and_happens_at_one_place() {
        let listed: BTreeMap<String, usize> =
            Act::ALL.iter().map(|act| (format!("{act:?}"), 1)).collect();
        assert_eq!(listed.len(), Act::ALL.len(), "one is listed twice");
        assert_eq!(named(), listed, "what the code names, and what is listed");
        let own = include_str!("fault.rs");
        let declared = own.split("pub enum Act {").nth(1).unwrap().split("\n}\n").next().unwrap();
        let declared = declared.lines().filter(|line| line.ends_with(',')).count();
        assert_eq!(declared, Act::ALL.len(), "what is declared, and what is listed");
    }

    #[test]
    fn every_commit_and_every_effect_has_its_points() {
        for (path, text) in sources() {
            let statements: Vec<&str> = text.split(';').collect();
            for (index, statement) in statements.iter().enumerate() {
                // Names of methods are declared and documented, too.
                // A layer passes on what is asked of it.
                let calls = |effect: &&str| {
                    let elsewhere =
                        ELSEWHERE.iter().any(|(file, what)| path.ends_with(file) && what == effect);
                    statement.replace(&format!("inner{effect}"), "").contains(*effect) && !elsewhere
                };
                let calls = EFFECTS.iter().any(calls) && !statement.contains("trait ");
                // A future is made by one statement and awaited inside of `around` by the next.
                let near = [Some(statement), statements.get(index + 1)];
                let around = near.iter().flatten().any(|text| text.contains(".around"));
                assert!(!calls || around, "{path}: {statement}");
            }
        }
    }

    #[cfg(feature = "testing")]
    #[test]
    fn there_are_enough_points() {
        assert!(FaultPoint::all().count() >= 40, "{}", FaultPoint::all().count());
    }

    #[cfg(feature = "testing")]
    #[tokio::test]
    async fn the_hook_is_called_before_and_after() {
        let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
        let into = Arc::clone(&seen);
        let faults = Faults::new(Arc::new(move |point| into.lock().unwrap().push(point)));
        let during = Arc::clone(&seen);
        let work = async move { assert_eq!(during.lock().unwrap().len(), 1) };
        faults.around(Act::Claim, work).await;
        let entry = Entry::Ended { outcome: Outcome::Replied };
        faults.around_all(|| vec![Act::of(&entry), Act::Control], async {}).await;
        use FaultPoint::{After, Before};
        let expected = [
            Before(Act::Claim),
            After(Act::Claim),
            Before(Act::End),
            Before(Act::Control),
            After(Act::End),
            After(Act::Control),
        ];
        assert_eq!(*seen.lock().unwrap(), expected);
    }
}
