//! The engine dies in the middle, and comes back.

use std::{path::Path, process::Stdio, time::Duration};

use bollard::query_parameters::ImportImageOptions;
use futures_util::StreamExt as _;
use openclaw_core::{
    ErrorKind,
    sandbox::{Command, CommandEvent, Sandbox as _},
};
use openclaw_tools::sandbox::docker::doctor::Examination;
use tokio::process::Child;

use crate::{
    engine::{Engine, engine},
    pool::{lease, said},
};

/// An engine of the test's own, which it can kill.
struct Own {
    folder: tempfile::TempDir,
    child: Child,
}

impl Own {
    fn socket(folder: &Path) -> String {
        folder.join("docker.sock").display().to_string()
    }

    fn spawn(folder: &Path) -> Child {
        let path = |name: &str| folder.join(name).display().to_string();
        tokio::process::Command::new("dockerd")
            .args(["--bridge", "none", "--iptables=false", "--host"])
            .arg(format!("unix://{}", Self::socket(folder)))
            .args(["--data-root", &path("data"), "--exec-root", &path("exec")])
            .args(["--pidfile", &path("pid"), "--config-file", &path("none.json")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("oc-engine-").tempdir_in("/tmp").unwrap();
        std::fs::write(folder.path().join("none.json"), "{}").unwrap();
        let child = Self::spawn(folder.path());
        let own = Self { folder, child };
        own.answers().await;
        own
    }

    fn engine(&self, image: &str) -> Engine {
        Engine { socket: Self::socket(self.folder.path()), image: image.to_owned() }
    }

    async fn answers(&self) {
        let socket = Self::socket(self.folder.path());
        let ready = async {
            loop {
                let docker =
                    bollard::Docker::connect_with_unix(&socket, 60, bollard::API_DEFAULT_VERSION);
                if let Ok(docker) = docker
                    && docker.negotiate_version().await.is_ok()
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(90), ready).await.expect("the engine answers");
    }

    /// Kills the engine, and the part of it that keeps its containers.
    async fn kill(&mut self) {
        let pid =
            std::fs::read_to_string(self.folder.path().join("exec/containerd/containerd.pid"));
        self.child.kill().await.unwrap();
        let pid = pid.unwrap().trim().to_owned();
        signal("-KILL", &pid).await;
        // As long as it is to be seen, the next engine takes it for its own.
        while Path::new(&format!("/proc/{pid}")).exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn restart(&mut self) {
        self.child = Self::spawn(self.folder.path());
        self.answers().await;
    }

    /// Lets the engine end in good order, with its own children.
    async fn stop(mut self) {
        let pid = self.child.id().unwrap().to_string();
        signal("-TERM", &pid).await;
        self.child.wait().await.unwrap();
        // What the killed one had mounted is in the way of removing the folder.
        for name in ["exec/netns/default", "data"] {
            let mut umount = tokio::process::Command::new("umount");
            umount.arg(self.folder.path().join(name)).stderr(Stdio::null());
            umount.status().await.unwrap();
        }
    }
}

async fn signal(signal: &str, pid: &str) {
    let mut kill = tokio::process::Command::new("kill");
    assert!(kill.args([signal, pid]).status().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_engine_calls_fail_and_with_it_they_work_again() {
    let Some(first) = engine("engine_killed") else { return };
    let mut own = Own::start().await;
    let engine = own.engine(&first.image);
    let (from, to) = (
        first.docker().negotiate_version().await.unwrap(),
        engine.docker().negotiate_version().await.unwrap(),
    );
    // With a stream of its own the image needs no room here.
    let image = from.export_image(&first.image).filter_map(async |part| part.ok());
    let mut taken = Box::pin(to.import_image_stream::<_, std::io::Error>(
        ImportImageOptions::default(),
        image.map(Ok::<_, std::io::Error>),
        None,
    ));
    while let Some(step) = taken.next().await {
        step.unwrap();
    }
    let sandbox = engine.builder().warm(1).examine(Examination::No).start().await.unwrap();
    let lease = lease("engine_killed");
    said(&sandbox, &lease, "touch before").await;
    let hangs =
        Command::new("sh").args(["-c", "echo on; sleep 1000"]).time(Duration::from_secs(600));
    let mut running = sandbox.run(&lease, &hangs).await.unwrap();
    assert!(matches!(running.next().await, Some(Ok(CommandEvent::Stdout(_)))));

    own.kill().await;
    let cut = loop {
        match running.next().await {
            Some(Ok(CommandEvent::Ended(ended))) => panic!("{ended:?}"),
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("it ended without a word"),
        }
    };
    assert!(matches!(cut.kind(), ErrorKind::Unavailable | ErrorKind::Timeout), "{cut:?}");
    let error = sandbox.run(&lease, &Command::new("true")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.public_text().contains("nothing"), "{}", error.public_text());
    assert!(sandbox.reap(&lease).await.is_err(), "nobody knows whether it ended");

    own.restart().await;
    sandbox.reap(&lease).await.unwrap();
    assert_eq!(said(&sandbox, &lease, "ls").await, "");
    sandbox.reap(&lease).await.unwrap();
    drop(sandbox);
    own.stop().await;
}
