//! Blobs as files named by their content.

use std::{
    fs::{self, File},
    io::{ErrorKind as Io, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use openclaw_core::{
    Error, ErrorKind, Result, async_trait,
    blobs::{BlobId, Blobs},
    time::{Clock, SystemClock, Timestamp},
};

use super::blocking;

/// [`Blobs`] in a folder: `ab/abcd…`, one file a blob.
///
/// A file appears under its name only once its bytes are on the disk. What a crash left half done is
/// removed when the folder is first written to. The time a blob was stored is its file's time.
#[derive(Clone)]
pub struct FileBlobs {
    folder: Arc<Folder>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    quota: Option<u64>,
    /// Bytes of all blobs, once they were counted. Held while files come and go, so that the sum stays
    /// true.
    used: Mutex<Option<u64>>,
}

impl FileBlobs {
    /// The blobs in the folder `path`, which is made when the first one is put. With a quota, refuses
    /// what would bring all blobs above it.
    pub fn new(path: impl Into<PathBuf>, quota: Option<u64>) -> Self {
        let folder = Folder { path: path.into(), quota, used: Mutex::new(None) };
        Self { folder: Arc::new(folder), clock: Arc::new(SystemClock) }
    }

    /// The same blobs, stored at the times of this clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
}

impl std::fmt::Debug for FileBlobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileBlobs").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// Where files are written before they get their names.
const PARTIAL: &str = "partial";

fn failed(error: std::io::Error) -> Error {
    match error.kind() {
        Io::StorageFull | Io::QuotaExceeded => {
            Error::new(ErrorKind::Exhausted, "the disk is full; free space. Nothing was lost")
        }
        _ => Error::wrap(ErrorKind::Unavailable, error),
    }
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

/// Calls `visit` for each blob; files that are none are left alone.
fn each_blob(
    path: &Path,
    mut visit: impl FnMut(BlobId, &fs::DirEntry) -> std::io::Result<()>,
) -> std::io::Result<()> {
    for group in fs::read_dir(path)? {
        let group = group?;
        if group.file_name() == PARTIAL || !group.file_type()?.is_dir() {
            continue;
        }
        for file in fs::read_dir(group.path())? {
            let file = file?;
            let id = file.file_name().to_str().and_then(|name| BlobId::parse(name).ok());
            if let Some(id) = id {
                visit(id, &file)?;
            }
        }
    }
    Ok(())
}

impl Folder {
    /// How many bytes there are. Makes the folder ready for writing the first time.
    fn used(&self) -> Result<MutexGuard<'_, Option<u64>>> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.is_none() {
            let counted = self.prepare().map_err(|error| match error.kind() {
                Io::StorageFull | Io::QuotaExceeded => failed(error),
                _ => Error::config(format!(
                    "{}: the folder cannot be used: {error}",
                    self.path.display()
                )),
            })?;
            *used = Some(counted);
        }
        Ok(used)
    }

    fn prepare(&self) -> std::io::Result<u64> {
        fs::create_dir_all(self.path.join(PARTIAL))?;
        for left in fs::read_dir(self.path.join(PARTIAL))? {
            fs::remove_file(left?.path())?;
        }
        let mut used = 0;
        each_blob(&self.path, |_, file| {
            used += file.metadata()?.len();
            Ok(())
        })?;
        sync_folder(&self.path)?;
        Ok(used)
    }

    /// The folder that a blob is in, and its file there.
    fn place(&self, id: &BlobId) -> (PathBuf, PathBuf) {
        let group = self.path.join(id.as_str().get(..2).unwrap_or_default());
        let file = group.join(id.as_str());
        (group, file)
    }

    fn put(&self, bytes: &[u8], now: Timestamp) -> Result<BlobId> {
        let id = BlobId::of(bytes);
        let (group, path) = self.place(&id);
        let mut guard = self.used()?;
        let used = guard.get_or_insert(0);
        let old = match fs::metadata(&path) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == Io::NotFound => 0,
            Err(error) => return Err(failed(error)),
        };
        if old == bytes.len() as u64 && self.is_whole(&id, &path)? {
            // Its time is now, so that no sweep takes it from the entry that will name it.
            let file = File::options().write(true).open(&path).map_err(failed)?;
            file.set_modified(system_time(now)).and_then(|()| file.sync_all()).map_err(failed)?;
            sync_folder(&group).map_err(failed)?;
            return Ok(id);
        }
        let after = (*used - old.min(*used)).saturating_add(bytes.len() as u64);
        if self.quota.is_some_and(|quota| after > quota) {
            return Err(Error::new(
                ErrorKind::Exhausted,
                "the blobs' quota is full; sweep, or raise it",
            )
            .with("bytes", bytes.len()));
        }
        self.write(&group, &path, bytes, now).map_err(failed)?;
        *used = after;
        Ok(id)
    }

    fn is_whole(&self, id: &BlobId, path: &Path) -> Result<bool> {
        match fs::read(path) {
            Ok(found) => Ok(BlobId::of(&found) == *id),
            Err(error) if error.kind() == Io::NotFound => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    /// Bytes first, then the name, then the folders that hold it; each on the disk before the next.
    fn write(
        &self,
        group: &Path,
        path: &Path,
        bytes: &[u8],
        now: Timestamp,
    ) -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(self.path.join(PARTIAL))?;
        file.write_all(bytes)?;
        file.as_file().set_modified(system_time(now))?;
        file.as_file().sync_all()?;
        fs::create_dir_all(group)?;
        file.persist(path).map_err(|error| error.error)?;
        sync_folder(group)?;
        sync_folder(&self.path)
    }

    fn get(&self, id: &BlobId) -> Result<Bytes> {
        let bytes = fs::read(self.place(id).1).map_err(|error| match error.kind() {
            Io::NotFound => {
                Error::new(ErrorKind::NotFound, "no such blob").with("blob", id.as_str())
            }
            _ => failed(error),
        })?;
        if BlobId::of(&bytes) != *id {
            return Err(Error::new(
                ErrorKind::InvalidData,
                "the stored bytes do not match their address; put them again or restore a backup",
            )
            .with("blob", id.as_str()));
        }
        Ok(bytes.into())
    }

    fn remove(&self, id: &BlobId) -> Result<()> {
        let (_, path) = self.place(id);
        let mut guard = self.used()?;
        let used = guard.get_or_insert(0);
        let size = match fs::metadata(&path) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == Io::NotFound => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        fs::remove_file(&path).map_err(failed)?;
        *used = used.saturating_sub(size);
        Ok(())
    }

    /// The blobs stored before `before`.
    fn older(&self, before: Timestamp) -> Result<Vec<BlobId>> {
        let mut older = Vec::new();
        drop(self.used()?);
        each_blob(&self.path, |id, file| {
            if stored_at(file.metadata()?.modified()?) < before {
                older.push(id);
            }
            Ok(())
        })
        .map_err(failed)?;
        Ok(older)
    }

    /// Removes `id` unless it was put again since.
    fn remove_older(&self, id: &BlobId, before: Timestamp) -> Result<bool> {
        let (_, path) = self.place(id);
        let mut guard = self.used()?;
        let used = guard.get_or_insert(0);
        let Ok(found) = fs::metadata(&path) else { return Ok(false) };
        if stored_at(found.modified().map_err(failed)?) >= before {
            return Ok(false);
        }
        fs::remove_file(&path).map_err(failed)?;
        *used = used.saturating_sub(found.len());
        Ok(true)
    }
}

fn system_time(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(at.0).unwrap_or(0))
}

fn stored_at(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[async_trait]
impl Blobs for FileBlobs {
    async fn put(&self, bytes: Bytes) -> Result<BlobId> {
        let (folder, now) = (Arc::clone(&self.folder), self.clock.now());
        blocking(move || folder.put(&bytes, now)).await
    }

    async fn get(&self, id: &BlobId) -> Result<Bytes> {
        let (folder, id) = (Arc::clone(&self.folder), id.clone());
        blocking(move || folder.get(&id)).await
    }

    async fn remove(&self, id: &BlobId) -> Result<()> {
        let (folder, id) = (Arc::clone(&self.folder), id.clone());
        blocking(move || folder.remove(&id)).await
    }

    async fn sweep(
        &self,
        before: Timestamp,
        live: &(dyn for<'a> Fn(&'a BlobId) -> bool + Sync),
    ) -> Result<u64> {
        let folder = Arc::clone(&self.folder);
        let older = blocking(move || folder.older(before)).await?;
        let dead: Vec<BlobId> = older.into_iter().filter(|id| !live(id)).collect();
        let folder = Arc::clone(&self.folder);
        blocking(move || {
            let mut swept = 0;
            for id in &dead {
                swept += u64::from(folder.remove_older(id, before)?);
            }
            Ok(swept)
        })
        .await
    }
}
