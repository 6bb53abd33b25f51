//! A sandbox that isolates nothing, because it runs nothing.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::time::Instant;

use super::{
    sandbox::SandboxFault,
    sandbox_script::{CommandCall, CommandScript, End, below},
};
use crate::{
    error::{Error, ErrorKind, Result},
    sandbox::{
        Command, CommandEvent, CommandStream, Ended, Exit, Lease, Limits, Sandbox,
        SandboxCapabilities, SandboxKind, SandboxPath,
    },
    time::Cancel,
};

/// A double of a sandbox, to test tools without one: commands do what the test scripted for their
/// program, files are in memory. **It isolates nothing, for it executes nothing.**
///
/// It keeps the contract of [`Sandbox`] in all that can be seen: limits, time, cut output, files, reaping.
/// Clones are the same sandbox.
///
/// ```
/// use openclaw_core::{
///     sandbox::{Command, Lease, Sandbox as _, SandboxSpec},
///     testing::{CommandScript, SandboxDouble},
/// };
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> openclaw_core::Result<()> {
/// let sandbox = SandboxDouble::new().program("python3", |call| match call.stdin() {
///     "print(6 * 7)" => CommandScript::print("42\n"),
///     other => CommandScript::new().error(format!("unexpected: {other}")).exit(1),
/// });
/// let command = Command::new("python3").arg("-").stdin("print(6 * 7)");
/// let output = sandbox.run(&Lease::new("ada", SandboxSpec::new()), &command).await?.collect().await?;
/// assert_eq!(output.text(), "42\n");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct SandboxDouble {
    capabilities: Arc<SandboxCapabilities>,
    programs: Arc<BTreeMap<String, Program>>,
    engine: Arc<Engine>,
    /// Which of the processes on the engine this is.
    process: u64,
    fault: SandboxFault,
}

type Program = Arc<dyn Fn(&CommandCall) -> CommandScript + Send + Sync>;

/// What outlives the process that uses it.
#[derive(Default)]
struct Engine(Mutex<State>);

#[derive(Default)]
struct State {
    boxes: BTreeMap<String, Held>,
    /// The processes that were killed.
    dead: Vec<u64>,
    processes: u64,
    commands: Vec<Command>,
    down: bool,
}

/// A box.
#[derive(Default)]
struct Held {
    owner: u64,
    files: BTreeMap<String, File>,
    /// How many processes live in it.
    living: usize,
    /// Cancelled when it is reaped.
    end: Cancel,
}

#[derive(Clone)]
enum File {
    Bytes(Bytes),
    /// A link that leads out of the box.
    Link,
}

impl Default for SandboxDouble {
    fn default() -> Self {
        Self::new()
    }
}

impl SandboxDouble {
    /// Without any program. It can enforce every limit, and stands in for Docker where an entry of the
    /// configuration asks for that.
    pub fn new() -> Self {
        let mut capabilities = SandboxCapabilities::new(SandboxKind::Docker);
        capabilities.limits =
            capabilities.limits.memory(512_000_000).cpus(1.0).pids(64).disk(1_000_000_000);
        capabilities.environment = vec!["PATH".into()];
        Self {
            capabilities: Arc::new(capabilities),
            programs: Arc::default(),
            engine: Arc::default(),
            process: 0,
            fault: SandboxFault::None,
        }
    }

    /// Says what a program does when a command names it.
    #[must_use]
    pub fn program(
        mut self,
        name: impl Into<String>,
        script: impl Fn(&CommandCall) -> CommandScript + Send + Sync + 'static,
    ) -> Self {
        Arc::make_mut(&mut self.programs).insert(name.into(), Arc::new(script));
        self
    }

    /// Changes what it guarantees. For building, before it is used.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut SandboxCapabilities)) -> Self {
        change(Arc::make_mut(&mut self.capabilities));
        self
    }

    /// Takes the engine away, or gives it back: without, every call fails.
    pub fn down(&self, down: bool) {
        self.state().down = down;
    }

    /// The commands that were started, in order.
    pub fn commands(&self) -> Vec<Command> {
        self.state().commands.clone()
    }

    /// How many boxes there are.
    pub fn boxes(&self) -> usize {
        self.state().boxes.len()
    }

    /// How many processes live in a box.
    pub fn processes(&self, lease: &Lease) -> usize {
        self.state().boxes.get(&self.key(lease)).map_or(0, |held| held.living)
    }

    /// The same engine, as another process has it.
    #[must_use]
    pub fn other_process(&self) -> Self {
        let mut other = self.clone();
        let mut state = self.state();
        state.processes += 1;
        other.process = state.processes;
        drop(state);
        other
    }

    /// The process of this value is killed: what it left in the engine stays as it is.
    pub fn kill_process(&self) {
        self.state().dead.push(self.process);
    }

    pub(super) fn with_fault(mut self, fault: SandboxFault) -> Self {
        self.fault = fault;
        self
    }

    fn has(&self, fault: SandboxFault) -> bool {
        self.fault == fault
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.engine.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, lease: &Lease) -> String {
        if self.has(SandboxFault::OneBox) { "all".into() } else { lease.id.clone() }
    }

    /// Does something with a box, which is made if it is not there.
    fn with_box<T>(&self, lease: &Lease, work: impl FnOnce(&mut Held) -> Result<T>) -> Result<T> {
        let ignores = self.has(SandboxFault::IgnoresLimits);
        let checked = self.capabilities.check(&lease.spec);
        checked.or_else(|error| if ignores { Ok(()) } else { Err(error) })?;
        let mut state = self.state();
        if state.down {
            let text = "the sandbox's engine does not answer; nothing is run without it";
            return Err(Error::new(ErrorKind::Unavailable, text).with_public(text));
        }
        let new = || Held { owner: self.process, ..Held::default() };
        let held = state.boxes.entry(self.key(lease)).or_insert_with(new);
        if self.has(SandboxFault::Forgetful) {
            held.files.clear();
        }
        work(held)
    }

    fn limits(&self, lease: &Lease) -> Limits {
        lease.spec.limits.or(&self.capabilities.limits)
    }

    fn environment(&self, command: &Command) -> BTreeMap<String, String> {
        let mut all: BTreeMap<String, String> = self
            .capabilities
            .environment
            .iter()
            .map(|name| (name.clone(), "/bin".into()))
            .collect();
        if self.has(SandboxFault::LeaksEnvironment) {
            all.insert("HOST_TOKEN".into(), "secret".into());
        }
        if !self.has(SandboxFault::DropsEnvironment) {
            all.extend(command.env.clone());
        }
        all
    }

    /// What a command does, with all that it changes in the box but for its processes.
    fn act(&self, lease: &Lease, command: &Command) -> Result<CommandScript> {
        let mut command = command.clone();
        if self.has(SandboxFault::NoInput) {
            command.stdin = Bytes::new();
        }
        if self.has(SandboxFault::UsesAShell) {
            let words = |arg: &String| -> Vec<String> {
                arg.split_whitespace().map(str::to_owned).collect()
            };
            command.argv = command.argv.iter().flat_map(words).collect();
        }
        if self.has(SandboxFault::IgnoresFolder) {
            command.folder = SandboxPath::root();
        }
        let program = command.argv.first().and_then(|name| self.programs.get(name));
        let Some(program) = program.map(Arc::clone) else {
            if self.has(SandboxFault::MissingProgramRuns) {
                return Ok(CommandScript::new().exit(127));
            }
            return Err(not_found(format!("there is no program {:?}", command.argv.first())));
        };
        let apart = self.has(SandboxFault::FilesApart);
        self.with_box(lease, |held| {
            let folder = command.folder.as_str();
            if !folder.is_empty() && !held.files.keys().any(|p| p.starts_with(&below(folder, ""))) {
                return Err(not_found(format!("there is no folder {folder:?}")));
            }
            let files = held.files.iter().filter_map(|(path, file)| match file {
                File::Bytes(bytes) if !apart => Some((path.clone(), bytes.clone())),
                _ => None,
            });
            let call = CommandCall {
                files: files.collect(),
                limits: if self.has(SandboxFault::NoLimits) {
                    Limits::default()
                } else {
                    self.limits(lease)
                },
                environment: self.environment(&command),
                network: self.has(SandboxFault::HasNetwork),
                command,
            };
            let script = program(&call);
            for (path, bytes) in &script.files {
                let file = bytes.clone().map_or(File::Link, File::Bytes);
                held.files.insert(call.path(path), file);
            }
            held.living += 1 + script.starts;
            Ok(script)
        })
    }
}

fn not_found(text: String) -> Error {
    Error::new(ErrorKind::NotFound, text.clone()).with_public(text)
}

/// The processes of a command; those that are left when it goes are ended.
struct Processes {
    double: SandboxDouble,
    lease: Lease,
    count: usize,
}

impl Processes {
    fn end(&mut self, count: usize) {
        let count = count.min(self.count);
        self.count -= count;
        if let Some(held) = self.double.state().boxes.get_mut(&self.double.key(&self.lease)) {
            held.living = held.living.saturating_sub(count);
        }
    }

    /// They went with their box.
    fn forget(&mut self) {
        self.count = 0;
    }

    /// The first has ended; the others live on.
    fn leave(&mut self) {
        self.end(1);
        self.count = 0;
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        let dead = self.double.state().dead.contains(&self.double.process);
        if !dead && !self.double.has(SandboxFault::OutlivesItsStream) {
            self.end(self.count);
        }
    }
}

#[async_trait]
impl Sandbox for SandboxDouble {
    fn capabilities(&self) -> &SandboxCapabilities {
        &self.capabilities
    }

    async fn run(&self, lease: &Lease, command: &Command) -> Result<CommandStream> {
        if !self.has(SandboxFault::TakesAnyVariable) {
            command.check(&self.capabilities)?;
        }
        let script = self.act(lease, command)?;
        let mut processes =
            Processes { double: self.clone(), lease: lease.clone(), count: 1 + script.starts };
        let end = self.with_box(lease, |held| Ok(held.end.clone()))?;
        let others = {
            let mut state = self.state();
            state.commands.push(command.clone());
            state.boxes.get(&self.key(lease)).map_or(0, |held| held.living)
        };
        let busy = self.has(SandboxFault::OneAtATime) && others > 1;
        let (events, cut) = self.output(&script, command);
        let deadline = Instant::now() + command.time;
        let fault = self.fault;
        let last = async move {
            let over = async {
                match script.end {
                    End::Exit(exit) if !busy => exit,
                    _ if fault == SandboxFault::NoTime => std::future::pending().await,
                    _ => {
                        tokio::time::sleep_until(deadline).await;
                        Exit::Time
                    }
                }
            };
            let exit = tokio::select! {
                biased;
                () = end.cancelled() => {
                    processes.forget();
                    return Err(Error::new(ErrorKind::Unavailable, "the box was ended"));
                }
                exit = over => exit,
            };
            match exit {
                Exit::Time if fault != SandboxFault::LeavesOrphans => processes.end(usize::MAX),
                _ => processes.leave(),
            }
            let exit = if fault == SandboxFault::AlwaysSucceeds { Exit::Code(0) } else { exit };
            Ok(CommandEvent::Ended(Ended::new(exit).cut(cut)))
        };
        Ok(CommandStream::new(stream::iter(events.into_iter().map(Ok)).chain(stream::once(last))))
    }

    async fn write(&self, lease: &Lease, path: &SandboxPath, bytes: Bytes) -> Result<()> {
        let most = self.limits(lease).disk.filter(|_| !self.has(SandboxFault::NoLimits));
        self.with_box(lease, |held| {
            if let Some(File::Link) = held.files.get(path.as_str())
                && !self.has(SandboxFault::FollowsLinks)
            {
                return Err(leads_out(path));
            }
            let mut bytes = bytes;
            if self.has(SandboxFault::ManglesFiles) {
                bytes = String::from_utf8_lossy(&bytes).into_owned().into();
            }
            if let (SandboxFault::Appends, Some(File::Bytes(old))) =
                (self.fault, held.files.get(path.as_str()))
            {
                bytes = [old.as_ref(), bytes.as_ref()].concat().into();
            }
            let others = held.files.iter().filter(|(other, _)| *other != path.as_str());
            let held_bytes: u64 = others
                .map(|(_, file)| match file {
                    File::Bytes(bytes) => bytes.len() as u64,
                    File::Link => 0,
                })
                .sum();
            if most.is_some_and(|most| held_bytes + bytes.len() as u64 > most) {
                let text = format!("the box is full: {path} does not fit in");
                return Err(Error::new(ErrorKind::Exhausted, text.clone()).with_public(text));
            }
            held.files.insert(path.to_string(), File::Bytes(bytes));
            Ok(())
        })
    }

    async fn read(&self, lease: &Lease, path: &SandboxPath, max_bytes: u64) -> Result<Bytes> {
        self.with_box(lease, |held| match held.files.get(path.as_str()) {
            Some(File::Link) if self.has(SandboxFault::FollowsLinks) => Ok("root:x:0:0".into()),
            Some(File::Link) => Err(leads_out(path)),
            Some(File::Bytes(bytes)) => {
                if bytes.len() as u64 > max_bytes && !self.has(SandboxFault::ReadsAnyLength) {
                    let text =
                        format!("{path} has {} bytes, at most {max_bytes} are read", bytes.len());
                    return Err(Error::new(ErrorKind::Exhausted, text.clone()).with_public(text));
                }
                Ok(bytes.clone())
            }
            None if self.has(SandboxFault::MissingIsEmpty) => Ok(Bytes::new()),
            None => Err(not_found(format!("there is no file {path}"))),
        })
    }

    async fn reap(&self, lease: &Lease) -> Result<()> {
        let key = self.key(lease);
        let mut state = self.state();
        if state.down {
            return Err(Error::new(ErrorKind::Unavailable, "the sandbox's engine does not answer"));
        }
        match self.fault {
            SandboxFault::ReapsNothing => {}
            SandboxFault::ReapKeepsFiles => {
                if let Some(held) = state.boxes.get_mut(&key) {
                    held.living = 0;
                    held.end.cancel();
                    held.end = Cancel::new();
                }
            }
            _ => match state.boxes.remove(&key) {
                Some(held) => held.end.cancel(),
                None if self.has(SandboxFault::ReapsOnce) => {
                    return Err(Error::new(ErrorKind::NotFound, "no such box"));
                }
                None => {}
            },
        }
        Ok(())
    }

    async fn reap_abandoned(&self) -> Result<u64> {
        let mut state = self.state();
        if state.down {
            return Err(Error::new(ErrorKind::Unavailable, "the sandbox's engine does not answer"));
        }
        let dead = std::mem::take(&mut state.dead);
        let before = state.boxes.len();
        state.boxes.retain(|_, held| match self.fault {
            SandboxFault::KeepsAbandoned => true,
            SandboxFault::ReapsTheLiving => held.owner == self.process,
            _ => !dead.contains(&held.owner),
        });
        let reaped = before - state.boxes.len();
        state.dead = dead;
        Ok(reaped as u64)
    }
}

fn leads_out(path: &SandboxPath) -> Error {
    let text = format!("{path} is a link that leads out of the box");
    Error::new(ErrorKind::Denied, text.clone()).with_public(text)
}

impl SandboxDouble {
    /// The output that is given, and whether there was more.
    fn output(&self, script: &CommandScript, command: &Command) -> (Vec<CommandEvent>, bool) {
        let floods = matches!(script.end, End::Flood);
        let mut left = usize::try_from(command.output).unwrap_or(usize::MAX);
        if self.has(SandboxFault::NoCap) {
            left = left.saturating_mul(2);
        }
        let mut cut = floods;
        let mut events = Vec::new();
        let mut give = |bytes: &Bytes, event: fn(Bytes) -> CommandEvent| {
            cut |= bytes.len() > left;
            let given = bytes.slice(..bytes.len().min(left));
            left -= given.len();
            if !given.is_empty() {
                events.push(event(given));
            }
        };
        if !self.has(SandboxFault::NoOutput) {
            let on_error: fn(Bytes) -> CommandEvent = if self.has(SandboxFault::MixesStreams) {
                CommandEvent::Stdout
            } else {
                CommandEvent::Stderr
            };
            let times = if floods && !script.stdout.is_empty() {
                usize::try_from(command.output).unwrap_or(0) / script.stdout.len() + 2
            } else {
                1
            };
            (0..times).for_each(|_| give(&script.stdout, CommandEvent::Stdout));
            give(&script.stderr, on_error);
        }
        let full = left == 0;
        let cut = match self.fault {
            SandboxFault::CutsSilently => false,
            SandboxFault::CutsWhole => cut || full,
            _ => cut,
        };
        (events, cut)
    }
}

impl fmt::Debug for SandboxDouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxDouble")
            .field("programs", &self.programs.keys())
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}
