//! Copies of a database that is in use.

use std::{fs::File, path::Path};

use openclaw_core::{Error, ErrorKind, Result, error::ResultExt as _};
use rusqlite::{
    Connection,
    backup::{Backup, StepResult},
};

use super::{check, error::failed, open};

/// Copies the database `from` to the new file `to` and checks the copy. `to` appears whole or not
/// at all.
pub(super) fn backup(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("{}: there is a file already; name one that does not exist", to.display()),
        ));
    }
    let partial = open::beside(to, ".partial");
    remove(&partial)?;
    let result = copy(from, &partial).and_then(|()| {
        File::open(&partial).and_then(|file| file.sync_all()).kind(ErrorKind::Unavailable)?;
        std::fs::rename(&partial, to).kind(ErrorKind::Unavailable)?;
        sync_folder(to)
    });
    if result.is_err() {
        // What failed is what the caller hears of.
        let _ = remove(&partial);
    }
    result.map_err(|error| error.with("backup", to.display()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let source = open::reader(from)?;
    open::create_private(to)?;
    let mut target = Connection::open(to).map_err(failed)?;
    {
        // All pages in one step: it reads one state, and writers do not make it start again.
        let backup = Backup::new(&source, &mut target).map_err(failed)?;
        if backup.step(-1).map_err(failed)? != StepResult::Done {
            return Err(Error::new(ErrorKind::Unavailable, "the database is busy; try again"));
        }
    }
    // The copy stands alone, without a log beside it, until it is opened as a store.
    target.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(())).map_err(failed)?;
    drop(target);
    let findings = check::full(to)?;
    if findings.is_sound() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidData,
        format!("the copy is damaged, so the database is too: {}", findings.problems.join("; ")),
    ))
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::wrap(ErrorKind::Unavailable, error))
        }
        _ => Ok(()),
    }
}

/// Makes a new name in the folder of `path` durable.
fn sync_folder(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))
        .and_then(|folder| folder.sync_all())
        .kind(ErrorKind::Unavailable)
}
