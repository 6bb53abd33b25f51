//! The daemon, as a process between an emulated Telegram and a fake of a model service.

mod boxes;
mod check;
mod clients;
mod connects;
mod documents;
mod life;
mod world;
