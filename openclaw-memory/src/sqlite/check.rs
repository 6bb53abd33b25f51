//! Finding damage: SQLite's own checks, and what must hold between our rows.

use std::path::Path;

use openclaw_core::Result;
use rusqlite::Connection;

use super::open;

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Findings {
    /// What is wrong, a sentence each; empty if nothing is.
    pub problems: Vec<String>,
}

impl Findings {
    /// True if nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Each query lists what must not be, a sentence a row.
const INVARIANTS: &[&str] = &[
    "SELECT 'session ' || key || ': the log has ' || n || ' entries, the head says ' || seq FROM
        (SELECT s.key, s.seq, (SELECT count(*) FROM log WHERE log.id BETWEEN (s.id << 32) + 1
         AND (s.id << 32) + s.seq) AS n FROM sessions s) WHERE n <> seq",
    "SELECT 'log row ' || log.id || ' is beyond the head of its session, or has none' FROM log
        LEFT JOIN sessions s ON s.id = log.id >> 32
        WHERE s.id IS NULL OR (log.id & 4294967295) NOT BETWEEN 1 AND s.seq",
    "SELECT 'session ' || s.key || ': its counts of pending inputs are wrong' FROM sessions s
        WHERE s.pending <> (SELECT count(*) FROM inputs i WHERE i.session = s.id
            AND i.payload IS NOT NULL AND i.control = 0)
        OR s.controls <> (SELECT count(*) FROM inputs i WHERE i.session = s.id
            AND i.payload IS NOT NULL AND i.control = 1)",
    "SELECT 'input ' || i.id || ' belongs to no session' FROM inputs i
        LEFT JOIN sessions s ON s.id = i.session WHERE s.id IS NULL",
    "SELECT 'outgoing row ' || id || ': its state is ' || state || ', its mark says otherwise'
        FROM outbox WHERE live <> (json_extract(state, '$.state') IN ('pending', 'sending'))",
];

/// `integrity_check` and all invariants.
pub(super) fn full(path: &Path) -> Result<Findings> {
    let conn = open::reader(path)?;
    let mut problems = sqlite(&conn, "PRAGMA integrity_check");
    for query in INVARIANTS {
        rows(&conn, query, &mut problems);
    }
    Ok(Findings { problems })
}

/// `quick_check`.
pub(super) fn quick(path: &Path) -> Result<Findings> {
    Ok(Findings { problems: sqlite(&open::reader(path)?, "PRAGMA quick_check") })
}

fn sqlite(conn: &Connection, pragma: &str) -> Vec<String> {
    let mut problems = Vec::new();
    rows(conn, pragma, &mut problems);
    problems.retain(|line| line != "ok");
    problems
}

/// Adds the rows of `query` to `problems`; a query that fails is a problem itself.
fn rows(conn: &Connection, query: &str, problems: &mut Vec<String>) {
    let mut run = || -> rusqlite::Result<()> {
        let mut statement = conn.prepare(query)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            problems.push(row.get(0)?);
        }
        Ok(())
    };
    if let Err(error) = run() {
        problems.push(format!("a check failed: {error}"));
    }
}
