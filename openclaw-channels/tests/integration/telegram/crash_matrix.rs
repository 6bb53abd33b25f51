//! A bot is killed, at each point at which that could matter, and started again: nothing that people
//! said is lost, and what they see twice was in doubt and is in the log.
//!
//! The bot runs in a process of its own, over an SQLite file; Telegram is emulated in this one, which is
//! told of each point that the other one reaches, sends SIGKILL at the chosen one, and starts it again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use openclaw_channels::{
    telegram::Telegram,
    testing::telegram::{Bot, Chat, Emulator},
};
use openclaw_core::{
    AccountId, Gateway, Handle,
    access::Access,
    bytes::Bytes,
    http::Request,
    message::plain_text,
    provider::ChatMessage,
    testing::{
        Scripted, Step,
        fake_service::{FakeService, LoopbackClient, answer},
    },
};
use openclaw_memory::sqlite::Sqlite;
use serde::{Deserialize, Serialize};

use super::{SECRET, telegram};
use crate::peers::free_port;

const ROLE: &str = "OPENCLAW_TEST_ROLE";
/// Only a life that hangs lasts this long.
const HANGS: Duration = Duration::from_secs(60);
/// How many kills there are at least.
const KILLS: usize = 100;
/// How many people write in each life.
const PEOPLE: usize = 3;
/// What is logged of a message that may have been sent.
const DOUBT: &str = "nobody knows whether this was sent";

/// How the bot's process is to behave.
#[derive(Clone, Serialize, Deserialize)]
struct Role {
    world: String,
    path: PathBuf,
    telegram: String,
    token: String,
    /// The port of the webhook; without it the bot polls.
    port: Option<u16>,
}

/// Plays the bot until it is killed.
async fn live(role: Role) {
    let log = tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::stderr);
    log.with_max_level(tracing_subscriber::filter::LevelFilter::WARN).init();
    let world = Mutex::new(BufReader::new(TcpStream::connect(&role.world).unwrap()));
    let account: AccountId = "telegram:default".parse().unwrap();
    let mut channel = Telegram::new(role.token).unwrap().base_url(&role.telegram).unwrap();
    channel = channel.limits(super::unpaced());
    if let Some(port) = role.port {
        channel = channel.webhook(&format!("http://127.0.0.1:{port}/hook"), SECRET).unwrap();
    }
    let late = Arc::new(OnceLock::<Handle>::new());
    let (handle, to) = (late.clone(), account.clone());
    let _server = match role.port {
        Some(port) => Some(
            FakeService::start_on(port, move |request: Request<Bytes>| {
                let (handle, to) = (handle.get().cloned(), to.clone());
                async move {
                    let Some(handle) = handle else { return answer(503, "text/plain", "") };
                    let response = handle.webhook(&to, request).await.unwrap();
                    answer(response.status().as_u16(), "text/plain", response.into_body())
                }
            })
            .await
            .unwrap(),
        ),
        None => None,
    };
    let gateway = Gateway::builder()
        .http(LoopbackClient::new())
        .provider(Scripted::from_fn(|request| Ok(Step::text(reply(&request.messages)))))
        .store(Sqlite::open(&role.path).await.unwrap())
        .channel(channel)
        .access(account, Access::open())
        .faults(move |point| tell(&mut world.lock().unwrap(), &point.to_string()))
        .start()
        .await
        .unwrap();
    assert!(late.set(gateway.handle()).is_ok());
    std::future::pending().await
}

/// Tells of a point, and stands still there until it may go on: whoever is to die gets no answer.
#[expect(clippy::disallowed_methods, reason = "a child whose world has ended must end too")]
fn tell(world: &mut BufReader<TcpStream>, point: &str) {
    let told = world.get_mut().write_all(format!("{point}\n").as_bytes());
    let mut line = String::new();
    if !matches!(told.and_then(|()| world.read_line(&mut line)), Ok(read) if read > 0) {
        std::process::exit(3);
    }
}

/// Answers each `[[word]]` that was not answered yet.
fn reply(messages: &[ChatMessage]) -> String {
    let open = messages.iter().rev().take_while(|one| matches!(one, ChatMessage::User { .. }));
    let said: Vec<String> = open
        .map(|one| match one {
            ChatMessage::User { content } => plain_text(content),
            _ => String::new(),
        })
        .collect();
    let words = said.iter().rev().flat_map(|said| said.split("[[").skip(1));
    let words = words.filter_map(|rest| rest.split_once("]]")).map(|(word, _)| format!("<{word}>"));
    format!("re: {}", words.collect::<String>().replace('<', "(").replace('>', ")"))
}

struct World {
    role: Role,
    name: &'static str,
    telegram: Emulator,
    bot: Bot,
    listener: TcpListener,
    _folder: tempfile::TempDir,
    /// Who said which word.
    said: Vec<(Chat, String)>,
    kills: usize,
}

impl World {
    fn new(name: &'static str, telegram: Emulator, bot: Bot, port: Option<u16>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let role = Role {
            world: listener.local_addr().unwrap().to_string(),
            path: folder.path().join("bot.db"),
            telegram: telegram.url(),
            token: bot.token().expose().to_owned(),
            port,
        };
        Self { role, name, telegram, bot, listener, _folder: folder, said: Vec::new(), kills: 0 }
    }

    /// People who have never written say something, one of them twice.
    fn say(&mut self) {
        for person in 0..PEOPLE {
            let chat = self.telegram.user("Ada").chat(&self.bot);
            for _ in 0..=usize::from(person == 0) {
                let word = format!("w{}", self.said.len());
                chat.say(&format!("say [[{word}]]")).unwrap();
                self.said.push((chat.clone(), word));
            }
        }
    }

    /// How often people see each word.
    fn seen(&self) -> BTreeMap<&str, usize> {
        let times = |(chat, word): &(Chat, String)| {
            let sign = format!("({word})");
            chat.bot_messages().iter().filter(|shown| shown.text.contains(&sign)).count()
        };
        self.said.iter().map(|said| (said.1.as_str(), times(said))).collect()
    }

    fn is_done(&self) -> bool {
        self.bot.pending() == 0 && self.seen().values().all(|times| *times > 0)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.role.path.with_extension("log")).unwrap_or_default()
    }

    /// How many messages people see once more, and how many were in doubt by the log.
    fn doubles(&self) -> (usize, usize) {
        let mut doubled = 0;
        for chat in self.chats() {
            let texts: Vec<String> = chat.bot_messages().into_iter().map(|one| one.text).collect();
            doubled += texts.len() - texts.iter().collect::<BTreeSet<_>>().len();
        }
        (doubled, self.log().matches(DOUBT).count())
    }

    /// The words that stand in messages that are not the same.
    fn answered_anew(&self) -> Vec<&str> {
        let anew = |(chat, word): &&(Chat, String)| {
            let sign = format!("({word})");
            let shown = chat.bot_messages().into_iter().map(|one| one.text);
            shown.filter(|text| text.contains(&sign)).collect::<BTreeSet<_>>().len() > 1
        };
        self.said.iter().filter(anew).map(|(_, word)| word.as_str()).collect()
    }

    /// Each chat once.
    fn chats(&self) -> Vec<Chat> {
        let mut chats: Vec<Chat> = self.said.iter().map(|(chat, _)| chat.clone()).collect();
        chats.dedup_by_key(|chat| chat.id());
        chats
    }

    fn fail(&self, why: &str) -> ! {
        let lost: Vec<String> = self
            .seen()
            .into_iter()
            .filter(|(_, times)| *times == 0)
            .map(|(word, _)| word.to_owned())
            .collect();
        let log = self.log();
        let last: Vec<&str> = log.lines().rev().take(20).collect();
        panic!("{why}; not answered: {lost:?}\n{}", last.join("\n"))
    }

    /// One life of the bot; it is killed at the `nth` time that it reaches the point, else when all is
    /// done. How often it reached each point, and whether it was killed at the chosen one.
    fn live(&mut self, target: Option<(&str, usize)>) -> (BTreeMap<String, usize>, bool) {
        let log =
            File::options().create(true).append(true).open(self.role.path.with_extension("log"));
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args([self.name, "--exact", "--nocapture", "--test-threads=1"])
            .env(ROLE, serde_json::to_string(&self.role).unwrap())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.unwrap())
            .spawn()
            .unwrap();
        let talked = self.talk(&mut process, target);
        // Whatever happened, it is not left behind. This is SIGKILL.
        process.kill().unwrap();
        process.wait().unwrap();
        self.kills += 1;
        talked.unwrap_or_else(|why| self.fail(&why))
    }

    #[expect(clippy::disallowed_methods, reason = "a thread of the world waits for a process")]
    fn talk(
        &self,
        process: &mut Child,
        target: Option<(&str, usize)>,
    ) -> Result<(BTreeMap<String, usize>, bool), String> {
        let deadline = Instant::now() + HANGS;
        let stream = loop {
            if let Ok((stream, _)) = self.listener.accept() {
                break stream;
            }
            if process.try_wait().unwrap().is_some() || Instant::now() > deadline {
                return Err("the process did not start".into());
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        stream.set_nonblocking(false).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let (mut reader, mut line) = (BufReader::new(stream), String::new());
        let mut reached = BTreeMap::<String, usize>::new();
        loop {
            if Instant::now() > deadline {
                return Err(format!("it does not come to rest; killed at {target:?}"));
            }
            match reader.read_line(&mut line) {
                Ok(0) => return Err("the process ended by itself".into()),
                Ok(_) => {}
                // Nothing is told for a while.
                Err(_) if self.is_done() => return Ok((reached, false)),
                Err(_) => continue,
            }
            let point = std::mem::take(&mut line).trim().to_owned();
            let times = reached.entry(point.clone()).or_default();
            *times += 1;
            if target == Some((point.as_str(), *times)) {
                return Ok((reached, true));
            }
            reader.get_mut().write_all(b"\n").map_err(|error| error.to_string())?;
        }
    }
}

/// Kills the bot at each point that it reaches, in turn, until there were kills enough. Between two kills
/// it has time to finish: a message that is there at three crashes is taken for their cause.
fn kill_everywhere(mut world: World) {
    world.say();
    let (points, _) = world.live(None);
    let points: Vec<(String, usize)> = points.into_iter().collect();
    let (mut at_points, mut round) = (0, 0);
    while at_points < KILLS {
        for (point, count) in &points {
            let before = world.doubles();
            world.say();
            let (_, hit) = world.live(Some((point, 1 + round % count)));
            at_points += usize::from(hit);
            // Nothing is lost, or this does not end.
            world.live(None);
            let after = world.doubles();
            if after.0 - before.0 > after.1 - before.1 {
                world.fail(&format!(
                    "killed at {point}: {before:?} doubled and logged, then {after:?}"
                ));
            }
        }
        round += 1;
    }
    assert_eq!(world.answered_anew(), Vec::<&str>::new());
    let (doubled, logged) = world.doubles();
    eprintln!(
        "{}: {} points, {} kills, {at_points} of them at a point; of {} messages 0 lost, {doubled} doubled, \
         {logged} in doubt",
        world.name,
        points.len(),
        world.kills,
        world.said.len(),
    );
    // The window is there, and the matrix finds it.
    assert!(doubled > 0 && doubled <= logged);
}

async fn run(name: &'static str, port: Option<u16>) {
    if let Ok(role) = std::env::var(ROLE) {
        return live(serde_json::from_str(&role).unwrap()).await;
    }
    let (telegram, bot) = telegram().await;
    telegram.set_webhook_pause(Duration::from_millis(5));
    let world = World::new(name, telegram, bot, port);
    tokio::task::spawn_blocking(move || kill_everywhere(world)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_polling() {
    run("telegram::crash_matrix::by_polling", None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_webhook() {
    run("telegram::crash_matrix::by_webhook", Some(free_port())).await;
}
