//! The store's settings in a configuration file.

use std::path::PathBuf;

use openclaw_core::{Result, schemars};
use serde::{Deserialize, Serialize};

use super::{Builder, MemoryBuilder, Sqlite};

/// The settings of a [`Sqlite`], as a configuration file holds them.
///
/// ```
/// use openclaw_core::serde_json::{from_value, json};
/// use openclaw_memory::sqlite::SqliteConfig;
///
/// let config: SqliteConfig = from_value(json!({"path": "openclaw.db"})).unwrap();
/// # let _ = config;
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
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
    /// Makes the gateway's memory of this file; none without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryConfig>,
}

/// The settings of a [`SqliteMemory`](super::SqliteMemory), as a configuration file holds them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemoryConfig {
    /// How much meaning counts beside words: 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f32>,
    /// The most that the texts of one source may take in the memory of one person, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_source_bytes: Option<u64>,
    /// How many memories are held ready for searching.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<usize>,
}

impl MemoryConfig {
    /// What opens the memory of `store`.
    ///
    /// # Errors
    /// The embedder that it names is not there.
    pub fn builder(&self, store: &Sqlite) -> Result<MemoryBuilder> {
        let mut builder = store.memory();
        if let Some(weight) = self.weight {
            builder = builder.weight(weight);
        }
        if let Some(bytes) = self.max_source_bytes {
            builder = builder.max_source_bytes(bytes);
        }
        if let Some(memories) = self.ready {
            builder = builder.ready(memories);
        }
        Ok(builder)
    }
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
