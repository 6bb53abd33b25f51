//! What becomes of what is sent.

use std::time::Duration;

use openclaw_core::{
    ErrorKind, Handle, OutboundKey,
    access::Access,
    channel::Rate,
    event::{EventKind, Next, Subscription},
    store::{InMemory, OutboundId, OutboundState, OutboxStore as _},
    testing::{Loopback, Scripted, TestClock},
};
use tokio::time::Instant;

use super::{
    builder,
    channels::{echo, messenger, on},
    said,
};

async fn failed(events: &mut Subscription) -> OutboundKey {
    loop {
        match events.next().await {
            Some(Next::Event(event)) => {
                if let EventKind::DeliveryFailed { key, .. } = &event.kind {
                    return key.clone();
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn undelivered(handle: &Handle) -> Vec<OutboundKey> {
    let rows = handle.undelivered(10).await.unwrap();
    for row in &rows {
        assert_eq!(row.state, OutboundState::Failed { error: ErrorKind::Timeout });
    }
    rows.into_iter().map(|row| row.new.key).collect()
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_delivered_for_a_day_is_given_up_and_told() {
    // Its failure must be that of a message.
    let chat = messenger("chat:main").with(|capabilities| capabilities.typing = false);
    let clock = TestClock::new();
    let script = Scripted::from_fn(|request| {
        let told = said(request).contains("could not be delivered");
        Ok(if told { "I could not answer you" } else { "an answer" })
    });
    let access = Access::allowlist(["bob"]);
    let store = InMemory::new();
    let gateway = builder(&script, &store)
        .channel(chat.clone())
        .owner("chat", "ada")
        .access("chat:main".parse().unwrap(), access)
        .clock(clock.clone())
        .start()
        .await
        .unwrap();
    let handle = gateway.handle();
    let mut events = handle.subscribe();
    let (ada, bob) = (chat.person("ada"), chat.person("bob"));
    chat.fail_next(1);
    bob.send("hi");
    // Once it has failed, the next try waits for the clock.
    let tries = async || {
        let lane = store.lane(bob.conversation(), OutboundId::default(), 1).await.unwrap();
        lane.first().map_or(0, |row| row.attempts)
    };
    while tries().await == 0 {
        tokio::task::yield_now().await;
    }
    assert!(undelivered(&handle).await.is_empty());
    clock.advance(Duration::from_secs(24 * 60 * 60 + 1));
    let key = failed(&mut events).await;
    assert_eq!(undelivered(&handle).await, [key]);
    let told = chat.next_message(ada.conversation()).await.text();
    assert!(told.contains("could not be delivered"), "{told}");
    // The model knows, the next time.
    assert_eq!(bob.say("are you there?").await.unwrap(), "I could not answer you");
    assert_eq!(undelivered(&handle).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_account_sends_no_faster_than_it_may() {
    let chat = Loopback::new().with(|capabilities| {
        capabilities.rates.account = Some(Rate { per_minute: 20, burst: 1 });
    });
    let _gateway = on(&chat, &echo()).start().await.unwrap();
    let began = Instant::now();
    let people: Vec<_> = (0..7).map(|number| chat.person(&format!("p{number}"))).collect();
    people.iter().for_each(|person| {
        person.send("hi");
    });
    let mut shown = Vec::new();
    for person in &people {
        shown.push(chat.next_message(person.conversation()).await);
    }
    assert_eq!(shown.len(), 7);
    // Three seconds between any two of them.
    assert_eq!(began.elapsed().as_secs(), 6 * 3);
}
