//! Cases about records.

use super::{ErrorKind, Handle, Result, outbound, place, record, refused};
use crate::store::{OutboundId, Record, RecordKey};

async fn version(store: &Handle, name: &str) -> Result<Option<u64>> {
    Ok(store.record(&RecordKey::new("space", name)).await?.map(|found| found.version))
}

pub(super) async fn versions_rise_from_one(store: Handle) -> Result<()> {
    assert_eq!(version(&store, "a").await?, None);
    store.write(vec![record("a", None, Some("x"))], vec![]).await?;
    store.write(vec![record("a", None, Some("y")), record("b", None, Some("z"))], vec![]).await?;
    let key = RecordKey::new("space", "a");
    let value = "{\"value\":\"y\"}".to_owned();
    assert_eq!(store.record(&key).await?, Some(Record { key, version: 2, value }));
    assert_eq!(version(&store, "b").await?, Some(1));
    assert_eq!(store.record(&RecordKey::new("other", "a")).await?, None);
    store.write(vec![record("a", None, None), record("none", None, None)], vec![]).await?;
    assert_eq!(version(&store, "a").await?, None);
    Ok(())
}

pub(super) async fn a_version_guards_a_write(store: Handle) -> Result<()> {
    let write = |expect, value| store.write(vec![record("a", expect, value)], vec![]);
    refused(write(Some(1), Some("x")).await, ErrorKind::Conflict);
    write(Some(0), Some("x")).await?;
    refused(write(Some(0), Some("y")).await, ErrorKind::Conflict);
    refused(write(Some(2), None).await, ErrorKind::Conflict);
    write(Some(1), Some("y")).await?;
    assert_eq!(version(&store, "a").await?, Some(2));
    write(Some(2), None).await?;
    write(Some(0), Some("z")).await?;

    // Each write of a list sees those before it.
    let list = vec![record("b", Some(0), Some("x")), record("b", Some(1), Some("y"))];
    store.write(list, vec![]).await?;
    assert_eq!(version(&store, "b").await?, Some(2));
    Ok(())
}

pub(super) async fn a_write_is_all_or_nothing(store: Handle) -> Result<()> {
    store.write(vec![record("b", None, Some("x"))], vec![]).await?;
    let list = vec![record("a", None, Some("x")), record("b", Some(7), Some("y"))];
    let result = store.write(list, vec![outbound("a", "1", "g")?]).await;
    refused(result, ErrorKind::Conflict);
    assert_eq!(version(&store, "a").await?, None);
    assert_eq!(version(&store, "b").await?, Some(1));
    assert_eq!(store.lane(&place("a")?, OutboundId(0), 10).await?, []);
    Ok(())
}

pub(super) async fn records_are_listed_by_prefix_in_pages(store: Handle) -> Result<()> {
    let names = ["p", "q/2", "q/10", "q/%", "q/_x", "q/\u{1F600}", "Q/1", "q0", "r"];
    store.write(names.iter().map(|name| record(name, None, Some(name))).collect(), vec![]).await?;
    let other = RecordKey::new("spaces", "q/1");
    let mut foreign = record("q/1", None, Some("x"));
    foreign.key = other;
    store.write(vec![foreign], vec![]).await?;
    let list = async |prefix: &'static str, after: Option<&'static str>, limit| {
        let rows = store.records("space", prefix, after, limit).await?;
        Ok::<_, crate::Error>(rows.into_iter().map(|row| row.key.name).collect::<Vec<_>>())
    };
    assert_eq!(list("q/", None, 10).await?, ["q/%", "q/10", "q/2", "q/_x", "q/\u{1F600}"]);
    assert_eq!(list("q/", Some("q/10"), 2).await?, ["q/2", "q/_x"]);
    assert_eq!(list("q/", Some("a"), 1).await?, ["q/%"]);
    assert_eq!(list("q/", Some("r"), 10).await?, Vec::<String>::new());
    assert_eq!(list("q/%", None, 10).await?, ["q/%"]);
    assert_eq!(list("", None, 100).await?.len(), names.len());
    Ok(())
}
