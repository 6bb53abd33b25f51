//! The store's settings in a configuration file.

use std::{path::PathBuf, sync::Arc};

use openclaw_core::{Result, provider::Embedder, schemars};
use serde::{Deserialize, Serialize};

use super::{Builder, MemoryBuilder, Sqlite};
use crate::embed::StaticEmbedder;

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
    /// What finds memories by their meaning, beside their words.
    #[serde(default)]
    pub embedder: EmbedderConfig,
    /// How much meaning counts beside words: 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f32>,
    /// The most that the texts of one source may take in the memory of one person, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_source_bytes: Option<u64>,
    /// How many memories are held ready for searching.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<usize>,
    /// From how many memories of one scope on a graph of neighbours leads searches by meaning; in programs with the
    /// feature `hnsw`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph_from: Option<usize>,
}

/// What finds memories by their meaning. Embedders of services are given in code, by
/// [`MemoryBuilder::embedder`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum EmbedderConfig {
    /// The model that is part of the program: it needs no file and no network, and knows English.
    #[default]
    Builtin,
    /// Nothing: memories are found by their words alone.
    None,
    /// A neural model of English from files; slower, and better with longer texts. Only in programs with the feature
    /// `onnx`.
    Onnx {
        /// The folder that `scripts/embedding-model` prints.
        folder: PathBuf,
    },
}

impl EmbedderConfig {
    /// Makes the embedder; `None` for none. Reads the files of one that has some, which takes some tenths of a second.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`](openclaw_core::ErrorKind::InvalidConfig) if the program has no such embedder; else as of its opening.
    pub async fn make(&self) -> Result<Option<Arc<dyn Embedder>>> {
        match self {
            Self::Builtin => Ok(Some(Arc::new(StaticEmbedder::builtin()))),
            Self::None => Ok(None),
            Self::Onnx { folder } => onnx(folder.clone()).await.map(Some),
        }
    }
}

#[cfg(feature = "onnx")]
async fn onnx(folder: PathBuf) -> Result<Arc<dyn Embedder>> {
    let open = move || crate::embed::OnnxEmbedder::open(folder);
    Ok(Arc::new(super::blocking(open).await?))
}

#[cfg(not(feature = "onnx"))]
async fn onnx(folder: PathBuf) -> Result<Arc<dyn Embedder>> {
    Err(openclaw_core::Error::config(format!(
        "the embedder onnx ({}) is not in this program: build it with the feature onnx of openclaw-memory, or take \
         \"builtin\"",
        folder.display()
    )))
}

impl MemoryConfig {
    /// What opens the memory of `store`.
    ///
    /// # Errors
    /// As of [`EmbedderConfig::make`].
    pub async fn builder(&self, store: &Sqlite) -> Result<MemoryBuilder> {
        let mut builder = store.memory();
        if let Some(embedder) = self.embedder.make().await? {
            builder = builder.embedder(embedder);
        }
        if let Some(weight) = self.weight {
            builder = builder.weight(weight);
        }
        if let Some(bytes) = self.max_source_bytes {
            builder = builder.max_source_bytes(bytes);
        }
        if let Some(memories) = self.ready {
            builder = builder.ready(memories);
        }
        if let Some(memories) = self.graph_from {
            builder = builder.graph_from(memories);
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
