//! The suites of providers and embedders accept their references and find every fault.

use std::collections::BTreeSet;

use openclaw_core::testing::{
    embedder::{self, EmbedderFault, FaultyEmbedder, HashEmbedder},
    provider::{FaultyProvider, ProviderFault, suite},
};

#[tokio::test(start_paused = true)]
async fn a_provider_without_fault_passes_every_case() {
    let report = suite("reference", FaultyProvider::fixture(ProviderFault::None)).run().await;
    assert_eq!(report.failed().count(), 0, "{report}");
    assert_eq!(report.skipped().count(), 0, "{report}");
}

#[tokio::test(start_paused = true)]
async fn each_fault_of_a_provider_is_found_and_each_case_finds_one() {
    let mut found = BTreeSet::new();
    for fault in ProviderFault::ALL {
        let report = suite(format!("{fault:?}"), FaultyProvider::fixture(fault)).run().await;
        assert_ne!(report.failed().count(), 0, "{fault:?} is not found");
        found.extend(report.failed().map(str::to_owned));
    }
    let all = suite("", FaultyProvider::fixture(ProviderFault::None));
    let cases: BTreeSet<_> = all.cases().map(str::to_owned).collect();
    assert_eq!(found, cases, "cases that find no fault are of no use");
}

#[tokio::test]
async fn each_fault_of_an_embedder_is_found_and_each_case_finds_one() {
    embedder::suite("hash", || HashEmbedder::new(64)).assert().await;
    let mut found = BTreeSet::new();
    for fault in EmbedderFault::ALL {
        let report =
            embedder::suite(format!("{fault:?}"), move || FaultyEmbedder::new(fault)).run().await;
        assert_ne!(report.failed().count(), 0, "{fault:?} is not found");
        found.extend(report.failed().map(str::to_owned));
    }
    let all = embedder::suite("", || HashEmbedder::new(8));
    let cases: BTreeSet<_> = all.cases().map(str::to_owned).collect();
    assert_eq!(found, cases, "cases that find no fault are of no use");
}
