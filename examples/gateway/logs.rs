//! The log: readable or JSON, without the secrets that the configuration names.
//!
//! Nothing in the gateway writes a secret on purpose. This is the net below: a service that repeats a
//! key in its error, a library that logs an address with a token in it.

use std::{
    io::{self, Write},
    sync::{Arc, PoisonError, RwLock},
};

use openclaw_core::{secret::Secret, server::LogTail};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::arguments::Logs;

/// What is written in place of a secret.
const REDACTED: &str = "[redacted]";
/// What is shorter is part of too many words.
const SHORTEST: usize = 6;

/// The secrets that must not be in the log.
#[derive(Default)]
pub(crate) struct Redactions(RwLock<Vec<Secret>>);

impl Redactions {
    /// Adds secrets.
    pub(crate) fn add(&self, secrets: impl IntoIterator<Item = Secret>) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for secret in secrets {
            let long = secret.expose().len() >= SHORTEST;
            if long && !known.iter().any(|other| other.expose() == secret.expose()) {
                known.push(secret);
            }
        }
        // The longer first: one may hold another.
        known.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
    }

    fn redact(&self, line: &str) -> String {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().fold(line.to_owned(), |line, secret| line.replace(secret.expose(), REDACTED))
    }
}

/// Starts the log, on standard error and in `tail`.
pub(crate) fn start(form: Logs, redactions: &Arc<Redactions>, tail: &LogTail) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(To(redactions.clone(), tail.clone()));
    match form {
        Logs::Readable => log.init(),
        Logs::Json => log.json().init(),
    }
}

/// Writes to standard error what is left of an event without secrets.
struct To(Arc<Redactions>, LogTail);

/// One event; it is written whole when it is dropped.
struct Line<'a> {
    redactions: &'a Redactions,
    tail: &'a LogTail,
    text: Vec<u8>,
}

impl<'a> MakeWriter<'a> for To {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { redactions: &self.0, tail: &self.1, text: Vec::new() }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let text = self.redactions.redact(&String::from_utf8_lossy(&self.text));
        text.lines().for_each(|line| self.tail.push(line));
        // A log that cannot be written has nobody to be told to.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }
}
