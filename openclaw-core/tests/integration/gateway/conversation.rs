use openclaw_core::{
    AgentId, ErrorKind, Gateway, ProviderId, Result, Seq,
    agent::{Agent, QueueMode},
    async_trait,
    event::{EventKind, Next},
    gateway::COLLECT_ABOVE,
    policy::Permission,
    provider::{CallContext, CompletionRequest, CompletionStream, ModelInfo, Provider},
    store::{InMemory, SessionStore as _},
    testing::{Scripted, scripted::Step},
    turn::{Entry, Outcome},
};

use super::{ask, builder, owner, said};

#[tokio::test]
async fn answers_and_remembers_the_conversation() {
    let (script, store) = (Scripted::replies(["Hello, Ada.", "You are Ada."]), InMemory::new());
    let gateway = builder(&script, &store).start().await.unwrap();
    let handle = gateway.handle();
    assert_eq!(ask(&handle, "I am Ada.").await.text, "Hello, Ada.");
    assert_eq!(ask(&handle, "Who am I?").await.text, "You are Ada.");
    let second = &script.requests()[1];
    assert!(said(second).contains("I am Ada."), "{second:?}");
    gateway.shutdown().await.unwrap();
}

#[tokio::test]
async fn goes_on_after_a_restart_where_it_was() {
    let store = InMemory::new();
    for (round, text) in ["one", "two", "three"].into_iter().enumerate() {
        let script = Scripted::replies([format!("reply {round}")]);
        let gateway = builder(&script, &store).start().await.unwrap();
        ask(&gateway.handle(), text).await;
        assert_eq!(script.requests()[0].messages.len(), 2 * round + 1);
        gateway.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn the_same_key_is_answered_once() {
    let (script, store) = (Scripted::replies(["only once"]), InMemory::new());
    let gateway = builder(&script, &store).start().await.unwrap();
    let handle = gateway.handle();
    for _ in 0..3 {
        let reply = owner(&handle, "hi").key("k-1").reply().await.unwrap();
        assert_eq!(reply.text, "only once");
    }
    gateway.shutdown().await.unwrap();
    // Also after a restart, without asking the model.
    let gateway = builder(&Scripted::replies(["never"]), &store).start().await.unwrap();
    let reply = owner(&gateway.handle(), "hi").key("k-1").reply().await.unwrap();
    assert_eq!(reply.text, "only once");
    assert_eq!(script.requests().len(), 1);
}

#[tokio::test]
async fn missing_parts_are_reported_all_at_once() {
    let error = Gateway::builder().default_agent("nobody").start().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    let text = error.to_string();
    assert!(text.contains("no store") && text.contains("no provider"), "{text}");
}

#[tokio::test]
async fn a_plain_turn_waits_for_two_commits() {
    let (script, store) = (Scripted::replies(["a", "b"]), InMemory::new());
    let gateway = builder(&script, &store).start().await.unwrap();
    let reply = ask(&gateway.handle(), "hi").await;
    let rows = store.read(&reply.session, Seq::ZERO, 100).await.unwrap();
    let kinds: Vec<&str> = rows.iter().map(|row| row.kind.as_str()).collect();
    assert_eq!(kinds, ["opened", "started", "replied", "ended"]);
    let view = gateway.handle().log(&reply.session, Seq::ZERO, 100).await.unwrap().to_string();
    assert!(view.contains("owner: \"hi\"") && view.contains("\"a\""), "{view}");
}

#[tokio::test]
async fn streams_the_reply_while_it_grows() {
    let (script, store) = (Scripted::replies(["one two three"]), InMemory::new());
    let gateway = builder(&script, &store).start().await.unwrap();
    let mut stream = owner(&gateway.handle(), "hi").stream().await.unwrap();
    let mut text = String::new();
    while let Some(event) = stream.next().await {
        if let EventKind::TextDelta { text: more } = &event.kind {
            text.push_str(more);
        }
    }
    assert_eq!(text, "one two three");
    assert_eq!(stream.finish().await.unwrap().text, "one two three");
}

#[tokio::test]
async fn new_begins_another_history_and_status_and_usage_tell() {
    let (script, store) = (Scripted::replies(["first", "second"]), InMemory::new());
    let gateway = builder(&script, &store).start().await.unwrap();
    let handle = gateway.handle();
    let before = ask(&handle, "remember this").await;
    assert_eq!(before.outcome, Outcome::Replied);
    assert!(ask(&handle, "/usage").await.text.contains("1 turns"));
    assert!(ask(&handle, "/status").await.text.contains("Idle"));
    assert!(ask(&handle, "/new").await.text.contains("new conversation"));
    ask(&handle, "what did I say?").await;
    assert!(!said(&script.requests()[1]).contains("remember this"));
}

#[tokio::test]
async fn stop_ends_a_turn_that_hangs() {
    let script = Scripted::steps([Step::text("thinking").stall(), Step::text("fresh")]);
    let store = InMemory::new();
    let gateway = builder(&script, &store).start().await.unwrap();
    let handle = gateway.handle();
    let mut events = handle.subscribe();
    let hanging = tokio::spawn(owner(&handle, "hang").reply());
    while let Some(Next::Event(event)) = events.next().await {
        if matches!(event.kind, EventKind::TextDelta { .. }) {
            break;
        }
    }
    ask(&handle, "/stop").await;
    let reply = hanging.await.unwrap().unwrap();
    assert_eq!(reply.outcome, Outcome::Cancelled);
    assert_eq!(ask(&handle, "again").await.text, "fresh");
    assert_eq!(script.open_streams(), 0);
}

/// Asks twice while the first model call hangs, and returns the users' messages of each request.
async fn two_at_once(mode: QueueMode) -> Vec<usize> {
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let script = Scripted::from_fn(|_| Ok(Step::text("ok")));
    let slow = super::tools::Gate { inner: script.clone(), gate: gate.clone() };
    let store = InMemory::new();
    let gateway = Gateway::builder()
        .provider(slow)
        .store(store)
        .ephemeral()
        .agent(Agent::new("main").queue(mode))
        .start()
        .await
        .unwrap();
    let handle = gateway.handle();
    let mut events = handle.subscribe();
    // A stream is there as soon as the ask is accepted.
    let first = owner(&handle, "first").stream().await.unwrap();
    while let Some(Next::Event(event)) = events.next().await {
        if matches!(event.kind, EventKind::TurnStarted { .. }) {
            break;
        }
    }
    let mut rest = Vec::new();
    for text in ["second", "third"] {
        rest.push(owner(&handle, text).stream().await.unwrap());
    }
    if mode == QueueMode::Interrupt {
        assert_eq!(first.finish().await.unwrap().outcome, Outcome::Superseded);
        gate.add_permits(10);
    } else {
        gate.add_permits(10);
        assert_eq!(first.finish().await.unwrap().outcome, Outcome::Replied);
    }
    let last = rest.pop().unwrap().finish().await.unwrap();
    assert_eq!(last.outcome, Outcome::Replied);
    for stream in rest {
        let outcome = stream.finish().await.unwrap().outcome;
        assert!(outcome == Outcome::Replied || mode == QueueMode::Interrupt, "{outcome:?}");
    }
    let users = |request: &openclaw_core::provider::CompletionRequest| {
        let role = |m: &&openclaw_core::provider::ChatMessage| {
            matches!(m, openclaw_core::provider::ChatMessage::User { .. })
        };
        request.messages.iter().filter(role).count()
    };
    script.requests().iter().map(users).collect()
}

#[tokio::test]
async fn followup_gives_each_message_its_turn() {
    assert_eq!(two_at_once(QueueMode::Followup).await, [1, 2, 3]);
}

#[tokio::test]
async fn collect_answers_what_came_meanwhile_together() {
    assert_eq!(two_at_once(QueueMode::Collect).await, [1, 3]);
}

#[tokio::test]
async fn agents_differ_in_what_they_may_use() {
    let script = Scripted::from_fn(|request| Ok(Step::text(request.tools.len().to_string())));
    let store = InMemory::new();
    let count = super::Count::default();
    let gateway = builder(&script, &store)
        .tool(super::tools::counting("note", &count))
        .agent(Agent::new("main"))
        .agent(Agent::new("quiet").without_tools())
        .start()
        .await
        .unwrap();
    let handle = gateway.handle();
    assert_eq!(ask(&handle, "tools?").await.text, "1");
    let quiet = owner(&handle, "tools?").agent("quiet").reply().await.unwrap();
    assert_eq!(quiet.text, "0");
    assert_eq!(quiet.session.agent(), &AgentId::new("quiet"));
}

#[tokio::test]
async fn interrupt_puts_the_new_message_in_the_place_of_the_old_turn() {
    two_at_once(QueueMode::Interrupt).await;
}

#[tokio::test]
async fn steer_joins_at_the_next_model_call() {
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let script = Scripted::steps([
        Step::new().call("note", serde_json::json!({ "name": "a" })),
        Step::text("both"),
    ]);
    let slow = super::tools::Gate { inner: script.clone(), gate: gate.clone() };
    let gateway = Gateway::builder()
        .provider(slow)
        .ephemeral()
        .tool(super::tools::counting("note", &super::Count::default()))
        .start()
        .await
        .unwrap();
    let handle = gateway.handle();
    let first = owner(&handle, "first").stream().await.unwrap();
    while script.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    let second = owner(&handle, "second").stream().await.unwrap();
    gate.add_permits(10);
    let (first, second) = (first.finish().await.unwrap(), second.finish().await.unwrap());
    assert_eq!((first.text.as_str(), first.turn), ("both", second.turn));
    assert!(said(&script.requests()[1]).contains("second"));
}

/// A provider that keeps the names of the sessions that it is told.
struct Named {
    inner: Scripted,
    sessions: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
}

#[async_trait]
impl Provider for Named {
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
        self.sessions.lock().unwrap().push(cx.session.as_deref().unwrap().to_owned());
        self.inner.stream(cx, request).await
    }
}

#[tokio::test]
async fn a_provider_is_told_the_sessions_name_and_not_its_secret() {
    let sessions = std::sync::Arc::default();
    let inner = Scripted::from_fn(|_| Ok("ok"));
    let provider = Named { inner, sessions: std::sync::Arc::clone(&sessions) };
    let gateway = Gateway::builder().provider(provider).ephemeral().start().await.unwrap();
    let handle = gateway.handle();
    let reply = ask(&handle, "one").await;
    ask(&handle, "two").await;
    let told = sessions.lock().unwrap().clone();
    assert_eq!(told[0], told[1]);
    let log = handle.log(&reply.session, Seq::ZERO, 1).await.unwrap();
    let Some((_, Entry::Opened { session, nonce })) = log.entries().next() else { panic!() };
    assert_eq!(told[0], session.as_str());
    assert!(!told[0].contains(&nonce));
}

#[tokio::test]
async fn another_agent_has_its_own_tools_and_permissions() {
    let chat = openclaw_core::testing::Loopback::new();
    let script = Scripted::from_fn(|request| {
        let told = said(request);
        Ok(if told.contains("Refused by policy") {
            Step::text("I may not")
        } else if told.contains("noted") {
            Step::text("I did")
        } else if request.tools.is_empty() {
            Step::text("I have no tools")
        } else {
            Step::new().call("note", serde_json::json!({ "name": "a" }))
        })
    });
    let count = super::Count::default();
    let _gateway = builder(&script, &InMemory::new())
        .channel(chat.clone())
        .tool(super::tools::counting("note", &count))
        .agent(Agent::new("main"))
        .agent(Agent::new("bare").without_tools())
        .agent(Agent::new("careful").permission("note", Permission::Deny))
        .start()
        .await
        .unwrap();
    for (agent, reply, calls) in
        [("main", "I did", 1), ("bare", "I have no tools", 1), ("careful", "I may not", 1)]
    {
        assert!(chat.say(&format!("/agent {agent}")).await.unwrap().contains(agent));
        assert_eq!(chat.say("note it").await.unwrap(), reply);
        assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), calls, "{agent}");
    }
}

#[tokio::test]
async fn a_persona_is_read_from_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in [
        ("SOUL.md", "You are patient."),
        ("IDENTITY.md", "Your name is Pim."),
        ("USER.md", "The owner is Ada."),
        ("AGENTS.md", "Answer in Dutch."),
        ("NOTES.md", "Nobody reads this."),
    ] {
        std::fs::write(folder.path().join(file), text).unwrap();
    }
    let script = Scripted::replies(["ja"]);
    let mut agent = Agent::new("main");
    agent.persona_folder = Some(folder.path().to_owned());
    let gateway = builder(&script, &InMemory::new()).agent(agent).start().await.unwrap();
    ask(&gateway.handle(), "hello").await;
    let system = script.requests()[0].system.clone();
    let order = ["You are patient.", "Your name is Pim.", "The owner is Ada.", "Answer in Dutch."];
    let places: Vec<_> = order.iter().map(|text| system.find(text).expect(text)).collect();
    assert!(places.is_sorted(), "{system}");
    assert!(!system.contains("Nobody reads this"));
}

#[tokio::test]
async fn a_session_with_very_many_messages_is_answered_in_one_turn() {
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let script = Scripted::from_fn(|_| Ok("ok"));
    let slow = super::tools::Gate { inner: script.clone(), gate: gate.clone() };
    let gateway = Gateway::builder()
        .provider(slow)
        .ephemeral()
        .agent(Agent::new("main").queue(QueueMode::Followup))
        .start()
        .await
        .unwrap();
    let handle = gateway.handle();
    let first = owner(&handle, "first").stream().await.unwrap();
    while script.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    let mut rest = Vec::new();
    for number in 0..=COLLECT_ABOVE {
        rest.push(owner(&handle, &format!("number {number}")).stream().await.unwrap());
    }
    gate.add_permits(2);
    first.finish().await.unwrap();
    let mut turns = std::collections::BTreeSet::new();
    for stream in rest {
        turns.insert(stream.finish().await.unwrap().turn);
    }
    assert_eq!((turns.len(), script.requests().len()), (1, 2));
}
