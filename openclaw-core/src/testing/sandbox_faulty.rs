//! Sandboxes with one fault each, that show that the suite finds it.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::sandbox::{CommandCall, CommandScript, Probe, SandboxDouble, SandboxFixture};
use crate::{
    error::Result,
    sandbox::{Command, Lease, Sandbox},
};

/// What is wrong with a sandbox of a [`SandboxFaultFixture`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SandboxFault {
    /// Nothing; the reference.
    None,
    /// Gives no output.
    NoOutput,
    /// Gives standard error as standard output.
    MixesStreams,
    /// Tells code 0 whatever happened.
    AlwaysSucceeds,
    /// Runs what is not there, with code 127.
    MissingProgramRuns,
    /// Cuts arguments at spaces.
    UsesAShell,
    /// Gives no input.
    NoInput,
    /// Gives the environment of its own process.
    LeaksEnvironment,
    /// Gives no variable of the command.
    DropsEnvironment,
    /// Lets a command set what the sandbox sets.
    TakesAnyVariable,
    /// Starts everything in the folder for work.
    IgnoresFolder,
    /// Gives more output than it was to.
    NoCap,
    /// Does not say that output was cut.
    CutsSilently,
    /// Says that output was cut which was whole.
    CutsWhole,
    /// Lets a command run for ever.
    NoTime,
    /// Ends the first process alone.
    LeavesOrphans,
    /// Goes on when nobody looks.
    OutlivesItsStream,
    /// Makes text of every file.
    ManglesFiles,
    /// Appends to files in place of replacing them.
    Appends,
    /// Keeps what is written from outside from commands.
    FilesApart,
    /// Forgets files between calls.
    Forgetful,
    /// Reads and writes wherever a link leads.
    FollowsLinks,
    /// Reads more than it may.
    ReadsAnyLength,
    /// A file that is not there is empty.
    MissingIsEmpty,
    /// All boxes are one.
    OneBox,
    /// A command waits until the one before has ended.
    OneAtATime,
    /// Says that it reaped, and did not.
    ReapsNothing,
    /// Ends processes and keeps files.
    ReapKeepsFiles,
    /// Reaping what is not there is an error.
    ReapsOnce,
    /// Keeps what dead processes left.
    KeepsAbandoned,
    /// Reaps what living processes have.
    ReapsTheLiving,
    /// Reaches the network.
    HasNetwork,
    /// Takes limits that it does not know.
    IgnoresLimits,
    /// Enforces no limit.
    NoLimits,
}

impl SandboxFault {
    /// All faults.
    pub const ALL: [Self; 33] = [
        Self::NoOutput,
        Self::MixesStreams,
        Self::AlwaysSucceeds,
        Self::MissingProgramRuns,
        Self::UsesAShell,
        Self::NoInput,
        Self::LeaksEnvironment,
        Self::DropsEnvironment,
        Self::TakesAnyVariable,
        Self::IgnoresFolder,
        Self::NoCap,
        Self::CutsSilently,
        Self::CutsWhole,
        Self::NoTime,
        Self::LeavesOrphans,
        Self::OutlivesItsStream,
        Self::ManglesFiles,
        Self::Appends,
        Self::FilesApart,
        Self::Forgetful,
        Self::FollowsLinks,
        Self::ReadsAnyLength,
        Self::MissingIsEmpty,
        Self::OneBox,
        Self::OneAtATime,
        Self::ReapsNothing,
        Self::ReapKeepsFiles,
        Self::ReapsOnce,
        Self::KeepsAbandoned,
        Self::ReapsTheLiving,
        Self::HasNetwork,
        Self::IgnoresLimits,
        Self::NoLimits,
    ];
}

/// A fixture of [`SandboxDouble`]s with one fault, or none.
pub struct SandboxFaultFixture {
    double: SandboxDouble,
    open: Mutex<Vec<(Arc<dyn Sandbox>, SandboxDouble)>>,
}

impl SandboxFaultFixture {
    /// Sandboxes with `fault`.
    pub fn new(fault: SandboxFault) -> Self {
        let double = SandboxDouble::new().program("probe", act).with_fault(fault);
        Self { double, open: Mutex::default() }
    }
}

/// Does what a [`Probe`] says, as its command spells it.
fn act(call: &CommandCall) -> CommandScript {
    let number = |index| call.arg(index).parse::<u64>().unwrap_or_default();
    let done = CommandScript::new();
    match call.arg(0) {
        "print" => CommandScript::print(call.arg(1).to_owned()),
        "print-error" => done.error(call.arg(1).to_owned()),
        "exit" => done.exit(call.arg(1).parse().unwrap_or_default()),
        "echo" => CommandScript::print(call.command.stdin.clone()),
        "environment" => {
            let lines = call.environment.iter().map(|(name, value)| format!("{name}={value}\n"));
            CommandScript::print(lines.collect::<String>())
        }
        "write" => done.write(call.arg(1), call.arg(2).to_owned()),
        "show" => match call.file(call.arg(1)) {
            Some(bytes) => CommandScript::print(bytes.clone()),
            None => done.error("no such file").exit(1),
        },
        "link-out" => done.link_out(call.arg(1)),
        "hang" => done.never_ends(),
        "hang-with-others" => done.starts(2).never_ends(),
        "flood" => CommandScript::print(call.arg(1).to_owned()).floods(),
        "connect" => done.exit(i32::from(!call.network)),
        "allocate" if call.limits.memory.is_some_and(|most| number(1) > most) => {
            done.out_of_memory()
        }
        "allocate" => done,
        "fork" => {
            let most = call.limits.pids.map_or(u64::MAX, |pids| u64::from(pids) - 1);
            CommandScript::print(number(1).min(most).to_string())
        }
        other => done.error(format!("unknown: {other}")).exit(2),
    }
}

#[async_trait]
impl SandboxFixture for SandboxFaultFixture {
    async fn open(&self) -> Result<Arc<dyn Sandbox>> {
        let double = self.double.other_process();
        let sandbox: Arc<dyn Sandbox> = Arc::new(double.clone());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.push((Arc::clone(&sandbox), double));
        Ok(sandbox)
    }

    fn command(&self, probe: Probe) -> Command {
        let args = match probe {
            Probe::Print(text) => vec!["print".into(), text],
            Probe::PrintError(text) => vec!["print-error".into(), text],
            Probe::Exit(code) => vec!["exit".into(), code.to_string()],
            Probe::Echo => vec!["echo".into()],
            Probe::Environment => vec!["environment".into()],
            Probe::Write(path, text) => vec!["write".into(), path, text],
            Probe::Show(path) => vec!["show".into(), path],
            Probe::LinkOut(path) => vec!["link-out".into(), path],
            Probe::Hang => vec!["hang".into()],
            Probe::HangWithOthers => vec!["hang-with-others".into()],
            Probe::Flood(text) => vec!["flood".into(), text],
            Probe::Connect(to) => vec!["connect".into(), to.to_string()],
            Probe::Allocate(bytes) => vec!["allocate".into(), bytes.to_string()],
            Probe::Fork(count) => vec!["fork".into(), count.to_string()],
        };
        Command::new("probe").args(args)
    }

    async fn kill(&self, sandbox: Arc<dyn Sandbox>) -> bool {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let found = open.iter().find(|(opened, _)| Arc::ptr_eq(opened, &sandbox));
        found.inspect(|(_, double)| double.kill_process()).is_some()
    }

    async fn processes(&self, lease: &Lease) -> Option<usize> {
        Some(self.double.processes(lease))
    }
}
