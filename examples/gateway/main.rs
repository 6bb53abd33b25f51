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
mod web;

use std::{process::ExitCode, sync::Arc};

use openclaw_core::{Error, ErrorKind, Gateway, Handle, Result, server::LogTail};
use tokio::signal::unix::{SignalKind, signal};

use arguments::{Arguments, Task};
use logs::Redactions;
use setup::Setup;

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
    let report = setup.builder()?.check().await;
    print!("{report}");
    Ok(report.is_sound())
}

async fn run(arguments: &Arguments) -> Result<()> {
    let redactions = Arc::new(Redactions::default());
    let tail = LogTail::new("stderr");
    logs::start(arguments.logs, &redactions, &tail);
    let setup = Arc::new(Setup::new(arguments, redactions));
    let gateway = setup.builder()?.start().await?;
    let handle = gateway.handle();
    let doors = web::open(&setup, tail, arguments.listen.as_deref(), handle.clone()).await?;
    let listen = doors.as_ref().map(|doors| doors.address().to_string());
    tracing::info!(source = setup.source(), listen, "ready");
    attend(&gateway, &handle, &setup, doors.is_none()).await?;
    tracing::info!("stopping: what runs is let to its end");
    handle.drain();
    gateway.shutdown().await?;
    if let Some(doors) = doors {
        doors.stop().await;
    }
    tracing::info!("stopped");
    Ok(())
}

/// Serves signals until it is time to stop: when it is told to, or when `ends` and nothing more can
/// come, as at the end of a terminal's input.
async fn attend(gateway: &Gateway, handle: &Handle, setup: &Setup, ends: bool) -> Result<()> {
    let unavailable = |error| Error::wrap(ErrorKind::Unavailable, error);
    let mut terminate = signal(SignalKind::terminate()).map_err(unavailable)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unavailable)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(unavailable)?;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            () = gateway.idle(), if ends => return Ok(()),
            _ = hang_up.recv() => match setup.builder() {
                Ok(builder) => match handle.reload(builder).await {
                    Ok(()) => tracing::info!(source = setup.source(), "read again"),
                    Err(error) => tracing::error!(%error, "nothing was changed"),
                },
                Err(error) => tracing::error!(%error, "nothing was changed"),
            },
        }
    }
}
