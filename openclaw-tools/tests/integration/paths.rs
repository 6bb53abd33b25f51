//! Paths that want to lead out, and links that change while they are followed.

use openclaw_core::{
    ErrorKind,
    bytes::Bytes,
    sandbox::{Command, Sandbox as _, SandboxPath},
};
use openclaw_tools::sandbox::docker::doctor::Examination;

use crate::{
    engine::engine,
    pool::{lease, said},
};

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

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leads_out() {
    let Some(engine) = engine("paths") else { return };
    let sandbox = engine.builder().warm(0).examine(Examination::No).start().await.unwrap();
    let lease = lease("paths");
    said(&sandbox, &lease, LINKS).await;
    let spellings = spellings();
    assert!(spellings.len() >= 300, "{}", spellings.len());
    for spelling in spellings {
        // One that is taken for a path lands below the folder for work, where nothing of the sort is.
        if let Ok(path) = SandboxPath::new(spelling.clone()) {
            assert!(
                !path.as_str().contains("..") && !path.as_str().starts_with('/'),
                "{spelling:?}"
            );
        }
    }
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
import os, sys, time
source, flips = sys.argv[1].split("\ntry:\n    {\"read\"")[0], int(sys.argv[2])
exec(source)
os.makedirs("in"); os.makedirs("/tmp/out")
open("in/file", "w").write("inner"); open("/tmp/out/file", "w").write("outer")
os.symlink("in", "good"); os.symlink("/tmp/out", "bad"); os.symlink("in", "link")
count = os.open("/tmp/count", os.O_RDWR | os.O_CREAT)
child = os.fork()
if not child:
    n = 0
    while n < flips:
        # Exchanging names is one step for the kernel: there is always something.
        for target in ("/tmp/out", "in"):
            os.symlink(target, "new")
            os.rename("new", "link")
            n += 1
    os._exit(0)
seen = dict(inner=0, refused=0, outer=0)
while not os.waitpid(child, os.WNOHANG)[0]:
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
print(seen["inner"], seen["refused"], seen["outer"], os.path.exists("/tmp/out/new"))
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_flips_a_million_times_leads_nowhere() {
    let Some(engine) = engine("paths_race") else { return };
    let sandbox = engine.builder().warm(0).examine(Examination::No).start().await.unwrap();
    let lease = lease("paths:race");
    let program = include_str!("../../src/sandbox/docker/files.py");
    let command = Command::new("python3")
        .args(["-c", RACE, program, "1000000"])
        .time(std::time::Duration::from_secs(300));
    let output = sandbox.run(&lease, &command).await.unwrap().collect().await.unwrap();
    let said = output.text();
    sandbox.reap(&lease).await.unwrap();
    let words: Vec<&str> = said.split_whitespace().collect();
    let [inner, refused, outer, written] = words[..] else {
        panic!("{said} {}", String::from_utf8_lossy(&output.stderr));
    };
    println!("inner {inner}, refused {refused}, outer {outer}, written outside: {written}");
    assert_eq!((outer, written), ("0", "False"));
    // Both were met, or it was no race.
    assert!(inner.parse::<u64>().unwrap() > 100 && refused.parse::<u64>().unwrap() > 100, "{said}");
}
