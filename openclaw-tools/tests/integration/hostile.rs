//! Programs that want to take the host, or each other, with them.

use std::time::Duration;

use openclaw_core::sandbox::{Command, Exit, Lease, Limits, Sandbox as _, SandboxSpec};
use openclaw_tools::sandbox::docker::doctor::Examination;

use crate::{
    engine::engine,
    pool::{lease, said},
};

/// Each takes all that it gets, until its time is over or it is ended.
const BOMBS: [(&str, &str); 8] = [
    ("processes", "bomb() { bomb | bomb & }; bomb; while :; do sleep 1; done"),
    ("memory", "python3 -c 'x = []\nwhile True: x.append(b\"x\" * (1 << 20))'"),
    ("memory of many", "for n in 1 2 3 4; do python3 -c 'x = b\"x\" * (1 << 29)' & done; wait"),
    ("disk", "while :; do dd if=/dev/zero bs=1M count=100 >>big 2>/dev/null; done"),
    ("files", "n=0; while :; do n=$((n + 1)); : >\"f$n\"; done 2>/dev/null"),
    ("descriptors", "python3 -c 'import os\nwhile True: os.dup(1)'; sleep 100"),
    ("output", "yes 'all work and no play'"),
    ("processor", "while :; do :; done & while :; do :; done"),
];

/// How many processes the host has, and how many bytes of memory it has to give.
fn host() -> (usize, u64) {
    let processes = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|one| one.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = memory.lines().find(|line| line.starts_with("MemAvailable")).unwrap();
    (processes.count(), line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024)
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_end_and_nobody_else_notices() {
    let Some(engine) = engine("hostile") else { return };
    let sandbox = engine.builder().warm(0).examine(Examination::No).start().await.unwrap();
    let (other, before) = (lease("hostile:other"), host());
    said(&sandbox, &other, "echo mine >file").await;
    for (name, script) in BOMBS {
        let limits = Limits::default().memory(128 << 20).pids(64).disk(32 << 20).cpus(0.5);
        let spec = SandboxSpec::new().limits(limits);
        let hostile = Lease::new(&format!("hostile:{name}"), spec);
        let command = Command::new("sh").args(["-c", script]).time(Duration::from_secs(2));
        let running = sandbox.run(&hostile, &command).await.unwrap();
        let (output, meanwhile) =
            tokio::join!(running.collect(), said(&sandbox, &other, "cat file"));
        assert_eq!(meanwhile, "mine\n", "{name}");
        // A box that the kernel ended as a whole says so by an error.
        if let Ok(output) = output {
            assert!(output.stdout.len() as u64 <= command.output, "{name}");
            let over = matches!(output.ended.exit, Exit::Time | Exit::Memory | Exit::Code(_));
            assert!(over, "{name}: {:?}", output.ended);
        }
        sandbox.reap(&hostile).await.unwrap();
    }
    sandbox.reap(&other).await.unwrap();
    let after = host();
    assert!(after.0 < before.0 + 200, "processes: {before:?}, then {after:?}");
    assert!(after.1 + (1 << 30) > before.1, "memory: {before:?}, then {after:?}");
}
