use openclaw_core::{
    ErrorKind,
    agent::Agent,
    provider::{CompletionRequest, ToolChoice, Usage},
    schemars,
    store::InMemory,
    testing::{Scripted, scripted::Step},
    tool::{ToolSpec, tool_fn_with},
    turn::{Limits, Outcome},
};
use serde_json::json;

use super::{Count, ask, builder, said, tools::counting};

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Nothing {}

/// A model that calls a tool with another argument each time, for ever.
fn restless() -> Scripted {
    let calls = std::sync::atomic::AtomicUsize::new(0);
    Scripted::from_fn(move |_| {
        let name = calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst).to_string();
        let mut usage = Usage::new(100, 10);
        usage.cost_micro_usd = Some(1_000);
        Ok(Step::new().call("note", json!({ "name": name })).usage(usage))
    })
}

async fn ended_by(limits: Limits) -> (Outcome, String, usize) {
    let (script, store) = (restless(), InMemory::new());
    let gateway = builder(&script, &store)
        .tool(counting("note", &Count::default()))
        .agent(Agent::new("main").limits(limits))
        .start()
        .await
        .unwrap();
    let reply = ask(&gateway.handle(), "go").await;
    (reply.outcome, reply.text, script.requests().len())
}

#[tokio::test]
async fn each_limit_ends_the_turn_and_says_so() {
    let limits = Limits { steps: 3, ..Limits::default() };
    let (outcome, text, requests) = ended_by(limits).await;
    assert_eq!((outcome, requests), (Outcome::TooManySteps, 3));
    assert!(text.contains("more steps"), "{text}");

    let limits = Limits { tokens: Some(300), ..Limits::default() };
    let (outcome, text, requests) = ended_by(limits).await;
    assert_eq!((outcome, requests), (Outcome::TooManyTokens, 3));
    assert!(text.contains("more tokens"), "{text}");

    let limits = Limits { cost_micro_usd: Some(2_000), ..Limits::default() };
    let (outcome, text, requests) = ended_by(limits).await;
    assert_eq!((outcome, requests), (Outcome::TooExpensive, 2));
    assert!(text.contains("cost more"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn time_is_a_limit_too() {
    let script = Scripted::steps([Step::text("hm").stall(), Step::text("fresh")]);
    let store = InMemory::new();
    let limits = Limits { seconds: 5, ..Limits::default() };
    let gateway =
        builder(&script, &store).agent(Agent::new("main").limits(limits)).start().await.unwrap();
    let reply = ask(&gateway.handle(), "go").await;
    assert_eq!(reply.outcome, Outcome::TooLong);
    assert!(reply.text.contains("took longer"), "{}", reply.text);
    assert_eq!(ask(&gateway.handle(), "again").await.text, "fresh");
}

#[tokio::test]
async fn the_same_call_over_and_over_is_stopped() {
    let script = Scripted::from_fn(|_| Ok(Step::new().call("note", json!({ "name": "same" }))));
    let (store, count) = (InMemory::new(), Count::default());
    let gateway = builder(&script, &store).tool(counting("note", &count)).start().await.unwrap();
    assert_eq!(ask(&gateway.handle(), "go").await.outcome, Outcome::Loop);
    assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_call_whose_results_change_goes_on() {
    let script = Scripted::from_fn(|request| {
        let done = said(request).contains("done 10");
        Ok(if done { Step::text("it is done") } else { Step::new().call("poll", json!({})) })
    });
    let (store, polls) = (InMemory::new(), Count::default());
    let spec = ToolSpec::read_only("poll", "Polls");
    let poll = tool_fn_with(spec, polls.clone(), async |polls: Count, _, _: Nothing| {
        Ok(format!("done {}", polls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1))
    });
    let gateway = builder(&script, &store).tool(poll).start().await.unwrap();
    assert_eq!(ask(&gateway.handle(), "wait for it").await.text, "it is done");
}

#[tokio::test]
async fn a_refused_call_over_and_over_is_stopped_too() {
    let script = Scripted::from_fn(|_| Ok(Step::new().call("nosuch", json!({}))));
    let gateway = builder(&script, &InMemory::new()).start().await.unwrap();
    assert_eq!(ask(&gateway.handle(), "go").await.outcome, Outcome::Loop);
    assert_eq!(script.requests().len(), 6);
}

#[tokio::test]
async fn a_failing_model_is_an_answer() {
    let error = openclaw_core::Error::new(ErrorKind::Unauthenticated, "key sk-123 is wrong");
    let script = Scripted::steps([Step::error(error), Step::text("back")]);
    let store = InMemory::new();
    let gateway = builder(&script, &store).start().await.unwrap();
    let reply = ask(&gateway.handle(), "hi").await;
    assert!(matches!(
        reply.outcome,
        Outcome::ModelFailed { error: ErrorKind::Unauthenticated, .. }
    ));
    assert!(!reply.text.contains("sk-123"), "{}", reply.text);
    assert_eq!(ask(&gateway.handle(), "hi").await.text, "back");
}

#[tokio::test]
async fn a_long_conversation_is_summed_up_and_no_result_loses_its_call() {
    let script = Scripted::from_fn(|request| {
        let last = format!("{:?}", request.messages.last());
        Ok(if last.contains("Sum up the conversation") {
            Step::text("they spoke of many things")
        } else if last.contains("say") && request.messages.len() % 3 == 1 {
            Step::new().call("note", json!({ "name": request.messages.len().to_string() }))
        } else {
            Step::text("word ".repeat(40))
        })
    });
    let (store, count) = (InMemory::new(), Count::default());
    let gateway = builder(&script, &store)
        .tool(counting("note", &count))
        .agent(Agent::new("main").context_tokens(2_000))
        .start()
        .await
        .unwrap();
    for round in 0..30 {
        ask(&gateway.handle(), &format!("say {round} {}", "blah ".repeat(20))).await;
    }
    let requests = script.requests();
    assert!(said(requests.last().unwrap()).contains("they spoke of many things"));
    calls_have_results(&requests);
}

fn calls_have_results(requests: &[CompletionRequest]) {
    for request in requests {
        let mut open: Vec<String> = Vec::new();
        for message in &request.messages {
            use openclaw_core::provider::ChatMessage as M;
            match message {
                M::Assistant { calls, .. } => {
                    assert!(open.is_empty(), "a call has no result");
                    open = calls.iter().map(|call| call.id.clone()).collect();
                }
                M::Tool { call, .. } => {
                    assert!(open.contains(call), "a result has no call");
                    open.retain(|id| id != call);
                }
                _ => assert!(open.is_empty(), "a call has no result"),
            }
        }
    }
}

#[tokio::test]
async fn a_long_turn_is_summed_up_and_keeps_its_question() {
    let script = Scripted::from_fn(|request| {
        let text = said(request);
        Ok(if request.tool_choice == ToolChoice::None {
            Step::text("much was read")
        } else if text.contains("page 40:") {
            Step::text("all is read")
        } else {
            Step::new().call("read", json!({}))
        })
    });
    let (store, reads) = (InMemory::new(), Count::default());
    let read = tool_fn_with(
        ToolSpec::read_only("read", "Reads on"),
        reads.clone(),
        async |reads: Count, _, _: Nothing| {
            let page = reads.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
            Ok(format!("page {page}: {}", "word ".repeat(1_000)))
        },
    );
    let limits = Limits { steps: 100, ..Limits::default() };
    let agent = || Agent::new("main").limits(limits).context_tokens(8_000);
    let gateway = builder(&script, &store).tool(read).agent(agent()).start().await.unwrap();
    let handle = gateway.handle();
    ask(&handle, "Good morning").await;
    reads.store(0, std::sync::atomic::Ordering::SeqCst);
    let question = "Read all pages and tell me how the book ends";
    let reply = ask(&handle, question).await;
    assert_eq!((reply.outcome, reply.text.as_str()), (Outcome::Replied, "all is read"));
    let requests = script.requests();
    let asked = requests.iter().position(|request| said(request).contains(question)).unwrap();
    for request in &requests[asked..] {
        assert!(said(request).contains(question), "the question is lost");
        let bytes = said(request).len();
        assert!(bytes < 8_000 * 5, "{bytes} bytes do not fit");
    }
    calls_have_results(&requests);
    let summed_up = requests.iter().filter(|request| request.tool_choice == ToolChoice::None);
    assert!(summed_up.count() > 5);
    // The log alone says the same.
    gateway.shutdown().await.unwrap();
    let gateway = builder(&script, &store).agent(agent()).start().await.unwrap();
    assert_eq!(ask(&gateway.handle(), "page 40: and?").await.text, "all is read");
    assert!(said(script.requests().last().unwrap()).contains(question));
}

#[tokio::test]
async fn a_limit_on_cost_ends_a_turn_of_unknown_cost() {
    for (limit, outcome) in [(Some(1_000_000), Outcome::UnknownCost), (None, Outcome::Replied)] {
        let script = Scripted::steps([
            Step::new().call("note", json!({ "name": "a" })).usage(Usage::new(10, 10)),
            Step::text("done"),
        ]);
        let limits = Limits { cost_micro_usd: limit, ..Limits::default() };
        let gateway = builder(&script, &InMemory::new())
            .tool(counting("note", &Count::default()))
            .agent(Agent::new("main").limits(limits))
            .start()
            .await
            .unwrap();
        let reply = ask(&gateway.handle(), "go").await;
        assert_eq!(reply.outcome, outcome);
        assert_eq!(reply.text.contains("price must be set"), limit.is_some(), "{}", reply.text);
    }
}
