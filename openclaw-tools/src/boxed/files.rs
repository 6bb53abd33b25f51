//! Files.

use openclaw_core::{
    Result,
    sandbox::{Command, SandboxPath, SandboxSpec, ToolSandbox},
    schemars,
    tool::{Capability, ToolContext, ToolOutput, ToolSpec, TypedTool},
};

use super::{
    folder, misfit,
    output::{clean, media, mime},
    place, sealed,
};

/// The largest file that is read, edited or written, in bytes.
pub const MAX_TEXT_BYTES: u64 = 1 << 20;
/// The largest picture that is read, in bytes.
const MAX_PICTURE_BYTES: u64 = 10 << 20;
/// How many lines are read at once if it is not said.
const LINES: usize = 2000;
/// Lists, finds and searches.
const LOOK: &str = include_str!("look.py");

/// The tool `files`: reads, writes, edits, lists and searches files in the session's box.
///
/// No path leads out of the folder for work, by no link either. An edit that does not fit exactly once is
/// refused and changes nothing, and so is a patch that does not fit everywhere.
#[derive(Clone, Debug, Default)]
pub struct Files {
    sandbox: SandboxSpec,
}

impl Files {
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

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Action {
    /// Reads a text, or looks at a picture.
    Read,
    /// Writes `text`, in place of what was there.
    Write,
    /// Replaces `old`, which must be there exactly once, by `new`.
    Edit,
    /// Applies `patch`, a unified diff of this one file.
    Patch,
    /// Lists a folder.
    List,
    /// Finds files whose path fits `pattern`, in which ** stands for any folders.
    Glob,
    /// Finds lines that fit the regular expression `pattern`.
    Search,
}

/// The input.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilesCall {
    /// What to do.
    action: Action,
    /// Which file; which folder to list, or to look in.
    #[serde(default)]
    path: Option<String>,
    /// For write: all that the file is to hold.
    #[serde(default)]
    text: Option<String>,
    /// For edit: what to replace, exactly as it stands, with enough around it to be there once.
    #[serde(default)]
    old: Option<String>,
    /// For edit: what to put in its place.
    #[serde(default)]
    new: Option<String>,
    /// For edit: replaces it everywhere.
    #[serde(default)]
    all: bool,
    /// For patch: a unified diff.
    #[serde(default)]
    patch: Option<String>,
    /// For glob and search.
    #[serde(default)]
    pattern: Option<String>,
    /// For search: only in files whose path fits this, as in **/*.py.
    #[serde(default)]
    among: Option<String>,
    /// For read: the first line, from 1 on.
    #[serde(default)]
    from: Option<usize>,
    /// For read: how many lines.
    #[serde(default)]
    lines: Option<usize>,
    /// For list: how deep to look into folders; 1 if it is not said.
    #[serde(default)]
    depth: Option<u32>,
}

/// What an action needs.
fn need<T>(value: Option<T>, action: &str, name: &str) -> Result<T> {
    value.ok_or_else(|| misfit(format!("{action} needs {name:?}")))
}

async fn run(sandbox: &ToolSandbox, call: FilesCall) -> Result<ToolOutput> {
    let file = |action: &str| place(&need(call.path.clone(), action, "path")?);
    match call.action {
        Action::Read => read(sandbox, &file("read")?, call.from, call.lines).await,
        Action::Write => {
            let (path, text) = (file("write")?, need(call.text, "write", "text")?);
            let bytes = text.len();
            write(sandbox, &path, text).await?;
            Ok(format!("{path} was written: {bytes} bytes").into())
        }
        Action::Edit => {
            let path = file("edit")?;
            let old = need(call.old, "edit", "old")?;
            let new = need(call.new, "edit", "new")?;
            let before = text(sandbox, &path).await?;
            let (after, count) = replaced(&before, &old, &new, call.all)?;
            write(sandbox, &path, after).await?;
            Ok(format!("{path} was edited in {count} place(s)").into())
        }
        Action::Patch => {
            let (path, patch) = (file("patch")?, need(call.patch, "patch", "patch")?);
            let before = text(sandbox, &path).await?;
            let after = patched(&before, &patch)?;
            write(sandbox, &path, after).await?;
            Ok(format!("{path} was patched").into())
        }
        Action::List | Action::Glob | Action::Search => look(sandbox, call).await,
    }
}

/// The text with the replacement, and how often it was made.
fn replaced(before: &str, old: &str, new: &str, all: bool) -> Result<(String, usize)> {
    if old.is_empty() {
        return Err(misfit("old: it is empty; to make a file, write it"));
    }
    match before.matches(old).count() {
        0 => Err(misfit("old: it is not in the file as it stands, down to every blank")),
        1 => Ok((before.replacen(old, new, 1), 1)),
        count if all => Ok((before.replace(old, new), count)),
        count => Err(misfit(format!(
            "old: it is in the file {count} times; give more of what is around it, or say \"all\""
        ))),
    }
}

fn patched(before: &str, patch: &str) -> Result<String> {
    let parsed = diffy::Patch::from_str(patch)
        .map_err(|error| misfit(format!("patch: it is no unified diff of one file: {error}")))?;
    if parsed.hunks().is_empty() {
        return Err(misfit("patch: it changes nothing"));
    }
    diffy::apply(before, &parsed)
        .map_err(|error| misfit(format!("patch: it does not fit the file: {error}")))
}

async fn read(
    sandbox: &ToolSandbox,
    path: &SandboxPath,
    from: Option<usize>,
    lines: Option<usize>,
) -> Result<ToolOutput> {
    let kind = mime(path.as_str());
    if matches!(kind, "image/png" | "image/jpeg" | "image/gif" | "image/webp") {
        let bytes = sandbox.read(path, MAX_PICTURE_BYTES).await?;
        return Ok(media(path.as_str(), kind, &bytes).into());
    }
    let bytes = sandbox.read(path, MAX_TEXT_BYTES).await?;
    if bytes.contains(&0) {
        return Ok(format!("{path} is no text: {} bytes", bytes.len()).into());
    }
    let text = clean(&bytes);
    let first = from.unwrap_or(1).max(1);
    let all: Vec<&str> = text.lines().collect();
    let some: Vec<&str> =
        all.iter().skip(first - 1).take(lines.unwrap_or(LINES)).copied().collect();
    let last = first - 1 + some.len();
    let mut shown = some.join("\n");
    if first > 1 || last < all.len() {
        shown.push_str(&format!("\n(lines {first} to {last} of {})", all.len()));
    }
    Ok(shown.into())
}

/// A text as it stands, to be changed.
async fn text(sandbox: &ToolSandbox, path: &SandboxPath) -> Result<String> {
    let bytes = sandbox.read(path, MAX_TEXT_BYTES).await?;
    String::from_utf8(bytes.into()).map_err(|_| misfit(format!("{path} is no UTF-8 text")))
}

async fn write(sandbox: &ToolSandbox, path: &SandboxPath, text: String) -> Result<()> {
    if text.len() as u64 > MAX_TEXT_BYTES {
        return Err(misfit(format!("the file would be longer than {MAX_TEXT_BYTES} bytes")));
    }
    sandbox.write(path, text).await
}

async fn look(sandbox: &ToolSandbox, call: FilesCall) -> Result<ToolOutput> {
    let action = match call.action {
        Action::Glob => "glob",
        Action::Search => "search",
        _ => "list",
    };
    let pattern = match action {
        "list" => String::new(),
        _ => need(call.pattern, action, "pattern")?,
    };
    let depth = call.depth.unwrap_or(if action == "list" { 1 } else { 64 }).clamp(1, 64);
    let wanted = serde_json::json!({
        "action": action, "path": folder(call.path)?.as_str(), "pattern": pattern,
        "among": call.among, "depth": depth,
    });
    let command = Command::new("python3").args(["-I", "-S", "-c", LOOK]).arg(wanted.to_string());
    let output = sandbox.output(command).await?;
    let (said, errors) = (clean(&output.stdout), clean(&output.stderr));
    match output.ended.exit.is_success() {
        true if output.ended.cut => Ok(format!("{said}\n(more is left out)").into()),
        true => Ok(said.into()),
        false => Err(misfit(errors.trim())),
    }
}

impl TypedTool for Files {
    type Input = FilesCall;

    fn spec(&self) -> ToolSpec {
        sealed(
            "files",
            "Reads, writes, edits, patches, lists, finds and searches files in the folder /work of an \
             isolated box, the one in which code and commands run.",
            Capability::WriteReversible,
        )
        .sandbox(self.sandbox.clone())
    }

    async fn run(&self, cx: ToolContext, call: FilesCall) -> Result<ToolOutput> {
        run(cx.sandbox()?, call).await
    }
}

#[cfg(test)]
mod tests {
    use openclaw_core::{
        sandbox::SandboxSpec,
        testing::{
            SandboxDouble, TestCall,
            tool::{ToolFixture, suite},
        },
        tool::Tool as _,
    };
    use serde_json::{Value, json};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn keeps_the_contract_of_tools() {
        let fixture = ToolFixture::new(Files::new)
            .prepare(|call| call.sandbox(SandboxDouble::new(), SandboxSpec::new()))
            .good(json!({ "action": "write", "path": "a.txt", "text": "a" }))
            .bad(json!({ "action": "write", "path": "a.txt" }))
            .bad(json!({ "action": "read" }))
            .bad(json!({ "action": "read", "path": "../a" }))
            .bad(json!({ "action": "read", "path": "/etc/passwd" }))
            .bad(json!({ "action": "write", "path": "/work/../etc/x", "text": "" }))
            .bad(json!({ "action": "search" }))
            .bad(json!({ "action": "chmod", "path": "a" }));
        suite("files", fixture).assert().await;
    }

    async fn told(sandbox: &SandboxDouble, call: Value) -> Result<String> {
        let call = TestCall::new("files", call).sandbox(sandbox.clone(), SandboxSpec::new());
        let output = Files::new().call(call.context()).await?;
        Ok(openclaw_core::message::plain_text(&output.content))
    }

    #[tokio::test]
    async fn edits_fit_exactly_or_change_nothing() {
        let sandbox = SandboxDouble::new();
        let write = json!({ "action": "write", "path": "/work/a.txt", "text": "one\ntwo\ntwo\n" });
        told(&sandbox, write).await.unwrap();
        let edit = |old: &str, new: &str, all: bool| json!({ "action": "edit", "path": "./a.txt", "old": old, "new": new, "all": all });
        for (old, expected) in [("three", "not in the file"), ("two", "2 times"), ("", "empty")] {
            let error = told(&sandbox, edit(old, "x", false)).await.unwrap_err();
            assert!(error.public_text().contains(expected), "{error}");
        }
        told(&sandbox, edit("one", "1", false)).await.unwrap();
        told(&sandbox, edit("two", "2", true)).await.unwrap();
        let read = json!({ "action": "read", "path": "a.txt" });
        assert_eq!(told(&sandbox, read.clone()).await.unwrap(), "1\n2\n2");

        let patch = |patch: &str| json!({ "action": "patch", "path": "a.txt", "patch": patch });
        for bad in ["", "nonsense", "--- a\n+++ b\n@@ -1,1 +1,1 @@\n-elsewhere\n+x\n"] {
            assert!(told(&sandbox, patch(bad)).await.is_err(), "{bad}");
        }
        let good = "--- a.txt\n+++ a.txt\n@@ -1,3 +1,3 @@\n 1\n-2\n+zwei\n 2\n";
        told(&sandbox, patch(good)).await.unwrap();
        assert_eq!(told(&sandbox, read).await.unwrap(), "1\nzwei\n2");
        let part = json!({ "action": "read", "path": "a.txt", "from": 2, "lines": 1 });
        assert_eq!(told(&sandbox, part).await.unwrap(), "zwei\n(lines 2 to 2 of 3)");
    }
}
