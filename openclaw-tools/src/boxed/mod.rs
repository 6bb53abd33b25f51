//! Tools that run in the box of their session.
//!
//! None of them reaches a network or holds a secret, so calls need no leave whatever the model has read;
//! their results are untrusted whatever they say.

mod code;
mod files;
mod output;
mod process;
mod shell;

pub use code::{Code, MAX_FILE_BYTES};
pub use files::{Files, MAX_TEXT_BYTES};
pub use process::{Process, ProcessConfig};
pub use shell::Shell;

use std::time::Duration;

use openclaw_core::{
    Error, ErrorKind, Result,
    label::Confidentiality,
    sandbox::{Limits, SandboxPath, SandboxSpec},
    tool::{Capability, Confinement, Effect, ToolSpec},
};

/// The longest that a command of a tool may run where the limits allow it.
pub const MAX_COMMAND_TIME: Duration = Duration::from_secs(10 * 60);
/// What a call takes beyond its command: making the box, moving files.
const MARGIN: Duration = Duration::from_secs(60);

/// How the tools are configured that are ours.
#[derive(Clone, Debug, Default, serde::Deserialize, openclaw_core::schemars::JsonSchema)]
#[schemars(crate = "openclaw_core::schemars")]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct BoxConfig {
    /// The image of its box, by the name that the sandbox knows; its default one if left out.
    #[serde(default)]
    pub image: Option<String>,
}

impl BoxConfig {
    /// What its box is like.
    pub fn spec(self) -> SandboxSpec {
        match self.image {
            Some(image) => SandboxSpec::new().image(image),
            None => SandboxSpec::new(),
        }
    }
}

/// A tool that runs in a sealed box. Made again after a crash it is in an empty box, as its first try ended
/// with the box that it was in; so a call acts once.
fn sealed(name: &str, description: &str, capability: Capability) -> ToolSpec {
    ToolSpec::read_only(name, description)
        .capability(capability)
        .effect(Effect::Idempotent)
        .confinement(Confinement::Sealed)
        .accepts(Confidentiality::Secret)
        .sandbox(SandboxSpec::new())
        .timeout(MAX_COMMAND_TIME + MARGIN)
}

/// How long a command may run: as asked, and as the limits say if nothing is asked.
fn time(asked: Option<u64>, limits: &Limits) -> Result<Duration> {
    let most = limits.time.unwrap_or(openclaw_core::sandbox::DEFAULT_TIME).min(MAX_COMMAND_TIME);
    match asked.map(Duration::from_secs) {
        None => Ok(most),
        Some(time) if time.is_zero() || time > most => {
            Err(misfit(format!("seconds: expected 1 to {}", most.as_secs())))
        }
        Some(time) => Ok(time),
    }
}

/// The folder of that name; the folder for work if none is said.
fn folder(path: Option<String>) -> Result<SandboxPath> {
    match path.as_deref() {
        None | Some("" | "." | "/work") => Ok(SandboxPath::root()),
        Some(path) => place(path),
    }
}

/// A path as models write it: `./a`, `/work/a` and `a` are the same.
fn place(path: &str) -> Result<SandboxPath> {
    let path = path.strip_prefix("/work/").unwrap_or(path);
    SandboxPath::new(path.strip_prefix("./").unwrap_or(path))
}

fn misfit(text: impl Into<String>) -> Error {
    let text = text.into();
    Error::new(ErrorKind::InvalidInput, text.clone()).with_public(text)
}
