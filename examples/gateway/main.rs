//! The whole gateway as one daemon, from one JSON file.
//!
//! Run with `cargo run --release --example gateway -- --config openclaw.json`. `--check` says what is
//! wrong with the file, the credentials included; `--schema` prints its JSON Schema for an editor;
//! `--help` has the rest. Without a file it takes what the environment names: `OPENAI_API_KEY`,
//! `OPENAI_BASE_URL`, …
//!
//! SIGTERM and SIGINT let running turns end and stop; SIGHUP reads the file again. The guide's chapter
//! on configuration has a complete file.

mod arguments;
mod logs;
mod setup;
mod telemetry;
mod web;

use std::{process::ExitCode, sync::Arc};

use openclaw_core::{Error, ErrorKind, Gateway, Handle, Result, server::LogTail};
use tokio::signal::unix::{Signal, SignalKind, signal};

use arguments::{Arguments, Task};
use logs::Redactions;
use setup::{Kept, Setup};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args_os().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("{error}\n\n{}", arguments::HELP);
            return ExitCode::from(2);
        }
    };
    let done = match arguments.task {
        Task::Help => {
            println!("{}", arguments::HELP);
            Ok(true)
        }
        Task::Schema => setup::print_schema().map(|()| true),
        Task::Check => check(&arguments).await,
        Task::Run => run(&arguments).await.map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints what is wrong, and what is in order; false if anything must be mended.
async fn check(arguments: &Arguments) -> Result<bool> {
    let setup = Setup::new(arguments, Arc::new(Redactions::default()));
    let mut report = setup.builder()?.check().await;
    report.faults.extend(telemetry::start(&setup).err().map(|error| error.to_string()));
    let has_doors = arguments.listen.is_some() || setup.kept()?.server.is_some();
    report.faults.extend(web::unreachable(&report.webhooks, has_doors));
    print!("{report}");
    Ok(report.is_sound())
}

async fn run(arguments: &Arguments) -> Result<()> {
    let redactions = Arc::new(Redactions::default());
    let tail = LogTail::new("stderr");
    // From here on no signal ends the process by itself.
    let mut signals = Signals::new()?;
    let setup = Arc::new(Setup::new(arguments, redactions.clone()));
    let telemetry = telemetry::start(&setup)?;
    logs::start(arguments.logs, &redactions, &tail, telemetry.layer());
    let kept = setup.kept()?;
    let gateway = tokio::select! {
        biased;
        () = signals.stop() => return Ok(()),
        gateway = setup.builder()?.start() => gateway?,
    };
    let handle = gateway.handle();
    let listen = arguments.listen.as_deref();
    let doors = web::open(&setup, kept.server.clone(), tail, listen, handle.clone()).await?;
    for fault in web::unreachable(&handle.webhook_accounts(), doors.is_some()) {
        tracing::error!("{fault}");
    }
    let listen = doors.as_ref().map(|doors| doors.address().to_string());
    tracing::info!(source = setup.source(), listen, "ready");
    attend(&gateway, &setup, &kept, doors.is_none(), &mut signals).await;
    handle.drain();
    tracing::info!("stopping: what runs is let to its end");
    gateway.shutdown().await?;
    if let Some(doors) = doors {
        doors.stop().await;
    }
    telemetry.stop().await;
    tracing::info!("stopped");
    Ok(())
}

/// The signals that the daemon listens to.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        let listen =
            |kind| signal(kind).map_err(|error| Error::wrap(ErrorKind::Unavailable, error));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    /// Waits until the daemon is told to stop. Cancel safe.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Serves signals until it is time to stop: when it is told to, or when `ends` and nothing more can
/// come, as at the end of a terminal's input.
async fn attend(gateway: &Gateway, setup: &Setup, kept: &Kept, ends: bool, signals: &mut Signals) {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return,
            _ = signals.interrupt.recv() => return,
            () = gateway.idle(), if ends => return,
            _ = signals.hang_up.recv() => match reload(&gateway.handle(), setup, kept).await {
                Ok(()) => tracing::info!(source = setup.source(), "read again"),
                Err(error) => tracing::error!(%error, "nothing was changed"),
            },
        }
    }
}

/// Puts what the configuration says now in place of what it said, doors and telemetry apart.
async fn reload(handle: &Handle, setup: &Setup, kept: &Kept) -> Result<()> {
    if setup.kept()? != *kept {
        return Err(Error::config(
            "\"server\" and \"telemetry\" cannot be changed by a reload: stop the gateway and start it \
             again, or put them back as they were",
        ));
    }
    handle.reload(setup.builder()?).await
}
