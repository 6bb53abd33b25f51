//! What boxes cost, beside what the engine itself takes for the same, in one run.
//!
//! ```sh
//! OPENCLAW_PEER_DOCKER=/var/run/docker.sock OPENCLAW_PEER_IMAGE=sha256:… \
//!     cargo run --release -p openclaw-benches --bin sandbox
//! ```

use std::time::{Duration, Instant};

use bollard::{
    API_DEFAULT_VERSION, Docker,
    exec::{CreateExecOptions, StartExecResults},
};
use futures_util::{StreamExt as _, future::join_all};
use openclaw_benches::{Result, figures::Times};
use openclaw_core::sandbox::{Command, Exit, Lease, Sandbox as _, SandboxPath, SandboxSpec};
use openclaw_tools::sandbox::docker::{DockerSandbox, doctor::Examination};

const RUNS: u32 = 60;
const LEASES: u32 = 20;
const AT_ONCE: u32 = 50;
const FILE: usize = 64 << 20;

#[tokio::main]
async fn main() -> Result<()> {
    let variable = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
    let (socket, image) = (variable("OPENCLAW_PEER_DOCKER")?, variable("OPENCLAW_PEER_IMAGE")?);
    let docker = Docker::connect_with_unix(&socket, 60, API_DEFAULT_VERSION)?;
    let docker = docker.negotiate_version().await?;
    let builder = || DockerSandbox::builder().socket(&socket).image("base", &image);
    let began = Instant::now();
    let sandbox = builder().warm(4).start().await?;
    println!("start with a quick examination: {} ms", began.elapsed().as_millis());

    exec(&sandbox, &docker).await?;
    leases(&sandbox).await?;
    transfer(&sandbox).await?;
    deadline(&sandbox).await?;
    drop(sandbox);
    many(&builder().warm(0).examine(Examination::No).start().await?).await
}

fn lease(name: &str) -> Lease {
    Lease::new(&format!("bench:{name}"), SandboxSpec::new())
}

/// A command in a box, and the same by the engine's own API in the same container, in turn.
async fn exec(sandbox: &DockerSandbox, docker: &Docker) -> Result<()> {
    let (lease, command) = (lease("exec"), Command::new("true"));
    sandbox.run(&lease, &command).await?.collect().await?;
    let container = format!("openclaw-{}", lease.id);
    let (mut ours, mut bare) = (Times::default(), Times::default());
    for _ in 0..RUNS {
        let began = Instant::now();
        let output = sandbox.run(&lease, &command).await?.collect().await?;
        ours.add(began.elapsed());
        assert_eq!(output.ended.exit, Exit::Code(0));
        let began = Instant::now();
        let options = CreateExecOptions {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(vec!["true"]),
            ..CreateExecOptions::default()
        };
        let made = docker.create_exec(&container, options).await?;
        if let StartExecResults::Attached { mut output, .. } =
            docker.start_exec(&made.id, None).await?
        {
            while output.next().await.is_some() {}
        }
        docker.inspect_exec(&made.id).await?;
        bare.add(began.elapsed());
    }
    println!("the engine's bare exec: {bare}");
    println!("exec in a warm box:     {ours}   {:.2} times at p50", ours.p50() / bare.p50());
    sandbox.reap(&lease).await?;
    Ok(())
}

/// The time from a lease's first use to its box, from those that wait.
async fn leases(sandbox: &DockerSandbox) -> Result<()> {
    let (mut taken, mut whole) = (Times::default(), Times::default());
    for n in 0..LEASES {
        while sandbox.waiting() < 4 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let lease = lease(&format!("lease:{n}"));
        let began = Instant::now();
        let running = sandbox.run(&lease, &Command::new("true")).await?;
        taken.add(began.elapsed());
        running.collect().await?;
        whole.add(began.elapsed());
        sandbox.reap(&lease).await?;
    }
    println!("lease from the pool, to the start of its first command: {taken}");
    println!("lease from the pool, to the end of its first command:   {whole}");
    Ok(())
}

async fn transfer(sandbox: &DockerSandbox) -> Result<()> {
    let (lease, path) = (lease("transfer"), SandboxPath::new("file")?);
    sandbox.run(&lease, &Command::new("true")).await?.collect().await?;
    let bytes: Vec<u8> = (0..FILE).map(|n| (n % 251) as u8).collect();
    let bytes = openclaw_core::bytes::Bytes::from(bytes);
    for _ in 0..3 {
        let began = Instant::now();
        sandbox.write(&lease, &path, bytes.clone()).await?;
        let written = began.elapsed();
        let began = Instant::now();
        let read = sandbox.read(&lease, &path, FILE as u64).await?;
        let taken = began.elapsed();
        assert_eq!(read, bytes);
        let rate = |time: Duration| FILE as f64 / 1e6 / time.as_secs_f64();
        println!("a file of 64 MiB: in {:.0} MB/s, out {:.0} MB/s", rate(written), rate(taken));
    }
    sandbox.reap(&lease).await?;
    Ok(())
}

/// How long after its deadline a command that does not want to end is told to have ended, with its box gone.
async fn deadline(sandbox: &DockerSandbox) -> Result<()> {
    let script = "trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 1000' & sleep 1000";
    let mut late = Times::default();
    for n in 0..8 {
        let lease = lease(&format!("deadline:{n}"));
        let time = Duration::from_secs(1);
        let command = Command::new("sh").args(["-c", script]).time(time);
        let began = Instant::now();
        let output = sandbox.run(&lease, &command).await?.collect().await?;
        assert_eq!(output.ended.exit, Exit::Time);
        late.add(began.elapsed().saturating_sub(time));
        sandbox.reap(&lease).await?;
    }
    println!("everything dead after the deadline: {late}");
    Ok(())
}

async fn many(sandbox: &DockerSandbox) -> Result<()> {
    let leases: Vec<Lease> = (0..AT_ONCE).map(|n| lease(&format!("many:{n}"))).collect();
    let began = Instant::now();
    let all = leases.iter().map(|lease| async move {
        let command = Command::new("echo").arg(&lease.id).time(Duration::from_secs(300));
        sandbox.run(lease, &command).await?.collect().await
    });
    let mut wrong = 0;
    for (lease, output) in leases.iter().zip(join_all(all).await) {
        wrong += u32::from(!output.is_ok_and(|it| it.text().trim() == lease.id));
    }
    println!(
        "{AT_ONCE} leases at once, none waiting: {:.1} s, {wrong} errors",
        began.elapsed().as_secs_f64()
    );
    join_all(leases.iter().map(|lease| sandbox.reap(lease))).await;
    Ok(())
}
