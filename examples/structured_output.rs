//! An answer that fits a Rust type.
//!
//! Run with: `examples/run structured_output`, or with `OPENAI_API_KEY` set:
//!
//! ```sh
//! cargo run -p openclaw-examples --example structured_output -- "Pizza with Ada, Friday at 7"
//! ```
//!
//! The provider is given the type's JSON Schema. What does not fit all the same goes back to the
//! model with what is wrong; what still does not fit is an error, never a guess.

use openclaw_core::{Gateway, GatewayBuilder, Handle, Result, agent::Agent, gateway::IntoProvider};
use openclaw_providers::openai::OpenAi;
use schemars::JsonSchema;
use serde::Deserialize;

/// An appointment.
#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Appointment {
    /// What it is about, in a few words.
    pub(crate) title: String,
    /// The day of the week.
    pub(crate) day: String,
    /// The hour, 0 to 23.
    pub(crate) hour: u8,
}

pub(crate) fn app(provider: impl IntoProvider) -> GatewayBuilder {
    let agent = Agent::new("clerk").persona("You read appointments out of notes.").without_tools();
    // Nothing needs to outlive this program.
    Gateway::builder().provider(provider).agent(agent).ephemeral()
}

pub(crate) async fn read(handle: &Handle, note: &str) -> Result<Appointment> {
    handle.ask_typed("notes", note).await
}

#[tokio::main]
async fn main() -> Result<()> {
    openclaw_examples::log();
    let provider = OpenAi::from_env()?;
    eprintln!("I think with {provider}.");
    let gateway = app(provider).start().await?;
    let note = std::env::args().nth(1).unwrap_or_else(|| "Pizza with Ada, Friday at 7 pm".into());
    let found = read(&gateway.handle(), &note).await?;
    println!("{found:#?}");
    gateway.shutdown().await
}
