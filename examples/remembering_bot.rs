//! An assistant in the terminal that remembers across conversations: tell it something, type `/new`, ask.
//!
//! What is said is kept word for word and found again by words and by meaning, on this machine alone; the model
//! for meaning is part of the program. The memory files of a workspace (`MEMORY.md`, `memory/*.md` in the folder)
//! are followed too.
//!
//! Run with:
//!
//! ```sh
//! OPENAI_API_KEY=… cargo run -p openclaw-examples --example remembering_bot [FOLDER]
//! OPENAI_BASE_URL=http://127.0.0.1:8080/v1 cargo run -p openclaw-examples --example remembering_bot
//! ```

use std::{path::Path, sync::Arc, time::Duration};

use openclaw_channels::terminal::Terminal;
use openclaw_core::{
    Gateway, GatewayBuilder, Result, access::Principal, gateway::IntoProvider, label::Label,
    memory::Scope, time::Cancel,
};
use openclaw_memory::{
    embed::StaticEmbedder,
    files::{Folder, Indexed},
    sqlite::{Sqlite, SqliteMemory},
};
use openclaw_providers::openai::OpenAi;
use openclaw_tools::{MemoryForget, MemorySave, MemorySearch, Now};

pub(crate) async fn memory(store: &Sqlite) -> Result<SqliteMemory> {
    store.memory().embedder(Arc::new(StaticEmbedder::builtin())).open().await
}

pub(crate) fn app(
    model: impl IntoProvider,
    user: Terminal,
    store: Sqlite,
    memory: SqliteMemory,
) -> GatewayBuilder {
    Gateway::builder()
        .provider(model)
        .channel(user)
        .store(store)
        .memory(memory)
        .tool(MemorySearch)
        .tool(MemorySave)
        .tool(MemoryForget)
        .tool(Now::new())
}

/// Follows the memory files of a workspace; the owner wrote them.
fn follow(folder: &Path, memory: SqliteMemory, cancel: Cancel) {
    let files = Folder::workspace(folder).label(Label::user("workspace"));
    tokio::spawn(async move {
        let scope = Scope::of("main", &Principal::Owner);
        let each = Duration::from_secs(2);
        let heard = |indexed: Result<Indexed>| match indexed {
            Ok(indexed) => tracing::info!(?indexed, "the workspace changed"),
            Err(error) => tracing::warn!(%error, "the workspace cannot be read"),
        };
        files.watch(&memory, &scope, each, &cancel, heard).await;
    });
}

#[tokio::main]
async fn main() -> Result<()> {
    openclaw_examples::log();
    let model = OpenAi::from_env()?;
    eprintln!("I think with {model}. Ctrl-D ends this.");
    let folder = openclaw_examples::folder()?;
    let store = Sqlite::open(folder.join("remembering.db")).await?;
    let memory = memory(&store).await?;
    let cancel = Cancel::new();
    follow(&folder, memory.clone(), cancel.clone());
    let user = Terminal::new().with_history(folder.join("history.txt"));
    let gateway = app(model, user, store.clone(), memory).start().await?;
    gateway.idle().await;
    cancel.cancel();
    gateway.shutdown().await?;
    store.close().await
}
