//! Bodies of answers, whole and in frames, within limits.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use openclaw_core::{Error, ErrorKind, Result, Retry, http_client::Body, time::Cancel};

/// The longest answer that is not a stream, in bytes: lists of models, vectors and errors.
pub const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;

/// The longest event or line of a stream that is read, in bytes.
pub const MAX_EVENT_BYTES: usize = 4 * 1024 * 1024;

/// The longest stream that is read, in bytes on the wire.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// The body as one piece.
pub(super) async fn all(body: &mut Body) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk?);
        if bytes.len() > MAX_BODY_BYTES {
            return Err(Error::new(
                ErrorKind::InvalidData,
                format!("its answer is longer than {MAX_BODY_BYTES} bytes"),
            ));
        }
    }
    Ok(bytes)
}

/// What a stream is cut into: the data of events, or lines.
pub(crate) struct Frames {
    frames: BoxStream<'static, Result<String>>,
    cancel: Cancel,
}

impl Frames {
    /// The next frame, `None` at the end of the body.
    pub(crate) async fn next(&mut self) -> Result<Option<String>> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(cancelled()),
            frame = self.frames.next() => frame.transpose(),
        }
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }
}

/// The data of server-sent events that have some.
#[cfg(any(feature = "openai", feature = "anthropic"))]
pub(crate) fn events(body: Body, cancel: Cancel, idle: Duration) -> Frames {
    let pending = Arc::new(AtomicUsize::new(0));
    let limited = limited(body, idle, Arc::clone(&pending));
    let events = sse_stream::SseByteStream::new(limited);
    let frames = events.filter_map(move |event| {
        let frame = match event {
            Ok(event) => {
                pending.store(0, Ordering::Relaxed);
                event.data.filter(|data| !data.trim().is_empty()).map(Ok)
            }
            Err(error) => Some(Err(broken(error))),
        };
        std::future::ready(frame)
    });
    Frames { frames: frames.boxed(), cancel }
}

/// Lines that are not empty. What the body ends with counts as one.
#[cfg(feature = "ollama")]
pub(crate) fn lines(body: Body, cancel: Cancel, idle: Duration) -> Frames {
    use openclaw_core::bytes::BytesMut;

    let pending = Arc::new(AtomicUsize::new(0));
    let limited = limited(body, idle, Arc::clone(&pending));
    let state = Some((limited, BytesMut::new(), false));
    let frames = stream::try_unfold(state, move |state| {
        let pending = Arc::clone(&pending);
        async move {
            let Some((mut body, mut held, mut ended)) = state else { return Ok(None) };
            let mut looked_at = 0;
            loop {
                let unseen = held.get(looked_at..).unwrap_or_default();
                let line = match unseen.iter().position(|byte| *byte == b'\n') {
                    Some(at) => held.split_to(looked_at + at + 1),
                    None if ended => held.split(),
                    None => {
                        looked_at = held.len();
                        match body.next().await {
                            Some(chunk) => held.extend_from_slice(&chunk?),
                            None => ended = true,
                        }
                        continue;
                    }
                };
                pending.store(held.len(), Ordering::Relaxed);
                looked_at = 0;
                let Ok(text) = std::str::from_utf8(&line) else {
                    return Err(invalid("it sent what is not UTF-8"));
                };
                let text = text.trim().to_owned();
                match (text.is_empty(), ended && held.is_empty()) {
                    (true, true) => return Ok(None),
                    (true, false) => {}
                    (false, true) => return Ok(Some((text, None))),
                    (false, false) => return Ok(Some((text, Some((body, held, ended))))),
                }
            }
        }
    });
    Frames { frames: frames.boxed(), cancel }
}

/// The body, which fails when it is silent for too long or longer than the limits say. `pending` are
/// the bytes since the last whole frame.
fn limited(
    body: Body,
    idle: Duration,
    pending: Arc<AtomicUsize>,
) -> BoxStream<'static, Result<openclaw_core::bytes::Bytes>> {
    let mut total = 0_usize;
    let timed = stream::unfold(Some(body), move |body| async move {
        let mut body = body?;
        match tokio::time::timeout(idle, body.next()).await {
            Ok(chunk) => Some((chunk?, Some(body))),
            Err(_) => {
                let text = format!("it sent nothing for {} s", idle.as_secs_f32());
                Some((Err(Error::new(ErrorKind::Timeout, text)), None))
            }
        }
    });
    let limited = timed.map(move |chunk| {
        let chunk = chunk?;
        total = total.saturating_add(chunk.len());
        let event = pending.fetch_add(chunk.len(), Ordering::Relaxed).saturating_add(chunk.len());
        let (what, limit) = if event > MAX_EVENT_BYTES {
            ("event", MAX_EVENT_BYTES)
        } else if total > MAX_ANSWER_BYTES {
            ("answer", MAX_ANSWER_BYTES)
        } else {
            return Ok(chunk);
        };
        Err(invalid(format!("it sent an {what} of more than {limit} bytes")))
    });
    limited.boxed()
}

pub(crate) fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the completion was cancelled")
}

/// The model may do better the next time.
pub(crate) fn invalid(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidData, text).with_retry(Retry::Backoff)
}

#[cfg(any(feature = "openai", feature = "anthropic"))]
fn broken(error: sse_stream::Error) -> Error {
    match error {
        sse_stream::Error::Body(source) => match source.downcast::<Error>() {
            Ok(error) => *error,
            Err(other) => Error::wrap(ErrorKind::Unavailable, other),
        },
        other => invalid(format!("it sent what is no stream of events: {other}")),
    }
}
