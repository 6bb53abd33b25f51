//! The doctor finds nothing open in a box, and everything open in a container that is.

use std::{collections::BTreeSet, time::Duration};

use bollard::{
    container::LogOutput,
    models::{ContainerCreateBody, HostConfig},
    query_parameters::{
        AttachContainerOptionsBuilder, CreateContainerOptions, RemoveContainerOptionsBuilder,
        StartContainerOptions,
    },
};
use futures_util::StreamExt as _;
use openclaw_core::serde_json::{Value, json};
use openclaw_tools::sandbox::docker::{
    Gvisor,
    doctor::{Examination, Outcome, examine},
};

use crate::engine::{Engine, engine, skip};

const PROBES: &str = concat!(
    include_str!("../../src/sandbox/docker/doctor/probes/start.py"),
    include_str!("../../src/sandbox/docker/doctor/probes/calls.py"),
    include_str!("../../src/sandbox/docker/doctor/probes/files.py"),
    include_str!("../../src/sandbox/docker/doctor/probes/kernel.py"),
    include_str!("../../src/sandbox/docker/doctor/probes/network.py"),
    include_str!("../../src/sandbox/docker/doctor/probes/bombs.py"),
    include_str!("../../src/sandbox/docker/doctor/probes/end.py"),
);

async fn finds_nothing_open(test: &str, engine: Engine, gvisor: Gvisor, at_least: usize) {
    let sandbox =
        engine.builder().gvisor(gvisor).examine(Examination::No).warm(0).start().await.unwrap();
    let report = examine(&sandbox, Examination::Full).await.unwrap();
    println!("{report}");
    for (probe, why) in report.skipped() {
        skip(&format!("{test}::{probe}"), why);
    }
    let open: Vec<String> = report.broken().map(ToString::to_string).collect();
    assert!(open.is_empty(), "{open:#?}");
    let tried = report.findings.iter().filter(|it| matches!(it.outcome, Outcome::Held(_))).count();
    assert!(tried >= at_least, "only {tried} tries");
    let names: BTreeSet<(&str, &str)> =
        report.findings.iter().map(|it| (it.group.as_str(), it.probe.as_str())).collect();
    assert_eq!(names.len(), report.findings.len(), "two tries of one name");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_open_in_a_box() {
    let Some(engine) = engine("doctor") else { return };
    finds_nothing_open("doctor", engine, Gvisor::No, 150).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_open_in_a_box_under_gvisor() {
    let Some(engine) = engine("doctor_gvisor") else { return };
    finds_nothing_open("doctor_gvisor", engine, Gvisor::Require, 60).await;
}

/// What makes a container that nobody should run: root with every capability that this host lets an engine
/// give, its network, processes, devices and socket, no filter, no limits, a secret.
fn weak(engine: &Engine, pids: &str) -> ContainerCreateBody {
    let capabilities = "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP \
        LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE \
        SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_TIME SYS_TTY_CONFIG \
        MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM \
        BLOCK_SUSPEND AUDIT_READ";
    let about = json!({
        "weak": true, "gvisor": false, "quick": false, "memory": 128 << 20, "pids": 64,
        "disk": 32 << 20, "tmp": 32 << 20, "inodes": 3072, "environment": ["PATH", "HOME", "LANG"],
    });
    let script = "mkdir -p /work; for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do sleep 100 & done; \
        exec python3 -c \"$0\" \"$1\"";
    let text = |it: &str| Some(it.to_owned());
    ContainerCreateBody {
        image: Some(engine.image.clone()),
        user: text("0"),
        entrypoint: Some(Vec::new()),
        cmd: Some(["sh", "-c", script, PROBES, &about.to_string()].map(str::to_owned).to_vec()),
        env: Some(vec!["OPENCLAW_PROBE_SECRET=1".into(), "PATH=/tmp:/usr/bin:/bin".into()]),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        host_config: Some(HostConfig {
            cap_add: Some(capabilities.split_whitespace().map(str::to_owned).collect()),
            security_opt: Some(
                ["seccomp=unconfined", "apparmor=unconfined"].map(str::to_owned).to_vec(),
            ),
            network_mode: text("host"),
            ipc_mode: text("host"),
            uts_mode: text("host"),
            pid_mode: text(pids),
            group_add: Some(vec!["4242".into()]),
            binds: Some(
                [
                    &format!("{}:/var/run/docker.sock", engine.socket),
                    "/dev:/dev",
                    "/sys:/sys",
                    "/tmp:/host",
                ]
                .map(|it| it.to_owned())
                .to_vec(),
            ),
            masked_paths: Some(Vec::new()),
            readonly_paths: Some(Vec::new()),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

/// The tries that a weak container holds against, and those that cannot be made.
async fn tried(engine: &Engine, pids: &str) -> (BTreeSet<String>, BTreeSet<String>, usize) {
    let docker = engine.docker().negotiate_version().await.unwrap();
    let made = docker.create_container(None::<CreateContainerOptions>, weak(engine, pids)).await;
    let id = made.unwrap().id;
    let options =
        AttachContainerOptionsBuilder::new().stdout(true).stderr(true).stream(true).build();
    let mut attached = docker.attach_container(&id, Some(options)).await.unwrap();
    docker.start_container(&id, None::<StartContainerOptions>).await.unwrap();
    let (mut said, mut errors) = (Vec::new(), Vec::new());
    let all = async {
        while let Some(output) = attached.output.next().await {
            match output.unwrap() {
                LogOutput::StdErr { message } => errors.extend_from_slice(&message),
                other => said.extend_from_slice(&other.into_bytes()),
            }
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(120), all).await;
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    docker.remove_container(&id, Some(options)).await.unwrap();
    ended.unwrap();
    let (mut held, mut skipped, mut count) = (BTreeSet::new(), BTreeSet::new(), 0);
    for line in String::from_utf8(said).unwrap().lines() {
        let told: Value = openclaw_core::serde_json::from_str(line).unwrap();
        let name = told["probe"].as_str().unwrap().to_owned();
        count += 1;
        if let Some(why) = told["skipped"].as_str() {
            println!("skipped in the weak container: {name}: {why}");
            skipped.insert(name);
        } else if told["held"] == true {
            held.insert(name);
        }
    }
    assert!(count > 100, "only {count} tries: {}", String::from_utf8_lossy(&errors));
    (held, skipped, count)
}

/// A try that always succeeds would prove nothing: each fails in a container that is open. What this host's
/// kernel does not have cannot be opened either, and is named.
#[tokio::test(flavor = "multi_thread")]
async fn each_try_sees_an_open_container() {
    let Some(engine) = engine("doctor_weak") else { return };
    let ((first, skipped, count), (second, ..)) =
        tokio::join!(tried(&engine, ""), tried(&engine, "host"));
    // Of two that differ in whose processes they see, one is enough.
    let blind: Vec<&String> = first.intersection(&second).collect();
    assert!(blind.is_empty(), "{blind:?} of {count} hold in a container that is open");
    for name in skipped {
        skip(&format!("doctor_weak::{name}"), "this host has nothing to open");
    }
}
