//! A terminal at which a person types: keys go into a pseudo-terminal, and what it shows is read.

use std::{path::Path, process::Command};

use openclaw_channels::terminal::{Config, Terminal};
use openclaw_core::{
    Gateway,
    agent::Agent,
    policy::Permission,
    provider::ChatMessage,
    schemars,
    serde_json::json,
    testing::{Scripted, scripted::Step},
    tool::{Capability, Effect, ToolSpec, ValueKind, tool_fn},
};
use rexpect::session::{PtySession, spawn_command};

const NAME: &str = "typed::a_person_edits_lines_calls_them_back_and_presses_buttons";
const ROLE: &str = "OPENCLAW_TEST_TYPED";
/// Milliseconds until a test that hangs fails.
const PATIENCE: u64 = 60_000;
const UP: &str = "\x1b[A";
const LEFT: &str = "\x1b[D";

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Payment {
    euros: u64,
}

/// What the person's program is: it says again what is typed, and pays 30 euros when told to pay.
async fn program(history: &Path) {
    let go = history.with_extension("go");
    let script = Scripted::from_fn(move |request| {
        Ok(match request.messages.last() {
            Some(ChatMessage::User { content }) => {
                let said = content.first().and_then(|one| one.as_text()).unwrap_or_default();
                // Answered once the test has seen what it types meanwhile.
                while said == "first" && !go.exists() {
                    std::thread::yield_now();
                }
                match said {
                    "pay" => Step::new().call("pay", json!({ "euros": 30 })),
                    said => Step::text(format!("you said <{said}>")),
                }
            }
            _ => Step::text("It is paid."),
        })
    });
    let pay = ToolSpec::new("pay", "Pays")
        .capability(Capability::Spend)
        .effect(Effect::Irreversible)
        .critical("euros", ValueKind::Amount);
    let mut config = Config::default();
    config.history = Some(history.to_owned());
    let gateway = Gateway::builder()
        .provider(script)
        .channel(Terminal::new().with_config(config))
        .agent(Agent::new("main").permission("pay", Permission::Ask))
        .tool(tool_fn(pay, async |_, payment: Payment| Ok(format!("paid {}", payment.euros))))
        .ephemeral()
        .start()
        .await
        .unwrap();
    gateway.idle().await;
    gateway.shutdown().await.unwrap();
}

fn start(history: &Path) -> PtySession {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([NAME, "--exact", "--nocapture", "--test-threads=1"]).env(ROLE, history);
    // A terminal that can do little still edits lines.
    command.env("TERM", "xterm");
    let mut screen = spawn_command(command, Some(PATIENCE)).unwrap();
    screen.exp_string("> ").unwrap();
    screen
}

fn keys(screen: &mut PtySession, keys: &str) {
    screen.send(keys).unwrap();
    screen.flush().unwrap();
}

fn end(mut screen: PtySession) {
    screen.send_control('d').unwrap();
    screen.exp_string("1 passed").unwrap();
    screen.exp_eof().unwrap();
}

#[test]
fn a_person_edits_lines_calls_them_back_and_presses_buttons() {
    if let Some(history) = std::env::var_os(ROLE) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        return runtime.block_on(program(Path::new(&history)));
    }
    let folder = tempfile::tempdir().unwrap();
    let history = folder.path().join("history");

    let mut screen = start(&history);
    keys(&mut screen, &format!("helo{LEFT}l\r"));
    screen.exp_string("you said <hello>").unwrap();
    // What is printed stands above the line that is being typed, and takes nothing of it away.
    keys(&mut screen, "first\r");
    screen.exp_string("first").unwrap();
    screen.exp_string("> ").unwrap();
    keys(&mut screen, "sec");
    screen.exp_string("sec").unwrap();
    std::fs::write(history.with_extension("go"), "").unwrap();
    screen.exp_string("you said <first>").unwrap();
    keys(&mut screen, "ond\r");
    screen.exp_string("you said <second>").unwrap();
    keys(&mut screen, &format!("{UP}{UP}{UP}!\r"));
    screen.exp_string("you said <hello!>").unwrap();
    // An ask is answered by the number that stands before the button.
    keys(&mut screen, "pay\r");
    screen.exp_string("euros").unwrap();
    screen.exp_string("1. Allow").unwrap();
    keys(&mut screen, "1\r");
    screen.exp_string("It is paid.").unwrap();
    end(screen);

    // The lines are there again in the next run.
    let mut screen = start(&history);
    keys(&mut screen, &format!("{UP}{UP}{UP}?\r"));
    screen.exp_string("you said <hello!?>").unwrap();
    end(screen);
}
