//! What commands of a double do.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::sandbox::{Command, Exit, Limits};

/// A command, as its script sees it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CommandCall {
    /// The command.
    pub command: Command,
    /// The limits of its box.
    pub limits: Limits,
    /// Its whole environment.
    pub environment: BTreeMap<String, String>,
    pub(super) files: BTreeMap<String, Bytes>,
    pub(super) network: bool,
}

impl CommandCall {
    /// The argument with this index, from 0 on, or an empty text.
    pub fn arg(&self, index: usize) -> &str {
        self.command.argv.get(index + 1).map_or("", String::as_str)
    }

    /// Its input as text; empty if it is not UTF-8.
    pub fn stdin(&self) -> &str {
        std::str::from_utf8(&self.command.stdin).unwrap_or_default()
    }

    /// A file, seen from the folder in which the command started.
    pub fn file(&self, path: &str) -> Option<&Bytes> {
        self.files.get(&self.path(path))
    }

    pub(super) fn path(&self, path: &str) -> String {
        below(self.command.folder.as_str(), path)
    }
}

pub(super) fn below(folder: &str, path: &str) -> String {
    if folder.is_empty() { path.to_owned() } else { format!("{folder}/{path}") }
}

/// What a command does.
#[derive(Clone, Debug)]
#[must_use]
pub struct CommandScript {
    pub(super) stdout: Bytes,
    pub(super) stderr: Bytes,
    /// Links that lead out have no bytes.
    pub(super) files: Vec<(String, Option<Bytes>)>,
    pub(super) starts: usize,
    pub(super) end: End,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Exit(Exit),
    Never,
    /// Never, and prints all the while.
    Flood,
}

impl Default for CommandScript {
    fn default() -> Self {
        Self::new()
    }
}

impl CommandScript {
    /// Does nothing, with success.
    pub fn new() -> Self {
        let (stdout, stderr) = (Bytes::new(), Bytes::new());
        Self { stdout, stderr, files: Vec::new(), starts: 0, end: End::Exit(Exit::Code(0)) }
    }

    /// Prints, and ends with success.
    pub fn print(text: impl Into<Bytes>) -> Self {
        Self { stdout: text.into(), ..Self::new() }
    }

    /// Prints to standard error too.
    pub fn error(mut self, text: impl Into<Bytes>) -> Self {
        self.stderr = text.into();
        self
    }

    /// Writes a file.
    pub fn write(mut self, path: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        self.files.push((path.into(), Some(bytes.into())));
        self
    }

    /// Makes a link that leads out of the box.
    pub fn link_out(mut self, path: impl Into<String>) -> Self {
        self.files.push((path.into(), None));
        self
    }

    /// Starts so many processes that live on in the box.
    pub fn starts(mut self, processes: usize) -> Self {
        self.starts = processes;
        self
    }

    /// Ends with this code.
    pub fn exit(mut self, code: i32) -> Self {
        self.end = End::Exit(Exit::Code(code));
        self
    }

    /// Takes more memory than it may.
    pub fn out_of_memory(mut self) -> Self {
        self.end = End::Exit(Exit::Memory);
        self
    }

    /// Goes on until its time is over.
    pub fn never_ends(mut self) -> Self {
        self.end = End::Never;
        self
    }

    /// Prints what it prints again and again, until its time is over.
    pub fn floods(mut self) -> Self {
        self.end = End::Flood;
        self
    }
}
