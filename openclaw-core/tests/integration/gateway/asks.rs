//! What an application gets for what it asks, whenever and however often it asks.

use std::sync::Arc;

use openclaw_core::{
    Error, ErrorKind, EventKey, GatewayBuilder, Handle, Result, Seq, SessionKey,
    agent::{Agent, QueueMode},
    async_trait,
    event::EventKind,
    gateway::{Gateway, MAX_SESSION_PENDING, ReplyStream},
    hook::{Hook, HookContext, ReplyVerdict},
    schemars,
    store::{Batch, InMemory, LeaseName, SessionStore as _, SessionUpdate},
    testing::{Scripted, scripted::Step},
    time::Timestamp,
    turn::{Entry, Outcome, encode},
};
use tokio::sync::Semaphore;

use super::{ask, builder, owner, tools::Gate};

async fn again(handle: &Handle, key: &str) -> Result<openclaw_core::gateway::Reply> {
    owner(handle, "again").key(key).reply().await
}

#[tokio::test]
async fn an_old_key_is_answered_as_it_was_then() {
    let script = Scripted::from_fn(|request| Ok(format!("{} messages", request.messages.len())));
    let store = InMemory::new();
    let gateway = builder(&script, &store).start().await.unwrap();
    let handle = gateway.handle();
    let first = again(&handle, "first").await.unwrap();
    // Over more than one checkpoint, one of them in the commit of a turn's end.
    for _ in 0..150 {
        ask(&handle, "more").await;
    }
    let last = again(&handle, "last").await.unwrap();
    ask(&handle, "/new").await;
    for (key, then) in [("first", &first), ("last", &last)] {
        let now = again(&handle, key).await.unwrap();
        assert_eq!((&now.text, now.turn, now.usage), (&then.text, then.turn, then.usage));
    }
    assert_eq!(script.requests().len(), 152);
}

#[tokio::test]
async fn a_key_is_answered_once_whichever_agent_it_is_asked_of() {
    let (script, store) = (Scripted::from_fn(|_| Ok("ok")), InMemory::new());
    let gateway = builder(&script, &store)
        .agent(Agent::new("main"))
        .agent(Agent::new("play"))
        .start()
        .await
        .unwrap();
    let handle = gateway.handle();
    let first = again(&handle, "k").await.unwrap();
    assert_eq!(first.session.agent().as_str(), "main");
    let other = owner(&handle, "again").key("k").agent("play").reply().await.unwrap();
    assert_eq!((&other.session, other.turn), (&first.session, first.turn));
    assert_eq!(script.requests().len(), 1);
    let fresh = owner(&handle, "again").key("l").agent("play").reply().await.unwrap();
    assert_eq!(fresh.session.agent().as_str(), "play");
}

#[tokio::test]
async fn a_key_whose_turn_ended_with_a_checkpoint_is_answered() {
    let (script, store) = (Scripted::from_fn(|_| Ok("ok")), InMemory::new());
    let gateway = builder(&script, &store).start().await.unwrap();
    let handle = gateway.handle();
    let mut number = 0;
    let checkpointed = loop {
        let reply = again(&handle, &number.to_string()).await.unwrap();
        let rows = store.read(&reply.session, Seq::ZERO, usize::MAX).await.unwrap();
        if rows.last().unwrap().kind == "checkpoint" {
            break reply;
        }
        number += 1;
    };
    assert_eq!(again(&handle, &number.to_string()).await.unwrap().turn, checkpointed.turn);
}

#[tokio::test]
async fn the_answer_to_a_command_is_not_kept_and_that_is_said() {
    let (script, store) = (Scripted::replies(["hi"]), InMemory::new());
    let gateway = builder(&script, &store).start().await.unwrap();
    let handle = gateway.handle();
    let status = || owner(&handle, "/status").key("s");
    assert!(status().reply().await.unwrap().text.contains("Idle"));
    let error = status().reply().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("command"), "{error}");
    let mut stream = status().stream().await.unwrap();
    assert!(stream.next().await.is_none());
    assert_eq!(stream.finish().await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn an_ask_that_was_dropped_for_newer_ones_fails() {
    let script = Scripted::from_fn(|request| {
        let first = request.messages.len() == 1;
        Ok(if first { Step::new().stall() } else { Step::text("the rest") })
    });
    let store = InMemory::new();
    let gateway = builder(&script, &store).start().await.unwrap();
    let handle = gateway.handle();
    let first = owner(&handle, "first").stream().await.unwrap();
    while script.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    let doomed = owner(&handle, "doomed").key("doomed").stream().await.unwrap();
    let mut newest = None;
    // The one that is worked on counts too, and is the oldest.
    for number in 0..MAX_SESSION_PENDING {
        newest = Some(owner(&handle, &number.to_string()).stream().await.unwrap());
    }
    let error = doomed.finish().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
    assert_eq!(again(&handle, "doomed").await.unwrap_err().kind(), ErrorKind::Exhausted);
    // The turn that works on a dropped one comes to its end all the same.
    ask(&handle, "/stop").await;
    assert_eq!(first.finish().await.unwrap().outcome, Outcome::Cancelled);
    assert_eq!(newest.unwrap().finish().await.unwrap().text, "the rest");
}

/// Adds an entry of a newer version to the session's log.
async fn damage(store: &InMemory, session: &SessionKey) {
    let node = "elsewhere".into();
    let name = LeaseName::Session(session.clone());
    let lease = store.lease(&name, &node, std::time::Duration::from_secs(30)).await.unwrap();
    let head = store.head(session).await.unwrap();
    let mut row = encode(head.seq.next(), Timestamp(0), &Entry::Resumed).unwrap();
    row.payload = Some(row.payload.unwrap().replace("\"v\":1", "\"v\":99"));
    let session_update = SessionUpdate { checkpoint: None, open: false, wake_at: None };
    let batch = Batch {
        entries: vec![row],
        consumed: vec![],
        dead: vec![],
        outbox: vec![],
        records: vec![],
        session: session_update,
    };
    store.commit(&lease, session, head.seq, batch).await.unwrap();
    store.release(&lease).await.unwrap();
}

#[tokio::test]
async fn asks_to_a_session_that_cannot_be_read_fail() {
    let (script, store) = (Scripted::replies(["hi"]), InMemory::new());
    let gateway = builder(&script, &store).start().await.unwrap();
    let handle = gateway.handle();
    let reply = ask(&handle, "hi").await;
    damage(&store, &reply.session).await;
    for _ in 0..2 {
        let error = again(&handle, "k").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
    }
}

async fn text_of(stream: &mut ReplyStream) -> String {
    let mut text = String::new();
    while let Some(event) = stream.next().await {
        if let EventKind::TextDelta { text: more } = &event.kind {
            text.push_str(more);
        }
    }
    text
}

fn gated(script: &Scripted, gate: &Arc<Semaphore>, mode: QueueMode) -> GatewayBuilder {
    let slow = Gate { inner: script.clone(), gate: Arc::clone(gate) };
    Gateway::builder().provider(slow).ephemeral().agent(Agent::new("main").queue(mode))
}

#[tokio::test]
async fn each_stream_has_its_own_turn_alone() {
    let (script, gate) = (Scripted::replies(["one", "two"]), Arc::new(Semaphore::new(0)));
    let gateway = gated(&script, &gate, QueueMode::Followup).start().await.unwrap();
    let handle = gateway.handle();
    let mut first = owner(&handle, "1").key("1").stream().await.unwrap();
    while script.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    let mut second = owner(&handle, "2").stream().await.unwrap();
    // The same ask again, while its turn is open.
    let mut same = owner(&handle, "1").key("1").stream().await.unwrap();
    gate.add_permits(2);
    assert_eq!(text_of(&mut second).await, "two");
    assert_eq!(text_of(&mut first).await, "one");
    assert_eq!(text_of(&mut same).await, "one");
    assert_eq!(second.finish().await.unwrap().text, "two");
    // And after its end.
    let mut late = owner(&handle, "1").key("1").stream().await.unwrap();
    assert!(late.next().await.is_none());
    assert_eq!(late.finish().await.unwrap().text, "one");
}

#[tokio::test]
async fn a_stream_that_joined_a_turn_and_one_of_a_command_end() {
    let (script, gate) = (Scripted::from_fn(|_| Ok("ok")), Arc::new(Semaphore::new(0)));
    let gateway = gated(&script, &gate, QueueMode::Steer).start().await.unwrap();
    let handle = gateway.handle();
    let mut status = owner(&handle, "/status").stream().await.unwrap();
    assert!(status.next().await.is_none());
    assert!(status.finish().await.unwrap().text.contains("Idle"));
    let mut streams = Vec::new();
    for text in ["1", "2"] {
        streams.push(owner(&handle, text).stream().await.unwrap());
    }
    gate.add_permits(2);
    for mut stream in streams {
        assert!(stream.next().await.is_some());
        while stream.next().await.is_some() {}
        assert_eq!(stream.finish().await.unwrap().outcome, Outcome::Replied);
    }
}

#[tokio::test]
async fn a_stream_that_missed_events_ends() {
    let words = "word ".repeat(10);
    let steps = (0..600).fold(Step::new(), |step, _| step.say(words.clone()));
    let (script, store) = (Scripted::steps([steps]), InMemory::new());
    let gateway = builder(&script, &store).start().await.unwrap();
    let handle = gateway.handle();
    let mut stream = owner(&handle, "much").key("k").stream().await.unwrap();
    // Nobody reads until all is over, and much more has happened since.
    assert_eq!(again(&handle, "k").await.unwrap().text, words.repeat(600));
    while stream.next().await.is_some() {}
    assert_eq!(stream.finish().await.unwrap().text, words.repeat(600));
}

struct Redact;

#[async_trait]
impl Hook for Redact {
    async fn before_reply(&self, _: HookContext<'_>, text: &str) -> Result<ReplyVerdict> {
        match text {
            "nothing" => Ok(ReplyVerdict::Withhold),
            "broken" => Err(Error::new(ErrorKind::Unavailable, "the check is down")),
            text => Ok(ReplyVerdict::Replace(text.replace("secret", "***"))),
        }
    }
}

#[tokio::test]
async fn who_asks_again_gets_what_hooks_let_pass() {
    let script = Scripted::replies(["a secret", "nothing", "broken"]);
    let gateway = builder(&script, &InMemory::new()).hook(Redact).start().await.unwrap();
    let handle = gateway.handle();
    for (key, text) in [("1", "a ***"), ("2", ""), ("3", "")] {
        for _ in 0..2 {
            assert_eq!(again(&handle, key).await.unwrap().text, text, "{key}");
        }
    }
}

#[tokio::test]
async fn an_ask_for_an_agent_that_there_is_not_is_refused() {
    let (script, store) = (Scripted::replies(["hi"]), InMemory::new());
    let gateway = builder(&script, &store).start().await.unwrap();
    let error = owner(&gateway.handle(), "hi").agent("support").reply().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("support") && error.to_string().contains("main"), "{error}");
    assert!(script.requests().is_empty());
}

#[tokio::test]
async fn an_input_that_cannot_be_read_is_a_dead_letter_and_its_asker_is_told() {
    let (script, store) = (Scripted::replies(["hi"]), InMemory::new());
    let gateway = builder(&script, &store).start().await.unwrap();
    let handle = gateway.handle();
    let session = ask(&handle, "hi").await.session;
    let limits = openclaw_core::store::AcceptLimits { total: 10, session: 10 };
    let garbage = openclaw_core::store::NewInput {
        heard: session.conversation().clone(),
        session,
        key: EventKey::event("k"),
        control: false,
        at: Timestamp(0),
        payload: "{}".into(),
    };
    store.accept(vec![garbage], limits).await.unwrap();
    let error = again(&handle, "k").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
    assert_eq!(handle.dead_letters(1).await.unwrap().len(), 1);
}

#[derive(Debug, PartialEq, serde::Deserialize, schemars::JsonSchema)]
struct Weather {
    celsius: i32,
}

/// Asks for a typed answer and one with a value for tools while the turn of a plain ask is open.
async fn asked_meanwhile(mode: QueueMode) {
    let gate = Arc::new(Semaphore::new(0));
    let script = Scripted::from_fn(|request| {
        Ok(match request.response_format {
            Some(_) => Step::text(r#"{"celsius": 31}"#),
            None => Step::text("plain"),
        })
    });
    let store = InMemory::new();
    let gateway = gated(&script, &gate, mode).store(store.clone()).start().await.unwrap();
    let handle = gateway.handle();
    let first = owner(&handle, "hello").stream().await.unwrap();
    while script.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    let typed = tokio::spawn(owner(&handle, "how warm is it?").typed::<Weather>());
    while store.unfinished(None, 1).await.unwrap()[0].pending < 2 {
        tokio::task::yield_now().await;
    }
    let other = owner(&handle, "and now?").attribute("customer", "7").stream().await.unwrap();
    let last = owner(&handle, "bye").stream().await.unwrap();
    gate.add_permits(10);
    assert_eq!(typed.await.unwrap().unwrap(), Weather { celsius: 31 }, "{mode:?}");
    let mut turns = Vec::new();
    for stream in [first, other, last] {
        let reply = stream.finish().await.unwrap();
        assert_eq!(reply.text, "plain", "{mode:?}");
        turns.push(reply.turn);
    }
    assert!(turns.is_sorted() && turns[0] != turns[1] && turns[1] != turns[2], "{turns:?}");
}

#[tokio::test]
async fn an_ask_of_another_form_or_with_other_values_has_a_turn_of_its_own() {
    for mode in [QueueMode::Steer, QueueMode::Collect, QueueMode::Followup] {
        asked_meanwhile(mode).await;
    }
}

#[tokio::test]
async fn a_typed_answer_is_repaired_or_given_up() {
    let script = Scripted::replies([
        "31 degrees",
        r#"```json
{"celsius": 31}
```"#,
    ]);
    let gateway = builder(&script, &InMemory::new()).start().await.unwrap();
    let weather: Weather = gateway.handle().ask_typed("ada", "How warm?").await.unwrap();
    assert_eq!(weather, Weather { celsius: 31 });
    let requests = script.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().all(|request| request.response_format.is_some()));
    assert!(super::said(&requests[1]).contains("does not fit the schema"));

    let script = Scripted::from_fn(|_| Ok("warm"));
    let gateway = builder(&script, &InMemory::new()).start().await.unwrap();
    let error = gateway.handle().ask_typed::<Weather>("ada", "How warm?").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(error.to_string().contains("Weather"), "{error}");
    let tries = 1 + openclaw_core::gateway::MAX_REPAIRS;
    assert_eq!(script.requests().len(), usize::try_from(tries).unwrap());
}
