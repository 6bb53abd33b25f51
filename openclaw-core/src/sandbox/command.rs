//! What runs in a box, and what comes of it.

use std::{
    collections::BTreeMap,
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_core::stream::{BoxStream, Stream};
use futures_util::StreamExt as _;

use super::{DEFAULT_OUTPUT, DEFAULT_TIME, MAX_OUTPUT, MAX_TIME, SandboxCapabilities, SandboxPath};
use crate::error::{Error, ErrorKind, Result};

/// A command: a program and its arguments, which no shell reads.
///
/// ```
/// use std::time::Duration;
/// use openclaw_core::sandbox::Command;
///
/// let command = Command::new("python3").arg("-").stdin("print(6 * 7)").time(Duration::from_secs(5));
/// assert_eq!(command.argv, ["python3", "-"]);
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Command {
    /// The program, then its arguments.
    pub argv: Vec<String>,
    /// What it reads.
    pub stdin: Bytes,
    /// Its environment, beside what the sandbox sets.
    pub env: BTreeMap<String, String>,
    /// In which folder it starts; it must be there.
    pub folder: SandboxPath,
    /// How long it may run, from its start.
    pub time: Duration,
    /// How many bytes of output are given, of both streams together.
    pub output: u64,
}

impl Command {
    /// A program without arguments, for [`DEFAULT_TIME`] and [`DEFAULT_OUTPUT`].
    pub fn new(program: impl Into<String>) -> Self {
        Self {
            argv: vec![program.into()],
            stdin: Bytes::new(),
            env: BTreeMap::new(),
            folder: SandboxPath::root(),
            time: DEFAULT_TIME,
            output: DEFAULT_OUTPUT,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.argv.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.argv.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets what it reads.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Bytes>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Sets the folder in which it starts.
    #[must_use]
    pub fn folder(mut self, folder: SandboxPath) -> Self {
        self.folder = folder;
        self
    }

    /// Sets how long it may run.
    #[must_use]
    pub fn time(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// Sets how many bytes of output are given.
    #[must_use]
    pub fn output(mut self, bytes: u64) -> Self {
        self.output = bytes;
        self
    }

    /// Refuses a command that no sandbox with these capabilities runs.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] that says what was expected, and never repeats a value.
    pub fn check(&self, capabilities: &SandboxCapabilities) -> Result<()> {
        let refuse =
            |text: String| Err(Error::new(ErrorKind::InvalidInput, text.clone()).with_public(text));
        if self.argv.first().is_none_or(String::is_empty) {
            return refuse("the command is empty: expected a program".into());
        }
        let texts = self.argv.iter().chain(self.env.values());
        if texts.into_iter().any(|text| text.contains('\0')) {
            return refuse("an argument or a value of the environment has a NUL in it".into());
        }
        for name in self.env.keys() {
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty()
                || !name.chars().all(fits)
                || name.starts_with(|c: char| c.is_ascii_digit())
            {
                return refuse(format!(
                    "{name:?} is no name of an environment variable: expected letters, digits and \"_\""
                ));
            }
            if capabilities.environment.contains(name) {
                return refuse(format!(
                    "the environment variable {name} is set by the sandbox alone"
                ));
            }
        }
        if self.time.is_zero() || self.time > MAX_TIME {
            return refuse(format!(
                "the time is to be more than 0s and at most {}s",
                MAX_TIME.as_secs()
            ));
        }
        if self.output > MAX_OUTPUT {
            return refuse(format!("at most {MAX_OUTPUT} bytes of output can be given"));
        }
        Ok(())
    }
}

impl fmt::Debug for Command {
    /// Leaves out input, arguments and values: they may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("program", &self.argv.first())
            .field("args", &self.argv.len().saturating_sub(1))
            .field("env", &self.env.keys())
            .field("folder", &self.folder)
            .field("time", &self.time)
            .finish_non_exhaustive()
    }
}

/// What comes of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandEvent {
    /// More of its standard output; any bytes, cut anywhere, never empty.
    Stdout(Bytes),
    /// More of its standard error.
    Stderr(Bytes),
    /// It ended. Nothing follows.
    Ended(Ended),
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ended {
    /// How.
    pub exit: Exit,
    /// There was more output than the command was to give.
    pub cut: bool,
}

impl Ended {
    /// All of the output was given.
    pub fn new(exit: Exit) -> Self {
        Self { exit, cut: false }
    }

    /// Says whether there was more output.
    #[must_use]
    pub fn cut(mut self, cut: bool) -> Self {
        self.cut = cut;
        self
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exit {
    /// By itself, with this code; 128 + n if by signal n.
    Code(i32),
    /// It ran for longer than it might, and was ended with everything that it started.
    Time,
    /// It took more memory than it might.
    Memory,
}

impl Exit {
    /// True for code 0.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

/// A command as it runs. How the stream ends is its outcome:
///
/// | ends with | means |
/// |---|---|
/// | [`CommandEvent::Ended`] | it ended, so or so; nothing follows |
/// | an error | the sandbox failed; the command may have done anything |
/// | neither | the same; [`collect`](Self::collect) makes an error of it |
///
/// Dropping the stream ends the command and everything that it started.
pub struct CommandStream(BoxStream<'static, Result<CommandEvent>>);

impl CommandStream {
    /// Wraps a stream of events.
    pub fn new(stream: impl Stream<Item = Result<CommandEvent>> + Send + 'static) -> Self {
        Self(Box::pin(stream))
    }

    /// Waits for the end, with all output.
    ///
    /// # Errors
    /// The stream's own error, or [`ErrorKind::Unavailable`] if it ended without a last word.
    pub async fn collect(mut self) -> Result<Output> {
        let (mut stdout, mut stderr) = (BytesMut::new(), BytesMut::new());
        while let Some(event) = self.next().await {
            match event? {
                CommandEvent::Stdout(bytes) => stdout.extend_from_slice(&bytes),
                CommandEvent::Stderr(bytes) => stderr.extend_from_slice(&bytes),
                CommandEvent::Ended(ended) => {
                    return Ok(Output { stdout: stdout.freeze(), stderr: stderr.freeze(), ended });
                }
            }
        }
        Err(Error::new(ErrorKind::Unavailable, "the sandbox did not say how the command ended"))
    }
}

impl Stream for CommandStream {
    type Item = Result<CommandEvent>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

impl fmt::Debug for CommandStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CommandStream")
    }
}

/// All that came of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Output {
    /// Its standard output.
    pub stdout: Bytes,
    /// Its standard error.
    pub stderr: Bytes,
    /// How it ended.
    pub ended: Ended,
}

impl Output {
    /// The standard output as text; what is not UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::{super::SandboxKind, *};

    #[test]
    fn what_no_box_runs_is_refused_without_repeating_values() {
        let mut capabilities = SandboxCapabilities::new(SandboxKind::Docker);
        capabilities.environment = vec!["PATH".into()];
        let ok = Command::new("a").arg("$(b); c").env("A_1", "x");
        assert!(ok.check(&capabilities).is_ok());
        for bad in [
            Command::new(""),
            Command::new("a").arg("tok\0en"),
            Command::new("a").env("A", "tok\0en"),
            Command::new("a").env("", "token"),
            Command::new("a").env("A=B", "token"),
            Command::new("a").env("1A", "token"),
            Command::new("a").env("PATH", "token"),
            Command::new("a").time(Duration::ZERO),
            Command::new("a").time(MAX_TIME * 2),
            Command::new("a").output(MAX_OUTPUT + 1),
        ] {
            let error = bad.check(&capabilities).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bad:?}");
            assert!(!format!("{error} {error:?} {bad:?}").contains("tok"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_stream_without_a_last_word_is_no_outcome() {
        let said = [Ok(CommandEvent::Stdout("half".into()))];
        let error = CommandStream::new(stream::iter(said)).collect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    }
}
