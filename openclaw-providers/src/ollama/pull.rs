//! Fetching a model.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{
    Stream, StreamExt as _,
    stream::{self, BoxStream},
};
use openclaw_core::{Error, Result, serde_json};
use serde::Deserialize;

use super::failed;
use crate::service::{Frames, Service, invalid};

/// How far a model is fetched.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Progress {
    /// What is being done, in Ollama's words: `pulling manifest`, `pulling 6a0746a1ec1a`, …, `success`.
    pub status: String,
    /// The layer that is being fetched.
    pub digest: Option<String>,
    /// How large the layer is, in bytes.
    pub total: Option<u64>,
    /// How much of it is there, in bytes.
    pub completed: Option<u64>,
}

/// The progress of a model that is being fetched. It has ended well if the last item is no error:
/// a stream that is cut short ends with one. Dropping it stops fetching; what is there is kept, and
/// the next time goes on from it.
pub struct Pull(BoxStream<'static, Result<Progress>>);

impl Pull {
    pub(super) fn new(frames: Frames, service: Service, model: String) -> Self {
        let state = Some((frames, service, model));
        Self(
            stream::unfold(state, async |state| {
                let (mut frames, service, model) = state?;
                let next = match frames.next().await {
                    Ok(Some(line)) => read(&line, &service, &model),
                    Ok(None) => Err(invalid("it broke off fetching the model; fetch it again")),
                    Err(error) => Err(error),
                };
                match next {
                    Ok(progress) if progress.status == "success" => Some((Ok(progress), None)),
                    Ok(progress) => Some((Ok(progress), Some((frames, service, model)))),
                    Err(error) => Some((Err(service.name(error)), None)),
                }
            })
            .boxed(),
        )
    }

    /// Waits until the model is there.
    ///
    /// # Errors
    /// As the stream's last item.
    pub async fn finish(mut self) -> Result<()> {
        while let Some(progress) = self.next().await {
            progress?;
        }
        Ok(())
    }
}

fn read(line: &str, service: &Service, model: &str) -> Result<Progress> {
    #[derive(Deserialize)]
    struct Failure {
        error: Option<serde_json::Value>,
    }
    let malformed = |error| -> Error { invalid(format!("it sent no progress: {error}")) };
    let Failure { error } = serde_json::from_str(line).map_err(malformed)?;
    if error.is_some() {
        return Err(failed(line, service, model));
    }
    serde_json::from_str(line).map_err(malformed)
}

impl Stream for Pull {
    type Item = Result<Progress>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

impl fmt::Debug for Pull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pull")
    }
}
