//! The log: readable or JSON, without the secrets that the configuration names.
//!
//! Nothing in the gateway writes a secret on purpose. This is the net below: a service that repeats a
//! key in its error, a library that logs an address with a token in it.

use std::{
    io::{self, Write},
    sync::{Arc, PoisonError, RwLock},
};

use openclaw_core::{secret::Secret, serde_json, server::LogTail};
use tracing_subscriber::{
    EnvFilter, Layer, Registry, fmt::MakeWriter, layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use super::arguments::Logs;

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
        for secret in secrets.into_iter().filter(|secret| secret.expose().len() >= SHORTEST) {
            for form in forms(secret.expose()) {
                // Whatever the form: nothing is replaced by nothing.
                if form.len() >= SHORTEST && !known.iter().any(|other| other.expose() == form) {
                    known.push(Secret::new(form));
                }
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

/// The forms in which a secret can be written: as it is, with quotation marks and the like escaped as
/// `Debug` or JSON does it, and both, as where JSON holds what `Debug` wrote.
fn forms(secret: &str) -> [String; 4] {
    let inner = |quoted: &str| {
        let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        inner.unwrap_or_default().to_owned()
    };
    let json = |text: &str| inner(&serde_json::to_string(text).unwrap_or_default());
    let debug = inner(&format!("{secret:?}"));
    [secret.to_owned(), json(secret), json(&debug), debug]
}

/// Starts the log, on standard error and in `tail`; and beside it hands spans to `spans`.
pub(crate) fn start(form: Logs, redactions: &Arc<Redactions>, tail: &LogTail, spans: Spans) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt::layer().with_writer(To(redactions.clone(), tail.clone()));
    let log = match form {
        Logs::Readable => log.boxed(),
        Logs::Json => log.json().boxed(),
    };
    tracing_subscriber::registry().with(spans).with(log.with_filter(filter)).init();
}

/// What takes spans, if anything does.
pub(crate) type Spans = Option<Box<dyn Layer<Registry> + Send + Sync>>;

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

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written of a line, if `secrets` must not be.
    fn written(secrets: &[&str], line: &str) -> String {
        let redactions = Redactions::default();
        redactions.add(secrets.iter().map(|secret| Secret::new(*secret)));
        redactions.redact(line)
    }

    #[test]
    fn secrets_are_replaced_in_whatever_form() {
        let table = [
            ("the key sk-4711 is wrong", "the key [redacted] is wrong"),
            ("twice: sk-4711sk-4711", "twice: [redacted][redacted]"),
            (r#"as it is: a"b\c-key"#, "as it is: [redacted]"),
            (r#"{"why":"a\"b\\c-key"}"#, r#"{"why":"[redacted]"}"#),
            (r#"{"why":"Error(\"a\\\"b\\\\c-key\")"}"#, r#"{"why":"Error(\"[redacted]\")"}"#),
            ("no secret", "no secret"),
        ];
        for (line, expected) in table {
            assert_eq!(written(&["sk-4711", r#"a"b\c-key"#], line), expected);
        }
        assert_eq!(written(&["line\nbreak"], r#"{"a":"line\nbreak"}"#), r#"{"a":"[redacted]"}"#);
    }

    #[test]
    fn the_longer_secret_goes_first_and_short_words_stay() {
        assert_eq!(written(&["secret", "secret-longer"], "a secret-longer b"), "a [redacted] b");
        assert_eq!(written(&["a", "", "key"], "a key"), "a key");
    }
}
