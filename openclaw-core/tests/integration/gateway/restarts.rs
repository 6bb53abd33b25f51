use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use openclaw_core::{
    agent::Agent,
    policy::Permission,
    provider::{ChatMessage, CompletionRequest, ProviderState},
    store::{InMemory, OutboxStore as _},
    testing::{Act, FaultPoint, Loopback, Scripted, scripted::Step},
    tool::{Effect, ToolSpec, tool_fn_with},
    turn::{MAX_ATTEMPTS, Outcome},
};
use serde_json::json;
use tokio::sync::Notify;

use super::{
    Count,
    approvals::{dangerous, open_ask},
    ask, builder, owner, said,
    tools::Named,
};

#[tokio::test]
async fn a_parked_turn_outlives_any_number_of_restarts() {
    let (store, count) = (InMemory::new(), Count::default());
    let script = Scripted::steps([
        Step::new().call("wipe", json!({ "name": "something else" })),
        Step::text("wiped it"),
    ]);
    // The owner's own words would need no leave.
    let agent = || Agent::new("main").permission("wipe", Permission::Ask);
    for _ in 0..=MAX_ATTEMPTS {
        let gateway =
            builder(&script, &store).agent(agent()).tool(dangerous(&count)).start().await.unwrap();
        let asking = tokio::spawn(owner(&gateway.handle(), "wipe it").key("k").reply());
        open_ask(&gateway.handle()).await;
        drop(gateway);
        assert!(asking.await.unwrap().is_err());
    }
    let gateway =
        builder(&script, &store).agent(agent()).tool(dangerous(&count)).start().await.unwrap();
    let handle = gateway.handle();
    let asking = tokio::spawn(owner(&handle, "wipe it").key("k").reply());
    let (_, approval) = open_ask(&handle).await;
    handle.answer(&approval.ask.approval, true).await.unwrap();
    let reply = asking.await.unwrap().unwrap();
    assert_eq!((reply.text.as_str(), reply.outcome), ("wiped it", Outcome::Replied));
    assert_eq!(count.load(Ordering::SeqCst), 1);
    assert!(handle.dead_letters(1).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_session_that_another_process_went_on_with_is_read_afresh() {
    let (script, store) = (Scripted::replies(["one", "two", "three"]), InMemory::new());
    let one = builder(&script, &store).start().await.unwrap();
    let other = builder(&script, &store).start().await.unwrap();
    for (gateway, text) in [(&one, "one"), (&other, "two"), (&one, "three")] {
        assert_eq!(ask(&gateway.handle(), text).await.text, text);
    }
    let requests = script.requests();
    assert_eq!(requests.len(), 3);
    assert_eq!(requests[2].messages.len(), 5, "{}", said(&requests[2]));
}

#[tokio::test(start_paused = true)]
async fn a_send_under_way_ends_although_the_gateway_is_dropped() {
    let (store, chat) = (InMemory::new(), Loopback::new());
    let sending = Arc::new(Notify::new());
    let begun = Arc::clone(&sending);
    let gateway = builder(&Scripted::replies(["hello", "never"]), &store)
        .channel(chat.clone())
        .faults(move |point| {
            if point == FaultPoint::Before(Act::Perform) {
                begun.notify_one();
            }
        })
        .start()
        .await
        .unwrap();
    chat.hold();
    let me = chat.person("me");
    me.send("hi");
    sending.notified().await;
    drop(gateway);
    chat.release();
    let minute = Duration::from_secs(60);
    let shown = tokio::time::timeout(minute, chat.next_message(me.conversation())).await;
    assert_eq!(shown.expect("the send was cut off").text(), "hello");
    // And what came of it is kept.
    let account = me.conversation().account.clone();
    while !store.lanes(&account).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_a_shutdown_cuts_short_is_no_answer() {
    let store = InMemory::new();
    let tool = |count: &Count| {
        let spec = ToolSpec::read_only("sleep", "Sleeps").effect(Effect::Idempotent);
        tool_fn_with(spec, count.clone(), async |count: Count, cx, _: Named| {
            if count.fetch_add(1, Ordering::SeqCst) == 0 {
                cx.cancel().cancelled().await;
                return Err(openclaw_core::Error::new(
                    openclaw_core::ErrorKind::Cancelled,
                    "woken too early",
                ));
            }
            Ok("slept")
        })
    };
    let (script, count) = (
        Scripted::steps([
            Step::new().stall(),
            Step::new().call("sleep", json!({ "name": "well" })),
            Step::text("slept well"),
        ]),
        Count::default(),
    );
    for waits in 1..=2 {
        let gateway = builder(&script, &store).tool(tool(&count)).start().await.unwrap();
        let asking = tokio::spawn(owner(&gateway.handle(), "sleep").key("k").reply());
        while script.requests().len() < waits || count.load(Ordering::SeqCst) + 1 < waits {
            tokio::task::yield_now().await;
        }
        gateway.shutdown_within(Duration::ZERO).await.unwrap();
        assert!(asking.await.unwrap().is_err());
    }
    let gateway = builder(&script, &store).tool(tool(&count)).start().await.unwrap();
    let reply = owner(&gateway.handle(), "sleep").key("k").reply().await.unwrap();
    assert_eq!((reply.text.as_str(), reply.outcome), ("slept well", Outcome::Replied));
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

/// What each reply of the model comes back with.
fn states(request: &CompletionRequest) -> Vec<Option<ProviderState>> {
    let replies = request.messages.iter().filter_map(|message| match message {
        ChatMessage::Assistant { state, .. } => Some(state.clone()),
        _ => None,
    });
    replies.collect()
}

#[tokio::test]
async fn what_a_provider_wants_back_outlives_a_crash_and_ends_with_the_turn() {
    let (store, count) = (InMemory::new(), Count::default());
    let tool = |count: &Count| {
        let spec = ToolSpec::read_only("look", "Looks").effect(Effect::Idempotent);
        tool_fn_with(spec, count.clone(), async |count: Count, _, _: Named| {
            if count.fetch_add(1, Ordering::SeqCst) == 1 {
                std::future::pending::<()>().await;
            }
            Ok("seen")
        })
    };
    let script = Scripted::steps([
        Step::new().state(json!({"signed": 1})).call("look", json!({ "name": "first" })),
        Step::new().state(json!({"signed": 2})).call("look", json!({ "name": "well" })),
        Step::text("I saw it.").state(json!({"signed": 3})),
        Step::text("Nothing more."),
    ]);
    let gateway = builder(&script, &store).tool(tool(&count)).start().await.unwrap();
    let asking = tokio::spawn(owner(&gateway.handle(), "look").key("k").reply());
    // The second call has begun and does not end: the process dies there.
    while count.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    drop(gateway);
    assert!(asking.await.unwrap().is_err());

    let gateway = builder(&script, &store).tool(tool(&count)).start().await.unwrap();
    let handle = gateway.handle();
    assert_eq!(owner(&handle, "look").key("k").reply().await.unwrap().text, "I saw it.");
    assert_eq!(ask(&handle, "And?").await.text, "Nothing more.");
    let state =
        |signed: u32| Some(ProviderState::new("scripted", "default", json!({ "signed": signed })));
    let asked: Vec<_> = script.requests().iter().map(states).collect();
    let [first, second, third, fourth] = asked.try_into().unwrap();
    assert!(first.is_empty());
    assert_eq!(second, [state(1)]);
    assert_eq!(third, [state(1), state(2)], "after the crash");
    assert_eq!(fourth, [None, None, None], "of an earlier turn it is of no use");
}
