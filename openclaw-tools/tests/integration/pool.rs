//! Boxes that wait, boxes that end, and boxes that nobody has any more.

use std::time::Duration;

use futures_util::future::join_all;
use openclaw_core::sandbox::{Command, Lease, Sandbox as _, SandboxPath, SandboxSpec};
use openclaw_tools::sandbox::docker::{DockerSandbox, doctor::Examination};

use crate::engine::{Engine, engine};

pub(crate) fn lease(owner: &str) -> Lease {
    Lease::new(owner, SandboxSpec::new())
}

pub(crate) async fn said(sandbox: &DockerSandbox, lease: &Lease, script: &str) -> String {
    let command = Command::new("sh").args(["-c", script]);
    sandbox.run(lease, &command).await.unwrap().collect().await.unwrap().text()
}

/// The names of the containers that are boxes.
async fn boxes(engine: &Engine) -> Vec<String> {
    let docker = engine.docker().negotiate_version().await.unwrap();
    let filters = std::collections::HashMap::from([("label", vec!["org.openclaw.box"])]);
    let options = bollard::query_parameters::ListContainersOptionsBuilder::new()
        .all(true)
        .filters(&filters)
        .build();
    let found = docker.list_containers(Some(options)).await.unwrap();
    found.into_iter().flat_map(|one| one.names.unwrap_or_default()).collect()
}

async fn until(mut holds: impl AsyncFnMut() -> bool) {
    while !holds().await {
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_box_is_taken_and_replaced() {
    let Some(engine) = engine("pool") else { return };
    let sandbox = engine.builder().warm(2).examine(Examination::No).start().await.unwrap();
    sandbox.warm_up(&SandboxSpec::new()).await.unwrap();
    until(async || sandbox.waiting() == 2).await;
    let one = lease("pool:one");
    assert_eq!(said(&sandbox, &one, "touch mine; ls").await, "mine\n");
    let name = format!("/openclaw-{}", one.id);
    assert!(boxes(&engine).await.contains(&name));
    until(async || sandbox.waiting() == 2).await;
    // What another lease gets was never used.
    assert_eq!(said(&sandbox, &lease("pool:two"), "ls; ls -A /tmp").await, "");
    sandbox.reap(&one).await.unwrap();
    assert_eq!(said(&sandbox, &one, "ls").await, "");
    // Dropped, all of it ends by itself.
    drop(sandbox);
    until(async || !boxes(&engine).await.contains(&name)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_box_and_an_old_one_end() {
    let Some(engine) = engine("pool_idle") else { return };
    let idle = engine.builder().warm(0).idle(Duration::from_secs(1)).examine(Examination::No);
    let old = engine.builder().warm(0).age(Duration::from_secs(2)).examine(Examination::No);
    for (name, builder) in [("idle", idle), ("old", old)] {
        let sandbox = builder.start().await.unwrap();
        let one = lease(&format!("pool:{name}"));
        said(&sandbox, &one, "touch mine").await;
        let container = format!("/openclaw-{}", one.id);
        until(async || !boxes(&engine).await.contains(&container)).await;
        assert_eq!(said(&sandbox, &one, "ls").await, "", "{name}");
        sandbox.reap(&one).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_leases_at_once_each_have_their_own() {
    let Some(engine) = engine("pool_many") else { return };
    let sandbox = engine.builder().warm(2).examine(Examination::No).start().await.unwrap();
    let leases: Vec<Lease> = (0..20).map(|n| lease(&format!("pool:many:{n}"))).collect();
    let all = leases.iter().enumerate().map(|(n, lease)| {
        let sandbox = sandbox.clone();
        async move {
            let path = SandboxPath::new("mine").unwrap();
            sandbox.write(lease, &path, n.to_string().into()).await.unwrap();
            said(&sandbox, lease, "cat mine").await
        }
    });
    for (n, said) in join_all(all).await.into_iter().enumerate() {
        assert_eq!(said, n.to_string());
    }
    join_all(leases.iter().map(|lease| sandbox.reap(lease))).await;
}

/// What is left of a process that died between making a container and starting it.
#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_was_never_started_is_reaped() {
    let Some(engine) = engine("pool_created") else { return };
    let docker = engine.docker().negotiate_version().await.unwrap();
    let labels = [("org.openclaw.box", "default"), ("org.openclaw.owner", "a dead one")];
    let body = bollard::models::ContainerCreateBody {
        image: Some(engine.image.clone()),
        cmd: Some(vec!["true".into()]),
        labels: Some(labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into()),
        ..Default::default()
    };
    let options = bollard::query_parameters::CreateContainerOptionsBuilder::new()
        .name("openclaw-test-created")
        .build();
    docker.create_container(Some(options), body).await.unwrap();
    let sandbox = engine.builder().warm(0).examine(Examination::No).start().await.unwrap();
    assert!(sandbox.reap_abandoned().await.unwrap() >= 1);
    assert!(!boxes(&engine).await.contains(&"/openclaw-test-created".to_owned()));
}
