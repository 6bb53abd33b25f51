//! The store's settings in a configuration file.

use std::path::PathBuf;

use openclaw_core::schemars;
use serde::{Deserialize, Serialize};

use super::{Builder, Sqlite};

/// The settings of a [`Sqlite`], as a configuration file holds them.
///
/// ```
/// use openclaw_core::serde_json::{from_value, json};
/// use openclaw_memory::sqlite::SqliteConfig;
///
/// let config: SqliteConfig = from_value(json!({"path": "openclaw.db"})).unwrap();
/// # let _ = config;
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqliteConfig {
    /// The file. It is made if it is not there; its folder must be.
    pub path: PathBuf,
    /// The largest that the file may become, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// The folder that files are kept in; unless said otherwise it is called as the database, with
    /// `.blobs` behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blobs: Option<PathBuf>,
    /// The most that all files together may take, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_blob_bytes: Option<u64>,
    /// How many reads are served at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readers: Option<usize>,
}

impl SqliteConfig {
    /// What opens the store.
    pub fn builder(&self) -> Builder {
        let mut builder = Sqlite::builder(&self.path);
        if let Some(bytes) = self.max_bytes {
            builder = builder.max_bytes(bytes);
        }
        if let Some(folder) = &self.blobs {
            builder = builder.blobs(folder);
        }
        if let Some(bytes) = self.max_blob_bytes {
            builder = builder.max_blob_bytes(bytes);
        }
        if let Some(threads) = self.readers {
            builder = builder.readers(threads);
        }
        builder
    }
}
