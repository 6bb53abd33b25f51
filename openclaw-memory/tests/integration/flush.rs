//! The system calls of a process that accepts: each acknowledgement has a flush before it.

use std::{path::Path, process::Command};

use openclaw_memory::sqlite::Sqlite;

use crate::common::{accept, child, folder, role, session, skip};

const NAME: &str = "flush::an_accept_is_flushed_before_it_is_acknowledged";
const ACCEPTS: usize = 20;
const SAID: &str = "ACKNOWLEDGED";

fn strace() -> Option<String> {
    let program = std::env::var("OPENCLAW_PEER_STRACE").unwrap_or_else(|_| "strace".into());
    let found = Command::new(&program).arg("-V").output().is_ok_and(|o| o.status.success());
    found.then_some(program)
}

/// How many acknowledgements of a child with this setting had a flush after the one before.
fn flushed(strace: &str, setting: &str, folder: &Path) -> usize {
    let database = folder.join(format!("{setting}.db"));
    let trace = folder.join(format!("{setting}.trace"));
    let run = child(NAME, &format!("{setting} {}", database.display()));
    let mut command = Command::new(strace);
    command.args(["-f", "-qq", "-e", "trace=fsync,fdatasync,write,writev", "-s", "64", "-o"]);
    command.arg(&trace).arg(run.get_program()).args(run.get_args());
    for (name, value) in run.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let trace = std::fs::read_to_string(trace).unwrap();
    let (mut fresh, mut said, mut covered) = (false, 0, 0);
    for line in trace.lines() {
        // A call that another thread's line interrupted ends in "... fdatasync resumed> = 0".
        if (line.contains("fdatasync") || line.contains("fsync"))
            && line.trim_end().ends_with("= 0")
        {
            fresh = true;
        } else if line.contains("write") && line.contains(SAID) {
            said += 1;
            covered += usize::from(fresh);
            fresh = false;
        }
    }
    assert_eq!(said, ACCEPTS, "the trace lacks acknowledgements");
    covered
}

#[tokio::test]
async fn an_accept_is_flushed_before_it_is_acknowledged() {
    if let Some(role) = role() {
        let (setting, path) = role.split_once(' ').unwrap();
        let setting = match setting {
            "FULL" => "FULL",
            "NORMAL" => "NORMAL",
            _ => "OFF",
        };
        let store = Sqlite::builder(path).synchronous_for_tests(setting).open().await.unwrap();
        for n in 0..ACCEPTS {
            accept(&store, &session("a"), &n.to_string()).await.unwrap();
            eprintln!("{SAID} {n}");
        }
        store.close().await.unwrap();
        return;
    }
    let Some(strace) = strace() else {
        skip(NAME, "strace is not installed, nor named by OPENCLAW_PEER_STRACE");
        return;
    };
    let (folder, _) = folder();
    assert_eq!(flushed(&strace, "FULL", folder.path()), ACCEPTS);
    // The same look at weaker settings shows that it can tell.
    assert!(flushed(&strace, "NORMAL", folder.path()) < ACCEPTS / 2);
    assert!(flushed(&strace, "OFF", folder.path()) < ACCEPTS / 2);
}
