//! Paths that want to lead out, and links that change while they are followed.

use std::time::Duration;

use openclaw_core::{
    ErrorKind,
    bytes::Bytes,
    message::plain_text,
    sandbox::{Command, Lease, Limits, Sandbox as _, SandboxPath, SandboxSpec},
    serde_json::{self, Value, json},
    testing::TestCall,
    tool::Tool as _,
};
use openclaw_tools::{boxed::Files, sandbox::docker::doctor::Examination};

use crate::{
    engine::engine,
    pool::{lease, said},
};

/// What reads and writes files in boxes.
const PROGRAM: &str = include_str!("../../src/sandbox/docker/files.py");

/// Spellings of places that are not below the folder for work.
fn spellings() -> Vec<String> {
    let ups = ["..", "../..", "../../..", "a/..", "a/../..", "./..", "..//..", "a/../../.."];
    let targets = ["etc/passwd", "tmp/out", "proc/1/environ", "work/../etc/passwd", "dev/null", ""];
    let mut all = Vec::new();
    for up in ups {
        for target in targets {
            for end in ["", "/", "/.", "\0", "\n"] {
                all.push(format!("{up}/{target}{end}"));
            }
        }
    }
    for target in targets {
        for start in
            ["/", "//", "/work/../", "\\", "..\\", "C:\\", "file:///", "\\\\host\\", "./", "~/"]
        {
            all.push(format!("{start}{target}"));
        }
    }
    all
}

/// Folders and links that a box may hold, and paths through them.
const LINKS: &str = "
mkdir -p in/deep /tmp/out; echo inner >in/deep/file; echo outer >/tmp/out/file; echo outer >/tmp/file
ln -s /tmp/out absolute; ln -s ../tmp/out relative; ln -s in/deep inside; ln -s in/../../tmp/out twisted
ln -s loop loop; ln -s b a; ln -s a b; ln -s /proc/self/root/tmp/out root; ln -s /proc/self/cwd/../tmp/out cwd
ln -s /etc/passwd in/deep/passwd; ln -s ../../../../../../tmp/out in/deep/up; ln -s . self; ln -s .. parent
ln -s /dev/stdin stdin; ln -s /proc/1/mem memory; mkfifo pipe; ln -s inside chain; ln -s absolute chain_out
";

/// What a model may write in place of a path reads nothing, or a file below the folder for work.
#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_leads_out() {
    let Some(engine) = engine("paths_spelled") else { return };
    let sandbox = engine.builder().warm(0).examine(Examination::No).start().await.unwrap();
    let limits = Limits::default().disk(24 << 20);
    let call = |arguments| {
        let spec = SandboxSpec::new().limits(limits.clone());
        TestCall::new("files", arguments).sandbox(sandbox.clone(), spec).context()
    };
    let write = json!({ "action": "write", "path": "./etc/passwd", "text": "inner" });
    Files::new().call(call(write)).await.unwrap();
    let (spellings, mut inner) = (spellings(), 0);
    assert!(spellings.len() >= 300, "{}", spellings.len());
    for path in spellings {
        match Files::new().call(call(json!({ "action": "read", "path": path }))).await {
            Ok(output) => {
                assert_eq!(plain_text(&output.content), "inner", "{path:?}");
                inner += 1;
            }
            Err(error) => {
                let kind = error.kind();
                assert!(matches!(kind, ErrorKind::InvalidInput | ErrorKind::NotFound), "{error:?}");
            }
        }
    }
    assert!(inner > 0, "not even its own file could be read");
    let lease = call(json!({})).sandbox().unwrap().lease().clone();
    sandbox.reap(&lease).await.unwrap();
}

/// Hundreds of links and archives, made in a box and followed there by the sandbox's own program.
#[tokio::test(flavor = "multi_thread")]
async fn no_link_and_no_archive_leads_out() {
    let Some(engine) = engine("paths_corpus") else { return };
    let sandbox = engine.builder().warm(0).examine(Examination::No).start().await.unwrap();
    let host = tempfile::tempdir().unwrap();
    std::fs::write(host.path().join("secret"), "outer").unwrap();
    let other = lease("paths:other");
    said(&sandbox, &other, "echo mine >file; mkdir /tmp/out").await;
    let limits = Limits::default().memory(512 << 20).disk(64 << 20);
    let lease = Lease::new("paths:corpus", SandboxSpec::new().limits(limits));
    said(&sandbox, &lease, "mkdir /tmp/out").await;
    let command = Command::new("python3")
        .args(["-c", include_str!("escapes.py"), PROGRAM, "/tmp/out"])
        .arg(host.path().display().to_string())
        .time(Duration::from_secs(300));
    let output = sandbox.run(&lease, &command).await.unwrap().collect().await.unwrap();
    println!("{}", output.text());
    let seen: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(seen["escapes"], json!([]));
    let count = |what: &str| seen[what].as_u64().unwrap();
    assert!(count("paths") >= 300 && count("archives") >= 180, "{seen}");
    // What leads out was met, and what stays inside was not refused.
    assert!(count("followed") > 1000 && count("refused") > 300 && count("inner") > 50, "{seen}");
    // The box is as good as before, and nobody else noticed.
    assert_eq!(said(&sandbox, &lease, "ls -A").await, "");
    assert_eq!(said(&sandbox, &other, "cat file; ls /tmp/out").await, "mine\n");
    let left: Vec<_> = std::fs::read_dir(host.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(std::fs::read(host.path().join("secret")).unwrap(), b"outer");
    sandbox.reap(&lease).await.unwrap();
    sandbox.reap(&other).await.unwrap();
}

/// The same by the sandbox's own calls, for some of each kind.
#[tokio::test(flavor = "multi_thread")]
async fn no_path_leads_out() {
    let Some(engine) = engine("paths") else { return };
    let sandbox = engine.builder().warm(0).examine(Examination::No).start().await.unwrap();
    let lease = lease("paths");
    said(&sandbox, &lease, LINKS).await;
    let out = [
        "absolute",
        "relative",
        "twisted",
        "root",
        "cwd",
        "in/deep/up",
        "parent/tmp/out",
        "chain_out",
        "self/absolute",
        "in/deep/up/../out",
        "inside/up",
    ];
    for folder in out {
        let Ok(path) = SandboxPath::new(format!("{folder}/file")) else { continue };
        let read = sandbox.read(&lease, &path, 100).await.unwrap_err();
        let written = sandbox.write(&lease, &path, "x".into()).await.unwrap_err();
        assert_eq!(
            (read.kind(), written.kind()),
            (ErrorKind::Denied, ErrorKind::Denied),
            "{folder}"
        );
    }
    for name in ["in/deep/passwd", "stdin", "memory", "loop", "a"] {
        let path = SandboxPath::new(name).unwrap();
        let read = sandbox.read(&lease, &path, 1 << 20).await.unwrap_err();
        assert_eq!(read.kind(), ErrorKind::Denied, "{name}");
    }
    let pipe = sandbox.read(&lease, &SandboxPath::new("pipe").unwrap(), 9).await.unwrap_err();
    assert_eq!(pipe.kind(), ErrorKind::NotFound);
    // Links that stay inside are followed.
    for name in ["inside/file", "chain/file", "self/self/in/deep/file"] {
        let path = SandboxPath::new(name).unwrap();
        assert_eq!(sandbox.read(&lease, &path, 100).await.unwrap(), "inner\n", "{name}");
        sandbox.write(&lease, &path, Bytes::from_static(b"inner\n")).await.unwrap();
    }
    assert_eq!(said(&sandbox, &lease, "cat /tmp/out/file /tmp/file").await, "outer\nouter\n");
    sandbox.reap(&lease).await.unwrap();
}

/// Follows a path with the sandbox's own code, again and again, while another process makes one of its
/// folders a link that leads out and back, a million times and more.
const RACE: &str = r#"
import ctypes, os, sys
source, flips = sys.argv[1].split("\ntry:\n    {\"read\"")[0], int(sys.argv[2])
exec(source)
os.makedirs("in"); os.makedirs("/tmp/out")
open("in/file", "w").write("inner"); open("/tmp/out/file", "w").write("outer")
os.symlink("/tmp/out", "other"); os.symlink("in", "link")
exchange, here, RENAME_EXCHANGE = ctypes.CDLL(None).renameat2, -100, 2
child = os.fork()
if not child:
    for _ in range(flips):
        # One step for the kernel: there is always something.
        if exchange(here, b"link", here, b"other", RENAME_EXCHANGE):
            os._exit(1)
    os._exit(0)
seen, ended = dict(inner=0, refused=0, outer=0), (0, 0)
while not ended[0]:
    ended = os.waitpid(child, os.WNOHANG)
    for _ in range(100):
        try:
            folder, name = walk(".", "link/file", False)
            try:
                file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
                seen[os.read(file, 10).decode()] += 1
                os.close(file)
            finally:
                os.close(folder)
            folder, name = walk(".", "link/new", True)
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=folder))
            os.close(folder)
        except Refused:
            seen["refused"] += 1
        except OSError as error:
            seen["refused"] += 1
        # The walk leaves the folders on its way open; that is for one call a process.
        os.closerange(5, 64)
print(seen["inner"], seen["refused"], seen["outer"], os.path.exists("/tmp/out/new"), ended[1])
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_flips_a_million_times_leads_nowhere() {
    let Some(engine) = engine("paths_race") else { return };
    let sandbox = engine.builder().warm(0).examine(Examination::No).start().await.unwrap();
    let limits = Limits::default().cpus(2.0);
    let lease = Lease::new("paths:race", SandboxSpec::new().limits(limits));
    let command = Command::new("python3")
        .args(["-c", RACE, PROGRAM, "1000000"])
        .time(Duration::from_secs(300));
    let output = sandbox.run(&lease, &command).await.unwrap().collect().await.unwrap();
    let said = output.text();
    sandbox.reap(&lease).await.unwrap();
    let words: Vec<&str> = said.split_whitespace().collect();
    let [inner, refused, outer, written, flipped] = words[..] else {
        panic!("{said} {}", String::from_utf8_lossy(&output.stderr));
    };
    println!("inner {inner}, refused {refused}, outer {outer}, written outside: {written}");
    assert_eq!((outer, written, flipped), ("0", "False", "0"));
    // Both were met, or it was no race.
    assert!(inner.parse::<u64>().unwrap() > 100 && refused.parse::<u64>().unwrap() > 100, "{said}");
}
