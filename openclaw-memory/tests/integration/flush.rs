//! The system calls of processes that take messages in and send them: what is acknowledged, and what
//! is sent, has a flush before it.

use std::{
    io::Write as _,
    path::Path,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};

use openclaw_core::{
    AccountId, Conversation, EventKey, Gateway, Result,
    access::Access,
    async_trait,
    channel::{Accepted, Capabilities, Channel, ChannelContext, Delivery},
    message::{Action, Inbound, Receipt, Sender, Sent},
    testing::{Scripted, scripted::Step},
};
use openclaw_memory::sqlite::Sqlite;
use tokio::sync::Notify;

use crate::common::{accept, child, folder, role, session, skip};

const ACCEPTS: usize = 20;
const TURNS: usize = 10;
/// Opens the file as an application does, without a word about flushing.
const DEFAULT: &str = "DEFAULT";

/// What a trace shows, in order.
#[derive(Debug, PartialEq)]
enum Seen {
    Flush,
    /// A line that the process wrote: the marker, and what is behind it.
    Said(String, usize),
}

fn strace() -> Option<String> {
    let program = std::env::var("OPENCLAW_PEER_STRACE").unwrap_or_else(|_| "strace".into());
    let found = Command::new(&program).arg("-V").output().is_ok_and(|o| o.status.success());
    found.then_some(program)
}

/// Writes a marker in one system call.
fn say(marker: &str, n: usize) {
    std::io::stderr().write_all(format!("{marker} {n}\n").as_bytes()).unwrap();
}

/// What the child `name` does with this setting: its flushes, and the lines that begin with a marker.
fn traced(strace: &str, name: &str, setting: &str, folder: &Path, markers: &[&str]) -> Vec<Seen> {
    let database = folder.join(format!("{setting}.db"));
    let trace = folder.join(format!("{setting}.trace"));
    let run = child(name, &format!("{setting} {}", database.display()));
    let mut command = Command::new(strace);
    command.args(["-f", "-qq", "-e", "trace=fsync,fdatasync,write", "-s", "64", "-o"]);
    command.arg(&trace).arg(run.get_program()).args(run.get_args());
    for (name, value) in run.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let trace = std::fs::read_to_string(trace).unwrap();
    trace.lines().filter_map(|line| seen(line, markers)).collect()
}

fn seen(line: &str, markers: &[&str]) -> Option<Seen> {
    // A flush counts when it has ended: a call that another thread's line interrupted ends in
    // "... fdatasync resumed> = 0". A marker counts when its call begins.
    if (line.contains("fdatasync") || line.contains("fsync")) && line.trim_end().ends_with("= 0") {
        return Some(Seen::Flush);
    }
    let (_, text) = line.split_once("write(2, \"")?;
    let (marker, rest) = text.split_once(' ')?;
    let number = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    markers.contains(&marker).then(|| Seen::Said(marker.to_owned(), number.parse().unwrap()))
}

/// How many flushes stand between two markers of each number.
fn between(trace: &[Seen], from: &str, to: &str, count: usize) -> Vec<usize> {
    let at = |marker: &str, n: usize| {
        let said = Seen::Said(marker.to_owned(), n);
        trace.iter().position(|seen| *seen == said).unwrap_or_else(|| panic!("no {said:?}"))
    };
    let flushes = |n| {
        let part = &trace[at(from, n)..at(to, n)];
        part.iter().filter(|seen| **seen == Seen::Flush).count()
    };
    (0..count).map(flushes).collect()
}

async fn open(setting: &str, path: &str) -> Sqlite {
    let weaker = match setting {
        "NORMAL" => "NORMAL",
        "OFF" => "OFF",
        _ => return Sqlite::open(path).await.unwrap(),
    };
    Sqlite::builder(path).synchronous_for_tests(weaker).open().await.unwrap()
}

#[tokio::test]
async fn an_accept_is_flushed_before_it_is_acknowledged() {
    const NAME: &str = "flush::an_accept_is_flushed_before_it_is_acknowledged";
    if let Some(role) = role() {
        let (setting, path) = role.split_once(' ').unwrap();
        let store = open(setting, path).await;
        for n in 0..ACCEPTS {
            say("ASKED", n);
            accept(&store, &session("a"), &n.to_string()).await.unwrap();
            say("ACKNOWLEDGED", n);
        }
        return store.close().await.unwrap();
    }
    let Some(strace) = strace() else {
        skip(NAME, "strace is not installed, nor named by OPENCLAW_PEER_STRACE");
        return;
    };
    let (folder, _) = folder();
    let flushed = |setting| {
        let trace = traced(&strace, NAME, setting, folder.path(), &["ASKED", "ACKNOWLEDGED"]);
        between(&trace, "ASKED", "ACKNOWLEDGED", ACCEPTS).iter().filter(|n| **n > 0).count()
    };
    assert_eq!(flushed(DEFAULT), ACCEPTS);
    // The same look at weaker settings shows that it can tell.
    assert!(flushed("NORMAL") < ACCEPTS / 2);
    assert!(flushed("OFF") < ACCEPTS / 2);
}

/// A platform that counts updates and cannot say what became of a send. The next update is there when
/// the last one was answered.
struct Counter {
    id: AccountId,
    capabilities: Capabilities,
    sends: AtomicUsize,
    answered: Notify,
    done: Notify,
}

impl Counter {
    fn new() -> Self {
        Self {
            id: AccountId::new("counter", "main").unwrap(),
            capabilities: Capabilities::text_only(Delivery::Blind),
            sends: AtomicUsize::new(0),
            answered: Notify::new(),
            done: Notify::new(),
        }
    }
}

#[async_trait]
impl Channel for Counter {
    fn id(&self) -> &AccountId {
        &self.id
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn run(&self, cx: &ChannelContext) -> Result<()> {
        for n in 0..TURNS {
            say("READ", n);
            let key = EventKey::message("ann", &n.to_string());
            let place = Conversation::direct(self.id.clone(), "ann");
            let sender = Sender { id: "ann".into(), name: None };
            let update = Inbound::message(key, place, sender, [format!("hello {n}")]);
            assert_eq!(cx.ingress().accept_one(update).await?, Accepted::New);
            say("OFFSET", n);
            self.answered.notified().await;
        }
        self.done.notify_one();
        cx.cancel().cancelled().await;
        Ok(())
    }

    async fn perform(&self, _: &ChannelContext, _: &Conversation, action: &Action) -> Result<Sent> {
        if matches!(action, Action::Send { .. }) {
            say("SEND", self.sends.fetch_add(1, Ordering::SeqCst));
            self.answered.notify_one();
        }
        Ok(Sent::Yes(Receipt::message("1")))
    }
}

#[tokio::test]
async fn every_offset_and_every_send_has_its_flush() {
    const NAME: &str = "flush::every_offset_and_every_send_has_its_flush";
    if let Some(role) = role() {
        let (setting, path) = role.split_once(' ').unwrap();
        let store = open(setting, path).await;
        let counter = std::sync::Arc::new(Counter::new());
        let gateway = Gateway::builder()
            .provider(Scripted::from_fn(|_| Ok(Step::text("hello"))))
            .store(store.clone())
            .channel(std::sync::Arc::clone(&counter))
            .access(counter.id.clone(), Access::open())
            .start()
            .await
            .unwrap();
        counter.done.notified().await;
        gateway.shutdown().await.unwrap();
        return store.close().await.unwrap();
    }
    let Some(strace) = strace() else {
        skip(NAME, "strace is not installed, nor named by OPENCLAW_PEER_STRACE");
        return;
    };
    let (folder, _) = folder();
    let flushes = |setting| {
        let markers = ["READ", "OFFSET", "SEND"];
        let trace = traced(&strace, NAME, setting, folder.path(), &markers);
        let offsets = between(&trace, "READ", "OFFSET", TURNS);
        (offsets, between(&trace, "READ", "SEND", TURNS))
    };
    let (offsets, sends) = flushes(DEFAULT);
    assert!(offsets.iter().all(|flushes| *flushes >= 1), "{offsets:?}");
    // The input, the reply, and the claim to send it, one after the other.
    assert!(sends.iter().all(|flushes| *flushes >= 3), "{sends:?}");
    // The same look at a weaker setting shows that it can tell.
    let (offsets, sends) = flushes("NORMAL");
    assert!(offsets.iter().filter(|flushes| **flushes >= 1).count() < TURNS / 2, "{offsets:?}");
    assert!(sends.iter().filter(|flushes| **flushes >= 3).count() < TURNS / 2, "{sends:?}");
}
