//! A full disk refuses, loses nothing, and is no longer full once there is room.

use std::{
    ffi::OsStr,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use openclaw_core::{
    AccountId, Conversation, ErrorKind, Gateway, Result, Seq, async_trait,
    blobs::Blobs as _,
    bytes::Bytes,
    channel::{Capabilities, Channel, ChannelContext},
    message::{Action, Sent},
    serde_json::json,
    store::{InputId, SessionStore as _},
    testing::{Act, FaultPoint, Loopback, Scripted, scripted::Step},
    tool::{Effect, ToolSpec, tool_fn},
};
use openclaw_memory::sqlite::{FileBlobs, Sqlite};
use tokio::sync::Notify;

use crate::common::{NO_LIMITS, accept, batch, child, folder, input, lease, role, session, skip};

#[tokio::test]
async fn a_full_database_refuses_and_recovers() {
    let (_folder, path) = folder();
    let store = Sqlite::builder(&path).max_bytes(1 << 20).open().await.unwrap();
    let (a, b) = (session("a"), session("b"));
    let held = lease(&store, &b).await;
    store.commit(&held, &b, Seq::ZERO, batch(1, "y".repeat(200_000))).await.unwrap();

    let mut added = 0;
    let error = loop {
        let next = input(&a, &added.to_string(), "x".repeat(10_000));
        match store.accept(vec![next], NO_LIMITS).await {
            Ok(_) => added += 1,
            Err(error) => break error,
        }
        assert!(added < 1_000, "there is no limit");
    };
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
    assert!(added > 10);

    // Many at once: those that do not fit fail, the others' answers are true.
    let tries = (0..32).map(|n| {
        let size = if n % 2 == 0 { 50_000 } else { 10 };
        store.accept(vec![input(&a, &format!("many {n}"), "x".repeat(size))], NO_LIMITS)
    });
    let results = futures_util::future::join_all(tries).await;
    let more = results.iter().filter(|result| result.is_ok()).count();
    for error in results.into_iter().filter_map(Result::err) {
        assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
    }
    assert_eq!(store.inputs(&a, InputId::default(), 10_000).await.unwrap().len(), added + more);

    // Room returns, and the same handle takes what it refused.
    assert_eq!(store.erase(&b, Seq(1), Seq(1)).await.unwrap(), 1);
    assert!(accept(&store, &a, &added.to_string()).await.is_some());
    let findings = store.doctor().await.unwrap();
    assert!(findings.is_sound(), "{findings:?}");
    store.close().await.unwrap();

    let store = Sqlite::open(&path).await.unwrap();
    assert_eq!(store.inputs(&a, InputId::default(), 10_000).await.unwrap().len(), added + more + 1);
    for n in 0..100 {
        assert!(accept(&store, &a, &format!("later {n}")).await.is_some());
    }
}

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
}

#[tokio::test]
async fn a_gateway_on_a_full_database_takes_nothing_and_loses_nothing() {
    let (_folder, path) = folder();
    let store = Sqlite::builder(&path).max_bytes(1 << 20).open().await.unwrap();
    let filler = session("filler");
    let held = lease(&store, &filler).await;
    let mut seq = Seq::ZERO;
    for size in [100_000, 10_000, 100] {
        let mut fits = true;
        while fits {
            let entry = batch(seq.0 + 1, "y".repeat(size));
            fits = store.commit(&held, &filler, seq, entry).await.is_ok();
            seq.0 += u64::from(fits);
        }
    }
    store.release(&held).await.unwrap();

    let watched = Arc::new(Watched { chat: Loopback::new(), untaken: Notify::new() });
    let chat = watched.chat.clone();
    let people: Vec<_> = (0..5).map(|n| chat.person(&format!("p{n}"))).collect();
    for person in &people {
        person.send(&"word ".repeat(2_000));
    }
    let script = Scripted::from_fn(|_| Ok(Step::text("hello")));
    let gateway = Gateway::builder()
        .provider(script.clone())
        .store(store.clone())
        .channel(watched.clone())
        .start()
        .await
        .unwrap();
    watched.untaken.notified().await;
    assert_eq!((chat.acknowledged(), chat.unheard()), (0, 5));
    assert!(script.requests().is_empty() && chat.messages().is_empty());

    assert!(store.erase(&filler, Seq(1), Seq(5)).await.unwrap() > 0);
    for person in &people {
        assert_eq!(chat.next_message(person.conversation()).await.text(), "hello");
    }
    gateway.shutdown().await.unwrap();
    assert_eq!((chat.acknowledged(), chat.messages().len()), (5, 5));
    assert!(store.doctor().await.unwrap().is_sound());
    store.close().await.unwrap();
}

#[derive(serde::Deserialize, openclaw_core::schemars::JsonSchema)]
#[schemars(crate = "openclaw_core::schemars")]
struct Nothing {}

#[tokio::test]
async fn a_database_that_fills_in_the_middle_of_a_turn_loses_and_repeats_nothing() {
    let (_folder, path) = folder();
    let store = Sqlite::builder(&path).max_bytes(1 << 20).open().await.unwrap();
    let filler = session("filler");
    let held = lease(&store, &filler).await;
    let (calls, writes) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, into, name) = (Arc::clone(&calls), store.clone(), filler.clone());
    let fill = tool_fn(
        ToolSpec::read_only("fill", "Fills the disk").effect(Effect::Irreversible),
        move |_, _: Nothing| {
            let (count, store, filler, held) =
                (Arc::clone(&count), into.clone(), name.clone(), held.clone());
            async move {
                count.fetch_add(1, Ordering::SeqCst);
                let mut seq = Seq::ZERO;
                for size in [100_000, 10_000, 100] {
                    let mut fits = true;
                    while fits {
                        let entry = batch(seq.0 + 1, "y".repeat(size));
                        fits = store.commit(&held, &filler, seq, entry).await.is_ok();
                        seq.0 += u64::from(fits);
                    }
                }
                Ok("it is full. ".repeat(2_000))
            }
        },
    );
    let chat = Loopback::new();
    // What it says cannot be kept either while the disk is full, so it may be asked again.
    let script = Scripted::from_fn(|request| {
        let called = request.messages.len() > 1;
        Ok(if called { Step::text("filled") } else { Step::new().call("fill", json!({})) })
    });
    let (filled, tries) = (Arc::clone(&calls), Arc::clone(&writes));
    let gateway = Gateway::builder()
        .provider(script.clone())
        .store(store.clone())
        .channel(chat.clone())
        .tool(fill)
        .faults(move |point| {
            let writes = [Act::ToolEnd, Act::Resume, Act::Reply, Act::End].map(FaultPoint::Before);
            if filled.load(Ordering::SeqCst) > 0 && writes.contains(&point) {
                tries.fetch_add(1, Ordering::SeqCst);
            }
        })
        .start()
        .await
        .unwrap();
    let me = chat.person("me");
    me.send("fill it");
    // Where there is room the result, the reply and the end of the turn are written once. Here the result does not
    // fit, and what became of the call is written instead.
    while writes.load(Ordering::SeqCst) < 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(store.erase(&filler, Seq(1), Seq(5)).await.unwrap() > 0);
    assert_eq!(chat.next_message(me.conversation()).await.text(), "filled");
    gateway.shutdown().await.unwrap();
    assert_eq!((calls.load(Ordering::SeqCst), chat.messages().len()), (1, 1));
    assert!(store.doctor().await.unwrap().is_sound());
    store.close().await.unwrap();
}

/// Mounts what is behind it and becomes the rest.
const ON_A_SMALL_DISK: &str = r#"mount -t tmpfs -o size=16m tmpfs "$0" && exec "$@""#;

/// `command` in a process for which `folder` is a file system of 16 MB, which ends with the process.
/// `None` where this process may not make one.
fn on_small_disk(folder: &Path, command: &Command) -> Option<Command> {
    // By a user of its own; where that is not allowed, root may do without.
    [&["--map-root-user", "--mount"][..], &["--mount"]].iter().find_map(|how| {
        let under = |program: &OsStr| {
            let mut under = Command::new("unshare");
            under.args(*how).args(["sh", "-c", ON_A_SMALL_DISK]).arg(folder).arg(program);
            under
        };
        let tried = under("true".as_ref()).stderr(Stdio::null()).status();
        let mut run = tried.is_ok_and(|status| status.success()).then(|| {
            let mut run = under(command.get_program());
            run.args(command.get_args());
            run
        })?;
        for (name, value) in command.get_envs() {
            run.env(name, value.unwrap_or_default());
        }
        Some(run)
    })
}

#[tokio::test]
async fn a_full_disk_refuses_and_recovers() {
    const NAME: &str = "full::a_full_disk_refuses_and_recovers";
    if let Some(path) = role() {
        fill_the_disk(Path::new(&path)).await;
        println!("the disk was filled");
        return;
    }
    let (folder, path) = folder();
    let child = child(NAME, path.to_str().unwrap());
    let Some(mut child) = on_small_disk(folder.path(), &child) else {
        return skip(NAME, "this process may not mount a file system");
    };
    let output = child.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("the disk was filled"), "{output:?}");
    assert!(!path.exists(), "the disk was not one of its own");
}

async fn fill_the_disk(path: &Path) {
    let other = path.with_file_name("other");
    let store = Sqlite::open(path).await.unwrap();
    let blobs = FileBlobs::new(path.with_file_name("blobs"), None);
    let kept = blobs.put(vec![1; 100_000].into()).await.unwrap();
    let a = session("a");
    let mut added = 0;
    let error = loop {
        let next = input(&a, &added.to_string(), "x".repeat(10_000));
        match store.accept(vec![next], NO_LIMITS).await {
            Ok(_) => added += 1,
            Err(error) => break error,
        }
        assert!(added < 1_000, "the disk is larger than it should be");
        if added == 100 {
            // Somebody else takes the rest.
            let mut other = std::fs::File::create(&other).unwrap();
            while std::io::Write::write_all(&mut other, &[7; 4096]).is_ok() {}
        }
    };
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
    assert_eq!(store.inputs(&a, InputId::default(), 10_000).await.unwrap().len(), added);
    let picture = Bytes::from(vec![2; 500_000]);
    let error = blobs.put(picture.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
    let first = FileBlobs::new(path.with_file_name("more"), None);
    let error = first.put(picture.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
    assert_eq!(blobs.get(&kept).await.unwrap(), vec![1; 100_000]);

    std::fs::remove_file(other).unwrap();
    let taken = blobs.put(picture.clone()).await.unwrap();
    assert_eq!(blobs.get(&taken).await.unwrap(), picture);
    assert_eq!(first.put(picture).await.unwrap(), taken);
    assert!(accept(&store, &a, "later").await.is_some());
    let findings = store.doctor().await.unwrap();
    assert!(findings.is_sound(), "{findings:?}");
    store.close().await.unwrap();
    let store = Sqlite::open(path).await.unwrap();
    assert_eq!(store.inputs(&a, InputId::default(), 10_000).await.unwrap().len(), added + 1);
    store.close().await.unwrap();
}

#[tokio::test]
async fn the_log_beside_the_file_stays_bounded() {
    const CAP: u64 = 64 << 20;
    let (_folder, path) = folder();
    let store = Sqlite::open(&path).await.unwrap();
    let a = session("a");
    let held = lease(&store, &a).await;
    let mut written = 0;
    let mut most = 0;
    for seq in 1.. {
        let payload = "x".repeat(1 << 20);
        written += payload.len() as u64;
        store.commit(&held, &a, Seq(seq - 1), batch(seq, payload)).await.unwrap();
        let log = std::fs::metadata(path.with_extension("db-wal")).unwrap().len();
        most = most.max(log);
        if written > CAP + CAP / 2 {
            break;
        }
    }
    assert!(most < CAP + (4 << 20), "the log grew to {most} bytes");
}
