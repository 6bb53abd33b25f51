//! What is around the daemon.

use std::{
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use openclaw_channels::testing::telegram::{Bot, Chat, Emulator, User};
use openclaw_core::{
    bytes::Bytes,
    http::Request,
    serde_json::{Value, from_slice, json},
    testing::fake_service::{Answer, FakeService, answer, json_answer},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    sync::Semaphore,
};

use crate::example;

pub(super) const MODEL: &str = "small-1";
pub(super) const HOOK_SECRET: &str = "0123456789abcdef0123";
/// What must be in no log.
pub(super) const KEY: &str = "sk-canary-4711";

/// An emulated Telegram with a bot and its owner, a fake of a service that speaks chat completions, and a
/// folder.
pub(super) struct World {
    pub(super) folder: TempDir,
    pub(super) telegram: Emulator,
    pub(super) bot: Bot,
    pub(super) owner: User,
    pub(super) chat: Chat,
    pub(super) models: FakeService,
    /// What the models were asked.
    pub(super) asked: Arc<Mutex<Vec<Value>>>,
    /// Each permit lets one answer go to a message that says "wait for it".
    pub(super) gate: Arc<Semaphore>,
}

impl World {
    pub(super) async fn new() -> Self {
        let telegram = Emulator::start().await.unwrap();
        let bot = telegram.bot("shop_bot");
        let owner = telegram.user("Ada");
        let chat = owner.chat(&bot);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        let gate = Arc::new(Semaphore::new(0));
        let open = Arc::clone(&gate);
        let models = FakeService::start(move |request: Request<Bytes>| {
            let answer = serve(&request, &kept);
            let waits = last_says(&request, "wait for it").then(|| Arc::clone(&open));
            async move {
                if let Some(open) = waits {
                    open.acquire().await.unwrap().forget();
                }
                match answer {
                    Some(answer) => answer,
                    // Until whoever asked hangs up.
                    None => std::future::pending().await,
                }
            }
        });
        let models = models.await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        Self { folder, telegram, bot, owner, chat, models, asked, gate }
    }

    /// A configuration that is in order.
    pub(super) fn config(&self) -> Value {
        json!({
            "store": {"plugin": "sqlite", "config": {"path": self.folder.path().join("gateway.db")}},
            "plugins": [
                {"plugin": "openai", "config": {
                    "base_url": format!("{}/v1", self.models.url()),
                    "api_key": {"env": "MODEL_KEY"},
                    "model": MODEL
                }},
                {"plugin": "telegram", "config": {
                    "account": "shop",
                    "token": {"env": "BOT_TOKEN"},
                    "base_url": self.telegram.url()
                }},
                {"plugin": "now"}
            ],
            "agents": [{"id": "main", "persona": "You are terse.", "tools": ["now"]}],
            "bindings": [{"agent": "main", "account": "telegram:shop"}],
            "access": {"telegram:shop": {"direct": "pairing"}},
            "owners": [{"channel": "telegram", "user": self.owner.id().to_string()}]
        })
    }

    /// Writes `config` as the file, a line a member as people do.
    pub(super) fn write(&self, config: &Value) {
        let text = openclaw_core::serde_json::to_string_pretty(config).unwrap();
        std::fs::write(self.folder.path().join("openclaw.json"), text).unwrap();
    }

    /// The daemon with the file, and with the secrets in its environment.
    pub(super) fn gateway(&self, arguments: &[&str]) -> Command {
        let mut command = example("gateway");
        command.arg("--config").arg(self.folder.path().join("openclaw.json")).args(arguments);
        command.env("MODEL_KEY", KEY).env("BOT_TOKEN", self.bot.token().expose());
        command.env_remove("RUST_LOG").stdin(Stdio::null());
        command
    }

    /// The daemon without a file, in the folder, with what the environment names in `variables`.
    pub(super) fn without_file(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Command {
        let mut command = example("gateway");
        for service in ["OPENAI", "ANTHROPIC", "OLLAMA"] {
            for name in ["API_KEY", "BASE_URL", "HOST", "MODEL"] {
                command.env_remove(format!("{service}_{name}"));
            }
        }
        command.args(arguments).envs(variables.iter().copied()).current_dir(self.folder.path());
        command.env_remove("RUST_LOG").stdin(Stdio::null());
        command
    }

    /// A daemon whose bot hears by webhook, and the address that it listens at.
    pub(super) async fn hooked(&self) -> (Daemon, String) {
        let mut config = self.config();
        // Where Telegram is to come must be known before anything listens there.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{port}/webhooks/telegram/shop");
        config["plugins"][1]["config"]["mode"] =
            json!({"webhook": {"url": url, "secret": {"env": "HOOK_SECRET"}}});
        self.write(&config);
        let address = format!("127.0.0.1:{port}");
        let mut command = self.gateway(&["--listen", &address]);
        command.env("HOOK_SECRET", HOOK_SECRET);
        let daemon = self.spawn(command).await;
        self.bot.webhook_set().await;
        (daemon, address)
    }

    /// Starts the daemon and waits until it is ready.
    pub(super) async fn start(&self, arguments: &[&str]) -> Daemon {
        self.spawn(self.gateway(arguments)).await
    }

    /// As [`start`](Self::start), a command of one's own.
    pub(super) async fn spawn(&self, command: Command) -> Daemon {
        let mut daemon = self.launch(command);
        daemon.until("ready").await;
        daemon
    }

    /// As [`spawn`](Self::spawn), without waiting.
    pub(super) fn launch(&self, mut command: Command) -> Daemon {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let log = tokio::process::ChildStderr::from_std(child.stderr.take().unwrap()).unwrap();
        Daemon { child, log: BufReader::new(log), said: String::new() }
    }
}

/// A running daemon; it is killed with this.
pub(super) struct Daemon {
    pub(super) child: Child,
    log: BufReader<tokio::process::ChildStderr>,
    /// What it logged, as far as it was read.
    pub(super) said: String,
}

impl Daemon {
    /// Reads on in the log until a line has `word` in it; gives that line.
    pub(super) async fn until(&mut self, word: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.log.read_line(&mut line).await.unwrap();
            assert!(read > 0, "the log ends without {word:?}:\n{}", self.said);
            self.said.push_str(&line);
            if line.contains(word) {
                return line;
            }
        }
    }

    pub(super) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// The memory that it holds, in KB.
    pub(super) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Reads the log to its end, which is the daemon's.
    pub(super) async fn end(mut self) -> (bool, String) {
        let mut line = String::new();
        while self.log.read_line(&mut line).await.unwrap() > 0 {}
        self.said.push_str(&line);
        (self.child.wait().unwrap().success(), std::mem::take(&mut self.said))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // One that has ended cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn last_says(request: &Request<Bytes>, word: &str) -> bool {
    let body = from_slice::<Value>(request.body()).unwrap_or_default();
    let last = body["messages"].as_array().and_then(|messages| messages.last());
    last.is_some_and(|message| message["content"].to_string().contains(word))
}

fn serve(request: &Request<Bytes>, asked: &Mutex<Vec<Value>>) -> Option<Answer> {
    (!last_says(request, "stall")).then(|| say(request, asked))
}

fn say(request: &Request<Bytes>, asked: &Mutex<Vec<Value>>) -> Answer {
    let key = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    if key != Some(&format!("Bearer {KEY}")) {
        // As some services do, it repeats the key.
        let text = format!("Incorrect API key provided: {}", key.unwrap_or("none"));
        return json_answer(401, &json!({"error": {"message": text, "code": "invalid_api_key"}}));
    }
    if request.uri().path() == "/v1/models" {
        return json_answer(
            200,
            &json!({"object": "list", "data": [{"id": MODEL}, {"id": "large-1"}]}),
        );
    }
    let body: Value = from_slice(request.body()).unwrap();
    let messages = body["messages"].as_array().unwrap();
    let system = messages[0]["content"].as_str().unwrap().to_owned();
    let count = messages.iter().filter(|message| message["role"] == "user").count();
    let wanted = tried(messages.last().unwrap())
        .or_else(|| weather(&body["tools"], messages.last().unwrap()));
    asked.lock().unwrap().push(body);
    let text = format!("answer {count}, {}", if system.contains("kind") { "dear" } else { "so" });
    let (delta, finish) = wanted.unwrap_or((json!({"content": text}), "stop"));
    let chunk = |delta: Value, finish: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        format!(
            "data: {}\n\n",
            json!({"id": "1", "object": "chat.completion.chunk", "choices": [choice]})
        )
    };
    let events =
        [chunk(delta, Value::Null), chunk(json!({}), finish.into()), "data: [DONE]\n\n".to_owned()];
    answer(200, "text/event-stream", events.concat())
}

/// A call of the client's own tool, if it has one and a person spoke.
fn weather(tools: &Value, last: &Value) -> Option<(Value, &'static str)> {
    let asks = tools.to_string().contains("\"weather\"") && last["role"] == "user";
    let function = json!({"name": "weather", "arguments": "{\"city\": \"Hue\"}"});
    let call = json!({"index": 0, "id": "call_w", "type": "function", "function": function});
    asks.then(|| (json!({"tool_calls": [call]}), "tool_calls"))
}

/// To "run: …" a call of the tool that runs scripts, and to its result what that says.
fn tried(last: &Value) -> Option<(Value, &'static str)> {
    let content = last["content"].to_string();
    if last["role"] == "tool" {
        return Some((json!({"content": format!("it says {content}")}), "stop"));
    }
    let (_, script) = content.split_once("run: ")?;
    let arguments = json!({"script": script.split('"').next()}).to_string();
    let function = json!({"name": "shell", "arguments": arguments});
    let call = json!({"index": 0, "id": "call-1", "type": "function", "function": function});
    Some((json!({"tool_calls": [call]}), "tool_calls"))
}
