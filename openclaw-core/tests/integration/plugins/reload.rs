//! Putting other parts into a gateway that runs.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use openclaw_core::{
    AccountId, Conversation, Error, ErrorKind, Gateway, GatewayBuilder, Result,
    access::Principal,
    agent::Agent,
    async_trait,
    channel::{Capabilities, Channel, ChannelContext, Delivery},
    message::{Action, Sent},
    plugin::{NoConfig, Registry},
    store::InMemory,
    testing::{Loopback, Scripted, Step, TestClock},
    tool::{ToolSpec, tool_fn, tool_fn_with},
};
use serde_json::json;
use tokio::sync::Semaphore;

use super::{World, ask, registry};

fn names(request: &openclaw_core::provider::CompletionRequest) -> Vec<&str> {
    request.tools.iter().map(|tool| tool.name.as_str()).collect()
}

#[tokio::test]
async fn a_turn_that_runs_keeps_what_it_began_with() {
    let script = Scripted::steps([
        Step::new().call("wait", json!({})),
        Step::text("I waited."),
        Step::text("I am new."),
    ]);
    let (began, go_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let gates = (Arc::clone(&began), Arc::clone(&go_on));
    let wait = tool_fn_with(
        ToolSpec::read_only("wait", "Waits"),
        gates,
        async |(began, go_on): (Arc<Semaphore>, Arc<Semaphore>), _, _: NoConfig| {
            began.add_permits(1);
            go_on.acquire().await.unwrap().forget();
            Ok("done")
        },
    );
    let agent = |persona: &str| Agent::new("main").persona(persona);
    let before = Gateway::builder().ephemeral().provider(script.clone()).tool(wait);
    let gateway = before.agent(agent("You are old.")).start().await.unwrap();
    let handle = gateway.handle();

    let question = handle.ask("ada", "Wait").principal(Principal::Owner);
    let asked = tokio::spawn(question.reply());
    began.acquire().await.unwrap().forget();
    let other = tool_fn(ToolSpec::read_only("other", "Another"), async |_, _: NoConfig| Ok(""));
    let after = Gateway::builder().provider(script.clone()).tool(other);
    let reload = handle.clone();
    let after = after.agent(agent("You are new."));
    // In a task, as an application would: the future can be sent.
    tokio::spawn(async move { reload.reload(after).await }).await.unwrap().unwrap();
    go_on.add_permits(1);

    assert_eq!(asked.await.unwrap().unwrap().text, "I waited.");
    assert_eq!(ask(&handle, "And now?").await, "I am new.");
    let requests = script.requests();
    for request in &requests[..2] {
        assert!(request.system.contains("You are old."), "{}", request.system);
        assert_eq!(names(request), ["wait"]);
    }
    assert!(requests[2].system.contains("You are new."), "{}", requests[2].system);
    assert_eq!(names(&requests[2]), ["other"]);
    gateway.shutdown().await.unwrap();
}

/// A gateway with these rooms.
fn rooms(registry: &Registry, rooms: &[&str], says: &str) -> GatewayBuilder {
    let mut plugins = vec![json!({"plugin": "model", "config": {
        "replies": std::iter::repeat_n(json!({"say": says}), 8).collect::<Vec<_>>()
    }})];
    plugins.extend(rooms.iter().map(|room| json!({"plugin": "room", "config": {"account": room}})));
    let text = json!({"ephemeral": true, "store": {"plugin": "ram"}, "plugins": plugins});
    Gateway::builder().config_str(registry, &text.to_string())
}

#[tokio::test]
async fn channels_come_and_go_and_those_that_stay_are_not_disturbed() {
    let world = World::default();
    let registry = registry(&world);
    let gateway = rooms(&registry, &["a:a", "b:b"], "one").start().await.unwrap();
    let (a, b) = (world.channel(0), world.channel(1));
    assert_eq!(a.say("hello").await.unwrap(), "one");
    assert_eq!(b.say("hello").await.unwrap(), "one");

    gateway.handle().reload(rooms(&registry, &["b:b", "c:c"], "two")).await.unwrap();
    assert_eq!(world.channels.lock().unwrap().len(), 3, "b was not made again");
    let c = world.channel(2);
    assert_eq!(b.say("hello").await.unwrap(), "two");
    assert_eq!(c.say("hello").await.unwrap(), "two");
    a.person("ada").send("is anybody there?");
    gateway.handle().reload(rooms(&registry, &["b:b"], "three")).await.unwrap();
    assert_eq!(b.say("hello").await.unwrap(), "three");
    assert_eq!(a.unheard(), 1, "nobody listens there");

    // With another registry, whose plugins may do something else, all are made anew.
    gateway.handle().reload(rooms(&super::registry(&world), &["b:b"], "four")).await.unwrap();
    assert_eq!(world.channel(3).say("hello").await.unwrap(), "four");
    gateway.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_fault_changes_nothing() {
    let world = World::default();
    let registry = registry(&world);
    let gateway = rooms(&registry, &["a:a"], "one").start().await.unwrap();
    let handle = gateway.handle();
    let error = handle.reload(rooms(&registry, &["b:b", "b:b"], "two")).await.unwrap_err();
    assert!(error.to_string().contains("cannot reload"), "{error}");
    assert!(error.to_string().contains("two channels are named b:b"), "{error}");
    let error = handle.reload(Gateway::builder()).await.unwrap_err();
    assert!(error.to_string().contains("there is no provider"), "{error}");
    assert_eq!(world.channel(0).say("hello").await.unwrap(), "one");
    world.channel(1).person("ada").send("hello");
    assert_eq!(world.channel(0).say("hello").await.unwrap(), "one");
    assert_eq!(world.channel(1).unheard(), 1);
    gateway.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_belongs_to_the_process_cannot_be_changed() {
    let world = World::default();
    let registry = registry(&world);
    let store = InMemory::new();
    let script = Scripted::from_fn(|_| Ok("hello"));
    let app = |store: Option<InMemory>| {
        let builder = Gateway::builder().ephemeral().provider(script.clone());
        match store {
            Some(store) => builder.store(store),
            None => builder,
        }
    };
    let gateway = app(Some(store.clone())).node("n").start().await.unwrap();
    let handle = gateway.handle();
    let table = [
        (app(Some(InMemory::new())), "the store cannot be changed"),
        (
            app(None).config_str(&registry, r#"{"store": {"plugin": "ram"}}"#),
            "the store cannot be changed",
        ),
        (app(None).clock(TestClock::new()), "the clock cannot be changed"),
        (app(None).node("m"), "the node's name cannot be changed"),
        (app(None).config_str(&registry, r#"{"node": "m"}"#), "the node's name cannot be changed"),
    ];
    for (builder, expected) in table {
        let error = handle.reload(builder).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    handle.reload(app(None).node("n")).await.unwrap();

    handle.drain();
    assert!(handle.reload(app(None)).await.is_err(), "it is shutting down");
    gateway.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_same_store_may_be_named_again() {
    let store: Arc<dyn openclaw_core::store::Store> = Arc::new(InMemory::new());
    let script = Scripted::from_fn(|_| Ok("hello"));
    let app = || Gateway::builder().ephemeral().provider(script.clone()).store(Arc::clone(&store));
    let room = Loopback::new();
    let gateway = app().start().await.unwrap();
    gateway.handle().reload(app().channel(room.clone())).await.unwrap();
    assert_eq!(room.say("hello").await.unwrap(), "hello");
    gateway.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_a_plugin_runs_ends_with_it() {
    let lives = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&lives);
    let registry = registry(&World::default()).plugin(
        "task",
        move |_: NoConfig, cx: openclaw_core::plugin::PluginContext| {
            seen.lock().unwrap().push(cx.cancel().clone());
            async { Ok(openclaw_core::plugin::Parts::new()) }
        },
    );
    let app = |task: bool| {
        let text = json!({"ephemeral": true, "plugins": [
            {"plugin": "model", "config": {"replies": []}},
            {"plugin": "task", "enabled": task},
        ]});
        Gateway::builder().config_str(&registry, &text.to_string())
    };
    let gateway = app(true).start().await.unwrap();
    gateway.handle().reload(app(true)).await.unwrap();
    let first = lives.lock().unwrap()[0].clone();
    assert!(!first.is_cancelled(), "it goes on");
    gateway.handle().reload(app(false)).await.unwrap();
    first.cancelled().await;
    gateway.handle().reload(app(true)).await.unwrap();
    let second = lives.lock().unwrap()[1].clone();
    assert!(!second.is_cancelled());
    gateway.shutdown().await.unwrap();
    assert!(second.is_cancelled());
}

/// A channel that is refused for good until it is made anew.
struct Flaky {
    account: AccountId,
    capabilities: Capabilities,
    broken: bool,
    listens: Arc<Semaphore>,
}

#[async_trait]
impl Channel for Flaky {
    fn id(&self) -> &AccountId {
        &self.account
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn run(&self, cx: &ChannelContext) -> Result<()> {
        if self.broken {
            return Err(Error::new(ErrorKind::Unauthenticated, "the token was revoked"));
        }
        self.listens.add_permits(1);
        cx.cancel().cancelled().await;
        Ok(())
    }

    async fn perform(&self, _: &ChannelContext, _: &Conversation, _: &Action) -> Result<Sent> {
        Err(Error::new(ErrorKind::Unsupported, "it only listens"))
    }
}

#[tokio::test]
async fn a_channel_that_failed_for_good_is_made_anew() {
    let (made, listens) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let (count, listening) = (Arc::clone(&made), Arc::clone(&listens));
    let registry = registry(&World::default()).plugin(
        "flaky",
        move |_: NoConfig, _: openclaw_core::plugin::PluginContext| {
            let channel = Flaky {
                account: "flaky:a".parse().unwrap(),
                capabilities: Capabilities::text_only(Delivery::Blind),
                broken: count.fetch_add(1, Ordering::SeqCst) == 0,
                listens: Arc::clone(&listening),
            };
            async { Ok(openclaw_core::plugin::Parts::new().channel(channel)) }
        },
    );
    let app = || {
        let text = r#"{"ephemeral": true, "plugins": [
            {"plugin": "model", "config": {"replies": []}}, {"plugin": "flaky"}
        ]}"#;
        Gateway::builder().config_str(&registry, text)
    };
    let gateway = app().start().await.unwrap();
    // It fails in a task of its own; until it has, a reload leaves it alone.
    while made.load(Ordering::SeqCst) < 2 {
        gateway.handle().reload(app()).await.unwrap();
        tokio::task::yield_now().await;
    }
    listens.acquire().await.unwrap().forget();
    gateway.handle().reload(app()).await.unwrap();
    assert_eq!(made.load(Ordering::SeqCst), 2, "it is in order now");
    gateway.shutdown().await.unwrap();
}
