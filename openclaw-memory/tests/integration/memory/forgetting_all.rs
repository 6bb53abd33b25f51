//! Forgetting reaches all that the store keeps, goes on after a crash, and a gateway that runs takes note.

use std::{path::Path, process::Stdio, sync::Arc, time::Duration};

use bytes::Bytes;
use openclaw_core::{
    Gateway, Handle, OutboundKey, Seq,
    access::Principal,
    agent::Agent,
    blobs::BlobId,
    label::{Confidentiality, Integrity, Label},
    memory::{FORGOTTEN, Fact, FactKind, Forget, Memory as _, Page, Query, Scope},
    message::{Action, Receipt},
    store::{
        NewOutbound, OutboxStore as _, RecordKey, RecordStore, RecordWrite, SessionStore as _,
        Settlement, Store as _,
    },
    testing::{Scripted, Step},
    time::Timestamp,
    tool::{Capability, ToolContext, ToolSpec, tool_fn},
};
use openclaw_memory::{
    embed::StaticEmbedder,
    sqlite::{Sqlite, SqliteMemory},
};
use serde_json::json;

use super::{fact, scope, temporal::Dice};
use crate::common::{NO_LIMITS, batch, child, folder, input, lease, role, session};

const SECRET: &str = "the \"vault code\" is heliotrope marmalade 4711";
/// What of it no file may hold.
const TRACES: [&str; 2] = ["heliotrope", "marmalade 4711"];

/// Whether a file in `folder`, or in a folder in it, holds `what`.
fn is_in_a_file(folder: &Path, what: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return is_in_a_file(&path, what);
        }
        std::fs::read(path).unwrap().windows(what.len()).any(|window| window == what)
    })
}

fn outgoing(text: &str, key: &str, session: &openclaw_core::SessionKey) -> NewOutbound {
    let key = OutboundKey::from(key);
    NewOutbound {
        key: key.clone(),
        conversation: session.conversation().clone(),
        session: Some(session.clone()),
        action: Action::Send { key: key.clone(), content: vec![text.into()], reply_to: None },
        group: key,
        edits: None,
        at: Timestamp(1),
    }
}

/// Puts the secret wherever a store keeps what was said, and something harmless beside it.
async fn say_everywhere(store: &Sqlite, memory: &SqliteMemory) -> (BlobId, BlobId, BlobId) {
    let (a, b) = (session("a"), session("b"));
    let blobs = store.blobs().unwrap();
    let mine = blobs.put(Bytes::from_static(b"a picture that came with it")).await.unwrap();
    let shared = blobs.put(Bytes::from_static(b"a picture that others sent too")).await.unwrap();
    let quoting = blobs.put(Bytes::from(format!("output of a tool: {SECRET}\n"))).await.unwrap();
    let held = lease(store, &a).await;
    let message = json!({
        "entry": "started", "messages": [{ "role": "user", "parts": [
            { "content": { "text": SECRET } },
            { "content": { "source": { "kind": "blob", "id": mine } } },
            { "content": { "source": { "kind": "blob", "id": shared } } },
        ] }],
    });
    store.commit(&held, &a, Seq::ZERO, batch(1, message.to_string())).await.unwrap();
    let held = lease(store, &b).await;
    let other = json!({ "text": "tea", "source": { "kind": "blob", "id": shared } });
    store.commit(&held, &b, Seq::ZERO, batch(1, other.to_string())).await.unwrap();
    let result =
        json!({ "entry": "tool_finished", "parts": [{ "text": format!("- id 7: {SECRET}") }] });
    store.commit(&held, &b, Seq(1), batch(2, result.to_string())).await.unwrap();
    let quoted =
        json!({ "calls": [["note", json!({ "body": json!({ "text": SECRET }).to_string() })]] });
    store.commit(&held, &b, Seq(2), batch(3, quoted.to_string())).await.unwrap();
    store.release(&lease(store, &a).await).await.unwrap();
    store.release(&lease(store, &b).await).await.unwrap();
    let payload = |text: &str| json!({ "content": [{ "text": text }] }).to_string();
    store
        .accept(vec![input(&a, "1", payload(SECRET)), input(&a, "2", payload("tea"))], NO_LIMITS)
        .await
        .unwrap();
    let mut limits = NO_LIMITS;
    limits.session = 1;
    store
        .accept(vec![input(&b, "3", payload(SECRET)), input(&b, "4", payload("tea"))], limits)
        .await
        .unwrap();
    let record = RecordWrite {
        key: RecordKey::new("space", "name"),
        expect: None,
        value: Some(json!({ "asked": SECRET, "n": 0.1 }).to_string()),
    };
    let rows = vec![
        outgoing(SECRET, "live", &b),
        outgoing(&format!("As you said, {SECRET}!"), "sent", &b),
    ];
    RecordStore::write(store, vec![record], rows).await.unwrap();
    let sent = store.outbound(&OutboundKey::from("sent")).await.unwrap().unwrap();
    store.settle(sent.id, Settlement::Sent(Receipt::default())).await.unwrap();
    let turn = Fact::new("turn", SECRET, Label::user("owner"), Timestamp(1));
    let turn = turn.kind(FactKind::Turn).in_session(a.to_string(), 1);
    let drawn = fact("drawn", "somebody opens the vault with heliotrope marmalade 4711", 2);
    let drawn = drawn.kind(FactKind::Fact).of(["turn"]);
    let other = fact("other", "green tea in the morning", 3);
    memory.remember(&scope(), vec![turn, drawn, other]).await.unwrap();
    (mine, shared, quoting)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_forgotten_is_nowhere_in_the_store_and_envelopes_stay() {
    let (folder, path) = folder();
    let store = Sqlite::open(&path).await.unwrap();
    let embedder = Arc::new(StaticEmbedder::builtin());
    let memory = store.memory().embedder(embedder.clone()).open().await.unwrap();
    let (mine, shared, quoting) = say_everywhere(&store, &memory).await;
    memory.settled().await;
    let vector = embedder.encode(SECRET).vector;
    let vector: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
    assert!(TRACES.iter().all(|trace| is_in_a_file(folder.path(), trace.as_bytes())));
    assert!(is_in_a_file(folder.path(), &vector), "there never was a vector");

    let gone = memory.forget(&scope(), &Forget::Ids(vec!["turn".to_owned()])).await.unwrap();
    assert_eq!(gone, 2, "the turn, and the fact that was drawn from it");
    memory.forgotten().await.unwrap();
    store.backup(folder.path().join("backup.db")).await.unwrap();
    for trace in TRACES {
        assert!(!is_in_a_file(folder.path(), trace.as_bytes()), "{trace} is still in a file");
    }
    assert!(!is_in_a_file(folder.path(), &vector), "the vector is still in a file");
    assert_eq!(memory.status().await.unwrap().forgetting, 0);

    let rows = store.read(&session("b"), Seq::ZERO, 10).await.unwrap();
    assert_eq!(rows.len(), 3);
    let payloads: Vec<&str> = rows.iter().map(|row| row.payload.as_deref().unwrap()).collect();
    assert!(payloads[0].contains("tea") && !payloads[0].contains(FORGOTTEN), "{payloads:?}");
    assert!(payloads[1].contains(&format!("- id 7: {FORGOTTEN}")), "{payloads:?}");
    let head = store.head(&session("b")).await.unwrap();
    assert_eq!((head.seq, head.revision > 0), (Seq(3), true));
    let inputs =
        store.inputs(&session("a"), openclaw_core::store::InputId::default(), 10).await.unwrap();
    assert!(inputs[0].payload.contains(FORGOTTEN) && inputs[1].payload.contains("tea"));
    let dead = store.dead_letters(10).await.unwrap();
    assert!(dead[0].input.payload.contains(FORGOTTEN));
    let record = store.record(&RecordKey::new("space", "name")).await.unwrap().unwrap();
    assert_eq!(record.value, json!({ "asked": FORGOTTEN, "n": 0.1 }).to_string());
    let blobs = store.blobs().unwrap();
    assert!(blobs.get(&mine).await.is_err() && blobs.get(&quoting).await.is_err());
    assert!(blobs.get(&shared).await.is_ok(), "it came with another message too");
    for query in ["vault code heliotrope", "marmalade"] {
        let found = memory.recall(&scope(), &Query::new(query, 50)).await.unwrap();
        assert!(found.iter().all(|found| found.fact.id == "other"), "{found:?}");
    }
    let found = store.doctor().await.unwrap();
    assert!(found.is_sound(), "{found:?}");
    memory.forget(&scope(), &Forget::Ids(vec!["turn".to_owned()])).await.unwrap();
    memory.forgotten().await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_at_work_is_waited_for() {
    let (folder, path) = folder();
    let store = Sqlite::open(&path).await.unwrap();
    let memory = store.memory().open().await.unwrap();
    say_everywhere(&store, &memory).await;
    let b = session("b");
    let held = lease(&store, &b).await;
    memory.forget(&scope(), &Forget::All).await.unwrap();
    // Whoever holds the lease has read the text, and may still write it.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(memory.status().await.unwrap().forgetting, 1);
    let late = json!({ "text": format!("I remember: {SECRET}") });
    store.commit(&held, &b, Seq(3), batch(4, late.to_string())).await.unwrap();
    store.release(&held).await.unwrap();
    memory.forgotten().await.unwrap();
    for trace in TRACES {
        assert!(!is_in_a_file(folder.path(), trace.as_bytes()), "{trace} is still in a file");
    }
    store.close().await.unwrap();
}

const NAME: &str = "memory::forgetting_all::a_forgetting_that_is_killed_goes_on";

#[tokio::test(flavor = "multi_thread")]
async fn a_forgetting_that_is_killed_goes_on() {
    if let Some(path) = role() {
        let store = Sqlite::open(&path).await.unwrap();
        let memory = store.memory().open().await.unwrap();
        memory.forget(&scope(), &Forget::Ids(vec!["turn".to_owned()])).await.unwrap();
        println!("begun");
        memory.forgotten().await.unwrap();
        println!("done");
        std::future::pending::<()>().await;
    }
    let mut dice = Dice(7);
    let mut cut_off = 0;
    for _ in 0..15 {
        let (folder, path) = folder();
        let store = Sqlite::open(&path).await.unwrap();
        let memory = store.memory().open().await.unwrap();
        say_everywhere(&store, &memory).await;
        store.close().await.unwrap();
        let mut process =
            child(NAME, &path.display().to_string()).stdout(Stdio::piped()).spawn().unwrap();
        let output = process.stdout.take().unwrap();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(output));
        // Not before it was acknowledged.
        while !lines.next().expect("the child died by itself").unwrap().ends_with("begun") {}
        tokio::time::sleep(Duration::from_micros(dice.below(4_000))).await;
        process.kill().unwrap();
        process.wait().unwrap();
        let done = lines.map_while(Result::ok).any(|line| line.ends_with("done"));
        cut_off += u32::from(!done);
        let store = Sqlite::open(&path).await.unwrap();
        let memory = store.memory().open().await.unwrap();
        let found = memory.recall(&scope(), &Query::new("vault code heliotrope", 9)).await.unwrap();
        assert!(found.iter().all(|found| found.fact.id == "other"), "{found:?}");
        memory.forgotten().await.unwrap();
        for trace in TRACES {
            assert!(!is_in_a_file(folder.path(), trace.as_bytes()), "{trace} is still in a file");
        }
        let found = store.doctor().await.unwrap();
        assert!(found.is_sound(), "{found:?}");
        store.close().await.unwrap();
    }
    assert!(cut_off > 0, "no kill came in time");
}

async fn say(handle: &Handle, peer: &str, text: &str) -> String {
    handle.ask(peer, text).principal(Principal::Owner).reply().await.unwrap().text
}

/// A tool that quotes what it finds in the memory.
fn look() -> impl openclaw_core::tool::Tool {
    #[derive(serde::Deserialize, openclaw_core::schemars::JsonSchema)]
    #[schemars(crate = "openclaw_core::schemars")]
    struct Nothing {}
    let spec = ToolSpec::read_only("look", "Looks into the memory")
        .capability(Capability::ReadPrivate)
        .accepts(Confidentiality::Secret)
        .output(Integrity::System, Confidentiality::Private);
    tool_fn(spec, async |cx: ToolContext, _: Nothing| {
        let found = cx.memory()?.recall(&Query::new("vault code", 3)).await?;
        let texts: Vec<String> = found.into_iter().map(|found| found.fact.text).collect();
        Ok(texts.join("; "))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_gateway_no_longer_knows_what_was_forgotten() {
    let (folder, path) = folder();
    let store = Sqlite::open(&path).await.unwrap();
    let memory = store.memory().open().await.unwrap();
    let model = Scripted::steps([
        Step::text("Noted."),
        Step::new().call("look", json!({})),
        Step::text(format!("You said: {SECRET}")),
        Step::text("I do not know."),
        Step::text("I do not know either."),
    ]);
    let gateway = Gateway::builder()
        .provider(model.clone())
        .store(store.clone())
        .memory(memory.clone())
        .agent(Agent::new("main"))
        .tool(look())
        .start()
        .await
        .unwrap();
    let handle = gateway.handle();
    say(&handle, "monday", SECRET).await;
    gateway.idle().await;
    say(&handle, "friday", "What is the vault code?").await;
    gateway.idle().await;
    let owner = Scope::of("main", &Principal::Owner);
    let all = memory.list(&owner, &Page { after: None, limit: 100 }).await.unwrap();
    let ids = all.into_iter().filter(|fact| fact.text.contains("heliotrope")).map(|fact| fact.id);
    let ids: Vec<String> = ids.collect();
    assert_eq!(ids.len(), 2, "what was said, and the answer that quotes it");
    memory.forget(&owner, &Forget::Ids(ids)).await.unwrap();
    memory.forgotten().await.unwrap();
    for peer in ["monday", "friday"] {
        say(&handle, peer, "What did I say?").await;
        let request = format!("{:?}", model.requests().last().unwrap().messages);
        assert!(!request.contains("heliotrope") && request.contains(FORGOTTEN), "{request}");
    }
    gateway.shutdown().await.unwrap();
    for trace in TRACES {
        assert!(!is_in_a_file(folder.path(), trace.as_bytes()), "{trace} is still in a file");
    }
    store.close().await.unwrap();
}
