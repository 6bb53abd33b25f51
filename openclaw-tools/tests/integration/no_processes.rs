//! The library starts no process: what runs, runs in a box.

use std::path::Path;

use openclaw_core::sandbox::{Sandbox as _, SandboxPath};

use crate::{
    engine::{Engine, engine, skip},
    pool::{lease, said},
};

const ROLE: &str = "OPENCLAW_TEST_ROLE";

fn each_source(folder: &Path, look: &mut impl FnMut(&Path, &str)) {
    for one in std::fs::read_dir(folder).unwrap() {
        let path = one.unwrap().path();
        if path.is_dir() {
            each_source(&path, look);
        } else if path.extension().is_some_and(|it| it == "rs") {
            look(&path, &std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn no_crate_names_what_starts_a_process() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut count = 0;
    for name in ["core", "channels", "memory", "tools", "providers"] {
        each_source(&root.join(format!("openclaw-{name}/src")), &mut |path, text| {
            count += 1;
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            for line in code {
                for word in [
                    "process::Command",
                    "std::process::{",
                    "tokio::process",
                    "posix_spawn",
                    "fork(",
                ] {
                    assert!(!line.contains(word), "{}: {line}", path.display());
                }
            }
        });
    }
    assert!(count > 200, "only {count} files were looked at");
}

/// Uses a sandbox in all ways, in a process whose new programs are traced.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_with_a_sandbox_runs_no_other_program() {
    let Some(engine) = engine("no_processes") else { return };
    if std::env::var(ROLE).is_ok() {
        return used(&engine).await;
    }
    let Some(strace) = std::env::var_os("OPENCLAW_PEER_STRACE").filter(|it| !it.is_empty()) else {
        return skip("no_processes", "OPENCLAW_PEER_STRACE is not set");
    };
    let trace = std::env::temp_dir().join(format!("openclaw-trace-{}", std::process::id()));
    let mut command = tokio::process::Command::new(strace);
    command.args(["-f", "-qq", "-e", "trace=execve,execveat,fork,vfork", "-o"]).arg(&trace);
    command.arg(std::env::current_exe().unwrap());
    let test = "no_processes::a_process_with_a_sandbox_runs_no_other_program";
    command.args([test, "--exact", "--nocapture"]).env(ROLE, "used");
    let status = command.stdout(std::process::Stdio::null()).status().await.unwrap();
    let told = std::fs::read_to_string(&trace).unwrap();
    std::fs::remove_file(&trace).unwrap();
    assert!(status.success(), "{told}");
    let calls: Vec<&str> = told.lines().filter(|line| line.contains('(')).collect();
    assert_eq!(calls.len(), 1, "its own start and no other: {calls:#?}");
}

async fn used(engine: &Engine) {
    let sandbox = engine.builder().start().await.unwrap();
    let lease = lease("no_processes");
    let path = SandboxPath::new("a").unwrap();
    sandbox.write(&lease, &path, "a".into()).await.unwrap();
    assert_eq!(said(&sandbox, &lease, "cat a").await, "a");
    assert_eq!(sandbox.read(&lease, &path, 9).await.unwrap(), "a");
    sandbox.reap(&lease).await.unwrap();
    sandbox.reap_abandoned().await.unwrap();
}
