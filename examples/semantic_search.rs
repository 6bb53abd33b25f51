//! Searches the text files of a folder by words and by meaning: the memory as a library, without any gateway.
//!
//! Run with:
//!
//! ```sh
//! cargo run --release -p openclaw-examples --example semantic_search FOLDER "how do I …?"
//! ```
//!
//! The index is `.openclaw-search.db` in the folder; only what changed is indexed again.

use std::{io::Write as _, path::PathBuf, sync::Arc};

use openclaw_core::{
    Error, ErrorKind, Result,
    memory::{Memory as _, Query, Recalled, Scope},
};
use openclaw_memory::{
    embed::StaticEmbedder,
    files::{Folder, IndexProgress},
    sqlite::Sqlite,
};

/// Indexes `folder` and answers from it.
pub(crate) async fn search(
    folder: PathBuf,
    question: &str,
    progress: impl FnMut(IndexProgress) + Send,
) -> Result<Vec<Recalled>> {
    let store = Sqlite::open(folder.join(".openclaw-search.db")).await?;
    let memory = store.memory().embedder(Arc::new(StaticEmbedder::builtin())).open().await?;
    let scope = Scope::agent("search");
    let indexed = Folder::new(folder).index(&memory, &scope, progress).await?;
    for (file, why) in &indexed.skipped {
        eprintln!("{file} was passed over: {why}");
    }
    memory.settled().await;
    let found = memory.recall(&scope, &Query::new(question, 5)).await?;
    store.close().await?;
    Ok(found)
}

#[tokio::main]
async fn main() -> Result<()> {
    openclaw_examples::log();
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(question)) = (arguments.next(), arguments.next()) else {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "expected two arguments: the folder, and a question in quotation marks",
        ));
    };
    let show = |at: IndexProgress| {
        eprint!("\r\x1b[Kindexing {} of {}: {}", at.done, at.total, at.file);
        // Nothing depends on it.
        let _ = std::io::stderr().flush();
    };
    let found = search(folder.into(), &question, show).await?;
    eprintln!("\r\x1b[K{} found", found.len());
    for Recalled { fact, score, why, .. } in found {
        let file = fact.session.unwrap_or_default();
        println!("\n{file}   {score:.2} (words {:.2}, meaning {:.2})", why.words, why.meaning);
        println!("{}", fact.text);
    }
    Ok(())
}
