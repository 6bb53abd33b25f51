//! Summing up because somebody asks for it.

use openclaw_core::{
    Error, ErrorKind, Handle, Seq, SessionKey,
    store::InMemory,
    testing::{Scripted, scripted::Step},
    turn::Entry,
};

use super::{ask, builder, said};

/// Answers, and sums up as `summary` says.
fn model(summary: impl Fn() -> Step + Send + Sync + 'static) -> Scripted {
    Scripted::from_fn(move |request| {
        Ok(if said(request).contains("Sum up the conversation") {
            summary()
        } else {
            Step::text("I see.")
        })
    })
}

async fn only_session(handle: &Handle) -> SessionKey {
    let sessions = handle.sessions(None, 2).await.unwrap();
    assert_eq!(sessions.len(), 1);
    sessions[0].0.clone()
}

async fn summaries(handle: &Handle) -> usize {
    let session = only_session(handle).await;
    let log = handle.log(&session, Seq::ZERO, usize::MAX).await.unwrap();
    log.entries().filter(|(_, entry)| matches!(entry, Entry::Compacted { .. })).count()
}

#[tokio::test]
async fn all_but_what_was_said_last_becomes_a_summary_also_after_a_restart() {
    let store = InMemory::new();
    let script = model(|| Step::text("Ada has a boat."));
    let gateway = builder(&script, &store).start().await.unwrap();
    let handle = gateway.handle();
    assert_eq!(ask(&handle, "/compact").await.text, "There is nothing to sum up.");
    for text in ["I am Ada.", "I have a boat.", "It is red."] {
        ask(&handle, text).await;
    }
    assert_eq!(ask(&handle, "/compact").await.text, "4 messages are summed up in one.");
    assert_eq!(summaries(&handle).await, 1);
    assert_eq!(ask(&handle, "/compact").await.text, "There is nothing to sum up.");
    gateway.shutdown().await.unwrap();

    let gateway = builder(&script, &store).start().await.unwrap();
    ask(&gateway.handle(), "What do I have?").await;
    let request = said(script.requests().last().unwrap());
    assert!(request.contains("Ada has a boat.") && request.contains("It is red."), "{request}");
    assert!(!request.contains("I am Ada."), "{request}");
}

#[tokio::test]
async fn without_a_summary_nothing_is_left_out() {
    let store = InMemory::new();
    let script = model(|| Step::error(Error::new(ErrorKind::Unavailable, "away")));
    let gateway = builder(&script, &store).start().await.unwrap();
    let handle = gateway.handle();
    ask(&handle, "I am Ada.").await;
    ask(&handle, "I have a boat.").await;
    let told = ask(&handle, "/compact").await.text;
    assert!(told.starts_with("No summary could be made: "), "{told}");
    assert_eq!(summaries(&handle).await, 0);
    ask(&handle, "What do I have?").await;
    assert!(said(script.requests().last().unwrap()).contains("I am Ada."));
}

#[tokio::test]
async fn it_can_be_stopped_and_what_is_said_meanwhile_is_answered() {
    let store = InMemory::new();
    let script = model(|| Step::new().stall());
    let gateway = builder(&script, &store).start().await.unwrap();
    let handle = gateway.handle();
    ask(&handle, "I am Ada.").await;
    ask(&handle, "I have a boat.").await;
    let (told, answer) = tokio::join!(ask(&handle, "/compact"), async {
        while !script.requests().last().is_some_and(|last| said(last).contains("Sum up")) {
            tokio::task::yield_now().await;
        }
        tokio::join!(ask(&handle, "Are you there?"), ask(&handle, "/stop")).0
    });
    assert_eq!(told.text, "Nothing is summed up: that was stopped.");
    assert_eq!(answer.text, "I see.");
    assert_eq!(summaries(&handle).await, 0);
}

#[tokio::test]
async fn a_new_history_is_not_mixed_up_with_the_one_that_is_summed_up() {
    let store = InMemory::new();
    let script = model(|| Step::text("Ada has a boat."));
    let gateway = builder(&script, &store).start().await.unwrap();
    let handle = gateway.handle();
    for text in ["I am Ada.", "I have a boat.", "It is red."] {
        ask(&handle, text).await;
    }
    let (_, new) = tokio::join!(ask(&handle, "/compact"), ask(&handle, "/new"));
    assert_eq!(new.text, "A new conversation begins.");
    ask(&handle, "Who am I?").await;
    let request = said(script.requests().last().unwrap());
    assert!(!request.contains("boat"), "{request}");
}
