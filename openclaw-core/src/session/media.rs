//! Files: fetched from their platforms, kept as blobs, shown to the model.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;

use super::{Input, run::Run};
use crate::{
    blobs::{BlobId, Blobs},
    error::{Error, ErrorKind, Result},
    fault::{Act, Faults},
    gateway::Hub,
    id::AccountId,
    message::{Content, Media, MediaSource, Message, Part},
    policy::envelope,
    turn::Session,
};

/// The largest file that is taken in, in bytes.
pub const MAX_MEDIA_BYTES: u64 = 20 << 20;
/// How long fetching one file from its platform may take.
pub const MEDIA_TIMEOUT: Duration = Duration::from_secs(60);
/// How many bytes of files the model is shown at once; of more it is shown the newest.
pub const MAX_SHOWN_BYTES: u64 = 10 << 20;
/// How much of a text file the model is shown, in bytes.
pub const MAX_SHOWN_TEXT_BYTES: usize = 64 * 1024;

/// The pictures that all models with eyes can read.
const PICTURES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

impl Run<'_> {
    /// Reads the files that the next request shows the model.
    pub(super) async fn read_files(&mut self) {
        if let Some(blobs) = self.hub.blobs.as_deref() {
            self.files.read(&self.session, blobs, self.agent.agent.images).await;
        }
    }

    /// Fetches the files of the messages that wait, before one of them is worked on. What cannot be
    /// had becomes a word that says so.
    pub(super) async fn fetch_waiting(&mut self) {
        let (hub, cancel) = (self.hub, self.cancel.clone());
        let account = self.key.conversation().account.clone();
        for waiting in &mut self.waiting {
            let Input::Message { inbound, .. } = &mut waiting.input else { continue };
            for content in inbound.content.iter_mut().chain(&mut inbound.quoted) {
                let Content::Media(media) = content else { continue };
                let taken = tokio::select! {
                    biased;
                    () = cancel.cancelled() => Err(Error::new(ErrorKind::Cancelled, "stopped")),
                    taken = tokio::time::timeout(MEDIA_TIMEOUT, take_in(hub, &account, media)) => {
                        taken.unwrap_or_else(|_| Err(Error::new(
                            ErrorKind::Timeout,
                            format!("the file did not come within {} s", MEDIA_TIMEOUT.as_secs()),
                        )))
                    }
                };
                if let Err(error) = taken {
                    tracing::warn!(session = %self.key, error = ?error, "a file could not be taken in");
                    let why = error.public_text();
                    *content = Content::text(format!("({}: not to be had: {why})", named(media)));
                }
            }
        }
    }
}

/// Brings the bytes of a file that has just come in under the gateway's own roof.
async fn take_in(hub: &Hub, account: &AccountId, media: &mut Media) -> Result<()> {
    let MediaSource::Remote { handle } = &media.source else {
        return keep_inline(hub.blobs.as_deref(), &hub.faults, media).await;
    };
    let Some(blobs) = &hub.blobs else {
        return Err(Error::new(ErrorKind::Unsupported, "the store keeps no blobs")
            .with_public("there is no place to keep files"));
    };
    let plan = hub.plan();
    let fetch = plan.channels.get(account).and_then(|channel| channel.extras().fetch_media);
    let Some(fetch) = fetch else {
        return Err(Error::new(ErrorKind::Unsupported, "the channel does not fetch files"));
    };
    let cx = hub.channel_context(account);
    let mut tries = 0;
    let bytes = loop {
        tries += 1;
        match fetch.fetch_media(&cx, handle, MAX_MEDIA_BYTES).await {
            Ok(bytes) => break bytes,
            Err(error) if error.is_transient() && tries < 3 => {
                tokio::time::sleep(Duration::from_secs(tries)).await;
            }
            Err(error) => return Err(error),
        }
    };
    stored(blobs.as_ref(), &hub.faults, media, bytes).await
}

/// Keeps a file.
pub(crate) async fn keep_file(blobs: &dyn Blobs, faults: &Faults, bytes: Bytes) -> Result<BlobId> {
    faults.around(Act::KeepFile, blobs.put(bytes)).await
}

async fn stored(blobs: &dyn Blobs, faults: &Faults, media: &mut Media, bytes: Bytes) -> Result<()> {
    media.bytes = Some(bytes.len() as u64);
    let id = keep_file(blobs, faults, bytes).await?;
    media.source = MediaSource::Blob { id };
    Ok(())
}

/// Moves the bytes of inline media out of the message. Without blobs they stay where they are.
async fn keep_inline(blobs: Option<&dyn Blobs>, faults: &Faults, media: &mut Media) -> Result<()> {
    let (MediaSource::Inline { .. }, Some(blobs)) = (&media.source, blobs) else { return Ok(()) };
    let bytes = media.source.read(None).await?;
    stored(blobs, faults, media, bytes).await
}

/// Moves the inline media of what a tool made out of the result.
pub(super) async fn keep_all<'a>(
    blobs: Option<&dyn Blobs>,
    faults: &Faults,
    made: impl Iterator<Item = &'a mut Content>,
) {
    for content in made {
        let Content::Media(media) = content else { continue };
        if let Err(error) = keep_inline(blobs, faults, media).await {
            tracing::warn!(error = ?error, "a file that a tool made could not be kept");
            let why = error.public_text();
            *content = Content::text(format!("({}: could not be kept: {why})", named(media)));
        }
    }
}

/// What kind of file it is. Its name is not said: somebody else chose it.
fn named(media: &Media) -> String {
    format!("a file of type {}", envelope::clean(&media.mime))
}

/// A file as the model is shown it.
#[derive(Clone)]
pub(super) enum Shown {
    /// A picture; its bytes in base64.
    Picture(Arc<str>),
    /// A text file, or its beginning.
    Text(Arc<str>),
}

/// The files that the model is shown, as far as they were read.
#[derive(Default)]
pub(super) struct Files(HashMap<BlobId, Shown>);

impl Files {
    /// The file as the model is shown it; `None` if it is only told of it.
    pub(super) fn shown(&self, media: &Media) -> Option<&Shown> {
        match &media.source {
            MediaSource::Blob { id } => self.0.get(id),
            _ => None,
        }
    }

    /// Reads what the history of `session` has, newest first, as far as there is room; forgets the
    /// rest.
    pub(super) async fn read(&mut self, session: &Session, blobs: &dyn Blobs, pictures: bool) {
        let mut room = MAX_SHOWN_BYTES;
        let mut wanted = HashSet::new();
        let parts = session.history().iter().rev().flat_map(|message| parts(message).iter().rev());
        for media in parts.filter_map(|part| match &part.content {
            Content::Media(media) => Some(media),
            _ => None,
        }) {
            let MediaSource::Blob { id } = &media.source else { continue };
            let text = is_text(&media.mime);
            let picture = pictures && PICTURES.contains(&media.mime.as_str());
            if !(text || picture) || wanted.contains(id) {
                continue;
            }
            let bytes = media.bytes.unwrap_or(0);
            if bytes > room {
                break;
            }
            room -= bytes;
            wanted.insert(id.clone());
            if self.0.contains_key(id) {
                continue;
            }
            match blobs.get(id).await {
                Ok(bytes) => {
                    let shown = if text { beginning(&bytes) } else { picture_of(&bytes) };
                    self.0.insert(id.clone(), shown);
                }
                // The model is told that there is a file, and not what is in it.
                Err(error) => tracing::warn!(error = ?error, "a file cannot be shown to the model"),
            }
        }
        self.0.retain(|id, _| wanted.contains(id));
    }
}

fn picture_of(bytes: &[u8]) -> Shown {
    Shown::Picture(BASE64.encode(bytes).into())
}

fn beginning(bytes: &[u8]) -> Shown {
    let text = String::from_utf8_lossy(bytes);
    let end = text.floor_char_boundary(MAX_SHOWN_TEXT_BYTES);
    let rest = text.len() - end;
    let shown = text.get(..end).unwrap_or_default();
    Shown::Text(if rest == 0 {
        shown.into()
    } else {
        format!("{shown}\n(left out: {rest} more bytes)").into()
    })
}

fn is_text(mime: &str) -> bool {
    let essence = mime.split(';').next().unwrap_or_default().trim();
    essence.starts_with("text/") || matches!(essence, "application/json" | "application/xml")
}

fn parts(message: &Message) -> &[Part] {
    match message {
        Message::User { parts, .. } | Message::Tool { parts, .. } | Message::Note { parts } => {
            parts
        }
        Message::Assistant { .. } => &[],
    }
}
