//! The tables, and how older ones become these.

use openclaw_core::{Error, ErrorKind, Result};
use rusqlite::Connection;

use super::{error::failed, sessions};

/// "OCLW": says in the file's header whose database it is.
pub(super) const APPLICATION_ID: i32 = 0x4F43_4C57;

/// One step a version; a step that was released is never changed.
const MIGRATIONS: &[Step] =
    &[Step::Sql(V1), Step::Sql(V2), Step::Code(v3), Step::Sql(V4), Step::Sql(V5), Step::Sql(V6)];

enum Step {
    Sql(&'static str),
    Code(fn(&Connection) -> rusqlite::Result<()>),
}

impl Step {
    fn run(&self, conn: &Connection) -> rusqlite::Result<()> {
        match self {
            Self::Sql(sql) => conn.execute_batch(sql),
            Self::Code(run) => run(conn),
        }
    }
}

/// The version that this program writes.
pub(super) fn version() -> i32 {
    i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX)
}

const V1: &str = "
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('opens', 0), ('clean', 1);

CREATE TABLE sessions (
    id         INTEGER PRIMARY KEY,
    key        TEXT NOT NULL UNIQUE,
    seq        INTEGER NOT NULL DEFAULT 0,
    checkpoint INTEGER NOT NULL DEFAULT 0,
    open       INTEGER NOT NULL DEFAULT 0,
    wake_at    INTEGER,
    pending    INTEGER NOT NULL DEFAULT 0,   -- inputs that wait, without controls
    controls   INTEGER NOT NULL DEFAULT 0    -- controls that wait
) STRICT;
CREATE INDEX sessions_unfinished ON sessions (key) WHERE open + pending + controls > 0;

-- A row outlives its payload: it keeps the event key known. Pending: payload IS NOT NULL.
CREATE TABLE inputs (
    id      INTEGER PRIMARY KEY,
    session INTEGER NOT NULL,
    digest  BLOB NOT NULL,                   -- of account and event key; since V3 of `digest`
    seen_at INTEGER NOT NULL,                -- by the clock of this machine
    control INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    key     TEXT,
    payload TEXT
) STRICT;
CREATE UNIQUE INDEX inputs_key ON inputs (session, digest);
CREATE INDEX inputs_pending ON inputs (session, control DESC, id) WHERE payload IS NOT NULL;

CREATE TABLE dead (
    id      INTEGER PRIMARY KEY,
    session INTEGER NOT NULL,
    input   INTEGER NOT NULL,
    control INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    key     TEXT NOT NULL,
    payload TEXT NOT NULL,
    reason  TEXT NOT NULL
) STRICT;

-- id is session * 2^32 + seq: the rows of a session lie side by side and need no other index.
CREATE TABLE log (
    id      INTEGER PRIMARY KEY,
    kind    TEXT NOT NULL,
    at      INTEGER NOT NULL,
    label   TEXT NOT NULL,
    digest  TEXT NOT NULL,
    payload TEXT
) STRICT;

CREATE TABLE outbox (
    id           INTEGER PRIMARY KEY,
    key          TEXT NOT NULL UNIQUE,
    account      TEXT NOT NULL,
    conversation TEXT NOT NULL,
    message      TEXT NOT NULL,              -- the group
    session      TEXT,
    edits        TEXT,
    action       TEXT NOT NULL,
    at           INTEGER NOT NULL,
    live         INTEGER NOT NULL,           -- pending or being sent
    state        TEXT NOT NULL,
    attempts     INTEGER NOT NULL DEFAULT 0,
    not_before   INTEGER
) STRICT;
CREATE INDEX outbox_lane ON outbox (account, conversation, id) WHERE live = 1;
CREATE INDEX outbox_group ON outbox (message) WHERE live = 1;

CREATE TABLE records (
    space   TEXT NOT NULL,
    name    TEXT NOT NULL,
    version INTEGER NOT NULL,
    value   TEXT NOT NULL,
    PRIMARY KEY (space, name)
) STRICT, WITHOUT ROWID;
";

// Sessions that only wait for a moment are unfinished too, and what was not delivered can be listed.
const V2: &str = "
DROP INDEX sessions_unfinished;
CREATE INDEX sessions_unfinished ON sessions (key)
    WHERE open + pending + controls > 0 OR wake_at IS NOT NULL;
CREATE INDEX outbox_undelivered ON outbox (id) WHERE live = 0 AND state ->> 'state' <> 'sent';
";

/// Makes event keys unique in the conversation that they were heard in, which for older rows is taken
/// to be the session's. Of keys that were accepted for two sessions of one, the first stays known.
fn v3(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch("DROP INDEX inputs_key")?;
    let mut read = conn.prepare(
        "SELECT inputs.id, inputs.digest, sessions.key FROM inputs
         JOIN sessions ON sessions.id = inputs.session",
    )?;
    let mut write = conn.prepare("UPDATE inputs SET digest = ?2 WHERE id = ?1")?;
    let mut rows = read.query([])?;
    while let Some(row) = rows.next()? {
        let (id, digest, session): (i64, Vec<u8>, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        // agent:<agent>:<conversation>
        let heard = session.splitn(3, ':').nth(2).unwrap_or_default();
        write.execute((id, sessions::digest_in(heard, &digest)))?;
    }
    conn.execute_batch(
        "UPDATE inputs SET digest = randomblob(32)
         WHERE id NOT IN (SELECT min(id) FROM inputs GROUP BY digest);
         CREATE UNIQUE INDEX inputs_key ON inputs (digest);",
    )
}

// A memory's id is scope * 2^32 + its number there: the rows of a scope lie side by side, and a number is
// never given twice. `memory_index` and `memory_vectors` are derived: they can be made anew from `memories`.
const V4: &str = "
CREATE TABLE memory_scopes (
    id    INTEGER PRIMARY KEY,
    agent TEXT NOT NULL,
    part  TEXT NOT NULL,
    last  INTEGER NOT NULL DEFAULT 0,        -- the newest number
    UNIQUE (agent, part)
) STRICT;

CREATE TABLE memories (
    id            INTEGER PRIMARY KEY,
    scope         INTEGER NOT NULL,
    name          TEXT NOT NULL,             -- the caller's id
    kind          INTEGER NOT NULL,
    text          TEXT NOT NULL,
    label         TEXT NOT NULL,
    at            INTEGER NOT NULL,
    created       INTEGER NOT NULL,          -- by the clock of this machine
    begins        INTEGER NOT NULL,          -- from when on it is true
    valid_from    INTEGER,                   -- as it was told
    valid_to      INTEGER,
    superseded_by INTEGER,
    session       TEXT,
    place         INTEGER NOT NULL,
    drawn_from    TEXT                       -- ids of turns, a JSON list
) STRICT;
CREATE UNIQUE INDEX memories_current ON memories (scope, name) WHERE superseded_by IS NULL;
CREATE INDEX memories_versions ON memories (scope, name, begins);

-- All that a search looks at.
CREATE TABLE memory_index (
    id         INTEGER PRIMARY KEY,
    flags      INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    begins     INTEGER NOT NULL,
    ends       INTEGER NOT NULL,
    session    INTEGER NOT NULL,             -- a hash; 0: none
    drawn_from BLOB,
    terms      BLOB NOT NULL,
    generation INTEGER NOT NULL DEFAULT 0,   -- of the vector; 0: none yet
    coarse     BLOB
) STRICT;
CREATE INDEX memory_index_generation ON memory_index (generation, id);

CREATE TABLE memory_vectors (
    id     INTEGER PRIMARY KEY,
    vector BLOB NOT NULL
) STRICT;

CREATE TABLE memory_generations (
    id         INTEGER PRIMARY KEY,
    embedder   TEXT NOT NULL,
    model      TEXT NOT NULL,
    dimensions INTEGER NOT NULL,
    UNIQUE (embedder, model, dimensions)
) STRICT;

CREATE TABLE memory_usage (
    scope  INTEGER NOT NULL,
    source TEXT NOT NULL,
    rows   INTEGER NOT NULL,
    bytes  INTEGER NOT NULL,
    PRIMARY KEY (scope, source)
) STRICT, WITHOUT ROWID;
";

// What is to be forgotten, and what of it is still to be found. `revision` tells who has read a log that what it
// said was taken out since.
const V5: &str = "
ALTER TABLE sessions ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;

CREATE TABLE forgettings (
    id       INTEGER PRIMARY KEY,
    scope    INTEGER NOT NULL,
    asked    INTEGER NOT NULL,
    memories INTEGER NOT NULL,               -- rows that went
    entries  INTEGER NOT NULL DEFAULT 0,     -- of logs, that texts were taken out of
    done     INTEGER                         -- when nothing was left of it in any file
) STRICT;
CREATE INDEX forgettings_left ON forgettings (id) WHERE done IS NULL;

CREATE TABLE forgotten (
    id      INTEGER PRIMARY KEY,
    job     INTEGER NOT NULL,
    scope   INTEGER NOT NULL,
    name    TEXT NOT NULL,
    text    TEXT NOT NULL,
    session TEXT,
    place   INTEGER NOT NULL,
    kind    INTEGER NOT NULL
) STRICT;
CREATE INDEX forgotten_job ON forgotten (job);

ALTER TABLE memory_scopes ADD COLUMN extracted INTEGER NOT NULL DEFAULT 0;   -- up to this number facts were drawn

CREATE INDEX memories_drawn ON memories (scope) WHERE drawn_from IS NOT NULL;
";

// What an id means now is one of its few versions, and those have an index; a second one took a page more in the log
// for nearly every memory.
const V6: &str = "DROP INDEX memories_current;";

/// Brings a database that passed [`check`] to the newest version, all or nothing.
pub(super) fn migrate(conn: &mut Connection) -> Result<()> {
    let found = user_version(conn)?;
    if found == version() {
        return Ok(());
    }
    let tx = conn.transaction().map_err(failed)?;
    for step in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        step.run(&tx).map_err(failed)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
    tx.pragma_update(None, "user_version", version()).map_err(failed)?;
    tx.commit().map_err(failed)?;
    // Into the file itself, so that its header tells whose it is without the log beside it.
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(failed)
}

fn user_version(conn: &Connection) -> Result<i32> {
    conn.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)
}

/// Checks, by reading alone, that an open database is empty or ours and not of a newer version.
pub(super) fn check(conn: &Connection) -> Result<()> {
    let application: i32 =
        conn.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(failed)?;
    let tables: i64 = conn
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(failed)?;
    if application == 0 && tables == 0 {
        return Ok(());
    }
    check_header(application, user_version(conn)?)?;
    for table in ["meta", "sessions", "inputs", "dead", "log", "outbox", "records"] {
        let found = conn.query_row(
            "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1",
            [table],
            |row| row.get::<_, i64>(0),
        );
        if found.map_err(failed)? == 0 {
            return Err(Error::new(
                ErrorKind::InvalidData,
                format!("the database is damaged: it has no table {table:?}; restore a backup"),
            ));
        }
    }
    Ok(())
}

/// Checks whose database it is, and that it is not of a newer version.
pub(super) fn check_header(application: i32, found: i32) -> Result<()> {
    if application != APPLICATION_ID {
        return Err(Error::new(
            ErrorKind::InvalidConfig,
            format!(
                "the database belongs to another application (application_id {application:#x}, expected {APPLICATION_ID:#x}); name another file"
            ),
        ));
    }
    if found > version() {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "the database has version {found}, this program knows versions up to {}; use a newer program",
                version()
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use openclaw_core::{AccountId, Conversation, EventKey};
    use rusqlite::OptionalExtension as _;

    use super::*;
    use crate::sqlite::{outbox, sessions};

    #[test]
    fn a_database_of_each_earlier_version_becomes_the_newest() {
        for from in 0..MIGRATIONS.len() {
            let mut conn = Connection::open_in_memory().unwrap();
            for step in &MIGRATIONS[..from] {
                step.run(&conn).unwrap();
            }
            conn.pragma_update(None, "user_version", i32::try_from(from).unwrap()).unwrap();
            migrate(&mut conn).unwrap();
            assert_eq!(user_version(&conn).unwrap(), version());
            check(&conn).unwrap();
            // The queries that insist on an index.
            assert!(sessions::unfinished(&conn, None, 1).unwrap().is_empty());
            assert!(sessions::counters(&conn).is_ok());
            assert!(outbox::undelivered(&conn, 1).unwrap().is_empty());
        }
    }

    #[test]
    fn keys_of_earlier_versions_stay_known_where_they_were_heard() {
        let mut conn = Connection::open_in_memory().unwrap();
        for step in &MIGRATIONS[..2] {
            step.run(&conn).unwrap();
        }
        conn.pragma_update(None, "user_version", 2).unwrap();
        // Two agents of one conversation, and another conversation, all with one key.
        let places = ["a:x:web:b:direct:p", "a:y:web:b:direct:p", "a:x:web:b:direct:q"];
        let key = EventKey::event("1");
        let old = sessions::digest_in("web:b", key.as_str().as_bytes());
        for (id, place) in places.iter().enumerate() {
            let id = i64::try_from(id).unwrap();
            let session = place.replacen("a:", "agent:", 1);
            conn.execute("INSERT INTO sessions (id, key) VALUES (?1, ?2)", (id, session)).unwrap();
            let sql = "INSERT INTO inputs (id, session, digest, seen_at, control, at)
                 VALUES (?1, ?1, ?2, 0, 0, 0)";
            conn.execute(sql, (id, old)).unwrap();
        }
        migrate(&mut conn).unwrap();
        let known = |peer: &str| {
            let heard = Conversation::direct(AccountId::new("web", "b").unwrap(), peer);
            let sql = "SELECT session FROM inputs WHERE digest = ?1";
            let known = conn.query_row(sql, [sessions::digest(&heard, &key)], |row| row.get(0));
            known.optional().unwrap()
        };
        assert_eq!((known("p"), known("q"), known("r")), (Some(0), Some(2), None::<i64>));
    }
}
