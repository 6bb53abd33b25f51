//! The suites of stores and blobs pass on what is sound, and each case finds a fault.

use std::{collections::BTreeSet, sync::Arc};

use openclaw_core::{
    Result, async_trait,
    store::{InMemory, Store},
    testing::{
        Suite,
        blobs::{self, BlobFault, FaultyBlobsFixture},
        store::{
            self, StoreFixture,
            faulty::{Fault, FaultyFixture},
        },
    },
};

struct Fresh;

#[async_trait]
impl StoreFixture for Fresh {
    async fn open(&self) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(InMemory::new()))
    }
}

#[tokio::test]
async fn the_store_in_memory_conforms() {
    let report = store::suite("InMemory", || Fresh).run().await;
    assert_eq!(report.failed().count(), 0, "{report}");
    let skipped: Vec<&str> = report.skipped().map(|(name, _)| name).collect();
    assert_eq!(skipped, ["everything_survives_reopening", "epochs_rise_over_reopening"]);
}

/// Runs `suite` on a sound double and on each faulty one: no fault passes, no case finds nothing.
async fn each_case_finds_a_fault<F: Copy + std::fmt::Debug>(
    faults: &[F],
    suite: impl Fn(Option<F>) -> Suite,
) {
    let sound = suite(None);
    let report = sound.run().await;
    assert_eq!(report.failed().count() + report.skipped().count(), 0, "{report}");
    let mut idle: BTreeSet<&str> = sound.cases().collect();
    for fault in faults {
        let report = suite(Some(*fault)).run().await;
        assert_ne!(report.failed().count(), 0, "{fault:?} was not found");
        for case in report.failed() {
            idle.remove(case);
        }
    }
    assert!(idle.is_empty(), "no fault fails {idle:?}");
}

#[tokio::test]
async fn each_case_of_the_store_suite_finds_a_fault() {
    each_case_finds_a_fault(Fault::ALL, |fault| {
        store::suite(format!("{fault:?}"), move || FaultyFixture::new(fault))
    })
    .await;
}

#[tokio::test]
async fn each_case_of_the_blobs_suite_finds_a_fault() {
    each_case_finds_a_fault(BlobFault::ALL, |fault| {
        blobs::suite(format!("{fault:?}"), move || FaultyBlobsFixture::new(fault))
    })
    .await;
}
