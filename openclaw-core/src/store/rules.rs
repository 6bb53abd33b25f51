//! Rules that every store applies alike, kept in one place so that they cannot drift apart.

use std::time::Duration;

use super::{Lease, LeaseName, LogRow, OutboundId, OutboundState, RecordWrite};
use crate::{
    error::{Error, ErrorKind, Result},
    id::{Seq, SessionKey},
};

/// How long the key of an accepted input, and a settled outgoing row, is kept, at least.
pub const KEY_RETENTION: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The reason of a dead letter that had to make room for newer inputs of its session.
pub const DROPPED: &str = "the session had too many pending inputs; the oldest made room";

/// Checks that `after` is the end of the log and that `entries` follow it without a gap.
///
/// # Errors
/// [`ErrorKind::Conflict`] if the log ends elsewhere; [`ErrorKind::InvalidInput`] if the entries are
/// not consecutive.
pub fn check_entries(session: &SessionKey, end: Seq, after: Seq, entries: &[LogRow]) -> Result<()> {
    if end != after {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("the log ends at {end}, not at {after}; read it afresh"),
        )
        .with("session", session));
    }
    let mut expected = after;
    for entry in entries {
        expected = expected.next();
        if entry.seq != expected {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("entry {}: expected {expected}, entries must be consecutive", entry.seq),
            )
            .with("session", session));
        }
    }
    Ok(())
}

/// The error for an outgoing row that does not exist.
pub fn no_such_outbound(id: OutboundId) -> Error {
    Error::new(ErrorKind::NotFound, "no such outgoing row").with("row", id.0)
}

impl Lease {
    /// Checks that this is a lease of `session`.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] otherwise.
    pub fn check_is_for(&self, session: &SessionKey) -> Result<()> {
        match &self.name {
            LeaseName::Session(name) if name == session => Ok(()),
            other => Err(Error::new(
                ErrorKind::Conflict,
                format!("a lease of {other:?} gives no right to write to this session"),
            )
            .with("session", session)),
        }
    }
}

impl OutboundState {
    /// True while the row is still to be dealt with: pending or being sent.
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Pending | Self::Sending { .. })
    }
}

impl RecordWrite {
    /// Checks the version that this write names against the one `found`; 0 is an absent record.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if they differ.
    pub fn check_version(&self, found: u64) -> Result<()> {
        match self.expect {
            Some(expected) if expected != found => Err(Error::new(
                ErrorKind::Conflict,
                format!("the record has version {found}, not {expected}; read it afresh"),
            )
            .with("space", &self.key.space)
            .with("name", &self.key.name)),
            _ => Ok(()),
        }
    }
}
