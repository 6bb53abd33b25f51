//! The memory suite accepts the reference and finds every fault.

use std::collections::BTreeSet;

use openclaw_core::testing::memory::{MemoryDouble, MemoryFault, suite};

#[tokio::test(start_paused = true)]
async fn the_reference_passes_every_case() {
    let report = suite("reference", MemoryFault::None).run().await;
    assert_eq!(report.failed().count() + report.skipped().count(), 0, "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_closure_is_a_fixture_of_what_does_not_survive() {
    let report = suite("double", MemoryDouble::new).run().await;
    assert_eq!(report.failed().count(), 0, "{report}");
    let skipped: Vec<_> = report.skipped().map(|(name, _)| name).collect();
    assert_eq!(skipped, ["survives_a_restart"]);
}

#[tokio::test(start_paused = true)]
async fn each_fault_is_found_and_each_case_finds_one() {
    let mut found = BTreeSet::new();
    for fault in MemoryFault::ALL {
        let report = suite(format!("{fault:?}"), fault).run().await;
        let failed: BTreeSet<_> = report.failed().collect();
        assert!(!failed.is_empty(), "{fault:?} is not found");
        found.extend(failed);
    }
    let cases: BTreeSet<_> = suite("", MemoryFault::None).cases().collect();
    assert_eq!(found, cases, "cases that find no fault are of no use");
}
