//! The contract of [`Sandbox`] as cases, and a double to test tools with.
//!
//! Each case says what is to happen in the box as a [`Probe`]; the fixture knows the command that does it
//! there.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;

use super::{Suite, Verdict};
pub use super::{
    sandbox_double::SandboxDouble,
    sandbox_faulty::{SandboxFault, SandboxFaultFixture},
    sandbox_script::{CommandCall, CommandScript},
};
use crate::{
    error::{Error, ErrorKind, Result},
    sandbox::{Command, Exit, Lease, Limits, Output, Sandbox, SandboxPath, SandboxSpec},
};

/// How long a case waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(60);
/// The time of commands that never end.
const SHORT: Duration = Duration::from_secs(2);
const MIB: u64 = 1024 * 1024;

/// What happens in a box.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Probe {
    /// Prints the text as it stands, without a line feed.
    Print(String),
    /// The same, to standard error.
    PrintError(String),
    /// Ends with this code.
    Exit(u8),
    /// Prints its input, until that ends.
    Echo,
    /// Prints its environment, a line `NAME=value` for each variable.
    Environment,
    /// Writes the text into the file; the path is relative to where the command starts.
    Write(String, String),
    /// Prints the file.
    Show(String),
    /// Makes a symbolic link to a file outside of the folder for work.
    LinkOut(String),
    /// Never ends, and does not let SIGTERM end it.
    Hang,
    /// Starts two processes in sessions of their own that hang, and hangs.
    HangWithOthers,
    /// Prints the text again and again.
    Flood(String),
    /// Connects by TCP; ends with code 0 if that works.
    Connect(SocketAddr),
    /// Takes so many bytes of memory and writes to all of them; ends with code 0 if that works.
    Allocate(u64),
    /// Starts so many processes, prints how many it could, and ends them.
    Fork(u32),
}

/// How the suite gets sandboxes, and what runs in them.
#[async_trait]
pub trait SandboxFixture: Send + Sync + 'static {
    /// The sandbox as another process has it: each time another one, all on one engine.
    ///
    /// # Errors
    /// It could not be made.
    async fn open(&self) -> Result<Arc<dyn Sandbox>>;

    /// The command that does this in a box.
    fn command(&self, probe: Probe) -> Command;

    /// Ends the process that has `sandbox` as `kill -9` does, so that nobody looks after its boxes. False if
    /// that cannot be done; then the case is skipped.
    async fn kill(&self, sandbox: Arc<dyn Sandbox>) -> bool {
        drop(sandbox);
        false
    }

    /// How many processes of commands live in the box, seen from outside of it; `None` if that cannot be
    /// seen.
    async fn processes(&self, lease: &Lease) -> Option<usize>;
}

/// The cases that the sandboxes of `fixture` are held to. They use boxes of owners whose names begin with
/// `suite:`, and reap them.
pub fn suite(name: impl Into<String>, fixture: impl SandboxFixture) -> Suite {
    let fixture: Arc<dyn SandboxFixture> = Arc::new(fixture);
    let mut suite = Suite::new(name);
    macro_rules! cases {
        ($($case:ident),* $(,)?) => {$({
            let fixture = Arc::clone(&fixture);
            suite = suite.case(stringify!($case), move || {
                let fixture = Arc::clone(&fixture);
                async move {
                    let case = Case::open(fixture, stringify!($case)).await?;
                    let verdict = within($case(&case)).await;
                    case.sandbox.reap(&case.lease).await?;
                    verdict?
                }
            });
        })*};
    }
    cases!(
        runs_a_command_and_gives_its_output,
        tells_the_exit_code,
        a_program_that_is_not_there_is_an_error,
        no_shell_reads_the_arguments,
        input_is_given_and_ends,
        the_environment_is_what_was_said,
        starts_in_its_folder,
        output_is_cut_and_said_to_be,
        output_that_just_fits_is_whole,
        time_ends_what_never_ends,
        time_ends_what_was_started_too,
        dropping_the_stream_ends_all,
        files_come_back_as_they_were,
        commands_see_the_files,
        a_file_that_cannot_be_read_is_an_error,
        links_that_lead_out_are_refused,
        boxes_are_apart,
        several_commands_run_at_once,
        reaping_ends_all_and_empties,
        reaping_twice_is_no_error,
        what_a_dead_process_left_is_reaped_and_no_more,
        no_network_is_reached,
        limits_that_cannot_be_enforced_are_refused,
        memory_is_limited,
        processes_are_limited,
        disk_is_limited,
    );
    suite
}

struct Case {
    fixture: Arc<dyn SandboxFixture>,
    sandbox: Arc<dyn Sandbox>,
    name: &'static str,
    lease: Lease,
}

impl Case {
    async fn open(fixture: Arc<dyn SandboxFixture>, name: &'static str) -> Result<Self> {
        let sandbox = fixture.open().await?;
        let lease = Lease::new(&format!("suite:{name}"), SandboxSpec::new());
        sandbox.reap(&lease).await?;
        Ok(Self { fixture, sandbox, name, lease })
    }

    /// Another box of the case, which it has to reap.
    async fn other(&self, spec: SandboxSpec) -> Result<Lease> {
        let lease = Lease::new(&format!("suite:{}:other", self.name), spec);
        self.sandbox.reap(&lease).await?;
        Ok(lease)
    }

    fn command(&self, probe: Probe) -> Command {
        self.fixture.command(probe)
    }

    async fn output(&self, command: &Command) -> Result<Output> {
        self.sandbox.run(&self.lease, command).await?.collect().await
    }

    async fn probe(&self, probe: Probe) -> Result<Output> {
        self.output(&self.command(probe)).await
    }

    /// Fails unless no process lives in the box.
    async fn is_still(&self, when: &str) -> Result<()> {
        let Some(mut living) = self.fixture.processes(&self.lease).await else { return Ok(()) };
        // The engine may need a moment to take note.
        let patience = tokio::time::Instant::now() + SHORT;
        while living > 0 && tokio::time::Instant::now() < patience {
            tokio::time::sleep(Duration::from_millis(20)).await;
            living = self.fixture.processes(&self.lease).await.unwrap_or_default();
        }
        check(living == 0, || format!("{when}, {living} processes live on"))
    }

    /// Waits until so many processes live in the box.
    async fn at_work(&self, count: usize) {
        while self.fixture.processes(&self.lease).await.is_some_and(|living| living < count) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn within<T>(future: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(PATIENCE, future).await.map_err(|_| {
        Error::new(ErrorKind::Timeout, format!("the case did not end within {PATIENCE:?}"))
    })
}

/// Fails with `what` unless `holds`.
fn check(holds: bool, what: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::new(ErrorKind::Internal, what())) }
}

/// Fails unless `result` is an error of this kind.
fn refused<T: std::fmt::Debug>(what: &str, result: Result<T>, kind: ErrorKind) -> Result<()> {
    match result {
        Err(error) if error.kind() == kind => Ok(()),
        other => Err(Error::new(
            ErrorKind::Internal,
            format!("{what}: expected an error of kind {kind:?}, got {other:?}"),
        )),
    }
}

fn passed() -> Result<Verdict> {
    Ok(Verdict::Passed)
}

fn skipped(why: &str) -> Result<Verdict> {
    Ok(Verdict::Skipped(why.to_owned()))
}

fn path(path: &str) -> Result<SandboxPath> {
    SandboxPath::new(path)
}

/// Both streams, each by itself, and that it ended well.
async fn runs_a_command_and_gives_its_output(case: &Case) -> Result<Verdict> {
    let output = case.probe(Probe::Print("hello\nworld".into())).await?;
    let (said, ended) = (output.text(), output.ended);
    check(said == "hello\nworld" && output.stderr.is_empty(), || format!("printed {output:?}"))?;
    check(ended.exit == Exit::Code(0) && !ended.cut, || format!("ended as {ended:?}"))?;
    let output = case.probe(Probe::PrintError("oh".into())).await?;
    check(output.stderr == "oh" && output.stdout.is_empty(), || {
        format!("printed \"oh\" to standard error, got {output:?}")
    })?;
    passed()
}

async fn tells_the_exit_code(case: &Case) -> Result<Verdict> {
    for code in [0, 1, 7, 125] {
        let exit = case.probe(Probe::Exit(code)).await?.ended.exit;
        check(exit == Exit::Code(code.into()), || format!("ended with {code}, told {exit:?}"))?;
    }
    passed()
}

async fn a_program_that_is_not_there_is_an_error(case: &Case) -> Result<Verdict> {
    let result = case.output(&Command::new("no-such-program-73e1")).await;
    refused("a program that is not there", result, ErrorKind::NotFound)?;
    passed()
}

/// Arguments arrive as they stand.
async fn no_shell_reads_the_arguments(case: &Case) -> Result<Verdict> {
    for text in ["two  words", "$HOME `id` $(id)", "a; b && c | d > e", "\"'\\", "*", "-n", ""] {
        let said = case.probe(Probe::Print(text.into())).await?.text();
        check(said == text, || format!("printed {text:?}, got {said:?}"))?;
    }
    passed()
}

async fn input_is_given_and_ends(case: &Case) -> Result<Verdict> {
    for input in
        [Bytes::new(), Bytes::from_static(b"in\0put\xff\n"), Bytes::from(vec![b'x'; 100_000])]
    {
        let output = case.output(&case.command(Probe::Echo).stdin(input.clone())).await?;
        check(output.stdout == input, || {
            format!("gave {} bytes, {} came back", input.len(), output.stdout.len())
        })?;
    }
    passed()
}

/// What the command says and what the sandbox declares; nothing of this process.
async fn the_environment_is_what_was_said(case: &Case) -> Result<Verdict> {
    let command = case.command(Probe::Environment).env("GREETING", "two words").env("EMPTY", "");
    let said = case.output(&command).await?.text();
    check(said.lines().any(|line| line == "GREETING=two words"), || {
        format!("the command's own variable is missing in {said:?}")
    })?;
    let mut names: Vec<&str> =
        said.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    let declared = &case.sandbox.capabilities().environment;
    let mut expected: Vec<&str> = declared.iter().map(String::as_str).collect();
    expected.extend(command.env.keys().map(String::as_str));
    names.sort_unstable();
    expected.sort_unstable();
    expected.dedup();
    check(names == expected, || format!("the environment has {names:?}, expected {expected:?}"))?;
    for name in declared {
        let command = case.command(Probe::Environment).env(name, "/evil");
        let what = format!("setting {name}, which the sandbox sets");
        refused(&what, case.output(&command).await, ErrorKind::InvalidInput)?;
    }
    passed()
}

async fn starts_in_its_folder(case: &Case) -> Result<Verdict> {
    case.sandbox.write(&case.lease, &path("a/b/in.txt")?, "here".into()).await?;
    let command = case.command(Probe::Show("in.txt".into())).folder(path("a/b")?);
    let said = case.output(&command).await?.text();
    check(said == "here", || format!("a file of its folder reads {said:?}"))?;
    let missing = case.command(Probe::Print("a".into())).folder(path("c")?);
    refused("a folder that is not there", case.output(&missing).await, ErrorKind::NotFound)?;
    passed()
}

async fn output_is_cut_and_said_to_be(case: &Case) -> Result<Verdict> {
    let command = case.command(Probe::Flood("all work and no play\n".into()));
    let output = case.output(&command.time(SHORT).output(1000)).await?;
    let given = output.stdout.len() + output.stderr.len();
    check(given == 1000, || format!("of endless output, at most 1000 bytes; {given} came"))?;
    check(output.ended.cut, || "the output was cut, and that is not said".to_owned())?;
    let exit = output.ended.exit;
    check(exit == Exit::Time, || {
        format!("it goes on until its time is over, but ended: {exit:?}")
    })?;
    passed()
}

async fn output_that_just_fits_is_whole(case: &Case) -> Result<Verdict> {
    let output = case.output(&case.command(Probe::Print("12345".into())).output(5)).await?;
    check(output.text() == "12345" && !output.ended.cut, || format!("5 of 5 bytes: {output:?}"))?;
    passed()
}

async fn time_ends_what_never_ends(case: &Case) -> Result<Verdict> {
    let ended = case.output(&case.command(Probe::Hang).time(SHORT)).await?.ended;
    check(ended.exit == Exit::Time, || format!("its time was over, told {ended:?}"))?;
    case.is_still("after the deadline").await?;
    // The sandbox goes on.
    case.probe(Probe::Exit(0)).await?;
    passed()
}

async fn time_ends_what_was_started_too(case: &Case) -> Result<Verdict> {
    if case.fixture.processes(&case.lease).await.is_none() {
        return skipped("nobody sees the processes of a box");
    }
    let command = case.command(Probe::HangWithOthers).time(SHORT);
    let ran = case.sandbox.run(&case.lease, &command).await?;
    case.at_work(3).await;
    let ended = ran.collect().await?.ended;
    check(ended.exit == Exit::Time, || format!("its time was over, told {ended:?}"))?;
    case.is_still("after the deadline").await?;
    passed()
}

async fn dropping_the_stream_ends_all(case: &Case) -> Result<Verdict> {
    if case.fixture.processes(&case.lease).await.is_none() {
        return skipped("nobody sees the processes of a box");
    }
    let command = case.command(Probe::HangWithOthers).time(PATIENCE * 2);
    let ran = case.sandbox.run(&case.lease, &command).await?;
    case.at_work(3).await;
    drop(ran);
    case.is_still("after the stream was dropped").await?;
    passed()
}

async fn files_come_back_as_they_were(case: &Case) -> Result<Verdict> {
    let (sandbox, lease) = (&case.sandbox, &case.lease);
    let all: Vec<u8> = (0..=255).collect();
    for bytes in
        [Bytes::from(all), Bytes::new(), Bytes::from("a\r\nb\n"), Bytes::from(vec![7; 300_000])]
    {
        sandbox.write(lease, &path("a/b c/ä.bin")?, bytes.clone()).await?;
        let read = sandbox.read(lease, &path("a/b c/ä.bin")?, MIB).await?;
        check(read == bytes, || {
            format!("wrote {} bytes, read {} others", bytes.len(), read.len())
        })?;
    }
    passed()
}

async fn commands_see_the_files(case: &Case) -> Result<Verdict> {
    case.sandbox.write(&case.lease, &path("in.txt")?, "from outside".into()).await?;
    let said = case.probe(Probe::Show("in.txt".into())).await?.text();
    check(said == "from outside", || format!("a written file reads {said:?} in the box"))?;
    case.probe(Probe::Write("out.txt".into(), "from inside".into())).await?;
    let read = case.sandbox.read(&case.lease, &path("out.txt")?, 100).await?;
    check(read == "from inside", || format!("a file of the box reads {read:?}"))?;
    passed()
}

async fn a_file_that_cannot_be_read_is_an_error(case: &Case) -> Result<Verdict> {
    let read =
        |name: SandboxPath, most| async move { case.sandbox.read(&case.lease, &name, most).await };
    refused("a file that is not there", read(path("none.txt")?, 9).await, ErrorKind::NotFound)?;
    case.sandbox.write(&case.lease, &path("ten.txt")?, "0123456789".into()).await?;
    refused("10 bytes where 9 may be", read(path("ten.txt")?, 9).await, ErrorKind::Exhausted)?;
    let read = read(path("ten.txt")?, 10).await?;
    check(read == "0123456789", || format!("10 bytes where 10 may be: {read:?}"))?;
    passed()
}

async fn links_that_lead_out_are_refused(case: &Case) -> Result<Verdict> {
    case.probe(Probe::LinkOut("link".into())).await?;
    let read = case.sandbox.read(&case.lease, &path("link")?, MIB).await;
    refused("reading by a link that leads out", read, ErrorKind::Denied)?;
    let written = case.sandbox.write(&case.lease, &path("link")?, "x".into()).await;
    refused("writing by a link that leads out", written, ErrorKind::Denied)?;
    passed()
}

/// Another owner, and another spec of the same owner, are other boxes.
async fn boxes_are_apart(case: &Case) -> Result<Verdict> {
    case.sandbox.write(&case.lease, &path("mine.txt")?, "mine".into()).await?;
    let other = case.other(SandboxSpec::new()).await?;
    let read = case.sandbox.read(&other, &path("mine.txt")?, 9).await;
    case.sandbox.reap(&other).await?;
    refused("a file of another box", read, ErrorKind::NotFound)?;
    let read = case.sandbox.read(&case.lease, &path("mine.txt")?, 9).await?;
    check(read == "mine", || "reaping another box changed this one".to_owned())?;
    passed()
}

async fn several_commands_run_at_once(case: &Case) -> Result<Verdict> {
    let hangs =
        case.sandbox.run(&case.lease, &case.command(Probe::Hang).time(PATIENCE * 2)).await?;
    let commands: Vec<Command> =
        (0..8).map(|n| case.command(Probe::Print(n.to_string())).time(PATIENCE * 2)).collect();
    for (n, output) in
        join_all(commands.iter().map(|it| case.output(it))).await.into_iter().enumerate()
    {
        let output = output?;
        check(output.text() == n.to_string(), || format!("command {n} printed {output:?}"))?;
    }
    drop(hangs);
    passed()
}

async fn reaping_ends_all_and_empties(case: &Case) -> Result<Verdict> {
    case.sandbox.write(&case.lease, &path("a.txt")?, "a".into()).await?;
    let ran = case.sandbox.run(&case.lease, &case.command(Probe::Hang).time(PATIENCE * 2)).await?;
    case.sandbox.reap(&case.lease).await?;
    // Whether that is an error or an end does not matter.
    let _ = ran.collect().await;
    case.is_still("after the box was reaped").await?;
    let read = case.sandbox.read(&case.lease, &path("a.txt")?, 9).await;
    refused("a file of the box before", read, ErrorKind::NotFound)?;
    passed()
}

async fn reaping_twice_is_no_error(case: &Case) -> Result<Verdict> {
    case.probe(Probe::Exit(0)).await?;
    case.sandbox.reap(&case.lease).await?;
    case.sandbox.reap(&case.lease).await?;
    passed()
}

async fn what_a_dead_process_left_is_reaped_and_no_more(case: &Case) -> Result<Verdict> {
    let dying = case.fixture.open().await?;
    let ran = dying.run(&case.lease, &case.command(Probe::Hang).time(PATIENCE * 2)).await?;
    let other = case.other(SandboxSpec::new()).await?;
    case.sandbox.write(&other, &path("a.txt")?, "alive".into()).await?;
    if !case.fixture.kill(dying).await {
        case.sandbox.reap(&other).await?;
        return skipped("the process cannot be ended as by kill -9");
    }
    // A killed process drops nothing.
    std::mem::forget(ran);
    let next = case.fixture.open().await?;
    let reaped = next.reap_abandoned().await;
    let alive = next.read(&other, &path("a.txt")?, 9).await;
    let again = next.reap_abandoned().await;
    case.sandbox.reap(&other).await?;
    check(reaped? > 0, || "nothing was reaped".to_owned())?;
    case.is_still("after its process died and what it left was reaped").await?;
    check(alive? == "alive", || "a box of a living process was reaped".to_owned())?;
    check(again? == 0, || "the same was reaped twice".to_owned())?;
    passed()
}

/// Neither this machine, nor by its addresses what listens on it, nor the cloud that it is in.
async fn no_network_is_reached(case: &Case) -> Result<Verdict> {
    let listener = std::net::TcpListener::bind(("0.0.0.0", 0))
        .map_err(|error| Error::wrap(ErrorKind::Internal, error))?;
    let port =
        listener.local_addr().map_err(|error| Error::wrap(ErrorKind::Internal, error))?.port();
    let hosts = [[127, 0, 0, 1], [172, 17, 0, 1], [169, 254, 169, 254]];
    for host in hosts {
        let to = SocketAddr::from((host, if host[0] == 169 { 80 } else { port }));
        let command = case.command(Probe::Connect(to)).time(SHORT);
        let exit = case.output(&command).await?.ended.exit;
        check(!exit.is_success(), || format!("{to} was reached"))?;
    }
    passed()
}

async fn limits_that_cannot_be_enforced_are_refused(case: &Case) -> Result<Verdict> {
    let has = &case.sandbox.capabilities().limits;
    let small = Limits::default;
    let tries = [
        (has.memory.is_none(), small().memory(MIB)),
        (has.cpus.is_none(), small().cpus(1.0)),
        (has.pids.is_none(), small().pids(8)),
        (has.disk.is_none(), small().disk(MIB)),
        (true, small().memory(0)),
    ];
    for (refuses, limits) in tries {
        if refuses {
            let lease = case.other(SandboxSpec::new().limits(limits.clone())).await?;
            let result = case.sandbox.run(&lease, &case.command(Probe::Exit(0))).await;
            case.sandbox.reap(&lease).await?;
            refused(&format!("{limits:?}"), result, ErrorKind::InvalidConfig)?;
        }
    }
    let image = SandboxSpec::new().image("no-such-image-73e1");
    let result = case.sandbox.run(&case.other(image).await?, &case.command(Probe::Exit(0))).await;
    refused("an image that is not known", result, ErrorKind::InvalidConfig)?;
    passed()
}

async fn memory_is_limited(case: &Case) -> Result<Verdict> {
    if case.sandbox.capabilities().limits.memory.is_none() {
        return skipped("the sandbox does not limit memory");
    }
    let lease = case.other(SandboxSpec::new().limits(Limits::default().memory(64 * MIB))).await?;
    let run = async |bytes| {
        let command = case.command(Probe::Allocate(bytes));
        case.sandbox.run(&lease, &command).await?.collect().await
    };
    let (little, much) = (run(8 * MIB).await, run(256 * MIB).await);
    case.sandbox.reap(&lease).await?;
    let (little, much) = (little?.ended.exit, much?.ended.exit);
    check(little.is_success(), || format!("8 MiB of 64 could not be had: {little:?}"))?;
    check(much == Exit::Memory, || format!("256 MiB of 64 ended with {much:?}"))?;
    passed()
}

async fn processes_are_limited(case: &Case) -> Result<Verdict> {
    if case.sandbox.capabilities().limits.pids.is_none() {
        return skipped("the sandbox does not limit processes");
    }
    let lease = case.other(SandboxSpec::new().limits(Limits::default().pids(32))).await?;
    let ran = case.sandbox.run(&lease, &case.command(Probe::Fork(100))).await?.collect().await;
    case.sandbox.reap(&lease).await?;
    let said = ran?.text();
    let started: u32 = said.trim().parse().unwrap_or(u32::MAX);
    check((1..32).contains(&started), || format!("of 100 processes where 32 may be: {said:?}"))?;
    passed()
}

async fn disk_is_limited(case: &Case) -> Result<Verdict> {
    if case.sandbox.capabilities().limits.disk.is_none() {
        return skipped("the sandbox does not limit its files");
    }
    let lease = case.other(SandboxSpec::new().limits(Limits::default().disk(4 * MIB))).await?;
    let write = async |name: &str, bytes: usize| {
        case.sandbox.write(&lease, &path(name)?, vec![0; bytes].into()).await
    };
    let (little, much) = (write("a", 100_000).await, write("b", 8_000_000).await);
    case.sandbox.reap(&lease).await?;
    little?;
    refused("8 MB where 4 MiB may be", much, ErrorKind::Exhausted)?;
    passed()
}
