//! An assistant that computes and draws: it writes Python, which runs in a box without a network, and sends
//! what the code drew.
//!
//! Run with a Docker engine, and the image that `openclaw-tools/image/build` makes in it and whose id it
//! prints:
//!
//! ```sh
//! OPENCLAW_IMAGE=sha256:… examples/run code_interpreter
//! ```
//!
//! (with `OPENAI_API_KEY` or `OPENAI_BASE_URL` set: the small offline model cannot write programs.)
//!
//! Say "Plot this: month,sales\n1,10\n2,17\n3,13". The code can harm nothing: it has no network, no secrets and
//! no files but its own, and whatever it prints is read as nobody's word.

use openclaw_channels::terminal::Terminal;
use openclaw_core::{
    Error, Gateway, GatewayBuilder, Result,
    agent::Agent,
    gateway::{IntoChannel, IntoProvider, IntoStore},
    sandbox::IntoSandbox,
};
use openclaw_memory::sqlite::Sqlite;
use openclaw_providers::openai::OpenAi;
use openclaw_tools::{
    boxed::{Code, Files, Shell},
    sandbox::docker::DockerSandbox,
};

const PERSONA: &str = "You answer questions about data by writing and running Python with the tool \"code\". \
    Draw with matplotlib when a picture says it better; save it as plot.png and name it in \"show\".";

/// The assistant, whatever it thinks with and wherever it is talked to.
pub(crate) fn app(
    provider: impl IntoProvider,
    channel: impl IntoChannel,
    store: impl IntoStore,
    sandbox: impl IntoSandbox,
) -> GatewayBuilder {
    Gateway::builder()
        .provider(provider)
        .channel(channel)
        .store(store)
        .sandbox(sandbox)
        .tool(Code::new())
        .tool(Files::new())
        .tool(Shell::new())
        .agent(Agent::new("main").persona(PERSONA))
}

#[tokio::main]
async fn main() -> Result<()> {
    openclaw_examples::log();
    let image = std::env::var("OPENCLAW_IMAGE").map_err(|_| {
        Error::config(
            "OPENCLAW_IMAGE is not set; set it to the id that openclaw-tools/image/build prints",
        )
    })?;
    let sandbox = DockerSandbox::builder().image("base", image).start().await?;
    let store = Sqlite::open(openclaw_examples::folder()?.join("code.db")).await?;
    let gateway = app(OpenAi::from_env()?, Terminal::new(), store.clone(), sandbox).start().await?;
    gateway.idle().await;
    gateway.shutdown().await?;
    store.close().await
}
