//! Files that come with a message.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

use crate::{
    message::{Content, Media, MediaSource},
    protocol::WireError,
    server::state::Server,
    session::keep_file,
};

/// How many files a message can have.
const MAX_FILES: usize = 8;

/// A file of a message.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Attachment {
    mime_type: Option<String>,
    file_name: Option<String>,
    /// In base64.
    content: Option<String>,
}

/// Pictures and files that come with a message.
pub(super) fn files(
    method: &str,
    attachments: Option<Vec<Attachment>>,
) -> Result<Vec<Content>, WireError> {
    let invalid = |why: &str| {
        Err(WireError::invalid(format!("invalid {method} params: at /attachments: {why}")))
    };
    let attachments = attachments.unwrap_or_default();
    if attachments.len() > MAX_FILES {
        return invalid("there can be at most 8");
    }
    let mut files = Vec::with_capacity(attachments.len());
    for Attachment { mime_type, file_name, content } in attachments {
        let (Some(mime), Some(base64)) = (mime_type.filter(|mime| !mime.is_empty()), content)
        else {
            return invalid("each has mimeType and content");
        };
        let Ok(bytes) = STANDARD.decode(&base64) else { return invalid("content is base64") };
        let size = u64::try_from(bytes.len()).ok();
        let source = MediaSource::Inline { base64 };
        files.push(Content::Media(Media { mime, source, name: file_name, bytes: size }));
    }
    Ok(files)
}

/// The file out of the message, where there is a place for files.
pub(super) async fn kept(server: &Server, file: Content) -> Result<Content, WireError> {
    let Content::Media(mut media) = file else { return Ok(file) };
    let hub = &server.handle.hub;
    if let (Some(blobs), MediaSource::Inline { base64 }) = (hub.blobs.as_deref(), &media.source) {
        let bytes =
            STANDARD.decode(base64).map_err(|_| WireError::invalid("a file is no base64"))?;
        let id = keep_file(blobs, &hub.faults, bytes.into()).await.map_err(WireError::from)?;
        media.source = MediaSource::Blob { id };
    }
    Ok(Content::Media(media))
}
