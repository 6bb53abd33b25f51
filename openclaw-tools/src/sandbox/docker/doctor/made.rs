//! What the engine made of a box, as it tells it itself.

use bollard::models::{ContainerInspectResponse, HostConfig};
use openclaw_core::{Result, sandbox::Lease};

use super::{
    super::{engine::fault, leases::name_of},
    DockerSandbox, Finding,
};

/// What the engine says of the container of a lease.
pub(super) async fn findings(sandbox: &DockerSandbox, lease: &Lease) -> Result<Vec<Finding>> {
    sandbox.0.open(lease).await?;
    let docker = &sandbox.0.engine.connected().await?.docker;
    let told = docker.inspect_container(&name_of(lease), None).await.map_err(fault)?;
    let mut held = of_host(&told.host_config.clone().unwrap_or_default());
    held.extend(of_container(&told));
    let seen = "by the engine's word";
    Ok(held.into_iter().map(|(probe, held)| Finding::new("container", probe, held, seen)).collect())
}

/// What must hold of a container beside its host configuration.
fn of_container(told: &ContainerInspectResponse) -> Vec<(&'static str, bool)> {
    let config = told.config.clone().unwrap_or_default();
    let environment = config.env.unwrap_or_default();
    vec![
        (
            "its_user_is_not_root",
            config.user.is_some_and(|user| !user.is_empty() && !user.starts_with('0')),
        ),
        ("no_folder_is_mounted", told.mounts.as_ref().is_none_or(Vec::is_empty)),
        ("no_volume_is_declared", config.volumes.is_none_or(|them| them.is_empty())),
        ("its_environment_is_path", environment.iter().all(|it| it.starts_with("PATH="))),
    ]
}

/// What must hold of a container's configuration.
fn of_host(host: &HostConfig) -> Vec<(&'static str, bool)> {
    fn none<T>(list: Option<&Vec<T>>) -> bool {
        list.is_none_or(Vec::is_empty)
    }
    let own = |mode: &Option<String>| {
        mode.as_deref().is_none_or(|mode| matches!(mode, "" | "private" | "none"))
    };
    let says = |option: &str| {
        host.security_opt
            .iter()
            .flatten()
            .any(|it| it.starts_with(option) && !it.contains("unconfined"))
    };
    let positive = |limit: Option<i64>| limit.is_some_and(|limit| limit > 0);
    vec![
        ("not_privileged", host.privileged != Some(true)),
        ("all_capabilities_are_dropped", host.cap_drop.iter().flatten().any(|it| it == "ALL")),
        ("no_capability_is_added", none(host.cap_add.as_ref())),
        ("no_device", none(host.devices.as_ref()) && none(host.device_requests.as_ref())),
        ("no_bind", none(host.binds.as_ref()) && none(host.volumes_from.as_ref())),
        ("its_root_cannot_be_written", host.readonly_rootfs == Some(true)),
        ("no_network", host.network_mode.as_deref() == Some("none")),
        ("ipc_of_its_own", own(&host.ipc_mode)),
        ("processes_of_its_own", own(&host.pid_mode)),
        ("name_of_its_own", own(&host.uts_mode)),
        ("no_new_privileges_by_configuration", says("no-new-privileges")),
        ("filter_by_configuration", says("seccomp=")),
        ("memory_by_configuration", positive(host.memory)),
        ("no_swap", host.memory.is_some() && host.memory == host.memory_swap),
        ("processors_by_configuration", positive(host.nano_cpus)),
        ("processes_by_configuration", positive(host.pids_limit)),
        ("it_is_removed_when_it_ends", host.auto_remove == Some(true)),
        ("its_output_is_not_kept", {
            let log = host.log_config.as_ref().and_then(|log| log.typ.as_deref());
            log == Some("none")
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each of them fails on a container that is not ours.
    #[test]
    fn each_of_them_sees_an_open_container() {
        let open: HostConfig = serde_json::from_value(serde_json::json!({
            "Privileged": true, "CapAdd": ["SYS_ADMIN"], "Devices": [{}], "Binds": ["/:/host"],
            "NetworkMode": "host", "IpcMode": "host", "PidMode": "host", "UTSMode": "host",
            "SecurityOpt": ["seccomp=unconfined"], "LogConfig": {"Type": "json-file"}
        }))
        .unwrap();
        let told: ContainerInspectResponse = serde_json::from_value(serde_json::json!({
            "Mounts": [{"Type": "bind", "Source": "/", "Destination": "/host"}],
            "Config": {"User": "", "Volumes": {"/data": {}}, "Env": ["PATH=/bin", "TOKEN=1"]}
        }))
        .unwrap();
        for (probe, held) in of_host(&open).into_iter().chain(of_container(&told)) {
            assert!(!held, "{probe}");
        }
    }
}
