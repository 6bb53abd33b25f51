//! Cases about commits, logs and heads.

use super::{
    ErrorKind, Handle, Result, Seq, SessionKey, Timestamp, accept, add, batch, entries, entry,
    input, lease, outbound, pending, record, refused, session,
};
use crate::store::{InputId, OutboundId, RecordKey, SessionHead, SessionUpdate, Unfinished};

pub(super) async fn a_log_is_read_as_it_was_written(store: Handle) -> Result<()> {
    let (a, b) = (session("a")?, session("b")?);
    let (of_a, of_b) = (lease(&store, &a).await?, lease(&store, &b).await?);
    store.commit(&of_a, &a, Seq::ZERO, batch(entries(1, 3))).await?;
    store.commit(&of_b, &b, Seq::ZERO, batch(entries(1, 1))).await?;
    store.commit(&of_a, &a, Seq(3), batch(entries(4, 5))).await?;
    assert_eq!(store.read(&a, Seq::ZERO, 100).await?, entries(1, 5));
    assert_eq!(store.read(&a, Seq(2), 2).await?, entries(3, 4));
    assert_eq!(store.read(&a, Seq(5), 2).await?, []);
    assert_eq!(store.read(&b, Seq::ZERO, 100).await?, entries(1, 1));
    assert_eq!(store.read(&session("none")?, Seq::ZERO, 100).await?, []);
    Ok(())
}

pub(super) async fn a_commit_elsewhere_than_at_the_end_changes_nothing(
    store: Handle,
) -> Result<()> {
    let a = session("a")?;
    let lease = lease(&store, &a).await?;
    store.commit(&lease, &a, Seq::ZERO, batch(entries(1, 2))).await?;
    let head = store.head(&a).await?;
    let twice = store.commit(&lease, &a, Seq(1), batch(entries(2, 2))).await;
    refused(twice, ErrorKind::Conflict);
    refused(store.commit(&lease, &a, Seq(3), batch(entries(4, 4))).await, ErrorKind::Conflict);
    refused(store.commit(&lease, &a, Seq(1), batch(vec![])).await, ErrorKind::Conflict);
    let gap = store.commit(&lease, &a, Seq(2), batch(vec![entry(3), entry(5)])).await;
    refused(gap, ErrorKind::InvalidInput);
    assert_eq!(store.read(&a, Seq::ZERO, 100).await?, entries(1, 2));
    assert_eq!(store.head(&a).await?, head);
    Ok(())
}

pub(super) async fn only_one_of_many_commits_at_one_end_wins(store: Handle) -> Result<()> {
    let a = session("a")?;
    let lease = lease(&store, &a).await?;
    let tries = (0..16).map(|_| store.commit(&lease, &a, Seq::ZERO, batch(entries(1, 2))));
    let results = futures_util::future::join_all(tries).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    assert_eq!(store.read(&a, Seq::ZERO, 100).await?, entries(1, 2));
    Ok(())
}

pub(super) async fn what_is_consumed_is_gone(store: Handle) -> Result<()> {
    let a = session("a")?;
    let first = add(&store, input(&a, 1)).await?;
    add(&store, input(&a, 2)).await?;
    let lease = lease(&store, &a).await?;
    let mut done = batch(entries(1, 1));
    done.consumed = vec![first];
    store.commit(&lease, &a, Seq::ZERO, done).await?;
    assert_eq!(pending(&store, &a).await?, ["v:2"]);
    let unfinished = store.unfinished(None, 10).await?;
    assert_eq!(unfinished.iter().map(|row| row.pending).collect::<Vec<_>>(), [1]);
    Ok(())
}

pub(super) async fn what_is_not_pending_cannot_be_consumed(store: Handle) -> Result<()> {
    let (a, b) = (session("a")?, session("b")?);
    let first = add(&store, input(&a, 1)).await?;
    let second = add(&store, input(&a, 2)).await?;
    let foreign = add(&store, input(&b, 3)).await?;
    let lease = lease(&store, &a).await?;
    let mut done = batch(entries(1, 1));
    done.consumed = vec![first];
    store.commit(&lease, &a, Seq::ZERO, done).await?;

    let never = InputId(1_000_000);
    for wrong in [vec![second, first], vec![second, second], vec![foreign], vec![never]] {
        let mut bad = batch(entries(2, 2));
        bad.consumed = wrong.clone();
        refused(store.commit(&lease, &a, Seq(1), bad).await, ErrorKind::Conflict);
        let mut bad = batch(entries(2, 2));
        bad.dead = wrong.into_iter().map(|id| (id, "no use".into())).collect();
        refused(store.commit(&lease, &a, Seq(1), bad).await, ErrorKind::Conflict);
    }
    assert_eq!(pending(&store, &a).await?, ["v:2"]);
    assert_eq!(pending(&store, &b).await?, ["v:3"]);
    assert_eq!(store.head(&a).await?.seq, Seq(1));
    assert_eq!(store.dead_letters(10).await?, []);
    Ok(())
}

async fn untouched(store: &Handle, a: &SessionKey) -> Result<()> {
    assert_eq!(store.head(a).await?, SessionHead::default());
    assert_eq!(store.read(a, Seq::ZERO, 10).await?, []);
    assert_eq!(pending(store, a).await?, ["v:1", "v:2"]);
    assert_eq!(store.dead_letters(10).await?, []);
    assert_eq!(store.lane(a.conversation(), OutboundId(0), 10).await?, []);
    assert_eq!(store.record(&RecordKey::new("space", "new")).await?, None);
    Ok(())
}

pub(super) async fn a_batch_is_all_or_nothing(store: Handle) -> Result<()> {
    let a = session("a")?;
    accept(&store, vec![input(&a, 1), input(&a, 2)]).await?;
    let ids: Vec<InputId> =
        store.inputs(&a, InputId::default(), 10).await?.iter().map(|row| row.id).collect();
    store.write(vec![record("old", None, Some("x"))], vec![]).await?;
    let lease = lease(&store, &a).await?;

    let mut all = batch(entries(1, 2));
    all.consumed = ids.iter().take(1).copied().collect();
    all.dead = ids.iter().skip(1).map(|id| (*id, "bad".to_owned())).collect();
    all.outbox = vec![outbound("a", "k1", "g")?];
    all.records = vec![record("new", Some(0), Some("y")), record("old", Some(9), Some("z"))];
    all.session = SessionUpdate { checkpoint: Some(Seq(1)), open: true, wake_at: None };
    refused(store.commit(&lease, &a, Seq::ZERO, all.clone()).await, ErrorKind::Conflict);
    untouched(&store, &a).await?;

    let mut late = all.clone();
    late.records = vec![];
    late.consumed.push(InputId(1_000_000));
    refused(store.commit(&lease, &a, Seq::ZERO, late).await, ErrorKind::Conflict);
    untouched(&store, &a).await?;

    all.records.pop();
    store.commit(&lease, &a, Seq::ZERO, all).await?;
    assert_eq!(store.head(&a).await?.seq, Seq(2));
    assert_eq!(pending(&store, &a).await?, Vec::<String>::new());
    assert_eq!(store.dead_letters(10).await?.len(), 1);
    assert_eq!(store.lane(a.conversation(), OutboundId(0), 10).await?.len(), 1);
    assert!(store.record(&RecordKey::new("space", "new")).await?.is_some());
    Ok(())
}

pub(super) async fn the_head_tells_checkpoint_turn_and_alarm(store: Handle) -> Result<()> {
    let a = session("a")?;
    assert_eq!(store.head(&a).await?, SessionHead::default());
    let lease = lease(&store, &a).await?;
    let mut one = batch(entries(1, 2));
    let wake_at = Some(Timestamp(99));
    one.session = SessionUpdate { checkpoint: Some(Seq(1)), open: true, wake_at };
    store.commit(&lease, &a, Seq::ZERO, one).await?;
    let expected =
        SessionHead { seq: Seq(2), checkpoint: Seq(1), open: true, wake_at, revision: 0 };
    assert_eq!(store.head(&a).await?, expected);

    // An update without a checkpoint keeps the one before; turn and alarm are as it says.
    store.commit(&lease, &a, Seq(2), batch(entries(3, 3))).await?;
    let expected = SessionHead { seq: Seq(3), checkpoint: Seq(1), ..SessionHead::default() };
    assert_eq!(store.head(&a).await?, expected);
    Ok(())
}

pub(super) async fn an_open_turn_is_unfinished(store: Handle) -> Result<()> {
    let a = session("a")?;
    let lease = lease(&store, &a).await?;
    let mut open = batch(entries(1, 1));
    open.session = SessionUpdate { checkpoint: None, open: true, wake_at: Some(Timestamp(99)) };
    store.commit(&lease, &a, Seq::ZERO, open).await?;
    match store.unfinished(None, 10).await?.as_slice() {
        [row] => assert_eq!(
            (&row.session, row.pending, row.open, row.wake_at),
            (&a, 0, true, Some(Timestamp(99)))
        ),
        other => assert_eq!(other, []),
    }
    assert_eq!(store.unfinished(None, 10).await?.len(), 1);
    store.commit(&lease, &a, Seq(1), batch(entries(2, 2))).await?;
    assert_eq!(store.unfinished(None, 10).await?, []);
    Ok(())
}

pub(super) async fn an_alarm_is_unfinished(store: Handle) -> Result<()> {
    let (a, wake_at) = (session("a")?, Some(Timestamp(99)));
    let lease = lease(&store, &a).await?;
    let mut waits = batch(entries(1, 1));
    waits.session = SessionUpdate { checkpoint: None, open: false, wake_at };
    store.commit(&lease, &a, Seq::ZERO, waits).await?;
    let expected = Unfinished { session: a.clone(), pending: 0, open: false, wake_at };
    assert_eq!(store.unfinished(None, 10).await?, [expected]);
    store.commit(&lease, &a, Seq(1), batch(entries(2, 2))).await?;
    assert_eq!(store.unfinished(None, 10).await?, []);
    Ok(())
}

pub(super) async fn sessions_are_listed_in_pages(store: Handle) -> Result<()> {
    let mut names = vec![session("c")?, session("a")?, session("b")?];
    for name in &names {
        let lease = lease(&store, name).await?;
        store.commit(&lease, name, Seq::ZERO, batch(entries(1, 2))).await?;
    }
    names.sort();
    let all = store.sessions(None, 10).await?;
    assert_eq!(all.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), names);
    assert!(all.iter().all(|(_, head)| head.seq == Seq(2)), "{all:?}");
    assert_eq!(store.sessions(names.first(), 1).await?, all.get(1..2).unwrap_or_default());
    assert_eq!(store.sessions(names.last(), 1).await?, []);
    Ok(())
}

pub(super) async fn erasure_keeps_envelopes(store: Handle) -> Result<()> {
    let a = session("a")?;
    let lease = lease(&store, &a).await?;
    store.commit(&lease, &a, Seq::ZERO, batch(entries(1, 5))).await?;
    let revision = store.head(&a).await?.revision;
    assert_eq!(store.erase(&a, Seq(2), Seq(3)).await?, 2);
    let erased = store.head(&a).await?.revision;
    assert!(erased > revision, "{erased} after {revision}");
    assert_eq!(store.erase(&a, Seq(3), Seq(4)).await?, 1);
    assert_eq!(store.erase(&session("b")?, Seq(1), Seq(9)).await?, 0);
    let mut expected = entries(1, 5);
    for row in expected.iter_mut().skip(1).take(3) {
        row.payload = None;
    }
    assert_eq!(store.read(&a, Seq::ZERO, 10).await?, expected);
    store.commit(&lease, &a, Seq(5), batch(entries(6, 6))).await
}
