//! Cases about leases and fencing.

use std::time::Duration;

use super::{
    ErrorKind, Handle, LeaseName, NodeId, Result, Seq, TTL, account, batch, entries, lease,
    refused, session,
};
use crate::store::Lease;

const SHORT: Duration = Duration::from_millis(20);

fn one() -> NodeId {
    NodeId::from("one")
}

fn two() -> NodeId {
    NodeId::from("two")
}

pub(super) async fn a_lease_excludes_other_nodes(store: Handle) -> Result<()> {
    let name = LeaseName::Account(account()?);
    let first = store.lease(&name, &one(), TTL).await?;
    refused(store.lease(&name, &two(), TTL).await, ErrorKind::Conflict);
    let again = store.lease(&name, &one(), TTL).await?;
    assert!(again.epoch > first.epoch, "{again:?} after {first:?}");
    assert_eq!((again.name, again.node), (name, one()));
    store.lease(&LeaseName::Session(session("a")?), &two(), TTL).await?;
    Ok(())
}

pub(super) async fn a_lease_ends_with_its_time(store: Handle) -> Result<()> {
    let name = LeaseName::Session(session("a")?);
    let first = store.lease(&name, &one(), SHORT).await?;
    tokio::time::sleep(SHORT * 2).await;
    let second = store.lease(&name, &two(), TTL).await?;
    assert!(second.epoch > first.epoch, "{second:?} after {first:?}");
    refused(store.lease(&name, &one(), TTL).await, ErrorKind::Conflict);
    Ok(())
}

pub(super) async fn a_beat_keeps_leases(store: Handle) -> Result<()> {
    let name = LeaseName::Session(session("a")?);
    store.lease(&name, &one(), SHORT).await?;
    store.beat(&one(), TTL).await?;
    tokio::time::sleep(SHORT * 2).await;
    refused(store.lease(&name, &two(), TTL).await, ErrorKind::Conflict);
    Ok(())
}

pub(super) async fn a_released_lease_is_free(store: Handle) -> Result<()> {
    let a = session("a")?;
    let name = LeaseName::Session(a.clone());
    let first = store.lease(&name, &one(), TTL).await?;
    store.release(&first).await?;
    refused(store.commit(&first, &a, Seq::ZERO, batch(entries(1, 1))).await, ErrorKind::Conflict);
    let second = store.lease(&name, &two(), TTL).await?;
    // Giving back what is lost is no error, and takes nothing from the holder.
    store.release(&first).await?;
    store.commit(&second, &a, Seq::ZERO, batch(entries(1, 1))).await
}

pub(super) async fn an_older_lease_cannot_commit(store: Handle) -> Result<()> {
    let (a, b) = (session("a")?, session("b")?);
    let old = lease(&store, &a).await?;
    let new = lease(&store, &a).await?;
    let other = lease(&store, &b).await?;
    let forged = Lease { name: LeaseName::Account(account()?), ..new.clone() };
    for wrong in [&old, &other, &forged] {
        let result = store.commit(wrong, &a, Seq::ZERO, batch(entries(1, 1))).await;
        refused(result, ErrorKind::Conflict);
    }
    assert_eq!(store.head(&a).await?.seq, Seq::ZERO);
    assert!(store.read(&a, Seq::ZERO, 10).await?.is_empty());
    store.commit(&new, &a, Seq::ZERO, batch(entries(1, 1))).await
}
