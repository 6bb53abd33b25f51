//! The sandbox suite accepts the reference and finds every fault.

use std::collections::BTreeSet;

use openclaw_core::testing::sandbox::{SandboxFault, SandboxFaultFixture, suite};

#[tokio::test(start_paused = true)]
async fn the_reference_passes_every_case() {
    let report = suite("reference", SandboxFaultFixture::new(SandboxFault::None)).run().await;
    assert_eq!(report.failed().count() + report.skipped().count(), 0, "{report}");
}

#[tokio::test(start_paused = true)]
async fn each_fault_is_found_and_each_case_finds_one() {
    let mut found = BTreeSet::new();
    for fault in SandboxFault::ALL {
        let report = suite(format!("{fault:?}"), SandboxFaultFixture::new(fault)).run().await;
        assert_ne!(report.failed().count(), 0, "{fault:?} is not found");
        found.extend(report.failed());
    }
    let all = suite("", SandboxFaultFixture::new(SandboxFault::None));
    let cases: BTreeSet<_> = all.cases().collect();
    assert_eq!(found, cases, "cases that find no fault are of no use");
}
