//! What boxes cost, beside what the engine itself takes for the same, in one run.
//!
//! ```sh
//! OPENCLAW_PEER_DOCKER=/var/run/docker.sock OPENCLAW_PEER_IMAGE=sha256:… \
//!     cargo run --release -p openclaw-benches --bin sandbox
//! ```

mod bare;

use std::time::{Duration, Instant};

use bare::Bare;
use futures_util::future::join_all;
use openclaw_benches::{Result, figures::Times};
use openclaw_core::sandbox::{
    Command, Exit, Lease, Limits, Sandbox as _, SandboxPath, SandboxSpec,
};
use openclaw_tools::sandbox::docker::{DockerSandbox, doctor::Examination};

const RUNS: u32 = 100;
const LEASES: u32 = 30;
const AT_ONCE: u32 = 50;
const WARM: usize = 4;
const FILE: usize = 64 << 20;

#[tokio::main]
async fn main() -> Result<()> {
    let variable = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
    let (socket, image) = (variable("OPENCLAW_PEER_DOCKER")?, variable("OPENCLAW_PEER_IMAGE")?);
    let bare = Bare::connect(&socket, &image).await?;
    let builder = || DockerSandbox::builder().socket(&socket).image("base", &image);
    let began = Instant::now();
    let sandbox = builder().warm(WARM).start().await?;
    println!("start with a quick examination: {} ms", began.elapsed().as_millis());

    exec(&sandbox, &bare).await?;
    leases(&sandbox, &bare).await?;
    transfer(&sandbox, &bare).await?;
    deadline(&sandbox).await?;
    drop(sandbox);
    many(&builder().warm(0).examine(Examination::No).start().await?, &bare).await
}

fn lease(name: &str) -> Lease {
    Lease::new(&format!("bench:{name}"), SandboxSpec::new())
}

/// A command in a box, and the same by the engine's own API in the same container, in turn.
async fn exec(sandbox: &DockerSandbox, bare: &Bare) -> Result<()> {
    let (lease, command) = (lease("exec"), Command::new("true"));
    sandbox.run(&lease, &command).await?.collect().await?;
    let container = format!("openclaw-{}", lease.id);
    let (mut ours, mut theirs) = (Times::default(), Times::default());
    // Until the boxes that wait are made.
    until_warm(sandbox).await;
    for _ in 0..RUNS {
        let began = Instant::now();
        let output = sandbox.run(&lease, &command).await?.collect().await?;
        ours.add(began.elapsed());
        assert_eq!(output.ended.exit, Exit::Code(0));
        let began = Instant::now();
        bare.exec(&container, &["true"], None).await?;
        theirs.add(began.elapsed());
    }
    println!("the engine's bare exec: {theirs}");
    println!("exec in a warm box:     {ours}   {:.2} times at p50", ours.p50() / theirs.p50());
    sandbox.reap(&lease).await?;
    Ok(())
}

async fn until_warm(sandbox: &DockerSandbox) {
    while sandbox.waiting() < WARM {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The time from a lease's first use to its box, from those that wait, and what a container takes that is
/// made by the engine's own API.
async fn leases(sandbox: &DockerSandbox, bare: &Bare) -> Result<()> {
    let (mut taken, mut whole, mut theirs) = (Times::default(), Times::default(), Times::default());
    for n in 0..LEASES {
        until_warm(sandbox).await;
        let lease = lease(&format!("lease:{n}"));
        let began = Instant::now();
        let running = sandbox.run(&lease, &Command::new("true")).await?;
        taken.add(began.elapsed());
        running.collect().await?;
        whole.add(began.elapsed());
        sandbox.reap(&lease).await?;
        until_warm(sandbox).await;
        let began = Instant::now();
        let container = bare.start().await?;
        theirs.add(began.elapsed());
        bare.remove(&container).await?;
    }
    println!("the engine's bare container, made and started:          {theirs}");
    println!("lease from the pool, to the start of its first command: {taken}");
    println!("lease from the pool, to the end of its first command:   {whole}");
    Ok(())
}

/// A file in and out, and what the engine takes for as much through `cat` in the same container.
async fn transfer(sandbox: &DockerSandbox, bare: &Bare) -> Result<()> {
    let path = SandboxPath::new("file")?;
    let limits = Limits::default().memory(1 << 30).disk(256 << 20);
    let lease = Lease::new("bench:transfer", SandboxSpec::new().limits(limits));
    sandbox.run(&lease, &Command::new("true")).await?.collect().await?;
    let container = format!("openclaw-{}", lease.id);
    let bytes: Vec<u8> = (0..FILE).map(|n| (n % 251) as u8).collect();
    let bytes = openclaw_core::bytes::Bytes::from(bytes);
    let rate = |began: Instant| FILE as f64 / 1e6 / began.elapsed().as_secs_f64();
    for _ in 0..3 {
        let began = Instant::now();
        sandbox.write(&lease, &path, bytes.clone()).await?;
        let written = rate(began);
        let began = Instant::now();
        let read = sandbox.read(&lease, &path, FILE as u64).await?;
        let taken = rate(began);
        assert_eq!(read, bytes);
        let began = Instant::now();
        let into = ["sh", "-c", "cat >/work/bare"];
        bare.exec(&container, &into, Some(bytes.clone())).await?;
        let bare_in = rate(began);
        let began = Instant::now();
        let said = bare.exec(&container, &["cat", "/work/bare"], None).await?;
        let bare_out = rate(began);
        assert_eq!(said, FILE);
        println!(
            "a file of 64 MiB: in {written:.0} MB/s, out {taken:.0} MB/s; by the engine's bare exec: in {bare_in:.0} MB/s, out {bare_out:.0} MB/s"
        );
    }
    sandbox.reap(&lease).await?;
    Ok(())
}

/// How long after its deadline a command that does not want to end is told to have ended, with its box gone.
async fn deadline(sandbox: &DockerSandbox) -> Result<()> {
    let script = "trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 1000' & sleep 1000";
    let mut late = Times::default();
    for n in 0..10 {
        let lease = lease(&format!("deadline:{n}"));
        let time = Duration::from_secs(1);
        let command = Command::new("sh").args(["-c", script]).time(time);
        let running = sandbox.run(&lease, &command).await?;
        let began = Instant::now();
        let output = running.collect().await?;
        assert_eq!(output.ended.exit, Exit::Time);
        late.add(began.elapsed().saturating_sub(time));
        sandbox.reap(&lease).await?;
    }
    println!("everything dead after the deadline: {late}");
    Ok(())
}

/// Boxes for many sessions at once, and as many of the engine's bare containers.
async fn many(sandbox: &DockerSandbox, bare: &Bare) -> Result<()> {
    let leases: Vec<Lease> = (0..AT_ONCE).map(|n| lease(&format!("many:{n}"))).collect();
    let began = Instant::now();
    let all = leases.iter().map(|lease| async move {
        let command = Command::new("echo").arg(&lease.id).time(Duration::from_secs(300));
        sandbox.run(lease, &command).await?.collect().await
    });
    let mut wrong = 0;
    for (lease, output) in leases.iter().zip(join_all(all).await) {
        match output {
            Ok(output) if output.text().trim() == lease.id => {}
            other => {
                wrong += 1;
                println!("{other:?}");
            }
        }
    }
    let ours = began.elapsed().as_secs_f64();
    join_all(leases.iter().map(|lease| sandbox.reap(lease))).await;
    let began = Instant::now();
    let made = join_all((0..AT_ONCE).map(|_| bare.start())).await;
    let theirs = began.elapsed().as_secs_f64();
    println!(
        "{AT_ONCE} leases at once, none waiting, a command in each: {ours:.1} s, {wrong} errors"
    );
    println!("{AT_ONCE} of the engine's bare containers at once: {theirs:.1} s");
    for container in made {
        bare.remove(&container?).await?;
    }
    Ok(())
}
