//! What answers questions: a memory, or FTS5's own ranking to compare with.

use std::sync::{Arc, Mutex};

use openclaw_core::{
    async_trait,
    memory::{Memory, Query, Scope},
    provider::Embedder,
};
use openclaw_memory::sqlite::{Sqlite, SqliteMemory};
use tempfile::TempDir;

use super::World;
use crate::Result;

/// Facts of one call.
const BATCH: usize = 500;

/// Something that finds.
#[async_trait]
pub trait Ranker: Send + Sync {
    /// Takes in what a world remembers; after it, all of it can be found.
    ///
    /// # Errors
    /// It could not.
    async fn remember(&self, world: &World) -> Result<()>;

    /// The ids of the best `limit` in the world of this name.
    ///
    /// # Errors
    /// It could not look.
    async fn find(&self, world: &str, question: &str, limit: usize) -> Result<Vec<String>>;
}

/// Any memory that can find what it has just remembered.
pub struct Remembering<M>(pub M);

#[async_trait]
impl<M: Memory> Ranker for Remembering<M> {
    async fn remember(&self, world: &World) -> Result<()> {
        for facts in world.memories.chunks(BATCH) {
            self.0.remember(&Scope::agent(world.name.as_str()), facts.to_vec()).await?;
        }
        Ok(())
    }

    async fn find(&self, world: &str, question: &str, limit: usize) -> Result<Vec<String>> {
        let found = self.0.recall(&Scope::agent(world), &Query::new(question, limit)).await?;
        Ok(found.into_iter().map(|recalled| recalled.fact.id).collect())
    }
}

/// The memory of an SQLite file in a folder of its own.
pub struct InFile {
    memory: Remembering<SqliteMemory>,
    _folder: TempDir,
}

/// The memory of a new SQLite file: by keywords alone, or with an embedder and its weight, the
/// memory's own choice if none is given.
///
/// # Errors
/// The file cannot be made.
pub async fn sqlite(embedder: Option<Arc<dyn Embedder>>, weight: Option<f32>) -> Result<InFile> {
    let folder = tempfile::tempdir()?;
    let store = Sqlite::open(folder.path().join("memory.db")).await?;
    let mut builder = store.memory();
    if let Some(embedder) = embedder {
        builder = builder.embedder(embedder);
    }
    if let Some(weight) = weight {
        builder = builder.weight(weight);
    }
    Ok(InFile { memory: Remembering(builder.open().await?), _folder: folder })
}

#[async_trait]
impl Ranker for InFile {
    async fn remember(&self, world: &World) -> Result<()> {
        self.memory.remember(world).await?;
        // Vectors are made in the background.
        self.memory.0.settled().await;
        Ok(())
    }

    async fn find(&self, world: &str, question: &str, limit: usize) -> Result<Vec<String>> {
        self.memory.find(world, question, limit).await
    }
}

/// SQLite's full-text index as it comes: the tokenizer `unicode61`, any of the question's words, by
/// its own BM25.
pub struct Fts5(Mutex<rusqlite::Connection>);

impl Fts5 {
    /// An empty one, in memory.
    ///
    /// # Errors
    /// SQLite was built without FTS5.
    pub fn new() -> Result<Self> {
        let connection = rusqlite::Connection::open_in_memory()?;
        connection.execute_batch(
            "CREATE VIRTUAL TABLE said USING fts5(id UNINDEXED, world UNINDEXED, text)",
        )?;
        Ok(Self(Mutex::new(connection)))
    }
}

#[async_trait]
impl Ranker for Fts5 {
    async fn remember(&self, world: &World) -> Result<()> {
        let mut connection = self.0.lock().map_err(|_| "a panic in another thread")?;
        let transaction = connection.transaction()?;
        // A table a world: its frequencies of words are then those of the world.
        transaction.execute("DELETE FROM said", [])?;
        for fact in &world.memories {
            let row = (fact.id.as_str(), world.name.as_str(), fact.text.as_str());
            transaction.execute("INSERT INTO said VALUES (?1, ?2, ?3)", row)?;
        }
        Ok(transaction.commit()?)
    }

    async fn find(&self, world: &str, question: &str, limit: usize) -> Result<Vec<String>> {
        let words = question.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        let any: Vec<String> = words.map(|word| format!("\"{word}\"")).collect();
        if any.is_empty() {
            return Ok(Vec::new());
        }
        let connection = self.0.lock().map_err(|_| "a panic in another thread")?;
        let mut statement = connection.prepare_cached(
            "SELECT id FROM said WHERE said MATCH ?1 AND world = ?2 ORDER BY rank LIMIT ?3",
        )?;
        let rows = statement
            .query_map((any.join(" OR "), world, i64::try_from(limit)?), |row| {
                row.get::<_, String>(0)
            })?;
        Ok(rows.collect::<std::result::Result<_, _>>()?)
    }
}
