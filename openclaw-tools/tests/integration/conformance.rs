//! The contract of sandboxes, under both kernels that a box may have.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use openclaw_core::{
    Result, async_trait,
    sandbox::{Command, Lease, Sandbox},
    testing::sandbox::{Probe, SandboxFixture, suite},
};
use openclaw_tools::sandbox::docker::{Gvisor, doctor::Examination};

use crate::engine::{Engine, engine, exec, skip};

/// Sandboxes that live on runtimes of their own, so that one can be killed: then nothing of it runs any
/// more and its connections close, as with a process.
struct Fixture {
    engine: Engine,
    docker: bollard::Docker,
    gvisor: Gvisor,
    processes: Mutex<Vec<(Arc<dyn Sandbox>, tokio::runtime::Runtime)>>,
}

impl Fixture {
    async fn new(engine: Engine, gvisor: Gvisor) -> Self {
        let docker = engine.docker().negotiate_version().await.unwrap();
        Self { engine, docker, gvisor, processes: Mutex::default() }
    }
}

/// The lease as this suite has it: another one runs beside it on the same engine.
fn own(lease: &Lease, gvisor: Gvisor) -> Lease {
    let mut lease = lease.clone();
    lease.id.push_str(if gvisor == Gvisor::Require { "-gvisor" } else { "-runc" });
    lease
}

impl Drop for Fixture {
    fn drop(&mut self) {
        for (_, runtime) in self.processes.lock().unwrap().drain(..) {
            runtime.shutdown_background();
        }
    }
}

const FORK: &str = "
import os, signal, sys
children = []
try:
    for _ in range(int(sys.argv[1])):
        child = os.fork()
        if not child:
            signal.pause()
        children.append(child)
except OSError:
    pass
print(len(children))
for child in children:
    os.kill(child, signal.SIGKILL)
";
const CONNECT: &str = "
import socket, sys
socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)
";
const HANG: &str = "trap '' TERM; while :; do sleep 1; done";

#[async_trait]
impl SandboxFixture for Fixture {
    async fn open(&self) -> Result<Arc<dyn Sandbox>> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
        let builder = self.engine.builder().warm(0).examine(Examination::No).gvisor(self.gvisor);
        let builder = builder.namespace(format!("suite {:?}", self.gvisor));
        let sandbox = runtime.spawn(builder.start()).await.unwrap()?;
        let sandbox: Arc<dyn Sandbox> =
            Arc::new(OnRuntime(sandbox, runtime.handle().clone(), self.gvisor));
        self.processes.lock().unwrap().push((Arc::clone(&sandbox), runtime));
        Ok(sandbox)
    }

    fn command(&self, probe: Probe) -> Command {
        let sh = |script: &str| Command::new("sh").arg("-c").arg(script).arg("sh");
        let python = |script: &str| Command::new("python3").arg("-c").arg(script);
        match probe {
            Probe::Print(text) => Command::new("printf").arg("%s").arg(text),
            Probe::PrintError(text) => sh("printf %s \"$1\" >&2").arg(text),
            Probe::Exit(code) => sh("exit $1").arg(code.to_string()),
            Probe::Echo => Command::new("cat"),
            Probe::Environment => Command::new("env"),
            Probe::Write(path, text) => sh("printf %s \"$2\" >\"$1\"").arg(path).arg(text),
            Probe::Show(path) => Command::new("cat").arg(path),
            Probe::LinkOut(path) => Command::new("ln").args(["-s", "/etc/passwd"]).arg(path),
            Probe::Hang => sh(HANG),
            Probe::HangWithOthers => {
                sh("setsid sh -c \"$1\" & setsid sh -c \"$1\" & eval \"$1\"").arg(HANG)
            }
            Probe::Flood(text) => Command::new("yes").arg(text.trim_end()),
            Probe::Connect(SocketAddr::V4(to)) => {
                python(CONNECT).arg(to.ip().to_string()).arg(to.port().to_string())
            }
            Probe::Allocate(bytes) => {
                python("import sys; x = b'x' * int(sys.argv[1])").arg(bytes.to_string())
            }
            Probe::Fork(count) => python(FORK).arg(count.to_string()),
            other => panic!("unknown: {other:?}"),
        }
    }

    async fn kill(&self, sandbox: Arc<dyn Sandbox>) -> bool {
        let mut processes = self.processes.lock().unwrap();
        let at = processes.iter().position(|(other, _)| Arc::ptr_eq(other, &sandbox)).unwrap();
        processes.swap_remove(at).1.shutdown_background();
        true
    }

    async fn processes(&self, lease: &Lease) -> Option<usize> {
        let name = format!("openclaw-{}", own(lease, self.gvisor).id);
        if self.gvisor == Gvisor::Require {
            // The host sees none of them. The first one and this shell do not count.
            let said = exec(&self.docker, &name, &["sh", "-c", "set -- /proc/[0-9]*; echo $#"]);
            return Some(said.await.trim().parse().map_or(0, |seen: usize| seen.saturating_sub(2)));
        }
        let Ok(top) = self.docker.top_processes(&name, None).await else { return Some(0) };
        // The first one keeps the box; it does not count.
        Some(top.processes.map_or(0, |them| them.len()).saturating_sub(1))
    }
}

/// A sandbox that does everything on its own runtime.
struct OnRuntime(openclaw_tools::sandbox::docker::DockerSandbox, tokio::runtime::Handle, Gvisor);

impl OnRuntime {
    async fn on<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.1.spawn(work).await.unwrap_or_else(|_| {
            Err(openclaw_core::Error::new(openclaw_core::ErrorKind::Cancelled, "killed"))
        })
    }
}

#[async_trait]
impl Sandbox for OnRuntime {
    fn capabilities(&self) -> &openclaw_core::sandbox::SandboxCapabilities {
        self.0.capabilities()
    }

    async fn run(
        &self,
        lease: &Lease,
        command: &Command,
    ) -> Result<openclaw_core::sandbox::CommandStream> {
        let (it, lease, command) = (self.0.clone(), own(lease, self.2), command.clone());
        self.on(async move { it.run(&lease, &command).await }).await
    }

    async fn write(
        &self,
        lease: &Lease,
        path: &openclaw_core::sandbox::SandboxPath,
        bytes: openclaw_core::bytes::Bytes,
    ) -> Result<()> {
        let (it, lease, path) = (self.0.clone(), own(lease, self.2), path.clone());
        self.on(async move { it.write(&lease, &path, bytes).await }).await
    }

    async fn read(
        &self,
        lease: &Lease,
        path: &openclaw_core::sandbox::SandboxPath,
        max_bytes: u64,
    ) -> Result<openclaw_core::bytes::Bytes> {
        let (it, lease, path) = (self.0.clone(), own(lease, self.2), path.clone());
        self.on(async move { it.read(&lease, &path, max_bytes).await }).await
    }

    async fn reap(&self, lease: &Lease) -> Result<()> {
        let (it, lease) = (self.0.clone(), own(lease, self.2));
        self.on(async move { it.reap(&lease).await }).await
    }

    async fn reap_abandoned(&self) -> Result<u64> {
        let it = self.0.clone();
        self.on(async move { it.reap_abandoned().await }).await
    }
}

async fn keeps_the_contract(test: &str, gvisor: Gvisor) {
    let Some(engine) = engine(test) else { return };
    let report = suite(test, Fixture::new(engine, gvisor).await).run().await;
    println!("{report}");
    for (case, why) in report.skipped() {
        skip(&format!("{test}::{case}"), why);
    }
    assert_eq!(report.failed().collect::<Vec<_>>(), Vec::<&str>::new(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_contract_of_sandboxes() {
    keeps_the_contract("sandbox_contract", Gvisor::No).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_contract_of_sandboxes_under_gvisor() {
    keeps_the_contract("sandbox_contract_gvisor", Gvisor::Require).await;
}
