//! What others do with the same texts and vectors: FTS5's own ranking, every vector compared, `sqlite-vec`.

use std::{
    fmt::Write as _,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use openclaw_benches::{Result, figures::Times};
use rusqlite::{Connection, params};

/// FTS5 with the Porter stemmer, all words of the question joined by OR, best ten by its rank.
pub(crate) struct Fts5(Connection);

impl Fts5 {
    /// Of these texts, in a file.
    ///
    /// # Errors
    /// SQLite failed.
    pub(crate) fn new(path: &Path, texts: &[String]) -> Result<Self> {
        let mut conn = Connection::open(path)?;
        conn.execute_batch(
            "PRAGMA journal_mode = WAL;
             CREATE VIRTUAL TABLE t USING fts5(text, tokenize = 'porter unicode61 remove_diacritics 2');",
        )?;
        let tx = conn.transaction()?;
        for text in texts {
            tx.prepare_cached("INSERT INTO t (text) VALUES (?1)")?.execute([text])?;
        }
        tx.commit()?;
        Ok(Self(conn))
    }

    /// How long the questions take.
    ///
    /// # Errors
    /// SQLite failed.
    pub(crate) fn ask(&self, questions: &[String]) -> Result<Times> {
        let mut times = Times::default();
        let mut statement =
            self.0.prepare("SELECT rowid, text FROM t WHERE t MATCH ?1 ORDER BY rank LIMIT 10")?;
        for question in questions {
            let mut asked = String::new();
            for word in question.split(' ') {
                let _ = write!(asked, "{}\"{word}\"", if asked.is_empty() { "" } else { " OR " });
            }
            let began = Instant::now();
            let found = statement.query_map(params![asked], |row| row.get::<_, i64>(0))?;
            let found: std::result::Result<Vec<i64>, _> = found.collect();
            std::hint::black_box(found?);
            times.add(began.elapsed());
        }
        Ok(times)
    }
}

/// The ten closest of all by their whole values, and how close they are.
pub(crate) fn brute_force(vectors: &[Vec<f32>], query: &[f32]) -> Vec<(usize, f32)> {
    let dot = |a: &[f32]| -> f32 {
        // Eight sums side by side, so that the compiler can use wide registers.
        let mut sums = [0.0_f32; 8];
        let (chunks, rest) = a.as_chunks::<8>();
        let (others, other_rest) = query.as_chunks::<8>();
        for (a, b) in chunks.iter().zip(others) {
            for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
                *sum += a * b;
            }
        }
        sums.iter().sum::<f32>() + rest.iter().zip(other_rest).map(|(a, b)| a * b).sum::<f32>()
    };
    let mut found: Vec<(usize, f32)> = vectors.iter().map(|v| dot(v)).enumerate().collect();
    if found.len() > 10 {
        found.select_nth_unstable_by(10, |a, b| b.1.total_cmp(&a.1));
        found.truncate(10);
    }
    found.sort_by(|a, b| b.1.total_cmp(&a.1));
    found
}

/// What `sqlite-vec` takes, by a Python that has it: `OPENCLAW_BENCH_PYTHON` names that. `None` without.
///
/// # Errors
/// It failed.
pub(crate) fn sqlite_vec(
    folder: &Path,
    vectors: &[Vec<f32>],
    queries: &[Vec<f32>],
) -> Result<Option<String>> {
    let Some(python) = std::env::var_os("OPENCLAW_BENCH_PYTHON") else { return Ok(None) };
    for (name, list) in [("vectors", vectors), ("queries", queries)] {
        let mut file = std::io::BufWriter::new(std::fs::File::create(folder.join(name))?);
        for value in list.iter().flatten() {
            file.write_all(&value.to_le_bytes())?;
        }
        file.flush()?;
    }
    let dimensions = queries.first().map_or(0, Vec::len).to_string();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/memory/neighbours.py");
    let output = Command::new(python)
        .arg(script)
        .arg(folder)
        .arg(dimensions)
        .stderr(Stdio::inherit())
        .output()?;
    Ok(Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()))
}
