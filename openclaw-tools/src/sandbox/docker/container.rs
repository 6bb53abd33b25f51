//! How a box is spelled as a container.
//!
//! Everything that opens a container is absent here by construction: no privilege, device, folder of the
//! host, host namespace, capability or network can be said by a [`Shape`].

use std::{collections::HashMap, time::Duration};

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig,
    ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};
use openclaw_core::{Error, Result, sandbox::Limits};

use super::seccomp;

/// The folder for work.
pub(super) const WORK: &str = "/work";
/// Whoever runs in a box: neither root nor a user that a host is likely to have.
pub(super) const USER: u32 = 65532;
/// Where programs are looked for.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Marks every container of this crate, with the namespace that it belongs to.
pub(super) const LABEL: &str = "org.openclaw.box";
/// Says which process made it.
pub(super) const OWNER_LABEL: &str = "org.openclaw.owner";
/// How many files a box can hold for each MiB of its disk.
const INODES_PER_MIB: u64 = 64;
/// How many threads gVisor may have on the host for a box, whose own processes it does not count.
const GVISOR_THREADS: i64 = 1024;
const MIB: u64 = 1024 * 1024;
/// The least memory that a box starts with.
const LEAST_MEMORY: u64 = 16 * MIB;

/// What a container is like.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    /// The engine's id of the image.
    pub(super) image: String,
    /// The runtime; the engine's default one if not said.
    pub(super) runtime: Option<String>,
    /// The host has AppArmor.
    pub(super) apparmor: bool,
    pub(super) memory: u64,
    pub(super) cpus: f64,
    pub(super) pids: u32,
    pub(super) disk: u64,
    pub(super) tmp: u64,
    /// When it ends by itself.
    pub(super) age: Duration,
}

impl Shape {
    /// A box with these limits, all of which are said.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`](openclaw_core::ErrorKind::InvalidConfig) if its files would not leave
    /// room for its processes.
    pub(super) fn new(
        image: String,
        limits: &Limits,
        asked: &Limits,
        age: Duration,
    ) -> Result<Self> {
        let memory = limits.memory.unwrap_or_default();
        if memory < LEAST_MEMORY {
            return Err(Error::config(format!(
                "memory: a box needs at least {LEAST_MEMORY} bytes"
            )));
        }
        let disk = match asked.disk {
            Some(disk) => disk,
            // Not asked for: it follows the memory.
            None => limits.disk.unwrap_or_default().min(memory / 2),
        };
        Ok(Self {
            image,
            runtime: None,
            apparmor: false,
            memory,
            cpus: limits.cpus.unwrap_or_default(),
            pids: limits.pids.unwrap_or_default(),
            disk,
            tmp: (64 * MIB).min(memory / 4),
            age,
        })
    }

    /// The container, made by `owner` among those of `namespace`.
    pub(super) fn container(&self, owner: &str, namespace: &str) -> ContainerCreateBody {
        let seconds = self.age.as_secs().max(1).to_string();
        let keeper = include_str!("keeper.py");
        let cmd = ["python3", "-I", "-S", "-c", keeper, &seconds].map(str::to_owned).to_vec();
        let labels = [(LABEL, namespace), (OWNER_LABEL, owner)];
        ContainerCreateBody {
            image: Some(self.image.clone()),
            hostname: Some("box".into()),
            user: Some(format!("{USER}:{USER}")),
            entrypoint: Some(Vec::new()),
            cmd: Some(cmd),
            env: Some(vec![format!("PATH={PATH}")]),
            working_dir: Some(WORK.into()),
            labels: Some(labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into()),
            attach_stdin: Some(true),
            open_stdin: Some(true),
            stdin_once: Some(true),
            attach_stdout: Some(false),
            attach_stderr: Some(false),
            tty: Some(false),
            network_disabled: Some(true),
            host_config: Some(self.host()),
            ..ContainerCreateBody::default()
        }
    }

    fn host(&self) -> HostConfig {
        let bytes = |bytes: u64| Some(i64::try_from(bytes).unwrap_or(i64::MAX));
        let mut security =
            vec!["no-new-privileges:true".to_owned(), format!("seccomp={}", seccomp::profile())];
        if self.apparmor {
            security.push("apparmor=docker-default".to_owned());
        }
        let limit = |name: &str, most: i64| ResourcesUlimits {
            name: Some(name.to_owned()),
            soft: Some(most),
            hard: Some(most),
        };
        HostConfig {
            runtime: self.runtime.clone(),
            cap_drop: Some(vec!["ALL".into()]),
            security_opt: Some(security),
            readonly_rootfs: Some(true),
            network_mode: Some("none".into()),
            ipc_mode: Some("private".into()),
            cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
            memory: bytes(self.memory),
            memory_swap: bytes(self.memory),
            oom_score_adj: Some(500),
            nano_cpus: Some(nano(self.cpus)),
            pids_limit: Some(match self.runtime {
                // The keeper is one of them.
                None => i64::from(self.pids).saturating_add(1),
                Some(_) => GVISOR_THREADS,
            }),
            ulimits: Some(vec![limit("core", 0), limit("nofile", 4096)]),
            shm_size: bytes((16 * MIB).min(self.memory / 8)),
            tmpfs: Some(HashMap::from([
                (WORK.to_owned(), mount(self.disk, "exec")),
                ("/tmp".to_owned(), mount(self.tmp, "noexec")),
            ])),
            auto_remove: Some(true),
            init: Some(false),
            log_config: Some(HostConfigLogConfig { typ: Some("none".into()), config: None }),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::NO),
                maximum_retry_count: None,
            }),
            ..HostConfig::default()
        }
    }
}

/// The options of a folder in memory that only whoever runs in the box may use.
fn mount(bytes: u64, exec: &str) -> String {
    let inodes = inodes(bytes);
    format!(
        "rw,{exec},nosuid,nodev,size={bytes},nr_inodes={inodes},uid={USER},gid={USER},mode=0700"
    )
}

/// How many files a folder of this size holds.
pub(super) fn inodes(bytes: u64) -> u64 {
    (bytes / MIB).max(1) * INODES_PER_MIB + 1024
}

/// Billionths of a processor.
#[allow(clippy::cast_possible_truncation, reason = "limits are at most 1,024 processors")]
fn nano(cpus: f64) -> i64 {
    (cpus * 1e9) as i64
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn shape() -> Shape {
        let limits = Limits::default().memory(512_000_000).cpus(1.0).pids(64).disk(200_000_000);
        Shape::new("sha256:0".into(), &limits, &limits, Duration::from_secs(3600)).unwrap()
    }

    /// Everything that is said to the engine, in its own words.
    #[test]
    fn a_box_is_exactly_this() {
        let mut said = serde_json::to_value(shape().container("me", "1")).unwrap();
        let host = said["HostConfig"].take();
        let mut host: serde_json::Map<String, Value> =
            host.as_object().unwrap().clone().into_iter().filter(|(_, v)| !v.is_null()).collect();
        let security = host.remove("SecurityOpt").unwrap();
        assert_eq!(security[0], "no-new-privileges:true");
        assert_eq!(security[1], format!("seccomp={}", seccomp::profile()));
        assert_eq!(security.as_array().unwrap().len(), 2);
        assert_eq!(
            Value::Object(host),
            json!({
                "CapDrop": ["ALL"],
                "ReadonlyRootfs": true,
                "NetworkMode": "none",
                "IpcMode": "private",
                "CgroupnsMode": "private",
                "Memory": 512_000_000,
                "MemorySwap": 512_000_000,
                "OomScoreAdj": 500,
                "NanoCpus": 1_000_000_000,
                "PidsLimit": 65,
                "Ulimits": [
                    {"Name": "core", "Soft": 0, "Hard": 0},
                    {"Name": "nofile", "Soft": 4096, "Hard": 4096}
                ],
                "ShmSize": 16 * MIB,
                "Tmpfs": {
                    "/work": "rw,exec,nosuid,nodev,size=200000000,nr_inodes=13184,uid=65532,gid=65532,mode=0700",
                    "/tmp": "rw,noexec,nosuid,nodev,size=67108864,nr_inodes=5120,uid=65532,gid=65532,mode=0700"
                },
                "AutoRemove": true,
                "Init": false,
                "LogConfig": {"Type": "none"},
                "RestartPolicy": {"Name": "no"}
            })
        );
        let said: serde_json::Map<String, Value> =
            said.as_object().unwrap().clone().into_iter().filter(|(_, v)| !v.is_null()).collect();
        assert_eq!(
            Value::Object(said),
            json!({
                "Image": "sha256:0",
                "Hostname": "box",
                "User": "65532:65532",
                "Entrypoint": [],
                "Cmd": ["python3", "-I", "-S", "-c", include_str!("keeper.py"), "3600"],
                "Env": [format!("PATH={PATH}")],
                "WorkingDir": "/work",
                "Labels": {"org.openclaw.box": "1", "org.openclaw.owner": "me"},
                "AttachStdin": true,
                "OpenStdin": true,
                "StdinOnce": true,
                "AttachStdout": false,
                "AttachStderr": false,
                "Tty": false,
                "NetworkDisabled": true
            })
        );
    }

    #[test]
    fn a_disk_that_nobody_asked_for_leaves_room_for_processes() {
        let all = Limits::default().memory(64 * MIB).cpus(1.0).pids(64).disk(256 * MIB);
        let asked = Limits::default().memory(64 * MIB);
        let shape = Shape::new("i".into(), &all, &asked, Duration::from_secs(1)).unwrap();
        assert_eq!((shape.memory, shape.disk, shape.tmp), (64 * MIB, 32 * MIB, 16 * MIB));
    }
}
