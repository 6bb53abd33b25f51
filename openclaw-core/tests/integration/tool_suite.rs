//! The tool suite accepts the reference and finds every fault.

use std::{collections::BTreeSet, time::Duration};

use openclaw_core::{
    ErrorKind,
    access::Principal,
    schemars,
    testing::{
        TestCall,
        tool::{FaultyTool, ToolFault, suite},
        tool_context,
    },
    tool::{Tool as _, ToolContext, ToolSpec, tool_fn},
};
use serde_json::json;

/// The cases that fail on either form of the tool.
async fn failed(fault: ToolFault) -> BTreeSet<&'static str> {
    let mut failed = BTreeSet::new();
    for fixture in FaultyTool::fixtures(fault) {
        failed.extend(suite(format!("{fault:?}"), fixture).run().await.failed());
    }
    failed
}

#[tokio::test(start_paused = true)]
async fn the_reference_passes_and_no_case_is_skipped_by_both_forms() {
    let mut skipped: Option<BTreeSet<String>> = None;
    for fixture in FaultyTool::fixtures(ToolFault::None) {
        let report = suite("reference", fixture).run().await;
        assert_eq!(report.failed().count(), 0, "{report}");
        let these = report.skipped().map(|(name, _)| name.to_owned()).collect();
        skipped = Some(match skipped {
            None => these,
            Some(before) => before.intersection(&these).cloned().collect(),
        });
    }
    assert_eq!(skipped, Some(BTreeSet::new()));
}

#[tokio::test(start_paused = true)]
async fn each_fault_is_found_and_each_case_finds_one() {
    let mut found = BTreeSet::new();
    for fault in ToolFault::ALL {
        let failed = failed(fault).await;
        assert!(!failed.is_empty(), "{fault:?} is not found");
        found.extend(failed);
    }
    let [fixture, _] = FaultyTool::fixtures(ToolFault::None);
    let cases: BTreeSet<_> = suite("", fixture).cases().collect();
    assert_eq!(found, cases, "cases that find no fault are of no use");
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Greeting {
    name: String,
}

async fn greet(cx: ToolContext, greeting: Greeting) -> openclaw_core::Result<String> {
    cx.progress("thinking of words");
    let salute = cx.state::<&'static str>()?;
    Ok(format!("{salute}, {}, says {}", greeting.name, cx.principal()))
}

#[tokio::test(start_paused = true)]
async fn an_application_calls_its_own_tool() {
    let tool = tool_fn(ToolSpec::read_only("greet", "Greets"), greet);
    let call = TestCall::new("greet", json!({ "name": "Ada" }))
        .state("Hello")
        .principal(Principal::Service { name: "shop".into() })
        .timeout(Duration::from_secs(3));
    assert_eq!(tool.call(call.context()).await.unwrap(), "Hello, Ada, says service shop".into());
    assert_eq!(call.progress(), ["thinking of words"]);
    assert_eq!(call.context().key(), call.context().key());
    assert_ne!(call.context().key(), call.clone().number(2).context().key());
    assert_eq!(call.context().time_left(), Duration::from_secs(3));

    let error = tool.call(tool_context("greet", json!({ "name": "Ada" }))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    let error = tool.call(tool_context("greet", json!({}))).await.unwrap_err();
    assert!(error.public_text().contains("missing field `name`"), "{error}");
}
