//! Where lines come from.

use openclaw_core::{Error, ErrorKind, Result, error::ResultExt as _};
use rustyline::{Config as Editing, Editor, error::ReadlineError, history::DefaultHistory};
use tokio::{
    io::{AsyncBufRead, Lines},
    sync::mpsc,
};

use super::config::Config;

/// A source of lines.
pub(super) enum Source {
    /// A pipe or a file.
    Piped(Lines<Box<dyn AsyncBufRead + Send + Unpin>>),
    /// A person who types, on a thread of its own.
    Typed(mpsc::Receiver<Result<String>>),
}

impl Source {
    /// The next line; `None` at the end of input. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<String>> {
        match self {
            Self::Piped(lines) => lines.next_line().await.kind(ErrorKind::InvalidData),
            Self::Typed(lines) => lines.recv().await.transpose(),
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
    Ok((Source::Typed(typed), Box::new(printer)))
}
