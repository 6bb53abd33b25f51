//! An assistant in the terminal. It goes on where it was when you start it again.
//!
//! Run with: `examples/run` (a small model on this machine if you have no key), or
//!
//! ```sh
//! OPENAI_API_KEY=… cargo run -p openclaw-examples --example hello [FOLDER]
//! OPENAI_BASE_URL=http://127.0.0.1:8080/v1 cargo run -p openclaw-examples --example hello
//! ```

use openclaw_channels::terminal::Terminal;
use openclaw_core::{Gateway, GatewayBuilder, Result, gateway::IntoProvider};
use openclaw_memory::sqlite::Sqlite;
use openclaw_providers::openai::OpenAi;
use openclaw_tools::Now;

pub(crate) fn app(model: impl IntoProvider, user: Terminal, store: Sqlite) -> GatewayBuilder {
    Gateway::builder().provider(model).channel(user).store(store).tool(Now::new())
}

#[tokio::main]
async fn main() -> Result<()> {
    openclaw_examples::log();
    let model = OpenAi::from_env()?;
    eprintln!("I think with {model}. Ctrl-D ends this.");
    let folder = openclaw_examples::folder()?;
    let store = Sqlite::open(folder.join("hello.db")).await?;
    let user = Terminal::new().with_history(folder.join("history.txt"));
    let gateway = app(model, user, store.clone()).start().await?;
    gateway.idle().await;
    gateway.shutdown().await?;
    store.close().await
}
