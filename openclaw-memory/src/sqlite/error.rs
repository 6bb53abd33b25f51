//! What SQLite's errors mean here.

use openclaw_core::{Error, ErrorKind, Retry};
use rusqlite::ErrorCode;

/// Gives an error of SQLite its kind.
pub(super) fn failed(error: rusqlite::Error) -> Error {
    let kind = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => {
            return Error::new(
                ErrorKind::Exhausted,
                "the database or its disk is full; free space or raise its limit. Nothing that was accepted is lost",
            )
            .with_retry(Retry::Backoff);
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            return Error::new(
                ErrorKind::InvalidData,
                format!("the database is damaged: {error}; run doctor, restore a backup"),
            );
        }
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::OperationInterrupted,
        ) => ErrorKind::Unavailable,
        _ => ErrorKind::Internal,
    };
    Error::wrap(kind, error)
}

/// A stored value that cannot be read back.
pub(super) fn unreadable(what: &'static str, error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidData, format!("a stored {what} cannot be read: {error}"))
        .with("hint", "run doctor; restore a backup")
}

/// The store was closed, or its thread ended.
pub(super) fn closed() -> Error {
    Error::new(ErrorKind::Unavailable, "the database is closed; open it again")
        .with_retry(Retry::Never)
}
