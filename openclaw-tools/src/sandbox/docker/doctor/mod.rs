//! Whether boxes are as tight on this engine as they should be: tried, not believed.
//!
//! [`examine`] makes a box, tries from inside what must not work (`probes/`, a line of JSON a try), looks
//! at what the engine made of it, and lets commands run that do not want to end. A sandbox does the quick
//! part of that by itself before its first box, and refuses to work if something is open.

mod engine;
mod life;
mod made;

use std::{fmt, time::Duration};

use futures_util::StreamExt as _;
use openclaw_core::{
    Error, ErrorKind, Result,
    sandbox::{Command, CommandEvent, Lease, Limits, SandboxSpec},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{DockerSandbox, exec::ENVIRONMENT, random};

/// One program, in parts.
const PROBES: &str = concat!(
    include_str!("probes/start.py"),
    include_str!("probes/calls.py"),
    include_str!("probes/files.py"),
    include_str!("probes/kernel.py"),
    include_str!("probes/network.py"),
    include_str!("probes/bombs.py"),
    include_str!("probes/end.py"),
);
/// How long all tries from inside may take.
const PATIENCE: Duration = Duration::from_secs(120);
const MIB: u64 = 1024 * 1024;

/// How much is tried.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    openclaw_core::schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[schemars(crate = "openclaw_core::schemars")]
pub enum Examination {
    /// Nothing.
    No,
    /// What takes no time: identity, system calls, files, devices, the kernel's own files, namespaces, limits,
    /// network, environment. About a second.
    #[default]
    Quick,
    /// All of it, also what fills memory, disk and processes, and what does not want to end.
    Full,
}

/// What was found. As JSON it is what a monitor would keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The engine's version.
    pub engine: String,
    /// The runtime that boxes have.
    pub runtime: String,
    /// What is known of these versions, whether or not it can be used against a box.
    pub warnings: Vec<String>,
    /// Each try.
    pub findings: Vec<Finding>,
}

/// A try, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// What kind of thing was tried.
    pub group: String,
    /// The try; unique.
    pub probe: String,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// How a try ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome", content = "seen")]
pub enum Outcome {
    /// The box held; what was seen.
    Held(String),
    /// The box is open; what was seen.
    Broken(String),
    /// It could not be tried here; why.
    Skipped(String),
}

impl Finding {
    fn new(group: &str, probe: &str, held: bool, seen: impl Into<String>) -> Self {
        let seen = seen.into();
        let outcome = if held { Outcome::Held(seen) } else { Outcome::Broken(seen) };
        Self { group: group.to_owned(), probe: probe.to_owned(), outcome }
    }
}

/// A try as the program in the box tells of it.
#[derive(Deserialize)]
struct Told {
    group: String,
    probe: String,
    held: Option<bool>,
    seen: Option<String>,
    skipped: Option<String>,
}

impl Report {
    /// The tries in which the box was open.
    pub fn broken(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|it| matches!(it.outcome, Outcome::Broken(_)))
    }

    /// The tries that could not be made, and why.
    pub fn skipped(&self) -> impl Iterator<Item = (&str, &str)> {
        self.findings.iter().filter_map(|it| match &it.outcome {
            Outcome::Skipped(why) => Some((it.probe.as_str(), why.as_str())),
            _ => None,
        })
    }

    /// Fails if a box was open.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] that lists all of it.
    pub fn require_sound(&self) -> Result<()> {
        let broken: Vec<String> = self.broken().map(ToString::to_string).collect();
        if broken.is_empty() {
            return Ok(());
        }
        Err(Error::config(format!(
            "boxes of this engine are open, and none is used: {}",
            broken.join("; ")
        )))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, seen) = match &self.outcome {
            Outcome::Held(seen) => ("held", seen),
            Outcome::Broken(seen) => ("OPEN", seen),
            Outcome::Skipped(why) => ("skipped", why),
        };
        write!(f, "{word:<7} {}: {} ({seen})", self.group, self.probe)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "engine {}, runtime {}", self.engine, self.runtime)?;
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))?;
        self.findings.iter().try_for_each(|finding| writeln!(f, "{finding}"))
    }
}

/// Examines boxes of `sandbox`, in one that is made for it.
///
/// # Errors
/// The engine does not answer, or no box could be made. What is found open is in the report.
pub async fn examine(sandbox: &DockerSandbox, depth: Examination) -> Result<Report> {
    let runtime = sandbox.0.runtime().await?;
    let mut limits = Limits::default().memory(128 * MIB).disk(32 * MIB);
    limits.pids = runtime.is_none().then_some(64);
    let lease = Lease::new(&format!("doctor:{}", random()?), SandboxSpec::new().limits(limits));
    let (engine, warnings) = engine::warnings(sandbox).await?;
    let examined = async {
        let mut findings = made::findings(sandbox, &lease).await?;
        findings.extend(inside(sandbox, &lease, depth).await?);
        if depth == Examination::Full {
            findings.extend(life::findings(sandbox, &lease).await?);
        }
        Ok::<_, Error>(findings)
    };
    let examined: Result<Vec<Finding>> =
        if depth == Examination::No { Ok(Vec::new()) } else { examined.await };
    let ended = sandbox.0.reap(&lease).await;
    let findings = examined?;
    ended?;
    let runtime = runtime.unwrap_or_else(|| "the engine's default".to_owned());
    Ok(Report { engine, runtime, warnings, findings })
}

/// The tries from inside.
async fn inside(
    sandbox: &DockerSandbox,
    lease: &Lease,
    depth: Examination,
) -> Result<Vec<Finding>> {
    let shape = sandbox.0.shape_of(&lease.spec).await?;
    let about = json!({
        "gvisor": sandbox.0.runtime().await?.is_some(),
        "quick": depth == Examination::Quick,
        "memory": shape.memory, "pids": shape.pids, "disk": shape.disk, "tmp": shape.tmp,
        "inodes": super::container::inodes(shape.disk),
        "environment": ENVIRONMENT.map(|(name, _)| name),
    });
    let command = Command::new("python3")
        .args(["-I", "-c", PROBES])
        .arg(about.to_string())
        .time(PATIENCE)
        .output(MIB);
    let mut stream = sandbox.0.run(lease, &command).await?;
    let (mut said, mut errors) = (Vec::new(), Vec::new());
    let ended = loop {
        match stream.next().await.transpose()? {
            Some(CommandEvent::Stdout(bytes)) => said.extend_from_slice(&bytes),
            Some(CommandEvent::Stderr(bytes)) => errors.extend_from_slice(&bytes),
            Some(CommandEvent::Ended(ended)) => break ended,
            Some(_) => {}
            None => return Err(failed("it did not say how it ended")),
        }
    };
    if !ended.exit.is_success() {
        let errors = String::from_utf8_lossy(&errors);
        return Err(failed(&format!("{:?}: {}", ended.exit, errors.trim())));
    }
    let mut findings = Vec::new();
    for line in said.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let told: Told =
            serde_json::from_slice(line).map_err(|error| failed(&error.to_string()))?;
        findings.push(match told.skipped {
            Some(why) => {
                Finding { group: told.group, probe: told.probe, outcome: Outcome::Skipped(why) }
            }
            None => Finding::new(
                &told.group,
                &told.probe,
                told.held == Some(true),
                told.seen.unwrap_or_default(),
            ),
        });
    }
    Ok(findings)
}

fn failed(why: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("the tries from inside of a box failed: {why}"))
}
