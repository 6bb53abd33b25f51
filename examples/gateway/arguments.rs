//! The command line.

use std::{ffi::OsString, path::PathBuf};

use lexopt::{Arg, ValueExt as _};

pub(crate) const HELP: &str = "\
usage: gateway [--config FILE] [--check | --schema] [--listen ADDRESS] [--logs readable|json]

  --config FILE     the configuration; without it, what the environment names
  --check           say what is wrong with it, credentials included, and stop
  --schema          print the JSON Schema of the configuration
  --listen ADDRESS  open the doors there, in place of where the configuration says; without a
                    \"server\" in it they take webhooks, /health and /ready alone
  --logs FORM       readable (default) or json; RUST_LOG says how much
  --help            this text

SIGTERM and SIGINT stop it after running turns; SIGHUP reads the configuration again.";

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Run,
    Check,
    Schema,
    Help,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Logs {
    Readable,
    Json,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) task: Task,
    pub(crate) config: Option<PathBuf>,
    pub(crate) listen: Option<String>,
    pub(crate) logs: Logs,
}

impl Arguments {
    pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, lexopt::Error> {
        let mut new = Self { task: Task::Run, config: None, listen: None, logs: Logs::Readable };
        let mut parser = lexopt::Parser::from_args(words);
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("config") | Arg::Short('c') => {
                    new.config = Some(parser.value()?.into());
                }
                Arg::Long("check") => new.task = Task::Check,
                Arg::Long("schema") => new.task = Task::Schema,
                Arg::Long("help") | Arg::Short('h') => new.task = Task::Help,
                Arg::Long("listen") => new.listen = Some(parser.value()?.string()?),
                Arg::Long("logs") => {
                    new.logs = parser.value()?.parse_with(|form| match form {
                        "readable" => Ok(Logs::Readable),
                        "json" => Ok(Logs::Json),
                        _ => Err("expected readable or json"),
                    })?;
                }
                other => return Err(other.unexpected()),
            }
        }
        Ok(new)
    }
}
