//! Tools that are programs.

use std::{collections::BTreeMap, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use futures_util::StreamExt as _;
use openclaw_core::{
    Error, ErrorKind, Result, async_trait,
    message::Content,
    sandbox::{Command, CommandEvent, Exit, SandboxPath, ToolSandbox},
    schemars,
    tool::{Capability, Tool, ToolContext, ToolOutput, ToolSpec},
};
use serde_json::{Value, json};

use super::{
    code::MAX_FILE_BYTES,
    output::{clean, media, mime},
    place, sealed,
};

/// The longest line that a program may write, in bytes.
const MAX_LINE_BYTES: usize = 1 << 20;
/// How many files a program may give back.
const MAX_FILES: usize = 8;
/// The most bytes that a tool's own files may have together.
const MAX_OWN_BYTES: usize = 8 << 20;
/// Puts the tool's files into the box, and becomes its program.
const START: &str = include_str!("start.py");

/// How a [`Process`] is configured.
#[derive(Clone, Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ProcessConfig {
    /// The tool's name: 1 to 64 letters, digits, "_" and "-".
    pub name: String,
    /// For the model: what it does and when to use it.
    pub description: String,
    /// The JSON Schema of its input, an object; any object if left out.
    #[serde(default)]
    pub input: Option<Value>,
    /// The program in the box, and its arguments; {tool} in them is the folder of the tool's own files.
    pub command: Vec<String>,
    /// The tool's own files: where each is in its folder, and the file on this machine that it is read from
    /// when the plugin is loaded.
    #[serde(default)]
    pub files: BTreeMap<String, PathBuf>,
}

/// A tool that is a program in the session's box, in any language.
///
/// A call starts it. It reads one line, `{"call": "…", "tool": "…", "input": {…}}`, and writes lines, each a
/// JSON object with one of these:
///
/// | key | means |
/// |---|---|
/// | `text` | a text for the model; more than one are given in their order |
/// | `file` | a file in the box, below the folder for work, that is given with the result |
/// | `progress` | how far it is, for whoever watches |
/// | `error` | it failed, and why; nothing else of the result is given |
///
/// Its standard error is for the operator. It has failed, too, if it ends with another code than 0 or writes
/// anything else.
#[derive(Clone, Debug)]
pub struct Process {
    config: ProcessConfig,
    files: BTreeMap<String, String>,
}

impl Process {
    /// Reads the tool's own files.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if one of them cannot be read, they are too large, a path leads out, or
    /// there is no command.
    pub async fn load(config: ProcessConfig) -> Result<Self> {
        if config.command.first().is_none_or(String::is_empty) {
            return Err(Error::config("command: expected a program and its arguments"));
        }
        let mut files = BTreeMap::new();
        let mut left = MAX_OWN_BYTES;
        for (path, source) in &config.files {
            SandboxPath::new(path.clone()).map_err(|error| Error::config(error.to_string()))?;
            let from = source.clone();
            let read = tokio::task::spawn_blocking(move || std::fs::read(from)).await;
            let bytes = match read {
                Ok(Ok(bytes)) => bytes,
                Ok(Err(error)) => {
                    return Err(
                        Error::wrap(ErrorKind::InvalidConfig, error).with("file", source.display())
                    );
                }
                Err(error) => return Err(Error::internal(error.to_string())),
            };
            left = left.checked_sub(bytes.len()).ok_or_else(|| {
                Error::config(format!("files: at most {MAX_OWN_BYTES} bytes together"))
            })?;
            files.insert(path.clone(), BASE64.encode(bytes));
        }
        Ok(Self { config, files })
    }

    async fn run(&self, sandbox: &ToolSandbox, cx: &ToolContext) -> Result<ToolOutput> {
        let key: String = cx.key().chars().filter(char::is_ascii_alphanumeric).take(32).collect();
        let start = json!({
            "key": key, "files": self.files, "argv": self.config.command,
        });
        let request = json!({ "call": cx.key(), "tool": cx.tool(), "input": cx.input() });
        let limits = sandbox.limits();
        let command = Command::new("python3")
            .args(["-I", "-S", "-c", START])
            .stdin(format!("{start}\n{request}\n"))
            .time(limits.time.unwrap_or(openclaw_core::sandbox::DEFAULT_TIME))
            .output(limits.output.unwrap_or(openclaw_core::sandbox::DEFAULT_OUTPUT));
        let mut stream = sandbox.run(command).await?;
        let (mut said, mut line, mut errors) = (Said::default(), Vec::new(), Vec::new());
        // A program that fails is heard to its end: left alone, it would take the box with it.
        let mut failure = None;
        let ended = loop {
            match stream.next().await {
                Some(Ok(CommandEvent::Stdout(bytes))) => {
                    for byte in bytes {
                        let fits = match byte {
                            b'\n' => said.line(&std::mem::take(&mut line), cx),
                            _ if line.len() < MAX_LINE_BYTES => {
                                line.push(byte);
                                Ok(())
                            }
                            _ => Err(failed("a line that it wrote is too long")),
                        };
                        failure = failure.or(fits.err());
                    }
                }
                Some(Ok(CommandEvent::Stderr(bytes))) => errors.extend_from_slice(&bytes),
                Some(Ok(CommandEvent::Ended(ended))) => break ended,
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => return Err(failed("it did not say how it ended")),
            }
        };
        if !errors.is_empty() {
            tracing::debug!(tool = cx.tool(), errors = %clean(&errors), "a tool's own words");
        }
        if let Some(error) = failure.or(said.line(&line, cx).err()) {
            return Err(error);
        }
        match ended.exit {
            Exit::Code(0) if !ended.cut => {}
            Exit::Code(0) => return Err(failed("it wrote more than it may")),
            Exit::Code(code) => return Err(failed(&format!("it ended with code {code}"))),
            Exit::Time => return Err(failed("its time was over")),
            Exit::Memory => return Err(failed("it took more memory than it may")),
            _ => return Err(failed("it was ended")),
        }
        said.output(sandbox).await
    }
}

fn failed(why: &str) -> Error {
    let text = format!("the tool failed: {why}");
    Error::new(ErrorKind::InvalidData, text.clone()).with_public(text)
}

/// What the program has said so far.
#[derive(Default)]
struct Said {
    content: Vec<Content>,
    files: Vec<SandboxPath>,
}

impl Said {
    fn line(&mut self, line: &[u8], cx: &ToolContext) -> Result<()> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        let fields: BTreeMap<String, String> = serde_json::from_slice(line)
            .map_err(|_| failed("it wrote a line that is no JSON object of texts"))?;
        for (key, text) in fields {
            let text = clean(text.as_bytes());
            match key.as_str() {
                "text" => self.content.push(Content::text(text)),
                "progress" => cx.progress(&text),
                "error" => return Err(failed(&text)),
                "file" if self.files.len() < MAX_FILES => self.files.push(place(&text)?),
                "file" => return Err(failed("it gave too many files")),
                other => return Err(failed(&format!("it wrote {other:?}, which means nothing"))),
            }
        }
        Ok(())
    }

    async fn output(mut self, sandbox: &ToolSandbox) -> Result<ToolOutput> {
        for path in self.files {
            let bytes = sandbox.read(&path, MAX_FILE_BYTES).await?;
            self.content.push(media(path.as_str(), mime(path.as_str()), &bytes));
        }
        let mut output = ToolOutput::default();
        output.content = self.content;
        Ok(output)
    }
}

#[async_trait]
impl Tool for Process {
    fn spec(&self) -> ToolSpec {
        let any = || json!({ "type": "object" });
        sealed(&self.config.name, &self.config.description, Capability::Execute)
            .input_schema(self.config.input.clone().unwrap_or_else(any))
    }

    async fn call(&self, cx: ToolContext) -> Result<ToolOutput> {
        if !cx.input().is_object() {
            return Err(super::misfit("the arguments are to be an object"));
        }
        self.run(cx.sandbox()?, &cx).await
    }
}
