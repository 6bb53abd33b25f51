//! Commands in a box.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bollard::{
    container::LogOutput,
    errors::Error as ApiError,
    exec::{CreateExecOptions, StartExecResults},
    query_parameters::EventsOptionsBuilder,
};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, stream};
use openclaw_core::{
    Error, ErrorKind, Result,
    sandbox::{Command, CommandEvent, CommandStream, Ended, Exit, SandboxPath},
};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
    time::Instant,
};

use super::{
    container::{PATH, WORK},
    engine::fault,
    held::{Busy, Held},
};

/// What the sandbox sets of a command's environment.
pub(super) const ENVIRONMENT: [(&str, &str); 3] =
    [("HOME", "/tmp"), ("LANG", "C.UTF-8"), ("PATH", PATH)];

/// Goes to the folder, looks whether the program is there, and becomes it, with the environment that it is
/// to have and no other. The engine is never told a folder: it would follow links in the box.
const ENTER: &str = r#"
no=$1 program=$3
cd -P -- "./$2" 2>/dev/null || { printf '%s folder' "$no" >&2; exit 127; }
shift 3
is() { [ -f "$1" ] && [ -x "$1" ]; }
found=
case $program in
*=*) ;;
*/*) is "$program" && found=1 ;;
*) IFS=:; for folder in $PATH; do is "$folder/$program" && found=1 && break; done; unset IFS ;;
esac
[ "$found" ] || { printf '%s program' "$no" >&2; exit 127; }
exec env -i "$@"
"#;

/// How long the end of a command may take to be told after its output has ended.
const AFTER: Duration = Duration::from_secs(10);
/// How long the engine may take to say that memory ran out.
const OOM_PATIENCE: Duration = Duration::from_millis(400);
/// And how long, to say it again.
const OOM_MORE: Duration = Duration::from_millis(5);
const NANOS: i64 = 1_000_000_000;
/// The codes of a process that was ended by SIGKILL, and of one under gVisor that was ended with its box.
const KILLED: [i32; 2] = [137, 128];

/// A process that was started.
pub(super) struct Started {
    id: String,
    output: Pin<Box<dyn Stream<Item = Result<LogOutput, ApiError>> + Send>>,
    input: Pin<Box<dyn AsyncWrite + Send>>,
}

/// Starts a process.
pub(super) async fn start(held: &Held, argv: Vec<String>) -> Result<Started> {
    let options = CreateExecOptions {
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(argv),
        working_dir: Some(WORK.to_owned()),
        ..CreateExecOptions::default()
    };
    let made = held.docker.create_exec(&held.id, options).await.map_err(fault)?;
    match held.docker.start_exec(&made.id, None).await.map_err(fault)? {
        StartExecResults::Attached { output, input } => Ok(Started { id: made.id, output, input }),
        StartExecResults::Detached => Err(Error::internal("a command was started unattached")),
    }
}

/// The argument vector of a command, and the word by which failures to start are told apart from what
/// the program itself says.
pub(super) fn argv(command: &Command, no: &str) -> Vec<String> {
    let program = command.argv.first().map_or("", String::as_str);
    let folder = command.folder.as_str();
    let mut argv: Vec<String> =
        ["/bin/sh", "-c", ENTER, "sh", no, folder, program].map(str::to_owned).to_vec();
    argv.extend(ENVIRONMENT.map(|(name, value)| format!("{name}={value}")));
    argv.extend(command.env.iter().map(|(name, value)| format!("{name}={value}")));
    argv.extend(command.argv.iter().cloned());
    argv
}

/// What a command did: its events, and how it ends when nobody wants it any more.
pub(super) fn attend(
    busy: Busy,
    started: Started,
    command: &Command,
    no: String,
    deadline: Instant,
    ended: impl FnOnce(Arc<Held>) + Send + 'static,
) -> CommandStream {
    let (events, given) = mpsc::unbounded_channel();
    let (stdin, most) = (command.stdin.clone(), command.output);
    let folder = command.folder.clone();
    let program = command.argv.first().cloned().unwrap_or_default();
    tokio::spawn(async move {
        let held = Arc::clone(&busy.0);
        let mut told = Telling { events: &events, left: most, cut: false, last_error: Vec::new() };
        let outcome = tokio::select! {
            biased;
            () = events.closed() => None,
            () = tokio::time::sleep_until(deadline) => Some(None),
            outcome = told.through(&held, started, stdin) => Some(Some(outcome)),
            () = held.ends_untold() => Some(Some(Err(self::ended()))),
        };
        let failed = matches!(outcome, Some(Some(Err(_))));
        let out_of_memory = failed && ran_out_of_memory(&held).await;
        let last = match outcome {
            Some(Some(Ok(code))) => {
                let done = Done { code, cut: told.cut, last_error: told.last_error };
                done.verdict(&held, &no, &program, &folder).await
            }
            Some(Some(Err(error))) if !out_of_memory => Err(error),
            // Nobody wants it, its time is over, or the kernel has ended the box with it.
            _ => {
                let over = held.end().await;
                ended(Arc::clone(&held));
                let exit = if out_of_memory { Exit::Memory } else { Exit::Time };
                over.map(|()| Ended::new(exit).cut(told.cut))
            }
        };
        drop(busy);
        // Whoever is gone needs no answer.
        let _ = events.send(last.map(CommandEvent::Ended));
    });
    CommandStream::new(stream::unfold(given, |mut given| async move {
        given.recv().await.map(|event| (event, given))
    }))
}

/// Tells what a command puts out.
struct Telling<'a> {
    events: &'a mpsc::UnboundedSender<Result<CommandEvent>>,
    left: u64,
    cut: bool,
    /// The end of its standard error, of which the last word may be that it did not start.
    last_error: Vec<u8>,
}

/// A command whose output has ended.
struct Done {
    code: i64,
    cut: bool,
    last_error: Vec<u8>,
}

impl Telling<'_> {
    /// Tells everything until the command has ended, and gives its exit code.
    async fn through(&mut self, held: &Held, mut started: Started, stdin: Bytes) -> Result<i64> {
        let mut input = started.input;
        let fed = async move {
            // A program need not read what it is given.
            let _ = input.write_all(&stdin).await;
            let _ = input.shutdown().await;
            // Closed, it would end the output too.
            std::future::pending::<()>().await
        };
        let mut fed = std::pin::pin!(fed);
        loop {
            let next = tokio::select! {
                biased;
                next = started.output.next() => next,
                () = &mut fed => continue,
            };
            match next {
                None => break,
                Some(Ok(LogOutput::StdErr { message })) => self.error(message),
                Some(Ok(other)) => self.give(other.into_bytes(), CommandEvent::Stdout),
                Some(Err(error)) => return Err(fault(error)),
            }
        }
        exit_code(held, &started.id).await
    }

    fn error(&mut self, message: Bytes) {
        if message.len() <= LAST_WORD {
            self.last_error = message.to_vec();
        }
        self.give(message, CommandEvent::Stderr);
    }

    fn give(&mut self, bytes: Bytes, event: fn(Bytes) -> CommandEvent) {
        let given = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        self.cut |= given < bytes.len();
        self.left -= given as u64;
        if given > 0 {
            // Whoever is gone is noticed by `closed`.
            let _ = self.events.send(Ok(event(bytes.slice(..given))));
        }
    }
}

/// More than the longest last word of [`ENTER`].
const LAST_WORD: usize = 64;

impl Done {
    async fn verdict(
        self,
        held: &Arc<Held>,
        no: &str,
        program: &str,
        folder: &SandboxPath,
    ) -> Result<Ended> {
        if self.code == 127 {
            let said = String::from_utf8_lossy(&self.last_error);
            let missing = match said.strip_prefix(no) {
                Some(" folder") => Some(format!("there is no folder {folder} in the box")),
                Some(" program") => Some(format!("there is no program {program:?} in the box")),
                _ => None,
            };
            if let Some(text) = missing {
                return Err(Error::new(ErrorKind::NotFound, text.clone()).with_public(text));
            }
        }
        let exit = match i32::try_from(self.code) {
            Ok(code) if KILLED.contains(&code) && ran_out_of_memory(held).await => Exit::Memory,
            Ok(code) => Exit::Code(code),
            Err(_) => return Err(Error::internal("an exit code is out of range")),
        };
        Ok(Ended::new(exit).cut(self.cut))
    }
}

/// The exit code of a process whose output has ended.
async fn exit_code(held: &Held, exec: &str) -> Result<i64> {
    let deadline = Instant::now() + AFTER;
    let mut pause = Duration::from_millis(1);
    loop {
        let seen = held.docker.inspect_exec(exec).await.map_err(|error| match fault(error) {
            // The box was ended, and its commands are forgotten with it.
            gone if gone.kind() == ErrorKind::NotFound => ended(),
            other => other,
        })?;
        match (seen.running, seen.exit_code) {
            // The engine says why in place of the program's output.
            (Some(false), Some(code)) if code != 0 && seen.pid == Some(0) => return Err(ended()),
            (Some(false), Some(code)) => return Ok(code),
            _ if Instant::now() >= deadline => return Err(ended()),
            _ => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// The box was ended while something ran in it.
pub(super) fn ended() -> Error {
    let text = "the box was ended while a command ran in it; its files are gone";
    Error::new(ErrorKind::Unavailable, text).with_public(text)
}

/// Whether the engine saw the box run out of memory since it was last asked.
async fn ran_out_of_memory(held: &Held) -> bool {
    let filters = [
        ("container".to_owned(), vec![held.id.clone()]),
        ("event".to_owned(), vec!["oom".to_owned()]),
    ];
    let untold = held.untold.load(Ordering::Acquire);
    let since = format!("{}.{:09}", untold / NANOS, untold % NANOS);
    let options = EventsOptionsBuilder::new().since(&since).filters(&filters.into()).build();
    let mut events = std::pin::pin!(held.docker.events(Some(options)));
    let (mut seen, mut patience) = (false, OOM_PATIENCE);
    // Several processes may have been ended for one lack.
    while let Ok(Some(Ok(event))) = tokio::time::timeout(patience, events.next()).await {
        held.untold.fetch_max(event.time_nano.unwrap_or_default() + 1, Ordering::AcqRel);
        (seen, patience) = (true, OOM_MORE);
    }
    seen
}

/// A program's whole output, of which at most `most` bytes are taken.
pub(super) struct Whole {
    pub(super) code: i64,
    pub(super) stdout: Bytes,
    pub(super) stderr: Bytes,
    pub(super) cut: bool,
}

/// Runs a program of our own to its end.
pub(super) async fn whole(
    held: &Held,
    argv: Vec<String>,
    stdin: Bytes,
    most: u64,
) -> Result<Whole> {
    let started = start(held, argv).await?;
    let (events, mut given) = mpsc::unbounded_channel();
    let mut telling = Telling { events: &events, left: most, cut: false, last_error: Vec::new() };
    let code = telling.through(held, started, stdin).await?;
    let cut = telling.cut;
    drop(events);
    let (mut stdout, mut stderr) = (BytesMut::new(), BytesMut::new());
    while let Some(event) = given.recv().await {
        match event? {
            CommandEvent::Stdout(bytes) => stdout.extend_from_slice(&bytes),
            CommandEvent::Stderr(bytes) => stderr.extend_from_slice(&bytes),
            _ => {}
        }
    }
    Ok(Whole { code, stdout: stdout.freeze(), stderr: stderr.freeze(), cut })
}
