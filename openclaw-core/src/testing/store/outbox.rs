//! Cases about what leaves.

use super::{
    ErrorKind, Handle, OutboundKey, Result, Seq, Timestamp, account, batch, entries, lease,
    outbound, place, refused, session,
};
use crate::{
    id::{AccountId, Conversation},
    message::{Action, Receipt},
    store::{NewOutbound, OutboundId, OutboundRow, OutboundState, Settlement},
};

const START: OutboundId = OutboundId(0);

/// Adds rows to the lane of `peer`, each in a group of its own, and reads them.
async fn lane_of(store: &Handle, peer: &str, keys: &[&str]) -> Result<Vec<OutboundRow>> {
    let new: Result<Vec<NewOutbound>> = keys.iter().map(|key| outbound(peer, key, key)).collect();
    store.write(vec![], new?).await?;
    store.lane(&place(peer)?, START, 100).await
}

fn keys(rows: &[OutboundRow]) -> Vec<&str> {
    rows.iter().map(|row| row.new.key.as_str()).collect()
}

async fn state(store: &Handle, key: &str) -> Result<Option<OutboundState>> {
    Ok(store.outbound(&OutboundKey::from(key)).await?.map(|row| row.state))
}

pub(super) async fn a_lane_keeps_the_order_of_commits(store: Handle) -> Result<()> {
    let a = session("a")?;
    let lease = lease(&store, &a).await?;
    let mut first = batch(vec![]);
    first.outbox =
        vec![outbound("a", "z", "g")?, outbound("b", "x", "g")?, outbound("a", "m", "g")?];
    store.commit(&lease, &a, Seq::ZERO, first).await?;
    let rows = lane_of(&store, "a", &["b", "a"]).await?;
    assert_eq!(keys(&rows), ["z", "m", "b", "a"]);
    assert!(rows.is_sorted_by(|x, y| x.id < y.id));
    for row in rows.iter().take(1) {
        assert_eq!(row.new, outbound("a", "z", "g")?);
        assert_eq!((&row.state, row.attempts, row.not_before), (&OutboundState::Pending, 0, None));
        let rest = store.lane(&place("a")?, row.id, 2).await?;
        assert_eq!(keys(&rest), ["m", "b"]);
    }
    Ok(())
}

pub(super) async fn lanes_with_work_are_listed(store: Handle) -> Result<()> {
    let other = AccountId::new("web", "other")?;
    let foreign = NewOutbound {
        conversation: Conversation::direct(other.clone(), "a"),
        ..outbound("a", "f", "f")?
    };
    let threaded =
        NewOutbound { conversation: place("a")?.in_thread("t"), ..outbound("a", "t", "t")? };
    store.write(vec![], vec![foreign.clone(), threaded.clone()]).await?;
    let done = lane_of(&store, "b", &["1", "2"]).await?;
    let work = lane_of(&store, "a", &["3"]).await?;
    for row in done.iter().chain(work.iter()) {
        store.claim(row.id, Timestamp(1)).await?;
    }
    let mut lanes = store.lanes(&account()?).await?;
    lanes.sort();
    assert_eq!(lanes, [place("a")?, threaded.conversation, place("b")?]);
    for row in &done {
        store.settle(row.id, Settlement::Sent(Receipt::default())).await?;
    }
    assert_eq!(store.lanes(&account()?).await?.len(), 2);
    assert_eq!(store.lanes(&other).await?, [foreign.conversation]);
    assert_eq!(store.lanes(&AccountId::new("web", "none")?).await?, []);
    Ok(())
}

pub(super) async fn a_claimed_row_is_being_sent(store: Handle) -> Result<()> {
    for row in lane_of(&store, "a", &["1"]).await? {
        store.claim(row.id, Timestamp(77)).await?;
        let claimed = store.lane(&place("a")?, START, 10).await?;
        let since = OutboundState::Sending { since: Timestamp(77) };
        assert_eq!(claimed, [OutboundRow { state: since, ..row.clone() }]);
        store.settle(row.id, Settlement::Unknown).await?;
        refused(store.claim(row.id, Timestamp(78)).await, ErrorKind::Conflict);
    }
    assert_eq!(state(&store, "1").await?, Some(OutboundState::Unknown));
    Ok(())
}

pub(super) async fn a_settled_row_is_found_by_its_key(store: Handle) -> Result<()> {
    let receipt = Receipt { messages: vec!["m1".into(), "m2".into()] };
    let settlements = [
        (Settlement::Sent(receipt.clone()), OutboundState::Sent { receipt }),
        (Settlement::Unknown, OutboundState::Unknown),
        (Settlement::Failed(ErrorKind::Denied), OutboundState::Failed { error: ErrorKind::Denied }),
    ];
    let rows = lane_of(&store, "a", &["1", "2", "3", "4"]).await?;
    for (row, (settlement, expected)) in rows.iter().zip(settlements) {
        store.settle(row.id, settlement).await?;
        let found = store.outbound(&row.new.key).await?;
        assert_eq!(found.as_ref().map(|found| &found.state), Some(&expected));
        assert_eq!(found.map(|found| found.new), Some(row.new.clone()));
    }
    assert_eq!(keys(&store.lane(&place("a")?, START, 10).await?), ["4"]);
    assert_eq!(state(&store, "4").await?, Some(OutboundState::Pending));
    assert_eq!(state(&store, "none").await?, None);
    Ok(())
}

pub(super) async fn a_retry_waits_in_its_place(store: Handle) -> Result<()> {
    let rows = lane_of(&store, "a", &["1", "2"]).await?;
    for (row, attempts) in rows.first().into_iter().cycle().take(2).zip(1..) {
        store.claim(row.id, Timestamp(1)).await?;
        store.settle(row.id, Settlement::Retry { at: Timestamp(50) }).await?;
        let lane = store.lane(&place("a")?, START, 10).await?;
        assert_eq!(keys(&lane), ["1", "2"]);
        let first = lane.first().map(|row| (row.state.clone(), row.attempts, row.not_before));
        assert_eq!(first, Some((OutboundState::Pending, attempts, Some(Timestamp(50)))));
    }
    assert_eq!(rows.len(), 2);
    Ok(())
}

pub(super) async fn a_failure_skips_the_rest_of_its_group(store: Handle) -> Result<()> {
    let new = vec![
        outbound("a", "1", "g")?,
        outbound("a", "2", "g")?,
        outbound("a", "other", "h")?,
        outbound("a", "3", "g")?,
    ];
    store.write(vec![], new).await?;
    let rows = store.lane(&place("a")?, START, 10).await?;
    let mut ids = rows.iter().map(|row| row.id);
    let (Some(first), Some(second)) = (ids.next(), ids.next()) else {
        return Err(crate::Error::internal("the rows are not in their lane"));
    };
    store.settle(first, Settlement::Sent(Receipt::default())).await?;
    store.settle(second, Settlement::Failed(ErrorKind::Denied)).await?;
    let failed = Some(OutboundState::Failed { error: ErrorKind::Denied });
    assert_eq!(state(&store, "2").await?, failed);
    assert_eq!(state(&store, "3").await?, failed);
    let sent = Some(OutboundState::Sent { receipt: Receipt::default() });
    assert_eq!(state(&store, "1").await?, sent);
    assert_eq!(keys(&store.lane(&place("a")?, START, 10).await?), ["other"]);
    Ok(())
}

pub(super) async fn what_was_not_delivered_is_listed(store: Handle) -> Result<()> {
    let new = vec![
        outbound("a", "1", "g")?,
        outbound("a", "2", "g")?,
        outbound("a", "3", "h")?,
        outbound("b", "4", "i")?,
        outbound("b", "5", "j")?,
    ];
    store.write(vec![], new).await?;
    let settlements = [
        ("1", Settlement::Failed(ErrorKind::Denied)),
        ("3", Settlement::Sent(Receipt::default())),
        ("4", Settlement::Unknown),
        ("5", Settlement::Retry { at: Timestamp(5) }),
    ];
    for (key, settlement) in settlements {
        let row = store.outbound(&key.into()).await?;
        let row = row.ok_or_else(|| crate::Error::internal("a row is gone"))?;
        store.settle(row.id, settlement).await?;
    }
    // The rest of a message that failed was not delivered either.
    let found = store.undelivered(10).await?;
    assert_eq!(keys(&found), ["4", "2", "1"]);
    let states: Vec<_> = found.iter().map(|row| row.state.clone()).collect();
    let failed = OutboundState::Failed { error: ErrorKind::Denied };
    assert_eq!(states, [OutboundState::Unknown, failed.clone(), failed]);
    assert_eq!(keys(&store.undelivered(1).await?), ["4"]);
    Ok(())
}

pub(super) async fn settling_again_changes_nothing(store: Handle) -> Result<()> {
    let sent = OutboundState::Sent { receipt: Receipt::message("m1") };
    for row in lane_of(&store, "a", &["1"]).await? {
        store.settle(row.id, Settlement::Sent(Receipt::message("m1"))).await?;
        store.settle(row.id, Settlement::Failed(ErrorKind::Denied)).await?;
        store.settle(row.id, Settlement::Retry { at: Timestamp(5) }).await?;
        store.settle(row.id, Settlement::Sent(Receipt::message("m2"))).await?;
        let found = store.outbound(&row.new.key).await?;
        assert_eq!(found, Some(OutboundRow { state: sent.clone(), ..row }));
    }
    assert_eq!(state(&store, "1").await?, Some(sent));
    assert_eq!(store.lanes(&account()?).await?, []);
    Ok(())
}

pub(super) async fn a_key_that_is_there_adds_nothing(store: Handle) -> Result<()> {
    let first = lane_of(&store, "a", &["1", "2"]).await?;
    store.write(vec![], vec![outbound("b", "1", "x")?, outbound("b", "3", "x")?]).await?;
    let a = session("a")?;
    let lease = lease(&store, &a).await?;
    let mut again = batch(vec![]);
    again.outbox =
        vec![outbound("a", "1", "y")?, outbound("a", "4", "y")?, outbound("a", "4", "y")?];
    store.commit(&lease, &a, Seq::ZERO, again).await?;
    let lane = store.lane(&place("a")?, START, 10).await?;
    assert_eq!(keys(&lane), ["1", "2", "4"]);
    assert_eq!(lane.get(..2), Some(first.as_slice()));
    assert_eq!(keys(&store.lane(&place("b")?, START, 10).await?), ["3"]);

    // Also once it was sent.
    for row in &first {
        store.settle(row.id, Settlement::Sent(Receipt::default())).await?;
    }
    assert_eq!(keys(&lane_of(&store, "a", &["1", "2"]).await?), ["4"]);
    Ok(())
}

pub(super) async fn a_row_that_does_not_exist_is_not_found(store: Handle) -> Result<()> {
    let none = OutboundId(1_000_000);
    refused(store.claim(none, Timestamp(1)).await, ErrorKind::NotFound);
    refused(store.settle(none, Settlement::Unknown).await, ErrorKind::NotFound);
    Ok(())
}

async fn action(store: &Handle, key: &str) -> Result<Option<Action>> {
    let row = store.outbound(&OutboundKey::from(key)).await?;
    Ok(row.map(|row| row.new.action))
}

pub(super) async fn erasure_empties_what_was_sent(store: Handle) -> Result<()> {
    let rows = lane_of(&store, "a", &["sent", "pending"]).await?;
    let others = lane_of(&store, "b", &["other"]).await?;
    let receipt = Receipt::message("m1");
    for row in rows.iter().take(1).chain(&others) {
        store.settle(row.id, Settlement::Sent(receipt.clone())).await?;
    }
    let a = session("a")?;
    let lease = lease(&store, &a).await?;
    store.commit(&lease, &a, Seq::ZERO, batch(entries(1, 1))).await?;
    assert_eq!(store.erase(&a, Seq(1), Seq(1)).await?, 1);
    for row in rows.iter().take(1) {
        let empty = row.new.action.clone().without_content();
        assert_eq!(action(&store, "sent").await?, Some(empty));
    }
    assert_eq!(state(&store, "sent").await?, Some(OutboundState::Sent { receipt }));
    // What is to be sent, and what others were sent, stays.
    for (key, row) in ["pending", "other"].into_iter().zip(rows.iter().skip(1).chain(&others)) {
        assert_eq!(action(&store, key).await?, Some(row.new.action.clone()));
    }
    assert_eq!(keys(&lane_of(&store, "a", &["sent"]).await?), ["pending"]);
    Ok(())
}
