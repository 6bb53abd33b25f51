//! Cases about what a new process finds.

use super::{
    AcceptOutcome, Handle, InputId, LeaseName, NodeId, OutboundKey, RecordKey, Result, Seq,
    SessionUpdate, StoreFixture, TTL, Timestamp, Verdict, accept, batch, control, entries, input,
    lease, outbound, record, session,
};
use crate::{message::Receipt, store::Settlement};

fn ephemeral() -> Verdict {
    Verdict::Skipped("the store says that it is ephemeral".into())
}

/// All that can be read of what [`everything_survives`] writes, as text.
async fn contents(store: &Handle) -> Result<Vec<String>> {
    let (a, b) = (session("a")?, session("b")?);
    let mut all = vec![
        format!("{:?}", store.inputs(&a, InputId::default(), 10).await?),
        format!("{:?}", store.inputs(&b, InputId::default(), 10).await?),
        format!("{:?}", store.unfinished(None, 10).await?),
        format!("{:?}", store.sessions(None, 10).await?),
        format!("{:?}", store.read(&a, Seq::ZERO, 10).await?),
        format!("{:?}", store.dead_letters(10).await?),
        format!("{:?}", store.records("space", "", None, 10).await?),
        format!("{:?}", store.record(&RecordKey::new("space", "one")).await?),
        format!("{:?}", store.lanes(&a.conversation().account).await?),
    ];
    for key in ["k1", "k2", "k3", "k4"] {
        all.push(format!("{:?}", store.outbound(&OutboundKey::from(key)).await?));
    }
    Ok(all)
}

pub(super) async fn everything_survives(fixture: impl StoreFixture) -> Result<Verdict> {
    let store = fixture.open().await?;
    if store.is_ephemeral() {
        return Ok(ephemeral());
    }
    let (a, b) = (session("a")?, session("b")?);
    accept(&store, vec![input(&a, 1), input(&a, 2), control(&a, 3), input(&b, 4), input(&a, 5)])
        .await?;
    let rows = store.inputs(&a, InputId::default(), 10).await?;
    let mut ids = rows.iter().map(|row| row.id);
    let mut first = batch(entries(1, 3));
    first.consumed = ids.next().into_iter().collect();
    first.dead = ids.next().map(|id| (id, "no use".to_owned())).into_iter().collect();
    first.outbox = ["k1", "k2", "k3", "k4"]
        .into_iter()
        .map(|key| outbound("a", key, key))
        .collect::<Result<_>>()?;
    first.records = vec![record("one", None, Some("x")), record("one", None, Some("y"))];
    let wake_at = Some(Timestamp(99));
    first.session = SessionUpdate { checkpoint: Some(Seq(1)), open: true, wake_at };
    let held = lease(&store, &a).await?;
    store.commit(&held, &a, Seq::ZERO, first).await?;
    store.erase(&a, Seq(2), Seq(2)).await?;
    let lane = store.lane(a.conversation(), crate::store::OutboundId(0), 10).await?;
    let mut ids = lane.iter().map(|row| row.id);
    if let (Some(one), Some(two), Some(three)) = (ids.next(), ids.next(), ids.next()) {
        store.claim(one, Timestamp(5)).await?;
        store.settle(two, Settlement::Sent(Receipt::message("m1"))).await?;
        store.settle(three, Settlement::Retry { at: Timestamp(6) }).await?;
    }
    let before = contents(&store).await?;
    drop(store);

    let store = fixture.open().await?;
    assert_eq!(contents(&store).await?, before);
    // Keys, limits and order go on where they were.
    assert_eq!(
        accept(&store, vec![input(&a, 1)]).await?,
        [AcceptOutcome::Duplicate { session: a.clone() }]
    );
    let newest = rows.iter().map(|row| row.id).max();
    match accept(&store, vec![input(&a, 6)]).await?.as_slice() {
        [AcceptOutcome::Added { id, .. }] => assert!(Some(*id) > newest),
        other => assert_eq!(other, []),
    }
    let held = lease(&store, &a).await?;
    store.commit(&held, &a, Seq(3), batch(entries(4, 4))).await?;
    assert_eq!(store.head(&a).await?.seq, Seq(4));
    Ok(Verdict::Passed)
}

pub(super) async fn epochs_rise(fixture: impl StoreFixture) -> Result<Verdict> {
    let store = fixture.open().await?;
    if store.is_ephemeral() {
        return Ok(ephemeral());
    }
    let name = LeaseName::Session(session("a")?);
    let node = NodeId::from("node");
    let mut before = 0;
    for _ in 0..3 {
        before = store.lease(&name, &node, TTL).await?.epoch;
    }
    drop(store);
    let store = fixture.open().await?;
    let after = store.lease(&name, &node, TTL).await?.epoch;
    assert!(after > before, "{after} after {before}");
    Ok(Verdict::Passed)
}
