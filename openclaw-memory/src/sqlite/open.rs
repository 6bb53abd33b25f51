//! Opening a database: the lock, what is checked before SQLite may touch the file, the settings.

use std::{
    fs::{File, TryLockError},
    io::{ErrorKind as Io, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use openclaw_core::{Error, ErrorKind, Result, error::ResultExt as _};
use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::{Builder, check, error::failed, schema};

/// How long a connection waits for another.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How long an opener waits for one that is just closing.
const LOCK_TRIES: u32 = 25;
const LOCK_PAUSE: Duration = Duration::from_millis(10);
const PAGE: u64 = 4096;
const STATEMENTS: usize = 128;

/// What is open for writing.
pub(super) struct Opened {
    pub(super) conn: Connection,
    pub(super) path: PathBuf,
    /// How often the database was opened, this time included.
    pub(super) opens: u64,
    /// Whether the process before closed it.
    pub(super) clean: bool,
    /// Held as long as the database is open. Dropped last.
    pub(super) lock: File,
}

pub(super) fn open(options: &Builder) -> Result<Opened> {
    let path = resolve(&options.path)?;
    let lock = lock(&path)?;
    check_file(&path).map_err(|error| error.with("file", path.display()))?;
    create_private(&path)?;
    let mut conn = Connection::open_with_flags(
        &path,
        OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(failed)?;
    settle(&conn, options)
        .and_then(|()| schema::migrate(&mut conn))
        .map_err(|error| error.with("file", path.display()))?;
    let (opens, clean) = count(&conn)?;
    Ok(Opened { conn, path, opens, clean, lock })
}

/// Makes the file if it is not there, for its owner alone; SQLite gives the files beside it the same
/// rights.
pub(super) fn create_private(path: &Path) -> Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != Io::AlreadyExists => {
            Err(Error::config(format!("{}: cannot be made: {error}", path.display())))
        }
        _ => Ok(()),
    }
}

/// A connection that can only read.
pub(super) fn reader(path: &Path) -> Result<Connection> {
    let conn = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(failed)?;
    conn.busy_timeout(PATIENCE).map_err(failed)?;
    // Not a reader's to do.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
    // Each commit makes a reader forget its pages, so many are of no use to it.
    conn.pragma_update(None, "cache_size", "-512").map_err(failed)?;
    keep_statements(&conn)?;
    Ok(conn)
}

/// Compiled statements are kept, and each has one plan: otherwise SQLite compiles a statement whose
/// `LIMIT` is a parameter anew each time.
fn keep_statements(conn: &Connection) -> Result<()> {
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(failed)?;
    Ok(())
}

/// The real path, so that two names of one file share one lock.
fn resolve(path: &Path) -> Result<PathBuf> {
    if let Ok(real) = path.canonicalize() {
        return Ok(real);
    }
    let name = path.file_name().ok_or_else(|| {
        Error::config(format!("{}: expected the path of a database file", path.display()))
    })?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    match folder.canonicalize() {
        Ok(folder) => Ok(folder.join(name)),
        Err(error) => Err(Error::config(format!(
            "{}: the folder cannot be used: {error}; create it first",
            folder.display()
        ))),
    }
}

/// `path` with `suffix` behind its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[expect(clippy::disallowed_methods, reason = "this is a thread of the store's own")]
fn pause() {
    std::thread::sleep(LOCK_PAUSE);
}

/// Takes the lock beside the database. Not on the database itself: closing any other handle to it
/// would drop the locks that SQLite has on it.
fn lock(path: &Path) -> Result<File> {
    let beside = beside(path, "-lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&beside)
        .map_err(|e| Error::config(format!("{}: {e}", beside.display())))?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => pause(),
            Err(TryLockError::Error(error)) => {
                return Err(
                    Error::wrap(ErrorKind::Unavailable, error).with("file", beside.display())
                );
            }
        }
    }
    Err(Error::new(
        ErrorKind::Conflict,
        "the database is open already, in this or another process; one process at a time can have it. Stop the other, or name another file",
    )
    .with("file", path.display()))
}

/// Checks the header while the file is only read. SQLite would repair or checkpoint what it opens,
/// and nothing of another application or of a damaged file may change.
fn check_file(path: &Path) -> Result<()> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == Io::NotFound => return Ok(()),
        Err(error) => return Err(Error::config(format!("cannot be opened: {error}"))),
    };
    let length = file.metadata().kind(ErrorKind::Unavailable)?.len();
    if length == 0 {
        return Ok(());
    }
    let mut header = [0; 100];
    let damaged = |what: String| {
        Error::new(
            ErrorKind::InvalidData,
            format!("{what}; it was left as it is. Restore a backup or name another file"),
        )
    };
    if file.read_exact(&mut header).is_err() {
        return Err(damaged(format!(
            "the database is truncated: {length} bytes, expected at least 100"
        )));
    }
    if !header.starts_with(b"SQLite format 3\0") {
        return Err(damaged("this is not a SQLite database".into()));
    }
    let word = |at: usize| {
        let bytes = header.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        u32::from_be_bytes(bytes.unwrap_or_default())
    };
    let pages = u64::from(word(28));
    let page_size = match u64::from(word(16) >> 16) {
        1 => 65_536,
        size => size,
    };
    let application = i32::from_be_bytes(word(68).to_be_bytes());
    // One page without an owner: created, and the process died before its tables were there. What
    // SQLite then finds is checked once more.
    if !(application == 0 && pages <= 1) {
        schema::check_header(application, i32::from_be_bytes(word(60).to_be_bytes()))?;
    }
    let wal = std::fs::metadata(beside(path, "-wal")).map_or(0, |found| found.len());
    let expected = pages * page_size;
    // A crash while the log was applied leaves a file that is short, and a log that has the rest.
    if length < expected && (wal == 0 || !is_whole_with_log(path)?) {
        return Err(damaged(format!(
            "the database is truncated: {length} bytes, expected {expected}"
        )));
    }
    Ok(())
}

/// Whether a file that is short is sound together with the log beside it. Only reads.
fn is_whole_with_log(path: &Path) -> Result<bool> {
    let index = beside(path, "-shm");
    let was_there = index.exists();
    let findings = check::quick(path);
    if !was_there {
        // The index of the log is made by whoever reads it first. One that stays is rebuilt.
        let _ = std::fs::remove_file(index);
    }
    match findings {
        Ok(findings) => Ok(findings.is_sound()),
        // So short that not even its tables can be read.
        Err(error) if error.kind() == ErrorKind::InvalidData => Ok(false),
        Err(error) => Err(error),
    }
}

fn settle(conn: &Connection, options: &Builder) -> Result<()> {
    conn.busy_timeout(PATIENCE).map_err(failed)?;
    keep_statements(conn)?;
    schema::check(conn)?;
    let mode: String = conn
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(failed)?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "the file system cannot keep a write-ahead log (journal mode {mode}); use a local disk"
            ),
        ));
    }
    // Checkpoints are made beside the writer; see `writer`.
    for (name, value) in [
        ("synchronous", options.synchronous),
        ("wal_autocheckpoint", "0"),
        ("journal_size_limit", "67108864"),
        ("secure_delete", "FAST"),
        ("temp_store", "MEMORY"),
        ("cache_size", "-2048"),
    ] {
        conn.pragma_update(None, name, value).map_err(failed)?;
    }
    if let Some(bytes) = options.max_bytes {
        let pages = i64::try_from(bytes / PAGE).unwrap_or(i64::MAX);
        conn.pragma_update(None, "max_page_count", pages).map_err(failed)?;
    }
    Ok(())
}

/// Counts this opening, durably, and tells whether the one before was closed.
fn count(conn: &Connection) -> Result<(u64, bool)> {
    let clean: i64 = conn
        .query_row("SELECT value FROM meta WHERE name = 'clean'", [], |row| row.get(0))
        .map_err(failed)?;
    conn.execute_batch(
        "BEGIN IMMEDIATE;
         UPDATE meta SET value = value + 1 WHERE name = 'opens';
         UPDATE meta SET value = 0 WHERE name = 'clean';
         COMMIT;",
    )
    .map_err(failed)?;
    let opens: i64 = conn
        .query_row("SELECT value FROM meta WHERE name = 'opens'", [], |row| row.get(0))
        .map_err(failed)?;
    Ok((u64::try_from(opens).unwrap_or_default(), clean != 0))
}
