//! What an agent remembers of its conversations, and is shown of it.

use openclaw_core::{
    Gateway, Handle,
    access::Principal,
    agent::Agent,
    label::{Integrity, Label},
    memory::{Fact, FactKind, Memory as _, Page, Query, Scope},
    store::InMemory,
    testing::{Scripted, Step},
    time::Timestamp,
    tool::{ToolSpec, tool_fn},
};
use openclaw_memory::sqlite::SqliteMemory;

use super::fresh;

/// Opens the lines that are shown from the memory.
const SHOWN: &str = "[from your memory";

async fn gateway(
    model: &Scripted,
    memory: &SqliteMemory,
    store: &InMemory,
    agent: Agent,
) -> Gateway {
    #[derive(serde::Deserialize, openclaw_core::schemars::JsonSchema)]
    #[schemars(crate = "openclaw_core::schemars")]
    struct Nothing {}
    let page = tool_fn(ToolSpec::read_only("page", "Reads a page"), async |_, _: Nothing| {
        Ok("the page says that the moon is made of cheese")
    });
    Gateway::builder()
        .provider(model.clone())
        .agent(agent)
        .tool(page)
        .memory(memory.clone())
        .store(store.clone())
        .ephemeral()
        .start()
        .await
        .unwrap()
}

async fn say(handle: &Handle, peer: &str, text: &str) -> String {
    handle.ask(peer, text).principal(Principal::Owner).reply().await.unwrap().text
}

fn owner() -> Scope {
    Scope::of("main", &Principal::Owner)
}

async fn all(memory: &SqliteMemory) -> Vec<Fact> {
    memory.list(&owner(), &Page { after: None, limit: 1_000_000 }).await.unwrap()
}

fn last_request(model: &Scripted) -> String {
    serde_json::to_string(&model.requests().last().unwrap().messages).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_in_one_conversation_is_shown_in_another_with_its_day_and_source() {
    let (_folder, _store, memory) = fresh().await;
    let model = Scripted::from_fn(|_| Ok("Noted."));
    let store = InMemory::new();
    let gateway = gateway(&model, &memory, &store, Agent::new("main")).await;
    let handle = gateway.handle();
    say(&handle, "monday", "The spare key is under the blue flower pot.").await;
    gateway.idle().await;
    assert!(!last_request(&model).contains(SHOWN));
    say(&handle, "friday", "Where is the spare key?").await;
    let shown = last_request(&model);
    assert!(shown.contains(SHOWN) && shown.contains("blue flower pot"), "{shown}");
    assert!(shown.contains("[stored 20"), "{shown}");
    // In the conversation where it was said it is in the history, and there once.
    say(&handle, "monday", "Where is the spare key?").await;
    assert_eq!(last_request(&model).matches("blue flower pot").count(), 1);
    // It was shown for that turn alone.
    say(&handle, "friday", "Thanks").await;
    assert!(!last_request(&model).contains("blue flower pot"));
    gateway.idle().await;
    let facts = all(&memory).await;
    assert!(facts.iter().all(|fact| fact.kind == FactKind::Turn && !fact.text.contains(SHOWN)));
    assert_eq!(facts.len(), 8);
    gateway.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn other_people_and_agents_without_memory_are_shown_nothing() {
    let (_folder, _store, memory) = fresh().await;
    let model = Scripted::from_fn(|_| Ok("Noted."));
    let store = InMemory::new();
    let gateway = gateway(&model, &memory, &store, Agent::new("main")).await;
    let handle = gateway.handle();
    say(&handle, "a", "The spare key is under the blue flower pot.").await;
    gateway.idle().await;
    let service = Principal::Service { name: "shop".to_owned() };
    handle.ask("b", "Where is the spare key?").principal(service).reply().await.unwrap();
    assert!(!last_request(&model).contains("blue flower pot"));
    gateway.shutdown().await.unwrap();

    let (_folder, _store, memory) = fresh().await;
    let gateway =
        self::gateway(&model, &memory, &InMemory::new(), Agent::new("main").without_memory()).await;
    say(&gateway.handle(), "a", "Remember nothing.").await;
    gateway.idle().await;
    assert!(all(&memory).await.is_empty());
    gateway.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_survive_and_what_is_less_trusted_is_not_shown_unasked() {
    let (_folder, _store, memory) = fresh().await;
    let model = Scripted::steps([
        Step::new().call("page", serde_json::json!({})),
        Step::text("The page says that the moon is made of cheese."),
        Step::text("I do not know."),
        Step::new().call("page", serde_json::json!({})),
        Step::text("Cheese again."),
    ]);
    let store = InMemory::new();
    let gateway = gateway(&model, &memory, &store, Agent::new("main")).await;
    let handle = gateway.handle();
    say(&handle, "a", "Read the page about the moon.").await;
    gateway.idle().await;
    let facts = all(&memory).await;
    let reply = facts.iter().find(|fact| fact.text.contains("cheese")).unwrap();
    // The answer came of a page that anybody may have written.
    assert_eq!(reply.label.integrity, Integrity::Untrusted);
    let asked = facts.iter().find(|fact| fact.text.starts_with("Read")).unwrap();
    assert_eq!(asked.label.integrity, Integrity::User);
    // A result of a tool is not remembered.
    assert_eq!(facts.len(), 2);
    say(&handle, "b", "What is the moon made of?").await;
    let shown = last_request(&model);
    assert!(!shown.contains("cheese") && shown.contains("Read the page about the moon"), "{shown}");
    gateway.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_has_the_labels_of_what_it_was_shown_also_after_a_compaction() {
    let (_folder, _store, memory) = fresh().await;
    let told = Fact::new("note", "the train leaves at nine", Label::user("diary"), Timestamp(1));
    memory.remember(&owner(), vec![told]).await.unwrap();
    let model = Scripted::from_fn(|_| Ok("It leaves at nine."));
    let store = InMemory::new();
    let agent = Agent::new("main").context_tokens(2_500).recall_tokens(100);
    let gateway = gateway(&model, &memory, &store, agent).await;
    let handle = gateway.handle();
    say(&handle, "a", "When does the train leave?").await;
    gateway.idle().await;
    let reply = |facts: Vec<Fact>| facts.into_iter().find(|fact| fact.text.contains("It leaves"));
    let label = reply(all(&memory).await).unwrap().label;
    assert!(label.sources().any(|source| source == "diary"), "{label:?}");
    for n in 0..12 {
        say(&handle, "a", &format!("number {n}: {}", "tell me more ".repeat(120))).await;
    }
    gateway.idle().await;
    let summed = model.requests().iter().any(|request| {
        serde_json::to_string(&request.messages).unwrap().contains("Sum up the conversation")
    });
    assert!(summed, "the history was never summed up");
    let last = all(&memory).await.into_iter().max_by_key(|fact| fact.place).unwrap();
    assert!(last.label.sources().any(|source| source == "diary"), "{:?}", last.label);
    // All that was said is there, word for word, and no summary.
    let facts = all(&memory).await;
    assert_eq!(facts.iter().filter(|fact| fact.text.starts_with("number ")).count(), 12);
    assert!(facts.iter().all(|fact| !fact.text.contains("Sum up")));
    gateway.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_kept_from_the_memory_is_remembered_at_the_next_start_once() {
    let (_folder, _store, memory) = fresh().await;
    let model = Scripted::from_fn(|_| Ok("Noted."));
    let store = InMemory::new();
    // As if nothing had come to the memory.
    let gateway = gateway(&model, &memory, &store, Agent::new("main").without_memory()).await;
    say(&gateway.handle(), "a", "The spare key is under the blue flower pot.").await;
    gateway.shutdown().await.unwrap();
    for _ in 0..2 {
        let gateway = self::gateway(&model, &memory, &store, Agent::new("main")).await;
        while all(&memory).await.len() < 2 {
            tokio::task::yield_now().await;
        }
        gateway.shutdown().await.unwrap();
        assert_eq!(all(&memory).await.len(), 2);
        let fact = all(&memory).await.remove(0);
        assert_eq!(memory.versions(&owner(), &fact.id).await.unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_turns_do_not_snowball() {
    const PEERS: usize = 20;
    const TURNS: usize = 500;
    let (_folder, _store, memory) = fresh().await;
    let model = Scripted::from_fn(|request| {
        Ok(format!("answer {} about the garden and the tea", request.messages.len()))
    });
    let agent = Agent::new("main").context_tokens(3_000);
    let gateway = gateway(&model, &memory, &InMemory::new(), agent).await;
    let handle = gateway.handle();
    let talks = (0..PEERS).map(|peer| {
        let handle = handle.clone();
        tokio::spawn(async move {
            let mut own = 0;
            for turn in 0..TURNS {
                let text =
                    format!("question {turn} of {peer} about the garden, the tea and the key");
                own += text.len() + say(&handle, &format!("peer{peer}"), &text).await.len();
            }
            own
        })
    });
    let mut own = 0;
    for talk in futures_util::future::join_all(talks).await {
        own += talk.unwrap();
    }
    gateway.idle().await;
    let shown = model
        .requests()
        .into_iter()
        .rev()
        .take(500)
        .filter(|request| serde_json::to_string(&request.messages).unwrap().contains(SHOWN));
    assert!(shown.count() > 400, "the memory was hardly ever shown");
    let facts = all(&memory).await;
    let stored: usize = facts.iter().map(|fact| fact.text.len()).sum();
    assert_eq!(facts.len(), 2 * PEERS * TURNS);
    assert!(facts.iter().all(|fact| !fact.text.contains(SHOWN)));
    assert!(stored * 10 <= own * 11, "{stored} bytes are stored of {own} that were said");
    let found = memory.recall(&owner(), &Query::new("key", 5)).await.unwrap();
    assert_eq!(found.len(), 5);
    gateway.shutdown().await.unwrap();
}
