//! The turn by itself: logs replayed without a gateway, and logs that no gateway wrote.

use std::time::Duration;

use openclaw_core::{
    ApprovalId, CallId, ErrorKind, Gateway, NodeId, OutboundKey, Result, Seq, SessionId,
    SessionKey,
    access::Principal,
    label::{Integrity, Label},
    message::{Content, Message, Part},
    policy::Verdict,
    provider::{ProviderState, Usage},
    store::{Batch, InMemory, InputId, LeaseName, LogRow, SessionStore as _, SessionUpdate},
    testing::{Scripted, SeededEntropy, scripted},
    time::Timestamp,
    tool::{Effect, ToolSpec, tool_fn},
    turn::{Answer, CallDecision, Cause, Entry, Limits, Outcome, Session, Step, decode, encode},
};
use proptest::prelude::*;
use serde_json::json;

/// True if a gateway that did what `step` allows can have written `entry` next.
pub(crate) fn follows(step: &Step, entry: &Entry) -> bool {
    let interrupts = matches!(
        entry,
        Entry::CancelRequested { .. }
            | Entry::TimedOut
            | Entry::Resumed
            | Entry::Suspended
            | Entry::Answered { .. }
    );
    match step {
        Step::Idle => matches!(
            entry,
            Entry::Opened { .. }
                | Entry::Checkpoint { .. }
                | Entry::Started { .. }
                | Entry::Noted { .. }
                | Entry::Answered { .. }
        ),
        _ if interrupts => true,
        Step::CallModel => matches!(
            entry,
            Entry::Replied { .. }
                | Entry::ModelFailed { .. }
                | Entry::Compacted { .. }
                | Entry::Previewed { .. }
                | Entry::Joined { .. }
        ),
        Step::Decide(calls) => match entry {
            Entry::Decided { decisions } => decisions.iter().all(|one| calls.contains(&one.call)),
            Entry::ToolFinished { call, .. } => calls.contains(call),
            _ => false,
        },
        Step::Start(calls) => match entry {
            Entry::ToolStarted { call } | Entry::ToolFinished { call, .. } => calls.contains(call),
            Entry::Decided { decisions } => decisions.iter().all(|one| calls.contains(&one.call)),
            _ => false,
        },
        Step::Recover(calls) => match entry {
            Entry::ToolStarted { call } | Entry::ToolFinished { call, .. } => calls.contains(call),
            _ => false,
        },
        Step::Wait => matches!(entry, Entry::ToolFinished { .. }),
        Step::Park => {
            matches!(entry, Entry::Detached | Entry::Joined { .. } | Entry::ToolFinished { .. })
        }
        Step::End(outcome) => match entry {
            Entry::Ended { outcome: other } => other == outcome,
            // What came in at the last moment joins before the end.
            Entry::Joined { .. } => true,
            _ => false,
        },
        _ => false,
    }
}

/// Folds rows from the beginning and returns what might be done after each; panics where the next
/// entry is not what might be done.
pub(crate) fn replay(rows: &[LogRow]) -> Vec<Step> {
    let mut session = Session::new();
    let mut steps: Vec<Step> = Vec::new();
    for row in rows {
        let entry = decode(row).unwrap().unwrap();
        let step = session.step();
        assert!(follows(&step, &entry), "{}: {step:?} is followed by {entry:?}", row.seq);
        session.apply(row.seq, row.at, &entry).unwrap();
        assert_eq!(session.step(), session.step(), "asking is harmless");
        steps.push(session.step());
    }
    steps
}

#[derive(serde::Deserialize, openclaw_core::schemars::JsonSchema)]
struct Named {
    name: String,
}

#[tokio::test]
async fn a_recorded_log_replayed_alone_gives_the_same_steps() {
    let script = Scripted::steps([
        scripted::Step::new().call("read", json!({"name": "a"})).call("read", json!({"name": "b"})),
        scripted::Step::new().call("nothing", json!({})),
        scripted::Step::text("done"),
        scripted::Step::error(openclaw_core::Error::new(ErrorKind::Unavailable, "away")),
    ]);
    let store = InMemory::new();
    let read =
        tool_fn(ToolSpec::read_only("read", "Reads"), async |_, input: Named| Ok(input.name));
    let gateway = Gateway::builder().provider(script).store(store.clone()).ephemeral().tool(read);
    let gateway = gateway.start().await.unwrap();
    let handle = gateway.handle();
    let mut session = None;
    for text in ["go", "/status", "again"] {
        let reply = handle.ask("ada", text).principal(Principal::Owner).reply().await.unwrap();
        session = Some(reply.session);
    }
    let session = session.unwrap();
    let rows = store.read(&session, Seq::ZERO, usize::MAX).await.unwrap();
    let steps = replay(&rows);
    assert_eq!(steps, replay(&rows), "the same again");
    let call = |seq, index| CallId { seq: Seq(seq), index };
    let expected = [
        Step::Idle,
        Step::CallModel,
        Step::Decide(vec![call(3, 0), call(3, 1)]),
        Step::Start(vec![call(3, 0), call(3, 1)]),
        Step::Start(vec![call(3, 1)]),
        Step::Wait,
        Step::Wait,
        Step::CallModel,
        Step::Decide(vec![call(9, 0)]),
        Step::CallModel,
        Step::End(Outcome::Replied),
        Step::Idle,
    ];
    assert_eq!(steps[..expected.len()], expected);
    assert!(matches!(steps[expected.len() + 1], Step::End(Outcome::ModelFailed { .. })));
}

/// Draws an entry that may or may not fit.
fn any_entry(dice: &SeededEntropy, last_reply: Seq) -> Entry {
    let part = |text: &str| Part { content: Content::text(text), label: Label::untrusted("web") };
    let note = || Message::Note { parts: vec![part("note")] };
    let call = || CallId {
        seq: if dice.below(8) == 0 { Seq(dice.below(9)) } else { last_reply },
        index: u32::try_from(dice.below(3)).unwrap(),
    };
    let approval = || ApprovalId::new(format!("a{}", dice.below(3)));
    let answer = || match dice.below(3) {
        0 => Answer::Allowed { by: Principal::Owner },
        1 => Answer::Refused { by: Principal::Owner },
        _ => Answer::Expired,
    };
    match dice.below(20) {
        0 => Entry::Opened { session: SessionId::new("s"), nonce: "00".repeat(16) },
        1..=3 => Entry::Started {
            cause: match dice.below(4) {
                0 => Cause::Approval { approval: approval(), answer: answer() },
                _ => Cause::Messages,
            },
            principal: Principal::Owner,
            messages: vec![note()],
            inputs: vec![InputId(dice.below(9))],
            limits: Limits { steps: 3, ..Limits::default() },
            attributes: std::collections::BTreeMap::new(),
            format: None,
        },
        4 => Entry::Joined { messages: vec![note()], inputs: vec![] },
        5 => Entry::Noted { message: note() },
        6 => Entry::Resumed,
        7 => Entry::Suspended,
        8..=10 => Entry::Replied {
            text: "text".into(),
            calls: (0..dice.below(4)).map(|_| ("tool".to_owned(), json!({}))).collect(),
            label: Label::untrusted("web"),
            usage: Usage::new(1, 1),
            cut: dice.below(2) == 0,
            state: (dice.below(2) == 0).then(|| ProviderState::new("p", "m", json!("signed"))),
        },
        11 => Entry::ModelFailed { error: ErrorKind::Unavailable, text: "away".into() },
        12 => Entry::Decided {
            decisions: vec![CallDecision {
                call: call(),
                effect: [Effect::Pure, Effect::Irreversible]
                    [usize::try_from(dice.below(2)).unwrap()],
                verdict: Verdict::Allow,
                ask: None,
            }],
        },
        13 => Entry::Answered { approval: approval(), answer: answer() },
        14 => Entry::ToolStarted { call: call() },
        15 => Entry::ToolFinished {
            call: call(),
            failed: dice.below(2) == 0,
            parts: vec![part("result")],
            asks_user: dice.below(4) == 0,
        },
        16 => Entry::Detached,
        17 => match dice.below(3) {
            0 => Entry::CancelRequested { by: Principal::Owner, superseded: false },
            1 => Entry::TimedOut,
            _ => Entry::Previewed { key: OutboundKey::new("k") },
        },
        18 => Entry::Compacted {
            kept: (0..usize::try_from(dice.below(3)).unwrap()).collect(),
            dropped: usize::try_from(dice.below(4)).unwrap(),
            summary: part("summary"),
            usage: Usage::new(1, 1),
        },
        _ => Entry::Ended { outcome: Outcome::Replied },
    }
}

/// An entry that fits, if `step` allows one, else any.
fn fitting(dice: &SeededEntropy, step: &Step, last_reply: Seq) -> Entry {
    let decided = |call: CallId| CallDecision {
        call,
        effect: Effect::ReadOnly,
        verdict: Verdict::Allow,
        ask: None,
    };
    match step {
        Step::Decide(calls) => {
            Entry::Decided { decisions: calls.iter().copied().map(decided).collect() }
        }
        Step::Start(calls) | Step::Recover(calls) => Entry::ToolStarted { call: calls[0] },
        Step::End(outcome) => Entry::Ended { outcome: outcome.clone() },
        _ => any_entry(dice, last_reply),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_sequence_of_entries_panics(seed: u64, length in 1_u64..120, strict: bool) {
        let dice = SeededEntropy::new(seed);
        let (mut session, mut rows, mut last_reply) = (Session::new(), Vec::new(), Seq(1));
        let mut entry = Entry::Opened { session: SessionId::new("s"), nonce: "00".repeat(16) };
        for _ in 0..length {
            let (seq, at) = (session.seq().next(), Timestamp(i64::try_from(dice.below(1 << 40)).unwrap()));
            let row = encode(seq, at, &entry).unwrap();
            let read = decode(&row).unwrap();
            prop_assert_eq!(read.as_ref(), Some(&entry), "survives storage");
            let mut next = session.clone();
            // What does not fit is refused, and then the session is as it was.
            match next.apply(seq, at, &entry) {
                Ok(()) => {
                    session = next;
                    rows.push(row);
                    if matches!(entry, Entry::Replied { .. }) {
                        last_reply = seq;
                    }
                }
                Err(error) => prop_assert_eq!(error.kind(), ErrorKind::InvalidData),
            }
            prop_assert_eq!(session.step(), session.step());
            if session.turn().is_none() && session.id().is_some() {
                let checkpoint = session.to_checkpoint().unwrap();
                let mut folded = Session::new();
                folded.apply(seq, at, &checkpoint).unwrap();
                prop_assert_eq!(folded.history(), session.history());
                prop_assert_eq!(folded.context(), session.context());
            }
            let tainted = session.history().iter().any(|m| m.label().integrity == Integrity::Untrusted);
            prop_assert!(!tainted || session.context().integrity == Integrity::Untrusted);
            entry = if strict {
                fitting(&dice, &session.step(), last_reply)
            } else {
                any_entry(&dice, last_reply)
            };
        }
        let mut again = Session::new();
        for row in &rows {
            again.apply(row.seq, row.at, &decode(row).unwrap().unwrap()).unwrap();
        }
        prop_assert_eq!(again.step(), session.step());
        prop_assert_eq!(again.history(), session.history());
    }
}

/// Adds a row to a session's log behind the gateway's back.
async fn append(store: &InMemory, session: &SessionKey, change: impl FnOnce(&mut LogRow)) {
    let lease = LeaseName::Session(session.clone());
    let lease = store.lease(&lease, &NodeId::new("vandal"), Duration::from_secs(1)).await.unwrap();
    let head = store.head(session).await.unwrap();
    let mut row = encode(head.seq.next(), Timestamp(0), &Entry::Resumed).unwrap();
    change(&mut row);
    let batch = Batch {
        entries: vec![row],
        consumed: vec![],
        dead: vec![],
        outbox: vec![],
        records: vec![],
        session: SessionUpdate { checkpoint: None, open: false, wake_at: None },
    };
    store.commit(&lease, session, head.seq, batch).await.unwrap();
    store.release(&lease).await.unwrap();
}

/// A way to damage a row.
type Damage = (&'static str, fn(&mut LogRow));

#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_be_read_sets_its_session_aside_and_no_other() -> Result<()> {
    let damages: [Damage; 4] = [
        ("an unknown kind", |row| {
            row.kind = "from_the_future".into();
            reseal(row, r#"{"v":1,"entry":"from_the_future"}"#);
        }),
        ("a newer version", |row| reseal(row, r#"{"v":99,"entry":"resumed"}"#)),
        ("no JSON", |row| reseal(row, "{\"v\":1,\"ent")),
        ("another payload", |row| row.payload = Some(r#"{"v":1,"entry":"suspended"}"#.into())),
    ];
    for (what, damage) in damages {
        let store = InMemory::new();
        let script = Scripted::from_fn(|_| Ok(scripted::Step::text("hello")));
        let gateway =
            || Gateway::builder().provider(script.clone()).store(store.clone()).ephemeral();
        let running = gateway().start().await?;
        let first = running.handle().ask("ada", "hi").reply().await?;
        running.handle().ask("bob", "hi").reply().await?;
        running.shutdown().await?;
        append(&store, &first.session, damage).await;
        let before = store.read(&first.session, Seq::ZERO, usize::MAX).await?;

        let running = gateway().start().await?;
        let handle = running.handle();
        // An hour is long enough for every retry; the sessions of others work all the while.
        let hour = Duration::from_secs(3_600);
        let stuck = handle.ask("ada", "are you there?").reply();
        let stuck = tokio::time::timeout(hour, stuck).await;
        assert!(!matches!(stuck, Ok(Ok(_))), "{what}: worked on all the same");
        assert_eq!(handle.ask("bob", "and you?").reply().await?.text, "hello", "{what}");
        running.shutdown().await?;
        let after = store.read(&first.session, Seq::ZERO, usize::MAX).await?;
        assert_eq!(before, after, "{what}: nothing was added to what cannot be read");
        let pending = store.inputs(&first.session, InputId::default(), 10).await?;
        assert_eq!(pending.len(), 1, "{what}: what was said is kept");
    }
    Ok(())
}

fn reseal(row: &mut LogRow, payload: &str) {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(payload);
    row.digest = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    row.payload = Some(payload.to_owned());
}
