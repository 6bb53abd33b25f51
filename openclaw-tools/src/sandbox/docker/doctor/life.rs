//! Commands that do not want to end, and what they leave.

use std::time::Duration;

use openclaw_core::{
    ErrorKind, Result,
    sandbox::{Command, Exit, Lease},
};
use tokio::time::Instant;

use super::{
    super::{engine::fault, leases::name_of},
    DockerSandbox, Finding,
};

/// How long the commands may run.
const TIME: Duration = Duration::from_millis(700);
/// How long everything may live on after that.
const AFTER: Duration = Duration::from_secs(2);

/// What each of them does: a name, and a script.
const SCRIPTS: [(&str, &str); 6] = [
    ("sleeps", "sleep 1000"),
    ("takes_no_signal", "trap '' TERM INT HUP QUIT; while :; do sleep 1000; done"),
    ("leaves_a_session", "setsid sh -c 'trap \"\" TERM HUP; sleep 1000' & sleep 1000"),
    ("forks_twice", "(setsid sh -c '(sleep 1000 &) ; sleep 1000' &) ; sleep 1000"),
    // A shell that cannot fork ends; this goes on.
    (
        "forks_without_end",
        "exec python3 -c \"$(printf 'import os\\nagain = os.fork\\nwhile True:\\n try: again()\\n except OSError: pass')\"",
    ),
    ("prints_without_end", "yes"),
];

pub(super) async fn findings(sandbox: &DockerSandbox, lease: &Lease) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (name, script) in SCRIPTS {
        let command = Command::new("sh").args(["-c", script]).time(TIME).output(64 * 1024);
        let ran = sandbox.0.run(lease, &command).await?;
        let output = ran.collect().await;
        let dead = gone(sandbox, lease).await?;
        let over = match &output {
            Ok(output) => {
                matches!(output.ended.exit, Exit::Time | Exit::Memory)
                    && output.stdout.len() + output.stderr.len() <= 64 * 1024
            }
            // A kernel of the box's own may give up, and the box ends with it.
            Err(_) => true,
        };
        let held = over && dead.is_some();
        let seen = match dead {
            Some(after) => format!("gone {} ms after its time", after.as_millis()),
            None => "it lives on".to_owned(),
        };
        findings.push(Finding::new("life", name, held, seen));
    }
    Ok(findings)
}

/// How long after this the box of a lease is gone with all in it, if it is: nothing outlives the first process
/// of its namespace.
async fn gone(sandbox: &DockerSandbox, lease: &Lease) -> Result<Option<Duration>> {
    let docker = &sandbox.0.engine.connected().await?.docker;
    let began = Instant::now();
    while began.elapsed() < AFTER {
        match docker.inspect_container(&name_of(lease), None).await.map_err(fault) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Some(began.elapsed())),
            Err(error) => return Err(error),
            Ok(seen) if seen.state.as_ref().and_then(|state| state.running) == Some(false) => {
                return Ok(Some(began.elapsed()));
            }
            Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    Ok(None)
}
