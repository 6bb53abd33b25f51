//! The tools in real boxes.

use openclaw_core::{
    ErrorKind, Result,
    message::{Content, plain_text},
    plugin::{PluginContext, PluginEntry, Registry},
    sandbox::{Lease, Limits, Sandbox as _, SandboxSpec},
    serde_json::{Value, json},
    testing::TestCall,
    tool::{Tool, ToolOutput},
};
use openclaw_tools::{
    boxed::{Code, Files, Shell},
    sandbox::docker::{DockerSandbox, doctor::Examination},
};

use crate::engine::engine;

/// A sandbox, and boxes in it that no other test has.
struct Boxes {
    sandbox: DockerSandbox,
    spec: SandboxSpec,
}

async fn call(boxes: &Boxes, tool: &dyn Tool, arguments: Value) -> Result<ToolOutput> {
    let call = TestCall::new(&tool.spec().name, arguments);
    tool.call(call.sandbox(boxes.sandbox.clone(), boxes.spec.clone()).context()).await
}

async fn told(sandbox: &Boxes, tool: &dyn Tool, arguments: Value) -> String {
    match call(sandbox, tool, arguments).await {
        Ok(output) => plain_text(&output.content),
        Err(error) => format!("failed: {}", error.public_text()),
    }
}

async fn sandbox(test: &str) -> Option<Boxes> {
    let engine = engine(test)?;
    let sandbox = engine.builder().warm(0).examine(Examination::No).start().await.unwrap();
    let pages: u64 = test.bytes().map(u64::from).sum();
    let limits = Limits::default().disk((64 << 20) + pages * 4096);
    Some(Boxes { sandbox, spec: SandboxSpec::new().limits(limits) })
}

/// Ends the box of the calls of [`TestCall`].
async fn end(boxes: &Boxes) {
    let call = TestCall::new("shell", json!({})).sandbox(boxes.sandbox.clone(), boxes.spec.clone());
    let lease: Lease = call.context().sandbox().unwrap().lease().clone();
    boxes.sandbox.reap(&lease).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_run_at_once_and_in_the_background() {
    let Some(sandbox) = sandbox("boxed_shell").await else { return };
    let shell = Shell::new();
    let told = async |arguments| told(&sandbox, &shell, arguments).await;
    assert_eq!(
        told(json!({ "script": "echo a; echo b >&2; exit 3" })).await,
        "exit code 3\noutput:\na\n\nerrors:\nb\n"
    );
    assert_eq!(
        told(json!({ "argv": ["printf", "%s", "$HOME; x"] })).await,
        "exit code 0\noutput:\n$HOME; x"
    );
    assert_eq!(told(json!({ "argv": ["cat"], "stdin": "in" })).await, "exit code 0\noutput:\nin");
    assert_eq!(
        told(json!({ "argv": ["none"] })).await,
        "failed: there is no program \"none\" in the box"
    );
    assert_eq!(
        told(json!({ "script": "printf '\\033[31mred\\033[0m'" })).await,
        "exit code 0\noutput:\nred"
    );

    let start = json!({ "script": "echo one; read x; echo $x; while :; do sleep 1; done", "background": "job", "stdin": "two" });
    assert!(told(start).await.starts_with("exit code 0"));
    let mut seen = String::new();
    while !seen.contains("two") {
        let look = told(json!({ "look": "job" })).await;
        assert!(look.contains("runs"), "{look}");
        seen.push_str(&look);
    }
    // What was seen is not told again.
    assert_eq!(seen.matches("one").count(), 1, "{seen}");
    assert!(told(json!({ "stop": "job" })).await.starts_with("exit code 0"));
    assert!(told(json!({ "look": "job" })).await.contains("none of this name"));
    assert!(!told(json!({ "script": "ps ax" })).await.contains("sleep"));
    let late = told(json!({ "script": "sleep 100", "seconds": 1 })).await;
    assert!(late.contains("its files are gone"), "{late}");
    end(&sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_makes_pictures_that_are_shown() {
    let Some(sandbox) = sandbox("boxed_code").await else { return };
    let code = Code::new();
    let python = "
import matplotlib.pyplot as plt
print(6 * 7)
plt.plot([1, 4, 9])
plt.savefig('plot.png')
open('table.csv', 'w').write('a,b')
";
    let arguments =
        json!({ "language": "python", "code": python, "show": ["plot.png", "none.png"] });
    let output = call(&sandbox, &code, arguments).await.unwrap();
    let text = plain_text(&output.content);
    assert!(text.contains("42\n") && text.contains("files written: plot.png, table.csv"), "{text}");
    assert!(
        text.contains("plot.png was sent") && text.contains("Not sent: there is no file none.png"),
        "{text}"
    );
    let is_picture = |content: &Content| matches!(content, Content::Media(media) if media.mime == "image/png" && media.bytes > Some(1000));
    assert_eq!(output.content.iter().filter(|it| is_picture(it)).count(), 1);
    assert!(output.shown.len() == 1 && is_picture(&output.shown[0]));

    let javascript =
        json!({ "language": "javascript", "code": "console.log([3, 1, 2].sort().join())" });
    assert_eq!(told(&sandbox, &code, javascript).await, "exit code 0\noutput:\n1,2,3\n");
    let wrong = told(&sandbox, &code, json!({ "language": "python", "code": "1 / 0" })).await;
    assert!(wrong.contains("ZeroDivisionError"), "{wrong}");
    end(&sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_listed_found_and_searched() {
    let Some(sandbox) = sandbox("boxed_files").await else { return };
    let files = Files::new();
    let told = async |arguments| told(&sandbox, &files, arguments).await;
    for (path, text) in
        [("a.py", "import os\nprint(1)\n"), ("b/c.py", "print(2)\n"), ("b/d.txt", "print(3)")]
    {
        let written = told(json!({ "action": "write", "path": path, "text": text })).await;
        assert!(written.contains("was written"), "{written}");
    }
    let table = [
        (json!({ "action": "list" }), "a.py (19 bytes)\nb (folder)\n"),
        (
            json!({ "action": "list", "depth": 2 }),
            "a.py (19 bytes)\nb (folder)\nb/c.py (9 bytes)\nb/d.txt (8 bytes)\n",
        ),
        (json!({ "action": "list", "path": "/work/b" }), "b/c.py (9 bytes)\nb/d.txt (8 bytes)\n"),
        (json!({ "action": "glob", "pattern": "**/*.py" }), "a.py (19 bytes)\nb/c.py (9 bytes)\n"),
        (json!({ "action": "glob", "pattern": "*.py" }), "a.py (19 bytes)\n"),
        (json!({ "action": "glob", "pattern": "?/[!x].txt" }), "b/d.txt (8 bytes)\n"),
        (
            json!({ "action": "search", "pattern": "print\\(\\d\\)", "among": "**/*.py" }),
            "a.py:2: print(1)\nb/c.py:1: print(2)\n",
        ),
        (json!({ "action": "search", "pattern": "nowhere" }), "nothing\n"),
        (json!({ "action": "read", "path": "a.py", "from": 2 }), "print(1)\n(lines 2 to 2 of 2)"),
        (json!({ "action": "list", "path": "none" }), "failed: there is no folder none"),
        (
            json!({ "action": "read", "path": "none" }),
            "failed: there is no file none: No such file or directory",
        ),
    ];
    for (arguments, expected) in table {
        assert_eq!(told(arguments.clone()).await, expected, "{arguments}");
    }
    let wrong = told(json!({ "action": "search", "pattern": "(" })).await;
    assert!(wrong.contains("no regular expression"), "{wrong}");
    end(&sandbox).await;
}

const TOOL: &str = r#"
import json, sys
call = json.loads(sys.stdin.readline())
words = call["input"]["text"].split()
print(json.dumps({"progress": "half"}), flush=True)
if not words:
    print(json.dumps({"error": "there are no words"}))
elif words[0] == "garble":
    print("what?")
elif words[0] == "crash":
    sys.exit(3)
else:
    open("/work/words.txt", "w").write("\n".join(words))
    print(json.dumps({"text": str(len(words))}))
    print(json.dumps({"file": "words.txt"}))
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_a_tool_by_its_entry() {
    let Some(sandbox) = sandbox("boxed_process").await else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("count.py");
    std::fs::write(&path, TOOL).unwrap();
    let mut entry = PluginEntry::new("process")
        .with("name", "count_words")
        .with("description", "Counts words")
        .with("command", json!(["python3", "{tool}/count.py"]))
        .with("input", json!({ "type": "object", "properties": { "text": { "type": "string" } } }))
        .with("files", json!({ "count.py": path }));
    entry.sandbox = Some(openclaw_core::sandbox::SandboxKind::Docker);
    let registry = openclaw_tools::register(Registry::new());
    let parts = registry.load(&entry, PluginContext::new("process")).await.unwrap();
    let tool = parts.tools()[0].as_ref();
    let output = call(&sandbox, tool, json!({ "text": "one two three" })).await.unwrap();
    assert_eq!(plain_text(&output.content), "3");
    assert!(matches!(&output.content[1], Content::Media(media) if media.mime == "text/plain"));
    for (text, expected) in
        [("", "there are no words"), ("garble", "no JSON object"), ("crash", "ended with code 3")]
    {
        let error = call(&sandbox, tool, json!({ "text": text })).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.public_text().contains(expected), "{error}");
    }
    end(&sandbox).await;
}
