//! Memories as lines of JSON: out of one file, into another.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, BufWriter, Read as _, Write as _},
    path::{Path, PathBuf},
};

use openclaw_core::{
    Error, ErrorKind, Result,
    error::ResultExt as _,
    memory::{Fact, Scope},
};
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::{SqliteMemory, read, rows::Told};
use crate::sqlite::{blocking, error::failed, open};

/// Rows that are moved together.
const TOGETHER: u32 = 500;
/// The longest line, in bytes: a text of the largest size with every character escaped.
const LONGEST_LINE: u64 = 32 * 1024 * 1024;
/// Stands in the first line: what the lines are, and their version.
const FORMAT: &str = "openclaw-memory-1";

/// How far an export or import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransferProgress {
    /// What is counted.
    pub step: TransferStep,
    /// How much of it is done.
    pub done: u64,
    /// How much there is.
    pub total: u64,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferStep {
    /// Memories that were written.
    Memories,
    /// Bytes that were read.
    Bytes,
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: String,
}

/// A version of a memory.
#[derive(Serialize, Deserialize)]
struct Line {
    scope: Scope,
    fact: Fact,
}

impl SqliteMemory {
    /// Writes every memory of every scope, with all that ids ever meant, to the new file `to`: a line of JSON
    /// each, oldest first. Vectors are not part of it; they are made anew. The file appears whole or not at
    /// all, readable by its owner alone. What is remembered meanwhile may be part of it. Returns how many there
    /// are.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if `to` exists; or the storage or the disk failed.
    pub async fn export(
        &self,
        to: impl Into<PathBuf>,
        mut progress: impl FnMut(TransferProgress) + Send,
    ) -> Result<u64> {
        let to = to.into();
        if to.exists() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("{}: there is a file already; name one that does not exist", to.display()),
            ));
        }
        let partial = open::beside(&to, ".partial");
        let written = self.export_to(&partial, &mut progress).await;
        let result = match written {
            Ok(count) => {
                std::fs::rename(&partial, &to).kind(ErrorKind::Unavailable).map(|()| count)
            }
            Err(error) => Err(error),
        };
        if result.is_err() {
            // What failed is what the caller hears of.
            let _ = std::fs::remove_file(&partial);
        }
        result.map_err(|error| error.with("file", to.display()))
    }

    async fn export_to(
        &self,
        path: &Path,
        progress: &mut (impl FnMut(TransferProgress) + Send),
    ) -> Result<u64> {
        let _ = std::fs::remove_file(path);
        open::create_private(path)?;
        let file = File::options().write(true).open(path).kind(ErrorKind::Unavailable)?;
        let mut file = BufWriter::new(file);
        let header = encode(&Header { format: FORMAT.to_owned() })?;
        file.write_all(header.as_bytes()).kind(ErrorKind::Unavailable)?;
        let total = self.0.readers.read(count).await?;
        let (mut after, mut done) = (0, 0);
        loop {
            let (next, lines) = self.0.readers.read(move |conn| some(conn, after)).await?;
            let Some(next) = next else { break };
            after = next;
            for line in &lines {
                file.write_all(line.as_bytes()).kind(ErrorKind::Unavailable)?;
            }
            done += lines.len() as u64;
            progress(TransferProgress {
                step: TransferStep::Memories,
                done,
                total: total.max(done),
            });
        }
        blocking(move || {
            let file = file.into_inner().map_err(std::io::IntoInnerError::into_error);
            file.and_then(|file| file.sync_all()).kind(ErrorKind::Unavailable)
        })
        .await?;
        Ok(done)
    }

    /// Remembers what an [`export`](Self::export) wrote, each version where it was. What is there already is
    /// left alone, so an import that was cut off can be made again. Returns how many lines there are.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidData`] that names the line which is none of an export; those before it are
    /// remembered. Or the storage failed.
    pub async fn import(
        &self,
        from: impl Into<PathBuf>,
        mut progress: impl FnMut(TransferProgress) + Send,
    ) -> Result<u64> {
        let from = from.into();
        let named = |error: Error| error.with("file", from.display());
        let file = File::open(&from).kind(ErrorKind::InvalidInput).map_err(named)?;
        let total = file.metadata().kind(ErrorKind::Unavailable)?.len();
        let mut lines = Lines { file: BufReader::new(file), number: 0, bytes: 0 };
        let header: Header = lines.next()?.ok_or_else(|| lines.misfit("it is empty"))?;
        if header.format != FORMAT {
            let why = format!("it is of {:?}, expected {FORMAT:?}", header.format);
            return Err(lines.misfit(why));
        }
        let told = Told { most_of_source: self.0.most_of_source, as_history: true };
        let mut batch: Vec<Fact> = Vec::new();
        let mut owner: Option<Scope> = None;
        let mut count = 0;
        loop {
            let line: Option<Line> = lines.next().map_err(named)?;
            let full = batch.len() >= TOGETHER as usize;
            let other = line.as_ref().is_none_or(|line| owner.as_ref() != Some(&line.scope));
            if (full || other)
                && let Some(scope) = &owner
            {
                self.store(scope, std::mem::take(&mut batch), told).await?;
                let step = TransferStep::Bytes;
                progress(TransferProgress {
                    step,
                    done: lines.bytes,
                    total: total.max(lines.bytes),
                });
            }
            let Some(line) = line else { return Ok(count) };
            owner = Some(line.scope);
            batch.push(line.fact);
            count += 1;
        }
    }
}

fn encode(value: &impl Serialize) -> Result<String> {
    let mut line =
        serde_json::to_string(value).map_err(|error| Error::wrap(ErrorKind::Internal, error))?;
    line.push('\n');
    Ok(line)
}

fn count(conn: &Connection) -> Result<u64> {
    let count: i64 =
        conn.query_row("SELECT count(*) FROM memories", [], |row| row.get(0)).map_err(failed)?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// Some rows from after an id, as lines; and the last id.
fn some(conn: &Connection, after: i64) -> Result<(Option<i64>, Vec<String>)> {
    let mut statement = conn
        .prepare_cached(
            "SELECT m.id, s.agent, s.part FROM memories m JOIN memory_scopes s ON s.id = m.scope
             WHERE m.id > ?1 ORDER BY m.id LIMIT ?2",
        )
        .map_err(failed)?;
    let rows = statement
        .query_map(params![after, TOGETHER], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
        })
        .map_err(failed)?;
    let (mut last, mut lines) = (None, Vec::new());
    for row in rows {
        let (id, agent, part) = row.map_err(failed)?;
        last = Some(id);
        let Some(fact) = read::fact(conn, id)? else { continue };
        lines.push(encode(&Line { scope: Scope { agent: agent.as_str().into(), part }, fact })?);
    }
    Ok((last, lines))
}

struct Lines {
    file: BufReader<File>,
    number: u64,
    bytes: u64,
}

impl Lines {
    fn next<T: for<'de> Deserialize<'de>>(&mut self) -> Result<Option<T>> {
        let mut line = Vec::new();
        let read = (&mut self.file).take(LONGEST_LINE).read_until(b'\n', &mut line);
        let read = read.kind(ErrorKind::Unavailable)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        self.bytes += read as u64;
        match serde_json::from_slice(&line) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(self.misfit(error)),
        }
    }

    fn misfit(&self, why: impl std::fmt::Display) -> Error {
        Error::new(
            ErrorKind::InvalidData,
            format!("line {} is none of an export of memories: {why}", self.number.max(1)),
        )
    }
}
