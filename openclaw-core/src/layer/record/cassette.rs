//! The file of recordings.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::PathBuf,
    time::Duration,
};

use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    error::{Error, ErrorKind, Result, Retry},
    provider::{CompletionEvent, CompletionStream},
};

/// How many differences a mismatch shows.
const MAX_DIFFERENCES: usize = 8;
/// How much of a value a difference shows, in characters.
const MAX_VALUE_CHARS: usize = 120;

/// One recorded completion.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Take {
    pub(super) request: Value,
    /// `None` if the provider refused and there was no stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) events: Option<Vec<CompletionEvent>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<RecordedError>,
}

impl Take {
    /// The completion as it came.
    pub(super) fn replay(self) -> Result<CompletionStream> {
        match (self.events, self.error) {
            (None, Some(error)) => Err(error.into()),
            (events, error) => {
                let events = events.unwrap_or_default().into_iter().map(Ok);
                let end = error.map(|error| Err(error.into()));
                Ok(CompletionStream::new(stream::iter(events.chain(end))))
            }
        }
    }
}

/// An error as far as it can be written down.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordedError {
    kind: ErrorKind,
    message: String,
    public: String,
    #[serde(default, skip_serializing_if = "is_false")]
    backoff: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

impl From<&Error> for RecordedError {
    fn from(error: &Error) -> Self {
        let retry_after_ms = match error.retry() {
            Retry::After(pause) => Some(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)),
            _ => None,
        };
        Self {
            kind: error.kind(),
            message: error.to_string(),
            public: error.public_text().to_owned(),
            backoff: error.retry() == Retry::Backoff,
            retry_after_ms,
        }
    }
}

impl From<RecordedError> for Error {
    fn from(recorded: RecordedError) -> Self {
        let retry = match recorded.retry_after_ms {
            Some(millis) => Retry::After(Duration::from_millis(millis)),
            None if recorded.backoff => Retry::Backoff,
            None => Retry::Never,
        };
        Self::new(recorded.kind, recorded.message).with_public(recorded.public).with_retry(retry)
    }
}

/// What a request finds.
pub(super) enum Taken {
    Found(Take),
    /// Nothing; the error shows the nearest recording.
    Missing(Error),
}

/// The recordings of one file; each is taken once.
pub(super) struct Cassette {
    path: PathBuf,
    file: Option<File>,
    takes: Vec<(Take, bool)>,
}

impl Cassette {
    /// An empty one, also if the file was there.
    pub(super) fn create(path: PathBuf) -> Result<Self> {
        let file = File::create(&path).map_err(|error| unusable(&path, error))?;
        Ok(Self { path, file: Some(file), takes: Vec::new() })
    }

    /// What the file holds. A missing file is an error if `required`, else an empty cassette.
    pub(super) fn read(path: PathBuf, required: bool) -> Result<Self> {
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => {
                String::new()
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let text = format!("there is no cassette at {}: record it first", path.display());
                return Err(Error::new(ErrorKind::NotFound, text));
            }
            Err(error) => return Err(unusable(&path, error)),
        };
        let mut takes = Vec::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let take = serde_json::from_str(line).map_err(|error| {
                Error::wrap(ErrorKind::InvalidData, error)
                    .with("cassette", path.display())
                    .with("line", index + 1)
                    .with("expected", "{\"request\": …, \"events\": […], \"error\": …}")
            })?;
            takes.push((take, false));
        }
        Ok(Self { path, file: None, takes })
    }

    pub(super) fn unused(&self) -> usize {
        self.takes.iter().filter(|(_, used)| !used).count()
    }

    /// The first unused recording of exactly this request.
    pub(super) fn take(&mut self, asked: &Value) -> Taken {
        match self.takes.iter_mut().find(|(take, used)| !used && take.request == *asked) {
            Some((take, used)) => {
                *used = true;
                Taken::Found(take.clone())
            }
            None => Taken::Missing(self.mismatch(asked)),
        }
    }

    /// Appends a line. It is not among what can be taken: a request that comes again is asked again.
    pub(super) fn append(&mut self, line: &Value) -> Result<()> {
        let text = format!("{line}\n");
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(
                OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(&self.path)
                    .map_err(|error| unusable(&self.path, error))?,
            ),
        };
        file.write_all(text.as_bytes()).map_err(|error| unusable(&self.path, error))
    }

    fn mismatch(&self, asked: &Value) -> Error {
        let nearest = self
            .takes
            .iter()
            .map(|(take, used)| {
                let mut found = Vec::new();
                differences("request", &take.request, asked, &mut found);
                (found, *used)
            })
            .min_by_key(|(found, used)| (found.len(), *used));
        let text = match nearest {
            None => "the cassette is empty".to_owned(),
            Some((found, _)) if found.is_empty() => {
                "every recording of this very request was replayed already".to_owned()
            }
            Some((found, _)) => {
                let more = found.len().saturating_sub(MAX_DIFFERENCES);
                let shown: Vec<String> = found.into_iter().take(MAX_DIFFERENCES).collect();
                let more = if more > 0 { format!("\n  and {more} more") } else { String::new() };
                format!("the nearest recording differs:\n  {}{more}", shown.join("\n  "))
            }
        };
        Error::new(
            ErrorKind::NotFound,
            format!("no recording in {} fits the request; {text}", self.path.display()),
        )
    }
}

/// Adds a line for each place in which the two differ.
fn differences(at: &str, recorded: &Value, asked: &Value, found: &mut Vec<String>) {
    match (recorded, asked) {
        (Value::Object(recorded), Value::Object(asked)) => {
            for (name, value) in recorded {
                let other = asked.get(name).unwrap_or(&Value::Null);
                differences(&format!("{at}.{name}"), value, other, found);
            }
            for (name, value) in asked.iter().filter(|(name, _)| !recorded.contains_key(*name)) {
                differences(&format!("{at}.{name}"), &Value::Null, value, found);
            }
        }
        (Value::Array(recorded), Value::Array(asked)) => {
            for index in 0..recorded.len().max(asked.len()) {
                let one = recorded.get(index).unwrap_or(&Value::Null);
                let other = asked.get(index).unwrap_or(&Value::Null);
                differences(&format!("{at}[{index}]"), one, other, found);
            }
        }
        _ if recorded == asked => {}
        _ => found.push(format!("{at}: recorded {}, asked {}", shown(recorded), shown(asked))),
    }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MAX_VALUE_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

fn unusable(path: &std::path::Path, error: std::io::Error) -> Error {
    Error::wrap(ErrorKind::Unavailable, error).with("cassette", path.display())
}
