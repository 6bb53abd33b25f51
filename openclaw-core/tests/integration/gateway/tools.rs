use std::sync::{Arc, atomic::Ordering};

use openclaw_core::{
    ProviderId, Result, async_trait,
    event::EventKind,
    label::{Confidentiality, Integrity},
    provider::{CallContext, CompletionRequest, CompletionStream, ModelInfo, Provider},
    schemars,
    store::InMemory,
    testing::{Scripted, scripted::Step},
    tool::{
        Capability, Confinement, Effect, Tool, ToolContext, ToolOutput, ToolSpec, ValueKind,
        tool_fn, tool_fn_with,
    },
    turn::Outcome,
};
use serde_json::json;

use super::{Count, ask, builder, said};

#[derive(serde::Deserialize, schemars::JsonSchema)]
pub(super) struct Named {
    pub(super) name: String,
}

/// A tool that counts its calls, reads only, and is trusted.
pub(super) fn counting(name: &str, count: &Count) -> impl Tool + use<> {
    let spec =
        ToolSpec::read_only(name, "Counts").output(Integrity::System, Confidentiality::Public);
    tool_fn_with(spec, count.clone(), async |count: Count, _, input: Named| {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(format!("noted {}", input.name))
    })
}

/// A provider that answers only when it has a permit.
pub(super) struct Gate {
    pub(super) inner: Scripted,
    pub(super) gate: Arc<tokio::sync::Semaphore>,
}

#[async_trait]
impl Provider for Gate {
    fn id(&self) -> &ProviderId {
        self.inner.id()
    }

    async fn models(&self) -> Result<Vec<ModelInfo>> {
        self.inner.models().await
    }

    async fn stream(
        &self,
        cx: &CallContext,
        request: &CompletionRequest,
    ) -> Result<CompletionStream> {
        let stream = self.inner.stream(cx, request).await?;
        self.gate.acquire().await.unwrap().forget();
        Ok(stream)
    }
}

#[tokio::test]
async fn calls_tools_and_gives_their_results_to_the_model() {
    let script = Scripted::steps([
        Step::new().call("note", json!({ "name": "a" })).call("note", json!({ "name": "b" })),
        Step::text("done"),
    ]);
    let (store, count) = (InMemory::new(), Count::default());
    let gateway = builder(&script, &store).tool(counting("note", &count)).start().await.unwrap();
    assert_eq!(ask(&gateway.handle(), "note a and b").await.text, "done");
    assert_eq!(count.load(Ordering::SeqCst), 2);
    let second = said(&script.requests()[1]);
    assert!(second.contains("noted a") && second.contains("noted b"), "{second}");
}

#[tokio::test]
async fn what_does_not_fit_is_told_to_the_model() {
    let script = Scripted::steps([
        Step::new().call("nothing", json!({})),
        Step::new().call("note", json!({ "nom": 1 })),
        Step::new().call_raw("note", "{\"name\": "),
        Step::text("sorry"),
    ]);
    let (store, count) = (InMemory::new(), Count::default());
    let gateway = builder(&script, &store).tool(counting("note", &count)).start().await.unwrap();
    assert_eq!(ask(&gateway.handle(), "go").await.text, "sorry");
    assert_eq!(count.load(Ordering::SeqCst), 0);
    let last = said(script.requests().last().unwrap());
    for told in ["There is no tool", "missing field `name`", "not valid JSON"] {
        assert!(last.contains(told), "{told}: {last}");
    }
}

#[tokio::test]
async fn a_call_that_did_not_fit_is_repaired() {
    let script = Scripted::from_fn(|request| {
        let text = said(request);
        Ok(match () {
            () if text.contains("noted a") => Step::text("done"),
            () if text.contains("missing field `name`") => {
                Step::new().call("note", json!({ "name": "a" }))
            }
            () => Step::new().call("note", json!({ "nom": "a" })),
        })
    });
    let (store, count) = (InMemory::new(), Count::default());
    let gateway = builder(&script, &store).tool(counting("note", &count)).start().await.unwrap();
    assert_eq!(ask(&gateway.handle(), "go").await.text, "done");
    assert_eq!((count.load(Ordering::SeqCst), script.requests().len()), (1, 3));
}

#[tokio::test]
async fn a_panicking_tool_does_not_take_its_session_along() {
    let script =
        Scripted::steps([Step::new().call("bad", json!({ "name": "x" })), Step::text("it broke")]);
    let store = InMemory::new();
    let bad = tool_fn(ToolSpec::read_only("bad", "Panics"), async |_, input: Named| {
        assert!(input.name.is_empty(), "on purpose");
        Ok("never")
    });
    let gateway = builder(&script, &store).tool(bad).start().await.unwrap();
    assert_eq!(ask(&gateway.handle(), "go").await.text, "it broke");
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_does_not_end_is_aborted_and_its_outcome_unknown() {
    let script =
        Scripted::steps([Step::new().call("stuck", json!({ "name": "x" })), Step::text("hm")]);
    let store = InMemory::new();
    let spec = ToolSpec::read_only("stuck", "Never ends").effect(Effect::Compensable);
    let stuck = tool_fn(spec, async |_, _: Named| {
        std::future::pending::<()>().await;
        Ok("never")
    });
    let gateway = builder(&script, &store).tool(stuck).start().await.unwrap();
    assert_eq!(ask(&gateway.handle(), "go").await.text, "hm");
    assert!(said(&script.requests()[1]).contains("is unknown"));
}

#[tokio::test]
async fn a_question_of_a_tool_parks_the_turn_until_the_next_message() {
    let script = Scripted::steps([
        Step::new().call("ask", json!({ "name": "x" })),
        Step::text("blue it is"),
    ]);
    let store = InMemory::new();
    let spec =
        ToolSpec::read_only("ask", "Asks").capability(Capability::ReadPublic).effect(Effect::Pure);
    let question = tool_fn(spec, async |_, _: Named| Ok(ToolOutput::ask("Which colour?")));
    let gateway = builder(&script, &store).tool(question).start().await.unwrap();
    let handle = gateway.handle();
    let first = tokio::spawn(super::owner(&handle, "paint it").key("1").reply());
    loop {
        let sessions = handle.sessions(None, 10).await.unwrap();
        if sessions.iter().any(|(_, head)| head.open) {
            break;
        }
        tokio::task::yield_now().await;
    }
    // The next message is the answer, and both askers get the reply of the one turn.
    assert_eq!(ask(&handle, "blue").await.text, "blue it is");
    let first = first.await.unwrap().unwrap();
    assert_eq!((first.text.as_str(), first.outcome), ("blue it is", Outcome::Replied));
}

#[tokio::test]
async fn a_tool_sees_attributes_and_state() {
    struct Shop {
        name: &'static str,
    }
    let script =
        Scripted::steps([Step::new().call("who", json!({ "name": "x" })), Step::text("ok")]);
    let store = InMemory::new();
    let who = tool_fn(ToolSpec::read_only("who", "Says who"), async |cx: ToolContext, _: Named| {
        let shop = cx.state::<Shop>()?;
        Ok(format!("{} for {}", shop.name, cx.attribute("customer").unwrap_or("nobody")))
    });
    let gateway = builder(&script, &store)
        .tool(who)
        .state(Arc::new(Shop { name: "Corner shop" }))
        .start()
        .await
        .unwrap();
    let handle = gateway.handle();
    super::owner(&handle, "who?").attribute("customer", "7").reply().await.unwrap();
    assert!(said(&script.requests()[1]).contains("Corner shop for 7"));
}

#[tokio::test]
async fn a_tool_without_input_is_called_with_an_empty_object() {
    let script = Scripted::steps([Step::new().call("ping", json!({})), Step::text("ok")]);
    let store = InMemory::new();
    let ping = tool_fn(ToolSpec::read_only("ping", "Answers"), async |_, (): ()| Ok("pong"));
    let gateway = builder(&script, &store).tool(ping).start().await.unwrap();
    ask(&gateway.handle(), "ping").await;
    assert!(said(&script.requests()[1]).contains("pong"));
}

#[tokio::test]
async fn a_tool_that_needs_a_sandbox_is_refused_where_there_is_none() {
    for confinement in [Confinement::Sealed, Confinement::Connected] {
        let spec = ToolSpec::new("run", "Runs code").confinement(confinement);
        let run = tool_fn(spec, async |_, input: Named| Ok(input.name));
        let error = builder(&Scripted::replies(["hi"]), &InMemory::new()).tool(run).start().await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("\"run\"") && error.contains("sandbox"), "{error}");
    }
}

#[tokio::test]
async fn what_code_printed_is_untrusted_whatever_its_tool_says() {
    let spec = ToolSpec::new("run", "Runs code")
        .capability(Capability::Execute)
        .effect(Effect::Idempotent)
        .critical("name", ValueKind::Id)
        .output(Integrity::System, Confidentiality::Public);
    let run = tool_fn(spec, async |_, input: Named| Ok(input.name));
    let script = Scripted::steps([
        Step::new().call("run", json!({ "name": "job-7" })),
        Step::text("it ran"),
    ]);
    let store = InMemory::new();
    let gateway = builder(&script, &store).tool(run).start().await.unwrap();
    let handle = gateway.handle();
    let asking = tokio::spawn(super::owner(&handle, "run job-7").reply());
    let (session, approval) = super::approvals::open_ask(&handle).await;
    handle.answer(&approval.ask.approval, true).await.unwrap();
    assert_eq!(asking.await.unwrap().unwrap().text, "it ran");
    let log = handle.log(&session, openclaw_core::Seq::ZERO, 100).await.unwrap();
    let result = log.entries().find_map(|(_, entry)| match entry {
        openclaw_core::turn::Entry::ToolFinished { parts, .. } => Some(parts),
        _ => None,
    });
    assert_eq!(result.unwrap()[0].label.integrity, Integrity::Untrusted);
}

#[tokio::test]
async fn a_tool_tells_how_far_it_is() {
    let copy = tool_fn(ToolSpec::read_only("copy", "Copies"), async |cx, _: Named| {
        cx.progress("half of it");
        cx.progress("all of it");
        Ok("copied")
    });
    let script = Scripted::steps([
        Step::new().call("copy", json!({ "name": "a" })),
        Step::text("it is copied"),
    ]);
    let gateway = builder(&script, &InMemory::new()).tool(copy).start().await.unwrap();
    let mut stream = super::owner(&gateway.handle(), "copy it").stream().await.unwrap();
    let mut seen = Vec::new();
    while let Some(event) = stream.next().await {
        match &event.kind {
            EventKind::ToolStarted { call, .. } => seen.push((*call, "began".to_owned())),
            EventKind::ToolProgress { call, text } => seen.push((*call, text.clone())),
            EventKind::ToolFinished { call, ok: true, .. } => seen.push((*call, "ended".into())),
            _ => {}
        }
    }
    let texts: Vec<&str> = seen.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["began", "half of it", "all of it", "ended"]);
    assert!(seen.iter().all(|(call, _)| *call == seen[0].0));
    assert!(!said(&script.requests()[1]).contains("half of it"), "the model is not shown it");
}
