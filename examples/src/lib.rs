//! What the examples share: nothing about agents, only how they log and where they keep their data.

use std::path::PathBuf;

use openclaw_core::{Error, ErrorKind, Result};
use tracing_subscriber::EnvFilter;

/// Logs to standard error what is worth a warning; `RUST_LOG=debug` shows more.
pub fn log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

/// The folder for an example's data: the first argument, or `.openclaw` here. It is made if need be.
///
/// # Errors
/// It cannot be made.
pub fn folder() -> Result<PathBuf> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| ".openclaw".into()));
    std::fs::create_dir_all(&folder).map_err(|error| {
        Error::wrap(ErrorKind::InvalidConfig, error).with("folder", folder.display())
    })?;
    Ok(folder)
}
