//! A tool that is a program in any language, by a configuration alone. It runs in a box.
//!
//! Run with a Docker engine, and the image that `openclaw-tools/image/build` makes in it and whose id it
//! prints:
//!
//! ```sh
//! OPENCLAW_IMAGE=sha256:… examples/run boxed_plugin
//! ```
//!
//! Ask "How many words does this have?". The program is `count_words.py` beside this file: it reads a line of
//! JSON and writes lines of JSON. What is in `config` here is what stands in a gateway's file.

use openclaw_channels::terminal::Terminal;
use openclaw_core::{
    Error, Gateway, GatewayBuilder, Result,
    gateway::{IntoChannel, IntoProvider},
    plugin::{Config, Registry},
};
use openclaw_providers::openai::OpenAi;

/// The configuration, for the engine at `socket` and an image in it.
pub(crate) fn config(socket: &str, image: &str) -> Result<Config> {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/boxed_plugin/count_words.py");
    Config::parse(&format!(
        r#"{{
    "ephemeral": true,
    "plugins": [
        {{"plugin": "docker", "config": {{"socket": {socket:?}, "images": {{"base": {image:?}}}}}}},
        {{
            "plugin": "process",
            "sandbox": "docker",
            "limits": {{"memory": "128mb", "cpus": 1, "pids": 32, "disk": "16mb", "time": "10s"}},
            "config": {{
                "name": "count_words",
                "description": "Counts the words of a text.",
                "command": ["python3", "{{tool}}/count_words.py"],
                "files": {{"count_words.py": {program:?}}},
                "input": {{
                    "type": "object",
                    "properties": {{"text": {{"type": "string", "description": "The text."}}}},
                    "required": ["text"]
                }}
            }}
        }}
    ]
}}"#
    ))
}

/// The assistant, whatever it thinks with and wherever it is talked to.
pub(crate) fn app(
    provider: impl IntoProvider,
    channel: impl IntoChannel,
    config: Config,
) -> GatewayBuilder {
    let registry = openclaw_tools::register(Registry::new());
    Gateway::builder().provider(provider).channel(channel).config(&registry, config)
}

#[tokio::main]
async fn main() -> Result<()> {
    openclaw_examples::log();
    let image = std::env::var("OPENCLAW_IMAGE").map_err(|_| {
        Error::config(
            "OPENCLAW_IMAGE is not set; set it to the id that openclaw-tools/image/build prints",
        )
    })?;
    let config = config("/var/run/docker.sock", &image)?;
    let gateway = app(OpenAi::from_env()?, Terminal::new(), config).start().await?;
    gateway.idle().await;
    gateway.shutdown().await
}
