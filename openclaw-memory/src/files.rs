//! Text files as memories: the Markdown files of an agent's workspace, or any folder.
//!
//! ```
//! use openclaw_core::{label::Label, memory::{Memory as _, Query, Scope}};
//! use openclaw_memory::{files::Folder, sqlite::Sqlite};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> openclaw_core::Result<()> {
//! # let folder = tempfile::tempdir().unwrap();
//! # let notes = folder.path().join("notes");
//! # std::fs::create_dir(&notes).unwrap();
//! # std::fs::write(notes.join("MEMORY.md"), "# Home\n\nThe spare key is under the blue pot.\n").unwrap();
//! let store = Sqlite::open(folder.path().join("memory.db")).await?;
//! let memory = store.memory().open().await?;
//! let scope = Scope::agent("main");
//! let indexed = Folder::workspace(&notes).index(&memory, &scope, |_| ()).await?;
//! assert_eq!((indexed.files, indexed.changed), (1, 1));
//! let found = memory.recall(&scope, &Query::new("Where is the spare key?", 3)).await?;
//! assert!(found[0].fact.text.contains("blue pot"));
//! # store.close().await
//! # }
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use openclaw_core::{
    Error, ErrorKind, Result,
    error::ResultExt as _,
    label::Label,
    memory::{Fact, FactKind, Forget, Memory, Page, Scope},
    time::{Cancel, Timestamp},
};

/// The longest file that is read, in bytes.
pub const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;
/// The most files of a folder.
pub const MAX_FILES: usize = 100_000;
/// How long a piece is at most, in characters, unless a single line is longer.
const PIECE: usize = 1_200;
/// How deep folders lie within each other at most.
const DEPTH: usize = 32;
/// Begins the ids of pieces.
const PREFIX: &str = "file ";
const PAGE: usize = 500;

/// A folder whose text files are remembered in pieces.
///
/// - A piece has the id `file PATH#NUMBER`, with the path relative to the folder, the kind
///   [`FactKind::Chunk`], and the moment when its file was changed. A piece that changed supersedes what it was, so
///   queries as of a moment see files as they were then.
/// - Pieces that are no more are forgotten, also those of a file that is gone.
/// - Links are not followed. Files that are no UTF-8, hidden or longer than [`MAX_FILE_BYTES`] are passed over.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
    workspace: bool,
    label: Label,
}

/// How far an indexing is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IndexProgress {
    /// Files that were read.
    pub done: usize,
    /// Files that there are.
    pub total: usize,
    /// The file that was read last, relative to the folder.
    pub file: String,
}

/// What an indexing came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Indexed {
    /// Files that were read.
    pub files: usize,
    /// Pieces in them.
    pub pieces: usize,
    /// Pieces that are new or other than before.
    pub changed: usize,
    /// Pieces that are no more.
    pub forgotten: usize,
    /// Files that were passed over, and why.
    pub skipped: Vec<(String, String)>,
}

impl Folder {
    /// All `.md` and `.txt` files in `root` and the folders in it.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), workspace: false, label: Label::default() }
    }

    /// The memory files of an agent's workspace: `MEMORY.md`, and the `.md` files in `memory`.
    pub fn workspace(root: impl Into<PathBuf>) -> Self {
        Self { workspace: true, ..Self::new(root) }
    }

    /// Says whose word the files are, and who may see them; untrusted and private unless it is said, since
    /// nobody knows who wrote them.
    #[must_use]
    pub fn label(mut self, label: Label) -> Self {
        self.label = label;
        self
    }

    /// Brings what is remembered of the folder up to what is in it. The memory must have no other facts whose
    /// ids begin with `file ` in this scope.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the folder cannot be read or has more than [`MAX_FILES`]; or the memory
    /// failed. What was indexed before that stays.
    pub async fn index(
        &self,
        memory: &dyn Memory,
        scope: &Scope,
        mut progress: impl FnMut(IndexProgress) + Send,
    ) -> Result<Indexed> {
        let files = blocking({
            let this = self.clone();
            move || this.files()
        })
        .await?;
        let mut known = known(memory, scope).await?;
        let mut indexed = Indexed::default();
        let total = files.len();
        for (done, name) in files.into_iter().enumerate() {
            let path = self.root.join(&name);
            match blocking(move || Ok(read(&path))).await? {
                Ok((text, at)) => {
                    indexed.files += 1;
                    let mut facts = Vec::new();
                    for (number, piece) in pieces(&text).into_iter().enumerate() {
                        indexed.pieces += 1;
                        let id = format!("{PREFIX}{name}#{number}");
                        if known.remove(&id).as_deref() == Some(piece) {
                            continue;
                        }
                        let place = u64::try_from(number).unwrap_or(u64::MAX);
                        let fact = Fact::new(id, piece, self.label.clone(), at);
                        facts.push(fact.kind(FactKind::Chunk).in_session(name.as_str(), place));
                    }
                    indexed.changed += facts.len();
                    memory.remember(scope, facts).await?;
                }
                Err(why) => indexed.skipped.push((name.clone(), why)),
            }
            progress(IndexProgress { done: done + 1, total, file: name });
        }
        let gone: Vec<String> = known.into_keys().collect();
        indexed.forgotten = gone.len();
        if !gone.is_empty() {
            memory.forget(scope, &Forget::Ids(gone)).await?;
        }
        Ok(indexed)
    }

    /// Indexes the folder, and again whenever one of its files is other than before, looked for each `every`;
    /// until it is cancelled. `heard` is told of each indexing that changed something, or failed.
    pub async fn watch(
        &self,
        memory: &dyn Memory,
        scope: &Scope,
        every: Duration,
        cancel: &Cancel,
        mut heard: impl FnMut(Result<Indexed>) + Send,
    ) {
        let mut seen = None;
        loop {
            let this = self.clone();
            match blocking(move || this.state()).await {
                Ok(state) if seen.as_ref() == Some(&state) => {}
                Ok(state) => match self.index(memory, scope, |_| ()).await {
                    Ok(indexed) => {
                        // Changed meanwhile: seen the next time.
                        seen = Some(state);
                        if indexed.changed + indexed.forgotten > 0 {
                            heard(Ok(indexed));
                        }
                    }
                    Err(error) => heard(Err(error)),
                },
                Err(error) => heard(Err(error)),
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(every) => {}
            }
        }
    }

    /// The names of the files, relative to the folder, in order.
    fn files(&self) -> Result<Vec<String>> {
        let unreadable =
            |error| Error::wrap(ErrorKind::InvalidInput, error).with("folder", self.root.display());
        // So that a folder that is not there is not taken for one that is empty.
        fs::read_dir(&self.root).map_err(unreadable)?;
        let mut found = BTreeSet::new();
        if self.workspace {
            if self.root.join("MEMORY.md").is_file() {
                found.insert("MEMORY.md".to_owned());
            }
            self.walk(Path::new("memory"), DEPTH, &mut found)?;
            found.retain(|name| has_extension(name, &["md"]));
        } else {
            self.walk(Path::new(""), 0, &mut found)?;
        }
        Ok(found.into_iter().collect())
    }

    fn walk(&self, folder: &Path, depth: usize, found: &mut BTreeSet<String>) -> Result<()> {
        let Ok(entries) = fs::read_dir(self.root.join(folder)) else { return Ok(()) };
        for entry in entries.flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let Ok(kind) = entry.file_type() else { continue };
            if name.starts_with('.') {
                continue;
            }
            let path = folder.join(&name);
            if kind.is_dir() && depth < DEPTH {
                self.walk(&path, depth + 1, found)?;
            } else if kind.is_file() && has_extension(&name, &["md", "txt"]) {
                // One separator everywhere, so that ids do not depend on the system.
                let parts: Vec<&str> = path.iter().filter_map(|part| part.to_str()).collect();
                found.insert(parts.join("/"));
            }
            if found.len() > MAX_FILES {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!(
                        "{} has more than {MAX_FILES} files; index a part of it",
                        self.root.display()
                    ),
                ));
            }
        }
        Ok(())
    }

    /// What tells whether a file is other than before.
    fn state(&self) -> Result<BTreeMap<String, (u64, Timestamp)>> {
        let files = self.files()?.into_iter().filter_map(|name| {
            let data = fs::metadata(self.root.join(&name)).ok()?;
            Some((name, (data.len(), changed(&data))))
        });
        Ok(files.collect())
    }
}

fn has_extension(name: &str, extensions: &[&str]) -> bool {
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|found| extensions.iter().any(|one| found.eq_ignore_ascii_case(one)))
}

fn changed(data: &fs::Metadata) -> Timestamp {
    let since = data.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    let millis = since.map_or(0, |since| since.as_millis());
    Timestamp(i64::try_from(millis).unwrap_or(i64::MAX))
}

/// A file's text and when it was changed, or why it is passed over.
fn read(path: &Path) -> Result<(String, Timestamp), String> {
    let data = fs::metadata(path).map_err(|error| error.to_string())?;
    if data.len() > MAX_FILE_BYTES {
        return Err(format!("it has {} bytes, at most {MAX_FILE_BYTES} are read", data.len()));
    }
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    Ok((text, changed(&data)))
}

/// What is remembered of files, by id.
async fn known(memory: &dyn Memory, scope: &Scope) -> Result<BTreeMap<String, String>> {
    let mut known = BTreeMap::new();
    // Nothing that begins with the prefix comes before it.
    let mut after = Some(PREFIX.trim_end().to_owned());
    loop {
        let facts = memory.list(scope, &Page { after, limit: PAGE }).await?;
        let full = facts.len() == PAGE;
        after = facts.last().map(|fact| fact.id.clone());
        for fact in facts {
            if !fact.id.starts_with(PREFIX) {
                return Ok(known);
            }
            known.insert(fact.id, fact.text);
        }
        if !full {
            return Ok(known);
        }
    }
}

/// The pieces of a text: as many whole paragraphs as have room; a heading begins a new one, and a longer
/// paragraph is cut at the ends of lines.
fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut begin, mut end) = (0, 0);
    let mut blank = false;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let next = at + line.len();
        let is_heading = line.starts_with('#');
        let long = text.get(begin..next).is_some_and(|piece| piece.chars().count() > PIECE);
        if end > begin && (is_heading || long && (blank || line.len() > 1)) {
            pieces.extend(text.get(begin..end));
            begin = at;
        }
        blank = line.trim().is_empty();
        at = next;
        end = next;
    }
    pieces.extend(text.get(begin..end));
    pieces.into_iter().map(str::trim).filter(|piece| !piece.is_empty()).collect()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.kind(ErrorKind::Internal)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_hold_all_of_a_text_and_are_not_long() {
        let paragraph = "a line of some words that make a paragraph\n".repeat(4);
        let text =
            format!("# One\n\n{0}\n{0}\n## Two\n{0}\n{1}\n", paragraph, paragraph.repeat(20));
        let found = pieces(&text);
        assert!(found[0].starts_with("# One") && !found[0].contains("## Two"));
        assert!(found[1].starts_with("## Two"));
        assert!(found.iter().all(|piece| piece.chars().count() <= PIECE), "{found:?}");
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(found.iter().flat_map(|piece| words(piece)).collect::<Vec<_>>(), words(&text));
        assert_eq!(pieces(""), Vec::<&str>::new());
        assert_eq!(pieces("one line"), ["one line"]);
        assert_eq!(pieces(&"x".repeat(5_000)).len(), 1);
    }
}
