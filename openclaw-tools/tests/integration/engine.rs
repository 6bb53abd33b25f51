//! The engine that the tests use.
//!
//! | variable | is |
//! |---|---|
//! | `OPENCLAW_PEER_DOCKER` | the socket of a Docker engine |
//! | `OPENCLAW_PEER_IMAGE` | the id of the image that `image/build` made in it |
//!
//! Without them a test says that it was skipped, and adds the line to the file that `OPENCLAW_SKIPS` names.

use std::{env, fs, io::Write as _};

use bollard::exec::StartExecResults;
use futures_util::StreamExt as _;
use openclaw_tools::sandbox::docker::{DockerBuilder, DockerSandbox};

/// An engine, and an image in it.
#[derive(Clone)]
pub(crate) struct Engine {
    pub(crate) socket: String,
    pub(crate) image: String,
}

/// The engine, or a skip that is told.
pub(crate) fn engine(test: &str) -> Option<Engine> {
    let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    match (variable("OPENCLAW_PEER_DOCKER"), variable("OPENCLAW_PEER_IMAGE")) {
        (Some(socket), Some(image)) => Some(Engine { socket, image }),
        _ => {
            skip(test, "OPENCLAW_PEER_DOCKER and OPENCLAW_PEER_IMAGE are not set");
            None
        }
    }
}

/// Says that a test did not run, and why.
pub(crate) fn skip(test: &str, reason: &str) {
    let line = format!("SKIPPED: {test}: {reason}");
    eprintln!("{line}");
    if let Some(path) = env::var_os("OPENCLAW_SKIPS") {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}

impl Engine {
    pub(crate) fn builder(&self) -> DockerBuilder {
        DockerSandbox::builder().socket(&self.socket).image("base", &self.image)
    }

    pub(crate) fn docker(&self) -> bollard::Docker {
        bollard::Docker::connect_with_unix(&self.socket, 60, bollard::API_DEFAULT_VERSION).unwrap()
    }
}

/// What a program says that runs in a container, past the sandbox; nothing if there is no such container.
pub(crate) async fn exec(docker: &bollard::Docker, container: &str, argv: &[&str]) -> String {
    let options = bollard::exec::CreateExecOptions {
        attach_stdout: Some(true),
        cmd: Some(argv.to_vec()),
        ..Default::default()
    };
    let Ok(made) = docker.create_exec(container, options).await else { return String::new() };
    let mut said = Vec::new();
    if let Ok(StartExecResults::Attached { mut output, .. }) =
        docker.start_exec(&made.id, None).await
    {
        while let Some(Ok(more)) = output.next().await {
            said.extend_from_slice(&more.into_bytes());
        }
    }
    String::from_utf8_lossy(&said).into_owned()
}
