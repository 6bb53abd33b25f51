//! The daemon, as a process between an emulated Telegram and a fake of a model service.

mod check;
mod clients;
mod connects;
mod life;
mod world;
