//! Code.

use openclaw_core::{
    Result,
    message::Content,
    sandbox::{Command, Exit, SandboxSpec, ToolSandbox},
    schemars,
    tool::{Capability, ToolContext, ToolOutput, ToolSpec, TypedTool},
};

use super::{
    misfit,
    output::{clean, media, mime, report},
    place, sealed, time,
};

/// The largest file that a call gives back, in bytes.
pub const MAX_FILE_BYTES: u64 = 10 << 20;
/// How many pictures a call gives back that it was not asked for.
const MAX_PICTURES: usize = 4;
/// How many files a call tells of.
const MAX_TOLD: usize = 50;

/// The tool `code`: runs Python or JavaScript in the session's box.
///
/// Pictures that the code writes, such as plots, come back to the model as pictures. Files that are named in
/// `show` go to the people of the conversation, where the reply goes.
#[derive(Clone, Debug, Default)]
pub struct Code {
    sandbox: SandboxSpec,
}

impl Code {
    /// In a box of the sandbox's default image and limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// In a box that is like this.
    #[must_use]
    pub fn sandbox(mut self, sandbox: SandboxSpec) -> Self {
        self.sandbox = sandbox;
        self
    }
}

/// The input.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeCall {
    /// The language.
    language: Language,
    /// The program.
    code: String,
    /// Files that the program writes and that are then sent to the user, such as plot.png.
    #[serde(default)]
    show: Vec<String>,
    /// How many seconds it may run.
    #[serde(default)]
    seconds: Option<u64>,
}

/// A language.
#[derive(Clone, Copy, Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Language {
    Python,
    Javascript,
}

impl Language {
    /// What runs a program that is read from standard input.
    fn program(self) -> &'static str {
        match self {
            Self::Python => "python3",
            Self::Javascript => "node",
        }
    }
}

/// Remembers when the program began, and becomes it.
const BEGIN: &str = "touch /tmp/began && exec \"$@\"";
/// The files that were written since then.
const WRITTEN: &str = "find . -type f -newer /tmp/began ! -path '*/.*' -size -10240k -print0 | sort -z | head -z -n 50";

async fn run(sandbox: &ToolSandbox, call: CodeCall) -> Result<ToolOutput> {
    if call.code.trim().is_empty() {
        return Err(misfit("The code is empty."));
    }
    let mut show = Vec::new();
    for path in &call.show {
        show.push(place(path)?);
    }
    let limits = sandbox.limits();
    let command = Command::new("sh")
        .args(["-c", BEGIN, "sh", call.language.program(), "-"])
        .env("MPLBACKEND", "Agg")
        .env("MPLCONFIGDIR", "/tmp")
        .stdin(call.code)
        .time(time(call.seconds, &limits)?)
        .output(limits.output.unwrap_or(openclaw_core::sandbox::DEFAULT_OUTPUT));
    let output = sandbox.output(command).await?;
    let mut made = ToolOutput::text(report(&output));
    if output.ended.exit == Exit::Time {
        return Ok(made);
    }
    add_written(sandbox, &mut made).await?;
    for path in show {
        match sandbox.read(&path, MAX_FILE_BYTES).await {
            Ok(bytes) => {
                let file = media(path.as_str(), mime(path.as_str()), &bytes);
                made = made.show(file);
                made.content.push(Content::text(format!("{path} was sent to the user.")));
            }
            Err(error) => {
                made.content.push(Content::text(format!("Not sent: {}", error.public_text())));
            }
        }
    }
    Ok(made)
}

/// Tells of the files that the program wrote, and adds the pictures among them.
async fn add_written(sandbox: &ToolSandbox, made: &mut ToolOutput) -> Result<()> {
    let written = sandbox.output(Command::new("sh").args(["-c", WRITTEN])).await?;
    let names: Vec<String> = written
        .stdout
        .split(|byte| *byte == 0)
        .filter_map(|name| std::str::from_utf8(name).ok()?.strip_prefix("./").map(str::to_owned))
        .take(MAX_TOLD)
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    let listed: Vec<String> = names.iter().map(|name| clean(name.as_bytes())).collect();
    made.content.push(Content::text(format!("files written: {}", listed.join(", "))));
    let pictures = names.iter().filter(|name| {
        matches!(mime(name), "image/png" | "image/jpeg" | "image/gif" | "image/webp")
    });
    for name in pictures.take(MAX_PICTURES) {
        let Ok(path) = place(name) else { continue };
        match sandbox.read(&path, MAX_FILE_BYTES).await {
            Ok(bytes) => made.content.push(media(name, mime(name), &bytes)),
            // It may be gone by now.
            Err(error) => tracing::debug!(%error, "a picture could not be read"),
        }
    }
    Ok(())
}

impl TypedTool for Code {
    type Input = CodeCall;

    fn spec(&self) -> ToolSpec {
        sealed(
            "code",
            "Runs a Python program (numpy and matplotlib are there) or a JavaScript program in an isolated \
             box without a network, in the folder /work, whose files stay between calls. Print what you \
             want to know. Save plots as PNG; name them in \"show\" to send them to the user.",
            Capability::Execute,
        )
        .sandbox(self.sandbox.clone())
    }

    async fn run(&self, cx: ToolContext, call: CodeCall) -> Result<ToolOutput> {
        run(cx.sandbox()?, call).await
    }
}
