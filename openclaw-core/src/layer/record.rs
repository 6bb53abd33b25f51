//! Real completions, recorded once and replayed ever after.

mod cassette;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use serde_json::Value;

use self::cassette::{Cassette, Take, Taken};
use super::{AroundStream, Layer, around_stream};
use crate::{
    error::{Error, ErrorKind, Result},
    provider::{CallContext, CompletionEvent, CompletionRequest, CompletionStream, Provider},
};

/// What a [`RecordLayer`] does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordMode {
    /// Asks the provider and records; the cassette starts anew.
    Record,
    /// Replays, and never asks the provider.
    Replay,
    /// Replays what is recorded, and asks and records the rest.
    Auto,
}

/// Records completions to a cassette, and replays them without a provider. For tests.
///
/// - The cassette is a file of JSON lines, each with a `request`, its `events` unless it was refused,
///   and the `error` that it ended with, if it did.
/// - Replay answers a request that is exactly equal to a recorded one; each recording answers once, in
///   order. Any other request is an error of kind `NotFound` that shows how the nearest recording
///   differs.
/// - Only what reached its end is recorded. A completion that was dropped on the way is not.
/// - Requests hold no credentials. What else must not be in the file is named with
///   [`secret`](Self::secret) and is written and compared as `[secret]`.
/// - The file is read when the layer is made and appended to while completions end, by blocking calls.
///
/// ```
/// use openclaw_core::{Result, layer::{RecordLayer, RecordMode}};
///
/// fn recorded() -> Result<RecordLayer> {
///     Ok(RecordLayer::open("tests/cassettes/greeting.jsonl", RecordMode::Replay)?.secret("Ada Lovelace"))
/// }
/// ```
#[derive(Clone)]
pub struct RecordLayer {
    mode: RecordMode,
    cassette: Arc<Mutex<Cassette>>,
    secrets: Vec<String>,
}

impl RecordLayer {
    /// Opens the cassette at `path`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is nothing to replay, [`ErrorKind::InvalidData`] that names the
    /// line that cannot be read, [`ErrorKind::Unavailable`] if the file cannot be read or written.
    pub fn open(path: impl Into<PathBuf>, mode: RecordMode) -> Result<Self> {
        let path = path.into();
        let cassette = match mode {
            RecordMode::Record => Cassette::create(path),
            RecordMode::Replay => Cassette::read(path, true),
            RecordMode::Auto => Cassette::read(path, false),
        }?;
        Ok(Self { mode, cassette: Arc::new(Mutex::new(cassette)), secrets: Vec::new() })
    }

    /// Keeps `text` out of the cassette; an empty text is ignored.
    #[must_use]
    pub fn secret(mut self, text: impl Into<String>) -> Self {
        self.secrets.push(text.into());
        self.secrets.retain(|secret| !secret.is_empty());
        // A secret that holds another one goes first.
        self.secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        self
    }

    /// The recordings that were not replayed yet. A test that ends with none used all of its cassette.
    pub fn unused(&self) -> usize {
        self.with_cassette(|cassette| cassette.unused())
    }

    fn with_cassette<T>(&self, f: impl FnOnce(&mut Cassette) -> T) -> T {
        f(&mut self.cassette.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The JSON of `value` without secrets.
    fn clean(&self, value: &impl serde::Serialize) -> Result<Value> {
        // By way of text, as replayed ones come: a number is then the same on both sides.
        let mut value = serde_json::to_string(value)
            .and_then(|text| serde_json::from_str(&text))
            .map_err(|error| Error::wrap(ErrorKind::Internal, error))?;
        self.scrub(&mut value);
        Ok(value)
    }

    fn scrub(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                for secret in &self.secrets {
                    if text.contains(secret) {
                        *text = text.replace(secret, "[secret]");
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.scrub(item)),
            Value::Object(map) => {
                *map = std::mem::take(map)
                    .into_iter()
                    .map(|(name, mut member)| {
                        let mut name = Value::String(name);
                        self.scrub(&mut name);
                        self.scrub(&mut member);
                        (name.as_str().unwrap_or_default().to_owned(), member)
                    })
                    .collect();
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Writes down a completion that reached its end.
    fn keep(&self, take: &Take) -> Result<()> {
        let line = self.clean(take)?;
        self.with_cassette(|cassette| cassette.append(&line))
    }
}

impl Layer<dyn Provider> for RecordLayer {
    fn layer(&self, inner: Arc<dyn Provider>) -> Arc<dyn Provider> {
        around_stream(inner, self.clone())
    }
}

/// A completion under way, and what came of it.
struct Recording {
    inner: CompletionStream,
    layer: RecordLayer,
    take: Take,
}

impl Recording {
    /// Passes one event on; the last one only once all is written down.
    async fn next(mut self) -> Option<(Result<CompletionEvent>, Option<Self>)> {
        let Some(next) = self.inner.next().await else {
            return match self.layer.keep(&self.take) {
                Ok(()) => None,
                Err(error) => Some((Err(error), None)),
            };
        };
        let ended = match &next {
            Ok(event) => {
                self.take.events.get_or_insert_default().push(event.clone());
                matches!(event, CompletionEvent::Finish { .. })
            }
            Err(error) => {
                self.take.error = Some(error.into());
                true
            }
        };
        if !ended {
            return Some((next, Some(self)));
        }
        let kept = self.layer.keep(&self.take);
        Some((kept.and(next), None))
    }
}

#[async_trait]
impl AroundStream for RecordLayer {
    async fn stream(
        &self,
        cx: &CallContext,
        request: &CompletionRequest,
        inner: &dyn Provider,
    ) -> Result<CompletionStream> {
        let asked = self.clean(request)?;
        if self.mode != RecordMode::Record {
            match self.with_cassette(|cassette| cassette.take(&asked)) {
                Taken::Found(take) => return take.replay(),
                Taken::Missing(_) if self.mode == RecordMode::Auto => {}
                Taken::Missing(error) => return Err(error),
            }
        }
        let mut take = Take { request: asked, events: None, error: None };
        match inner.stream(cx, request).await {
            Ok(inner) => {
                take.events = Some(Vec::new());
                let recording = Recording { inner, layer: self.clone(), take };
                Ok(CompletionStream::new(stream::unfold(Some(recording), |recording| async {
                    recording?.next().await
                })))
            }
            Err(error) => {
                take.error = Some((&error).into());
                self.keep(&take)?;
                Err(error)
            }
        }
    }
}
