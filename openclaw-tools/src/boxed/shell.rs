//! Commands.

use openclaw_core::{
    Result,
    sandbox::{Command, SandboxPath, SandboxSpec, ToolSandbox},
    schemars,
    tool::{Capability, ToolContext, ToolOutput, ToolSpec, TypedTool},
};

use super::{folder, misfit, output::report, sealed, time};

/// The tool `shell`: runs a script or a program in the session's box, at once or in the background.
///
/// What runs in the background goes on between calls, for as long as the box is there; a later call with its
/// name tells what it has put out since the last look, or ends it.
#[derive(Clone, Debug, Default)]
pub struct Shell {
    sandbox: SandboxSpec,
}

impl Shell {
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

/// The input: a script, a program, or the name of what runs in the background.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShellCall {
    /// A script for sh.
    #[serde(default)]
    script: Option<String>,
    /// In place of a script: a program and its arguments, which no shell reads.
    #[serde(default)]
    argv: Option<Vec<String>>,
    /// The folder in which it starts, below the folder for work.
    #[serde(default)]
    folder: Option<String>,
    /// What it reads from its standard input.
    #[serde(default)]
    stdin: Option<String>,
    /// How many seconds it may run.
    #[serde(default)]
    seconds: Option<u64>,
    /// Starts it in the background, under this name of letters, digits and "_".
    #[serde(default)]
    background: Option<String>,
    /// In place of a script: tells what the one of this name in the background has put out since the last
    /// look.
    #[serde(default)]
    look: Option<String>,
    /// In place of a script: ends the one of this name in the background.
    #[serde(default)]
    stop: Option<String>,
}

/// Starts a program in a session of its own; what it puts out is kept beside its exit code.
const START: &str = r#"
job=/tmp/job.$1; shift
mkdir "$job" 2>/dev/null || { echo "there is one of this name already" >&2; exit 1; }
cat >"$job/in"
echo 0 >"$job/seen"
setsid sh -c 'job=$1; shift; "$@" <"$job/in" >"$job/out" 2>&1; echo $? >"$job/code"' sh "$job" "$@" \
    </dev/null >/dev/null 2>&1 &
echo $! >"$job/pid"
"#;
/// Prints what is new, and how it stands, to standard error.
const LOOK: &str = r#"
job=/tmp/job.$1
[ -d "$job" ] || { echo "there is none of this name" >&2; exit 1; }
end=$(wc -c <"$job/out")
seen=$(cat "$job/seen")
tail -c "+$((seen + 1))" "$job/out" | head -c "$((end - seen))"
echo "$end" >"$job/seen"
if [ -f "$job/code" ]; then echo "ended with code $(cat "$job/code")" >&2; else echo "runs" >&2; fi
"#;
const STOP: &str = r#"
job=/tmp/job.$1
[ -d "$job" ] || { echo "there is none of this name" >&2; exit 1; }
kill -s KILL -- "-$(cat "$job/pid")" 2>/dev/null
rm -rf "$job"
"#;

impl ShellCall {
    /// The program to run in the foreground, or in the background.
    fn program(&self) -> Result<Vec<String>> {
        match (&self.script, &self.argv) {
            (Some(script), None) if !script.trim().is_empty() => {
                Ok(["sh", "-c", script].map(str::to_owned).to_vec())
            }
            (None, Some(argv)) if argv.first().is_some_and(|it| !it.is_empty()) => Ok(argv.clone()),
            _ => Err(misfit("expected one of: script, argv, look, stop")),
        }
    }

    fn command(&self) -> Result<Command> {
        let given = [
            self.script.is_some() || self.argv.is_some(),
            self.look.is_some(),
            self.stop.is_some(),
        ];
        if given.iter().filter(|it| **it).count() != 1 {
            return Err(misfit("expected one of: script, argv, look, stop"));
        }
        let own = |script: &str, name: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || name.len() > 32 || !name.chars().all(fits) {
                return Err(misfit(
                    "a name in the background has 1 to 32 letters, digits and \"_\"",
                ));
            }
            Ok(Command::new("sh").args(["-c", script, "sh", name]))
        };
        if let Some(name) = &self.look {
            return own(LOOK, name);
        }
        if let Some(name) = &self.stop {
            return own(STOP, name);
        }
        let mut program = self.program()?;
        match &self.background {
            Some(name) => Ok(own(START, name)?.args(program)),
            None => {
                let first = program.remove(0);
                Ok(Command::new(first).args(program))
            }
        }
    }
}

async fn run(sandbox: &ToolSandbox, call: ShellCall) -> Result<ToolOutput> {
    let folder: SandboxPath = folder(call.folder.clone())?;
    let mut command = call.command()?.folder(folder).time(time(call.seconds, &sandbox.limits())?);
    command.output = sandbox.limits().output.unwrap_or(command.output);
    if let Some(stdin) = call.stdin {
        command = command.stdin(stdin);
    }
    Ok(report(&sandbox.output(command).await?).into())
}

impl TypedTool for Shell {
    type Input = ShellCall;

    fn spec(&self) -> ToolSpec {
        sealed(
            "shell",
            "Runs a script or a program in an isolated Linux box without a network, in the folder /work, \
             whose files stay between calls. Can start it in the background and look at it later.",
            Capability::Execute,
        )
        .sandbox(self.sandbox.clone())
    }

    async fn run(&self, cx: ToolContext, call: ShellCall) -> Result<ToolOutput> {
        run(cx.sandbox()?, call).await
    }
}

#[cfg(test)]
mod tests {
    use openclaw_core::{
        sandbox::SandboxSpec,
        testing::{
            CommandScript, SandboxDouble,
            tool::{ToolFixture, suite},
        },
    };
    use serde_json::json;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn keeps_the_contract_of_tools() {
        let sandbox = SandboxDouble::new()
            .program("sh", |call| match call.arg(1) {
                "hang" => CommandScript::new().never_ends(),
                _ => CommandScript::print("done"),
            })
            .program("id", |_| CommandScript::print("65532"));
        let fixture = ToolFixture::new(Shell::new)
            .prepare(move |call| call.sandbox(sandbox.clone(), SandboxSpec::new()))
            .good(json!({ "script": "echo done" }))
            .slow(json!({ "script": "hang" }))
            .bad(json!({}))
            .bad(json!({ "script": " " }))
            .bad(json!({ "argv": [] }))
            .bad(json!({ "script": "a", "argv": ["b"] }))
            .bad(json!({ "script": "a", "look": "b" }))
            .bad(json!({ "script": "a", "folder": "../.." }))
            .bad(json!({ "script": "a", "seconds": 0 }))
            .bad(json!({ "script": "a", "seconds": 100_000 }))
            .bad(json!({ "script": "a", "background": "../x" }))
            .bad(json!({ "stop": "" }))
            .bad(json!({ "script": "a", "privileged": true }));
        suite("shell", fixture).assert().await;
    }
}
