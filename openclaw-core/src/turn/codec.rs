//! Entries as rows of a store: an envelope, and versioned JSON.

use sha2::{Digest as _, Sha256};

use super::Entry;
use crate::{
    error::{Error, ErrorKind, Result},
    id::Seq,
    store::LogRow,
    time::Timestamp,
};

/// The version of the encoding that [`encode`] writes. [`decode`] also reads all earlier ones.
pub const ENTRY_VERSION: u32 = 1;

#[derive(serde::Serialize)]
struct Versioned<'a> {
    v: u32,
    #[serde(flatten)]
    entry: &'a Entry,
}

/// Encodes an entry as a row.
///
/// # Errors
/// [`ErrorKind::Internal`] if it has no JSON form, as a number that is not finite.
pub fn encode(seq: Seq, at: Timestamp, entry: &Entry) -> Result<LogRow> {
    let payload = serde_json::to_string(&Versioned { v: ENTRY_VERSION, entry })
        .map_err(|e| Error::wrap(ErrorKind::Internal, e))?;
    Ok(LogRow {
        seq,
        kind: entry.kind().to_owned(),
        at,
        label: entry.label(),
        digest: crate::id::hex(&Sha256::digest(&payload), 32),
        payload: Some(payload),
    })
}

/// Reads an entry back; `None` if its payload was erased.
///
/// # Errors
/// [`ErrorKind::InvalidData`] if it was written by a newer version, is of an unknown kind, or is
/// damaged. The session must then not be worked on.
pub fn decode(row: &LogRow) -> Result<Option<Entry>> {
    let Some(payload) = &row.payload else { return Ok(None) };
    let bad = |why: String| {
        Error::new(
            ErrorKind::InvalidData,
            format!("log entry {} of kind {:?} cannot be read: {why}", row.seq, row.kind),
        )
    };
    if crate::id::hex(&Sha256::digest(payload), 32) != row.digest {
        return Err(bad("its digest does not match".into()));
    }
    #[derive(serde::Deserialize)]
    struct Version {
        v: u32,
    }
    let Version { v } = serde_json::from_str(payload).map_err(|e| bad(e.to_string()))?;
    if v != ENTRY_VERSION {
        return Err(bad(format!("it has version {v}, this program reads up to {ENTRY_VERSION}")));
    }
    serde_json::from_str(payload).map(Some).map_err(|e| bad(e.to_string()))
}

#[cfg(test)]
mod golden;
