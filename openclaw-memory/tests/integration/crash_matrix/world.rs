//! The world outside of the gateway: three kinds of platforms, what tools act on, and the hand that
//! kills. It outlives the gateway's process, so what it counts is what happened.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{
    NAME,
    story::Story,
    verdict,
    wire::{Event, Request, Role, Taken},
};
use crate::common::child;

/// Only a life that hangs lasts this long.
const HANGS: Duration = Duration::from_secs(100);

/// A message that people see.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) key: String,
    pub(super) text: String,
    pub(super) life: usize,
    pub(super) edits: usize,
}

/// Something that a tool did.
#[derive(Clone, Debug)]
pub(super) struct Deed {
    pub(super) tool: String,
    pub(super) argument: String,
    pub(super) key: String,
}

/// How a life of the gateway's process ended.
#[derive(Debug, PartialEq)]
pub(super) enum End {
    Killed,
    /// All was done, and then it was killed.
    Quiet,
    /// It was told to shut down.
    Down,
}

/// A point, and at which time that it is reached the process is killed.
pub(super) type Target = (String, usize);

pub(super) struct World {
    pub(super) path: PathBuf,
    pub(super) lives: usize,
    pub(super) kills: usize,
    /// How often each point was reached in this life.
    pub(super) reached: BTreeMap<String, usize>,
    pub(super) said: BTreeMap<String, Vec<Event>>,
    pub(super) acknowledged: BTreeMap<String, u64>,
    pub(super) shown: BTreeMap<(String, String), Vec<Shown>>,
    pub(super) deeds: Vec<Deed>,
    pub(super) doubtful: BTreeMap<String, usize>,
    /// What the calls were about that a life left begun and not ended.
    pub(super) cut_off: BTreeSet<String>,
    pub(super) story: Story,
    listener: TcpListener,
    tries: BTreeMap<String, usize>,
}

/// A request that ends the conversation instead of being answered.
struct Cutoff(End);

impl World {
    pub(super) fn new(path: PathBuf, story: Story) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let mut world = Self {
            path,
            lives: 0,
            kills: 0,
            reached: BTreeMap::new(),
            said: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            shown: BTreeMap::new(),
            deeds: Vec::new(),
            doubtful: BTreeMap::new(),
            cut_off: BTreeSet::new(),
            story,
            listener,
            tries: BTreeMap::new(),
        };
        Story::go_on(&mut world);
        world
    }

    /// Somebody says something.
    pub(super) fn say(&mut self, account: &str, peer: &str, text: &str) {
        let events = self.said.entry(account.into()).or_default();
        let offset = events.len() as u64 + 1;
        events.push(Event { offset, peer: peer.into(), text: text.into() });
    }

    /// What is seen in a conversation.
    pub(super) fn seen(&self, account: &str, peer: &str) -> &[Shown] {
        self.shown.get(&(account.into(), peer.into())).map_or(&[], Vec::as_slice)
    }

    /// True once all that was said on the account was acknowledged.
    pub(super) fn heard(&self, account: &str) -> bool {
        let said = self.said.get(account).map_or(0, Vec::len) as u64;
        self.acknowledged.get(account).copied().unwrap_or(0) >= said
    }

    /// One life of the gateway's process; it is killed at `target`, else when all is done.
    pub(super) fn live(&mut self, target: Option<&Target>) -> Result<End, String> {
        self.lives += 1;
        self.reached.clear();
        let role = Role {
            world: self.listener.local_addr().unwrap().to_string(),
            path: self.path.display().to_string(),
            at_most_once: self.story.at_most_once,
        };
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path.with_extension("log"))
            .unwrap();
        let mut process = child(NAME, &serde_json::to_string(&role).unwrap())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let end = self.talk(&mut process, target);
        // Whatever happened, it is not left behind. This is SIGKILL.
        let killed = process.kill();
        let status = process.wait().unwrap();
        self.cut_off.extend(verdict::under_way(&self.path));
        match end {
            Ok(End::Down) if !status.success() => Err(format!("the shutdown ended with {status}")),
            Ok(end) => {
                killed.unwrap();
                self.kills += usize::from(end == End::Killed);
                Ok(end)
            }
            Err(error) => Err(format!("{error} (the process: {status})")),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a thread of the world waits for a process")]
    fn talk(&mut self, process: &mut Child, target: Option<&Target>) -> Result<End, String> {
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
        stream.set_read_timeout(Some(HANGS)).unwrap();
        let mut reader = BufReader::new(stream);
        let mut quiet = 0;
        loop {
            if Instant::now() > deadline {
                return Err(format!("it does not come to rest: {:#?}", Story::missing(self)));
            }
            let mut line = String::new();
            if !reader.read_line(&mut line).is_ok_and(|read| read > 0) {
                return Err("the process ended by itself, or hangs".into());
            }
            let request: Request = serde_json::from_str(&line).unwrap();
            if let Request::State { idle } = request {
                quiet = if idle && Story::missing(self).is_empty() { quiet + 1 } else { 0 };
                let down = Story::is_to_shut_down(self);
                answer(reader.get_mut(), &down);
                if down {
                    return self.see_off(process, &mut reader, target);
                }
                if quiet > 2 {
                    return Ok(End::Quiet);
                }
                continue;
            }
            if let Err(Cutoff(end)) = self.serve(request, reader.get_mut(), target) {
                return Ok(end);
            }
            Story::go_on(self);
        }
    }

    /// Serves a process that shuts down, to its end.
    fn see_off(
        &mut self,
        process: &mut Child,
        reader: &mut BufReader<TcpStream>,
        target: Option<&Target>,
    ) -> Result<End, String> {
        loop {
            let mut line = String::new();
            if !reader.read_line(&mut line).is_ok_and(|read| read > 0) {
                process.wait().unwrap();
                return Ok(End::Down);
            }
            let request = serde_json::from_str(&line).unwrap();
            if let Err(Cutoff(end)) = self.serve(request, reader.get_mut(), target) {
                return Ok(end);
            }
        }
    }

    /// This point is reached: no answer to who is to die here.
    fn point(&mut self, name: &str, target: Option<&Target>) -> Result<(), Cutoff> {
        let times = self.reached.entry(name.to_owned()).or_default();
        *times += 1;
        let chosen = target.is_some_and(|(point, nth)| point == name && nth == times);
        let poison = name == "poison" && self.story.poison;
        if chosen || poison { Err(Cutoff(End::Killed)) } else { Ok(()) }
    }

    fn serve(
        &mut self,
        request: Request,
        to: &mut TcpStream,
        target: Option<&Target>,
    ) -> Result<(), Cutoff> {
        match request {
            Request::Point { name } => {
                self.point(&name, target)?;
                answer(to, &());
            }
            Request::Poll { account } => {
                let taken = self.acknowledged.get(&account).copied().unwrap_or(0);
                let events = self.said.get(&account).into_iter().flatten();
                let left: Vec<&Event> =
                    events.filter(|event| event.offset > taken).take(4).collect();
                answer(to, &left);
            }
            Request::Acknowledge { account, offset } => {
                self.acknowledged.insert(account, offset);
                answer(to, &());
            }
            Request::Send { account, peer, key, text } => {
                let taken = self.show(&account, &peer, &key, &text);
                self.point("sent", target)?;
                answer(to, &taken);
            }
            Request::Edit { account, peer, message, text } => {
                if let Some(shown) = self.shown.get_mut(&(account, peer)) {
                    let index: usize = message.parse().unwrap();
                    shown[index].text = text;
                    shown[index].edits += 1;
                }
                self.point("edited", target)?;
                answer(to, &());
            }
            Request::LookUp { account, key } => {
                let places = self.shown.iter().filter(|((on, _), _)| *on == account);
                let found = places
                    .flat_map(|(_, shown)| shown.iter().enumerate())
                    .find(|(_, shown)| shown.key == key)
                    .map(|(index, _)| index.to_string());
                answer(to, &found);
            }
            Request::Tool { tool, key, argument } => {
                let point = format!("acted {tool}");
                self.deeds.push(Deed { tool, argument, key });
                self.point(&point, target)?;
                answer(to, &"did it");
            }
            Request::Acted { tool, key } => {
                answer(to, &self.deeds.iter().any(|deed| deed.tool == tool && deed.key == key));
            }
            Request::Gate { name } => answer(to, &Story::is_open(self, &name)),
            Request::Doubtful { key } => {
                *self.doubtful.entry(key).or_default() += 1;
                answer(to, &());
            }
            Request::Erased => {
                self.story.erased = true;
                answer(to, &());
            }
            Request::State { .. } => answer(to, &true),
        }
        Ok(())
    }

    /// Shows a message as the account's platform does: the keyed one shows none twice.
    fn show(&mut self, account: &str, peer: &str, key: &str, text: &str) -> Taken {
        let tries = self.tries.entry(key.to_owned()).or_default();
        *tries += 1;
        let tries = *tries;
        if text.contains("refused") && !text.contains("could not") {
            return Taken::Refused;
        }
        if text.contains("flaky") && tries == 1 {
            return Taken::TryAgain;
        }
        let life = self.lives;
        let shown = self.shown.entry((account.into(), peer.into())).or_default();
        let before = shown.iter().position(|shown| shown.key == key);
        let id = match before {
            Some(index) if account.starts_with("keyed") => index,
            _ => {
                shown.push(Shown { key: key.into(), text: text.into(), life, edits: 0 });
                shown.len() - 1
            }
        };
        if text.contains("cut off") && tries == 1 {
            return Taken::Cut;
        }
        Taken::Yes { id: id.to_string() }
    }
}

fn answer(to: &mut TcpStream, answer: &impl Serialize) {
    let mut line = serde_json::to_string(answer).unwrap();
    line.push('\n');
    // Who is gone is seen at the next read.
    let _ = to.write_all(line.as_bytes());
}
