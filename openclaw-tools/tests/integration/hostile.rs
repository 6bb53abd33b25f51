//! Programs that want to take the host, or each other, with them.

use std::time::Duration;

use futures_util::StreamExt as _;
use openclaw_core::sandbox::{
    Command, CommandEvent, Exit, Lease, Limits, Sandbox as _, SandboxSpec,
};
use openclaw_tools::sandbox::docker::{Gvisor, doctor::Examination};

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

/// Does something, and gives with it the most processes that the host had meanwhile, and the least memory
/// that it had to give.
async fn watched<T>(work: impl Future<Output = T>) -> (T, (usize, u64)) {
    let mut work = std::pin::pin!(work);
    let mut worst = host();
    loop {
        tokio::select! {
            done = &mut work => return (done, worst),
            () = tokio::time::sleep(Duration::from_millis(50)) => {
                let now = host();
                worst = (worst.0.max(now.0), worst.1.min(now.1));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_end_and_nobody_else_notices() {
    let Some(engine) = engine("hostile") else { return };
    let sandbox = engine.builder().warm(0).examine(Examination::No).start().await.unwrap();
    let other = lease("hostile:other");
    said(&sandbox, &other, "echo mine >file").await;
    for (name, script) in BOMBS {
        let limits = Limits::default().memory(128 << 20).pids(64).disk(32 << 20).cpus(0.5);
        let spec = SandboxSpec::new().limits(limits);
        let hostile = Lease::new(&format!("hostile:{name}"), spec);
        let command = Command::new("sh").args(["-c", script]).time(Duration::from_secs(2));
        let running = sandbox.run(&hostile, &command).await.unwrap();
        let before = host();
        let both = async { tokio::join!(running.collect(), said(&sandbox, &other, "cat file")) };
        let ((output, meanwhile), worst) = watched(both).await;
        assert_eq!(meanwhile, "mine\n", "{name}");
        // Other tests are at work on this host, too. Without limits it would be thousands, and all.
        assert!(worst.0 < before.0 + 400, "{name}: {before:?}, then {worst:?}");
        assert!(worst.1 + (3 << 30) > before.1, "{name}: {before:?}, then {worst:?}");
        // A box that the kernel ended as a whole may say so by an error.
        if let Ok(output) = output {
            assert!(output.stdout.len() as u64 <= command.output, "{name}");
            let over = matches!(output.ended.exit, Exit::Time | Exit::Memory | Exit::Code(_));
            assert!(over, "{name}: {:?}", output.ended);
        }
        sandbox.reap(&hostile).await.unwrap();
    }
    assert_eq!(said(&sandbox, &other, "cat file").await, "mine\n");
    sandbox.reap(&other).await.unwrap();
}

/// Ends neither by a signal that can be held off, nor with who started it.
const ORPHANS: &str = "
hang() { trap '' TERM HUP INT QUIT; while :; do sleep 1; done; }
(setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 1; done' &)
( (hang & ) & )
setsid sh -c '(setsid sh -c \"sleep 1000\" &)' &
echo on; hang
";

/// How many processes of the host belong to a container.
fn of_container(id: &str) -> usize {
    let all = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|one| std::fs::read_to_string(one.ok()?.path().join("cgroup")).ok());
    all.filter(|groups| groups.contains(id)).count()
}

async fn orphans_end(test: &str, gvisor: Gvisor) {
    let Some(engine) = engine(test) else { return };
    let docker = engine.docker().negotiate_version().await.unwrap();
    let builder = engine.builder().warm(0).examine(Examination::No).gvisor(gvisor);
    let sandbox = builder.start().await.unwrap();
    let hostile = lease(test);
    let command = Command::new("sh").args(["-c", ORPHANS]).time(Duration::from_secs(2));
    let mut running = sandbox.run(&hostile, &command).await.unwrap();
    assert!(matches!(running.next().await, Some(Ok(CommandEvent::Stdout(_)))));
    let seen = docker.inspect_container(&format!("openclaw-{}", hostile.id), None).await.unwrap();
    let id = seen.id.unwrap();
    assert!(of_container(&id) > 1, "they can be seen");
    let ended = running.collect().await.unwrap().ended;
    assert_eq!((ended.exit, of_container(&id)), (Exit::Time, 0));
    sandbox.reap(&hostile).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn orphans_end_with_their_box() {
    orphans_end("hostile_orphans", Gvisor::No).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orphans_end_with_their_box_under_gvisor() {
    orphans_end("hostile_orphans_gvisor", Gvisor::Require).await;
}
