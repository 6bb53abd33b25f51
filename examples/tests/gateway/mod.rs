//! The daemon, as a process between an emulated Telegram and a fake of a model service.

#[path = "../../gateway/arguments.rs"]
#[allow(dead_code, reason = "the command line is read by the daemon's `main`")]
mod arguments;
mod boxes;
mod check;
mod clients;
mod connects;
mod documents;
mod environment;
mod life;
#[path = "../../gateway/logs.rs"]
#[allow(dead_code, reason = "the log is started by the daemon's `main`")]
mod logs;
mod secrets;
mod signals;
mod telemetry;
mod world;
