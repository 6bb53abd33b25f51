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
    "SELECT 'a text of the forgetting ' || f.job || ' was left, which is none or is done' FROM forgotten f
        LEFT JOIN forgettings j ON j.id = f.job WHERE j.id IS NULL OR j.done IS NOT NULL",
    "SELECT 'memory ' || m.id || ' is in no index: repair the memory' FROM memories m
        LEFT JOIN memory_index i ON i.id = m.id WHERE i.id IS NULL",
    "SELECT 'the index has ' || i.id || ', which is no memory: repair the memory' FROM memory_index i
        LEFT JOIN memories m ON m.id = i.id WHERE m.id IS NULL",
    "SELECT 'memory ' || m.id || ': its index says otherwise: repair the memory' FROM memories m
        JOIN memory_index i ON i.id = m.id WHERE i.at <> m.at OR i.begins <> m.begins
        OR i.ends <> coalesce(m.valid_to, 9223372036854775807) OR (i.flags & 3) <> m.kind
        OR (i.flags & 64 <> 0) <> (m.superseded_by IS NOT NULL)",
    "SELECT 'memory ' || i.id || ': its vector is halved: repair the memory' FROM memory_index i
        LEFT JOIN memory_vectors v ON v.id = i.id WHERE (i.coarse IS NULL) <> (v.id IS NULL)",
    "SELECT 'memory ' || i.id || ': its terms or its vector have no such length: repair the memory'
        FROM memory_index i LEFT JOIN memory_generations g ON g.id = i.generation
        LEFT JOIN memory_vectors v ON v.id = i.id
        WHERE length(i.terms) % 6 <> 2 OR i.coarse IS NOT NULL AND
        (g.id IS NULL OR length(i.coarse) <> 4 + g.dimensions OR length(v.vector) <> 4 * g.dimensions)",
    "SELECT 'there is a vector of ' || v.id || ', which is no memory: repair the memory'
        FROM memory_vectors v LEFT JOIN memories m ON m.id = v.id WHERE m.id IS NULL",
    "SELECT 'memory ' || m.id || ' has a number that its scope never gave' FROM (SELECT id, scope FROM memories) m
        LEFT JOIN memory_scopes s ON s.id = m.scope
        WHERE s.id IS NULL OR m.id >> 32 <> s.id OR (m.id & 4294967295) NOT BETWEEN 1 AND s.last",
    "SELECT 'memory scope ' || s.id || ': ' || s.n || ' rows of ' || s.b || ' bytes, counted are '
        || coalesce(u.n, 0) || ' of ' || coalesce(u.b, 0) FROM
        (SELECT scope AS id, count(*) AS n, sum(length(CAST(text AS BLOB))) AS b FROM memories
         GROUP BY scope) s LEFT JOIN (SELECT scope AS id, sum(rows) AS n, sum(bytes) AS b
         FROM memory_usage GROUP BY scope) u ON u.id = s.id WHERE u.n IS NOT s.n OR u.b IS NOT s.b",
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
