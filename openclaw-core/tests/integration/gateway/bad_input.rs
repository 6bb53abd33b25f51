use std::{sync::Arc, time::Duration};

use openclaw_core::{
    AccountId, Conversation, EventKey, Result, SessionKey,
    access::Access,
    async_trait,
    channel::{Capabilities, Channel, ChannelContext, Extras},
    gateway::MAX_PENDING,
    label::Label,
    message::{Action, Sent},
    store::{
        AcceptLimits, Batch, InMemory, InputId, LeaseName, LogRow, NewInput, SessionStore as _,
        SessionUpdate,
    },
    testing::{Loopback, Scripted, scripted::Step},
    time::Timestamp,
};
use tokio::sync::Notify;

use super::builder;

/// A messenger that notices when what it brought was not taken.
struct Watched {
    chat: Loopback,
    untaken: Notify,
}

#[async_trait]
impl Channel for Watched {
    fn id(&self) -> &AccountId {
        self.chat.id()
    }

    fn capabilities(&self) -> &Capabilities {
        self.chat.capabilities()
    }

    async fn run(&self, cx: &ChannelContext) -> Result<()> {
        let ended = self.chat.run(cx).await;
        if ended.is_err() {
            self.untaken.notify_one();
        }
        ended
    }

    async fn perform(
        &self,
        cx: &ChannelContext,
        to: &Conversation,
        action: &Action,
    ) -> Result<Sent> {
        self.chat.perform(cx, to, action).await
    }

    fn extras(&self) -> Extras<'_> {
        self.chat.extras()
    }
}

fn messenger() -> (Loopback, AccountId) {
    let chat = Loopback::account("chat:main").unwrap().with(|c| c.local = false);
    let account = chat.id().clone();
    (chat, account)
}

fn hello() -> Scripted {
    Scripted::from_fn(|_| Ok(Step::text("hello")))
}

const NOTHING: SessionUpdate = SessionUpdate { checkpoint: None, open: false, wake_at: None };

fn batch() -> Batch {
    Batch {
        entries: vec![],
        consumed: vec![],
        dead: vec![],
        outbox: vec![],
        records: vec![],
        session: NOTHING,
    }
}

#[tokio::test]
async fn a_full_inbox_takes_nothing_and_loses_nothing() {
    let (chat, account) = messenger();
    let store = InMemory::new();
    // Another process holds a session with all inputs that there may be.
    let hoard = SessionKey::new("main".into(), Conversation::direct(account.clone(), "hoard"));
    let input = |number: u64| NewInput {
        session: hoard.clone(),
        heard: hoard.conversation().clone(),
        key: EventKey::event(&number.to_string()),
        control: false,
        at: Timestamp(1),
        payload: String::new(),
    };
    let limits = AcceptLimits { total: u64::MAX, session: u64::MAX };
    store.accept((0..MAX_PENDING).map(input).collect(), limits).await.unwrap();
    let (name, day) = (LeaseName::Session(hoard.clone()), Duration::from_secs(86_400));
    let lease = store.lease(&name, &"other".into(), day).await.unwrap();

    let watched = Arc::new(Watched { chat: chat.clone(), untaken: Notify::new() });
    let (ada, bob, cid) = (chat.person("ada"), chat.person("bob"), chat.person("cid"));
    ada.send("/status");
    bob.send("hi");
    cid.send("hi");
    let script = hello();
    let gateway = builder(&script, &store)
        .channel(watched.clone())
        .owner("chat", "ada")
        .access(account, Access::open())
        .start()
        .await
        .unwrap();
    watched.untaken.notified().await;
    assert_eq!((chat.acknowledged(), chat.unheard()), (0, 3));
    assert!(script.requests().is_empty());
    // What people say to the gateway itself finds a place.
    assert!(chat.next_message(ada.conversation()).await.text().contains("Idle"));

    // Room for one, which is given back when it is answered.
    let oldest = store.inputs(&hoard, InputId::default(), 1).await.unwrap()[0].id;
    let room = Batch { consumed: vec![oldest], ..batch() };
    store.commit(&lease, &hoard, openclaw_core::Seq::ZERO, room).await.unwrap();
    chat.heard().await;
    assert_eq!(chat.next_message(bob.conversation()).await.text(), "hello");
    assert_eq!(chat.next_message(cid.conversation()).await.text(), "hello");
    gateway.shutdown().await.unwrap();
    assert_eq!((chat.acknowledged(), chat.messages().len()), (3, 3));
    assert_eq!(script.requests().len(), 2);
}

#[tokio::test]
async fn a_session_that_cannot_be_read_is_set_aside_and_people_are_told_once() {
    let (chat, account) = messenger();
    let (store, script) = (InMemory::new(), hello());
    let make = || {
        builder(&script, &store)
            .channel(chat.clone())
            .owner("chat", "ada")
            .access(account.clone(), Access::open())
    };
    let (ada, bob, cid) = (chat.person("ada"), chat.person("bob"), chat.person("cid"));
    let gateway = make().start().await.unwrap();
    assert_eq!(bob.say("hi").await.unwrap(), "hello");
    gateway.shutdown().await.unwrap();

    // A program of a later version went on with it.
    let (key, head) = store.sessions(None, 1).await.unwrap().remove(0);
    let (name, minute) = (LeaseName::Session(key.clone()), Duration::from_secs(60));
    let lease = store.lease(&name, &"later".into(), minute).await.unwrap();
    let dreamt = LogRow {
        seq: head.seq.next(),
        kind: "dreamt".into(),
        at: Timestamp(1),
        label: Label::system(),
        digest: String::new(),
        payload: Some("{\"entry\":\"dreamt\"}".into()),
    };
    let strange = Batch { entries: vec![dreamt], ..batch() };
    store.commit(&lease, &key, head.seq, strange).await.unwrap();
    store.release(&lease).await.unwrap();

    let gateway = make().start().await.unwrap();
    bob.send("are you there?");
    let told = chat.next_message(bob.conversation()).await.text();
    assert!(told.contains("cannot read our conversation"), "{told}");
    let told = chat.next_message(ada.conversation()).await.text();
    assert!(told.contains(key.as_str()) && told.contains("set aside"), "{told}");
    bob.send("hello?");
    chat.heard().await;
    assert_eq!(cid.say("hi").await.unwrap(), "hello");
    gateway.shutdown().await.unwrap();
    let gateway = make().start().await.unwrap();
    assert_eq!(cid.say("still?").await.unwrap(), "hello");
    gateway.shutdown().await.unwrap();

    let at = |place: &Conversation| {
        chat.messages().iter().filter(|shown| shown.conversation == *place).count()
    };
    assert_eq!((at(bob.conversation()), at(ada.conversation())), (2, 1));
    // What was said waits for a program that can read it.
    assert_eq!(store.inputs(&key, InputId::default(), 10).await.unwrap().len(), 2);
}
