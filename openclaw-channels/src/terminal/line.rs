//! Where lines come from.

use openclaw_core::{Error, ErrorKind, Result, error::ResultExt as _};
use rustyline::{Config as Editing, Editor, error::ReadlineError, history::DefaultHistory};
use tokio::{
    io::{AsyncBufRead, Split},
    sync::mpsc,
};

use super::config::Config;

/// A source of lines.
pub(super) enum Source {
    /// A pipe or a file.
    Piped(Split<Box<dyn AsyncBufRead + Send + Unpin>>),
    /// A person who types, on a thread of its own.
    Typed(mpsc::Receiver<Result<String>>, Mode),
}

impl Source {
    /// The next line; `None` at the end of input. What is not UTF-8 reads as replacement characters: a
    /// pipe does not give it again. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<String>> {
        match self {
            Self::Piped(lines) => {
                let line = lines.next_segment().await.kind(ErrorKind::Unavailable)?;
                let line = line.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                Ok(line.map(|line| line.trim_end_matches('\r').to_owned()))
            }
            Self::Typed(lines, _) => lines.recv().await.transpose(),
        }
    }

    /// Gives the terminal back as it was found, when dropped.
    pub(super) fn restoring(&self) -> Option<Restore> {
        match self {
            Self::Piped(_) => None,
            Self::Typed(_, mode) => Some(Restore(mode.clone())),
        }
    }
}

/// Starts the thread that edits lines. Its printer writes above the prompt.
///
/// The thread ends with the input, by Ctrl-C or Ctrl-D, or with the first line that nobody takes.
pub(super) fn typed(
    config: Config,
) -> Result<(Source, Box<dyn rustyline::ExternalPrinter + Send>)> {
    let editing = Editing::builder().auto_add_history(true).build();
    let mut editor: Editor<(), DefaultHistory> =
        Editor::with_config(editing).kind(ErrorKind::Unavailable)?;
    if let Some(path) = &config.history
        && path.exists()
    {
        editor.load_history(path).map_err(|error| {
            Error::wrap(ErrorKind::InvalidConfig, error).with("history", path.display())
        })?;
    }
    let printer = editor.create_external_printer().kind(ErrorKind::Unavailable)?;
    let mode = Mode::now();
    let (lines, typed) = mpsc::channel(16);
    let read = move || {
        loop {
            let line = match editor.readline(&config.prompt) {
                Ok(line) => Ok(line),
                Err(ReadlineError::Eof | ReadlineError::Interrupted) => break,
                Err(error) => Err(Error::wrap(ErrorKind::Unavailable, error)),
            };
            let failed = line.is_err();
            if lines.blocking_send(line).is_err() || failed {
                break;
            }
        }
        if let Some(path) = &config.history {
            // The person has gone; there is nobody to tell.
            let _ = editor.save_history(path);
        }
    };
    std::thread::Builder::new()
        .name("terminal".to_owned())
        .spawn(read)
        .kind(ErrorKind::Unavailable)?;
    Ok((Source::Typed(typed, mode), Box::new(printer)))
}

/// How the terminal stood before lines were edited.
#[derive(Clone)]
pub(super) struct Mode(#[cfg(unix)] Option<nix::sys::termios::Termios>);

impl Mode {
    fn now() -> Self {
        Self(
            #[cfg(unix)]
            nix::sys::termios::tcgetattr(std::io::stdin()).ok(),
        )
    }
}

/// The editing thread waits for a key and cannot be told to stop: without this, a channel that is
/// cancelled would leave a terminal behind that shows nothing of what is typed.
pub(super) struct Restore(Mode);

impl Drop for Restore {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(mode) = &self.0.0 {
            use nix::sys::termios::{SetArg, tcgetattr, tcsetattr};
            let stdin = std::io::stdin();
            if tcgetattr(&stdin).is_ok_and(|now| now != *mode) {
                // Nothing can be done if the terminal is gone.
                let _ = tcsetattr(&stdin, SetArg::TCSANOW, mode);
                // Bracketed paste off, and a fresh line after the prompt.
                let _ = std::io::Write::write_all(&mut std::io::stdout(), b"\x1b[?2004l\r\n");
            }
        }
    }
}
