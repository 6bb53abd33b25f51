//! The conformance suite of [`Store`], and what its cases share.

mod durable;
pub mod faulty;
mod inputs;
mod leases;
mod log;
mod outbox;
mod records;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{Suite, Verdict};
use crate::{
    error::{ErrorKind, Result},
    id::{AccountId, Conversation, EventKey, NodeId, OutboundKey, Seq, SessionKey},
    label::Label,
    message::{Action, Content},
    store::{
        AcceptLimits, AcceptOutcome, Batch, InputId, Lease, LeaseName, LogRow, NewInput,
        NewOutbound, RecordKey, RecordWrite, SessionUpdate, Store,
    },
    time::Timestamp,
};

/// How the suite opens the store under test.
#[async_trait]
pub trait StoreFixture: Send + Sync + 'static {
    /// Opens the store. The first call gives an empty one. A later call gives what a new process
    /// would find, after the earlier handle is no longer used; it is not made if the store says that
    /// it [is ephemeral](Store::is_ephemeral).
    async fn open(&self) -> Result<Arc<dyn Store>>;
}

/// The contract of a [`Store`], as cases. `fixture` is called once a case, so that cases share nothing.
///
/// ```
/// # use std::sync::Arc;
/// use openclaw_core::{Result, async_trait, store::{InMemory, Store}, testing::store};
///
/// struct Fixture;
///
/// #[async_trait]
/// impl store::StoreFixture for Fixture {
///     async fn open(&self) -> Result<Arc<dyn Store>> {
///         Ok(Arc::new(InMemory::new()))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// store::suite("in memory", || Fixture).assert().await;
/// # }
/// ```
pub fn suite<F: StoreFixture>(
    name: impl Into<String>,
    fixture: impl Fn() -> F + Clone + Send + Sync + 'static,
) -> Suite {
    macro_rules! cases {
        ($($module:ident :: $case:ident),* $(,)?) => {
            Suite::new(name)$(.case(stringify!($case), {
                let fixture = fixture.clone();
                move || {
                    let fixture = fixture();
                    async move {
                        $module::$case(fixture.open().await?).await?;
                        Ok(Verdict::Passed)
                    }
                }
            }))*
        };
    }
    let suite = cases![
        inputs::inputs_keep_the_order_of_acceptance,
        inputs::a_key_is_accepted_once,
        inputs::keys_of_other_conversations_are_other_keys,
        inputs::a_key_is_known_whichever_session_it_comes_for,
        inputs::a_full_store_refuses_and_keeps_no_key,
        inputs::a_full_session_gives_up_its_oldest,
        inputs::controls_come_first,
        inputs::inputs_are_read_on_from_one,
        inputs::controls_are_never_refused_nor_dropped,
        inputs::a_key_accepted_at_once_by_many_is_added_once,
        inputs::unfinished_sessions_are_listed_in_pages,
        inputs::dead_letters_are_newest_first,
        leases::a_lease_excludes_other_nodes,
        leases::a_lease_ends_with_its_time,
        leases::a_beat_keeps_leases,
        leases::a_released_lease_is_free,
        leases::an_older_lease_cannot_commit,
        log::a_log_is_read_as_it_was_written,
        log::a_commit_elsewhere_than_at_the_end_changes_nothing,
        log::only_one_of_many_commits_at_one_end_wins,
        log::what_is_consumed_is_gone,
        log::what_is_not_pending_cannot_be_consumed,
        log::a_batch_is_all_or_nothing,
        log::the_head_tells_checkpoint_turn_and_alarm,
        log::an_open_turn_is_unfinished,
        log::an_alarm_is_unfinished,
        log::sessions_are_listed_in_pages,
        log::erasure_keeps_envelopes,
        outbox::a_lane_keeps_the_order_of_commits,
        outbox::lanes_with_work_are_listed,
        outbox::a_claimed_row_is_being_sent,
        outbox::a_settled_row_is_found_by_its_key,
        outbox::a_retry_waits_in_its_place,
        outbox::a_failure_skips_the_rest_of_its_group,
        outbox::what_was_not_delivered_is_listed,
        outbox::settling_again_changes_nothing,
        outbox::a_key_that_is_there_adds_nothing,
        outbox::a_row_that_does_not_exist_is_not_found,
        outbox::erasure_empties_what_was_sent,
        records::versions_rise_from_one,
        records::a_version_guards_a_write,
        records::a_write_is_all_or_nothing,
        records::records_are_listed_by_prefix_in_pages,
    ];
    let reopened = fixture.clone();
    suite
        .case("everything_survives_reopening", move || durable::everything_survives(fixture()))
        .case("epochs_rise_over_reopening", move || durable::epochs_rise(reopened()))
}

type Handle = Arc<dyn Store>;

const TTL: Duration = Duration::from_secs(60);
const NO_LIMITS: AcceptLimits = AcceptLimits { total: u64::MAX, session: u64::MAX };

fn account() -> Result<AccountId> {
    AccountId::new("web", "a")
}

fn place(peer: &str) -> Result<Conversation> {
    Ok(Conversation::direct(account()?, peer))
}

fn session(peer: &str) -> Result<SessionKey> {
    Ok(SessionKey::new("main".into(), place(peer)?))
}

/// An input whose time runs backwards as `number` rises, as a platform's clock may.
fn input(session: &SessionKey, number: i64) -> NewInput {
    NewInput {
        session: session.clone(),
        heard: session.conversation().clone(),
        key: EventKey::event(&number.to_string()),
        control: false,
        at: Timestamp(1_000_000 - number),
        payload: format!("{{\"n\":{number},\"text\":\"x\u{0}\u{1F600}\"}}"),
    }
}

fn control(session: &SessionKey, number: i64) -> NewInput {
    NewInput { control: true, ..input(session, number) }
}

async fn accept(store: &Handle, inputs: Vec<NewInput>) -> Result<Vec<AcceptOutcome>> {
    store.accept(inputs, NO_LIMITS).await
}

/// Accepts one input, which must be added, and returns its place.
async fn add(store: &Handle, input: NewInput) -> Result<InputId> {
    match accept(store, vec![input]).await?.as_slice() {
        [AcceptOutcome::Added { id, dropped: 0 }] => Ok(*id),
        other => Err(crate::Error::internal(format!("expected one Added, not {other:?}"))),
    }
}

/// The numbers of the pending inputs of a session, as read.
async fn pending(store: &Handle, session: &SessionKey) -> Result<Vec<String>> {
    let rows = store.inputs(session, InputId::default(), 1_000).await?;
    Ok(rows.into_iter().map(|row| row.key.as_str().to_owned()).collect())
}

async fn lease(store: &Handle, session: &SessionKey) -> Result<Lease> {
    store.lease(&LeaseName::Session(session.clone()), &NodeId::from("node"), TTL).await
}

fn entry(seq: u64) -> LogRow {
    LogRow {
        seq: Seq(seq),
        kind: "note".into(),
        at: Timestamp(5),
        label: Label::untrusted("web:example.org").join(&Label::user("owner")),
        digest: format!("{seq:064x}"),
        payload: Some(format!("{{\"entry\":{seq},\"text\":\"\u{0}\u{1F600}\"}}")),
    }
}

fn entries(from: u64, to: u64) -> Vec<LogRow> {
    (from..=to).map(entry).collect()
}

fn batch(entries: Vec<LogRow>) -> Batch {
    Batch {
        entries,
        consumed: Vec::new(),
        dead: Vec::new(),
        outbox: Vec::new(),
        records: Vec::new(),
        session: SessionUpdate { checkpoint: None, open: false, wake_at: None },
    }
}

fn outbound(peer: &str, key: &str, group: &str) -> Result<NewOutbound> {
    let key = OutboundKey::from(key);
    let content = vec![Content::text(format!("**{key}** \u{1F600}"))];
    Ok(NewOutbound {
        key: key.clone(),
        conversation: place(peer)?,
        session: Some(session(peer)?),
        action: Action::Send { key, content, reply_to: Some("m1".into()) },
        group: OutboundKey::from(group),
        edits: Some(OutboundKey::from("earlier")),
        at: Timestamp(7),
    })
}

fn record(name: &str, expect: Option<u64>, value: Option<&str>) -> RecordWrite {
    let value = value.map(|text| format!("{{\"value\":\"{text}\"}}"));
    RecordWrite { key: RecordKey::new("space", name), expect, value }
}

/// Fails the case unless `result` is an error of `kind`.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T>, kind: ErrorKind) {
    let found = result.as_ref().map_err(crate::Error::kind);
    assert!(found.is_err_and(|found| found == kind), "expected {kind:?}, not {result:?}");
}
