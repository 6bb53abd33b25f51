//! What a request to the model begins with stays what it was, so that providers' caches hit.

use openclaw_core::{
    Gateway,
    access::Principal,
    agent::Agent,
    provider::CompletionRequest,
    store::InMemory,
    testing::{MemoryDouble, Scripted, scripted::Step},
    tool::{ToolSpec, tool_fn},
};
use serde_json::json;

use super::{Count, ask, builder, tools::Named, tools::counting};

/// Two calls and an answer in each turn, by results of our own and of anybody.
fn steps() -> impl Iterator<Item = Step> {
    (0..4).flat_map(|turn| {
        [
            Step::text("I look.").call("note", json!({ "name": format!("a {turn}") })),
            Step::new().call("page", json!({ "name": format!("b {turn}") })),
            Step::text(format!("answer {turn}")),
        ]
    })
}

fn app(script: &Scripted, store: &InMemory) -> openclaw_core::GatewayBuilder {
    let page = tool_fn(ToolSpec::read_only("page", "Reads a page"), async |_, input: Named| {
        Ok(format!("what anybody wrote about {}", input.name))
    });
    builder(script, store)
        .agent(Agent::new("main").persona("You are brief."))
        .tool(counting("note", &Count::default()))
        .tool(page)
}

/// What both requests begin with is the same.
fn begins_with(next: &CompletionRequest, before: &CompletionRequest, messages: usize) {
    assert_eq!(next.system, before.system);
    assert_eq!(
        serde_json::to_string(&next.tools).unwrap(),
        serde_json::to_string(&before.tools).unwrap()
    );
    let same = next.messages.iter().zip(&before.messages).take_while(|(a, b)| a == b).count();
    assert!(same >= messages, "{same} of {messages} messages are the same: {next:#?} {before:#?}");
}

#[tokio::test]
async fn each_request_begins_with_the_one_before_it_also_after_a_restart() {
    let (script, store) = (Scripted::steps(steps()), InMemory::new());
    for turns in [2, 2] {
        let gateway = app(&script, &store).start().await.unwrap();
        for turn in 0..turns {
            ask(&gateway.handle(), &format!("question {turn}")).await;
        }
        gateway.shutdown().await.unwrap();
    }
    let requests = script.requests();
    assert_eq!(requests.len(), 12);
    for pair in requests.windows(2) {
        begins_with(&pair[1], &pair[0], pair[0].messages.len());
    }
    let last = requests.last().unwrap();
    assert!(super::said(last).contains("[untrusted "), "the page is wrapped: {last:?}");
}

#[tokio::test]
async fn what_is_recalled_changes_nothing_before_the_turn_that_it_is_for() {
    let script = Scripted::steps(std::iter::once(Step::text("Is it?")).chain(steps()));
    let store = InMemory::new();
    let gateway: Gateway = app(&script, &store).memory(MemoryDouble::new()).start().await.unwrap();
    // Elsewhere: what is in the history is not recalled beside it.
    let elsewhere = gateway.handle().ask("eve", "a word about questions");
    elsewhere.principal(Principal::Owner).reply().await.unwrap();
    for turn in 0..4 {
        ask(&gateway.handle(), &format!("question about words {turn}")).await;
    }
    let requests = &script.requests()[1..];
    assert!(super::said(&requests[11]).contains("from your memory"), "{:?}", requests[11]);
    for (number, pair) in requests.windows(2).enumerate() {
        // The last request of a turn has the question, and two calls with their results.
        let whole = pair[0].messages.len();
        let same = if number % 3 == 2 { whole - 5 } else { whole };
        begins_with(&pair[1], &pair[0], same);
    }
}

#[tokio::test]
async fn a_hello_is_a_small_prompt() {
    let script = Scripted::replies(["hello"]);
    let gateway = app(&script, &InMemory::new()).start().await.unwrap();
    ask(&gateway.handle(), "hello").await;
    let request = &script.requests()[0];
    let bytes = request.system.len()
        + serde_json::to_string(&request.messages).unwrap().len()
        + serde_json::to_string(&request.tools).unwrap().len();
    // Four bytes a token, with the two tools.
    assert!(bytes <= 4 * 1_000, "{bytes} bytes: {request:?}");
}
