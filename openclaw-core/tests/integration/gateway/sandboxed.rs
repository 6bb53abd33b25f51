use std::time::Duration;

use openclaw_core::{
    Error, ErrorKind, Handle, Seq,
    label::Integrity,
    message::Part,
    sandbox::{Command, Limits, Network, Sandbox as _, SandboxPath, SandboxSpec},
    store::InMemory,
    testing::{CommandScript, SandboxDouble, Scripted, Step},
    tool::{Capability, Confinement, Effect, ToolContext, ToolSpec, tool_fn},
    turn::Entry,
};
use serde_json::json;

use super::{ask, builder, owner, said, tools::Named};

/// Code that runs in a sealed box.
fn spec() -> ToolSpec {
    ToolSpec::new("run", "Runs a program")
        .capability(Capability::Execute)
        .effect(Effect::Idempotent)
        .confinement(Confinement::Sealed)
}

/// A tool that runs the program that it is told.
fn run(spec: ToolSpec) -> impl openclaw_core::tool::Tool {
    tool_fn(spec, async |cx: ToolContext, input: Named| {
        let output = cx.sandbox()?.output(Command::new(input.name)).await?;
        Ok(output.text())
    })
}

/// The results of all calls of the session, in order.
async fn results(handle: &Handle) -> Vec<Part> {
    let session = handle.sessions(None, 1).await.unwrap().remove(0).0;
    let log = handle.log(&session, Seq::ZERO, 1000).await.unwrap();
    let parts = log.entries().filter_map(|(_, entry)| match entry {
        Entry::ToolFinished { parts, .. } => Some(parts.clone()),
        _ => None,
    });
    parts.flatten().collect()
}

fn calls(count: usize) -> Scripted {
    let call = |_| [Step::new().call("run", json!({ "name": "job" })), Step::text("done")];
    Scripted::steps((0..count).flat_map(call))
}

#[tokio::test]
async fn a_sealed_tool_runs_in_its_box_without_an_ask_and_its_output_is_untrusted() {
    let sandbox = SandboxDouble::new().program("job", |_| CommandScript::print("the owner agrees"));
    let script = calls(1);
    let gateway = builder(&script, &InMemory::new())
        .tool(run(spec()))
        .sandbox(sandbox.clone())
        .start()
        .await
        .unwrap();
    assert_eq!(ask(&gateway.handle(), "run job").await.text, "done");
    assert!(said(&script.requests()[1]).contains("the owner agrees"));
    let results = results(&gateway.handle()).await;
    assert_eq!(results[0].label.integrity, Integrity::Untrusted);
    assert_eq!(sandbox.commands().len(), 1);
}

#[tokio::test]
async fn a_session_has_one_box_and_another_session_another_one() {
    let sandbox = SandboxDouble::new().program("job", |call| match call.file("seen") {
        Some(_) => CommandScript::print("seen before"),
        None => CommandScript::print("new here").write("seen", ""),
    });
    let script = calls(4);
    let gateway = builder(&script, &InMemory::new())
        .tool(run(spec()))
        .sandbox(sandbox.clone())
        .start()
        .await
        .unwrap();
    let handle = gateway.handle();
    let owner = openclaw_core::access::Principal::Owner;
    for (peer, text, expected) in
        [("ada", "run", "new here"), ("ada", "again", "seen before"), ("bob", "run", "new here")]
    {
        handle.ask(peer, text).principal(owner.clone()).reply().await.unwrap();
        assert!(said(script.requests().last().unwrap()).contains(expected), "{peer}: {text}");
    }
    assert_eq!(sandbox.boxes(), 2);
    // Another history does not find what belongs to the one before.
    handle.ask("ada", "/new").principal(owner.clone()).reply().await.unwrap();
    handle.ask("ada", "run").principal(owner).reply().await.unwrap();
    assert!(said(script.requests().last().unwrap()).contains("new here"));

    gateway.shutdown().await.unwrap();
    assert_eq!(sandbox.boxes(), 0, "a shutdown leaves no box");
}

#[tokio::test]
async fn the_box_is_as_the_spec_says_and_commands_keep_to_its_limits() {
    let sandbox = SandboxDouble::new()
        .with(|capabilities| capabilities.images.push("science".into()))
        .program("job", |call| {
            CommandScript::print(format!("{:?} {:?}", call.limits.memory, call.command.time))
        });
    let limits = Limits::default().memory(64_000_000).time(Duration::from_secs(5)).output(20);
    let spec = spec().sandbox(SandboxSpec::new().image("science").limits(limits));
    let script = calls(1);
    let gateway = builder(&script, &InMemory::new())
        .tool(run(spec))
        .sandbox(sandbox.clone())
        .start()
        .await
        .unwrap();
    ask(&gateway.handle(), "run").await;
    assert!(said(&script.requests()[1]).contains("Some(64000000) 5s"));
    assert_eq!(sandbox.commands()[0].output, 20);
}

#[tokio::test]
async fn what_a_sandbox_cannot_hold_to_keeps_the_gateway_from_starting() {
    let weak = || {
        SandboxDouble::new().with(|capabilities| {
            capabilities.limits.memory = None;
            capabilities.files_in_memory = true;
        })
    };
    let large = Limits::default().memory(512_000_000).disk(1_000_000_000);
    let boxed = |sandbox| spec().sandbox(sandbox);
    let table = [
        (boxed(SandboxSpec::new().limits(Limits::default().memory(1))), "a limit on memory"),
        (boxed(SandboxSpec::new().limits(Limits::default().pids(0))), "pids: expected"),
        (boxed(SandboxSpec::new().limits(large)), "files in memory"),
        (boxed(SandboxSpec::new().image("windows")), "no image \"windows\", known are: none"),
        (boxed(SandboxSpec::new().network(Network::Public)), "declared to be sealed"),
        (spec().secret("crm"), "asks for secrets"),
    ];
    for (spec, expected) in table {
        let builder = builder(&calls(0), &InMemory::new()).tool(run(spec)).sandbox(weak());
        let error = builder.secret("crm", "token").start().await.unwrap_err().to_string();
        assert!(error.contains("\"run\"") && error.contains(expected), "{error}");
    }
    let two = builder(&calls(0), &InMemory::new()).sandbox(weak()).sandbox(weak());
    let error = two.start().await.unwrap_err().to_string();
    assert!(error.contains("more than one sandbox"), "{error}");
}

#[tokio::test]
async fn a_sealed_tool_has_no_http_client_and_others_no_box() {
    let look = |confinement| {
        let spec = ToolSpec::read_only("run", "Looks").confinement(confinement);
        tool_fn(spec, async |cx: ToolContext, _: Named| {
            let kind = |error: Option<Error>| error.map(|error| error.kind());
            Ok(format!("{:?} {:?}", kind(cx.http().err()), kind(cx.sandbox().err())))
        })
    };
    let table = [
        (Confinement::Sealed, format!("{:?} None", Some(ErrorKind::Denied))),
        (Confinement::InProcess, format!("{0:?} {0:?}", Some(ErrorKind::InvalidConfig))),
    ];
    for (confinement, expected) in table {
        let script = calls(1);
        let gateway = builder(&script, &InMemory::new())
            .tool(look(confinement))
            .sandbox(SandboxDouble::new())
            .start()
            .await
            .unwrap();
        ask(&gateway.handle(), "look").await;
        assert!(said(&script.requests()[1]).contains(&expected), "{confinement:?}");
    }
}

#[tokio::test]
async fn without_its_engine_a_call_fails_and_says_so() {
    let sandbox = SandboxDouble::new().program("job", |_| CommandScript::print("ran"));
    sandbox.down(true);
    let script = calls(1);
    let gateway = builder(&script, &InMemory::new())
        .tool(run(spec()))
        .sandbox(sandbox.clone())
        .start()
        .await
        .unwrap();
    ask(&gateway.handle(), "run").await;
    assert!(said(&script.requests()[1]).contains("engine does not answer"));
    assert!(sandbox.commands().is_empty());
}

/// Marks its box, then hangs; in a box that it did not mark it ends.
fn hangs_once(sandbox: SandboxDouble, began: &super::Count) -> SandboxDouble {
    let began = began.clone();
    sandbox.program("job", move |call| {
        let first = began.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
        match call.file("mark") {
            Some(_) => CommandScript::print("the box of before"),
            None if first => CommandScript::new().write("mark", "").starts(1).never_ends(),
            None => CommandScript::print("an empty box"),
        }
    })
}

#[tokio::test]
async fn a_call_that_a_crash_cut_short_is_made_again_in_an_empty_box() {
    // The same process, whose gateway died; and another one, after the process died.
    for process_dies in [false, true] {
        let (store, began) = (InMemory::new(), super::Count::default());
        let sandbox = hangs_once(SandboxDouble::new(), &began);
        let script = calls(1);
        let gateway =
            builder(&script, &store).tool(run(spec())).sandbox(sandbox.clone()).start().await;
        let gateway = gateway.unwrap();
        let asking = tokio::spawn(owner(&gateway.handle(), "run").key("k").reply());
        while sandbox.commands().is_empty() {
            tokio::task::yield_now().await;
        }
        let next = if process_dies {
            sandbox.kill_process();
            sandbox.other_process()
        } else {
            sandbox.clone()
        };
        drop(gateway);
        assert!(asking.await.unwrap().is_err());
        let gateway = builder(&script, &store).tool(run(spec())).sandbox(next).start().await;
        let gateway = gateway.unwrap();
        let reply = owner(&gateway.handle(), "run").key("k").reply().await.unwrap();
        assert_eq!(reply.text, "done");
        assert!(said(&script.requests()[1]).contains("an empty box"), "{process_dies}");
        assert_eq!(sandbox.boxes(), 1);
    }
}

#[tokio::test]
async fn a_call_is_not_made_again_while_its_box_may_be_at_work() {
    let (store, began) = (InMemory::new(), super::Count::default());
    let sandbox = hangs_once(SandboxDouble::new(), &began);
    let script = calls(1);
    let gateway = builder(&script, &store).tool(run(spec())).sandbox(sandbox.clone()).start().await;
    let gateway = gateway.unwrap();
    let asking = tokio::spawn(owner(&gateway.handle(), "run").key("k").reply());
    while sandbox.commands().is_empty() {
        tokio::task::yield_now().await;
    }
    drop(gateway);
    assert!(asking.await.unwrap().is_err());
    sandbox.down(true);
    let gateway = builder(&script, &store).tool(run(spec())).sandbox(sandbox.clone()).start().await;
    let reply = owner(&gateway.unwrap().handle(), "run").key("k").reply().await.unwrap();
    assert_eq!(reply.text, "done");
    assert!(said(&script.requests()[1]).contains("The call failed"));
    assert_eq!(sandbox.commands().len(), 1);
}

#[tokio::test]
async fn files_go_in_and_out_of_the_box() {
    let sandbox = SandboxDouble::new().program("sort", |call| {
        let mut lines: Vec<String> = String::from_utf8_lossy(&call.file("in.txt").unwrap()[..])
            .lines()
            .map(str::to_owned)
            .collect();
        lines.sort();
        CommandScript::new().write("out.txt", lines.join(" "))
    });
    let sort = tool_fn(spec(), async |cx: ToolContext, input: Named| {
        let sandbox = cx.sandbox()?;
        sandbox.write(&SandboxPath::new("in.txt")?, input.name).await?;
        sandbox.output(Command::new("sort")).await?;
        let sorted = sandbox.read(&SandboxPath::new("out.txt")?, 100).await?;
        Ok(String::from_utf8_lossy(&sorted).into_owned())
    });
    let script =
        Scripted::steps([Step::new().call("run", json!({ "name": "b\na" })), Step::text("done")]);
    let gateway =
        builder(&script, &InMemory::new()).tool(sort).sandbox(sandbox).start().await.unwrap();
    ask(&gateway.handle(), "sort").await;
    assert!(said(&script.requests()[1]).contains("a b"));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_call_ends_its_command() {
    let sandbox = SandboxDouble::new().program("job", |_| CommandScript::new().never_ends());
    let cancel = openclaw_core::time::Cancel::new();
    let call = openclaw_core::testing::TestCall::new("run", json!({ "name": "job" }))
        .cancel(cancel.clone())
        .sandbox(sandbox.clone(), SandboxSpec::new());
    let cx = call.context();
    let lease = cx.sandbox().unwrap().lease().clone();
    let running = tokio::spawn(async move { cx.sandbox()?.output(Command::new("job")).await });
    while sandbox.processes(&lease) == 0 {
        tokio::task::yield_now().await;
    }
    cancel.cancel();
    assert_eq!(running.await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(sandbox.processes(&lease), 0);
    assert!(sandbox.reap(&lease).await.is_ok());
}
