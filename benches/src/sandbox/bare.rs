//! The engine's own API without a sandbox, to compare with.

use bollard::{
    API_DEFAULT_VERSION, Docker,
    exec::{CreateExecOptions, StartExecResults},
    models::{ContainerCreateBody, HostConfig},
    query_parameters::{
        CreateContainerOptions, RemoveContainerOptionsBuilder, StartContainerOptions,
    },
};
use futures_util::StreamExt as _;
use openclaw_benches::Result;
use openclaw_core::bytes::Bytes;
use tokio::io::AsyncWriteExt as _;

/// An engine, and an image in it.
pub(crate) struct Bare {
    docker: Docker,
    image: String,
}

impl Bare {
    /// # Errors
    /// The engine does not answer.
    pub(crate) async fn connect(socket: &str, image: &str) -> Result<Self> {
        let docker = Docker::connect_with_unix(socket, 60, API_DEFAULT_VERSION)?;
        Ok(Self { docker: docker.negotiate_version().await?, image: image.to_owned() })
    }

    /// Runs a program in a container to its end; gives how many bytes it put out.
    ///
    /// # Errors
    /// The engine failed.
    pub(crate) async fn exec(
        &self,
        container: &str,
        argv: &[&str],
        stdin: Option<Bytes>,
    ) -> Result<usize> {
        let options = CreateExecOptions {
            attach_stdin: Some(stdin.is_some()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(argv.to_vec()),
            ..CreateExecOptions::default()
        };
        let made = self.docker.create_exec(container, options).await?;
        let mut said = 0;
        if let StartExecResults::Attached { mut output, mut input } =
            self.docker.start_exec(&made.id, None).await?
        {
            if let Some(bytes) = stdin {
                input.write_all(&bytes).await?;
                input.shutdown().await?;
            }
            while let Some(more) = output.next().await {
                said += more?.into_bytes().len();
            }
        }
        self.docker.inspect_exec(&made.id).await?;
        Ok(said)
    }

    /// Makes a container without a network and starts it; gives its id.
    ///
    /// # Errors
    /// The engine failed.
    pub(crate) async fn start(&self) -> Result<String> {
        let body = ContainerCreateBody {
            image: Some(self.image.clone()),
            cmd: Some(["sleep", "1000"].map(str::to_owned).to_vec()),
            host_config: Some(HostConfig {
                network_mode: Some("none".to_owned()),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let made = self.docker.create_container(None::<CreateContainerOptions>, body).await?;
        self.docker.start_container(&made.id, None::<StartContainerOptions>).await?;
        Ok(made.id)
    }

    /// # Errors
    /// The engine failed.
    pub(crate) async fn remove(&self, container: &str) -> Result<()> {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        Ok(self.docker.remove_container(container, Some(options)).await?)
    }
}
