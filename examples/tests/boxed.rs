//! The examples that run code in boxes, against a real engine where one runs.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use openclaw_core::{
    Gateway, Result,
    access::Principal,
    message::Content,
    provider::ChatMessage,
    sandbox::Command,
    schemars,
    serde_json::json,
    testing::{Loopback, Scripted, Step},
    tool::{Capability, Confinement, Effect, ToolContext, ToolSpec, tool_fn_with},
};
use openclaw_memory::sqlite::Sqlite;
use openclaw_tools::{
    boxed::Shell,
    sandbox::docker::{DockerBuilder, DockerSandbox, doctor::Examination},
};

#[path = "../boxed_plugin/main.rs"]
#[allow(dead_code, reason = "its `main` is not called")]
mod boxed_plugin;
#[path = "../code_interpreter.rs"]
#[allow(dead_code, reason = "its `main` is not called")]
mod code_interpreter;

/// The engine's socket and an image in it, or a skip that is told.
pub(crate) fn engine(test: &str) -> Option<(String, String)> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let (Some(socket), Some(image)) =
        (variable("OPENCLAW_PEER_DOCKER"), variable("OPENCLAW_PEER_IMAGE"))
    {
        return Some((socket, image));
    }
    skip(test, "OPENCLAW_PEER_DOCKER and OPENCLAW_PEER_IMAGE are not set");
    None
}

/// Says that a test did not run, and why.
pub(crate) fn skip(test: &str, reason: &str) {
    let line = format!("SKIPPED: {test}: {reason}");
    eprintln!("{line}");
    if let Some(path) = std::env::var_os("OPENCLAW_SKIPS") {
        let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
        writeln!(file, "{line}").unwrap();
    }
}

fn builder((socket, image): &(String, String)) -> DockerBuilder {
    DockerSandbox::builder().socket(socket).image("base", image).examine(Examination::No)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plot_of_a_table_is_sent_as_a_picture() {
    let Some(engine) = engine("code_interpreter") else { return };
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(folder.path().join("test.db")).await.unwrap();
    let code = "
import csv, io
import matplotlib.pyplot as plt
rows = list(csv.DictReader(io.StringIO('month,sales\\n1,10\\n2,17\\n3,13\\n')))
plt.plot([int(row['month']) for row in rows], [int(row['sales']) for row in rows])
plt.savefig('plot.png')
";
    let model = Scripted::steps([
        Step::new()
            .call("code", json!({ "language": "python", "code": code, "show": ["plot.png"] })),
        Step::text("Sales went up and down."),
    ]);
    let user = Loopback::new();
    let sandbox = builder(&engine).start().await.unwrap();
    let gateway = code_interpreter::app(model, user.clone(), store, sandbox).start().await.unwrap();
    user.person("owner").send("Plot this: month,sales\n1,10\n2,17\n3,13");
    let shown = async {
        loop {
            let all: Vec<Content> =
                user.messages().into_iter().flat_map(|message| message.content).collect();
            let has = |wanted: fn(&Content) -> bool| all.iter().any(wanted);
            if has(|it| matches!(it, Content::Media(media) if media.mime == "image/png"))
                && has(|it| it.as_text().is_some_and(|text| text.contains("up and down")))
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), shown).await.unwrap();
    gateway.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_a_tool_by_a_configuration_alone() {
    let Some((socket, image)) = engine("boxed_plugin") else { return };
    let model = Scripted::steps([
        Step::new().call("count_words", json!({ "text": "one two three" })),
        Step::text("Three."),
    ]);
    let user = Loopback::new();
    let config = boxed_plugin::config(&socket, &image).unwrap();
    let gateway = boxed_plugin::app(model.clone(), user.clone(), config).start().await.unwrap();
    assert_eq!(user.say("How many words?").await.unwrap(), "Three.");
    let seen = openclaw_core::serde_json::to_string(&model.requests()[1].messages).unwrap();
    assert!(seen.contains("3 words"), "{seen}");
    gateway.shutdown().await.unwrap();
}

const ROLE: &str = "OPENCLAW_TEST_ROLE";
const TEST: &str = "boxed::a_hundred_kills_leave_nothing_and_pay_nothing_twice";
const KILLS: u64 = 100;

/// What a payment is about.
#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Payment {
    /// Which one.
    number: String,
}

/// Pays in a box and then for good: a line in a file of the host.
async fn pay(ledger: PathBuf, cx: ToolContext, payment: Payment) -> Result<String> {
    cx.sandbox()?.output(Command::new("sh").args(["-c", "echo paid; sleep 0.05"])).await?;
    let mut file =
        std::fs::File::options().create(true).append(true).open(ledger).map_err(|error| {
            openclaw_core::Error::wrap(openclaw_core::ErrorKind::Internal, error)
        })?;
    // One write: whole or not at all.
    let written = file.write_all(format!("{}\n", payment.number).as_bytes());
    written
        .map_err(|error| openclaw_core::Error::wrap(openclaw_core::ErrorKind::Internal, error))?;
    Ok("paid".to_owned())
}

/// A gateway that asks itself to run a command and to pay, for each number in turn, until it is killed.
async fn gateway(engine: &(String, String), folder: &Path, forever: bool) {
    let store = Sqlite::open(folder.join("test.db")).await.unwrap();
    let model = Scripted::from_fn(|request| {
        let number = request.messages.iter().rev().find_map(|message| match message {
            ChatMessage::User { content } => {
                let text = openclaw_core::message::plain_text(content);
                text.split_whitespace().last().map(str::to_owned)
            }
            _ => None,
        });
        let last =
            request.messages.iter().rev().take_while(|it| !matches!(it, ChatMessage::User { .. }));
        let results = last.filter(|it| matches!(it, ChatMessage::Tool { .. })).count();
        Ok(match results {
            0 => Step::new()
                .call("shell", json!({ "script": "echo work >file; sleep 0.05; cat file" })),
            1 => Step::new().call("pay", json!({ "number": number.unwrap_or_default() })),
            _ => Step::text("done"),
        })
    });
    let spec = ToolSpec::new("pay", "Pays")
        .capability(Capability::Execute)
        .effect(Effect::Irreversible)
        .confinement(Confinement::Sealed);
    let gateway = Gateway::builder()
        .provider(model)
        .store(store)
        .sandbox(builder(engine).warm(1).start().await.unwrap())
        .tool(Shell::new())
        .tool(tool_fn_with(spec, folder.join("ledger"), pay))
        .start()
        .await
        .unwrap();
    let handle = gateway.handle();
    let began = std::fs::read_to_string(folder.join("next")).unwrap_or_default();
    let mut number: u64 = began.trim().parse().unwrap_or(0);
    if forever {
        loop {
            std::fs::write(folder.join("next"), (number + 1).to_string()).unwrap();
            let ask = handle.ask("ada", format!("pay {number}")).principal(Principal::Owner);
            ask.key(format!("n{number}")).reply().await.unwrap();
            number += 1;
        }
    }
    gateway.idle().await;
    gateway.shutdown().await.unwrap();
}

async fn leftovers(socket: &str) -> String {
    let mut docker = tokio::process::Command::new("docker");
    docker.env("DOCKER_HOST", format!("unix://{socket}"));
    docker.args(["ps", "--all", "--quiet", "--filter", "label=org.openclaw.owner"]);
    let boxes = docker.output().await.unwrap().stdout;
    let mut docker = tokio::process::Command::new("docker");
    docker.env("DOCKER_HOST", format!("unix://{socket}")).args(["volume", "ls", "--quiet"]);
    let volumes = docker.output().await.unwrap().stdout;
    let mut docker = tokio::process::Command::new("docker");
    docker.env("DOCKER_HOST", format!("unix://{socket}"));
    docker.args(["network", "ls", "--quiet", "--filter", "type=custom"]);
    let networks = docker.output().await.unwrap().stdout;
    String::from_utf8([boxes, volumes, networks].concat()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_kills_leave_nothing_and_pay_nothing_twice() {
    let Some(engine) = engine("boxed_kills") else { return };
    if let Some(folder) = std::env::var_os(ROLE) {
        return gateway(&engine, Path::new(&folder), true).await;
    }
    let folder = tempfile::tempdir().unwrap();
    // Random in that nobody chose it, the same each time.
    let mut random: u64 = 0x9E37_79B9_7F4A_7C15;
    for _ in 0..KILLS {
        let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
            .args([TEST, "--exact", "--nocapture"])
            .env(ROLE, folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let ends = tokio::time::timeout(Duration::from_millis(random % 1500), child.wait()).await;
        assert!(ends.is_err(), "the gateway ended by itself");
        child.kill().await.unwrap();
    }
    // The next start finishes what is open, and leaves nothing.
    gateway(&engine, folder.path(), false).await;
    let mut left = leftovers(&engine.0).await;
    let began = tokio::time::Instant::now();
    // Other tests have boxes of their own meanwhile: none of them stays.
    while !left.is_empty() && began.elapsed() < Duration::from_secs(60) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        left = leftovers(&engine.0).await;
    }
    assert_eq!(left, "");
    let ledger = std::fs::read_to_string(folder.path().join("ledger")).unwrap_or_default();
    let mut paid: Vec<&str> = ledger.lines().collect();
    let count = paid.len();
    paid.sort_unstable();
    paid.dedup();
    println!("{KILLS} kills, {count} payments");
    assert_eq!(paid.len(), count, "something was paid twice: {ledger}");
    assert!(count > 5, "only {count} payments were made");
}
